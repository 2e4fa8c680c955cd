"""Where do the units go? A panel: a network of four blocks among all that have as many units, and so as many MACs.

The standard library is all that this needs, so it runs in a browser as it is. `splits_panel` is the panel, and
`panels.jupyter(splits_panel())` shows it in JupyterLab. Used in notebook 11.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import combinations
from math import log
from typing import NamedTuple

from .exploration import design, explore
from .figures import COLORS, Picture
from .panels import Panel, Slider, in_words, sheet, svg
from .training_cost import training_memory

BLOCKS = 4
MOST_UNITS = 24  # in all blocks together; they can be dealt out in 1,771 ways
_WIDTH, _HEIGHT = 760, 330
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 560, 40, 280
_PALE, _DARK = (205, 226, 240), (0, 60, 110)  # of the smallest and the largest receptive field
_LINE = f' stroke="{COLORS["accent"]}"'
_RING = f'{_LINE} stroke-width="2"'
_TITLES = (
    f'<text x="{_LEFT}" y="14">activations of an image, millions</text>',
    f'<text x="{_RIGHT}" y="{_HEIGHT - 10}" text-anchor="end">parameters, millions</text>',
)


class Split(NamedTuple):
    """A network of so many units in each block, by its counts: for an image, and the receptive field at its end in pixels."""

    units: tuple[int, ...]
    params: int
    macs: int
    activations: int
    receptive_field: int

    def dominates(self, other: Split) -> bool:
        """Whether it has no more parameters and activations than another, sees no less, and is better in one of the three."""
        ours, theirs = self._goods(), other._goods()
        return all(a >= b for a, b in zip(ours, theirs, strict=True)) and ours != theirs

    def _goods(self) -> tuple[int, int, int]:
        return -self.params, -self.activations, self.receptive_field


def counted(units: Sequence[int]) -> Split:
    """The counts of `exploration.design(units)`: those of one unit in each block, and for every further unit its price."""
    start, prices = _prices()
    added = [sum((n - 1) * price[i] for n, price in zip(units, prices, strict=True)) for i in range(len(start))]
    return Split(tuple(units), *(first + more for first, more in zip(start, added, strict=True)))


@cache
def _prices() -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    """The counts of a network of one unit in each block, and by how much one unit more in each block enlarges them."""

    def counts(units):
        found = explore(design(units))
        return *found.cost, found.rows[-2].receptive_field

    start = counts([1] * BLOCKS)
    more = [counts([1 + (i == block) for i in range(BLOCKS)]) for block in range(BLOCKS)]
    return start, [tuple(b - a for a, b in zip(start, counts_, strict=True)) for counts_ in more]


@cache
def splits(units: int) -> list[Split]:
    """All ways to deal so many units to four blocks, one at least to each."""
    borders = combinations(range(1, units), BLOCKS - 1)
    edges = ([0, *border, units] for border in borders)
    return [counted([b - a for a, b in zip(edge, edge[1:], strict=False)]) for edge in edges]


def splits_page(units: Sequence[int] = (3, 4, 6, 3), batch_size: int = 32) -> str:
    """The page of the panel, an HTML text: a split in a sentence, and as a dot among all of as many units. Raises ValueError
    for more than MOST_UNITS."""
    if sum(units) > MOST_UNITS:
        raise ValueError(f"units: {sum(units)} in all; up to {MOST_UNITS} are compared here")
    mine, every = counted(units), splits(sum(units))
    better = [split for split in every if split.dominates(mine)]
    memory = training_memory(design(units), batch_size).total
    sentence = (
        f"{mine.units}: {mine.params:,} parameters, {mine.macs:,} MACs, {mine.activations:,} activations, sees "
        f"{mine.receptive_field} pixels; a training step of {batch_size} images takes {memory / 1e9:.2f} GB. "
        f"{len(better)} of {len(every):,} splits dominate it: no more parameters and activations, no smaller receptive field, "
        "and one of the three better"
    )
    return f"<p>{html.escape(sentence)}.</p>{_picture(mine, every, better, sentence)}"


class _Plane(NamedTuple):
    """Where the dot of a split stands, and how dark it is: the least and the most of what all splits have."""

    fewest_params: int
    most_params: int
    most_activations: int
    nearest: int  # the receptive fields, in pixels
    farthest: int

    def place(self, split: Split) -> tuple[float, float]:
        share = log(split.params / self.fewest_params) / (log(self.most_params / self.fewest_params) or 1)
        x = _LEFT + (_RIGHT - _LEFT) * share
        return x, _BOTTOM - (_BOTTOM - _TOP) * split.activations / self.most_activations

    def color(self, split: Split) -> str:
        share = (split.receptive_field - self.nearest) / ((self.farthest - self.nearest) or 1)
        return _hex(a + share * (b - a) for a, b in zip(_PALE, _DARK, strict=True))

    def dot(self, split: Split, radius: float, line: str = "") -> str:
        x, y = self.place(split)
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{self.color(split)}"{line}/>'


def _plane(every: list[Split]) -> _Plane:
    params = [split.params for split in every]
    fields = [split.receptive_field for split in every]
    return _Plane(min(params), max(params), max(split.activations for split in every), min(fields), max(fields))


def _hex(color: Iterable[float]) -> str:
    return "#" + "".join(f"{round(part):02x}" for part in color)


def _picture(mine: Split, every: list[Split], better: list[Split], sentence: str) -> str:
    plane = _plane(every)
    dots = [plane.dot(split, 3.5) for split in sorted(every, key=lambda split: split.receptive_field)]
    dots += [plane.dot(split, 4, _LINE) for split in better]
    dots.append(plane.dot(mine, 7, _RING))
    parts = [sheet(_WIDTH, _HEIGHT), *_axes(plane), *dots, _name(mine, plane), *_TITLES, *_legend(plane)]
    alt = f"All splits of {sum(mine.units)} units, activations against parameters, the darker the more they see. {sentence}."
    return Picture(svg(_WIDTH, _HEIGHT, parts, font_size=12).encode(), alt, _WIDTH).html()


def _axes(plane: _Plane) -> list[str]:
    """Both axes with three numbers each, in millions: parameters on a logarithmic one, activations from 0."""
    low, high = plane.fewest_params, plane.most_params
    parts = [f'<path d="M{_LEFT} {_TOP}V{_BOTTOM + 8}H{_RIGHT + 8}" fill="none" stroke="#888"/>']
    for share, params in ((0, low), (0.5, (low * high) ** 0.5), (1, high)):
        x = _LEFT + (_RIGHT - _LEFT) * share
        parts.append(f'<text x="{x:.0f}" y="{_BOTTOM + 24}" text-anchor="middle">{params / 1e6:.1f}</text>')
    for share in (0, 0.5, 1):
        y = _BOTTOM - (_BOTTOM - _TOP) * share + 4
        activations = plane.most_activations * share
        parts.append(f'<text x="{_LEFT - 6}" y="{y:.0f}" text-anchor="end">{activations / 1e6:.1f}</text>')
    return parts


def _name(mine: Split, plane: _Plane) -> str:
    """The units of the chosen split, beside its dot."""
    x, y = plane.place(mine)
    return (
        f'<text x="{x + 11:.1f}" y="{y - 8:.1f}" fill="{COLORS["accent"]}" font-weight="bold" '
        f'stroke="white" stroke-width="4" paint-order="stroke">{mine.units}</text>'
    )


def _legend(plane: _Plane) -> list[str]:
    """What a dot says, to the right of the chart."""
    keys = (
        (f"sees {plane.nearest} pixels", _PALE, ""),
        (f"sees {plane.farthest} pixels", _DARK, ""),
        ("dominates yours", _PALE, _LINE),
        ("yours", _DARK, _RING),
    )
    texts, dots = [], []
    for i, (text, color, line) in enumerate(keys):
        texts.append(f'<text x="{_RIGHT + 34}" y="{60 + 22 * i}">{text}</text>')
        dots.append(f'<circle cx="{_RIGHT + 22}" cy="{56 + 22 * i}" r="5" fill="{_hex(color)}"{line}/>')
    return texts + dots


def splits_panel(units: Sequence[int] = (3, 4, 6, 3)) -> Panel:
    """Controls for the arguments of `splits_page`, and the page: Panel. units: where the sliders stand at first."""
    counts = tuple(Slider(f"units_{i}", f"units {i}", 1, max(13, n), n) for i, n in enumerate(units, 1))

    def show(batch_size: int, **values: int) -> str:
        return splits_page([values[control.name] for control in counts], batch_size)

    return Panel((*counts, Slider("batch_size", "batch size", 1, 512, 32)), in_words(show))
