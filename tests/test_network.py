import numpy as np
import pytest

from resnet_lib import ARCHITECTURES, Block, build, cost
from resnet_lib import network as network_module
from resnet_lib.architectures import SLIM_NETS
from resnet_lib.graph_cost import graph_cost
from resnet_lib.tf_slim_compat import tf

BLOCKS = [Block("block1", "bottleneck_v2", [(8, 2, 1), (8, 2, 2)]), Block("block2", "bottleneck_v2", [(16, 4, 1)])]


@pytest.fixture(scope="module")
def network():
    return build(BLOCKS, image_size=32, num_classes=5)


def images(*shape):
    return np.random.default_rng(0).uniform(size=shape)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_named_network_runs_and_its_graph_costs_what_the_closed_form_says(name):
    network = build(name)
    size, classes = ARCHITECTURES[name].image_size, ARCHITECTURES[name].num_classes
    if len(name.rsplit("_", 1)[1]) == 4:  # untrained, a thousand layers overflow: each unit doubles what passes
        for variable in network.variables:
            variable.assign(variable * (0.1 if "gamma" in variable.name else 1))
    logits = network(images(1, size, size, 3))
    assert logits.shape == (1, 1, 1, classes) and np.isfinite(logits).all() and np.std(logits) > 0
    assert graph_cost(network)[:3] == network.cost() == cost(name)


# Trainable parameters and MACs. VGG's are torchvision's to the digit. tf-slim's Inception trains no gamma, and V3 has its
# auxiliary classifier here; its AlexNet is the one-tower version of 2014.
SLIM_COUNTS = {
    "alexnet_v2": (50_303_912, 736_555_776),
    "vgg_16": (138_357_544, 15_470_264_320),
    "vgg_19": (143_667_240, 19_632_062_464),
    "inception_v1": (6_617_624, 1_498_376_192),
    "inception_v3": (27_143_152, 5_718_899_296),
}


@pytest.mark.parametrize("name", SLIM_NETS)
def test_networks_of_tf_slim_are_built_counted_and_run(name):
    size = SLIM_NETS[name][-1]
    network = build(name)
    assert network.cost()[:2] == SLIM_COUNTS[name] and network.input_shape == (None, size, size, 3)
    logits = network(images(1, size, size, 3))
    assert logits.shape == (1, 1, 1, 1000) and np.isfinite(logits).all() and np.std(logits) > 0
    assert any(key.startswith(("conv1", "Conv2d_1a")) for key in network.end_points(images(1, size, size, 3)))
    with pytest.raises(ValueError, match=f"{name!r} is tf-slim's and no list of Blocks"):
        network.trace()


def test_options_of_blocks_do_not_fit_networks_of_tf_slim():
    with pytest.raises(ValueError, match="layout: 'vgg_16' is tf-slim's and no list of Blocks; got 'paper'"):
        build("vgg_16", layout="paper")
    with pytest.raises(ValueError, match="output_stride: 'inception_v3' is tf-slim's"):
        build("inception_v3", output_stride=16)


def test_layout_and_shortcut_reach_the_network():
    network = build("resnet_v1_18", 64, 5, shortcut="C", layout="slim")
    assert network.architecture.shortcut == "C" and network.architecture.layout == "slim"
    assert network.cost() == cost("resnet_v1_18", 64, 5, shortcut="C", layout="slim")
    assert sum("shortcut/weights" in variable.name for variable in network.variables) == 8


def test_a_network_is_called_on_arrays_and_tensors_alike(network):
    x = images(2, 32, 32, 3)
    logits = network(x)
    assert logits.shape == (2, 1, 1, 5)
    assert np.array_equal(logits, network(tf.constant(x, tf.float32)))
    assert np.array_equal(network((255 * x).astype(np.uint8)), network((255 * x).astype(np.uint8).astype(np.float64)))
    assert not np.allclose(logits[0], logits[1])


def test_end_points_carry_names_without_the_scope(network):
    end_points = network.end_points(images(1, 32, 32, 3))
    assert end_points["block1"].shape == (1, 4, 4, 8)
    np.testing.assert_allclose(end_points["logits"], network(images(1, 32, 32, 3)), rtol=1e-6)
    np.testing.assert_allclose(np.sum(end_points["predictions"]), 1, rtol=1e-6)


