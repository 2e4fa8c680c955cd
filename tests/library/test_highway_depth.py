"""The runs of `experiments.highway_depth`: the bias that they say, the stack frozen that they say is."""

from dataclasses import replace

import numpy as np
import pytest

from experiments import highway_depth
from resnet_lib import build, data
from resnet_lib.highway import highway_layer, train_stack
from resnet_lib.records import Records
from resnet_lib.tf_slim_compat import tf

SMALL = data.digits(num_train=200)


@pytest.fixture
def eagerly():
    """Compiling the loop of a stack takes longer than running a short one does."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def test_the_rule_counts_the_layers_that_have_a_gate():
    """All but as many as in a network of 20 layers."""
    network = build(highway_depth.convolutional(-4.7, layers=20))
    biases = {name: value for name, value in network.values().items() if "/gate" in name and name.endswith("biases")}
    assert 20 - len(biases) == highway_depth.LAYERS - highway_depth.HIGHWAY_LAYERS
    assert all(np.allclose(value, -4.7) for value in biases.values())
    assert highway_depth.rule(highway_depth.HIGHWAY_LAYERS) == pytest.approx(-np.log(105), abs=1e-3)


def test_a_frozen_stack_keeps_its_weights_and_learns_around_them(eagerly):
    (_, first, frozen), (_, _, fresh), (_, _, trained) = (
        train_stack(layer, 5, SMALL, width=8, epochs=epochs, gate_bias=-1.0)
        for layer, epochs in [(highway_depth.frozen_layer, 3), (highway_layer, 0), (highway_layer, 3)]
    )
    assert all(np.array_equal(a, b) for a, b in zip(frozen, fresh, strict=True))
    assert not np.array_equal(frozen.kernel, trained.kernel) and first.shape == (200, 8)


def test_softmax_regression_is_that_of_keras():
    """Keras' own layer and optimizer, on the same batches."""
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model = tf.keras.Sequential([tf.keras.layers.Flatten(), tf.keras.layers.Dense(10, kernel_initializer="zeros")])
    model.compile(tf.keras.optimizers.SGD(0.05, momentum=0.9), loss)
    for epoch, record in enumerate(highway_depth.softmax_regression(SMALL, seed=3, epochs=4)):
        losses = []
        for batch in np.random.default_rng([3, epoch]).permutation(200).reshape(2, 100):
            images, labels = SMALL.train_images[batch], SMALL.train_labels[batch]
            losses.append(loss(labels, model(images)).numpy())
            model.train_on_batch(images, labels)
        assert record["train_loss"] == pytest.approx(np.mean(losses), rel=1e-4) and record["epoch"] == epoch + 1
        for part in ("train", "test"):
            images, labels = getattr(SMALL, f"{part}_images"), getattr(SMALL, f"{part}_labels")
            wrong = np.mean(model(images).numpy().argmax(axis=1) != labels)
            assert record[f"{part}_error"] == pytest.approx(wrong, abs=0.006)


def test_every_network_leaves_its_epochs(tmp_path, monkeypatch, eagerly):
    monkeypatch.setattr(highway_depth.data, "digits", lambda: SMALL)
    monkeypatch.setattr(highway_depth, "RECIPE", replace(highway_depth.RECIPE, epochs=4))
    monkeypatch.setattr(highway_depth, "convolutional", lambda bias, build=highway_depth.convolutional: build(bias, 8))
    monkeypatch.setattr(highway_depth, "STACKED", 5)
    monkeypatch.setattr(highway_depth, "EPOCHS", 4)
    open_gates = [(network, -1.0 if "stack" in network else bias) for network, bias in highway_depth.NETWORKS]
    monkeypatch.setattr(highway_depth, "NETWORKS", open_gates)
    monkeypatch.setattr(highway_depth, "SEEDS", (1,))
    path = tmp_path / "rows.csv"
    highway_depth.main(path)
    rows = Records(path, highway_depth.COLUMNS).rows()
    assert [row["network"] for row in rows[::4]] == [network for network, _ in highway_depth.NETWORKS]
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"] * 6
    # In eight steps a stack hardly differs from a frozen one; the others differ.
    assert len({row["train_loss"] for row in rows[3::4]}) >= 5
    monkeypatch.setattr(highway_depth, "measured", None)
    highway_depth.main(path)
