"""Residual networks as data: a network is a list of Blocks, a Block is a list of units.

Pure Python, no TensorFlow. `accounting` counts these descriptions, `resnet_v1` and `resnet_v2` turn them into graphs.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from .blocks import (
    CIFAR_ROOT,
    IMAGENET_ROOT,
    LAYOUTS,
    ROOT_POOLING,
    Block,
    Root,
    blocks_output_stride,
    boundary_strides,
    check_scopes,
    checked_block,
    checked_root,
    staged_blocks,
    with_strides_moved,
)
from .checks import OWN, height_and_width, list_of, one_of, own, positive_int, real_number, scope_name
from .other_nets import OTHER_NETS
from .units import SHORTCUTS, STRIDE_IN, BasicUnit, GroupedUnit, Unit, unit_kind


@dataclass(frozen=True)
class Architecture:
    """A whole network, with everything that decides what is built: a root, blocks of units, and a classifier.

    name: the variable scope of the network; blocks: tuple of Block, every element of whose `args` is a unit of its kind's
    shape; root: a Root, None for none; shortcut: one of `units.SHORTCUTS` ("none" makes a plain network); stride_in: the
    convolution of a bottleneck that has the unit's stride, "1x1" (the first) or "3x3"; image_size: one number, (height,
    width), or None for images of any size; num_classes: None leaves the classifier out; channels_in: of the images;
    global_pool, output_stride: as in `resnet_v2.resnet_v2`; root_pooling: one of `blocks.ROOT_POOLING`; batch_norm_epsilon:
    what every batch norm adds to the variance.
    Raises ValueError or TypeError, naming the argument: for no block, a block without a unit, with the scope of another or
    one that no Block can have (`blocks.TAKEN_SCOPES`), a malformed unit, units of V1 and V2 together, an option that a kind of
    unit does not take, an output_stride that the units cannot reach.
    """

    name: str
    blocks: tuple[Block, ...]
    root: Root | None = IMAGENET_ROOT
    shortcut: str = "B"
    stride_in: str = "3x3"
    image_size: int | tuple[int, int] | None = 224
    num_classes: int | None = 1000
    channels_in: int = 3
    global_pool: bool = True
    output_stride: int | None = None
    root_pooling: str = "SAME"
    batch_norm_epsilon: float = 1e-5

    def __post_init__(self):
        one_of("shortcut", self.shortcut, SHORTCUTS)
        one_of("stride_in", self.stride_in, STRIDE_IN)
        one_of("global_pool", self.global_pool, (True, False))
        one_of("root_pooling", self.root_pooling, ROOT_POOLING)
        self._set(batch_norm_epsilon=real_number("batch_norm_epsilon", self.batch_norm_epsilon))
        scope_name("name", self.name)
        blocks = list_of("Blocks", "blocks", self.blocks)
        self._set(blocks=tuple(checked_block(block, blocks) for block in blocks))
        self._check_blocks()
        if self.root is not None:
            self._set(root=checked_root(self.root))
        if self.image_size is not None:
            height, width = height_and_width(self.image_size)
            self._set(image_size=height if height == width else (height, width))
        for name in ("num_classes", "output_stride"):
            if getattr(self, name) is not None:
                self._set(**{name: positive_int(name, getattr(self, name))})
        _ = self.blocks_stride  # refused here, not when it is first needed
        self._set(channels_in=positive_int("channels_in", self.channels_in))

    def _set(self, **values):
        for name, value in values.items():
            object.__setattr__(self, name, value)  # the class is frozen for everybody else

    def _check_blocks(self):
        if not self.blocks:
            raise ValueError(f"blocks: {self.name!r} needs at least one Block, got an empty list")
        check_scopes(self.blocks)
        kinds = [unit_kind(block.unit_fn) for block in self.blocks]
        if len({kind.version for kind in kinds}) > 1:
            names = [kind.name for kind in kinds]
            raise ValueError(f"blocks: units of V1 and V2 cannot be stacked on each other, got {names}")
        for kind in kinds:
            kind.refuse_unheard(shortcut=self.shortcut)
            if kind.shape is not BasicUnit:  # which has no 1x1, so stride_in means nothing to it
                kind.refuse_unheard(stride_in=self.stride_in)

    @property
    def version(self) -> int:
        """2 where a unit begins with BN or ReLU, as in the full pre-activation of He et al. 2016: the root then has none of its
        own, and BN and ReLU stand before the classifier. Else 1, as in He et al. 2015."""
        return unit_kind(self.blocks[0].unit_fn).version

    @property
    def blocks_stride(self) -> int | None:
        """The output stride that the blocks have to reach after the root; None leaves them their own."""
        strides = [unit.stride for block in self.blocks for unit in block.args]
        return blocks_output_stride(self.output_stride, self.root, strides)

    @property
    def units(self) -> tuple[int, ...]:
        """The number of residual units in each block, for example (3, 4, 6, 3)."""
        return tuple(len(block.args) for block in self.blocks)

    @property
    def layers(self) -> int:
        """Layers with weights on the longest path: 3 a bottleneck, 2 a basic unit, the root convolution where there is a root,
        and the classifier (He et al. 2015, Table 1): (3 + 4 + 6 + 3) * 3 + 2 = 50. The classifier counts where it is left out
        as well: what gives the features of ResNet-50 is called ResNet-50."""
        convolutions = sum(len(unit.convolutions()) for block in self.blocks for unit in block.args)
        return convolutions + (self.root is not None) + 1

    @property
    def layout(self) -> str | None:
        """The name of the stride layout ("paper", "v1.5" or "slim"), None when the strides stand otherwise. Basic units
        have no 1x1, so for them "paper" and "v1.5" are one, called "paper"."""
        basic = all(unit_kind(block.unit_fn).shape is BasicUnit for block in self.blocks)
        for name, (place, kernel) in LAYOUTS.items():
            if (basic or kernel == self.stride_in) and boundary_strides(self.blocks, place):
                return name
        return None

    def variant(self, layout: str | None = None, shortcut: str | None = None, **changes: Any) -> Architecture:
        """The same network with another stride layout or shortcut, where one is named, or other fields: Architecture.

        Parameters keep their names and, but for the shortcut's, their shapes. Raises ValueError for an unknown layout or
        shortcut, and for a layout when strides stand elsewhere than in the first or the last unit of the blocks, and
        TypeError for a field that an Architecture does not have.
        """
        if layout is not None:
            place, kernel = LAYOUTS[one_of("layout", layout, LAYOUTS)]
            in_place = boundary_strides(self.blocks, place)
            changes |= {
                "blocks": self.blocks if in_place else with_strides_moved(self.blocks, place),
                "stride_in": kernel,
            }
        if shortcut is not None:
            changes["shortcut"] = shortcut
        for name in changes:
            if name not in self.__dataclass_fields__:
                known = ["layout", *self.__dataclass_fields__]
                near = difflib.get_close_matches(name, known, n=3, cutoff=0.0)
                raise TypeError(f"no option of a network is called {name!r}; near are {', '.join(map(repr, near))}")
        return replace(self, **changes) if changes else self

    def without_unread_pixels(self) -> Architecture:
        """The same function of images in fewer MACs, where that is possible: Architecture, else itself.

        In the paper's layout, which Keras has, a block begins with 1x1 convolutions that read every other pixel, and the unit
        before computes the others for nobody. Here that unit computes every other pixel alone, which is tf-slim's layout. It
        saves a tenth of ResNet-50's MACs (notebook 05). A gate that sees the mean of a whole map needs all its pixels, and
        units of two layers begin with a 3x3, which reads all: networks with such units stay as they are.
        """
        kinds = [unit_kind(block.unit_fn) for block in self.blocks]
        strides = boundary_strides(self.blocks, "first")
        unread = self.stride_in == "1x1" and strides is not None and strides[0] == 1 < max(strides)
        known = all(kind.ordering and kind.shape in (Unit, GroupedUnit) for kind in kinds)
        if not (unread and known) or self.output_stride is not None:
            return self
        return replace(self, blocks=with_strides_moved(self.blocks, "last"), stride_in="3x3")


def _imagenet(name, kind, num_units, layout, width=1, shortcut="B", groups=32):
    blocks = staged_blocks(kind, num_units, (64, 128, 256, 512), layout, width, groups)
    return Architecture(name, blocks, shortcut=shortcut, stride_in=LAYOUTS[layout][1])


def cifar_architecture(layers: int, version: int = 1, shortcut: str | None = None) -> Architecture:
    """The network for 32x32 images of `layers` layers: Architecture, named "resnet_v1_cifar_20", "plain_cifar_20", ...

    A 3x3 convolution of 16 channels, three blocks of n units at 32, 16 and 8 pixels, global pooling and a classifier.
    version 1: 6n + 2 layers, basic units of 16, 32 and 64 channels, shortcut "A" unless another is named (He et al. 2015,
    section 4.2). version 2: 9n + 2 layers, bottlenecks of 64, 128 and 256 channels, shortcut "B" (He et al. 2016).
    Raises ValueError for other numbers of layers.
    """
    one_of("version", version, (1, 2))
    if shortcut is not None:
        one_of("shortcut", shortcut, SHORTCUTS)
    per_n, kind, own_shortcut = (6, "basic_v1", "A") if version == 1 else (9, "bottleneck_v2", "B")
    n, remainder = divmod(positive_int("layers", layers) - 2, per_n)
    if n < 1 or remainder:
        examples = ", ".join(str(per_n * i + 2) for i in (1, 2, 3))
        raise ValueError(f"layers must be {per_n}n + 2 for version {version} ({examples}, ...), got {layers}")
    return Architecture(
        f"plain_cifar_{layers}" if shortcut == "none" else f"resnet_v{version}_cifar_{layers}",
        staged_blocks(kind, (n, n, n), (16, 32, 64), "paper"),
        root=CIFAR_ROOT,
        shortcut=own_shortcut if shortcut is None else shortcut,
        stride_in="1x1",
        image_size=32,
        num_classes=10,
    )


class _Architectures(dict):
    def __missing__(self, name):
        if name in OTHER_NETS:
            raise KeyError(f"{name!r} is not a list of Blocks: build({name!r}) and cost({name!r}) take its name")
        near = difflib.get_close_matches(str(name), list_networks(), n=3, cutoff=0.0)
        raise KeyError(
            f"no network is called {name!r}; near are {', '.join(map(repr, near))}; `python -m resnet_lib list` and "
            "resnet_lib.list_networks() list all"
        )


# Units a block: He et al. 2015, Table 1, and for 200 layers He et al. 2016, Table 5. The source text gives the 200-layer
# network 23 units in its second block; (3 + 23 + 36 + 3) * 3 + 2 is 197, and 24 units make 200.
_BASIC_UNITS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
_BOTTLENECK_UNITS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3), 200: (3, 24, 36, 3)}

# Each network as its source has it. 18 and 34 layers: the layout of He et al. 2015 with shortcut B, the parameters that
# torchvision counts. 50 to 200 layers: tf-slim's layout. wide_resnet_50_2 (Zagoruyko and Komodakis 2016) and ResNeXt (Xie
# et al. 2017): torchvision's. SE-ResNet-50 (Hu et al. 2018): with the biases that the gate's layers have in the paper, and the
# strides of He et al. 2015. CIFAR: shortcut A (V1, He et al. 2015) and B (V2, He et al. 2016), both in the papers' layout.
ARCHITECTURES: dict[str, Architecture] = _Architectures(
    (architecture.name, architecture)
    for architecture in (
        *(_imagenet(f"plain_{n}", "basic_v1", units, "paper", shortcut="none") for n, units in _BASIC_UNITS.items()),
        *(_imagenet(f"resnet_v1_{n}", "basic_v1", units, "paper") for n, units in _BASIC_UNITS.items()),
        *(_imagenet(f"resnet_v1_{n}", "bottleneck_v1", units, "slim") for n, units in _BOTTLENECK_UNITS.items()),
        *(_imagenet(f"resnet_v2_{n}", "basic_v2", units, "paper") for n, units in _BASIC_UNITS.items()),
        *(_imagenet(f"resnet_v2_{n}", "bottleneck_v2", units, "slim") for n, units in _BOTTLENECK_UNITS.items()),
        _imagenet("wide_resnet_50_2", "bottleneck_v1", _BOTTLENECK_UNITS[50], "v1.5", width=2),
        _imagenet("resnext_50_32x4d", "grouped_bottleneck_v1", _BOTTLENECK_UNITS[50], "v1.5", width=2),
        _imagenet("resnext_101_32x8d", "grouped_bottleneck_v1", _BOTTLENECK_UNITS[101], "v1.5", width=4),
        _imagenet("se_resnet_50", "se_bottleneck_v1", _BOTTLENECK_UNITS[50], "paper"),
        *(cifar_architecture(n, shortcut="none") for n in (20, 32, 44, 56, 110)),
        *(cifar_architecture(n) for n in (20, 32, 44, 56, 110, 1202)),
        *(cifar_architecture(n, version=2) for n in (164, 1001)),
    )
)


def list_networks() -> list[str]:
    """The names that `build` and `cost` take: of networks that are lists of Blocks, then of those that are not."""
    return [*ARCHITECTURES, *OTHER_NETS]


def get_architecture(
    architecture: str | Architecture | Iterable[Block],
    image_size: int | tuple[int, int] | str | None = OWN,
    num_classes: int | str | None = OWN,
    layout: str | None = None,
    shortcut: str | None = None,
    **changes: Any,
) -> Architecture:
    """The Architecture of a name, of a list of Blocks, or itself, with what is named here in the place of its own.

    image_size, num_classes: "own" keeps what the network was designed for: 224 and 1000, for the CIFAR networks 32 and 10.
    layout: "paper", "v1.5" or "slim"; shortcut: one of `units.SHORTCUTS`; None keeps its own. changes: channels_in,
    global_pool, output_stride, root_pooling, batch_norm_epsilon. Raises ValueError or TypeError that names the argument.
    """
    if isinstance(architecture, str):
        try:
            architecture = ARCHITECTURES[architecture]
        except KeyError as error:
            raise ValueError(error.args[0]) from None
    elif isinstance(architecture, Iterable):
        architecture = Architecture("resnet", architecture)
        architecture = replace(architecture, name=f"resnet_v{architecture.version}")
    elif not isinstance(architecture, Architecture):
        raise TypeError(
            f"architecture must be a name, an Architecture or a list of Blocks, got {architecture!r}; a Network has one: "
            "network.architecture"
        )
    for name, value in {"image_size": image_size, "num_classes": num_classes}.items():
        if not own(value):
            changes[name] = value
    return architecture.variant(layout, shortcut, **changes)
