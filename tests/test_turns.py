"""The benchmarks' turns: every engine runs as often, and one that cannot run is a row with a reason."""

import os
import re
import sys
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
from turns import race  # noqa: E402


def sleeper(log, name, seconds):
    def run():
        time.sleep(seconds)
        with open(log, "a") as file:
            file.write(name)

    return run


def missing():
    import no_such_library  # noqa: F401


def too_large():
    return partial(os._exit, 9)


def test_engines_take_turns_after_one_to_warm_up(tmp_path, capsys):
    log = tmp_path / "log"
    engines = {"a": partial(sleeper, log, "a", 0.05), "b": partial(sleeper, log, "b", 0.3)}
    race(engines, 3, first="a")
    assert log.read_text() == "ab" * 4
    ratios = re.findall(r"time / ours ([\d.]+) +peak memory \d", capsys.readouterr().out)
    assert float(ratios[0]) == 1 and float(ratios[1]) > 2


def test_an_engine_that_lacks_its_library_or_dies_is_a_row(tmp_path, capsys):
    engines = {"gone": missing, "a": partial(sleeper, tmp_path / "log", "a", 0.01), "dead": too_large}
    race(engines, 2, first="a")
    gone, a, dead = capsys.readouterr().out.splitlines()
    assert gone.split(maxsplit=1) == ["gone", "ModuleNotFoundError: No module named 'no_such_library'"]
    assert "time / ours 1.00" in a and "the process ended with code 9" in dead
