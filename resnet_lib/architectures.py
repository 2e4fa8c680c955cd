"""Residual networks as data: a network is a list of Blocks, a Block is a list of Units.

Pure Python, no TensorFlow. `accounting` counts these descriptions, `resnet_v2` turns them into a graph.
"""

import difflib
import itertools
import operator
from collections import namedtuple
from dataclasses import dataclass
from typing import NamedTuple


class Unit(NamedTuple):
    """One bottleneck residual unit, 1x1 -> 3x3 -> 1x1, as the source text's tuple (depth, depth_bottleneck, stride)."""

    depth: int  # channels out of the unit
    depth_bottleneck: int  # channels of the first 1x1 and of the 3x3
    stride: int  # of the 3x3


class Block(namedtuple("Block", "scope unit_fn args")):
    """A run of units: `Block("block1", bottleneck, [(256, 64, 1)] * 2 + [(256, 64, 2)])`.

    scope: the name of the block; its variables live under it.
    unit_fn: the function that makes one unit, or its name ("bottleneck_v2"): a name keeps the block pure data.
    args: one element a unit: the tuple (depth, depth_bottleneck, stride), or tf-slim's dict of the same names.
    """

    __slots__ = ()


UNIT_KINDS = ("bottleneck_v2",)


def unit_kind(unit_fn):
    """The name of a unit function ("bottleneck_v2"). Raises ValueError for a function that this library cannot count."""
    kind = unit_fn if isinstance(unit_fn, str) else getattr(unit_fn, "kind", None)
    if kind not in UNIT_KINDS:
        raise ValueError(
            f"unit_fn must be one of {list(UNIT_KINDS)} or the function of that name, got {unit_fn!r}; "
            "a network of other units can be counted from its graph (resnet_lib.graph_cost)"
        )
    return kind


def positive_int(name, value):
    """`value` as an int. Raises TypeError or ValueError, naming the argument, when it is not a whole number >= 1."""
    try:
        number = operator.index(value)
        if isinstance(value, bool):
            raise TypeError
    except TypeError:
        raise TypeError(f"{name} must be a positive whole number, got {value!r}") from None
    if number < 1:
        raise ValueError(f"{name} must be a positive whole number, got {value!r}")
    return number


def height_and_width(image_size):
    """`image_size` as (height, width): one number means a square."""
    if not isinstance(image_size, tuple | list):
        return (positive_int("image_size", image_size),) * 2
    if len(image_size) != 2:
        raise ValueError(f"image_size must be one number or (height, width), got {image_size!r}")
    return tuple(positive_int("image_size", side) for side in image_size)


def as_unit(arg, where="unit"):
    """A Unit from the tuple or the dict form. Raises ValueError or TypeError that says which unit is malformed."""
    if isinstance(arg, dict):
        if not {"depth", "depth_bottleneck"} <= arg.keys() <= set(Unit._fields):
            raise ValueError(f"{where}: expected the keys {list(Unit._fields)}, got {sorted(arg)}")
        arg = (arg["depth"], arg["depth_bottleneck"], arg.get("stride", 1))
    if not isinstance(arg, tuple | list) or len(arg) != 3:
        raise ValueError(f"{where}: expected (depth, depth_bottleneck, stride), got {arg!r}")
    return Unit(*(positive_int(f"{where}: {field}", value) for field, value in zip(Unit._fields, arg, strict=True)))


@dataclass(frozen=True)
class Architecture:
    """A whole network: a root (7x7 convolution and 3x3 max pooling, each of stride 2), blocks, and a classifier.

    name: the variable scope of the network; blocks: tuple of Block, every element of whose `args` is a Unit;
    include_root_block: False leaves the root out. Raises ValueError when there is no block, when a block has no unit or
    shares its scope with another, or when a unit is malformed.
    """

    name: str
    blocks: tuple[Block, ...]
    include_root_block: bool = True

    def __post_init__(self):
        if not all(isinstance(block, tuple) and len(block) == 3 for block in self.blocks):
            raise TypeError(f"blocks must be a list of Block(scope, unit_fn, args), got {self.blocks!r}")
        blocks = tuple(Block(*block) for block in self.blocks)
        if not blocks:
            raise ValueError(f"blocks: {self.name!r} needs at least one Block, got an empty list")
        scopes = [block.scope for block in blocks]
        if len(set(scopes)) < len(scopes):
            raise ValueError(f"blocks: every Block needs a scope of its own, got {scopes}")
        object.__setattr__(self, "blocks", tuple(map(_checked, blocks)))

    @property
    def units(self):
        """The number of residual units in each block, for example (3, 4, 6, 3)."""
        return tuple(len(block.args) for block in self.blocks)

    @property
    def layers(self):
        """Layers with weights on the longest path: 3 a unit, the root convolution and the classifier (He et al. 2015,
        Table 1): (3 + 4 + 6 + 3) * 3 + 2 = 50."""
        return 3 * sum(self.units) + self.include_root_block + 1


