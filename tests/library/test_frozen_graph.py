"""A frozen graph gives what the function gave that it was made of, and holds no batch norm that could be folded."""

from collections import Counter
from functools import cache

import numpy as np
import pytest
from slim_networks import images, randomize, variables

from resnet_lib import ARCHITECTURES, build
from resnet_lib import frozen_graph as passes
from resnet_lib.frozen_graph import frozen_graph
from resnet_lib.resnet_utils import resnet_arg_scope
from resnet_lib.tf_slim_compat import slim, tf

TOLERANCE = {"float32": 1e-5, "bfloat16": 0.05}  # of the largest logit


def run(frozen, x):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.graph_util.import_graph_def(frozen.constant(), name="")
        return session.run(f"{frozen.output}:0", {f"{frozen.images}:0": x})


def error(got, expected):
    return np.abs(got - expected).max() / np.abs(expected).max()


def ops(frozen):
    return Counter(node.op for node in frozen.graph_def.node)


def wrapped(layers):
    """A function images -> net as a concrete function with one output."""
    function = tf.compat.v1.wrap_function(layers, [tf.TensorSpec([None, 8, 8, 4])])
    randomize(variables(function))
    return function.prune(function.inputs[0], function.outputs[0])


@cache
def built(name):
    network = build(name, 64)
    randomize({variable.name.split(":")[0]: variable for variable in network.variables})
    return network


@pytest.fixture(scope="module", params=["resnet_v1_18", "resnet_v2_50"])  # one of each version, one of each unit
def network(request):
    return built(request.param)


@pytest.mark.parametrize("precision", TOLERANCE)
def test_real_networks_keep_their_outputs(network, precision):
    x = images(2, 64, 64, 3)
    expected = network(x).numpy()
    frozen = frozen_graph(network.function, precision)
    function, weights = frozen.function(network.input_shape)
    assert weights is frozen.weights
    for got in (function(tf.constant(x)).numpy(), run(frozen, x)):
        assert got.dtype == np.float32 and got.shape == expected.shape
        assert error(got, expected) <= TOLERANCE[precision]
        assert (error(got, expected) > 1e-5) == (precision == "bfloat16")


@pytest.mark.parametrize(("name", "left"), [("resnet_v1_18", 0), ("resnet_v2_50", 17)])
def test_batch_norms_are_folded_wherever_a_convolution_feeds_them_alone(name, left):
    """All of V1; in V2 each unit keeps its first one, and the network the one before the classifier."""
    found = ops(frozen_graph(built(name).function))
    assert found["FusedBatchNormV3"] == left and "ReadVariableOp" not in found
    if left:
        assert left == sum(ARCHITECTURES[name].units) + 1
    assert found["BiasAdd"] == found["Conv2D"]


def test_a_frozen_graph_says_what_it_takes(network):
    frozen = frozen_graph(network.function)
    placeholders = [node for node in frozen.graph_def.node if node.op == "Placeholder"]
    assert {node.name for node in placeholders} == {frozen.images, *frozen.weights}


def test_a_frozen_graph_is_a_value(network):
    """No pass changes the graph that it was given, and asking for its other forms does not either."""

    def contents(frozen):
        values = {name: id(value) for name, value in frozen.weights.items()}
        return frozen.graph_def.SerializeToString(deterministic=True), values

    read = passes._read(network.function)
    as_read = contents(read)
    folded = passes._folded(read)
    assert contents(read) == as_read != contents(folded)
    as_folded = contents(folded)
    passes._narrowed(folded, tf.bfloat16)
    folded.constant()
    folded.function(network.input_shape)
    assert contents(folded) == as_folded


def test_weights_are_kept_only_where_a_node_reads_them(network):
    """A folded batch norm leaves one array: its bias."""
    frozen = frozen_graph(network.function)
    read = {name for node in frozen.graph_def.node for name in node.input}
    found = ops(frozen)
    assert set(frozen.weights) <= read
    assert len(frozen.weights) == found["Conv2D"] + found["BiasAdd"] + 4 * found["FusedBatchNormV3"]


def test_bfloat16_is_everywhere_but_at_the_ends_and_in_the_statistics(network):
    frozen = frozen_graph(network.function, "bfloat16")
    nodes = {node.name: node for node in frozen.graph_def.node}
    typed = [node for node in nodes.values() if "T" in node.attr and node.op not in ("Pad", "Squeeze", "Mean")]
    assert typed and {node.attr["T"].type for node in typed} == {tf.bfloat16.as_datatype_enum}
    norms = [node for node in nodes.values() if node.op == "FusedBatchNormV3"]
    statistics = {name for node in norms for name in node.input[1:]}
    wide = {name for name, value in frozen.weights.items() if value.dtype == tf.float32}
    assert wide == statistics
    assert all(nodes[name].attr["dtype"].type == value.dtype.as_datatype_enum for name, value in frozen.weights.items())
    casts = [(node.attr["SrcT"].type, node.attr["DstT"].type) for node in nodes.values() if node.op == "Cast"]
    wide_to_narrow = (tf.float32.as_datatype_enum, tf.bfloat16.as_datatype_enum)
    assert casts == [wide_to_narrow, wide_to_narrow[::-1]]


