"""The rows of `experiments.training_memory`: what was predicted, what was found, and that nothing is measured twice."""

import pytest

from experiments import training_memory
from resnet_lib import data
from resnet_lib import training_cost as cost
from resnet_lib.records import Records

ROWS = Records(data.path("training_memory.csv"), training_memory.COLUMNS, training_memory.KEY).rows()


def test_what_is_stored_is_whole_and_is_not_measured_again(tmp_path, monkeypatch):
    path = tmp_path / "training_memory.csv"
    path.write_bytes(data.path("training_memory.csv").read_bytes())
    monkeypatch.setattr(training_memory, "race", None)
    training_memory.main(path)
    assert path.read_bytes() == data.path("training_memory.csv").read_bytes()
    keys = [(row["network"], int(row["batch_size"])) for row in ROWS]
    assert keys == [(name, size) for name in training_memory.NETWORKS for size in training_memory.BATCH_SIZES]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['network']}-{row['batch_size']}")
def test_the_stored_prediction_is_the_librarys(row):
    predicted = cost.training_memory(row["network"], int(row["batch_size"]))
    assert float(row["predicted_mb"]) == pytest.approx(predicted.total / 1e6, rel=1e-5)
    assert float(row["activations_mb"]) == pytest.approx(predicted.activations / 1e6, rel=1e-5)
    assert float(row["peak_mb"]) > float(row["predicted_mb"])


@pytest.mark.parametrize("name", training_memory.NETWORKS)
def test_the_peak_grows_as_was_predicted(name):
    first, *_, last = (row for row in ROWS if row["network"] == name)
    grown = {column: float(last[column]) - float(first[column]) for column in ("peak_mb", "activations_mb")}
    assert 1.0 <= grown["peak_mb"] / grown["activations_mb"] <= 1.3


def test_a_row_is_a_real_step(tmp_path, monkeypatch):
    monkeypatch.setattr(training_memory, "BATCH_SIZES", (1, 2))
    monkeypatch.setattr(training_memory, "NETWORKS", ("plain_cifar_20",))
    monkeypatch.setattr(training_memory, "race", here)
    path = tmp_path / "rows.csv"
    training_memory.main(path)
    rows = Records(path, training_memory.COLUMNS, training_memory.KEY).rows()
    assert [(row["network"], row["batch_size"]) for row in rows] == [("plain_cifar_20", "1"), ("plain_cifar_20", "2")]
    assert all(float(row["peak_mb"]) == pytest.approx(2**30 / 1e6, rel=1e-4) for row in rows)


def here(engines, rounds, cases):
    """In this process and for small images: takes the step, and says a peak of 1 GiB."""
    from experiments.turns import Row

    [(name, prepare)] = engines.items()
    step = prepare(image_size=32)
    for case in cases:
        step(*case)
        yield Row(name, case, [1.0], 1.0, None)
