"""Inception V4, Inception-ResNet V1 and V2 (Szegedy, Ioffe, Vanhoucke, Alemi 2016, arXiv:1602.07261).

A module is written as the paper draws it: a tuple of branches, each a line of boxes in the order in which they are applied.
A box says kernel and depth, and "V" where the figure does: VALID padding, "V/2" with stride 2. "3x3 avg" and "3x3 max"
pool; "a + b" are two boxes side by side on the same input. A network is a list of boxes and modules.

    with slim.arg_scope(inception_arg_scope(is_training=False)):
        logits, end_points = inception_resnet_v2(images, num_classes=1000)

Variables and end points are named as in the models that were published with weights: tensorflow/models' for V4 and ResNet
V2, facenet's for ResNet V1. Where such a model differs from its figure, the model is followed and the difference noted.
"""

import re
from string import ascii_lowercase
from typing import NamedTuple

import numpy as np

from .checks import positive_int
from .resnet_utils import check_images, resnet_arg_scope
from .tf_slim_compat import slim, tf

__all__ = ["inception_arg_scope", "inception_module", "inception_resnet_v1", "inception_resnet_v2", "inception_v4",
           "residual_module"]  # fmt: skip

# The VALID boxes of each of the three networks leave 75, 37, 35, 17, 15, 7, 3, 1 of a side of 75. The auxiliary head needs
# 5 where 3 is left there: 107, 53, 51, 25, 23, 11, 5.
MIN_SIZE, MIN_SIZE_AUX = 75, 107

# Inception V4. "as 0a" gives a box the name that it has in the model, where it is none that `_positions` gives. In some
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


class Residual(NamedTuple):
    """A residual module in the list of a network; the fields after `scope` as in `residual_module`."""

    scope: str
    branches: tuple
    scale: float = 1.0
    activation_fn: object = tf.nn.relu


def _repeat(scope, times, branches, scale):
    return [Residual(f"{scope}_{i}", branches, scale) for i in range(1, times + 1)]


def _positions(parts):
    """The models' numbering, "1a", "2a", "2b": the number counts what is VALID, the letter starts again after each."""
    number, letter = 0, -1
    for part in parts:
        number, letter = (number + 1, 0) if " V" in "".join(part) else (number, letter + 1)
        yield f"{number}{ascii_lowercase[letter]}"


_BOX = re.compile(r"((\d+)x(\d+)) (avg|max|\d+)(?:( V)(/2)?)?(?: as (\w+))?")
_POOLS = {"avg": ("AvgPool", slim.avg_pool2d), "max": ("MaxPool", slim.max_pool2d)}


def _box(inputs, box, position):
    """One box as a layer with the scope "Conv2d_<position>_<kernel>": (net, scope)."""
    if not (match := _BOX.fullmatch(box)):
        raise ValueError(f'a box reads like "1x7 224", "3x3 96 V", "3x3 96 V/2" or "3x3 avg", got {box!r}')
    kernel, height, width, kind, valid, halved, renamed = match.groups()
    word, pool = _POOLS.get(kind, ("Conv2d", None))
    scope = "_".join(filter(None, [word, renamed or position, kernel]))
    size, options = [int(height), int(width)], {"stride": 2 if halved else 1, "padding": "VALID" if valid else "SAME"}
    if pool:
        return pool(inputs, size, scope=scope, **options), scope
    return slim.conv2d(inputs, int(kind), size, scope=scope, **options), scope


def _concatenated(inputs, branches):
    """All branches on the same inputs, each in the scope `Branch_i`, concatenated over the channels."""
    outputs = []
    for i, line in enumerate(branches):
        net, steps = inputs, [step.split(" + ") for step in line.split(", ")]
        positions = _positions(box for step in steps for box in step)
        if len(steps) == 1 and " V" not in line:  # a box alone that keeps the size has no number
            positions = iter([""])
        with tf.compat.v1.variable_scope(f"Branch_{i}"):
            for step in steps:
                side_by_side = [_box(net, box, next(positions))[0] for box in step]
                net = side_by_side[0] if len(step) == 1 else tf.concat(side_by_side, axis=3)
        outputs.append(net)
    return tf.concat(outputs, axis=3)


def inception_module(inputs, branches, scope=None):
    """The branches of a module, one of the tables above or another, concatenated over the channels.

    [batch, height, width, channels] -> [batch, height, width, sum of the depths], or with "V/2" in every branch
    [batch, (height - 1) // 2, (width - 1) // 2, sum]. A pooling at the end of a branch has the depth of its input.
    Raises ValueError for a box that cannot be read.
    """
    with tf.compat.v1.variable_scope(scope, "Mixed", [inputs]):
        return _concatenated(inputs, branches)


