"""Units made from the table of kinds: the other places of BN and ReLU, groups, gates, and units that share their weights.

`units.ORDERINGS` lists the five orderings of He et al. 2016 (*Identity Mappings*, Fig. 4). "v1" and "v2" are written
out in `resnet_v1` and `resnet_v2` for the basic unit and the bottleneck; all other kinds of `units.UNIT_KINDS` that have an
ordering are made here. Notebook 06 compares the orderings.

`recurrent_unit` has the weights of its neighbours, so that a block of such units is a recurrent network, unrolled (Liao and
Poggio 2016, arXiv:1604.03640). Notebook 09 trains it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .convolutions import conv1x1, conv2d_same
from .resnet_v2 import BARE, basic
from .shortcuts import unit_sum
from .tf_slim_compat import slim, tf
from .units import UNIT_KINDS, Ordering, registered


def _norm_relu(net, what, scope):
    """BN, ReLU, both or none, as an Ordering names them ("BN ReLU")."""
    net = slim.batch_norm(net, activation_fn=None, scope=scope) if "BN" in what else net
    return tf.nn.relu(net) if "ReLU" in what else net


def _after_last(ordering: Ordering) -> dict[str, Any]:
    """What the last convolution of a unit has after it, as options of slim.conv2d."""
    options = {"activation_fn": tf.nn.relu if "ReLU" in ordering.last else None}
    if "BN" not in ordering.last:
        options["normalizer_fn"] = None
        if "BN" in ordering.after:  # else a bias does the work of its beta
            options["biases_initializer"] = None
    return options


def _residual(net, unit, ordering, stride_in, rate, dilation):
    """The convolutions of the residual path, each with its BN and ReLU. Where the unit keeps the features dense, `dilation` is
    the stride that it would have had, which widens the holes of what follows the convolution that would have strided."""
    convolutions = unit.convolutions(stride_in)
    nominal = unit._replace(stride=2).convolutions(stride_in)
    for i, (kernel, channels, stride, *groups) in enumerate(convolutions, 1):
        with slim.arg_scope([slim.conv2d], **(_after_last(ordering) if i == len(convolutions) else {})):
            if kernel == 1:
                net = conv1x1(net, channels, stride, scope=f"conv{i}")
            else:
                net = conv2d_same(net, channels, kernel, stride, rate, f"conv{i}", *groups)
        if nominal[i - 1].stride > 1:
            rate *= dilation
    return net


def squeeze_gate(residual: tf.Tensor, depth_squeeze: int) -> tf.Tensor:
    """The residual, each channel scaled by a gate between 0 and 1 that sees the means of all channels: as it came in.

    s = sigmoid(W2 relu(W1 z + b1) + b2), z the mean over height and width: Hu et al. 2018 (arXiv:1709.01507), equations 2 to 4.
    """
    depth = slim.utils.last_dimension(residual.get_shape(), min_rank=4)
    with tf.compat.v1.variable_scope("squeeze"), slim.arg_scope([slim.conv2d], normalizer_fn=None):
        mean = tf.reduce_mean(residual, [1, 2], keepdims=True)
        net = slim.conv2d(mean, depth_squeeze, [1, 1], scope="conv1")
        scale = slim.conv2d(net, depth, [1, 1], activation_fn=tf.sigmoid, scope="conv2")
    return residual * scale


def make_unit(name: str) -> Callable[..., tf.Tensor]:
    """The unit function of a kind of the table ("basic_relu_before_addition", ...), read off its Ordering and its shape.

    Arguments, shapes and errors are those of `resnet_v2.basic` for two layers, of `resnet_v2.bottleneck` for three, and
    what the shape has besides: groups, depth_squeeze.
    """
    kind = UNIT_KINDS[name]
    ordering = kind.ordering
    projection = BARE if ordering.first else {"activation_fn": None}

    @slim.add_arg_scope
    def unit(inputs, rate=1, outputs_collections=None, scope=None, shortcut="B", stride_in="3x3", dilation=1, **args):
        arguments = kind.shape(**args)
        with tf.compat.v1.variable_scope(scope, name, [inputs]) as sc:
            start = _norm_relu(inputs, ordering.first, "preact")
            split = start if ordering.shared else inputs
            add = unit_sum(split, arguments.depth, arguments.stride, shortcut, start, **projection)
            net = _residual(start, arguments, ordering, stride_in, rate, dilation)
            if arguments.depth_squeeze:
                net = squeeze_gate(net, arguments.depth_squeeze)
            net = _norm_relu(add(net), ordering.after, "postnorm")
            return slim.utils.collect_named_outputs(outputs_collections, sc.name, net)

    unit.__name__ = unit.__qualname__ = name
    return unit


@slim.add_arg_scope
def recurrent_unit(
    inputs: tf.Tensor,
    depth: int,
    stride: int,
    rate: int = 1,
    outputs_collections: Any = None,
    scope: str | None = None,
    shortcut: str = "A",
) -> tf.Tensor:
    """`resnet_v2.basic`, whose convolutions share their weights and biases with all such units of the block.

    A unit that changes the shape has weights of its own, and every unit its own batch norms, for each step of the
    recurrence sees other statistics: the time-specific batch normalization of Liao and Poggio 2016. The shared variables
    are named block/shared/... . It has no closed form: its graph is counted. Shapes and errors
    as in `resnet_v2.basic`.
    """
    keeps_shape = stride == 1 and inputs.shape[-1] == depth
    around = tf.compat.v1.get_variable_scope().name  # "net/block/unit_3": unit_3 gives way to what the block shares
    block, _, unit = around.rpartition("/")

    def share(getter, name, *args, **kwargs):
        if keeps_shape and unit.startswith("unit_") and name.endswith(("/weights", "/biases")):
            name = f"{block}/shared{name.removeprefix(around)}"
            kwargs["reuse"] = tf.compat.v1.AUTO_REUSE
        return getter(name, *args, **kwargs)

    with tf.compat.v1.variable_scope(tf.compat.v1.get_variable_scope(), custom_getter=share):
        return basic(
            inputs, depth, stride, rate, outputs_collections=outputs_collections, scope=scope, shortcut=shortcut
        )


def __getattr__(name: str) -> Any:
    """The units made from the table by their names, so that pickle finds them."""
    try:
        return UNIT_FNS[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None


UNIT_FNS = registered(
    {
        **{name: make_unit(name) for name, kind in UNIT_KINDS.items() if kind.builder == "orderings" and kind.ordering},
        "recurrent": recurrent_unit,
    }
)
