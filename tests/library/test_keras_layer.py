"""A Network as a layer of Keras: what `fit` trains is trained in the network itself, and one that would not train says so."""

import numpy as np
import pytest
from slim_networks import images

from resnet_lib import Architecture, Block, Root, build
from resnet_lib.keras_layer import keras_layer
from resnet_lib.tf_slim_compat import tf

keras = tf.keras
X, LABELS = images(6, 8, 8, 3), np.arange(6) % 3


def network():
    return build(
        Architecture("net/of_mine", (Block("b", "bottleneck_v2", [(8, 2, 1), (8, 2, 2)]),), Root(4, 3, 1, 1)), 8, None
    )


def model(layer):
    made = keras.Sequential([layer, keras.layers.Flatten(), keras.layers.Dense(3)])
    made.compile(keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return made


def test_fit_trains_the_network_itself():
    """One step, the same as by hand."""
    net = network()
    layer = keras_layer(net)
    whole = model(layer)
    assert np.array_equal(layer(X), net(X)) and whole(X).shape == (6, 3)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(LABELS, whole(X)))
    gradients = tape.gradient(loss, net.trainable_variables)
    expected = [v - 0.1 * g for v, g in zip(net.trainable_variables, gradients, strict=True)]
    statistics = [v.numpy() for v in net.non_trainable_variables]
    whole.fit(X, LABELS, batch_size=6, verbose=0)
    for variable, value, gradient in zip(net.trainable_variables, expected, gradients, strict=True):
        np.testing.assert_allclose(variable, value, rtol=1e-4, atol=1e-6)
        assert np.abs(gradient).max() > 0
    assert all(np.array_equal(v, old) for v, old in zip(net.non_trainable_variables, statistics, strict=True))
    assert np.array_equal(layer(X), net(X))


def test_a_layer_that_is_not_trainable_stays():
    net = network()
    before = [variable.numpy() for variable in net.variables]
    whole = model(keras_layer(net, trainable=False))
    whole.fit(X, LABELS, verbose=0)
    assert all(np.array_equal(v, old) for v, old in zip(net.variables, before, strict=True))
    assert len(whole.trainable_variables) == 2


def test_keras_counts_and_saves_its_weights(tmp_path):
    net = network()
    inputs = keras.Input([8, 8, 3])
    whole = keras.Model(inputs, keras_layer(net, name="backbone")(inputs))
    assert whole.output_shape == (None, 1, 1, 8)
    assert whole.count_params() == sum(np.prod(variable.shape) for variable in net.variables)
    whole.save_weights(tmp_path / "all.weights.h5")
    logits = net(X).numpy()
    for variable in net.variables:
        variable.assign(variable * 2)
    assert not np.array_equal(net(X), logits)
    whole.load_weights(tmp_path / "all.weights.h5")
    assert np.array_equal(net(X), logits)


def test_a_network_that_keras_would_not_train_says_so():
    net = network()

    class Holds(keras.Model):
        def __init__(self, use):
            super().__init__()
            self.use = use

        def call(self, x):
            return self.use(x)

    for use in (net, lambda x: net.end_points(x)["b"]):
        with pytest.raises(RuntimeError, match=r"the Keras layer 'holds.*' calls a Network.*keras_layer\(network\)"):
            Holds(use)(X)
    with pytest.raises(ValueError, match="images must be an array or a tensor of real numbers, got a KerasTensor"):
        net(keras.Input([8, 8, 3]))
    fixed = keras.Sequential([keras.layers.Lambda(net.freeze())])
    np.testing.assert_allclose(fixed(X), net(X), rtol=1e-4, atol=1e-6)
    assert net(X).shape == (6, 1, 1, 8)  # outside of Keras it may be called again


def test_a_module_and_a_checkpoint_of_tensorflow_hold_a_network(tmp_path):
    net = network()
    module = tf.Module()
    module.held = [net]
    assert {id(v) for v in module.variables} == {id(v) for v in net.variables}
    assert {id(v) for v in module.trainable_variables} == {id(v) for v in net.trainable_variables}
    checkpoint, logits = tf.train.Checkpoint(net=net), net(X).numpy()
    path = checkpoint.save(tmp_path / "checkpoint")
    for variable in net.variables:
        variable.assign(variable * 2)
    checkpoint.restore(path).assert_consumed()
    assert np.array_equal(net(X), logits)


def test_keras_on_something_else_is_refused(monkeypatch):
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(ImportError, match="needs Keras on TensorFlow, it runs on 'jax'"):
        keras_layer(network())