def test_variables_are_tf_slims_in_order_of_creation(network):
    names = [variable.name for variable in network.variables]
    assert names[:2] == ["resnet_v2/conv1/weights:0", "resnet_v2/conv1/biases:0"]
    assert "resnet_v2/block1/unit_1/bottleneck_v2/conv1/BatchNorm/moving_mean:0" in names
    assert {v.name for v in network.trainable_variables} == {name for name in names if "moving" not in name}
    assert sum(np.prod(v.shape) for v in network.trainable_variables) == network.cost().params


def test_the_seed_makes_the_weights(network):
    same, other = build(BLOCKS, 48, 5, seed=0), build(BLOCKS, 32, 5, seed=1)
    assert all(np.array_equal(a, b) for a, b in zip(network.variables, same.variables, strict=True))
    assert not np.array_equal(network.variables[0], other.variables[0])


def test_building_twice_gives_two_networks(network):
    again = build(BLOCKS, 32, 5)
    again.variables[0].assign(0 * again.variables[0])
    assert not np.array_equal(network(images(1, 32, 32, 3)), again(images(1, 32, 32, 3)))


def test_changed_weights_change_the_output():
    network, x = build(BLOCKS, 32, 5), images(1, 32, 32, 3)
    network.variables[-1].assign([1.0, 2, 3, 4, 5])
    before = network(x)
    network.variables[-1].assign([2.0, 3, 4, 5, 6])
    np.testing.assert_allclose(network(x) - before, np.ones([1, 1, 1, 5]), rtol=1e-5)


def test_any_image_size_and_features():
    network = build(BLOCKS, image_size=None, num_classes=None, global_pool=False, channels_in=1)
    assert network.input_shape == (None, None, None, 1)
    assert network(images(1, 33, 20, 1)).shape == (1, 5, 3, 16)


def test_a_network_runs_inside_a_tf_function(network):
    x = tf.constant(images(2, 32, 32, 3), tf.float32)
    np.testing.assert_allclose(tf.function(network)(x), network(x), rtol=1e-5)


def test_a_large_batch_in_slices_gives_the_outputs_of_the_whole(network, monkeypatch):
    x = tf.constant(images(7, 32, 32, 3), tf.float32)
    whole, sizes, run = network(x), [], network._forward
    monkeypatch.setattr(network_module, "_SLICE_BYTES", 2 * 32 * 32 * 3 * 4)
    monkeypatch.setattr(network, "_forward", lambda part: sizes.append(part.shape[0]) or run(part))
    np.testing.assert_allclose(network(x), whole, rtol=1e-5)
    assert sizes == [2, 2, 2, 1]
    assert network(x[:2]).shape[0] == 2 and sizes[4:] == [2]


def test_a_callable_unit_works_as_well_as_its_name(network):
    from resnet_lib.resnet_v2 import bottleneck

    same = build([block._replace(unit_fn=bottleneck) for block in BLOCKS], 32, 5)
    assert np.array_equal(same(images(1, 32, 32, 3)), network(images(1, 32, 32, 3)))


def test_bad_images_are_named(network):
    with pytest.raises(ValueError, match=r"images must have the shape \[any, 32, 32, 3\], got \[32, 32, 3\]"):
        network(images(32, 32, 3))
    with pytest.raises(ValueError, match=r"got \[1, 32, 32, 4\]"):
        network(images(1, 32, 32, 4))
    with pytest.raises(ValueError, match=r"got \[1, 32, 31, 3\]"):
        network.end_points(images(1, 32, 31, 3))
    with pytest.raises(ValueError, match="images must hold real numbers, got an array of <U"):
        network(np.full([1, 32, 32, 3], "pixel"))
    bad = images(3, 32, 32, 3)
    bad[1, 4, 5, 0] = np.nan
    bad[2, 4, 5, 0] = np.inf
    with pytest.raises(ValueError, match="images holds NaN or infinity, in image 1, 2 of the batch"):
        network(bad)


def test_bad_descriptions_are_named():
    with pytest.raises(ValueError, match="nearest is 'resnet_v2_50'"):
        build("resnet_v2_05")
    with pytest.raises(ValueError, match="image_size must be a positive whole number, got -1"):
        build(BLOCKS, image_size=-1)
    with pytest.raises(ValueError, match="num_classes must be a positive whole number, got 0"):
        build(BLOCKS, num_classes=0)
    with pytest.raises(ValueError, match="cannot be reached"):
        build(BLOCKS, output_stride=16)
    with pytest.raises(ValueError, match="at least one Block"):
        build([])
    with pytest.raises(ValueError, match="unit_fn must be one of"):
        build([Block("block1", "bottleneck_v7", [(8, 2, 1)])])
