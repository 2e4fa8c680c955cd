"""The benchmarks: engines take turns and run equally often, one that cannot run is a row with a reason, and rows are kept.

What is imported here is imported in the process of every engine too, so it is little.
"""

import argparse
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

from experiments import bench_forward, bench_training, peers
from experiments.bench_forward import COLUMNS, prepare, table
from experiments.turns import Row, race, show
from resnet_lib import cost, data
from resnet_lib.records import processor, usable_cores

REPOSITORY = Path(__file__).resolve().parents[2]

# Engines that take turns. They live in processes of their own, each with this module's clock, which only work moves on.


class Clock:
    now = 0.0


def read_clock():
    return Clock.now


def worker(log, name, seconds):
    def run(times=1):
        Clock.now += times * seconds
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


def talks(dies=False):
    print("a line of Python")
    os.write(2, b"a line of C++\n")
    if dies:
        os._exit(9)
    return partial(os.write, 1, b"a line of a run\n")


def test_what_engines_say_is_not_on_the_screen_and_is_in_the_error_of_one_that_dies(capfd):
    rows = race({"talks": talks, "dies": partial(talks, dies=True)}, 1)
    show(rows, first="talks")
    printed, warned = capfd.readouterr()
    assert [line.split()[0] for line in printed.splitlines()] == ["talks", "dies"] and warned == ""
    assert not rows[0].failed and "a line" not in printed.splitlines()[0]
    assert rows[1].failed.endswith("code 9 (-9: no memory left), and had said: a line of Python / a line of C++")


def test_what_a_process_says_is_shown_if_it_fails(capfd):
    bench_forward.run_apart(talks)
    assert capfd.readouterr() == ("", "")
    bench_forward.run_apart(talks, True)
    assert capfd.readouterr() == ("", "a line of Python\na line of C++\n")


def test_engines_take_turns_after_one_to_warm_up_case_after_case(tmp_path, capsys):
    log = tmp_path / "log"
    engines = {"a": partial(worker, log, "a", 0.25), "b": partial(worker, log, "b", 1.5)}
    rows = race(engines, 3, [(1,), (3,)], clock=read_clock)
    assert log.read_text() == "ab" * 4 + "aaabbb" * 4
    assert [(row.engine, row.case, row.times) for row in rows] == [  # what the warm-up took is not among them
        ("a", (1,), [0.25] * 3),
        ("b", (1,), [1.5] * 3),
        ("a", (3,), [0.75] * 3),
        ("b", (3,), [4.5] * 3),
    ]
    assert 0.01 < rows[0].peak_memory < 2 and not rows[0].failed
    show(rows[:2], first="a")
    ratios = [line.split("time / ours ")[1].split()[0] for line in capsys.readouterr().out.splitlines()]
    assert ratios == ["1.00", "6.00"]


def test_the_clock_of_a_race_is_that_of_the_machine_unless_another_is_named():
    [row] = race({"sleeps": partial(partial, time.sleep, 0.02)}, 2)
    assert len(row.times) == 2 and min(row.times) >= 0.02


def test_an_engine_that_lacks_its_library_or_dies_is_a_row(tmp_path, capsys):
    engines = {"gone": missing, "a": partial(worker, tmp_path / "log", "a", 1), "dead": too_large}
    rows = race(engines, 2, clock=read_clock)
    show(rows, first="a")
    gone, a, dead = capsys.readouterr().out.splitlines()
    assert gone.split(maxsplit=1) == ["gone", "ModuleNotFoundError: No module named 'no_such_library'"]
    assert "time / ours 1.00" in a and "the process ended with code 9" in dead
    assert rows[0].times == rows[2].times == [] and rows[0].peak_memory is None


def test_what_ran_before_an_engine_failed_is_kept():
    rows = race({"a": partial(partial, full_at_3)}, 2, [(1,), (3,), (4,)])
    assert [len(row.times) for row in rows] == [2, 0, 0]
    assert [row.failed for row in rows] == [None, *["MemoryError: 3 do not fit"] * 2]


# The benchmark of forward passes


def forward(*arguments):
    command = [sys.executable, "-m", "experiments.bench_forward", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)


@pytest.fixture(scope="module")
def timed(tmp_path_factory):
    path = tmp_path_factory.mktemp("bench") / "times.csv"
    engines = "resnet_lib, frozen: tf", "keras.applications", "PyTorch"
    few = ["--layers", 50, "--precision", "float32", "--rounds", 2, "--batch-size", 2]
    run = forward(*few, "--csv", path, "--engines", *engines)
    return pd.read_csv(path), run.stdout


def test_equal_networks_are_timed_side_by_side(timed):
    rows, printed_text = timed
    assert list(rows.columns) == COLUMNS
    ours = rows[(rows.engine == "resnet_lib, frozen: tf") & (rows.batch_size == 2)].iloc[0]
    samples = [float(ms) for ms in ours.samples_ms.split(";")]
    assert len(samples) == 2 and np.isclose(ours.median_ms, np.median(samples), rtol=1e-3)
    assert np.isclose(ours.images_per_s, 2 / (ours.median_ms / 1e3), rtol=1e-3)
    assert np.isclose(ours.tflops, ours.images_per_s * 2 * cost("resnet_v2_50").macs / 1e12, rtol=1e-3)
    assert (ours.device, ours.threads, ours.precision) == (processor(), usable_cores(), "float32")
    assert ours.versions.startswith("tensorflow 2") and 0.5 < ours.peak_memory_gib < 4
    counted = rows[rows.error.isna() & rows.batch_size.notna()]
    assert set(counted.engine) >= {"resnet_lib, frozen: tf", "keras.applications"}
    assert "ResNet V2-50, batch 2, float32" in printed_text


