"""Inception V4, Inception-ResNet V1 and V2 (Szegedy, Ioffe, Vanhoucke, Alemi 2016, arXiv:1602.07261).

A module is written as the paper draws it: a tuple of branches, each a line of boxes in the order in which they are applied.
A box says kernel and depth, and "V" where the figure does: VALID padding, "V/2" with stride 2. "3x3 avg" and "3x3 max"
pool; "a + b" are two boxes side by side on the same input. A network is a list of boxes and modules.

    with slim.arg_scope(inception_arg_scope(is_training=False)):
        logits, end_points = inception_resnet_v2(images, num_classes=1000)

Variables and end points are named as in the models that were published with weights: tensorflow/models' for V4 and ResNet
V2, facenet's for ResNet V1. Where such a model differs from its figure, the model is followed and the difference noted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .checks import positive_int
from .inception_modules import Branches, Outputs, Part, Residual, inception_module, residual_module, stacked
from .resnet_utils import as_images, resnet_arg_scope
from .tf_slim_compat import slim, tf

__all__ = [
    "inception_arg_scope",
    "inception_module",
    "inception_resnet_v1",
    "inception_resnet_v2",
    "inception_v4",
    "residual_module",
]

# The VALID boxes of each of the three networks leave 75, 37, 35, 17, 15, 7, 3, 1 of a side of 75. The auxiliary head needs
# 5 where 3 is left there: 107, 53, 51, 25, 23, 11, 5.
MIN_SIZE = 75
MIN_SIZE_AUX = 107

# Inception V4. "as 0a" gives a box the name that it has in the model, where it is none that `positions` gives. In some
# branches the model has 1x7 and 7x1, or 1x3 and 3x1, the other way round than the figure.
STEM_3A = ("3x3 max V/2 as 0a", "3x3 96 V/2 as 0a")  # Fig. 3
STEM_4A = ("1x1 64, 3x3 96 V", "1x1 64, 1x7 64, 7x1 64, 3x3 96 V")
STEM_5A = ("3x3 192 V/2", "3x3 max V/2")
INCEPTION_A = ("1x1 96 as 0a", "1x1 64, 3x3 96", "1x1 64, 3x3 96, 3x3 96", "3x3 avg, 1x1 96")  # Fig. 4
INCEPTION_B = (  # Fig. 5
    "1x1 384 as 0a",
    "1x1 192, 1x7 224, 7x1 256",
    "1x1 192, 7x1 192, 1x7 224, 7x1 224, 1x7 256",
    "3x3 avg, 1x1 128",
)
INCEPTION_C = (  # Fig. 6
    "1x1 256 as 0a",
    "1x1 384, 1x3 256 + 3x1 256",
    "1x1 384, 3x1 448, 1x3 512, 1x3 256 + 3x1 256",
    "3x3 avg, 1x1 256",
)
REDUCTION_A = ("3x3 384 V/2", "1x1 192, 3x3 224, 3x3 256 V/2", "3x3 max V/2")  # Fig. 7, Table 1
REDUCTION_B = ("1x1 192, 3x3 192 V/2", "1x1 256, 1x7 256, 7x1 320, 3x3 320 V/2", "3x3 max V/2")  # Fig. 8

# Inception-ResNet V1.
RESNET_V1_A = ("1x1 32", "1x1 32, 3x3 32", "1x1 32, 3x3 32, 3x3 32")  # Fig. 10
RESNET_V1_B = ("1x1 128", "1x1 128, 1x7 128, 7x1 128")  # Fig. 11
RESNET_V1_C = ("1x1 192", "1x1 192, 1x3 192, 3x1 192")  # Fig. 13
REDUCTION_V1_A = ("3x3 384 V/2", "1x1 192, 3x3 192, 3x3 256 V/2", "3x3 max V/2")  # Fig. 7, Table 1
# Fig. 12:
REDUCTION_V1_B = ("1x1 256, 3x3 384 V/2", "1x1 256, 3x3 256 V/2", "1x1 256, 3x3 256, 3x3 256 V/2", "3x3 max V/2")

# Inception-ResNet V2. The 1x1 that ends F has 384, 1154 and 2048 channels in the figures: 320, 1088 and 2080 in the model.
MIXED_5B = ("1x1 96", "1x1 48, 5x5 64", "1x1 64, 3x3 96, 3x3 96", "3x3 avg, 1x1 64")  # in no figure
RESNET_V2_A = ("1x1 32", "1x1 32, 3x3 32", "1x1 32, 3x3 48, 3x3 64")  # Fig. 16
RESNET_V2_B = ("1x1 192", "1x1 128, 1x7 160, 7x1 192")  # Fig. 17
RESNET_V2_C = ("1x1 192", "1x1 192, 1x3 224, 3x1 256")  # Fig. 19
REDUCTION_V2_A = ("3x3 384 V/2", "1x1 256, 3x3 256, 3x3 384 V/2", "3x3 max V/2")  # Fig. 7, Table 1
# Fig. 18:
REDUCTION_V2_B = ("1x1 256, 3x3 384 V/2", "1x1 256, 3x3 288 V/2", "1x1 256, 3x3 288, 3x3 320 V/2", "3x3 max V/2")


def _dense(net: tf.Tensor, num_classes: int, scope: str) -> tf.Tensor:
    """A classifier on [batch, depth], of the shape that `resnet_v2` gives its logits: [batch, 1, 1, num_classes]."""
    return slim.fully_connected(net, num_classes, activation_fn=None, scope=scope)[:, None, None, :]


class _Auxiliary(NamedTuple):
    """The auxiliary head of a network: the end point that it stands on, and the names of its last two layers."""

    end_point: str
    conv_scope: str = "Conv2d_2a_5x5"
    logits_scope: str = "Logits"


def _auxiliary_logits(net: tf.Tensor, num_classes: int, head: _Auxiliary) -> tf.Tensor:
    with tf.compat.v1.variable_scope("AuxLogits"):
        net = slim.avg_pool2d(net, [5, 5], stride=3, padding="VALID", scope="AvgPool_1a_5x5")
        net = slim.conv2d(net, 128, [1, 1], scope="Conv2d_1b_1x1")
        net = slim.conv2d(net, 768, net.shape[1:3], padding="VALID", scope=head.conv_scope)
        return _dense(tf.squeeze(net, [1, 2]), num_classes, head.logits_scope)


def _check_size(inputs: tf.Tensor, auxiliary: bool) -> None:
    sides = inputs.shape.as_list()[1:3]
    least = MIN_SIZE_AUX if auxiliary else MIN_SIZE
    if auxiliary and None in sides:
        raise ValueError(f"inputs must have a known height and width for create_aux_logits, got {inputs.shape}")
    if any(side is not None and side < least for side in sides):
        what = " for create_aux_logits" if auxiliary else ""
        raise ValueError(f"inputs must be at least {least}x{least}{what}, got {inputs.shape}")


def _classified(net: tf.Tensor, end_points: dict, num_classes: int | None, keep_prob: float) -> tf.Tensor:
    """Pooled features, and the classifier on them unless num_classes is None; adds to the end points."""
    with tf.compat.v1.variable_scope("Logits"):
        net = tf.reduce_mean(net, [1, 2], keepdims=True, name="global_pool")
        end_points["global_pool"] = net
        if num_classes is None:
            return net
        net = slim.dropout(tf.squeeze(net, [1, 2]), keep_prob, scope="Dropout")
        end_points["PreLogitsFlatten"] = net
        net = _dense(net, num_classes, "Logits")
        end_points["Logits"] = net
        end_points["Predictions"] = tf.nn.softmax(net, name="Predictions")
        return net


def _network(
    inputs, parts, head, name, num_classes, is_training, dropout_keep_prob, create_aux_logits, reuse, scope
) -> Outputs:
    """What the three networks share; from `num_classes` on, their arguments."""
    inputs = as_images(inputs)
    auxiliary = create_aux_logits and num_classes is not None
    _check_size(inputs, auxiliary)
    if num_classes is not None:
        num_classes = positive_int("num_classes", num_classes)
    training = {} if is_training is None else {"is_training": is_training}
    with (
        tf.compat.v1.variable_scope(scope, name, [inputs], reuse=reuse),
        slim.arg_scope([slim.batch_norm, slim.dropout], **training),
    ):
        net, end_points = stacked(inputs, parts)
        if auxiliary:
            end_points["AuxLogits"] = _auxiliary_logits(end_points[head.end_point], num_classes, head)
        net = _classified(net, end_points, num_classes, dropout_keep_prob)
    return net, end_points


def inception_v4(
    inputs: tf.Tensor,
    num_classes: int | None = None,
    is_training: bool | None = None,
    dropout_keep_prob: float = 0.8,
    create_aux_logits: bool = False,
    reuse: bool | None = None,
    scope: str | None = None,
) -> Outputs:
    """Inception V4 (Fig. 9): (net, end_points).

    inputs: [batch, height, width, channels], 299x299 in the paper and at least 75x75; all but channels may be unknown.
    num_classes: None returns the pooled features, [batch, 1, 1, 1536]. is_training: whether batch norm uses the statistics
    of the batch and dropout drops; None takes what the arg scope says. dropout_keep_prob: of the pooled features.
    create_aux_logits: adds the auxiliary classifier on the 17x17 grid, which needs a known size of at least 107x107.
    reuse: share the variables of an earlier call of the same `scope`.

    net: logits [batch, 1, 1, num_classes]; the public models' have rank 2. The classifier is theirs, fully connected.
    end_points: name -> tensor, "Conv2d_1a_3x3" ... "Mixed_7d", "AuxLogits", "global_pool", "PreLogitsFlatten", "Logits",
    "Predictions". At 299: Mixed_5a to 5e are 35x35x384, 6a to 6h 17x17x1024, 7a to 7d 8x8x1536.
    Raises ValueError for inputs of another rank or too small, TypeError or ValueError for a num_classes that is no count.
    """
    stem = ["3x3 32 V/2", "3x3 32 V", "3x3 64", STEM_3A, STEM_4A, STEM_5A]
    modules = [*4 * [INCEPTION_A], REDUCTION_A, *7 * [INCEPTION_B], REDUCTION_B, *3 * [INCEPTION_C]]
    head = _Auxiliary("Mixed_6h", "Conv2d_2a", "Aux_logits")
    options = (num_classes, is_training, dropout_keep_prob, create_aux_logits, reuse, scope)
    return _network(inputs, stem + modules, head, "InceptionV4", *options)


def _three(scale: float | Sequence[float]) -> list[float]:
    try:
        scales = np.broadcast_to(np.asarray(scale, dtype=float), 3)
        if np.isfinite(scales).all():
            return scales.tolist()
    except (TypeError, ValueError):
        pass
    raise ValueError(f"scale must be one number or three, for the A, B and C modules, got {scale!r}")


_RESNET_STEM = ["3x3 32 V/2", "3x3 32 V", "3x3 64", "3x3 max V/2", "1x1 80", "3x3 192 V"]
_RESIDUAL_SCOPES = ("Repeat/block35", "Repeat_1/block17", "Repeat_2/block8")


def _residual_trunk(
    times: tuple[int, int, int],
    modules: Sequence[Branches],
    reductions: Sequence[Branches],
    scale: float | Sequence[float],
) -> list[Part]:
    """The A, B and C modules, each so many times, and the reductions between; after them a C that is neither scaled nor
    followed by a ReLU."""
    a, b, c = (
        [Residual(f"{scope}_{i}", branches, factor) for i in range(1, n + 1)]
        for scope, n, branches, factor in zip(_RESIDUAL_SCOPES, times, modules, _three(scale), strict=True)
    )
    reduction_a, reduction_b = reductions
    last = Residual("Block8", modules[-1], 1.0, None)
    return [*a, reduction_a, *b, "PreAuxLogits", reduction_b, *c, last]


def inception_resnet_v1(
    inputs: tf.Tensor,
    num_classes: int | None = None,
    is_training: bool | None = None,
    scale: float | Sequence[float] = (0.17, 0.10, 0.20),
    dropout_keep_prob: float = 0.8,
    create_aux_logits: bool = False,
    reuse: bool | None = None,
    scope: str | None = None,
) -> Outputs:
    """Inception-ResNet V1 (Fig. 15, stem of Fig. 14): (net, end_points).

    scale: of the A, B and C modules, or one number for all, else a ValueError; all else as in `inception_v4`.
    The last C module is facenet's: a sixth one, neither scaled nor with a ReLU. Its classifier is on 1792 features. Neither
    facenet's model nor the paper has an auxiliary head; here it is that of V2.
    end_points: "Conv2d_1a_3x3" ... "Conv2d_4b_3x3", "block35_1" to "_5" (35x35x256 at 299), "Mixed_6a", "block17_1" to
    "_10", "PreAuxLogits" (17x17x896), "Mixed_7a", "block8_1" to "_5", "Block8" (8x8x1792), and the ends of `inception_v4`.
    """
    modules = (RESNET_V1_A, RESNET_V1_B, RESNET_V1_C)
    trunk = _residual_trunk((5, 10, 5), modules, (REDUCTION_V1_A, REDUCTION_V1_B), scale)
    parts = [*_RESNET_STEM, "3x3 256 V/2 as 4b", *trunk]
    options = (num_classes, is_training, dropout_keep_prob, create_aux_logits, reuse, scope)
    return _network(inputs, parts, _Auxiliary("PreAuxLogits"), "InceptionResnetV1", *options)


def inception_resnet_v2(
    inputs: tf.Tensor,
    num_classes: int | None = None,
    is_training: bool | None = None,
    scale: float | Sequence[float] = (0.17, 0.10, 0.20),
    dropout_keep_prob: float = 0.8,
    create_aux_logits: bool = False,
    reuse: bool | None = None,
    scope: str | None = None,
) -> Outputs:
    """Inception-ResNet V2, the public model: (net, end_points).

    Arguments, net and errors as in `inception_resnet_v1`. The branches are those of Fig. 16 to 19. Fig. 15 has V4's stem and
    5, 10 and 5 modules; the model has V1's stem with a pooling at its end and Mixed_5b, 10, 20 and 10 modules, the last
    neither scaled nor with a ReLU, and a 1x1 convolution to 1536 features.
    end_points: "Conv2d_1a_3x3" ... "MaxPool_5a_3x3", "Mixed_5b", "block35_1" to "_10" (35x35x320 at 299), "Mixed_6a",
    "block17_1" to "_20", "PreAuxLogits" (17x17x1088), "Mixed_7a", "block8_1" to "_9", "Block8" (8x8x2080), "Conv2d_7b_1x1"
    (8x8x1536), and the ends of `inception_v4`.
    """
    modules = (RESNET_V2_A, RESNET_V2_B, RESNET_V2_C)
    trunk = _residual_trunk((10, 20, 9), modules, (REDUCTION_V2_A, REDUCTION_V2_B), scale)
    parts = [*_RESNET_STEM, "3x3 max V/2", MIXED_5B, *trunk, "1x1 1536"]
    options = (num_classes, is_training, dropout_keep_prob, create_aux_logits, reuse, scope)
    return _network(inputs, parts, _Auxiliary("PreAuxLogits"), "InceptionResnetV2", *options)


for _function in (inception_v4, inception_resnet_v1, inception_resnet_v2):
    _function.default_image_size = 299


def inception_arg_scope(
    is_training: bool = True,
    weight_decay: float = 0.00004,
    batch_norm_decay: float = 0.9997,
    batch_norm_epsilon: float = 0.001,
    batch_norm_scale: bool = False,
) -> dict:
    """`resnet_arg_scope` with the numbers of the public models, and L2 of the classifier's weights too.

    batch_norm_scale: the public models train no gamma; other libraries do, and count its numbers as parameters.
    """
    convolutions = resnet_arg_scope(is_training, weight_decay, batch_norm_decay, batch_norm_epsilon, batch_norm_scale)
    regularizer = slim.l2_regularizer(weight_decay)
    with slim.arg_scope(convolutions), slim.arg_scope([slim.fully_connected], weights_regularizer=regularizer) as scope:
        return scope
