"""Residual networks as data: a network is a list of Blocks, a Block is a list of Units.

Pure Python, no TensorFlow. `accounting` counts these descriptions, `resnet_v1` and `resnet_v2` turn them into graphs.
"""

import difflib
import itertools
import operator
from collections import namedtuple
from dataclasses import dataclass, replace
from typing import NamedTuple

from .checks import one_of, positive_int


class Unit(NamedTuple):
    """One bottleneck residual unit, 1x1 -> 3x3 -> 1x1, as the source text's tuple (depth, depth_bottleneck, stride)."""

    depth: int  # channels out of the unit
    depth_bottleneck: int  # channels of the first 1x1 and of the 3x3
    stride: int  # of the 3x3, or of the first 1x1 (Architecture.stride_in)


class BasicUnit(NamedTuple):
    """One residual unit of two layers, 3x3 -> 3x3, both of `depth` channels; the first one has the stride."""

    depth: int
    stride: int


class Root(NamedTuple):
    """What stands before the first block: a convolution, and a 3x3 max pooling unless `pool_stride` is 1."""

    depth: int
    kernel_size: int
    stride: int
    pool_stride: int


class Block(namedtuple("Block", "scope unit_fn args")):
    """A run of units: `Block("block1", bottleneck, [(256, 64, 1)] * 2 + [(256, 64, 2)])`.

    scope: the name of the block; its variables live under it.
    unit_fn: the function that makes one unit, or its name ("bottleneck_v2"): a name keeps the block pure data.
    args: one element a unit: the tuple (depth, depth_bottleneck, stride), for a basic unit (depth, stride), or
    tf-slim's dict of the same names.
    """

    __slots__ = ()


class Ordering(NamedTuple):
    """Where BN and ReLU stand in a unit; between two of its convolutions both stand, whatever the ordering."""

    first: str  # before the first convolution
    last: str  # behind the last convolution
    after: str  # behind the sum


# He et al. 2016, Fig. 4 (a) to (e).
ORDERINGS = {
    "v1": Ordering("", "BN", "ReLU"),
    "bn_after_addition": Ordering("", "", "BN ReLU"),
    "relu_before_addition": Ordering("", "BN ReLU", ""),
    "relu_only_preactivation": Ordering("ReLU", "BN", ""),
    "v2": Ordering("BN ReLU", "", ""),
}

# The kinds of units, "basic_v1", "bottleneck_v1", "basic_bn_after_addition", ...: how many layers, and in which ordering.
UNIT_KINDS = {
    f"{size}_{ordering}": type for ordering in ORDERINGS for size, type in (("basic", BasicUnit), ("bottleneck", Unit))
}

# He et al. 2015, section 3.3: A pads the identity with zero channels, B projects (1x1 convolution) only where the number
# of channels changes, C projects in every unit. "none" leaves the shortcut out: a plain network. He et al. 2016, section
# 3.1 and Fig. 2, do something to the identity in every unit: halve it and the residual ("scaling"), open a gate between
# the two ("exclusive_gating") or on the identity alone ("shortcut_only_gating"), or drop half of it ("dropout"). Where
# the shape changes, these start from what A gives.
SHORTCUTS = ("A", "B", "C", "none", "scaling", "exclusive_gating", "shortcut_only_gating", "dropout")

# Where a downsampling unit stands in its block, and which of its convolutions strides. The paper strides in the first 1x1
# of a block's first unit; torchvision in that unit's 3x3; tf-slim in the 3x3 of the last unit of the block before.
LAYOUTS = {"paper": ("first", "1x1"), "v1.5": ("first", "3x3"), "slim": ("last", "3x3")}

IMAGENET_ROOT = Root(depth=64, kernel_size=7, stride=2, pool_stride=2)  # He et al. 2015, Table 1
CIFAR_ROOT = Root(depth=16, kernel_size=3, stride=1, pool_stride=1)  # He et al. 2015, section 4.2

# How a network can be frozen for inference, see `Network.freeze`.
ENGINES = ("tf", "xla", "openvino", "session")
PRECISIONS = ("float32", "bfloat16")

