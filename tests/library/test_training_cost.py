"""The cost of a step of training against TensorFlow's own gradients: what they compute, and what they read."""

from math import prod

import pytest

from resnet_lib import Block, cost
from resnet_lib.architectures import Architecture, get_architecture
from resnet_lib.blocks import CIFAR_ROOT, IMAGENET_ROOT
from resnet_lib.checks import height_and_width
from resnet_lib.graph_cost import graph_cost
from resnet_lib.network import network_function
from resnet_lib.tf_slim_compat import tf
from resnet_lib.training_cost import kept_activations, largest_batch, training_macs, training_memory

ROOTS = {"ImageNet": IMAGENET_ROOT, "CIFAR": CIFAR_ROOT}


def small(unit, root, shortcut, stride_in, narrow, wide):
    """A network of three units, the last of which changes the shape."""
    blocks = (Block("block1", unit, (narrow, narrow)), Block("block2", unit, (wide,)))
    return Architecture(f"{unit}_{root}", blocks, ROOTS[root], shortcut, stride_in, image_size=33, num_classes=5)


# Besides a large one: each version, kind of unit, root and shortcut.
NETWORKS = [
    "resnet_v2_50",
    small("bottleneck_v2", "CIFAR", "B", "1x1", (16, 4, 1), (32, 8, 2)),
    small("bottleneck_v1", "ImageNet", "B", "3x3", (64, 16, 1), (128, 32, 2)),
    small("bottleneck_v1", "ImageNet", "C", "1x1", (64, 16, 1), (64, 16, 2)),
    small("basic_v2", "ImageNet", "A", "3x3", (64, 1), (128, 2)),
    small("basic_v1", "CIFAR", "A", "3x3", (16, 1), (32, 2)),
    small("basic_v1", "CIFAR", "none", "3x3", (16, 1), (32, 2)),
    small("bottleneck_v2", "ImageNet", "none", "3x3", (64, 16, 1), (128, 32, 2)),
    small("basic_v2_first", "CIFAR", "A", "3x3", (16, 1), (32, 2)),
    small("grouped_bottleneck_v1", "ImageNet", "B", "3x3", (64, 16, 1, 4), (128, 32, 2, 4)),
]


def backward_graph(name, **changes):
    """The graph of a network in training mode with the gradients for its variables, and the operations of the way back."""
    net = get_architecture(name, **changes)
    height, width = height_and_width(net.image_size)
    with tf.Graph().as_default() as graph:
        images = tf.compat.v1.placeholder(tf.float32, [1, height, width, net.channels_in])
        logits, _ = network_function(net)(images, is_training=True)
        tf.gradients(logits, tf.compat.v1.trainable_variables())
    return graph, [op for op in graph.get_operations() if op.name.startswith("gradients/")]


def read_again(backward):
    """How many numbers of the forward pass the gradients read: of images and features, not of weights or for their shape."""
    tensors = {t.name: t for op in backward if op.type != "ShapeN" for t in op.inputs}
    features = [
        t
        for t in tensors.values()
        if t.shape.rank == 4 and t.op.type != "ReadVariableOp" and not t.name.startswith("gradients/")
    ]
    return sum(prod(t.shape) for t in features)


@pytest.mark.parametrize("name", NETWORKS, ids=lambda net: getattr(net, "name", net))
def test_what_is_kept_is_what_the_gradients_read(name):
    _, backward = backward_graph(name)
    assert kept_activations(name) == read_again(backward)


@pytest.mark.parametrize("name", ["resnet_v2_50", "resnet_v1_cifar_20"])
def test_a_step_is_three_forward_passes_less_the_gradient_for_the_images(name):
    """`tf.gradients` writes the gradient for the images down too; nothing reads it, so it does not run."""
    graph, backward = backward_graph(name)
    unread = {op.name for op in backward} - {t.op.name for op in graph.get_operations() for t in op.inputs}
    counted = graph_cost(graph)
    for_images = [op.macs for op in counted.ops if op.name in unread and op.type == "Conv2DBackpropInput"]
    assert counted.macs - sum(for_images) == training_macs(name) and len(for_images) == 1


def test_memory_grows_with_the_batch_and_weights_do_not():
    one, many = (training_memory("resnet_v2_50", batch_size) for batch_size in (1, 32))
    assert many.weights == many.gradients == many.momentum == 4 * cost("resnet_v2_50").params == one.weights
    assert many.activations == 32 * one.activations == 32 * 4 * kept_activations("resnet_v2_50")
    assert many.total == 3 * many.weights + many.activations
    half = training_memory("resnet_v2_50", 32, bytes_per_number=2)
    assert half.total * 2 == many.total


@pytest.mark.parametrize("memory", [24 * 10**9, 8 * 2**30, 10**6])
def test_the_largest_batch_fits_and_one_more_does_not(memory):
    batch = largest_batch("resnet_v1_152", memory)
    assert batch == 0 or training_memory("resnet_v1_152", batch).total <= memory
    assert training_memory("resnet_v1_152", batch + 1).total > memory
    assert (batch == 0) == (memory == 10**6)


@pytest.mark.parametrize(
    "kind, shortcut, changes, message",
    [
        ("basic_bn_after_addition", "A", {}, "for units of V1 and V2 alone, got kind 'basic_bn_after_addition'"),
        ("basic_relu_only_preactivation", "A", {}, "for units of V1 and V2 alone"),
        ("basic_v1", "exclusive_gating", {}, "shortcut must be one of .*, got 'exclusive_gating'"),
        ("basic_v1", "dropout", {}, "shortcut must be one of"),
        ("basic_v2", "A", {"output_stride": 1}, "output_stride: .*, got 1"),
    ],
)
def test_what_has_no_closed_form_is_refused(kind, shortcut, changes, message):
    """What it would say of them is wrong: the gradients read other tensors."""
    net = small(kind, "CIFAR", shortcut, "3x3", (16, 1), (32, 2))
    with pytest.raises(ValueError, match=message):
        kept_activations(net, **changes)
    with pytest.raises(ValueError, match="kind 'se_bottleneck_v1'"):
        training_memory("se_resnet_50")


def test_changes_and_wrong_arguments():
    blocks = [Block("b", "basic_v2", [(8, 1), (16, 2)])]
    assert kept_activations(blocks, image_size=64) > 3 * kept_activations(blocks, image_size=32)
    for arguments in ({"batch_size": 0}, {"bytes_per_number": 0}):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            training_memory(blocks, **arguments)
    with pytest.raises(ValueError, match="memory"):
        largest_batch(blocks, 0)
