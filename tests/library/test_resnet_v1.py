"""ResNet V1 against tf-slim's own and Keras'."""

import numpy as np
import pytest
import tf_slim.nets.resnet_v1 as theirs
from slim_networks import assert_equal_outputs, images, randomize, short_blocks, variables, wrapped

from resnet_lib import ARCHITECTURES, Block, Unit, resnet_v1, trace
from resnet_lib.resnet_utils import resnet_arg_scope
from resnet_lib.tf_slim_compat import quick_building, slim, tf

TINY = [Block("block1", "basic_v1", [(8, 1), (8, 2)]), Block("block2", "bottleneck_v1", [(16, 4, 1)])]


def test_same_weights_give_exactly_the_outputs_of_tf_slim():
    ours, slims = (wrapped(module.resnet_v1_50, num_classes=11, is_training=False) for module in (resnet_v1, theirs))
    assert_equal_outputs(ours, slims, 65)


def test_so_they_do_with_an_output_stride():
    options = {"num_classes": 11, "is_training": False, "output_stride": 8}
    modules = (resnet_v1, theirs)
    ours, slims = (wrapped(module.resnet_v1, blocks=short_blocks(module, 1), **options) for module in modules)
    assert_equal_outputs(ours, slims, 65)


@pytest.mark.parametrize("layers", [50, 101, 152, 200])
def test_named_networks_have_the_blocks_of_tf_slims(layers, monkeypatch):
    name = f"resnet_v1_{layers}"
    assert getattr(resnet_v1, name).__name__ == name
    monkeypatch.setattr(theirs, "resnet_v1", lambda inputs, blocks, *args, **options: blocks)
    slims = [(block.scope, [Unit(**unit) for unit in block.args]) for block in getattr(theirs, name)(None)]
    assert [(block.scope, list(block.args)) for block in ARCHITECTURES[name].blocks] == slims


def test_a_block_is_tf_slims():
    mine, slims = (
        module.resnet_v1_block("block1", base_depth=64, num_units=3, stride=2) for module in (resnet_v1, theirs)
    )
    assert (mine.scope, mine.args) == (slims.scope, slims.args)


def keras_name(variable_name):
    """resnet_v1/block1/unit_2/bottleneck_v1/conv1/BatchNorm/gamma -> (conv2_block2_1_bn, gamma)."""
    path, leaf = variable_name.split("/")[1:-1], variable_name.split("/")[-1]
    kind = "bn" if path[-1] == "BatchNorm" else "conv"
    number = {"shortcut": 0, "conv1": 1, "conv2": 2, "conv3": 3}[path[3]]
    layer = f"conv{int(path[0][5:]) + 1}_block{path[1][5:]}_{number}_{kind}"
    return layer, "kernel" if leaf == "weights" else leaf


@pytest.mark.parametrize("layers", [50])  # the others have more of the same units, see above
def test_features_agree_with_keras(layers):
    """From pool1 to the last sum, in the paper's layout, which is Keras'. Its convolutions have a bias before each batch
    norm; ours do not, so each bias is moved into the moving mean. pool1 is fed: the roots pad differently (see V2)."""
    keras = getattr(tf.keras.applications, f"ResNet{layers}")(weights=None, include_top=False, input_shape=(64, 64, 3))
    keras = tf.keras.Model(keras.get_layer("pool1_pool").output, keras.output)
    net = ARCHITECTURES[f"resnet_v1_{layers}"].variant(layout="paper")
    options = {"blocks": net.blocks, "stride_in": net.stride_in, "channels_in": 64}
    ours = wrapped(
        resnet_v1.resnet_v1, {"batch_norm_epsilon": 1.001e-5}, **options, global_pool=False, include_root_block=False
    )
    by_name = variables(ours)
    randomize(by_name)
    random, biases = np.random.default_rng(5), 0
    for name, variable in by_name.items():
        layer, weight = keras_name(name)
        getattr(keras.get_layer(layer), weight).assign(variable)
        if weight == "moving_mean":
            bias = random.uniform(-0.3, 0.3, variable.shape).astype(np.float32)
            keras.get_layer(layer.replace("bn", "conv")).bias.assign(bias)
            variable.assign(variable - bias)
            biases += bias.size
    assert keras.count_params() == sum(np.prod(v.shape) for v in by_name.values()) + biases
    pool1 = images(2, 16, 16, 64)
    features, _ = ours(pool1)
    expected = keras(pool1, training=False).numpy()
    assert expected.max() > 0 and np.abs(features - expected).max() / np.abs(expected).max() < 1e-5


def test_end_points_of_a_small_network():
    with tf.Graph().as_default(), slim.arg_scope(resnet_arg_scope(is_training=False)):
        _, end_points = resnet_v1.resnet_v1(tf.zeros([1, 32, 32, 3]), TINY, num_classes=5, scope="net")
    basic, bottleneck = "block1/unit_1/basic_v1", "block2/unit_1/bottleneck_v1"
    assert list(end_points) == [
        f"net/{name}"
        for name in (
            "conv1",
            f"{basic}/shortcut",
            f"{basic}/conv1",
            f"{basic}/conv2",
            basic,
            *(f"block1/unit_2/basic_v1{end}" for end in ("/conv1", "/conv2", "")),
            "block1",
            *(f"{bottleneck}{end}" for end in ("/shortcut", "/conv1", "/conv2", "/conv3", "")),
            "block2",
            "logits",
        )
    ] + ["predictions"]


def test_named_functions_of_basic_units_are_called_like_tf_slims():
    with tf.Graph().as_default(), quick_building(), slim.arg_scope(resnet_arg_scope(is_training=False)):
        net, end_points = resnet_v1.resnet_v1_18(tf.zeros([1, 64, 64, 3]), 7)
        assert net.shape.as_list() == end_points["predictions"].shape.as_list() == [1, 1, 1, 7]
        assert end_points["resnet_v1_18/block4"].shape.as_list() == [1, 2, 2, 512]
        total = sum(np.prod(v.shape) for v in tf.compat.v1.trainable_variables())
    assert total == sum(layer.params for layer in trace("resnet_v1_18", 64, 7))
    for function in (resnet_v1.resnet_v1_18, resnet_v1.resnet_v1_34):
        assert "layers, units" in function.__doc__ and function.default_image_size == 224
