"""ResNet V2 against two independent implementations, tf-slim's own and Keras'."""

import pickle

import numpy as np
import pytest
import tf_slim.nets.resnet_v2 as theirs
from slim_networks import assert_equal_outputs, images, randomize, short_blocks, variables, wrapped

from resnet_lib import ARCHITECTURES, Architecture, Block, Unit, orderings, resnet_v1, resnet_v2, trace
from resnet_lib.resnet_utils import resnet_arg_scope
from resnet_lib.tf_slim_compat import slim, tf

TINY = [
    Block("block1", resnet_v2.bottleneck, [(8, 2, 1), (8, 2, 2)]),
    Block("block2", resnet_v2.bottleneck, [(16, 4, 1)]),
]


def test_same_weights_give_exactly_the_outputs_of_tf_slim():
    """Without an output stride they do with all 50 layers, in chapters/test_resnet_v2_piece_by_piece.py."""
    options = {"num_classes": 11, "is_training": False, "output_stride": 8}
    modules = (resnet_v2, theirs)
    ours, slims = (wrapped(module.resnet_v2, blocks=short_blocks(module, 2), **options) for module in modules)
    assert_equal_outputs(ours, slims, 65)


@pytest.mark.parametrize("layers", [50, 101, 152, 200])
def test_named_networks_have_the_blocks_of_tf_slims(layers, monkeypatch):
    name = f"resnet_v2_{layers}"
    assert getattr(resnet_v2, name).__name__ == name
    monkeypatch.setattr(theirs, "resnet_v2", lambda inputs, blocks, *args, **options: blocks)
    slims = [(block.scope, [Unit(**unit) for unit in block.args]) for block in getattr(theirs, name)(None)]
    assert [(block.scope, list(block.args)) for block in ARCHITECTURES[name].blocks] == slims


def test_a_block_is_tf_slims():
    mine, slims = (
        module.resnet_v2_block("block1", base_depth=64, num_units=3, stride=2) for module in (resnet_v2, theirs)
    )
    assert (mine.scope, mine.args) == (slims.scope, slims.args)


def keras_name(variable_name):
    """resnet_v2/block1/unit_2/bottleneck_v2/conv1/BatchNorm/gamma -> (conv2_block2_1_bn, gamma)."""
    *path, leaf = variable_name.split("/")[1:]
    leaf = {"weights": "kernel", "biases": "bias"}.get(leaf, leaf)
    if path[0] == "postnorm":
        return "post_bn", leaf
    block, unit, layer = int(path[0][5:]), path[1][5:], path[3]
    layers = {"preact": "preact_bn", "shortcut": "0_conv", "conv1": "1_conv", "conv2": "2_conv", "conv3": "3_conv"}
    keras_layer = layers[layer].replace("conv", "bn") if path[-1] == "BatchNorm" else layers[layer]
    return f"conv{block + 1}_block{unit}_{keras_layer}", leaf


@pytest.mark.parametrize("layers", [50])  # the others have more of the same units, see above
def test_features_agree_with_keras(layers):
    """From pool1 to post-norm. The roots differ: Keras pads pool1 with zeros, tf-slim with nothing (SAME), so pool1 is fed."""
    keras = getattr(tf.keras.applications, f"ResNet{layers}V2")(
        weights=None, include_top=False, input_shape=(64, 64, 3)
    )
    keras = tf.keras.Model(keras.get_layer("pool1_pool").output, keras.output)
    blocks = ARCHITECTURES[f"resnet_v2_{layers}"].blocks
    options = {"blocks": blocks, "global_pool": False, "include_root_block": False, "channels_in": 64}
    ours = wrapped(resnet_v2.resnet_v2, {"batch_norm_epsilon": 1.001e-5}, **options)
    randomize(variables(ours))
    for name, variable in variables(ours).items():
        layer, weight = keras_name(name)
        getattr(keras.get_layer(layer), weight).assign(variable)
    assert keras.count_params() == sum(np.prod(v.shape) for v in variables(ours).values())
    pool1 = images(2, 16, 16, 64)
    net, _ = ours(pool1)
    expected = keras(pool1, training=False).numpy()
    assert np.abs(net - expected).max() / np.abs(expected).max() < 1e-5


def test_end_points_of_a_small_network():
    with tf.Graph().as_default(), slim.arg_scope(resnet_arg_scope(is_training=False)):
        _, end_points = resnet_v2.resnet_v2(tf.zeros([1, 32, 32, 3]), TINY, num_classes=5, scope="net")
    unit = "block1/unit_1/bottleneck_v2"
    assert list(end_points) == [
        f"net/{name}"
        for name in (
            "conv1",
            f"{unit}/shortcut",
            f"{unit}/conv1",
            f"{unit}/conv2",
            f"{unit}/conv3",
            unit,
            *(f"block1/unit_2/bottleneck_v2{end}" for end in ("/conv1", "/conv2", "/conv3", "")),
            "block1",
            *(f"block2/unit_1/bottleneck_v2{end}" for end in ("/shortcut", "/conv1", "/conv2", "/conv3", "")),
            "block2",
            "logits",
        )
    ] + ["predictions"]
    shapes = {name: tensor.shape.as_list() for name, tensor in end_points.items()}
    assert shapes["net/block1"] == [1, 4, 4, 8] and shapes["net/block2"] == [1, 4, 4, 16]
    assert shapes["net/logits"] == shapes["predictions"] == [1, 1, 1, 5]


