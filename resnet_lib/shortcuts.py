"""The shortcut of a residual unit, and how it joins the residual: `unit_sum`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .checks import one_of
from .convolutions import conv1x1, subsample
from .tf_slim_compat import slim, tf
from .units import SHORTCUTS, check_identity

GATE_BIAS = -6.0  # of the gated shortcuts at first: the best of those that He et al. 2016, Table 1, tried
GATED = ("exclusive_gating", "shortcut_only_gating")


def _gate(inputs, depth, stride):
    """g = sigmoid(W x + b), W a 1x1 convolution and b beginning at -6."""
    closed = {"normalizer_fn": None, "biases_initializer": tf.constant_initializer(GATE_BIAS)}
    return conv1x1(inputs, depth, stride, activation_fn=tf.sigmoid, **closed, scope="gate")


def _identity(inputs, depth, stride, shortcut):
    """`inputs` as nearly as the shape allows: subsampled, and padded with zero channels."""
    depth_in = slim.utils.last_dimension(inputs.get_shape(), min_rank=4)
    check_identity(shortcut, depth_in, depth, tf.compat.v1.get_variable_scope().name)
    identity = subsample(inputs, stride, "shortcut")
    return identity if depth == depth_in else tf.pad(identity, [[0, 0], [0, 0], [0, 0], [0, depth - depth_in]])


def unit_sum(
    inputs: tf.Tensor, depth: int, stride: int, shortcut: str, start: tf.Tensor, **projection: Any
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Makes the shortcut of a unit; returns the function that adds it to the residual: residual -> sum.

    shortcut: what is added is `inputs` as they are if possible, else as He et al. 2015 (section 3.3) name it: "A" subsamples
    and pads with zero channels, "B" projects where the number of channels changes and subsamples elsewhere, "C" always
    projects; "none" adds 0: a plain network. A projection is a 1x1 convolution of `start`, what the first convolution of
    the unit reads, with the options `projection`. The others, of He et al. 2016 (section 3.1), change what A gives:
    0.5 x + 0.5 F ("scaling"); (1 - g) x + g F ("exclusive_gating") and (1 - g) x + F ("shortcut_only_gating") with the gate
    g = sigmoid(W x + b), W a 1x1 convolution, b beginning at -6; "dropout" adds a random half of x in training, and 0.5 x
    otherwise. Raises ValueError for another one, and for an identity that would have to drop channels.
    """
    if one_of("shortcut", shortcut, SHORTCUTS) == "none":
        return lambda residual: 0 + residual
    depth_in = slim.utils.last_dimension(inputs.get_shape(), min_rank=4)
    if shortcut == "C" or (shortcut == "B" and depth != depth_in):
        identity = conv1x1(start, depth, stride, **projection, scope="shortcut")
        return lambda residual: identity + residual
    identity = _identity(inputs, depth, stride, shortcut)
    if shortcut == "scaling":
        return lambda residual: 0.5 * identity + 0.5 * residual
    if shortcut == "dropout":
        identity = 0.5 * slim.dropout(identity, 0.5, scope="shortcut")
    if shortcut in GATED:
        gate = _gate(inputs, depth, stride)
        identity = (1 - gate) * identity
        if shortcut == "exclusive_gating":
            return lambda residual: identity + gate * residual
    return lambda residual: identity + residual
