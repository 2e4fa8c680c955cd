"""What a network is listed as: a root, and Blocks of units; where their strides stand.

Pure Python, no TensorFlow. `architectures` makes whole networks of them.
"""

from __future__ import annotations

import itertools
import operator
from collections import namedtuple
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from .checks import list_of, one_of, positive_int, scope_name
from .units import UNIT_KINDS, UnitKind, as_unit, unit_kind


class Root(NamedTuple):
    """What stands before the first block: a convolution, and a 3x3 max pooling unless `pool_stride` is 1."""

    depth: int
    kernel_size: int
    stride: int
    pool_stride: int


class Block(namedtuple("Block", "scope unit_fn args")):
    """A run of units: `Block("block1", "bottleneck_v2", [(256, 64, 1)] * 2 + [(256, 64, 2)])`.

    scope: the name of the block, which may have parts ("stage/1"); its variables live under it.
    unit_fn: the function that makes one unit, its name ("bottleneck_v2"), which keeps the block pure data, or a
    `units.UnitKind`.
    args: one element a unit: the tuple (depth, depth_bottleneck, stride), for a basic unit (depth, stride), or
    tf-slim's dict of the same names.
    """

    __slots__ = ()


# Where a downsampling unit stands in its block, and which of its convolutions strides. The paper strides in the first 1x1
# of a block's first unit; torchvision in that unit's 3x3; tf-slim in the 3x3 of the last unit of the block before.
LAYOUTS = {"paper": ("first", "1x1"), "v1.5": ("first", "3x3"), "slim": ("last", "3x3")}

# Parts of a network beside its blocks, and what tables and exports call them.
TAKEN_SCOPES = ("images", "root", "conv1", "pool1", "postnorm", "pool5", "logits", "predictions", "classifier")

# How the input of the root's max pooling is padded: as TensorFlow's SAME does, which for even sizes adds a row and a column at
# the end only; with zeros, or with nothing that could be the largest, on all sides ("zeros", Keras; "symmetric", PyTorch).
ROOT_POOLING = ("SAME", "zeros", "symmetric")

IMAGENET_ROOT = Root(depth=64, kernel_size=7, stride=2, pool_stride=2)  # He et al. 2015, Table 1
CIFAR_ROOT = Root(depth=16, kernel_size=3, stride=1, pool_stride=1)  # He et al. 2015, section 4.2


def checked_block(block: Any, blocks: Any) -> Block:
    """The block with units of its kind's shape. Raises ValueError or TypeError that says what is malformed."""
    if not isinstance(block, tuple) or len(block) != len(Block._fields):
        raise TypeError(f"blocks must be a list of Blocks, got {blocks!r}")
    block = Block(*block)
    kind = unit_kind(block.unit_fn)
    scope_name("blocks: the scope of a Block", block.scope)
    if block.scope.lower() in TAKEN_SCOPES:
        raise ValueError(
            f"blocks: no Block can be called {block.scope!r}, which is a part of every network; taken are "
            f"{list(TAKEN_SCOPES)}"
        )
    where = f"Block {block.scope!r}, unit"
    units = tuple(as_unit(arg, kind.shape, f"{where} {i}") for i, arg in enumerate(_listed_units(block), 1))
    if not units:
        raise ValueError(f"blocks: Block {block.scope!r} needs at least one unit, got {block.args!r}")
    # A kind of the table is held by its name: a description then is equal to another, and can be printed and sent around.
    return Block(block.scope, kind.name if UNIT_KINDS.get(kind.name) is kind else kind, units)


def _listed_units(block):
    """The units of a block, from any list of them: an array gives its rows as the tuples that they are."""
    args = block.args.tolist() if hasattr(block.args, "tolist") else block.args
    return list_of("units", f"Block {block.scope!r}: args", args)


def check_scopes(blocks: Sequence[Block]) -> None:
    """Raises ValueError unless every Block has a scope of its own, none within another's: variables are told apart by it."""
    scopes = [block.scope for block in blocks]
    plain = [scope.lower() for scope in scopes]  # TensorFlow names "A/weights" beside "a/weights" A/weights_1
    inside = [scope for scope in plain for other in plain if scope.startswith(f"{other}/")]
    if inside or len(set(plain)) < len(plain):
        raise ValueError(
            f"blocks: the scopes must differ in more than capital letters, and none may lie within another, got {scopes}"
        )


def checked_root(root: Any) -> Root:
    """The root as whole numbers. Raises ValueError or TypeError that names the wrong one."""
    if isinstance(root, str | dict) or not isinstance(root, Iterable) or len(root := tuple(root)) != len(Root._fields):
        raise TypeError(f"root must be a Root({', '.join(Root._fields)}) or None, got {root!r}")
    root = Root(*root)
    return Root(*(positive_int(f"root: {field}", value) for field, value in root._asdict().items()))


