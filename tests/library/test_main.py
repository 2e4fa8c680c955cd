import argparse
import errno
import os
import re
import subprocess
import sys
from dataclasses import replace

import pandas as pd
import pytest

from resnet_lib import __version__, checks, cost, engines, list_networks, tables
from resnet_lib.__main__ import RECIPE, _range, main, parser
from resnet_lib.recipe import Recipe
from resnet_lib.timing import Timing

PROGRAM = [sys.executable, "-m", "resnet_lib"]
SMALL = ["resnet_v1_cifar_20", "--num-batches", "1"]  # what is quick to time


def commands():
    """Of every command its parser: dict by name."""
    (action,) = (a for a in parser()._actions if isinstance(a, argparse._SubParsersAction))
    return action.choices


def test_list_names_every_network_first_on_its_line(capsys):
    main(["list"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list_networks()
    assert "resnet_v2_50             50 layers   25,568,360 parameters" in lines
    assert "resnext_101_32x8d       101 layers   88,791,336 parameters" in lines
    assert "vgg_16                 is not a list of Blocks: `cost` and `table` count its graph" in lines


def test_cost(capsys):
    main(["cost", "resnet_v2_50", "resnet_v2_200"])
    assert capsys.readouterr().out.splitlines() == [
        "resnet_v2_50: 25,568,360 parameters, 3,482,255,360 MACs, 9,271,016 activations",
        "resnet_v2_200: 64,726,120 parameters, 14,400,552,960 MACs, 30,344,936 activations",
    ]


def test_cost_in_other_layouts_with_other_shortcuts_and_of_tf_slims_networks(capsys):
    main(["cost", "resnet_v1_50", "resnet_v1_34", "--layout", "paper", "--shortcut", "A"])
    main(["cost", "resnet_v1_cifar_20", "alexnet_v2"])
    assert [line.split(" MACs")[0] for line in capsys.readouterr().out.splitlines()] == [
        "resnet_v1_50: 22,780,456 parameters, 3,498,311,680",
        "resnet_v1_34: 21,623,848 parameters, 3,644,493,824",
        "resnet_v1_cifar_20: 269,722 parameters, 40,551,040",
        "alexnet_v2: 50,303,912 parameters, 736,555,776",
    ]


def test_cost_of_other_sizes_and_numbers_of_classes(capsys):
    main(["cost", "resnet_v2_50", "--image-size", "224x299", "--num-classes", "10"])
    main(["cost", "resnet_v2_50", "--image-size", "299x224"])
    main(["cost", "resnet_v2_50", "--image-size", "96"])
    counted = [cost("resnet_v2_50", (224, 299), 10), cost("resnet_v2_50", (299, 224)), cost("resnet_v2_50", 96)]
    assert [line.split(": ")[1] for line in capsys.readouterr().out.splitlines()] == [
        f"{c.params:,} parameters, {c.macs:,} MACs, {c.activations:,} activations" for c in counted
    ]


def test_table(capsys):
    main(["table"])
    out = capsys.readouterr().out
    assert (
        "1x1, 256 / 3x3, 256 / 1x1, 1024 / x 36" in out and "3x3, 512 / 3x3, 512 / x 2" in out and "3.858 x 10^9" in out
    )
    main(["table", "resnet_v1_50", "--layout", "v1.5"])
    assert "4.089 x 10^9" in capsys.readouterr().out
    main(["table", "--costs", "resnet_v2_101"])
    assert "44577896" in capsys.readouterr().out


def test_table_takes_a_network_that_is_not_a_list_of_blocks(capsys):
    main(["table", "alexnet_v2", "resnet_v1_50"])
    out = capsys.readouterr().out
    assert "0.737 x 10^9" in out and "3.482 x 10^9" in out


def test_time_writes_a_row_for_every_batch_size(tmp_path, capsys):
    path = tmp_path / "times.csv"
    small = [*SMALL, "--image-size", "32x40", "--batch-size", "1", "2", "--csv", str(path)]
    main(["time", *small, "--precision", "float32", "bfloat16"])
    out = capsys.readouterr().out
    assert "resnet_v1_cifar_20, batch 1, " in out and "resnet_v1_cifar_20, batch 2, " in out and "images/s" in out
    assert len(re.findall(r" ms a batch \([\d.]+ to [\d.]+, \d+ samples; first call", out)) == 2
    table = pd.read_csv(path)
    assert list(table.batch_size) == [1, 2] and set(table.image_size) == {"32x40"}


def test_percentiles_are_printed_of_thirty_samples():
    timing = Timing("net", 1, median_ms=2.0, p10_ms=1.0, p90_ms=3.0, samples_ms=(2.0,) * 30)
    assert _range(timing) == "p10 1.0, p90 3.0, 30 samples"
    assert _range(replace(timing, samples_ms=(1.0, 4.0))) == "1.0 to 4.0, 2 samples"


def test_time_takes_engines_and_precisions_and_a_missing_engine_is_a_row(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(checks, "find_spec", lambda name: None)
    path = tmp_path / "times.csv"
    small = [*SMALL, "--batch-size", "1", "--csv", str(path)]
    main(["time", *small, "--engine", "unfrozen", "tf", "openvino", "--precision", "float32", "bfloat16"])
    table = pd.read_csv(path)
    assert list(table.engine) == ["unfrozen", "tf", "tf", "openvino", "openvino"]
    assert list(table.precision) == ["float32", *["float32", "bfloat16"] * 2]
    assert list(table.error.isna()) == [True, True, True, False, False]
    assert (
        table.error[3].startswith("engine: 'openvino' needs the package of that name")
        and table.median_ms[:3].gt(0).all()
    )
    out = capsys.readouterr().out
    assert "resnet_v1_cifar_20, tf, bfloat16, batch 1" in out
    assert "resnet_v1_cifar_20, openvino, bfloat16: engine: 'openvino' needs the package of that name" in out


@pytest.mark.filterwarnings("ignore:engine 'tf' was asked for bfloat16")
def test_time_prints_the_precision_that_runs(tmp_path, capsys, monkeypatch):
    """An engine that computes in float32, whatever it is asked for, as OpenVINO does on a processor without bfloat16."""

    def compile_float32(freeze, input_shape, precision, compile=engines.ENGINES["tf"].compile):
        return compile(freeze, input_shape, "float32")

    monkeypatch.setitem(engines.ENGINES, "tf", engines.Engine(compile_float32))
    path = tmp_path / "times.csv"
    small = [*SMALL, "--batch-size", "1", "--csv", str(path)]
    main(["time", *small, "--engine", "tf", "--precision", "bfloat16"])
    assert "resnet_v1_cifar_20, tf, float32, batch 1" in capsys.readouterr().out
    assert list(pd.read_csv(path).precision) == ["float32"]


def test_sweep_appends_a_row_a_run_and_prints_the_errors(tmp_path, capsys):
    path = tmp_path / "sweep.csv"
    grid = ["--families", "plain", "--layers", "8", "--seeds", "0", "1"]
    main(["sweep", str(path), *grid, "--epochs", "1", "--batch-size", "500", "--learning-rate", "0.2"])
    printed = capsys.readouterr().out
    assert "train_error" in printed and "mean" in printed and "plain" in printed
    rows = path.read_text().splitlines()
    assert len(rows) == 3 and all(row.startswith(f"plain,8,{i},digits,1,500,0.2,") for i, row in enumerate(rows[1:]))


def test_a_sweep_says_which_runs_stopped_and_why(tmp_path, capsys):
    grid = [str(tmp_path / "s.csv"), "--families", "plain", "--layers", "8", "--epochs", "1"]
    main(["sweep", *grid, "--batch-size", "500", "--learning-rate", "1e30"])  # a result, if a bad one
    assert "plain, 8 layers, seed 0: diverged: the " in capsys.readouterr().out
    with pytest.raises(SystemExit, match="^error: 2 of 2 runs failed; the same command runs them again$"):
        main(["sweep", *grid, "--seeds", "0", "1", "--batch-size", "2000"])
    assert "plain, 8 layers, seed 1: ValueError: batch_size must be at most" in capsys.readouterr().out


def test_a_full_disk_ends_a_sweep_in_one_line(tmp_path, monkeypatch):
    def full(self, *rows):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("resnet_lib.records.Records.append", full)
    monkeypatch.setattr("resnet_lib.sweep.run", lambda *args: {})
    with pytest.raises(SystemExit, match="^error: .*No space left on device$"):
        main(["sweep", str(tmp_path / "s.csv"), "--families", "plain", "--layers", "8", "--seeds", "0"])


def test_the_options_of_a_sweep_are_the_recipe():
    """In its order, each with the type of its field; what is not typed is left to the Recipe."""
    options = {action.dest: action for action in commands()["sweep"]._actions}
    assert [name for name in options if name in RECIPE] == list(RECIPE) == list(Recipe.__dataclass_fields__)
    assert all(options[name].type is type(default) for name, default in vars(Recipe()).items())
    assert options["weight_decay"].help == "factor of the penalty on large weights (default: 0.0001)"
    assert options["epochs"].help == "times that a run goes through the training images (default: 15)"
    assert not vars(parser().parse_args(["sweep", "s.csv"])).keys() & RECIPE.keys()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sweep", "x.csv", "--layers", "21"], "error: layers must be 6n + 2 for version 1 (8, 14, 20, ...), got 21"),
        (["sweep", "x.csv", "--families", "dense"], "error: family must be one of"),
        (["sweep", "x.csv", "--epochs", "0"], "error: epochs must be a positive whole number, got 0"),
        (["sweep", "/dev/null/x.csv", "--layers", "8"], "error: [Errno "),
        (["sweep", "x.csv", "--jobs", "0"], "error: n_jobs must be 1 or more, or -1 for all cores, got 0"),
        (["time", *SMALL, "--precision", "bfloat16"], "error: --precision needs an --engine that freezes the network"),
        (["cost", "resnet_v2_49"], "error: no network is called 'resnet_v2_49'; near are 'resnet_v2_"),
        (["table", "resnet_v2_49"], "error: no network is called 'resnet_v2_49'; near are 'resnet_v2_"),
        (["cost", "resnet_v2_50", "--image-size", "0"], "error: image_size must be a positive whole number, got 0"),
        (["time", "vgg_16", "--layout", "paper"], "error: layout: 'vgg_16' is not a list of Blocks; got 'paper'"),
        (["cost", "vgg_16", "--layout", "paper"], "error: layout: 'vgg_16' is not a list of Blocks; got 'paper'"),
        (["time", *SMALL, "--batch-size", "0"], "error: batch_size must be a positive whole number, got 0"),
    ],
)
def test_bad_arguments_end_with_one_line(arguments, message):
    with pytest.raises(SystemExit, match=f"^{re.escape(message)}.*$"):
        main(arguments)


@pytest.mark.parametrize("size", ["abc", "224x", "x224", "224x224x3", "-1", "1.5", ""])
def test_an_image_size_is_a_number_or_two(size, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["cost", "resnet_v2_50", f"--image-size={size}"])
    expected = f"argument --image-size: must be one whole number or HEIGHTxWIDTH (224 or 224x299), got {size!r}"
    assert capsys.readouterr().err.endswith(f"error: {expected}\n")


class OneMore:
    """Looks like a table; each of its rows has one value more than there are names for, which Python finds out by itself."""

    def iterrows(self):
        yield 1, 2, 3


@pytest.mark.parametrize("error", [TypeError, KeyError, ValueError, OSError, ImportError, BrokenPipeError])
def test_errors_that_the_library_did_not_raise_are_seen_whole(monkeypatch, error):
    def fail(*_, **__):
        raise error("a defect")

    monkeypatch.setattr(tables, "cost_table", fail)
    with pytest.raises(error, match="a defect"):
        main(["cost", "resnet_v2_50"])
    monkeypatch.setattr(tables, "cost_table", lambda *_, **__: OneMore())
    with pytest.raises(ValueError, match="too many values"):
        main(["cost", "resnet_v2_50"])


def test_help_lists_the_commands_and_explains_every_option():
    run = subprocess.run([*PROGRAM, "--help"], capture_output=True, text=True)
    assert run.returncode == 0
    assert all(re.search(rf"^ +{name} +\w", run.stdout, flags=re.M) for name in commands())
    assert list(commands()) == ["list", "table", "cost", "time", "sweep", "classify"]
    unexplained = [a.dest for command in commands().values() for a in command._actions if not a.help]
    assert unexplained == []


def test_version():
    run = subprocess.run([*PROGRAM, "--version"], capture_output=True, text=True)
    assert run.stdout == f"resnet_lib {__version__}\n"


def test_lists_and_counts_need_no_tensorflow():
    program = """
import sys
from resnet_lib.__main__ import main
for arguments in ["list"], ["table"], ["table", "--costs", "resnet_v1_50"], ["cost", "resnet_v2_50"]:
    main(arguments)
try:
    main(["--help"])
except SystemExit:
    pass
assert "tensorflow" not in sys.modules
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint", "buffered"),
    [
        (["list"], "", True),
        (["list"], "", False),
        (["table"], "", True),
        (["--help"], "", False),
        (["cost", "resnet_v2_50", "resnet_v2_49"], "error: no network is called 'resnet_v2_49'", True),
        (["cost", "resnet_v2_50", "resnet_v2_49"], "error: no network is called 'resnet_v2_49'", False),
    ],
)
def test_a_reader_may_leave(arguments, complaint, buffered):
    """As `head` does. Nobody reads from the first line on, so that it does not matter who is the quicker."""
    environment = os.environ | {"PYTHONUNBUFFERED": "" if buffered else "1"}
    with subprocess.Popen(
        [*PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        process.stdout.close()
        said = process.stderr.read()
    assert said.startswith(complaint) and said.count("\n") == bool(complaint)


@pytest.mark.parametrize("arguments", ["list", "table", "--help"])
def test_there_may_be_nowhere_to_print(arguments):
    closed = ["sh", "-c", f'exec "$0" -m resnet_lib {arguments} >&-', sys.executable]
    run = subprocess.run(closed, stderr=subprocess.PIPE, text=True)
    assert run.returncode == 0 and not re.search("Traceback|Error|ignored", run.stderr)