def _checked(block):
    if not block.args:
        raise ValueError(f"blocks: Block {block.scope!r} needs at least one unit, got {block.args!r}")
    units = [as_unit(arg, f"Block {block.scope!r}, unit {i}") for i, arg in enumerate(block.args, 1)]
    return block._replace(args=tuple(units))


def slim_block(scope, unit_fn, base_depth, num_units, stride):
    """A block as tf-slim lays it out: the stride stands in the block's *last* unit. depth is 4 * base_depth."""
    units = [Unit(4 * base_depth, base_depth, 1)] * (num_units - 1) + [Unit(4 * base_depth, base_depth, stride)]
    return Block(scope, unit_fn, tuple(units))


def _resnet_v2(layers, *num_units):
    blocks = [
        slim_block(f"block{i + 1}", "bottleneck_v2", 64 * 2**i, n, stride=2 if i < 3 else 1)
        for i, n in enumerate(num_units)
    ]
    return Architecture(f"resnet_v2_{layers}", tuple(blocks))


class _Architectures(dict):
    def __missing__(self, name):
        near = difflib.get_close_matches(str(name), self, n=1, cutoff=0.0)
        raise KeyError(f"no architecture is called {name!r}; the nearest is {near[0]!r}, all are {sorted(self)}")


# Units a block: He et al. 2015, Table 1, and for 200 layers He et al. 2016, Table 5. The source text gives the 200-layer
# network 23 units in its second block; (3 + 23 + 36 + 3) * 3 + 2 is 197, and 24 units make 200.
ARCHITECTURES = _Architectures(
    (architecture.name, architecture)
    for architecture in (
        _resnet_v2(50, 3, 4, 6, 3),
        _resnet_v2(101, 3, 4, 23, 3),
        _resnet_v2(152, 3, 8, 36, 3),
        _resnet_v2(200, 3, 24, 36, 3),
    )
)


def get_architecture(architecture):
    """The Architecture of a name, of a list of Blocks, or itself. Raises ValueError for an unknown name."""
    if isinstance(architecture, Architecture):
        return architecture
    if isinstance(architecture, str):
        try:
            return ARCHITECTURES[architecture]
        except KeyError as error:
            raise ValueError(error.args[0]) from None
    if isinstance(architecture, tuple | list):
        return Architecture("resnet_v2", tuple(architecture))
    raise TypeError(f"architecture must be a name, an Architecture or a list of Blocks, got {architecture!r}")


def blocks_output_stride(output_stride, include_root_block=True):
    """The output stride that the blocks must reach: a quarter of the network's, for the root strides by 4 itself.

    None stays None. Raises ValueError when `output_stride` is not a positive whole number, or with the root no multiple of 4.
    """
    if output_stride is None:
        return None
    output_stride = positive_int("output_stride", output_stride)
    if not include_root_block:
        return output_stride
    if output_stride % 4:
        raise ValueError(f"output_stride must be a multiple of 4 (the root block strides by 4), got {output_stride}")
    return output_stride // 4


def check_reachable(output_stride, unit_strides):
    """Raises ValueError unless some run of units from the start has a product of strides equal to `output_stride`."""
    reachable = sorted(set(itertools.accumulate(unit_strides, operator.mul, initial=1)))
    if output_stride is not None and output_stride not in reachable:
        raise ValueError(
            "The target output_stride cannot be reached: "
            f"the units of these blocks reach {reachable}, not {output_stride} (a root block strides by 4 before them)"
        )