OWN = "own"  # the image size or number of classes that the network was designed for


def _kind(unit_fn):
    """The name of a unit function ("bottleneck_v2"), or None."""
    return unit_fn if isinstance(unit_fn, str) else getattr(unit_fn, "kind", None)


def unit_kind(unit_fn):
    """The name of a unit function ("bottleneck_v2"). Raises ValueError for a function that this library cannot count."""
    kind = _kind(unit_fn)
    if kind not in UNIT_KINDS:
        raise ValueError(
            f"unit_fn must be one of {list(UNIT_KINDS)} or the function of that name, got {unit_fn!r}; "
            "a network of other units can be counted from its graph (resnet_lib.graph_cost)"
        )
    return kind


def unit_type(unit_fn):
    """The class of a unit's arguments, Unit or BasicUnit. A function that this library cannot count may name its own, as
    its attribute `unit_type`; else it takes a Unit's."""
    return UNIT_KINDS.get(_kind(unit_fn)) or getattr(unit_fn, "unit_type", Unit)


def unit_ordering(kind):
    """The Ordering of a kind of unit, for example of "basic_v1"."""
    return ORDERINGS[kind.split("_", 1)[1]]


def check_identity(shortcut, depth_in, depth, where):
    """Raises ValueError for an identity that would have to drop channels: zeros can widen, not narrow."""
    if shortcut not in ("B", "C") and depth < depth_in:
        raise ValueError(
            f"{where}: shortcut {shortcut!r} pads channels with zeros and cannot turn {depth_in} channels into {depth}; "
            "use 'B' or 'C'"
        )


def as_unit(arg, type=Unit, where="unit"):
    """A Unit or BasicUnit from its tuple or dict form. Raises ValueError or TypeError that says which unit is malformed."""
    fields = type._fields
    if isinstance(arg, dict):
        if not {*fields} - {"stride"} <= arg.keys() <= {*fields}:
            raise ValueError(f"{where}: expected the keys {list(fields)}, got {sorted(arg)}")
        arg = tuple({"stride": 1, **arg}[field] for field in fields)
    if not isinstance(arg, tuple | list) or len(arg) != len(fields):
        raise ValueError(f"{where}: expected ({', '.join(fields)}), got {arg!r}")
    return type(*(positive_int(f"{where}: {field}", value) for field, value in zip(fields, arg, strict=True)))


