"""ResNet V2: full pre-activation residual networks (He et al. 2016, *Identity Mappings in Deep Residual Networks*).

A drop-in replacement for `tf_slim.nets.resnet_v2`: same variables, same end points, same outputs; and the units of two
layers and the 18- and 34-layer networks that tf-slim does not have. Notebook 07 builds it piece by piece; notebook 04
explains the depths.

    with slim.arg_scope(resnet_arg_scope(is_training=False)):
        logits, end_points = resnet_v2_152(images, num_classes=1000)
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
    "resnet_v2",
    "resnet_v2_18",
    "resnet_v2_34",
    "resnet_v2_50",
    "resnet_v2_101",
    "resnet_v2_152",
    "resnet_v2_200",
    "resnet_v2_block",
]

# A convolution without BN and ReLU of its own: those of the next unit, or of the end of the network, follow.
BARE = {"normalizer_fn": None, "activation_fn": None}


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
    """One residual unit with three convolutions, 1x1 -> 3x3 -> 1x1, each after its own BN and ReLU.

    x + F(x), F of He et al. 2016, Fig. 1(b). When x has other than `depth` channels, a 1x1 convolution of the
    pre-activated x takes its place; else x itself does, subsampled by `stride`.
    [batch, height, width, channels] -> [batch, ceil(height / stride), ceil(width / stride), depth].
    rate: the atrous rate of the 3x3; shortcut: as in `resnet_utils.unit_sum`; stride_in: which convolution strides,
    the first "1x1" or the "3x3"; dilation: the stride that the unit would have taken if it did not keep the features
    dense, which widens a 3x3 after a "1x1" that would have strided.
    Raises ValueError when `inputs` is not of rank 4 with a known number of channels, and for an unknown shortcut or stride_in.
    """
    stride1, stride2 = (stride, 1) if one_of("stride_in", stride_in, STRIDE_IN) == "1x1" else (1, stride)
    rate = rate * dilation if stride_in == "1x1" else rate
    with tf.compat.v1.variable_scope(scope, "bottleneck_v2", [inputs]) as sc:
        slim.utils.last_dimension(inputs.get_shape(), min_rank=4)
        preact = slim.batch_norm(inputs, activation_fn=tf.nn.relu, scope="preact")
        add = unit_sum(inputs, depth, stride, shortcut, preact, **BARE)
        residual = conv1x1(preact, depth_bottleneck, stride1, scope="conv1")
        residual = conv2d_same(residual, depth_bottleneck, 3, stride2, rate=rate, scope="conv2")
        residual = slim.conv2d(residual, depth, [1, 1], stride=1, **BARE, scope="conv3")
        return slim.utils.collect_named_outputs(outputs_collections, sc.name, add(residual))


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
    """One residual unit with two 3x3 convolutions of `depth` channels, each after its own BN and ReLU; the first strides.

    Arguments, shapes and errors as in `bottleneck`; stride_in makes no difference. He et al. 2016, Fig. 1(b).
    """
    with tf.compat.v1.variable_scope(scope, "basic_v2", [inputs]) as sc:
        slim.utils.last_dimension(inputs.get_shape(), min_rank=4)
        preact = slim.batch_norm(inputs, activation_fn=tf.nn.relu, scope="preact")
        add = unit_sum(inputs, depth, stride, shortcut, preact, **BARE)
        residual = conv2d_same(preact, depth, 3, stride, rate=rate, scope="conv1")
        residual = slim.conv2d(residual, depth, [3, 3], rate=rate * dilation, **BARE, scope="conv2")
        return slim.utils.collect_named_outputs(outputs_collections, sc.name, add(residual))


UNIT_FNS = registered({"bottleneck_v2": bottleneck, "basic_v2": basic})


def resnet_v2(
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
    """A ResNet V2 of any list of Blocks: (net, end_points).

    inputs: [batch, height, width, channels], batch, height and width may be unknown.
    blocks: list of Block, their args tuples or dicts. num_classes: None returns the features before the classifier.
    is_training: whether batch norm uses the statistics of the batch; None takes what the arg scope says.
    global_pool: average over height and width before the classifier; False keeps the feature map.
    output_stride: None for the network's own (32 with four blocks of strides 2, 2, 2, 1 after the root), or a smaller
    one reached by atrous convolution. include_root_block: False leaves out the 7x7 convolution and the pooling.
    reuse: share the variables of an earlier call of the same `scope`.
    root: another `architectures.Root`; shortcut, stride_in: of every unit, see `bottleneck`; root_pooling: one of
    `blocks.ROOT_POOLING`.

    net: logits [batch, 1, 1, num_classes], or with global_pool=False one such vector for every position, or features.
    end_points: name -> tensor for every convolution, unit and block, and "predictions", the softmax of the logits.
    Raises ValueError for inputs of another rank and for an output_stride out of reach.
    Source: He et al. 2016 (arXiv:1603.05027), Appendix, for the root without and the end with BN and ReLU.
    """
    inputs = as_images(inputs)
    blocks = list(blocks)
    root = root if include_root_block else None
    options = {"shortcut": shortcut, "stride_in": stride_in}
    stride = blocks_stride(blocks, output_stride, root, options)
    with network_scope("resnet_v2", blocks, inputs, is_training, reuse, scope) as collection:
        # The first unit brings its own BN and ReLU, so the root has none.
        with slim.arg_scope([slim.conv2d], **BARE):
            net = root_block(inputs, root, root_pooling)
        net = stack_blocks_dense(net, blocks, stride, unit_options=options)
        # No unit ends with BN and ReLU, so the last one needs them here.
        net = slim.batch_norm(net, activation_fn=tf.nn.relu, scope="postnorm")
        return classifier(net, num_classes, global_pool, collection)


resnet_v2.default_image_size = 224


def resnet_v2_block(scope: str, base_depth: int, num_units: int, stride: int) -> Block:
    """A block of `num_units` bottlenecks of depth 4 * base_depth; the last one has the stride. tf-slim's dict form."""
    return slim_block(scope, bottleneck, base_depth, num_units, stride)


resnet_v2_18, resnet_v2_34, resnet_v2_50, resnet_v2_101, resnet_v2_152, resnet_v2_200 = (
    named_network(f"resnet_v2_{layers}", resnet_v2) for layers in (18, 34, 50, 101, 152, 200)
)
