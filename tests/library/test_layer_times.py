"""The shapes that are timed are those of the network, and a row's counts are the library's."""

import numpy as np
import pytest

from experiments import layer_times
from experiments.layer_times import Shape
from resnet_lib import cost, trace
from resnet_lib.records import Records
from resnet_lib.timing import Timing
from resnet_lib.traffic import kernels

NAMES = ["resnet_v2_152", "resnet_v1_34", "resnext_50_32x4d"]


@pytest.mark.parametrize("name", NAMES)
def test_shapes_and_their_numbers_add_up_to_the_network(name):
    counts = layer_times.shapes(trace(name))
    rows = [layer_times.row_of(shape, count, 3, [1.0, 3.0, 2.0]) for shape, count in counts.items()]
    assert sum(row["flops"] * row["count"] for row in rows) == 2 * 3 * cost(name).macs
    convolutions = [kernel for kernel in kernels(name) if kernel.kind == "conv"]
    biases = sum(layer.params for layer in trace(name) if layer.kind == "conv") - sum(
        row["kernel"] ** 2 * row["channels_in"] // row["groups"] * row["channels_out"] * row["count"] for row in rows
    )
    moved = sum(3 * kernel.moved + kernel.weights for kernel in convolutions)
    assert sum(row["bytes"] * row["count"] for row in rows) == 4 * (moved - biases)
    assert {(row["median_ms"], row["fastest_ms"], row["samples_ms"]) for row in rows} == {
        (2.0, 1.0, "1.000;3.000;2.000")
    }


@pytest.mark.parametrize(
    "shape", [Shape(3, 2, 1, 1, 9, 4, 5, 6), Shape(1, 2, 1, 1, 8, 4, 4, 2), Shape(3, 1, 1, 2, 5, 4, 5, 4)]
)
def test_a_call_convolves_to_the_size_of_the_shape(shape):
    assert np.isfinite(layer_times.convolution(shape, 2)())


def test_a_run_is_a_row_for_each_shape_and_one_for_the_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(layer_times, "ROUNDS", 2)
    monkeypatch.setattr(
        layer_times, "time_forward", lambda *_, **__: Timing("net", median_ms=7.0, samples_ms=(7.0, 6.0))
    )
    path = tmp_path / "layer_times.csv"
    layer_times.main(path, "resnet_v1_cifar_20", 2)
    *rows, whole = Records(path, layer_times.COLUMNS).rows()
    assert len(rows) == len(layer_times.shapes(trace("resnet_v1_cifar_20")))
    assert all(row["samples_ms"].count(";") == 1 and float(row["fastest_ms"]) > 0 for row in rows)
    assert (whole["median_ms"], whole["fastest_ms"], whole["kernel"]) == ("7", "6", "")
    assert len({row["peak_tflops"] for row in (*rows, whole)}) == 1
