"""The two counts, closed form and graph, are equal to the last integer: for all named networks and for random ones."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_lib import Architecture, Block, Root, cost
from resnet_lib.architectures import get_architecture
from resnet_lib.checks import height_and_width
from resnet_lib.graph_cost import graph_cost
from resnet_lib.network import network_function
from resnet_lib.tf_slim_compat import tf
from resnet_lib.units import COUNTED_KINDS, SHORTCUTS, unit_kind


def graph_of(architecture, **options):
    net = get_architecture(architecture, **options)
    with tf.Graph().as_default() as graph:
        images = [None, *height_and_width(net.image_size), net.channels_in]
        network_function(net, weight_decay=0.0)(tf.compat.v1.placeholder(tf.float32, images))
    return graph


@pytest.mark.parametrize("layout", ["paper", "v1.5", "slim"])
@pytest.mark.parametrize("name", ["resnet_v1_18", "resnet_v1_50", "resnet_v2_50", "wide_resnet_50_2"])
def test_closed_form_is_the_graphs_count_for_every_layout(name, layout):
    assert graph_cost(graph_of(name, layout=layout))[:3] == cost(name, layout=layout)


@st.composite
def networks(draw):
    """Any network of the vocabulary: all unit kinds, shortcuts and stride positions, with a root of any size or none."""
    version, shortcut = draw(st.sampled_from([1, 2])), draw(st.sampled_from(SHORTCUTS))
    kinds = [kind for kind in COUNTED_KINDS if unit_kind(kind).version == version]
    depth, blocks, reachable = 0, [], [1]
    for b in range(draw(st.integers(1, 2))):
        kind, units = draw(st.sampled_from(kinds)), []
        for _ in range(draw(st.integers(1, 3))):
            narrowest = max(depth, 4) if shortcut not in ("B", "C", "none") else 1  # an identity can only be widened
            depth = draw(st.integers(narrowest, narrowest + 8))
            groups = draw(st.integers(1, 3))
            arguments = {
                "depth": depth,
                "depth_bottleneck": groups * draw(st.integers(1, 3)),
                "stride": draw(st.sampled_from([1, 1, 2, 3])),
                "groups": groups,
                "depth_squeeze": draw(st.integers(1, 3)),
            }
            units.append({field: arguments[field] for field in unit_kind(kind).shape._fields})
            reachable.append(reachable[-1] * arguments["stride"])
        blocks.append(Block(f"block{b}", kind, units))
    pool_stride = draw(st.integers(1, 2))
    root = draw(st.sampled_from([None, Root(4, draw(st.integers(1, 7)), draw(st.integers(1, 2)), pool_stride)]))
    root_stride = root.stride * root.pool_stride if root else 1
    options = {
        "image_size": (draw(st.integers(1, 70)), draw(st.integers(1, 70))),
        "num_classes": draw(st.sampled_from([None, 1, 7])),
        "channels_in": draw(st.integers(1, 4)),
        "global_pool": draw(st.booleans()),
        "output_stride": draw(st.sampled_from([None, *(stride * root_stride for stride in reachable)])),
    }
    return Architecture("net", tuple(blocks), root, shortcut, draw(st.sampled_from(["1x1", "3x3"]))), options


@given(network=networks())
@settings(max_examples=100, deadline=None)
def test_closed_form_is_the_graphs_count_for_random_networks(network):
    """Every kind of unit with every shortcut is counted in test_units.py; here is what networks make of them."""
    architecture, options = network
    assert graph_cost(graph_of(architecture, **options))[:3] == cost(architecture, **options)


def test_counts_of_a_known_graph_by_hand():
    with tf.Graph().as_default() as graph:
        images = tf.compat.v1.placeholder(tf.float32, [None, 6, 5, 4])
        zeros = tf.zeros_initializer()
        kernels = tf.compat.v1.get_variable("kernels", [3, 3, 2, 8], initializer=zeros)  # two groups of two channels
        net = tf.nn.conv2d(images, kernels, 1, "SAME")
        filters = tf.compat.v1.get_variable("filters", [3, 3, 8, 2], initializer=zeros)
        net = tf.nn.depthwise_conv2d(net, filters, [1, 1, 1, 1], "VALID")
        matrix = tf.compat.v1.get_variable("matrix", [192, 10], initializer=zeros)
        tf.nn.relu(tf.reshape(net, [-1, 192]) @ matrix)
    counted = graph_cost(graph)
    assert [(op.type, op.macs) for op in counted.ops] == [
        ("Conv2D", 6 * 5 * 8 * 9 * 2),
        ("DepthwiseConv2dNative", 4 * 3 * 16 * 9),
        ("MatMul", 192 * 10),
    ]
    assert counted.params == 3 * 3 * 2 * 8 + 3 * 3 * 8 * 2 + 1920
    assert counted.activations == 6 * 5 * 8 + 4 * 3 * 16 + 10
    assert counted.uncounted == {"Relu": 1}


def test_a_grouped_convolution_costs_what_its_groups_do():
    with tf.Graph().as_default() as together:
        images = tf.compat.v1.placeholder(tf.float32, [None, 6, 5, 12])
        tf.nn.conv2d(images, tf.ones([3, 3, 3, 8]), 2, "SAME")  # four groups of three channels
    with tf.Graph().as_default() as apart:
        images = tf.compat.v1.placeholder(tf.float32, [None, 6, 5, 12])
        for group in tf.split(images, 4, axis=3):
            tf.nn.conv2d(group, tf.ones([3, 3, 3, 2]), 2, "SAME")
    counted = [graph_cost(graph) for graph in (together, apart)]
    assert counted[0].macs == counted[1].macs == 3 * 3 * (3 * 3 * 3) * 8
    assert counted[0].activations == counted[1].activations == 3 * 3 * 8


def test_a_known_batch_is_counted_whole():
    with tf.Graph().as_default() as graph:
        tf.ones([5, 2, 3]) @ tf.ones([5, 3, 4])
        tf.matmul(tf.ones([3, 2]), tf.ones([3, 4]), transpose_a=True)
    assert [op.macs for op in graph_cost(graph).ops] == [5 * 2 * 3 * 4, 2 * 3 * 4]


def test_functions_within_a_graph_are_counted():
    inner = tf.function(lambda x: x @ tf.ones([5, 7]))
    outer = tf.function(lambda x: inner(x) @ tf.ones([7, 2])).get_concrete_function(tf.TensorSpec([1, 5]))
    assert graph_cost(outer).macs == 35 + 14


def test_keras_resnet50v2_counts_the_same():
    keras = tf.keras.applications.ResNet50V2(weights=None)
    forward = tf.function(lambda x: keras(x, training=False)).get_concrete_function(tf.TensorSpec([None, 224, 224, 3]))
    assert graph_cost(forward)[:3] == cost("resnet_v2_50")


def test_keras_resnet50_counts_the_same_but_for_its_biases():
    """Keras' V1 strides as the paper does, and has a bias before each batch norm: one for each of its channels."""
    keras = tf.keras.applications.ResNet50(weights=None)
    forward = tf.function(lambda x: keras(x, training=False)).get_concrete_function(tf.TensorSpec([None, 224, 224, 3]))
    counted, ours = graph_cost(forward), cost("resnet_v1_50", layout="paper")
    assert counted[1:3] == ours[1:3] and counted.params - ours.params == 26_560


def test_unknown_sizes_are_refused():
    with tf.Graph().as_default() as graph:
        tf.nn.conv2d(
            tf.compat.v1.placeholder(tf.float32, [1, None, None, 3]), tf.ones([1, 1, 3, 2]), 1, "SAME", name="conv"
        )
    with pytest.raises(ValueError, match="conv writes .*: counting needs every size but the batch's"):
        graph_cost(graph)