def test_another_precision_is_a_type_of_tensorflow_or_an_error(network):
    frozen = frozen_graph(network.function, "float16")
    assert {value.dtype for value in frozen.weights.values()} >= {tf.float16}
    with pytest.raises(TypeError, match="abacus"):
        frozen_graph(network.function, "abacus")


def test_a_convolution_that_feeds_something_else_as_well_is_left_alone():
    """Scaling its weights would scale what the other reader sees."""

    def layers(x):
        with slim.arg_scope(resnet_arg_scope(is_training=False)):
            y = slim.conv2d(x, 4, [3, 3], normalizer_fn=None, activation_fn=None, biases_initializer=None, scope="conv")
            return y + slim.batch_norm(y, activation_fn=None, scope="norm")

    function = wrapped(layers)
    frozen = frozen_graph(function)
    assert ops(frozen)["FusedBatchNormV3"] == 1
    x = images(2, 8, 8, 4)
    np.testing.assert_allclose(run(frozen, x), function(tf.constant(x)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shared", ["weights", "shift", "nothing"])
def test_weights_or_a_shift_that_two_layers_share_are_left_alone(shared):
    """Folding the first batch norm would change what the second layer reads."""
    kernels = images(1, 1, 4, 4, seed=0), images(1, 1, 4, 4, seed=1)
    values = [0.5, 2.0, 1.0, 3.0], [0.1] * 4, [1.0] * 4, [2.0] * 4

    def layers(x):
        weights, shift = tf.constant(kernels[0]), tf.constant(values[1])
        for kernel in kernels:
            scale, own_shift, mean, variance = map(tf.constant, values)
            x = tf.nn.conv2d(x, weights if shared == "weights" else tf.constant(kernel), 1, "SAME")
            offset = shift if shared == "shift" else own_shift
            x = tf.compat.v1.nn.fused_batch_norm(x, scale, offset, mean, variance, is_training=False)[0]
        return x

    function, x = wrapped(layers), images(2, 8, 8, 4)
    frozen = frozen_graph(function)
    assert ops(frozen)["FusedBatchNormV3"] == (0 if shared == "nothing" else 2)
    np.testing.assert_allclose(run(frozen, x), function(tf.constant(x)), rtol=1e-4, atol=1e-5)


def test_a_batch_norm_that_takes_its_mean_from_the_batch_is_left_alone():
    def layers(x):
        x = tf.nn.conv2d(x, tf.constant(images(1, 1, 4, 4)), 1, "SAME")
        return tf.compat.v1.nn.fused_batch_norm(x, [1.0] * 4, [0.0] * 4, is_training=True)[0]

    function, x = wrapped(layers), images(2, 8, 8, 4)
    frozen = frozen_graph(function)
    assert ops(frozen)["FusedBatchNormV3"] == 1
    np.testing.assert_allclose(run(frozen, x), function(tf.constant(x)), rtol=1e-4, atol=1e-5)


def test_a_batch_norm_after_something_else_is_left_alone():
    """A ReLU between them bends what the batch norm scales."""

    def layers(x):
        with slim.arg_scope(resnet_arg_scope(is_training=False)):
            y = slim.conv2d(x, 4, [3, 3], normalizer_fn=None, biases_initializer=None, scope="conv")
            return slim.batch_norm(tf.nn.relu(y), activation_fn=None, scope="norm")

    function, x = wrapped(layers), images(2, 8, 8, 4)
    frozen = frozen_graph(function)
    assert ops(frozen)["FusedBatchNormV3"] == 1
    np.testing.assert_allclose(run(frozen, x), function(tf.constant(x)), rtol=1e-4, atol=1e-5)


def test_a_grouped_convolution_is_folded_as_well():
    """Its filters see fewer channels, but the last axis is still that of the channels out. By XLA, for on CPUs TensorFlow
    itself fuses a convolution with what comes after it, and then refuses groups (tensorflow/tensorflow#53631)."""
    kernel = images(3, 3, 2, 8)

    def layers(x):
        x = tf.nn.conv2d(x, tf.constant(kernel), 1, "SAME")
        return slim.batch_norm(x, is_training=False, scale=True, scope="norm")

    function, x = wrapped(layers), tf.constant(images(2, 8, 8, 4))
    frozen = frozen_graph(function)
    assert ops(frozen)["FusedBatchNormV3"] == 0
    expected, got = (tf.function(f, jit_compile=True)(x) for f in (function, frozen.function([None, 8, 8, 4])[0]))
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
