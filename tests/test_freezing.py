from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from slim_networks import images, randomize, variables

from resnet_lib import ARCHITECTURES, Architecture, Block, Root, build, freezing
from resnet_lib.architectures import ENGINES, PRECISIONS
from resnet_lib.freezing import frozen_graph
from resnet_lib.orderings import recurrent_unit
from resnet_lib.resnet_utils import resnet_arg_scope
from resnet_lib.tf_slim_compat import slim, tf
from resnet_lib.timing import time_forward

BLOCKS = {
    "V1": (Block("block1", "bottleneck_v1", [(16, 4, 1), (16, 4, 2)]), Block("block2", "basic_v1", [(24, 1)])),
    "V2": (Block("block1", "bottleneck_v2", [(16, 4, 1), (16, 4, 2)]), Block("block2", "basic_v2", [(24, 1)])),
    "recurrent": (Block("block1", recurrent_unit, [(8, 1)] * 3),),
}
TOLERANCE = {"float32": 1e-5, "bfloat16": 0.05}  # of the largest logit


@pytest.fixture(scope="module", params=BLOCKS)
def network(request):
    network = build(Architecture("net", BLOCKS[request.param], Root(8, 3, 1, 2)), image_size=32, num_classes=7)
    randomize({variable.name.split(":")[0]: variable for variable in network.variables})
    return network


def run(frozen, x):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.graph_util.import_graph_def(frozen.constant(), name="")
        return session.run(f"{frozen.output}:0", {f"{frozen.images}:0": x})


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("engine", ENGINES)
def test_a_frozen_network_gives_what_the_network_gives(network, engine, precision):
    frozen = network.freeze(precision, engine)
    for batch_size in (1, 3):
        x = images(batch_size, 32, 32, 3)
        expected, got = network(x).numpy(), frozen(x)
        assert got.dtype == tf.float32 and got.shape == expected.shape
        error = np.abs(got - expected).max() / np.abs(expected).max()
        assert error <= TOLERANCE[precision] and (error > 1e-5) == (precision == "bfloat16")


@pytest.mark.parametrize("name", ["resnet_v1_50", "resnet_v2_50"])
def test_real_networks_keep_their_outputs(name):
    network = build(name, 64)
    randomize({variable.name.split(":")[0]: variable for variable in network.variables})
    x, expected = images(2, 64, 64, 3), None
    expected = network(x).numpy()
    for precision in PRECISIONS:
        error = np.abs(network.freeze(precision)(x) - expected).max() / np.abs(expected).max()
        assert error <= TOLERANCE[precision]


@pytest.mark.parametrize(
    ("name", "left"), [("resnet_v1_18", 0), ("resnet_v1_50", 0), ("resnet_v2_18", 9), ("resnet_v2_50", 17)]
)
def test_batch_norms_are_folded_wherever_a_convolution_feeds_them_alone(name, left):
    """All of V1; in V2 each unit keeps its first one, and the network the one before the classifier."""
    ops = Counter(node.op for node in frozen_graph(build(name, 32)._forward).graph_def.node)
    assert ops["FusedBatchNormV3"] == left and "ReadVariableOp" not in ops
    if left:
        assert left == sum(ARCHITECTURES[name].units) + 1
    assert ops["BiasAdd"] == ops["Conv2D"]


def test_a_frozen_network_is_the_network_as_it_was(network):
    x, frozen = images(2, 32, 32, 3), network.freeze()
    before = frozen(x).numpy()
    weights = network.trainable_variables[0]
    weights.assign(weights * 2)
    assert np.array_equal(frozen(x), before) and np.abs(network(x) - before).max() > 1e-3
    weights.assign(weights / 2)


def test_large_batches_go_through_in_slices(network, monkeypatch):
    frozen, x = network.freeze(), images(5, 32, 32, 3)
    whole = frozen(x).numpy()
    monkeypatch.setattr(freezing, "_SLICE_BYTES", 2 * 32 * 32 * 3 * 4)
    np.testing.assert_allclose(frozen(x), whole, rtol=1e-4, atol=1e-5)


