"""Units that share their weights. The orderings of BN and ReLU are tested with all other units in test_units.py."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slim_networks import images, randomize

from resnet_lib import Architecture, Block, Root, build, cost
from resnet_lib.graph_cost import graph_cost
from resnet_lib.orderings import recurrent_unit
from resnet_lib.sweep import FAMILIES
from resnet_lib.tf_slim_compat import tf


def recurrent(depth, steps, size, seed=0):
    """A network of one block of `steps` units on weights of their own making: (Network, name -> value)."""
    block = Block("block1", recurrent_unit, ((depth, 1),) * steps)
    net = Architecture("net", (block,), Root(depth, 3, 1, 1), "A", image_size=size, num_classes=5)
    network = build(net, size, num_classes=None, global_pool=False, channels_in=2)
    randomize({variable.name.split(":")[0]: variable for variable in network.variables}, seed)
    return network, {variable.name.removeprefix("net/").split(":")[0]: variable for variable in network.variables}


@given(depth=st.integers(1, 5), steps=st.integers(1, 6), size=st.integers(2, 7), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_a_block_of_recurrent_units_is_a_scan_with_one_set_of_weights(depth, steps, size, seed):
    """h <- h + W2 * relu(norm(W1 * relu(norm(h)))): one W1 and W2 for all steps; the norms are what a step reads in."""
    network, values = recurrent(depth, steps, size, seed)
    end_points = network.end_points(images(2, size, size, 2))
    w1, w2 = (values[f"block1/shared/basic_v2/conv{i}/weights"] for i in (1, 2))
    names = [
        f"{n}/{v}" for n in ("preact", "conv1/BatchNorm") for v in ("gamma", "beta", "moving_mean", "moving_variance")
    ]
    norms = [tf.stack([values[f"block1/unit_{i + 1}/basic_v2/{name}"] for i in range(steps)]) for name in names]

    def norm_relu(x, gamma, beta, mean, variance):
        return tf.nn.relu(gamma * (x - mean) * tf.math.rsqrt(variance + 1e-5) + beta)

    def step(h, read):
        inner = norm_relu(tf.nn.conv2d(norm_relu(h, *read[:4]), w1, 1, "SAME"), *read[4:])
        return h + tf.nn.conv2d(inner, w2, 1, "SAME") + values["block1/shared/basic_v2/conv2/biases"]

    states = tf.scan(step, norms, initializer=end_points["conv1"])
    for i in range(steps):
        unit = end_points[f"block1/unit_{i + 1}/basic_v2"]
        np.testing.assert_allclose(states[i], unit, rtol=1e-3, atol=1e-4 * np.abs(unit).max())


@pytest.mark.parametrize("layers", [20, 32])
def test_shared_weights_do_not_grow_with_depth(layers):
    """Beyond the root, the classifier and the two units that change the shape, one unit a block has weights; each has norms."""
    counts = {name: graph_cost(build(FAMILIES[name](layers), 32)) for name in ("recurrent", "v2")}
    n = (layers - 2) // 6
    weights = {depth: 2 * 9 * depth * depth + depth for depth in (16, 32, 64)}  # two 3x3, and a bias on the second
    shared = (n - 1) * weights[16] + (n - 2) * (weights[32] + weights[64])
    assert counts["v2"].params - counts["recurrent"].params == shared
    assert counts["v2"].params == cost(FAMILIES["v2"](layers)).params
    assert counts["recurrent"].macs == counts["v2"].macs


def test_a_recurrent_network_trains_and_its_weights_are_one():
    network, values = recurrent(3, 3, 6)
    assert len([name for name in values if name.endswith("conv1/weights")]) == 2  # the root's, and one for the block
    assert len([name for name in values if name.endswith("preact/gamma")]) == 3
    w1 = values["block1/shared/basic_v2/conv1/weights"]
    x = images(1, 6, 6, 2)
    before = network.end_points(x)
    w1.assign(2 * w1)
    after = network.end_points(x)
    changed = [name for name in before if not np.allclose(before[name], after[name], rtol=1e-6)]
    assert {f"block1/unit_{i}/basic_v2/conv1" for i in (1, 2, 3)} <= set(changed) and "conv1" not in changed


def test_a_unit_that_changes_the_shape_by_its_stride_alone_has_weights_of_its_own():
    block = Block("block1", recurrent_unit, ((3, 1), (3, 2), (3, 1)))
    network = build(Architecture("net", (block,), Root(3, 3, 1, 1), "A"), 8, num_classes=None)
    owners = {
        v.name.split("/")[2] for v in network.variables if v.name.endswith("conv1/weights:0") and "block1" in v.name
    }
    assert owners == {"shared", "unit_2"}