def residual_module(inputs, branches, scale=1.0, activation_fn=tf.nn.relu, scope=None):
    """relu(x + scale * F(x)): F is the branches, concatenated, and a 1x1 convolution with a bias, without BN and ReLU.

    [batch, height, width, channels] -> the same. scale: the paper's section 3.3 and Fig. 20, 0.1 to 0.3 there; 1.0 is none.
    activation_fn: what stands for the ReLU, None leaves it out.
    """
    with tf.compat.v1.variable_scope(scope, "Residual", [inputs]):
        mixed = _concatenated(inputs, branches)
        up = slim.conv2d(mixed, inputs.shape[3], [1, 1], normalizer_fn=None, activation_fn=None, scope="Conv2d_1x1")
        net = inputs + scale * up
        return activation_fn(net) if activation_fn else net


def _stack(net, parts):
    """The parts of a network one on another: (net, end_points). A text of one word names what is there already."""
    end_points, positions = {}, _positions(part for part in parts if not isinstance(part, Residual))
    for part in parts:
        if isinstance(part, Residual):
            net, name = residual_module(net, *part[1:], scope=part.scope), part.scope.split("/")[-1]
        elif isinstance(part, tuple):
            name = f"Mixed_{next(positions)}"
            net = inception_module(net, part, name)
        elif " " in part:
            net, name = _box(net, part, next(positions))
        else:
            name, _ = part, next(positions)
        end_points[name] = net
    return net, end_points


def _dense(net, num_classes, scope):
    """A classifier on [batch, depth], of the shape that `resnet_v2` gives its logits: [batch, 1, 1, num_classes]."""
    return slim.fully_connected(net, num_classes, activation_fn=None, scope=scope)[:, None, None, :]


def _auxiliary(net, num_classes, conv_scope, logits_scope):
    with tf.compat.v1.variable_scope("AuxLogits"):
        net = slim.avg_pool2d(net, [5, 5], stride=3, padding="VALID", scope="AvgPool_1a_5x5")
        net = slim.conv2d(net, 128, [1, 1], scope="Conv2d_1b_1x1")
        net = slim.conv2d(net, 768, net.shape[1:3], padding="VALID", scope=conv_scope)
        return _dense(tf.squeeze(net, [1, 2]), num_classes, logits_scope)


def _check_size(inputs, auxiliary):
    sides, least = inputs.shape.as_list()[1:3], MIN_SIZE_AUX if auxiliary else MIN_SIZE
    if auxiliary and None in sides:
        raise ValueError(f"inputs must have a known height and width for create_aux_logits, got {inputs.shape}")
    if any(side is not None and side < least for side in sides):
        what = " for create_aux_logits" if auxiliary else ""
        raise ValueError(f"inputs must be at least {least}x{least}{what}, got {inputs.shape}")


def _network(name, inputs, parts, aux, num_classes, is_training, keep_prob, create_aux_logits, reuse, scope):
    """What the three networks share. aux: the end point that the auxiliary head stands on, and the names of its layers."""
    check_images(inputs)
    auxiliary = create_aux_logits and num_classes is not None
    _check_size(inputs, auxiliary)
    if num_classes is not None:
        num_classes = positive_int("num_classes", num_classes)
    training = {} if is_training is None else {"is_training": is_training}
    with (
        tf.compat.v1.variable_scope(scope, name, [inputs], reuse=reuse),
        slim.arg_scope([slim.batch_norm, slim.dropout], **training),
    ):
        net, end_points = _stack(inputs, parts)
        if auxiliary:
            end_points["AuxLogits"] = _auxiliary(end_points[aux[0]], num_classes, *aux[1:])
        with tf.compat.v1.variable_scope("Logits"):
            net = end_points["global_pool"] = tf.reduce_mean(net, [1, 2], keepdims=True, name="global_pool")
            if num_classes is None:
                return net, end_points
            net = end_points["PreLogitsFlatten"] = slim.dropout(tf.squeeze(net, [1, 2]), keep_prob, scope="Dropout")
            net = end_points["Logits"] = _dense(net, num_classes, "Logits")
            end_points["Predictions"] = tf.nn.softmax(net, name="Predictions")
            return net, end_points


def inception_v4(inputs, num_classes=None, is_training=None, dropout_keep_prob=0.8, create_aux_logits=False, reuse=None,
                 scope=None):  # fmt: skip
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
    parts = ["3x3 32 V/2", "3x3 32 V", "3x3 64", STEM_3A, STEM_4A, STEM_5A,
             *4 * [INCEPTION_A], REDUCTION_A, *7 * [INCEPTION_B], REDUCTION_B, *3 * [INCEPTION_C]]  # fmt: skip
    return _network("InceptionV4", inputs, parts, ("Mixed_6h", "Conv2d_2a", "Aux_logits"), num_classes, is_training,
                    dropout_keep_prob, create_aux_logits, reuse, scope)  # fmt: skip


def _three(scale):
    try:
        scales = np.broadcast_to(np.asarray(scale, dtype=float), 3)
        if np.isfinite(scales).all():
            return scales.tolist()
    except (TypeError, ValueError):
        pass
    raise ValueError(f"scale must be one number or three, for the A, B and C modules, got {scale!r}")


