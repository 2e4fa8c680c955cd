"""A network from left to right, drawn to scale from its description: an SVG text and the same in words.

Pure Python. A bar is a unit, or the convolution of the root: as high as what it writes has pixels a side, as wide as that has
channels, and the darker the more MACs the unit has. An arch over a bar is its shortcut, broken where that is a projection.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from .accounting import by_unit, total
from .architectures import Architecture
from .figures import COLORS
from .layers import Layer
from .panels import svg

WIDTH = 760
FLOOR = 152  # where the bars stand
TALLEST = 116
WIDEST = 90
GAP = 14  # between blocks
ROOM = 96  # for the labels under a block
LEGEND = "height: pixels a side, width: channels, shade: MACs of a unit, arch: shortcut, broken: projection"


class Bar(NamedTuple):
    """A unit or the root's convolution. block: None of the root; shortcut: "identity", "projection" or None."""

    block: str | None
    size: tuple[int, int]
    channels: int
    macs: int
    shortcut: str | None


def bars(net: Architecture, layers: Sequence[Layer]) -> list[Bar]:
    """The bars of a network, from left to right. layers: of `accounting.trace`."""
    found = []
    for placed, own in by_unit(net, list(layers)):
        if placed:
            last = own[-1]
            sums = any(layer.kind == "add" for layer in own)
            projects = any(layer.kind == "conv" and layer.name.endswith("/shortcut") for layer in own)
            shortcut = ("projection" if projects else "identity") if sums else None
            block = net.blocks[placed.block].scope
            found.append(Bar(block, last.size_out, last.channels_out, total(own).macs, shortcut))
        elif not found:
            root = [layer for layer in own if layer.kind == "conv" and layer.name == "conv1"]
            found += [Bar(None, layer.size_out, layer.channels_out, layer.macs, None) for layer in root]
    return found


def picture(net: Architecture, layers: Sequence[Layer]) -> tuple[str, str]:
    """(SVG text, the same in words) of a network. layers: of `accounting.trace`."""
    drawn = bars(net, layers)
    stages = [(block, list(own)) for block, own in groupby(drawn, lambda bar: bar.block)]
    scale = _scale(stages)
    tallest = TALLEST / max(max(bar.size) for bar in drawn)
    most_macs = max(bar.macs for bar in drawn if bar.block) or 1
    macs = sum(layer.macs for layer in layers)
    x, parts, words = 0.0, [], []
    for block, own in stages:
        labels = _labels(block, own, macs)
        words.append(", ".join(labels))
        parts += _texts(x, labels)
        begin = x
        for bar in own:
            width = scale * bar.channels
            shade = min(1.0, 0.15 + 0.85 * bar.macs / most_macs)
            parts.append(_bar(x, width, tallest * max(bar.size), shade, bar.shortcut, bar.block is None))
            x += width
        x = max(x, begin + ROOM) + GAP
    parts.append(f'<text x="0" y="{FLOOR + 76}" fill="#666">{LEGEND}</text>')
    drawing = svg(max(x, WIDTH), FLOOR + 84, parts, font_size=11.5)
    return drawing, f"{net.name}, a bar for each unit: {'; '.join(words)}"


def _scale(stages: list[tuple[str | None, list[Bar]]]) -> float:
    """Points for a channel, so that the picture is as wide as the page, or a little wider where it has many blocks."""
    channels = [sum(bar.channels for bar in own) for _, own in stages]
    room = WIDTH - GAP * len(stages)
    scale = room / sum(channels)
    for _ in stages:  # a block that is narrower than its labels leaves the others less
        narrow = [n for n in channels if n * scale < ROOM]
        rest = sum(channels) - sum(narrow)
        scale = max(room - ROOM * len(narrow), ROOM) / rest if rest else scale
    return min(scale, WIDEST / max(bar.channels for _, own in stages for bar in own))


def _labels(block: str | None, own: list[Bar], macs: int) -> list[str]:
    last = own[-1]
    number = [f"{len(own)} units" if len(own) > 1 else "1 unit"] if block else []
    size = "{}x{}x{}".format(*last.size, last.channels)
    return [block or "conv1", *number, size, f"{sum(bar.macs for bar in own) / macs:.0%} of MACs"]


def _texts(x: float, labels: list[str]) -> list[str]:
    return [
        f'<text x="{x:.1f}" y="{FLOOR + 16 + 14 * i}">{html.escape(label)}</text>' for i, label in enumerate(labels)
    ]


def _bar(x: float, width: float, height: float, shade: float, shortcut: str | None, root: bool) -> str:
    color = COLORS["plain" if root else "residual"]
    inner = max(width - 2, width * 0.7)
    top = FLOOR - max(height, 1.5)
    rect = (
        f'<rect x="{x:.2f}" y="{top:.1f}" width="{inner:.2f}" height="{FLOOR - top:.1f}" fill="{color}" '
        f'fill-opacity="{shade:.2f}"/>'
    )
    if not shortcut:
        return rect
    broken = ' stroke-dasharray="2 2"' if shortcut == "projection" else ""
    arch = f"M{x:.2f} {top - 2:.1f}v-7h{inner:.2f}v7"
    return f'{rect}<path d="{arch}" fill="none" stroke="{COLORS["shortcut"]}"{broken}/>'
