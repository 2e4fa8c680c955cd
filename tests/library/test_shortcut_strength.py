"""The weighted units are the library's own where those have the same strength; scaling F too is the same network."""

import numpy as np
import pytest

from experiments import shortcut_strength
from resnet_lib import build, data
from resnet_lib.network import network_function
from resnet_lib.records import Records
from resnet_lib.sweep import FAMILIES
from resnet_lib.tf_slim_compat import tf
from resnet_lib.training import Recipe

IMAGES = data.digits().test_images[:16]


@pytest.mark.parametrize("kind", ["exclusive_gating", "shortcut_only_gating"])
def test_a_gate_at_minus_six_is_that_of_the_sweeps(kind):
    ours = build(shortcut_strength.architecture(kind, -6.0, 14), seed=3)
    theirs = build(FAMILIES[kind](14), 8, num_classes=10, channels_in=1, seed=4)
    assert [v.shape for v in ours.values().values()] == [v.shape for v in theirs.values().values()]
    theirs.assign(dict(zip(theirs.values(), ours.values().values(), strict=True)))
    np.testing.assert_allclose(ours(IMAGES), theirs(IMAGES), rtol=1e-5, atol=1e-5)
    other = build(shortcut_strength.architecture(kind, -3.0, 14), seed=3)
    assert not np.allclose(ours(IMAGES), other(IMAGES), atol=1e-3)


def test_scaling_by_one_is_v1():
    ours = build(shortcut_strength.architecture("scaling", 1.0, 14), seed=3)
    theirs = build(FAMILIES["residual"](14), 8, num_classes=10, channels_in=1, seed=4)
    theirs.assign(dict(zip(theirs.values(), ours.values().values(), strict=True)))
    assert np.array_equal(ours(IMAGES), theirs(IMAGES))


def training_logits(architecture, values):
    """With the statistics of the batch. values: of the variables, in their order."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        logits, _ = network_function(architecture)(tf.constant(IMAGES), is_training=True)
        variables = tf.compat.v1.global_variables()
        session.run([v.assign(value) for v, value in zip(variables, values, strict=True)])
        return session.run(logits)


def test_scaling_f_as_well_is_the_same_network_with_other_first_and_last_layers():
    """0.5 x + F of a doubled x is twice 0.5 x + 0.5 F: prediction 1, up to the epsilon of batch norm."""
    whole, half = shortcut_strength.architecture("scaling", 0.5, 14), FAMILIES["scaling"](14)
    network = build(half, 8, num_classes=10, channels_in=1, seed=3)
    scaled = {
        name: value
        * (0.5 if "logits/weights" in name else 2 if "/conv1/BatchNorm/gamma" in name and "unit" not in name else 1)
        for name, value in network.values().items()
    }
    assert sum(not np.array_equal(scaled[n], v) for n, v in network.values().items()) == 2
    expected = training_logits(network.architecture, network.values().values())
    np.testing.assert_allclose(training_logits(whole, scaled.values()), expected, rtol=1e-3, atol=1e-3)
    assert not np.allclose(training_logits(whole, network.values().values()), expected, rtol=0.1)


def test_a_row_holds_the_trained_network(monkeypatch):
    monkeypatch.setattr(shortcut_strength, "RECIPE", Recipe(epochs=2, learning_rate=0.05, warm_up=1))
    monkeypatch.setattr(shortcut_strength, "architecture", lambda *key: FAMILIES["residual"](8))
    (row,) = shortcut_strength.measured("scaling", 0.5, 1)
    assert {*row} == {*shortcut_strength.COLUMNS} and row["error"] is None
    assert row["train_error"] < 0.9 and row["train_errors"].count(";") == 1


def test_only_what_the_file_lacks_is_run(tmp_path, monkeypatch):
    monkeypatch.setattr(shortcut_strength, "NETWORKS", shortcut_strength.NETWORKS[:2])
    monkeypatch.setattr(shortcut_strength, "SEEDS", (1, 2))
    path, done = tmp_path / "shortcut_strength.csv", []

    def measured(*key):
        done.append(key)
        if key == ("exclusive_gating", 0.0, 2):
            raise KeyboardInterrupt
        return [dict(zip(shortcut_strength.KEY, key, strict=True))]

    monkeypatch.setattr(shortcut_strength, "measured", measured)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            shortcut_strength.main(path)
    assert len(done) == 5 and done[-1] == done[-2]
    assert len(Records(path, shortcut_strength.COLUMNS, shortcut_strength.KEY).rows()) == 3
