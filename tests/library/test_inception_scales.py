"""What enters the classifier is measured, and a dead network has nothing but zeros there; every network gets its row."""

import numpy as np
import pytest

from experiments import inception_scales
from resnet_lib import build, data
from resnet_lib.records import Records
from resnet_lib.tf_slim_compat import tf
from resnet_lib.training import Recipe, train

DIGITS = data.digits()
SMALL = DIGITS._replace(
    train_images=DIGITS.train_images[:256],
    train_labels=DIGITS.train_labels[:256],
    test_images=DIGITS.test_images[:50],
    test_labels=DIGITS.test_labels[:50],
)


@pytest.fixture(autouse=True)
def two_modules(monkeypatch):
    monkeypatch.setattr(inception_scales, "MODULES", 2)


def test_the_scale_multiplies_the_residual():
    """With a scale of 0 a module changes nothing: what enters the classifier is what the first convolution puts out."""
    net = build(inception_scales.architecture(16, 0.0), seed=0)
    points = net.end_points(SMALL.test_images)
    assert np.array_equal(points["conv1"], points["block1"])
    scaled = build(inception_scales.architecture(16, 0.3), seed=0).end_points(SMALL.test_images)
    assert points["block1"].shape[1:] == (4, 4, 16) and not np.allclose(scaled["conv1"], scaled["block1"], atol=0.01)


def test_what_enters_the_classifier_is_the_mean_of_the_last_module():
    """Of a network that lives, and of the same one killed by its last bias."""
    found = []

    def observe(step, graph):
        found.append((inception_scales.pooled(graph, SMALL.test_images), graph.weights()))
        (bias,) = [name for name in graph.names if name.endswith("unit_2/module/residual/Conv2d_1x1/biases")]
        graph.load({bias: np.full(16, -1e6, np.float32)})
        found.append((inception_scales.pooled(graph, SMALL.test_images), graph.weights()))

    net = inception_scales.architecture(16, 1.0)
    train(net, SMALL, Recipe(epochs=1), 0, threads=1, observe=observe)
    built = build(net)
    for killed, (features, weights) in enumerate(found[:2]):
        built.assign(weights)
        maps = built.end_points(SMALL.test_images)["block1"]
        assert np.allclose(features, tf.reduce_mean(maps, [1, 2]), rtol=1e-3, atol=1e-4)
        assert (features == 0).all() == killed


def test_every_network_gets_its_row_and_what_is_there_is_not_run_again(tmp_path, monkeypatch):
    monkeypatch.setattr(inception_scales.data, "digits", lambda: SMALL)
    monkeypatch.setattr(inception_scales, "WIDTHS", (8,))
    monkeypatch.setattr(inception_scales, "SCALES", (0.1,))
    monkeypatch.setattr(inception_scales, "SEEDS", {0.05: (1,), 1e30: (1,)})
    monkeypatch.setattr(inception_scales, "EPOCHS", 2)
    path = tmp_path / "rows.csv"
    inception_scales.main(path)
    good, bad = Records(path, inception_scales.COLUMNS).rows()
    assert 0 <= float(good["dead"]) <= float(good["zeros"]) < 1 and good["train_errors"].count(";") == 1
    assert bad["error"].startswith("diverged") and not bad["zeros"]
    monkeypatch.setattr(inception_scales, "run", None)
    inception_scales.main(path)
