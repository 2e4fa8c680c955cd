"""The same network with other widths: scaled by a factor, or until it costs as much as another. Pure Python.

A comparison of two designs at equal MACs, or at equal parameters, begins here. The root, the units and their strides stay.
"""

from __future__ import annotations

from dataclasses import replace

from .accounting import Cost, cost
from .architectures import Architecture
from .blocks import Block
from .checks import instance_of, one_of, positive_int, real_number
from .units import AnyUnit

SMALLEST, LARGEST = 1 / 256, 256.0
HALVINGS = 24  # of the distance between too narrow and too wide


def scaled(architecture: Architecture, factor: float) -> Architecture:
    """The network with all channels of its units times a factor, rounded, one at least; those of a bottleneck in groups to
    a multiple of their number. Raises ValueError for a factor that is not above 0."""
    instance_of("architecture", architecture, Architecture, "an Architecture")
    if not real_number("factor", factor) > 0:
        raise ValueError(f"factor must be above 0, got {factor!r}")
    blocks = tuple(
        Block(block.scope, block.unit_fn, [_scaled(unit, factor) for unit in block.args])
        for block in architecture.blocks
    )
    return replace(architecture, blocks=blocks)


def _scaled(unit: AnyUnit, factor: float) -> AnyUnit:
    def width(name):
        step = getattr(unit, "groups", 1) if name == "depth_bottleneck" else 1
        return max(1, round(getattr(unit, name) * factor / step)) * step

    return unit._replace(**{name: width(name) for name in unit._fields if name.startswith("depth")})


def with_cost(architecture: Architecture, quantity: str, value: int) -> Architecture:
    """The network, scaled so that its cost comes as near to `value` as bisection with whole channels brings it.

    quantity: a field of `accounting.Cost`: "params", "macs" or "activations". Raises ValueError for another one, and where no
    width comes near: the root alone may cost more, and an identity cannot narrow.
    """
    instance_of("architecture", architecture, Architecture, "an Architecture")
    one_of("quantity", quantity, Cost._fields)
    value = positive_int(quantity, value)
    narrow, wide = SMALLEST, LARGEST
    found = {}
    for _ in range(HALVINGS):
        factor = (narrow * wide) ** 0.5
        try:
            net = scaled(architecture, factor)
            found[net] = getattr(cost(net), quantity)
            too_narrow = found[net] < value
        except ValueError:  # for its shortcuts
            too_narrow = True
        narrow, wide = (factor, wide) if too_narrow else (narrow, factor)
    nearest = min(found, key=lambda net: abs(found[net] - value), default=None)
    if nearest is None or abs(found[nearest] - value) > value / 4:
        raise ValueError(f"{quantity}: no width of {architecture.name} has about {value:,}")
    return nearest