@dataclass(frozen=True)
class Architecture:
    """A whole network: a root, blocks of units, and a classifier.

    name: the variable scope of the network; blocks: tuple of Block, every element of whose `args` is a Unit or BasicUnit;
    root: a Root, None for none; shortcut: one of SHORTCUTS ("none" makes a plain network); stride_in: the convolution of a
    bottleneck that has the unit's stride, "1x1" (the first) or "3x3"; image_size, num_classes: what it was designed for.
    Raises ValueError when there is no block, when a block has no unit or shares its scope with another, when a unit is
    malformed, when units of V1 and V2 are mixed, and for an unknown shortcut or stride_in.
    """

    name: str
    blocks: tuple[Block, ...]
    root: Root | None = IMAGENET_ROOT
    shortcut: str = "B"
    stride_in: str = "3x3"
    image_size: int = 224
    num_classes: int = 1000

    def __post_init__(self):
        if not all(isinstance(block, tuple) and len(block) == 3 for block in self.blocks):
            raise TypeError(f"blocks must be a list of Block(scope, unit_fn, args), got {self.blocks!r}")
        blocks = tuple(Block(*block) for block in self.blocks)
        if not blocks:
            raise ValueError(f"blocks: {self.name!r} needs at least one Block, got an empty list")
        scopes = [block.scope for block in blocks]
        if len(set(scopes)) < len(scopes):
            raise ValueError(f"blocks: every Block needs a scope of its own, got {scopes}")
        if len({_version(block) for block in blocks}) > 1:
            kinds = [unit_kind(block.unit_fn) for block in blocks]
            raise ValueError(f"blocks: units of V1 and V2 cannot be stacked on each other, got {kinds}")
        one_of("shortcut", self.shortcut, SHORTCUTS)
        one_of("stride_in", self.stride_in, ("1x1", "3x3"))
        if self.root is not None:
            root = Root(*self.root)
            object.__setattr__(self, "root", Root(*(positive_int(f"root: {f}", v) for f, v in root._asdict().items())))
        object.__setattr__(self, "blocks", tuple(map(_checked, blocks)))

    @property
    def version(self):
        """2 where a unit begins with BN or ReLU, as in the full pre-activation of He et al. 2016: the root then has none of its
        own, and BN and ReLU stand before the classifier. Else 1, as in He et al. 2015."""
        return _version(self.blocks[0])

    @property
    def units(self):
        """The number of residual units in each block, for example (3, 4, 6, 3)."""
        return tuple(len(block.args) for block in self.blocks)

    @property
    def layers(self):
        """Layers with weights on the longest path: 3 a bottleneck, 2 a basic unit, the root convolution and the
        classifier (He et al. 2015, Table 1): (3 + 4 + 6 + 3) * 3 + 2 = 50."""
        convolutions = (len(block.args) * (3 if unit_type(block.unit_fn) is Unit else 2) for block in self.blocks)
        return sum(convolutions) + (self.root is not None) + 1

    @property
    def layout(self):
        """The name of the stride layout ("paper", "v1.5" or "slim"), None when the strides stand otherwise. Basic units
        have no 1x1, so for them "paper" and "v1.5" are one, called "paper"."""
        basic = all(unit_type(block.unit_fn) is BasicUnit for block in self.blocks)
        fitting = (
            name
            for name, (place, kernel) in LAYOUTS.items()
            if (basic or kernel == self.stride_in) and _boundary_strides(self.blocks, place)
        )
        return next(fitting, None)

    def variant(self, layout=None, shortcut=None):
        """The same network with another stride layout or shortcut; None keeps what it has.

        Parameters keep their names and, but for the shortcut's, their shapes. Raises ValueError for an unknown layout or
        shortcut, and for a layout when strides stand elsewhere than in the first or the last unit of the blocks.
        """
        changed = self
        if layout is not None:
            place, kernel = LAYOUTS[one_of("layout", layout, LAYOUTS)]
            blocks = changed.blocks if _boundary_strides(changed.blocks, place) else _moved(changed.blocks, place)
            changed = replace(changed, blocks=blocks, stride_in=kernel)
        return changed if shortcut is None else replace(changed, shortcut=shortcut)


def _version(block):
    kind = _kind(block.unit_fn)
    if kind in UNIT_KINDS:
        return 2 if unit_ordering(kind).first else 1
    return getattr(block.unit_fn, "version", 2)


def _checked(block):
    if not block.args:
        raise ValueError(f"blocks: Block {block.scope!r} needs at least one unit, got {block.args!r}")
    type, name = unit_type(block.unit_fn), f"Block {block.scope!r}, unit"
    return block._replace(args=tuple(as_unit(arg, type, f"{name} {i}") for i, arg in enumerate(block.args, 1)))


def _boundary_strides(blocks, place):
    """The strides at the boundaries of blocks: before the first, between them, after the last. None unless each stands in
    the `place` ("first" or "last") unit of its block."""
    strides = [[unit.stride for unit in block.args] for block in blocks]
    elsewhere = [stride for block in strides for stride in (block[1:] if place == "first" else block[:-1])]
    if any(stride > 1 for stride in elsewhere):
        return None
    return [block[0] for block in strides] + [1] if place == "first" else [1] + [block[-1] for block in strides]


def _moved(blocks, place):
    """The blocks with the strides of the "first" units moved to the "last" ones of the blocks before, or back."""
    strides = _boundary_strides(blocks, "last" if place == "first" else "first")
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


