"""A unit is a value: what it is made of stands in one table of kinds, and everything else reads that table.

Pure Python, no TensorFlow. `accounting` counts a unit from its kind, `orderings` builds it, `figures` draws it. To add a
kind: a shape below (its convolutions), a row in the table, and, where it has parts of its own, their count and their graph.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from .checks import instance_of, list_of, one_of, positive_int, scope_name


class Convolution(NamedTuple):
    """One convolution on the residual path of a unit: kernel x kernel, to `channels`, in so many groups."""

    kernel: int
    channels: int
    stride: int
    groups: int = 1

    def __str__(self):
        """As the tables of the papers print it: "3x3, 64", in 32 groups "3x3, 128, C=32"."""
        of_groups = f", C={self.groups}" if self.groups > 1 else ""
        return f"{self.kernel}x{self.kernel}, {self.channels}{of_groups}"


class BasicUnit(NamedTuple):
    """One residual unit of two layers, 3x3 -> 3x3, both of `depth` channels; the first one has the stride."""

    depth: int
    stride: int

    depth_squeeze = None

    def convolutions(self, stride_in: str = "3x3") -> list[Convolution]:
        """The convolutions of the residual path, in order. `stride_in` makes no difference: both are 3x3."""
        return [Convolution(3, self.depth, self.stride), Convolution(3, self.depth, 1)]

    @classmethod
    def sized(cls, base_depth: int, width: int, groups: int) -> BasicUnit:
        """Of stride 1, in the proportions of the papers; `width` and `groups` mean nothing here."""
        return cls(base_depth, 1)


class Unit(NamedTuple):
    """One bottleneck residual unit, 1x1 -> 3x3 -> 1x1, as the source text's tuple (depth, depth_bottleneck, stride)."""

    depth: int  # channels out of the unit
    depth_bottleneck: int  # channels of the first 1x1 and of the 3x3
    stride: int  # of the 3x3, or of the first 1x1 (`Architecture.stride_in`)

    depth_squeeze = None

    def convolutions(self, stride_in: str = "3x3") -> list[Convolution]:
        """The convolutions of the residual path, in order; stride_in: which of them strides, "1x1" or "3x3"."""
        return _bottleneck(self, stride_in)

    @classmethod
    def sized(cls, base_depth: int, width: int, groups: int) -> Unit:
        """Of stride 1, in the proportions of the papers: 4 * base_depth around a bottleneck of width * base_depth."""
        return cls(4 * base_depth, width * base_depth, 1)


class GroupedUnit(NamedTuple):
    """A bottleneck whose 3x3 works in groups of channels that do not see each other (ResNeXt: Xie et al. 2017,
    arXiv:1611.05431, Fig. 3c)."""

    depth: int
    depth_bottleneck: int
    stride: int
    groups: int  # divides depth_bottleneck

    depth_squeeze = None

    def convolutions(self, stride_in: str = "3x3") -> list[Convolution]:
        """As `Unit.convolutions`."""
        return _bottleneck(self, stride_in, self.groups)

    @classmethod
    def sized(cls, base_depth: int, width: int, groups: int) -> GroupedUnit:
        """As `Unit.sized`, in the largest number of groups, at most `groups`, that divides the channels."""
        channels = width * base_depth
        dividing = next(n for n in range(min(groups, channels), 0, -1) if channels % n == 0)
        return cls(4 * base_depth, channels, 1, dividing)


