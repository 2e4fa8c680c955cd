"""The nearest mean classifies as every distance, measured, says, and every layer of a fresh network gets its row."""

import numpy as np
import pytest

from experiments import separation
from resnet_lib.records import Records


def test_the_nearest_mean_is_found_by_measuring_every_distance():
    generator = np.random.default_rng(3)
    labels = np.arange(60) % 3
    features = generator.normal(size=(60, 2, 3)) + labels[:, None, None]
    means = [features[:30][labels[:30] == c].mean(axis=0) for c in range(3)]
    nearest = [min(range(3), key=lambda c, f=f: np.linalg.norm(f - means[c])) for f in features[30:]]
    expected = np.mean(np.array(nearest) == labels[30:])
    assert separation.nearest_mean_accuracy(features, labels, 30) == expected
    assert 0.5 < expected < 1


def test_classes_that_are_far_apart_are_all_right_and_noise_is_guessing():
    labels = np.arange(2000) % 10
    noise = np.random.default_rng(0).normal(size=(2000, 5))
    assert separation.nearest_mean_accuracy(noise + 100 * labels[:, None], labels, 1000) == 1
    assert separation.nearest_mean_accuracy(noise, labels, 1000) == pytest.approx(0.1, abs=0.04)


def test_every_class_must_be_known():
    with pytest.raises(ValueError, match="known must hold an image of every class, got 2 images without .*2"):
        separation.nearest_mean_accuracy(np.zeros((6, 1)), np.array([0, 1, 2, 0, 1, 2]), 2)


@pytest.mark.parametrize("family", separation.FAMILY_NAMES)
def test_every_layer_has_a_row(family):
    rows = separation.measured(family, 8, 1)
    assert [row["layer"] for row in rows] == [*range(1, 9)]
    assert all({*row} == {*separation.COLUMNS} and 0 < row["contrast"] <= 1 for row in rows)
    assert rows[0]["accuracy"] > 0.7
    other = separation.measured(family, 8, 2)
    assert [row["contrast"] for row in rows] != [row["contrast"] for row in other]


def test_only_what_the_file_lacks_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(separation, "LAYERS", (8,))
    monkeypatch.setattr(separation, "SEEDS", (1, 2))
    path, done = tmp_path / "separation.csv", []

    def measured(family, layers, seed):
        done.append((family, seed))
        if done[-1] == ("residual", 2):
            raise KeyboardInterrupt
        return [{"family": family, "layers": layers, "seed": seed, "layer": 1}]

    monkeypatch.setattr(separation, "measured", measured)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            separation.main(path)
    assert done == [("plain", 1), ("residual", 1), ("plain", 2), ("residual", 2), ("residual", 2)]
    assert [row["family"] for row in Records(path, separation.COLUMNS).rows()] == ["plain", "residual", "plain"]
