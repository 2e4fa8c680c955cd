"""The convolutions of a residual network: padded so that striding is subsampling, of one pixel, and in groups of channels.

`subsample` and `conv2d_same` are tf-slim's, and stand in `resnet_utils` too, where tf-slim has them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .tf_slim_compat import slim, tf


def subsample(inputs: tf.Tensor, factor: int, scope: str | None = None) -> tf.Tensor:
    """Every `factor`-th pixel of `inputs`, from the first: a 1x1 max pooling of that stride; `inputs` if factor is 1.

    [batch, height, width, channels] -> [batch, ceil(height / factor), ceil(width / factor), channels].
    """
    if factor == 1:
        return inputs
    return slim.max_pool2d(inputs, [1, 1], stride=factor, scope=scope)


def conv2d_same(
    inputs: tf.Tensor,
    num_outputs: int,
    kernel_size: int,
    stride: int,
    rate: int = 1,
    scope: str | None = None,
    groups: int = 1,
) -> tf.Tensor:
    """A convolution padded so that striding it is the same as computing it everywhere and keeping every stride-th pixel:

        conv2d_same(x, n, 3, stride) == subsample(conv2d(x, n, 3, stride=1, padding="SAME"), stride)

    TensorFlow's own strided SAME puts the odd row of zeros at the end, so on even sizes it samples other pixels. Here
    kernel_size - 1 zeros are added in all, (kernel_size - 1) // 2 of them before (`rate` widens the kernel first).
    groups: of channels that do not see each other (`grouped_conv2d`).
    [batch, height, width, channels] -> [batch, ceil(height / stride), ceil(width / stride), num_outputs].
    Shown by tests/library/test_resnet_utils.py and tf-slim's testConv2DSameEven.
    """
    conv = slim.conv2d
    options = {"stride": stride, "rate": rate, "padding": "SAME", "scope": scope}
    if groups > 1:
        conv, options["groups"] = grouped_conv2d, groups
    if stride > 1:
        pad_total = (kernel_size - 1) * rate
        pad_beg = pad_total // 2
        pad_end = pad_total - pad_beg
        inputs = tf.pad(inputs, [[0, 0], [pad_beg, pad_end], [pad_beg, pad_end], [0, 0]])
        options["padding"] = "VALID"
    return conv(inputs, num_outputs, kernel_size, **options)


def conv1x1(inputs: tf.Tensor, num_outputs: int, stride: int, **options: Any) -> tf.Tensor:
    """A 1x1 convolution of any stride: it reads every stride-th pixel, so those are taken first.

    [batch, height, width, channels] -> [batch, ceil(height / stride), ceil(width / stride), num_outputs]; options as of
    slim.conv2d. The same function as with the stride in the convolution, whose gradient for the weights overruns memory in
    TensorFlow 2.21 on CPUs (even sizes, few channels).
    """
    return slim.conv2d(subsample(inputs, stride), num_outputs, [1, 1], stride=1, **options)


@tf.RegisterGradient("ResnetLibGroupedConv2D")
def _grouped_gradient(op, upstream):
    """TensorFlow runs a convolution in groups on a CPU, but has no gradient for it there: that of the groups, one by one."""
    inputs, weights = op.inputs
    groups = inputs.shape[-1] // weights.shape[2]
    parts = zip(tf.split(inputs, groups, axis=3), tf.split(weights, groups, axis=3), strict=True)
    outputs = tf.concat([_alike(op, *part) for part in parts], axis=3)
    return tf.gradients(outputs, [inputs, weights], upstream)


def _alike(op, inputs, weights):
    """A convolution as the given one, that also has a gradient on a CPU when it has holes (a rate above 1)."""
    strides, rates, padding = (op.get_attr(name) for name in ("strides", "dilations", "padding"))

    def convolve(x, _, padding):
        return tf.nn.conv2d(x, weights, strides, padding)

    padding = padding.decode()
    return tf.nn.with_space_to_batch(inputs, rates[1:3], padding, convolve, filter_shape=weights.shape[:2])


# Keeps TensorFlow from fusing a convolution with what follows: its fused kernels for CPUs take no groups.
_ALONE = {"_grappler_do_not_remove": tf.compat.v1.AttrValue(b=True)}


@slim.add_arg_scope
def grouped_conv2d(
    inputs: tf.Tensor,
    num_outputs: int,
    kernel_size: int,
    groups: int,
    stride: int = 1,
    rate: int = 1,
    padding: str = "SAME",
    activation_fn: Callable | None = tf.nn.relu,
    normalizer_fn: Callable | None = None,
    normalizer_params: dict[str, Any] | None = None,
    weights_initializer: Any = None,
    weights_regularizer: Any = None,
    outputs_collections: Any = None,
    scope: str | None = None,
) -> tf.Tensor:
    """A convolution in groups: the i-th part of the outputs sees the i-th part of the input's channels, and no other.

    Arguments as of slim.conv2d, which cannot do it; without a normalizer there is a bias. "weights" are [kernel_size,
    kernel_size, channels / groups, num_outputs], the layout of tf.nn.conv2d. Xie et al. 2017, arXiv:1611.05431, Fig. 3c.
    """
    channels = slim.utils.last_dimension(inputs.get_shape(), min_rank=4)
    shape = [kernel_size, kernel_size, channels // groups, num_outputs]
    with tf.compat.v1.variable_scope(scope, "GroupedConv", [inputs]) as sc:
        weights = slim.model_variable(
            "weights", shape, initializer=weights_initializer, regularizer=weights_regularizer
        )
        graph = tf.compat.v1.get_default_graph()
        with graph.gradient_override_map({"Conv2D": "ResnetLibGroupedConv2D"}), graph._attr_scope(_ALONE):
            net = tf.nn.conv2d(inputs, weights, stride, padding, dilations=rate)
        if normalizer_fn is not None:
            net = normalizer_fn(net, **(normalizer_params or {}))
        else:
            net = tf.nn.bias_add(net, slim.model_variable("biases", [num_outputs], initializer=tf.zeros_initializer()))
        net = net if activation_fn is None else activation_fn(net)
        return slim.utils.collect_named_outputs(outputs_collections, sc.name, net)


CONVOLUTIONS = [slim.conv2d, grouped_conv2d]  # what an arg scope of convolutions speaks to