def test_reuse_shares_variables():
    with tf.Graph().as_default():
        x = tf.zeros([1, 32, 32, 3])
        with slim.arg_scope(resnet_arg_scope()):
            resnet_v2.resnet_v2(x, TINY, scope="net")
            before = len(tf.compat.v1.global_variables())
            resnet_v2.resnet_v2(x, TINY, scope="net", reuse=True)
            assert len(tf.compat.v1.global_variables()) == before
            with pytest.raises(ValueError, match="already exists"):
                resnet_v2.resnet_v2(x, TINY, scope="net")


def test_unknown_batch_height_and_width():
    function = wrapped(resnet_v2.resnet_v2, blocks=TINY, global_pool=False)
    assert function.structured_outputs[0].shape.as_list() == [None, None, None, 16]
    assert function(images(2, 33, 47, 3))[0].shape == (2, 5, 6, 16)


def test_features_without_classifier_pool_or_root():
    with tf.Graph().as_default(), slim.arg_scope(resnet_arg_scope()):
        x = tf.zeros([1, 32, 32, 3])
        net, end_points = resnet_v2.resnet_v2(x, TINY, scope="a")
        assert net.shape.as_list() == [1, 1, 1, 16] and "predictions" not in end_points
        net, end_points = resnet_v2.resnet_v2(x, TINY, include_root_block=False, global_pool=False, scope="b")
        assert net.shape.as_list() == [1, 16, 16, 16] and "b/conv1" not in end_points


def test_bad_inputs_are_named():
    with tf.Graph().as_default():
        with pytest.raises(ValueError, match=r"inputs must be \[batch, height, width, channels\].*got \(32, 32, 3\)"):
            resnet_v2.resnet_v2(tf.zeros([32, 32, 3]), TINY)
        with pytest.raises(ValueError, match="with the channels known"):
            resnet_v2.resnet_v2(tf.compat.v1.placeholder(tf.float32, [1, 8, 8, None]), TINY)
        with pytest.raises(ValueError, match=r"output_stride must be one of \[4, .*, got 6"):
            resnet_v2.resnet_v2(tf.zeros([1, 32, 32, 3]), TINY, output_stride=6)
        with pytest.raises(ValueError, match="The target output_stride cannot be reached"):
            resnet_v2.resnet_v2(tf.zeros([1, 32, 32, 3]), TINY, output_stride=64)


def test_arrays_are_images_too():
    x = np.random.default_rng(0).integers(0, 9, [2, 16, 16, 3])
    with tf.Graph().as_default(), slim.arg_scope(resnet_v2.resnet_arg_scope(is_training=False)):
        for images in (x, x.astype(np.uint8), x.astype(np.float64).tolist(), tf.Variable(x, dtype=tf.float32)):
            net, end_points = resnet_v2.resnet_v2(images, TINY, 3, scope="net", reuse=tf.compat.v1.AUTO_REUSE)
            assert net.dtype == tf.float32 and net.shape == (2, 1, 1, 3)
        assert len(tf.compat.v1.global_variables("net/")) == len(
            {v.name for v in tf.compat.v1.global_variables("net/")}
        )


@pytest.mark.parametrize("value", [0.0005, np.float32(0.1), 1, 0, "yes", None])
def test_a_call_meant_for_tf_slims_arg_scope_is_refused(value):
    with pytest.raises(
        TypeError, match=r"is_training must be True or False, got .*resnet_arg_scope\(weight_decay=...\)"
    ):
        resnet_v2.resnet_arg_scope(value)


def test_is_training_may_be_a_tensor():
    for value in (True, np.bool_(False), tf.constant(True)):
        assert resnet_v2.resnet_arg_scope(value)


def test_named_networks_and_units_can_be_pickled():
    for function in (
        resnet_v1.resnet_v1_50,
        resnet_v2.resnet_v2_18,
        resnet_v2.bottleneck,
        *orderings.UNIT_FNS.values(),
    ):
        assert pickle.loads(pickle.dumps(function)) is function
    with pytest.raises(AttributeError, match="has no attribute 'basic_v9'"):
        getattr(orderings, "basic_v9")  # noqa: B009


def test_names_of_layers_are_those_of_the_closed_form():
    """Every convolution and batch norm that the closed form lists has its variables under that very name."""
    function = wrapped(resnet_v2.resnet_v2, blocks=TINY, num_classes=5)
    in_graph = {name.removeprefix("resnet_v2/").rsplit("/", 1)[0] for name in variables(function)}
    listed = {layer.name for layer in trace(Architecture("net", tuple(TINY)), 32, 5) if layer.params}
    assert in_graph == listed
