"""What a printed count most likely counts: the conventions of papers and tools, and `which_count`. Pure Python.

"ResNet-50 has 4.1 GFLOPs", says one page, and another one 3.8, 6.97 or 8.2. All are right, of different things: of another
stride layout, with one or two operations for a multiply-add, with or without batch normalization, ReLU and pooling. A
convention is so many operations for each multiply-add and for each number that passes a small operation; `elements` counts
these in closed form. Derived in notebook 05, with the versions of the tools in data/published/flop_counters.csv.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple

from .accounting import trace
from .architectures import OWN, Architecture, get_architecture
from .blocks import LAYOUTS, Block
from .checks import instance_of, positive_int, real_number
from .layers import Layer


class Elements(NamedTuple):
    """Of a network, for one image: multiply-adds, and how many numbers pass through each kind of small operation."""

    macs: int
    bias: int  # that a bias is added to
    norm: int  # through batch normalization
    relu: int
    pool: int  # that the max pooling of the root writes
    subsample: int  # that shortcuts pick with a 1x1 window
    mean: int  # that the global average reads
    add: int  # that the sums of units write
    pairs: int  # of a channel in and a channel out, over all convolutions but the classifier


class CountConvention(NamedTuple):
    """How someone counts: operations for each of the Elements. Those of `tools` do it, in a version that prints so."""

    name: str
    tools: str
    operations: dict[str, float]
    classifier: bool = True  # whether it is counted
    root_norm: bool = False  # V2 with BN and ReLU in its root, too


# The simplest first: where several fit, the earlier ones are the likelier ones.
CONVENTIONS = (
    CountConvention("MACs", "He et al. 2015, torchvision, ptflops (aten), calflops MACs, DeepSpeed", {"macs": 1}),
    CountConvention("2 x MACs", "PyTorch FlopCounterMode", {"macs": 2}),
    CountConvention("MACs + BN", "fvcore, timm", {"macs": 1, "norm": 2, "mean": 1}),
    CountConvention("2 x MACs + biases", "TensorFlow's profiler, tf-slim's table", {"macs": 2, "bias": 1}),
    CountConvention(
        "2 x MACs + biases + pooling, up to block4",
        "TensorFlow's profiler",
        {"macs": 2, "bias": 1, "pool": 9, "subsample": 1},
        classifier=False,
    ),
    CountConvention("MACs + 2 x BN", "thop", {"macs": 1, "norm": 4, "mean": 1}),
    CountConvention(
        "MACs + biases + BN + ReLU + pooling",
        "OpenMMLab, older ptflops",
        {"macs": 1, "bias": 1, "norm": 2, "relu": 1, "pool": 4, "mean": 1},
    ),
    CountConvention(
        "2 x MACs + biases + BN + ReLU + pooling",
        "calflops FLOPs",
        {"macs": 2, "bias": 1, "norm": 2, "relu": 1, "pool": 4, "mean": 1},
    ),
    CountConvention(
        "MACs + biases + BN + 2 x ReLU + 2 x pooling",
        "ptflops (pytorch)",
        {"macs": 1, "bias": 1, "norm": 2, "relu": 2, "pool": 8, "mean": 2},
    ),
    CountConvention(
        "half of 2 x MACs + 2 x BN + ReLU + pooling",
        "imgclsmob",
        {"macs": 1, "norm": 2, "relu": 0.5, "pool": 4.5, "mean": 0.5, "pairs": -0.5},
        root_norm=True,
    ),
    CountConvention(
        "MACs + 2 x ReLU + pooling + sums, without the classifier",
        "convnet-burden",
        {"macs": 1, "relu": 2, "pool": 8, "add": 1},
        classifier=False,
    ),
)


def elements(architecture: str | Architecture | list[Block], **changes: Any) -> Elements:
    """Multiply-adds of a network, and how many numbers pass through each kind of small operation, per image: Elements.

    Arguments are those of `accounting.trace`. Every BN that is not on a shortcut is followed by a ReLU, sooner or later, and
    all ReLUs are counted so.
    """
    return _elements(trace(architecture, **changes))


def _elements(layers: list[Layer]) -> Elements:
    convolutions = [layer for layer in layers if layer.kind == "conv"]
    norms = [layer for layer in layers if layer.kind == "batch_norm"]
    pools = [layer for layer in layers if layer.kind == "max_pool"]

    def numbers(chosen):
        return sum(layer.outputs for layer in chosen)

    return Elements(
        macs=sum(layer.macs for layer in convolutions),
        bias=numbers(layer for layer in convolutions if layer.params > _weights(layer)),
        norm=numbers(norms),
        relu=numbers(layer for layer in norms if not layer.on_shortcut),
        pool=numbers(layer for layer in pools if layer.kernel > 1),
        subsample=numbers(layer for layer in pools if layer.kernel == 1),
        mean=sum(layer.kernel**2 * layer.outputs for layer in layers if layer.kind == "global_pool"),
        add=numbers(layer for layer in layers if layer.kind == "add"),
        pairs=sum(_weights(layer) // layer.kernel**2 for layer in convolutions if layer.name != "logits"),
    )


def _weights(layer: Layer) -> int:
    """Of a convolution: each is used once at every position."""
    height, width = layer.size_out
    return layer.macs // (height * width)


def counted_by(convention: CountConvention, architecture: str | Architecture | list[Block], **changes: Any) -> float:
    """What a convention counts for a network, per image. Other arguments are those of `accounting.trace`."""
    instance_of("convention", convention, CountConvention, "a CountConvention, such as one of CONVENTIONS")
    return _operations(trace(architecture, **changes), convention)


class Reading(NamedTuple):
    """One meaning that a printed number may have.

    operations: what this convention gives for the network; off: by which share of it the printed number is off; fits:
    "rounded" or "cut off" where that gives all printed digits, else "".
    """

    fits: str
    convention: str
    layout: str
    shortcut: str
    operations: float
    off: float
    tools: str


_SCALES = {"K": 10**3, "M": 10**6, "G": 10**9, "B": 10**9, "T": 10**12}
_NUMBER = re.compile(
    r"(?P<digits>(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][+-]?\d+)?)"
    r" ?(?P<scale>[kKMGBT]?) ?(?:FLOPs|FLOPS|flops|MACs?|Mult-Adds)?"
)


def which_count(
    number: str | float,
    architecture: str | Architecture | list[Block],
    image_size: int | tuple[int, int] | str = OWN,
    num_classes: int | str | None = OWN,
    batch_size: int = 1,
) -> list[Reading]:
    """What a printed count of a network most likely counts: list of Reading, the likeliest first.

    number: as it is printed, for its digits say how exact it is: "4.11", "4,110.48M", "8.21111 GFLOPs", 4089184256. Without K,
    M, G, B or T, and below a million, it is taken for billions. architecture, image_size, num_classes: as in `trace`;
    batch_size: for how many images the number is. All stride layouts are tried, the network's own shortcut and the free
    one of option A, and the CONVENTIONS. Where the printed digits fit several, all of these are given, the simplest first;
    where they fit none, the three that are nearest. Raises ValueError for what is no number, or not above 0, and what
    `trace` raises; networks without a closed form cannot be looked up.
    """
    printed, step = _parsed(number)
    batch_size = positive_int("batch_size", batch_size)
    net = get_architecture(architecture, image_size, num_classes)
    readings = [_compared(reading, printed / batch_size, step / batch_size) for reading in _candidates(net)]
    fitting = sorted((reading for reading in readings if reading.fits), key=lambda reading: _oddity(reading, net))
    return fitting or sorted(readings, key=lambda reading: abs(reading.off))[:3]


_RANK = {convention.name: rank for rank, convention in enumerate(CONVENTIONS)}


def _oddity(reading: Reading, net: Architecture) -> int:
    """The larger, the less likely: a rarer convention, another shortcut than its own, digits cut off and not rounded."""
    return _RANK[reading.convention] + 2 * (reading.shortcut != net.shortcut) + 3 * (reading.fits == "cut off")


def _parsed(number):
    """(its value, what its last digit stands for)."""
    match = _NUMBER.fullmatch(str(number).strip())
    value = Decimal(match["digits"].replace(",", "")) if match else Decimal(0)
    if value <= 0:
        raise ValueError(
            f"number must be one above 0 as it is printed, '4.11', '4,110.48M' or '8.2 GFLOPs', got {number!r}"
        )
    scale = _SCALES[match["scale"].upper()] if match["scale"] else 1 if value >= 10**6 else 10**9
    step = Decimal(1).scaleb(value.as_tuple().exponent)
    return float(value * scale), float(step * scale)


def _candidates(net: Architecture) -> Iterator[Reading]:
    """All readings of its count, the simplest first. Layouts that count the same are one."""
    layouts = _layouts(net)
    traces = {(net.shortcut, name): trace(other) for name, other in layouts.items()}
    if net.shortcut == "B" and _can_be_free(net):
        traces |= {("A", name): trace(other.variant(shortcut="A")) for name, other in layouts.items()}
    shortcuts = list(dict.fromkeys(shortcut for shortcut, _ in traces))
    for convention in CONVENTIONS:
        for shortcut in shortcuts:
            names: dict[float, list[str]] = {}
            for name in layouts:
                names.setdefault(_operations(traces[shortcut, name], convention), []).append(name)
            for operations, equal in names.items():
                yield Reading("", convention.name, ", ".join(equal), shortcut, operations, 0.0, convention.tools)


def _layouts(net: Architecture) -> dict[str, Architecture]:
    """The network in every stride layout; under "own" as it is, where its strides are none that a layout could move."""
    try:
        return {name: net.variant(layout=name) for name in LAYOUTS}
    except ValueError:
        return {"own": net}


def _can_be_free(net: Architecture) -> bool:
    """Whether option A is possible: no unit has fewer channels than come in."""
    channels = [net.root.depth if net.root else net.channels_in]
    channels += [unit.depth for block in net.blocks for unit in block.args]
    return channels == sorted(channels)


def _operations(layers: list[Layer], convention: CountConvention) -> float:
    """What a convention counts for the layers of a network."""
    if not convention.classifier:
        layers = [layer for layer in layers if layer.name != "logits"]
    found = _elements(layers)._asdict()
    if convention.root_norm and not any(layer.name == "conv1/BatchNorm" for layer in layers):
        root = sum(layer.outputs for layer in layers if layer.name == "conv1")
        found["norm"] += root
        found["relu"] += root
    return sum(operations * found[name] for name, operations in convention.operations.items())


def _compared(reading: Reading, printed: float, step: float) -> Reading:
    return reading._replace(fits=_fits(reading.operations, printed, step), off=printed / reading.operations - 1)


def _fits(operations: float, printed: float, step: float) -> str:
    difference = operations - printed
    return "rounded" if abs(difference) <= step / 2 else "cut off" if 0 <= difference < step else ""


def how_it_fits(number: str | float, operations: float) -> str:
    """Whether a printed number is this count "rounded" or "cut off", or, "", neither. number: as in `which_count`."""
    return _fits(real_number("operations", operations), *_parsed(number))