def checked_order(order: Any, blocks: Sequence[Block]) -> dict[str, list[int]]:
    """`order`, scope of a block -> the numbers of its units, as lists of int. Raises ValueError or TypeError for a block or a
    number that is not there, and for an empty list."""
    counts = {block.scope: len(block.args) for block in blocks}
    if not isinstance(order, dict):
        raise TypeError(f"order must be a dict, scope of a block -> numbers of its units, got {order!r}")
    checked = {}
    for scope, numbers in order.items():
        count = counts[one_of("order: block", scope, list(counts))]
        checked[scope] = list(list_of("numbers of units", f"order: {scope!r}", numbers))
        if not checked[scope] or not {*checked[scope]} <= {*range(1, count + 1)}:
            raise ValueError(
                f"order: {scope!r} has the units 1 to {count} and needs one at least, got {checked[scope]}"
            )
    return {scope: [*map(int, numbers)] for scope, numbers in checked.items()}


def boundary_strides(blocks: Sequence[Block], place: str) -> list[int] | None:
    """The strides at the boundaries of blocks: before the first, between them, after the last. None unless each stands in
    the `place` ("first" or "last") unit of its block."""
    strides = [[unit.stride for unit in block.args] for block in blocks]
    elsewhere = [stride for block in strides for stride in (block[1:] if place == "first" else block[:-1])]
    if any(stride > 1 for stride in elsewhere):
        return None
    return [block[0] for block in strides] + [1] if place == "first" else [1] + [block[-1] for block in strides]


def with_strides_moved(blocks: Sequence[Block], place: str) -> tuple[Block, ...]:
    """The blocks with the strides of the "first" units moved to the "last" ones of the blocks before, or back."""
    strides = boundary_strides(blocks, "last" if place == "first" else "first")
    if strides is None or strides[-1 if place == "first" else 0] > 1:
        found = {block.scope: tuple(unit.stride for unit in block.args) for block in blocks}
        raise ValueError(
            "layout: only strides between blocks can be moved, all in the first units of the blocks or all in the "
            f"last ones, got the strides {found}"
        )
    moved = []
    for i, block in enumerate(blocks):
        units = [unit._replace(stride=1) for unit in block.args]
        if place == "first":
            units[0] = units[0]._replace(stride=strides[i])
        else:
            units[-1] = units[-1]._replace(stride=strides[i + 1])
        moved.append(block._replace(args=tuple(units)))
    return tuple(moved)


def staged_blocks(
    kind: str | UnitKind,
    num_units: Sequence[int],
    base_depths: Sequence[int],
    layout: str,
    width: int = 1,
    groups: int = 32,
) -> tuple[Block, ...]:
    """One Block a stage, each at half the resolution of the one before: tuple of Block, "block1", "block2", ...

    A unit has the depth base_depth if it is basic, else 4 * base_depth around a bottleneck of width * base_depth; a grouped
    one has `groups`, or as many as its channels if these are fewer; a squeeze-and-excitation one squeezes to a sixteenth.
    layout: where the strides stand, see LAYOUTS.
    """
    place = LAYOUTS[layout][0]
    blocks = []
    for i, (base_depth, n) in enumerate(zip(base_depths, num_units, strict=True), 1):
        unit = unit_kind(kind).shape.sized(base_depth, width, groups)
        units = [unit] * n
        if place == "first" and i > 1:
            units[0] = unit._replace(stride=2)
        if place == "last" and i < len(num_units):
            units[-1] = unit._replace(stride=2)
        blocks.append(Block(f"block{i}", kind, tuple(units)))
    return tuple(blocks)


def blocks_output_stride(output_stride: int | None, root: Root | None, unit_strides: Iterable[int]) -> int | None:
    """The output stride that the blocks must reach: the network's divided by the root's (4 for ImageNet's).

    None stays None. Raises ValueError when `output_stride` is not a positive whole number, or is not the product of
    the strides of the root and the first few units.
    """
    if output_stride is None:
        return None
    root_stride = root.stride * root.pool_stride if root else 1
    check_reachable(positive_int("output_stride", output_stride), unit_strides, root_stride)
    return output_stride // root_stride


def check_reachable(output_stride: int | None, unit_strides: Iterable[int], start: int = 1) -> None:
    """Raises ValueError unless some run of units from the start has a product of strides, times `start`, equal to
    `output_stride`."""
    reachable = sorted(set(itertools.accumulate(unit_strides, operator.mul, initial=start)))
    if output_stride is not None and output_stride not in reachable:
        raise ValueError(
            f"The target output_stride cannot be reached: output_stride must be one of {reachable}, the products of the "
            f"strides from the start, got {output_stride}"
        )
