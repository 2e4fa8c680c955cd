"""The same network with other widths: scaled by a factor, or until it costs as many MACs as another. Pure Python.

A comparison of two designs at equal MACs begins here. The root, the units and their strides stay.
"""

from __future__ import annotations

from dataclasses import replace

from .accounting import cost
from .architectures import Architecture
from .blocks import Block
from .checks import positive_int
from .units import AnyUnit

SMALLEST, LARGEST = 1 / 256, 256.0
HALVINGS = 24  # of the distance between too narrow and too wide


def scaled(architecture: Architecture, factor: float) -> Architecture:
    """The network with all channels of its units times a factor, rounded, one at least; those of a bottleneck in groups to
    a multiple of their number. Raises ValueError for a factor that is not above 0."""
    if not factor > 0:
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


def with_macs(architecture: Architecture, macs: int) -> Architecture:
    """The network, scaled so that its MACs come as near to `macs` as bisection with whole channels brings them.

    Raises ValueError where no width comes near: the root alone may cost more, and an identity cannot narrow.
    """
    macs = positive_int("macs", macs)
    narrow, wide = SMALLEST, LARGEST
    found = {}
    for _ in range(HALVINGS):
        factor = (narrow * wide) ** 0.5
        try:
            net = scaled(architecture, factor)
            found[net] = cost(net).macs
            too_narrow = found[net] < macs
        except ValueError:  # for its shortcuts
            too_narrow = True
        narrow, wide = (factor, wide) if too_narrow else (narrow, factor)
    nearest = min(found, key=lambda net: abs(found[net] - macs), default=None)
    if nearest is None or abs(found[nearest] - macs) > macs / 4:
        raise ValueError(f"macs: no width of {architecture.name} has about {macs:,} MACs")
    return nearest
