"""The rows of `experiments.highway_gradient`: the growth of a gradient against one computed from the weights alone."""

from dataclasses import replace

import pytest

from experiments import highway_gradient
from experiments.highway_depth import convolutional
from experiments.probe import watch
from resnet_lib import data
from resnet_lib.records import Records
from resnet_lib.tf_slim_compat import tf
from resnet_lib.training import train

SMALL = data.digits(num_train=300)
RECIPE = replace(highway_gradient.RECIPE, epochs=2)


def growth(weights, epsilon):
    """Of 8 layers whose gates are shut, so that three convolutions and the classifier are left."""

    def layer(inputs, scope, stride):
        kernel = weights[f"highway_cifar_8/{scope}/weights"]
        net = tf.nn.conv2d(inputs, kernel, stride, [[0, 0], [1, 1], [1, 1], [0, 0]])
        mean, variance = tf.nn.moments(net, [0, 1, 2])
        return tf.nn.relu((net - mean) / tf.sqrt(variance + epsilon))

    with tf.GradientTape() as tape:
        first = layer(SMALL.train_images[:256], "conv1", 1)
        tape.watch(first)
        last = layer(layer(first, "block2/unit_1/highway/conv1", 2), "block3/unit_1/highway/conv1", 2)
        [classifier] = [value for name, value in weights.items() if name.endswith("logits/weights")]
        logits = tf.reduce_mean(last, [1, 2]) @ classifier[0, 0]
        labels = SMALL.train_labels[:256]
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
    at_first, at_last = tape.gradient(loss, [first, last])
    return float(tf.norm(at_first) / tf.norm(at_last))


def test_a_row_holds_the_growth_of_the_fresh_gradient_and_the_error_of_the_trained_network(tmp_path, monkeypatch):
    shut = ("digits", 8, -40.0)
    monkeypatch.setattr(highway_gradient.data, "digits", lambda: SMALL)
    monkeypatch.setattr(highway_gradient, "RECIPE", RECIPE)
    monkeypatch.setattr(highway_gradient, "TRAINED", shut)
    monkeypatch.setattr(highway_gradient, "NETWORKS", {shut: 1, ("digits", 8, -1.0): 1})
    path = tmp_path / "rows.csv"
    highway_gradient.main(path)
    trained, not_trained = Records(path, highway_gradient.COLUMNS).rows()
    net = convolutional(-40.0, 8)
    [(_, fresh)] = watch(net, SMALL, RECIPE, 0, [0])
    assert float(trained["gradient_growth"]) == pytest.approx(growth(fresh, net.batch_norm_epsilon), rel=1e-3)
    error = train(net, SMALL, RECIPE, 0, threads=1).epochs[-1].train_error
    assert float(trained["train_error"]) == pytest.approx(error, abs=0.02) and not_trained["train_error"] == ""
    assert not_trained["gradient_growth"] != trained["gradient_growth"] and 0 < float(trained["contrast"]) < 1.1
    monkeypatch.setattr(highway_gradient, "measured", None)
    highway_gradient.main(path)