def test_images_of_any_size_stay_possible():
    network = build(Architecture("net", BLOCKS["V2"], Root(8, 3, 1, 2)), image_size=None, num_classes=7)
    for engine in ("tf", "session", "openvino"):
        frozen = network.freeze(engine=engine)
        for side in (16, 33):
            x = images(1, side, side, 3)
            np.testing.assert_allclose(frozen(x), network(x), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("engine", ENGINES)
def test_bad_input_is_named(network, engine):
    frozen = network.freeze(engine=engine)
    with pytest.raises(ValueError, match=r"images must have the shape \[any, 32, 32, 3\], got \[1, 16, 16, 3\]"):
        frozen(images(1, 16, 16, 3))
    with pytest.raises(ValueError, match="images holds NaN or infinity, in image 1 of the batch"):
        frozen(np.stack([np.zeros([32, 32, 3]), np.full([32, 32, 3], np.nan)]))


def test_unknown_and_missing_engines_are_named(network, monkeypatch):
    with pytest.raises(ValueError, match=r"engine must be one of \['tf', 'xla', 'openvino', 'session'\], got 'onnx'"):
        network.freeze(engine="onnx")
    with pytest.raises(ValueError, match=r"precision must be one of \['float32', 'bfloat16'\], got 'float16'"):
        network.freeze("float16")
    monkeypatch.setattr(freezing, "find_spec", lambda name: None)
    with pytest.raises(
        ImportError, match=r"engine: 'openvino' needs the package of that name: pip install 'resnet-lib\[openvino\]'"
    ):
        network.freeze(engine="openvino")


def test_a_frozen_network_is_timed_like_a_network(network):
    frozen = network.freeze("bfloat16", "session")
    timing = time_forward(frozen, batch_size=2, num_batches=3)
    assert (timing.network, timing.engine, timing.precision, timing.error) == ("net", "session", "bfloat16", None)
    assert len(timing.samples_ms) == 3 and frozen.cost() == network.cost()
    assert repr(frozen) == "<Frozen net, bfloat16, session>"
    assert replace(timing, engine="tf").engine == "tf"


def test_a_convolution_that_feeds_something_else_as_well_is_left_alone():
    """Scaling its weights would scale what the other reader sees."""

    def network(x):
        with slim.arg_scope(resnet_arg_scope(is_training=False)):
            y = slim.conv2d(x, 4, [3, 3], normalizer_fn=None, activation_fn=None, biases_initializer=None, scope="conv")
            return y + slim.batch_norm(y, activation_fn=None, scope="norm")

    function = tf.compat.v1.wrap_function(network, [tf.TensorSpec([None, 8, 8, 4])])
    randomize(variables(function))
    frozen = frozen_graph(function)
    assert Counter(node.op for node in frozen.graph_def.node)["FusedBatchNormV3"] == 1
    x = images(2, 8, 8, 4)
    expected = function(x).numpy()
    np.testing.assert_allclose(run(frozen, x), expected, rtol=1e-4, atol=1e-5)


def test_weights_or_a_shift_that_two_layers_share_are_left_alone():
    """Folding the first batch norm would change what the second layer reads."""
    kernels = images(1, 1, 4, 4, seed=0), images(1, 1, 4, 4, seed=1)

    def network(shared_weights):
        def layers(x):
            first, second = map(tf.constant, kernels)
            scale, shift, mean, variance = map(tf.constant, ([0.5, 2.0, 1.0, 3.0], [0.1] * 4, [1.0] * 4, [2.0] * 4))
            for weights in (first, first if shared_weights else second):
                x = tf.nn.conv2d(x, weights, 1, "SAME")
                x = tf.compat.v1.nn.fused_batch_norm(x, scale, shift, mean, variance, is_training=False)[0]
            return x

        return tf.compat.v1.wrap_function(layers, [tf.TensorSpec([None, 4, 4, 4])])

    x = images(2, 4, 4, 4)
    for function in (network(True), network(False)):
        expected = function(x).numpy()
        frozen = frozen_graph(function.prune(function.inputs[0], function.outputs[0]))
        np.testing.assert_allclose(run(frozen, x), expected, rtol=1e-4, atol=1e-5)
