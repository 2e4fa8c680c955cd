"""ResNet V1: residual networks as first published (He et al. 2015, *Deep Residual Learning for Image Recognition*).

BN and ReLU follow each convolution, and a ReLU follows each sum. A drop-in replacement for `tf_slim.nets.resnet_v1`: same
variables, same end points, same outputs; and the units of two layers and the 18- and 34-layer networks that tf-slim does
not have. Notebook 03 draws the units, notebook 04 explains the depths.

    with slim.arg_scope(resnet_arg_scope(is_training=False)):
        logits, end_points = resnet_v1_34(images, num_classes=1000)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .blocks import IMAGENET_ROOT, Block, Root
from .checks import one_of
from .convolutions import conv1x1, conv2d_same
from .resnet_utils import (
    as_images,
    blocks_stride,
    classifier,
    named_network,
    network_scope,
    resnet_arg_scope,
    root_block,
    slim_block,
    stack_blocks_dense,
)
from .shortcuts import unit_sum
from .tf_slim_compat import slim, tf
from .units import STRIDE_IN, registered

__all__ = [
    "basic",
    "bottleneck",
    "resnet_arg_scope",
    "resnet_v1",
    "resnet_v1_18",
    "resnet_v1_34",
    "resnet_v1_50",
    "resnet_v1_101",
    "resnet_v1_152",
    "resnet_v1_200",
    "resnet_v1_block",
]


@slim.add_arg_scope
def bottleneck(
    inputs: tf.Tensor,
    depth: int,
    depth_bottleneck: int,
    stride: int,
    rate: int = 1,
    outputs_collections: Any = None,
    scope: str | None = None,
    shortcut: str = "B",
    stride_in: str = "3x3",
    dilation: int = 1,
) -> tf.Tensor:
    """One residual unit with three convolutions, 1x1 -> 3x3 -> 1x1, each followed by BN, the first two also by ReLU.

    relu(x + F(x)), He et al. 2015, Fig. 5 right. When x has other than `depth` channels, its 1x1 convolution with BN
    takes its place; else x itself does, subsampled by `stride`. With shortcut "none" it is relu(F(x)), a plain unit.
    Arguments, shapes and errors as in `resnet_v2.bottleneck`.
    """
    stride1, stride2 = (stride, 1) if one_of("stride_in", stride_in, STRIDE_IN) == "1x1" else (1, stride)
    rate = rate * dilation if stride_in == "1x1" else rate
    with tf.compat.v1.variable_scope(scope, "bottleneck_v1", [inputs]) as sc:
        add = unit_sum(inputs, depth, stride, shortcut, inputs, activation_fn=None)
        residual = conv1x1(inputs, depth_bottleneck, stride1, scope="conv1")
        residual = conv2d_same(residual, depth_bottleneck, 3, stride2, rate=rate, scope="conv2")
        residual = slim.conv2d(residual, depth, [1, 1], stride=1, activation_fn=None, scope="conv3")
        return slim.utils.collect_named_outputs(outputs_collections, sc.name, tf.nn.relu(add(residual)))


@slim.add_arg_scope
def basic(
    inputs: tf.Tensor,
    depth: int,
    stride: int,
    rate: int = 1,
    outputs_collections: Any = None,
    scope: str | None = None,
    shortcut: str = "B",
    stride_in: str = "3x3",
    dilation: int = 1,
) -> tf.Tensor:
    """One residual unit with two 3x3 convolutions of `depth` channels, each followed by BN; the first strides.

    relu(x + F(x)), He et al. 2015, Fig. 2 and Fig. 5 left. Otherwise as `bottleneck`; stride_in makes no difference.
    """
    with tf.compat.v1.variable_scope(scope, "basic_v1", [inputs]) as sc:
        add = unit_sum(inputs, depth, stride, shortcut, inputs, activation_fn=None)
        residual = conv2d_same(inputs, depth, 3, stride, rate=rate, scope="conv1")
        residual = slim.conv2d(residual, depth, [3, 3], rate=rate * dilation, activation_fn=None, scope="conv2")
        return slim.utils.collect_named_outputs(outputs_collections, sc.name, tf.nn.relu(add(residual)))


UNIT_FNS = registered({"bottleneck_v1": bottleneck, "basic_v1": basic})


def resnet_v1(
    inputs: tf.Tensor,
    blocks: Iterable[Block],
    num_classes: int | None = None,
    is_training: bool | None = None,
    global_pool: bool = True,
    output_stride: int | None = None,
    include_root_block: bool = True,
    reuse: bool | None = None,
    scope: str | None = None,
    root: Root | None = IMAGENET_ROOT,
    shortcut: str = "B",
    stride_in: str = "3x3",
    root_pooling: str = "SAME",
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """A ResNet V1 of any list of Blocks: (net, end_points). Arguments, results and errors as in `resnet_v2.resnet_v2`.

    Source: He et al. 2015 (arXiv:1512.03385), section 3.3 and Table 1. With shortcut="none" it is their plain network.
    """
    inputs = as_images(inputs)
    blocks = list(blocks)
    root = root if include_root_block else None
    options = {"shortcut": shortcut, "stride_in": stride_in}
    stride = blocks_stride(blocks, output_stride, root, options)
    with network_scope("resnet_v1", blocks, inputs, is_training, reuse, scope) as collection:
        net = root_block(inputs, root, root_pooling)
        net = stack_blocks_dense(net, blocks, stride, unit_options=options)
        return classifier(net, num_classes, global_pool, collection)


resnet_v1.default_image_size = 224


def resnet_v1_block(scope: str, base_depth: int, num_units: int, stride: int) -> Block:
    """A block of `num_units` bottlenecks of depth 4 * base_depth; the last one has the stride. tf-slim's dict form."""
    return slim_block(scope, bottleneck, base_depth, num_units, stride)


resnet_v1_18, resnet_v1_34, resnet_v1_50, resnet_v1_101, resnet_v1_152, resnet_v1_200 = (
    named_network(f"resnet_v1_{layers}", resnet_v1) for layers in (18, 34, 50, 101, 152, 200)
)