def staged_blocks(kind, num_units, base_depths, layout, width=1):
    """One Block a stage, each at half the resolution of the one before: tuple of Block, "block1", "block2", ...

    A unit has the depth base_depth if it is basic, else 4 * base_depth around a bottleneck of width * base_depth.
    layout: where the strides stand, see LAYOUTS.
    """
    place, stages = LAYOUTS[layout][0], zip(base_depths, num_units, strict=True)
    basic, blocks = UNIT_KINDS[kind] is BasicUnit, []
    for i, (base_depth, n) in enumerate(stages, 1):
        unit = BasicUnit(base_depth, 1) if basic else Unit(4 * base_depth, width * base_depth, 1)
        units = [unit] * n
        if place == "first" and i > 1:
            units[0] = unit._replace(stride=2)
        if place == "last" and i < len(num_units):
            units[-1] = unit._replace(stride=2)
        blocks.append(Block(f"block{i}", kind, tuple(units)))
    return tuple(blocks)


def _imagenet(name, kind, num_units, layout, width=1, shortcut="B"):
    blocks = staged_blocks(kind, num_units, (64, 128, 256, 512), layout, width)
    return Architecture(name, blocks, shortcut=shortcut, stride_in=LAYOUTS[layout][1])


def cifar_architecture(layers, version=1, shortcut=None):
    """The network for 32x32 images of `layers` layers: Architecture, named "resnet_v1_cifar_20", "plain_cifar_20", ...

    A 3x3 convolution of 16 channels, three blocks of n units at 32, 16 and 8 pixels, global pooling and a classifier.
    version 1: 6n + 2 layers, basic units of 16, 32 and 64 channels, shortcut "A" unless another is named (He et al. 2015,
    section 4.2). version 2: 9n + 2 layers, bottlenecks of 64, 128 and 256 channels, shortcut "B" (He et al. 2016).
    Raises ValueError for other numbers of layers.
    """
    one_of("version", version, (1, 2))
    per_n = 6 if version == 1 else 9
    n, remainder = divmod(positive_int("layers", layers) - 2, per_n)
    if n < 1 or remainder:
        examples = ", ".join(str(per_n * i + 2) for i in (1, 2, 3))
        raise ValueError(f"layers must be {per_n}n + 2 for version {version} ({examples}, ...), got {layers}")
    shortcut = ("A" if version == 1 else "B") if shortcut is None else shortcut
    kind = "basic_v1" if version == 1 else "bottleneck_v2"
    return Architecture(
        f"plain_cifar_{layers}" if shortcut == "none" else f"resnet_v{version}_cifar_{layers}",
        staged_blocks(kind, (n, n, n), (16, 32, 64), "paper"),
        root=CIFAR_ROOT, shortcut=shortcut, stride_in="1x1", image_size=32, num_classes=10,
    )  # fmt: skip


class _Architectures(dict):
    def __missing__(self, name):
        near = difflib.get_close_matches(str(name), [*self, *OTHER_NETS], n=1, cutoff=0.0)
        raise KeyError(
            f"no architecture is called {name!r}; the nearest is {near[0]!r}, all are {[*self, *OTHER_NETS]}"
        )


# Networks that are no lists of Blocks, so they are built and counted from their graphs. Name -> the module that has them, the
# arg scope there, and the image size they are made for.
OTHER_NETS = {
    "alexnet_v2": ("tf_slim.nets.alexnet", "alexnet_v2_arg_scope", 224),
    "vgg_16": ("tf_slim.nets.vgg", "vgg_arg_scope", 224),
    "vgg_19": ("tf_slim.nets.vgg", "vgg_arg_scope", 224),
    "inception_v1": ("tf_slim.nets.inception_v1", "inception_v1_arg_scope", 224),
    "inception_v3": ("tf_slim.nets.inception_v3", "inception_v3_arg_scope", 299),
    "inception_v4": ("resnet_lib.inception", "inception_arg_scope", 299),
    "inception_resnet_v1": ("resnet_lib.inception", "inception_arg_scope", 299),
    "inception_resnet_v2": ("resnet_lib.inception", "inception_arg_scope", 299),
}

