"""The benchmark of unread pixels: engines agree with Keras before they are timed, and rows say what ran."""

import pytest

from experiments import bench_unread
from experiments.turns import Row


@pytest.mark.parametrize("engine", [(bench_unread.KERAS, "all"), ("onnxruntime", "read")], ids=", ".join)
def test_engines_give_keras_logits(engine, folder):
    """The two ways in which a network comes to its engine; before it times one, the benchmark looks at every engine so."""
    forward = bench_unread.prepare(bench_unread.engines()[engine], folder, 64, "float32")
    assert forward(2).reshape(2, -1).shape == (2, 1000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("unread")
    bench_unread.make_reference(made, 64, 2)
    return made


def test_rows_say_what_ran():
    rows = [Row("tf, read", (8,), [0.5, 0.25, 1.0], 1.5, None), Row("openvino, all", (8,), [], None, "ImportError: no")]
    ran, failed = bench_unread.table(rows)
    assert {*ran} == {*bench_unread.COLUMNS}
    assert (ran["engine"], ran["pixels"], ran["batch_size"], ran["median_ms"]) == ("tf", "read", 8, 500)
    assert ran["images_per_s"] == 16 and ran["samples_ms"] == "500.000;250.000;1000.000"
    assert failed["error"] == "ImportError: no" and "median_ms" not in failed
