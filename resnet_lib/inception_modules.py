"""The modules of the Inception networks, from texts: a line of boxes becomes layers.

A module is a tuple of branches, each a line of boxes in the order in which they are applied. A box says kernel and depth,
"1x7 224", and "V" for VALID padding, "V/2" for VALID with stride 2. "3x3 avg" and "3x3 max" pool; "a + b" are two boxes
side by side on the same input; "as 0a" gives a box another name than the models' numbering does. `inception` holds the
modules and networks of the paper. Used in notebook 10.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from string import ascii_lowercase
from typing import NamedTuple

from .tf_slim_compat import slim, tf

Branches = tuple[str, ...]
Outputs = tuple[tf.Tensor, dict[str, tf.Tensor]]  # (net, end_points)


class Residual(NamedTuple):
    """A residual module in the list of a network; the fields after `scope` as in `residual_module`."""

    scope: str
    branches: Branches
    scale: float = 1.0
    activation_fn: Callable | None = tf.nn.relu


Part = str | Branches | Residual  # of a network: a box, a module, a residual module


def positions(parts: Iterable[Part]) -> Iterator[str]:
    """The models' numbering, "1a", "2a", "2b": the number counts what is VALID, the letter starts again after each."""
    number = 0
    letter = -1
    for part in parts:
        if " V" in "".join(part):
            number += 1
            letter = 0
        else:
            letter += 1
        yield f"{number}{ascii_lowercase[letter]}"


_BOX = re.compile(r"((\d+)x(\d+)) (avg|max|\d+)(?:( V)(/2)?)?(?: as (\w+))?")
_POOLS = {"avg": ("AvgPool", slim.avg_pool2d), "max": ("MaxPool", slim.max_pool2d)}


def box_layer(inputs: tf.Tensor, box: str, position: str) -> tuple[tf.Tensor, str]:
    """One box as a layer with the scope "Conv2d_<position>_<kernel>": (net, scope)."""
    match = _BOX.fullmatch(box)
    if not match:
        raise ValueError(f'a box reads like "1x7 224", "3x3 96 V", "3x3 96 V/2" or "3x3 avg", got {box!r}')
    kernel, height, width, kind, valid, halved, renamed = match.groups()
    word, pool = _POOLS.get(kind, ("Conv2d", None))
    scope = "_".join(filter(None, [word, renamed or position, kernel]))
    size = [int(height), int(width)]
    options = {"stride": 2 if halved else 1, "padding": "VALID" if valid else "SAME", "scope": scope}
    if pool:
        return pool(inputs, size, **options), scope
    return slim.conv2d(inputs, int(kind), size, **options), scope


def _branch(inputs: tf.Tensor, line: str) -> tf.Tensor:
    """The boxes of a line in order; those that "+" joins stand side by side."""
    steps = [step.split(" + ") for step in line.split(", ")]
    numbers = positions(box for step in steps for box in step)
    if len(steps) == 1 and " V" not in line:  # a box alone that keeps the size has no number
        numbers = iter([""])
    net = inputs
    for step in steps:
        side_by_side = [box_layer(net, box, next(numbers))[0] for box in step]
        net = side_by_side[0] if len(step) == 1 else tf.concat(side_by_side, axis=3)
    return net


def _concatenated(inputs: tf.Tensor, branches: Branches) -> tf.Tensor:
    """All branches on the same inputs, each in the scope `Branch_i`, concatenated over the channels."""
    outputs = []
    for i, line in enumerate(branches):
        with tf.compat.v1.variable_scope(f"Branch_{i}"):
            outputs.append(_branch(inputs, line))
    return tf.concat(outputs, axis=3)


def inception_module(inputs: tf.Tensor, branches: Branches, scope: str | None = None) -> tf.Tensor:
    """The branches of a module, one of the tables of `inception` or another, concatenated over the channels.

    [batch, height, width, channels] -> [batch, height, width, sum of the depths], or with "V/2" in every branch
    [batch, (height - 1) // 2, (width - 1) // 2, sum]. A pooling at the end of a branch has the depth of its input.
    Raises ValueError for a box that cannot be read.
    """
    with tf.compat.v1.variable_scope(scope, "Mixed", [inputs]):
        return _concatenated(inputs, branches)


def residual_module(
    inputs: tf.Tensor,
    branches: Branches,
    scale: float = 1.0,
    activation_fn: Callable | None = tf.nn.relu,
    scope: str | None = None,
) -> tf.Tensor:
    """relu(x + scale * F(x)): F is the branches, concatenated, and a 1x1 convolution with a bias, without BN and ReLU.

    [batch, height, width, channels] -> the same. scale: the paper's section 3.3 and Fig. 20, 0.1 to 0.3 there; 1.0 is none.
    activation_fn: what stands for the ReLU, None leaves it out.
    """
    with tf.compat.v1.variable_scope(scope, "Residual", [inputs]):
        mixed = _concatenated(inputs, branches)
        up = slim.conv2d(mixed, inputs.shape[3], [1, 1], normalizer_fn=None, activation_fn=None, scope="Conv2d_1x1")
        net = inputs + scale * up
        return activation_fn(net) if activation_fn else net


def stacked(net: tf.Tensor, parts: Sequence[Part]) -> Outputs:
    """The parts of a network one on another: (net, end_points). A text of one word names what is there already."""
    end_points = {}
    numbers = positions(part for part in parts if not isinstance(part, Residual))
    for part in parts:
        if isinstance(part, Residual):
            name = part.scope.split("/")[-1]
            net = residual_module(net, part.branches, part.scale, part.activation_fn, scope=part.scope)
        elif isinstance(part, tuple):
            name = f"Mixed_{next(numbers)}"
            net = inception_module(net, part, name)
        elif " " in part:
            net, name = box_layer(net, part, next(numbers))
        else:
            name = part
            next(numbers)  # a name counts among the letters, as in the models
        end_points[name] = net
    return net, end_points
