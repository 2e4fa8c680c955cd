"""The benchmarks: engines take turns and run equally often, one that cannot run is a row with a reason, and rows are kept."""

import os
import subprocess
import sys
import time
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from resnet_lib import cost

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
from forward import prepare  # noqa: E402
from turns import race, show  # noqa: E402


def sleeper(log, name, seconds):
    def run(times=1):
        time.sleep(times * seconds)
        with open(log, "a") as file:
            file.write(name * times)

    return run


def missing():
    import no_such_library  # noqa: F401


def too_large():
    return partial(os._exit, 9)


def full_at_3(times):
    if times == 3:
        raise MemoryError("3 do not fit")


def test_engines_take_turns_after_one_to_warm_up(tmp_path, capsys):
    log = tmp_path / "log"
    engines = {"a": partial(sleeper, log, "a", 0.05), "b": partial(sleeper, log, "b", 0.3)}
    a, b = rows = race(engines, 3)
    assert log.read_text() == "ab" * 4
    assert len(a.times) == len(b.times) == 3 and min(b.times) >= 0.3 > max(a.times) >= 0.05
    assert 0.01 < a.peak_memory < 2 and not a.failed
    show(rows, first="a")
    ratios = [float(line.split("time / ours ")[1].split()[0]) for line in capsys.readouterr().out.splitlines()]
    assert ratios[0] == 1 and ratios[1] > 2


def test_cases_follow_one_another(tmp_path):
    log = tmp_path / "log"
    rows = race({"a": partial(sleeper, log, "a", 0.01), "b": partial(sleeper, log, "b", 0.01)}, 1, [(1,), (3,)])
    assert log.read_text() == "abab" + "aaabbbaaabbb"
    assert [(row.engine, row.case) for row in rows] == [("a", (1,)), ("b", (1,)), ("a", (3,)), ("b", (3,))]


def test_an_engine_that_lacks_its_library_or_dies_is_a_row(tmp_path, capsys):
    engines = {"gone": missing, "a": partial(sleeper, tmp_path / "log", "a", 0.01), "dead": too_large}
    rows = race(engines, 2)
    show(rows, first="a")
    gone, a, dead = capsys.readouterr().out.splitlines()
    assert gone.split(maxsplit=1) == ["gone", "ModuleNotFoundError: No module named 'no_such_library'"]
    assert "time / ours 1.00" in a and "the process ended with code 9" in dead
    assert rows[0].times == rows[2].times == [] and rows[0].peak_memory is None


def test_what_ran_before_an_engine_failed_is_kept():
    rows = race({"a": partial(partial, full_at_3)}, 2, [(1,), (3,), (4,)])
    assert [len(row.times) for row in rows] == [2, 0, 0]
    assert [row.failed for row in rows] == [None, *["MemoryError: 3 do not fit"] * 2]


def forward(tmp_path, *engines):
    csv = tmp_path / "times.csv"
    command = [sys.executable, BENCHMARKS / "forward.py", "--layers", "50", "--precision", "float32", "--rounds", "2"]
    command += ["--batch-size", "1", "2", "--csv", csv, "--engines", *engines]
    run = subprocess.run(command, capture_output=True, text=True)
    return pd.read_csv(csv), run.stdout


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    engines = "resnet_lib", "resnet_lib, frozen: tf", "tf_slim.nets", "keras.applications", "PyTorch"
    return forward(tmp_path_factory.mktemp("bench"), *engines)


def test_equal_networks_are_timed_side_by_side(table):
    rows, printed = table
    ours = rows[(rows.engine == "resnet_lib, frozen: tf") & (rows.batch_size == 2)].iloc[0]
    samples = [float(ms) for ms in ours.samples_ms.split(";")]
    assert len(samples) == 2 and np.isclose(ours.median_ms, np.median(samples), rtol=1e-3)
    assert np.isclose(ours.images_per_s, 2 / (ours.median_ms / 1e3), rtol=1e-3)
    assert np.isclose(ours.tflops, ours.images_per_s * 2 * cost("resnet_v2_50").macs / 1e12, rtol=1e-3)
    assert ours.device and ours.threads and ours.versions.startswith("tensorflow 2") and 0.5 < ours.peak_memory_gib < 4
    timed = rows[rows.error.isna() & rows.batch_size.notna()]
    assert set(timed.engine) >= {"resnet_lib", "tf_slim.nets", "keras.applications"}
    assert "ResNet V2-50, batch 2, float32" in printed


def test_a_peer_that_is_not_installed_says_so(table):
    rows, printed = table
    peer = rows[rows.engine == "PyTorch"]
    assert len(peer) == 2
    if find_spec("torch") is None:
        assert (peer.error == "ModuleNotFoundError: No module named 'torch'").all() and peer.median_ms.isna().all()
    else:
        assert peer.error.isna().all() and (peer.median_ms > 0).all()


def test_a_network_that_computes_something_else_is_not_timed(tmp_path):
    reference = {"images": np.ones([2, 4, 4, 3], np.float32), "logits": np.array([1.0, 2.0])}
    np.savez(tmp_path / "reference.npz", **reference)
    right, wrong = (lambda x: np.array([[1.0, 2.0]])), (lambda x: np.array([[1.0, 2.1]]))
    prepare(lambda *_: right, tmp_path, 50, "float32")
    with pytest.raises(ValueError, match="its logits are off by 5.0e-02 of the largest"):
        prepare(lambda *_: wrong, tmp_path, 50, "float32")


def test_a_table_that_exists_is_kept(tmp_path):
    (tmp_path / "times.csv").write_text("an older run")
    command = [sys.executable, BENCHMARKS / "forward.py", "--csv", tmp_path / "times.csv"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 2 and "--csv must be a file that can be made anew" in run.stderr
    assert "times.csv': File exists" in run.stderr and (tmp_path / "times.csv").read_text() == "an older run"