class SqueezeUnit(NamedTuple):
    """A bottleneck whose residual is scaled, channel by channel, by a gate that sees the mean of every channel
    (squeeze-and-excitation: Hu et al. 2018, arXiv:1709.01507, Fig. 3)."""

    depth: int
    depth_bottleneck: int
    stride: int
    depth_squeeze: int  # channels between the two layers of the gate, depth / 16 in the paper

    def convolutions(self, stride_in: str = "3x3") -> list[Convolution]:
        """As `Unit.convolutions`; the two layers of the gate are not on the residual path."""
        return _bottleneck(self, stride_in)

    @classmethod
    def sized(cls, base_depth: int, width: int, groups: int) -> SqueezeUnit:
        """As `Unit.sized`, squeezed to a sixteenth of the depth."""
        return cls(4 * base_depth, width * base_depth, 1, max(1, base_depth // 4))


def printed_layers(unit: AnyUnit) -> list[str]:
    """The layers of a unit as the tables of the papers print them: "1x1, 64", "3x3, 64", ..., what squeezes as "fc"."""
    gate = [f"fc, [{unit.depth_squeeze}, {unit.depth}]"] if unit.depth_squeeze else []
    return [*map(str, unit.convolutions()), *gate]


AnyUnit = BasicUnit | Unit | GroupedUnit | SqueezeUnit


def _bottleneck(unit: AnyUnit, stride_in: str, groups: int = 1) -> list[Convolution]:
    in_first = stride_in == "1x1"
    return [
        Convolution(1, unit.depth_bottleneck, unit.stride if in_first else 1),
        Convolution(3, unit.depth_bottleneck, 1 if in_first else unit.stride, groups),
        Convolution(1, unit.depth, 1),
    ]


class Ordering(NamedTuple):
    """Where BN and ReLU stand in a unit; between two of its convolutions both stand, whatever the ordering."""

    first: str  # before the first convolution
    last: str  # after the last convolution
    after: str  # after the sum
    shared: bool = False  # whether the shortcut, too, starts after what stands first

    @property
    def version(self) -> int:
        """2 where the unit begins with BN or ReLU, as in He et al. 2016; else 1, as in He et al. 2015."""
        return 2 if self.first else 1


# He et al. 2016, Fig. 4 (a) to (e).
ORDERINGS = {
    "v1": Ordering("", "BN", "ReLU"),
    "bn_after_addition": Ordering("", "", "BN ReLU"),
    "relu_before_addition": Ordering("", "BN ReLU", ""),
    "relu_only_preactivation": Ordering("ReLU", "BN", ""),
    "v2": Ordering("BN ReLU", "", ""),
}

# He et al. 2015, section 3.3: A pads the identity with zero channels, B projects (1x1 convolution) only where the number
# of channels changes, C projects in every unit. "none" leaves the shortcut out: a plain network. He et al. 2016, section
# 3.1 and Fig. 2, do something to the identity in every unit: halve it and the residual ("scaling"), open a gate between
# the two ("exclusive_gating") or on the identity alone ("shortcut_only_gating"), or drop half of it ("dropout"). Where
# the shape changes, these start from what A gives.
SHORTCUTS_OF_2015 = ("A", "B", "C", "none")
SHORTCUTS = (*SHORTCUTS_OF_2015, "scaling", "exclusive_gating", "shortcut_only_gating", "dropout")
STRIDE_IN = ("1x1", "3x3")

OPTIONS = {"shortcut": "B", "stride_in": "3x3"}  # what a network tells its units, and what they do when it says nothing
_ALL_OPTIONS = (*OPTIONS, "dilation")
_BUILDERS = ("resnet_v1", "resnet_v2", "orderings", "highway")  # the modules that have UNIT_FNS


@dataclass(frozen=True)
class UnitKind:
    """One kind of unit.

    name: also the variable scope of its units; shape: the class of its arguments (BasicUnit, Unit, ...); version: 1 or 2,
    the networks it can stand in (2: the unit brings the BN and ReLU before its first convolution); ordering: of its BN and
    ReLU, None for a kind that has no closed form and is counted from its graph; options: those of OPTIONS that it honours,
    and "dilation" if it takes the stride that it would have had where features stay dense (`stack_blocks_dense`); builder: the
    function that makes the unit, or the module of this library whose UNIT_FNS has it.

    A function of your own becomes a kind by UnitKind("mine", Unit, 2, builder=my_unit). It is called as

        my_unit(inputs, depth=..., depth_bottleneck=..., stride=..., rate=...)  # the fields of the shape, and rate

    under the scope block/unit_i, and also gets those of OPTIONS that the kind names. inputs [batch, height, width, channels] ->
    [batch, ceil(height / stride), ceil(width / stride), depth]. rate: of its atrous convolutions, 1 unless features stay
    dense. Decorated with slim.add_arg_scope it gets outputs_collections too, the collection of the end points. The arg scope,
    `resnet_utils.resnet_arg_scope`, adds batch norm and ReLU to every slim.conv2d, and tells batch norm and dropout of slim
    whether they train. Variables are those of slim's layers or of tf.compat.v1.get_variable; a network is refused whose units
    make others, as layers of Keras do.
    Raises ValueError or TypeError, naming the argument, for what makes no kind.
    """

    name: str
    shape: type
    version: int
    ordering: Ordering | None = None
    options: tuple[str, ...] = ()
    builder: str | Callable[..., Any] = ""

    def __post_init__(self):
        scope_name("name", self.name)
        fields = getattr(self.shape, "_fields", ()) if isinstance(self.shape, type) else ()
        if not {"depth", "stride"} <= {*fields}:
            raise TypeError(
                f"shape must be a class as BasicUnit and Unit are, a NamedTuple with depth and stride, got {self.shape!r}"
            )
        one_of("version", self.version, (1, 2))
        instance_of("ordering", self.ordering, Ordering | None, "an Ordering or None")
        options = tuple(one_of("options", option, _ALL_OPTIONS) for option in list_of("names", "options", self.options))
        object.__setattr__(self, "options", options)
        if not callable(self.builder) and self.builder not in _BUILDERS:
            raise TypeError(
                f"builder must be a function that makes a unit, or one of {_BUILDERS}, got {self.builder!r}"
            )

    def refuse_unheard(self, **options: str) -> None:
        """Raises ValueError for an option, other than its default, that this kind would not hear of."""
        for name, value in options.items():
            if name not in self.options and value != OPTIONS[name]:
                raise ValueError(f"{name}: units of kind {self.name!r} do not take it, got {value!r}")


_SHAPES = {"basic": BasicUnit, "bottleneck": Unit, "grouped_bottleneck": GroupedUnit, "se_bottleneck": SqueezeUnit}
_WRITTEN_OUT = {  # the kinds that a module has as a text to read; `orderings` makes the others from the table
    ("basic", "v1"): "resnet_v1",
    ("bottleneck", "v1"): "resnet_v1",
    ("basic", "v2"): "resnet_v2",
    ("bottleneck", "v2"): "resnet_v2",
}


def _kind(shape: str, ordering: str) -> UnitKind:
    builder = _WRITTEN_OUT.get((shape, ordering), "orderings")
    order = ORDERINGS[ordering]
    return UnitKind(f"{shape}_{ordering}", _SHAPES[shape], order.version, order, _ALL_OPTIONS, builder)


UNIT_KINDS = {
    kind.name: kind
    for kind in (
        *(_kind(shape, ordering) for ordering in ORDERINGS for shape in _SHAPES),
        # The first unit of a V2 network that begins with a convolution alone (He et al. 2016, Appendix): "we adopt the first
        # activation right after conv1 and before splitting into two paths".
        UnitKind("basic_v2_first", BasicUnit, 2, Ordering("BN ReLU", "", "", shared=True), _ALL_OPTIONS, "orderings"),
        UnitKind("highway", BasicUnit, 1, builder="highway"),
        UnitKind("recurrent", BasicUnit, 2, options=("shortcut",), builder="orderings"),
    )
}
# Those that a whole network can be made of, with a closed form.
COUNTED_KINDS = tuple(f"{shape}_{ordering}" for ordering in ORDERINGS for shape in _SHAPES)

_KIND_OF: dict[Callable[..., Any], UnitKind] = {}  # the unit functions of this library


def registered(functions: dict[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    """`functions`, name of a kind -> its unit function, noted so that `unit_kind` knows the functions too."""
    _KIND_OF.update({function: UNIT_KINDS[name] for name, function in functions.items()})
    return functions


def registered_functions() -> list[Callable[..., Any]]:
    """The unit functions of this library that have been loaded so far."""
    return list(_KIND_OF)


def kind_of_function(function: Callable[..., Any]) -> UnitKind | None:
    """The kind of one of this library's unit functions; None for any other function."""
    return _KIND_OF.get(function)


def unit_kind(unit_fn: str | UnitKind | Callable[..., Any]) -> UnitKind:
    """The kind that a name, a unit function of this library or a UnitKind means. Raises ValueError for anything else."""
    kind = unit_fn
    if isinstance(unit_fn, str):
        kind = UNIT_KINDS.get(unit_fn)
    elif callable(unit_fn):
        kind = kind_of_function(unit_fn)
    if not isinstance(kind, UnitKind):
        raise ValueError(
            f"unit_fn must be one of {list(UNIT_KINDS)}, the function of that name, or a units.UnitKind that says what "
            f"another function needs and which version it is; got {unit_fn!r}"
        )
    return kind


def check_identity(shortcut: str, depth_in: int, depth: int, where: str) -> None:
    """Raises ValueError for an identity that would have to drop channels: zeros can widen, not narrow."""
    if shortcut not in ("B", "C") and depth < depth_in:
        raise ValueError(
            f"{where}: shortcut {shortcut!r} pads channels with zeros and cannot turn {depth_in} channels into {depth}; "
            "use 'B' or 'C'"
        )


def unit_arguments(arg: Any, shape: type = Unit, where: str = "unit") -> dict[str, Any]:
    """The arguments of a unit by name, from the source text's tuple or tf-slim's dict, whose stride may be left out and
    which may hold others besides. Raises ValueError or TypeError that says which unit is malformed."""
    fields = shape._fields
    if not isinstance(arg, dict):
        if not isinstance(arg, tuple | list) or len(arg) != len(fields):
            raise ValueError(
                f"{where}: expected ({', '.join(fields)}), got {arg!r}; a dict of these names will do as well"
            )
        arg = dict(zip(fields, arg, strict=True))
    arguments = {"stride": 1, **arg}
    for name in fields:
        if name in arguments:
            arguments[name] = positive_int(f"{where}: {name}", arguments[name])
    groups = arguments.get("groups", 1) if "groups" in fields else 1
    channels = arguments.get("depth_bottleneck", groups)
    if channels % groups:
        raise ValueError(f"{where}: groups must divide depth_bottleneck, got {groups} groups of {channels}")
    return arguments


def as_unit(arg: Any, shape: type = Unit, where: str = "unit") -> AnyUnit:
    """A unit of that shape from its tuple or dict form. Raises ValueError or TypeError that says which is malformed."""
    arguments = unit_arguments(arg, shape, where)
    if arguments.keys() != {*shape._fields}:
        raise ValueError(f"{where}: expected the keys {list(shape._fields)}, got {sorted(arg)}")
    return shape(**arguments)