def test_a_peer_that_is_not_installed_says_so(timed):
    rows, _ = timed
    peer = rows[rows.engine == "PyTorch"]
    assert len(peer) == 1
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


@pytest.mark.parametrize("runs", ["float32", "bfloat16"])
def test_no_row_says_a_precision_that_did_not_run(monkeypatch, runs):
    """On a processor without bfloat16 OpenVINO runs float32: the engine fails with the reason, and has no time."""

    class Network:
        precision = runs

        def load(self, path):
            pass

        def freeze(self, precision, engine):
            return self

    monkeypatch.setattr("resnet_lib.build", lambda name: Network(), raising=False)
    if runs == "bfloat16":
        assert bench_forward.ours(Path(), 50, "bfloat16", "openvino").precision == "bfloat16"
    else:
        with pytest.raises(ValueError, match="it runs float32 when asked for bfloat16"):
            bench_forward.ours(Path(), 50, "bfloat16", "openvino")


def test_a_table_of_the_race():
    rows = [
        Row("PyTorch", (8,), [0.5, 0.25, 1.0], 1.5, None),
        Row("ceiling: matrix product", (8,), [2.0, 1.0], 0.5, None),
        Row("ONNX Runtime", (8,), [], None, "ModuleNotFoundError: No module named 'onnxruntime'"),
    ]
    engine, ceiling, failed = ({k: v for k, v in row.items() if v is not None} for row in table(rows, 50, "bfloat16"))
    assert {*engine} | {"error"} == {*COLUMNS}
    assert (engine["network"], engine["batch_size"], engine["precision"]) == ("resnet_v2_50", 8, "bfloat16")
    assert (engine["median_ms"], engine["fastest_ms"], engine["slowest_ms"]) == (500, 250, 1000)
    assert engine["images_per_s"] == 16 and engine["samples_ms"] == "500.000;250.000;1000.000"
    assert engine["tflops"] == pytest.approx(2 * cost("resnet_v2_50").macs * 16 / 1e12)
    assert (ceiling["network"], ceiling["tflops"]) == ("matrix product", pytest.approx(2 * 4096**3 / 1e12))
    assert "batch_size" not in ceiling and "images_per_s" not in ceiling
    assert failed["error"].startswith("ModuleNotFoundError") and "median_ms" not in failed and "tflops" not in failed


def test_stored_engine_times_have_the_columns_and_rows_that_would_be_written_today():
    stored = pd.read_csv(data.path("engine_times.csv"))
    assert list(stored.columns) == COLUMNS
    assert set(stored.engine) == {*bench_forward.ENGINES, *bench_forward.CEILINGS}


def test_a_table_that_exists_is_kept(tmp_path):
    (tmp_path / "times.csv").write_text("an older run")
    run = forward("--csv", tmp_path / "times.csv")
    assert run.returncode == 2 and "--csv must be a file that can be made anew" in run.stderr
    assert "times.csv': File exists" in run.stderr and (tmp_path / "times.csv").read_text() == "an older run"


def test_help_names_the_batch_sizes_without_listing_them(capsys):
    text = bench_forward.parser().format_help()
    assert "{1,2" not in text and "--batch-size N [N ...]" in text and "from 1 to 64" in text
    args = bench_forward.parser().parse_args(["--batch-size", "1", "32", "--rounds", "2"])
    assert (args.batch_size, args.rounds, args.layers, args.engines) == (
        [1, 32],
        2,
        [50, 152],
        [*bench_forward.ENGINES],
    )
    for wrong, why in {"--batch-size 65": "from 1 to 64, got 65", "--rounds 0": "1 or more, got 0"}.items():
        with pytest.raises(SystemExit):
            bench_forward.parser().parse_args(wrong.split())
        assert f"argument {wrong.split()[0]}: must be {why}" in capsys.readouterr().err
    with pytest.raises(argparse.ArgumentTypeError):
        bench_forward.batch_size("0")


def test_names_of_keras_layers_are_those_of_tf_slim():
    class Layer:
        def __init__(self, name, number):
            self.name, self.weights = name, [None] * number

    norm = ["gamma", "beta", "moving_mean", "moving_variance"]
    expected = {
        ("conv1_conv", 2): ["conv1/weights", "conv1/biases"],
        ("post_bn", 4): [f"postnorm/{name}" for name in norm],
        ("predictions", 2): ["logits/weights", "logits/biases"],
        ("conv2_block1_preact_bn", 4): [f"block1/unit_1/bottleneck_v2/preact/{name}" for name in norm],
        ("conv3_block12_0_conv", 2): [
            f"block2/unit_12/bottleneck_v2/shortcut/{name}" for name in ("weights", "biases")
        ],
        ("conv5_block3_2_conv", 1): ["block4/unit_3/bottleneck_v2/conv2/weights"],
        ("conv5_block3_2_bn", 4): [f"block4/unit_3/bottleneck_v2/conv2/BatchNorm/{name}" for name in norm],
    }
    assert {layer: peers._slim_names(Layer(*layer)) for layer in expected} == expected


def test_units_of_the_training_benchmark_are_those_of_the_network():
    [*found] = bench_training.units(20)
    assert found == [(16, 16, 1)] * 3 + [(16, 32, 2)] + [(32, 32, 1)] * 2 + [(32, 64, 2)] + [(64, 64, 1)] * 2


def test_an_epoch_of_ours_and_of_keras_runs():
    for engine in (bench_training.resnet_lib_epoch, bench_training.keras_epoch):
        engine(8, 500)()