def inception_resnet_v1(inputs, num_classes=None, is_training=None, scale=(0.17, 0.10, 0.20), dropout_keep_prob=0.8,
                        create_aux_logits=False, reuse=None, scope=None):  # fmt: skip
    """Inception-ResNet V1 (Fig. 15, stem of Fig. 14): (net, end_points).

    scale: of the A, B and C modules, or one number for all, else a ValueError; all else as in `inception_v4`.
    The last C module is facenet's: a sixth one, neither scaled nor with a ReLU. Its classifier is on 1792 features. Neither
    facenet's model nor the paper has an auxiliary head; here it is that of V2.
    end_points: "Conv2d_1a_3x3" ... "Conv2d_4b_3x3", "block35_1" to "_5" (35x35x256 at 299), "Mixed_6a", "block17_1" to
    "_10", "PreAuxLogits" (17x17x896), "Mixed_7a", "block8_1" to "_5", "Block8" (8x8x1792), and the ends of `inception_v4`.
    """
    a, b, c = _three(scale)
    parts = ["3x3 32 V/2", "3x3 32 V", "3x3 64", "3x3 max V/2", "1x1 80", "3x3 192 V", "3x3 256 V/2 as 4b",
             *_repeat("Repeat/block35", 5, RESNET_V1_A, a), REDUCTION_V1_A,
             *_repeat("Repeat_1/block17", 10, RESNET_V1_B, b), "PreAuxLogits", REDUCTION_V1_B,
             *_repeat("Repeat_2/block8", 5, RESNET_V1_C, c), Residual("Block8", RESNET_V1_C, 1.0, None)]  # fmt: skip
    return _network("InceptionResnetV1", inputs, parts, ("PreAuxLogits", "Conv2d_2a_5x5", "Logits"), num_classes,
                    is_training, dropout_keep_prob, create_aux_logits, reuse, scope)  # fmt: skip


def inception_resnet_v2(inputs, num_classes=None, is_training=None, scale=(0.17, 0.10, 0.20), dropout_keep_prob=0.8,
                        create_aux_logits=False, reuse=None, scope=None):  # fmt: skip
    """Inception-ResNet V2, the public model: (net, end_points).

    Arguments, net and errors as in `inception_resnet_v1`. The branches are those of Fig. 16 to 19. Fig. 15 has V4's stem and
    5, 10 and 5 modules; the model has V1's stem with a pooling at its end and Mixed_5b, 10, 20 and 10 modules, the last
    neither scaled nor with a ReLU, and a 1x1 convolution to 1536 features.
    end_points: "Conv2d_1a_3x3" ... "MaxPool_5a_3x3", "Mixed_5b", "block35_1" to "_10" (35x35x320 at 299), "Mixed_6a",
    "block17_1" to "_20", "PreAuxLogits" (17x17x1088), "Mixed_7a", "block8_1" to "_9", "Block8" (8x8x2080), "Conv2d_7b_1x1"
    (8x8x1536), and the ends of `inception_v4`.
    """
    a, b, c = _three(scale)
    parts = ["3x3 32 V/2", "3x3 32 V", "3x3 64", "3x3 max V/2", "1x1 80", "3x3 192 V", "3x3 max V/2", MIXED_5B,
             *_repeat("Repeat/block35", 10, RESNET_V2_A, a), REDUCTION_V2_A,
             *_repeat("Repeat_1/block17", 20, RESNET_V2_B, b), "PreAuxLogits", REDUCTION_V2_B,
             *_repeat("Repeat_2/block8", 9, RESNET_V2_C, c), Residual("Block8", RESNET_V2_C, 1.0, None),
             "1x1 1536"]  # fmt: skip
    return _network("InceptionResnetV2", inputs, parts, ("PreAuxLogits", "Conv2d_2a_5x5", "Logits"), num_classes,
                    is_training, dropout_keep_prob, create_aux_logits, reuse, scope)  # fmt: skip


inception_v4.default_image_size = inception_resnet_v1.default_image_size = inception_resnet_v2.default_image_size = 299


def inception_arg_scope(is_training=True, weight_decay=0.00004, batch_norm_decay=0.9997, batch_norm_epsilon=0.001,
                        batch_norm_scale=False):  # fmt: skip
    """`resnet_arg_scope` with the numbers of the public models, and L2 of the classifier's weights too.

    batch_norm_scale: the public models train no gamma; other libraries do, and count its numbers as parameters.
    """
    convolutions = resnet_arg_scope(is_training, weight_decay, batch_norm_decay, batch_norm_epsilon, batch_norm_scale)
    regularizer = slim.l2_regularizer(weight_decay)
    with slim.arg_scope(convolutions), slim.arg_scope([slim.fully_connected], weights_regularizer=regularizer) as scope:
        return scope
