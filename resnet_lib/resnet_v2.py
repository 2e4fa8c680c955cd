"""ResNet V2: full pre-activation residual networks (He et al. 2016, *Identity Mappings in Deep Residual Networks*).

A drop-in replacement for `tf_slim.nets.resnet_v2`: same variables, same end points, same outputs. Notebook 07 builds it
piece by piece; notebook 04 explains the depths.

    with slim.arg_scope(resnet_arg_scope(is_training=False)):
        logits, end_points = resnet_v2_152(images, num_classes=1000)
"""

from contextlib import nullcontext

from .architectures import ARCHITECTURES, blocks_output_stride, slim_block, unit_kind
from .resnet_utils import conv2d_same, resnet_arg_scope, stack_blocks_dense, subsample
from .tf_slim_compat import slim, tf

__all__ = ["bottleneck", "resnet_arg_scope", "resnet_v2", "resnet_v2_50", "resnet_v2_101", "resnet_v2_152",
           "resnet_v2_200", "resnet_v2_block"]  # fmt: skip


@slim.add_arg_scope
def bottleneck(inputs, depth, depth_bottleneck, stride, rate=1, outputs_collections=None, scope=None):
    """One residual unit with three convolutions, 1x1 -> 3x3 -> 1x1, each after its own BN and ReLU.

    x + F(x), F of He et al. 2016, Fig. 1(b). When x has other than `depth` channels, a 1x1 convolution of the
    pre-activated x takes its place; else x itself does, subsampled by `stride`.
    [batch, height, width, channels] -> [batch, ceil(height / stride), ceil(width / stride), depth].
    rate: the atrous rate of the 3x3. Raises ValueError when `inputs` is not of rank 4 with a known number of channels.
    """
    with tf.compat.v1.variable_scope(scope, "bottleneck_v2", [inputs]) as sc:
        depth_in = slim.utils.last_dimension(inputs.get_shape(), min_rank=4)
        preact = slim.batch_norm(inputs, activation_fn=tf.nn.relu, scope="preact")
        if depth == depth_in:
            shortcut = subsample(inputs, stride, "shortcut")
        else:
            shortcut = slim.conv2d(
                preact, depth, [1, 1], stride=stride, normalizer_fn=None, activation_fn=None, scope="shortcut"
            )
        residual = slim.conv2d(preact, depth_bottleneck, [1, 1], stride=1, scope="conv1")
        residual = conv2d_same(residual, depth_bottleneck, 3, stride, rate=rate, scope="conv2")
        residual = slim.conv2d(residual, depth, [1, 1], stride=1, normalizer_fn=None, activation_fn=None, scope="conv3")
        return slim.utils.collect_named_outputs(outputs_collections, sc.name, shortcut + residual)


bottleneck.kind = "bottleneck_v2"
UNIT_FNS = {"bottleneck_v2": bottleneck}


def _check_images(inputs):
    shape = inputs.get_shape()
    if shape.rank != 4 or shape[3] is None:
        raise ValueError(f"inputs must be [batch, height, width, channels] with the channels known, got {shape}")


def resnet_v2(
    inputs,
    blocks,
    num_classes=None,
    is_training=None,
    global_pool=True,
    output_stride=None,
    include_root_block=True,
    reuse=None,
    scope=None,
):
    """A ResNet V2 of any list of Blocks: (net, end_points).

    inputs: [batch, height, width, channels], batch, height and width may be unknown.
    blocks: list of Block, their args tuples or dicts. num_classes: None returns the features before the classifier.
    is_training: whether batch norm uses the statistics of the batch; None takes what the arg scope says.
    global_pool: average over height and width before the classifier; False keeps the feature map.
    output_stride: None for the network's own (32 with four blocks of strides 2, 2, 2, 1 after the root), or a smaller
    one reached by atrous convolution. include_root_block: False leaves out the 7x7 convolution and the pooling.
    reuse: share the variables of an earlier call of the same `scope`.

    net: logits [batch, 1, 1, num_classes], or with global_pool=False one such vector for every position, or features.
    end_points: name -> tensor for every convolution, unit and block, and "predictions", the softmax of the logits.
    Raises ValueError for inputs of another rank and for an output_stride out of reach.
    Source: He et al. 2016 (arXiv:1603.05027), Appendix, for the root without and the end with BN and ReLU.
    """
    _check_images(inputs)
    training = nullcontext() if is_training is None else slim.arg_scope([slim.batch_norm], is_training=is_training)
    with tf.compat.v1.variable_scope(scope, "resnet_v2", [inputs], reuse=reuse) as sc:
        collection = sc.original_name_scope + "_end_points"
        with (
            slim.arg_scope([slim.conv2d, bottleneck, stack_blocks_dense], outputs_collections=collection),
            training,
        ):
            net = inputs
            blocks_stride = blocks_output_stride(output_stride, include_root_block)
            if include_root_block:
                # The first unit brings its own BN and ReLU, so the root has none.
                with slim.arg_scope([slim.conv2d], activation_fn=None, normalizer_fn=None):
                    net = conv2d_same(net, 64, 7, stride=2, scope="conv1")
                net = slim.max_pool2d(net, [3, 3], stride=2, scope="pool1")
            net = stack_blocks_dense(net, blocks, blocks_stride)
            # No unit ends with BN and ReLU, so the last one needs them here.
            net = slim.batch_norm(net, activation_fn=tf.nn.relu, scope="postnorm")
            if global_pool:
                net = tf.reduce_mean(net, [1, 2], name="pool5", keepdims=True)
            if num_classes is not None:
                net = slim.conv2d(net, num_classes, [1, 1], activation_fn=None, normalizer_fn=None, scope="logits")
            end_points = slim.utils.convert_collection_to_dict(collection)
            if num_classes is not None:
                end_points["predictions"] = slim.softmax(net, scope="predictions")
            return net, end_points


resnet_v2.default_image_size = 224


def resnet_v2_block(scope, base_depth, num_units, stride):
    """A block of `num_units` bottlenecks of depth 4 * base_depth; the last one has the stride. tf-slim's dict form."""
    block = slim_block(scope, bottleneck, base_depth, num_units, stride)
    return block._replace(args=[unit._asdict() for unit in block.args])


def callable_blocks(architecture):
    """The Blocks of an Architecture with unit functions in place of their names. Raises ValueError for an unknown name."""

    def unit_fn(block):
        return UNIT_FNS[unit_kind(block.unit_fn)] if isinstance(block.unit_fn, str) else block.unit_fn

    return [block._replace(unit_fn=unit_fn(block)) for block in architecture.blocks]


def _named(name):
    architecture = ARCHITECTURES[name]

    def network(inputs, num_classes=None, is_training=None, global_pool=True, output_stride=None, reuse=None,
                scope=name):  # fmt: skip
        return resnet_v2(inputs, callable_blocks(architecture), num_classes, is_training, global_pool, output_stride,
                         include_root_block=True, reuse=reuse, scope=scope)  # fmt: skip

    network.__name__ = network.__qualname__ = name
    network.__doc__ = f"ResNet V2 of {architecture.layers} layers, units {architecture.units}: see `resnet_v2`."
    network.default_image_size = resnet_v2.default_image_size
    return network


resnet_v2_50 = _named("resnet_v2_50")
resnet_v2_101 = _named("resnet_v2_101")
resnet_v2_152 = _named("resnet_v2_152")
resnet_v2_200 = _named("resnet_v2_200")