# Units a block: He et al. 2015, Table 1, and for 200 layers He et al. 2016, Table 5. The source text gives the 200-layer
# network 23 units in its second block; (3 + 23 + 36 + 3) * 3 + 2 is 197, and 24 units make 200.
_BASIC_UNITS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
_BOTTLENECK_UNITS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3), 200: (3, 24, 36, 3)}

# Each network as its source has it. 18 and 34 layers: the layout of He et al. 2015 with shortcut B, the parameters that
# torchvision counts. 50 to 200 layers: tf-slim's layout. wide_resnet_50_2 (Zagoruyko and Komodakis 2016): torchvision's.
# CIFAR: shortcut A (V1, He et al. 2015) and B (V2, He et al. 2016), both in the papers' layout. ResNeXt is not here: its
# 3x3 works in groups of channels, which neither a Unit's three numbers nor tf-slim's conv2d can say.
ARCHITECTURES = _Architectures(
    (architecture.name, architecture)
    for architecture in (
        *(_imagenet(f"plain_{n}", "basic_v1", units, "paper", shortcut="none") for n, units in _BASIC_UNITS.items()),
        *(_imagenet(f"resnet_v1_{n}", "basic_v1", units, "paper") for n, units in _BASIC_UNITS.items()),
        *(_imagenet(f"resnet_v1_{n}", "bottleneck_v1", units, "slim") for n, units in _BOTTLENECK_UNITS.items()),
        *(_imagenet(f"resnet_v2_{n}", "basic_v2", units, "paper") for n, units in _BASIC_UNITS.items()),
        *(_imagenet(f"resnet_v2_{n}", "bottleneck_v2", units, "slim") for n, units in _BOTTLENECK_UNITS.items()),
        _imagenet("wide_resnet_50_2", "bottleneck_v1", _BOTTLENECK_UNITS[50], "v1.5", width=2),
        *(cifar_architecture(n, shortcut="none") for n in (20, 32, 44, 56, 110)),
        *(cifar_architecture(n) for n in (20, 32, 44, 56, 110, 1202)),
        *(cifar_architecture(n, version=2) for n in (164, 1001)),
    )
)


def get_architecture(architecture, layout=None, shortcut=None):
    """The Architecture of a name, of a list of Blocks, or itself, with another layout or shortcut where one is named.

    Raises ValueError for an unknown name, layout or shortcut.
    """
    if isinstance(architecture, str):
        if architecture in OTHER_NETS:
            raise ValueError(
                f"{architecture!r} is no list of Blocks: build it and count its graph with "
                f"build({architecture!r}).cost(), or list it in cost_table"
            )
        try:
            architecture = ARCHITECTURES[architecture]
        except KeyError as error:
            raise ValueError(error.args[0]) from None
    elif isinstance(architecture, tuple | list):
        architecture = Architecture("resnet", tuple(architecture))
        architecture = replace(architecture, name=f"resnet_v{architecture.version}")
    elif not isinstance(architecture, Architecture):
        raise TypeError(f"architecture must be a name, an Architecture or a list of Blocks, got {architecture!r}")
    return architecture.variant(layout, shortcut)


def blocks_output_stride(output_stride, root=IMAGENET_ROOT):
    """The output stride that the blocks must reach: the network's divided by the root's (4 for ImageNet's).

    None stays None. Raises ValueError when `output_stride` is not a positive whole number or no multiple of the root's.
    """
    if output_stride is None:
        return None
    root_stride, output_stride = (
        root.stride * root.pool_stride if root else 1,
        positive_int("output_stride", output_stride),
    )
    if output_stride % root_stride:
        raise ValueError(
            f"output_stride must be a multiple of {root_stride} (the root block strides by {root_stride}), got {output_stride}"
        )
    return output_stride // root_stride


def check_reachable(output_stride, unit_strides):
    """Raises ValueError unless some run of units from the start has a product of strides equal to `output_stride`."""
    reachable = sorted(set(itertools.accumulate(unit_strides, operator.mul, initial=1)))
    if output_stride is not None and output_stride not in reachable:
        raise ValueError(
            "The target output_stride cannot be reached: "
            f"the units of these blocks reach {reachable}, not {output_stride} (a root block strides before them)"
        )
