"""A residual unit as lines, boxes and texts, drawn to scale from its description: what `figures.draw_unit` puts on
matplotlib's axes and `unit_panel` into an SVG.

Pure Python, no matplotlib. A row of one line is 1 high, `room` is the width of a label, and y grows upwards. Layers, sizes,
channels and weights are those of `accounting.unit_layers`.
"""

from __future__ import annotations

from typing import NamedTuple

from .accounting import unit_layers
from .checks import height_and_width, one_of, positive_int
from .layers import Layer, input_layer
from .units import COUNTED_KINDS, SHORTCUTS, STRIDE_IN, AnyUnit, UnitKind, as_unit, unit_kind

HALF = 0.9  # of the width of the widest box, at least
GAP = 0.46  # between two boxes
LINE = 0.54  # the height of a box of one line
TWO_LINES = 0.92


def room(label: str) -> float:
    """The width that a label takes, with a margin."""
    return 0.2 + 0.084 * len(label)


class Box(NamedTuple):
    """A layer: `top` and `bottom` are half its widths there, in proportion to the channels that come in and go out."""

    x: float
    y: float
    top: float
    bottom: float
    height: float
    color: str  # a name of figures.COLORS, as everywhere here
    tinted: bool  # a convolution

    def width_at(self, y: float) -> float:
        """How wide it is at the height y."""
        above = (y - self.y) / self.height + 0.5
        return 2 * (self.bottom + above * (self.top - self.bottom))

    @property
    def corners(self) -> list[tuple[float, float]]:
        above, below = self.y + self.height / 2, self.y - self.height / 2
        left, right = (self.x - self.top, above), (self.x + self.top, above)
        return [left, right, (self.x + self.bottom, below), (self.x - self.bottom, below)]


class Text(NamedTuple):
    """`beside`: it begins at x, else its middle is there; `small`: it is not the name of a layer; `color`: on white."""

    x: float
    y: float
    text: str
    beside: bool = False
    small: bool = False
    color: str | None = None


class Line(NamedTuple):
    """`gap`: None of a mere line; of an arrow, how many points it stops short of its end."""

    start: tuple[float, float]
    end: tuple[float, float]
    color: str
    gap: float | None = None


class Drawing(NamedTuple):
    """A unit, ready to be drawn, and the same in words; `sums` are the circles of the plus signs, as (x, y, color), and the
    `carried` are bands as wide as the channels that an identity carries."""

    boxes: list[Box]
    carried: list[Box]
    sums: list[tuple[float, float, str]]
    lines: list[Line]
    texts: list[Text]
    left: float
    right: float
    top: float
    bottom: float
    widest: int  # the most channels of a layer
    words: str


def unit_drawing(
    kind: str | UnitKind,
    unit: AnyUnit | tuple[int, ...],
    channels_in: int,
    size: int | tuple[int, int],
    shortcut: str = "B",
    stride_in: str = "3x3",
    weights: bool = False,
    widest: int | None = None,
    half: float | None = None,
) -> Drawing:
    """One residual unit from top to bottom: Drawing. Arguments and errors are those of `figures.draw_unit`; half: of the width
    of `widest` channels, None leaves room for the longest label."""
    parts = _parts(unit_kind(kind), unit, channels_in, size, shortcut, stride_in)
    channels = max(layer.channels_out for layer in (parts.x, *parts.path, *(parts.around or ())))
    if half is None:
        half = max(HALF, *(0.054 * len(layer.label) for layer in parts.path))
    scale = half / positive_int("widest", channels if widest is None else widest)
    return _Pen(scale, weights).unit(parts)._replace(widest=channels)


class _Parts(NamedTuple):
    """A unit as it is drawn, ReLUs and all."""

    kind: UnitKind
    x: Layer  # what comes in
    path: list[Layer]  # the residual, the sum and what follows it, from top to bottom
    gate: list[Layer]  # what makes the s of a squeeze-and-excitation unit, else nothing
    around: list[Layer] | None  # on the shortcut: nothing for the identity, None for a plain unit


def _parts(kind, unit, channels_in, size, shortcut, stride_in) -> _Parts:
    one_of("unit_fn", kind.name, COUNTED_KINDS)
    one_of("shortcut", shortcut, SHORTCUTS)
    one_of("stride_in", stride_in, STRIDE_IN)
    x = input_layer("unit", height_and_width(size), positive_int("channels_in", channels_in))
    layers = unit_layers(x, kind, as_unit(unit, kind.shape), "unit", shortcut, stride_in)
    around = [layer for layer in layers if layer.name.startswith(("unit/shortcut", "unit/gate"))]
    gate = [layer for layer in layers if layer.name.startswith("unit/squeeze")]
    path = [layer for layer in layers if layer not in (*around, *gate)]
    if gate:
        mean, first, second = gate
        gate = [mean, first, first._replace(kind="relu"), second, second._replace(kind="sigmoid")]
    return _Parts(kind, x, _activated(x, path, kind), gate, None if shortcut == "none" else around)


def _activated(x: Layer, path: list[Layer], kind: UnitKind) -> list[Layer]:
    """The path with its ReLUs: before each convolution that reads a BN, and where the ordering has one besides."""
    norms = [layer for layer in path if layer.kind == "batch_norm"]
    last_norm = norms[-1] if "ReLU" in kind.ordering.last else None
    activated = [x._replace(kind="relu")] if kind.ordering.first == "ReLU" else []
    for layer, following in zip(path, [*path[1:], None], strict=True):
        activated.append(layer)
        read = following is not None and following.kind == "conv"
        if layer is last_norm or (layer.kind == "batch_norm" and read):
            activated.append(layer._replace(kind="relu"))
    if "ReLU" in kind.ordering.after:
        activated.append(path[-1]._replace(kind="relu"))
    return activated


def _text(parts: _Parts, weights: bool) -> str:
    text = f"{_shape(parts.x)} in, {_words(parts.path, weights)}, {_shape(parts.path[-1])} out"
    if parts.around is not None:
        text += f"; on the shortcut {_words(parts.around, weights) or 'the identity'}"
    return f"{text}; s is made by {_words(parts.gate, weights)}" if parts.gate else text


def _words(layers: list[Layer], weights: bool) -> str:
    def words(layer):
        label = layer.label.replace("+", "sum")
        return f"{label} ({_weights(layer)})" if weights and layer.kind == "conv" else label

    return ", ".join(map(words, layers))


def _shape(layer: Layer) -> str:
    return "x".join(map(str, (*layer.size_out, layer.channels_out)))


def _weights(layer: Layer) -> str:
    """How many weights a convolution has: what it multiplies at each of its positions."""
    height, width = layer.size_out
    return f"{layer.macs // (height * width):,} weights"


class _Line(NamedTuple):
    """A line of a label, and the height at which the box must be wide enough for it."""

    text: str
    y: float
    edge: float


def _product(parts: _Parts) -> int:
    """Where on the path s is multiplied."""
    return [layer.label for layer in parts.path].index("times s")


class _Pen:
    """Draws a unit; `scale`: half the width of a box over its channels."""

    def __init__(self, scale: float, weights: bool):
        self.scale = scale
        self.weights = weights
        self.boxes: list[Box] = []
        self.carried: list[Box] = []
        self.sums: list[tuple[float, float, str]] = []
        self.lines: list[Line] = []
        self.texts: list[Text] = []

    def unit(self, parts: _Parts) -> Drawing:
        color = "plain" if parts.around is None else "residual"
        path = parts.path
        ys = self._rows(parts)
        self._write_shape(0, 0.05, parts.x)
        end = self._column(0, 0.5, ys, parts.x, path, color)
        if _shape(path[-1]) == _shape([parts.x, *path][-2]):  # else it is written already
            self._write_shape(0, end - GAP / 2, path[-1])
        self._line((0, end), (0, end - 0.6), color, gap=0)
        half = max(box.top for box in self.boxes)
        half = max(half, *(box.bottom for box in self.boxes))
        left, right = half + 0.05, self._right_edge()
        if parts.gate:
            self._gate(parts, ys, half, color)
            left += 2.1
        if parts.around is None:  # as wide as the others, the path in the middle
            left, right = max(left, 2), max(right + 0.05, 2)
        else:
            right = self._shortcut(parts, ys, right)
        drawn = (self.boxes, self.carried, self.sums, self.lines, self.texts)
        return Drawing(*drawn, -left, right, 0.5, end - 0.6, 0, _text(parts, self.weights))

    def _height(self, layer: Layer) -> float:
        return TWO_LINES if self.weights and layer.kind == "conv" else LINE

    def _stacked(self, top: float, layers: list[Layer]) -> list[float]:
        """Where each of these layers stands, one below the other from `top` on."""
        ys = []
        for layer in layers:
            ys.append(top - self._height(layer) / 2)
            top -= self._height(layer) + GAP
        return ys

    def _rows(self, parts: _Parts) -> list[float]:
        """Where each layer of the path stands, with room for the gate before s is multiplied."""
        ys = self._stacked(-1 + LINE / 2, parts.path)
        if parts.gate:
            product = _product(parts)
            room = sum(self._height(layer) + GAP for layer in parts.gate)
            ys[product:] = [y - room for y in ys[product:]]
        return ys

    def _right_edge(self) -> float:
        """How far boxes and the labels beside them reach."""
        boxes = [box.x + max(box.top, box.bottom) for box in self.boxes]
        labels = [text.x + room(text.text) for text in self.texts if text.beside]
        return max(boxes + labels)

    def _column(self, x, start, ys, before, layers, color, fixed=None) -> float:
        """The layers in their rows, an arrow into each, and the shape after those that change it. fixed: half of every width,
        not to scale. Returns where the last one ends."""
        for y, layer in zip(ys, layers, strict=True):
            half_height = self._height(layer) / 2
            self._line((x, start), (x, y + half_height), color, gap=0)
            widths = [fixed or self.scale * channels for channels in (before.channels_out, layer.channels_out)]
            self._layer(x, y, layer, widths, color)
            start = y - half_height
            if _shape(layer) != _shape(before):
                self._write_shape(x, start - GAP / 2, layer)
            before = layer
        return start

    def _layer(self, x, y, layer, widths, color) -> None:
        if layer.kind == "add":
            self.sums.append((x, y, color))
            self.texts.append(Text(x, y, layer.label))
            return
        box = Box(x, y, *widths, self._height(layer), color, layer.kind == "conv")
        self.boxes.append(box)
        lines = [_Line(layer.label, y, y)]
        if self.weights and layer.kind == "conv":
            lines = [_Line(layer.label, y + 0.19, y + 0.38), _Line(_weights(layer), y - 0.19, y - 0.38)]
        beside = any(box.width_at(line.edge) < room(line.text) for line in lines)
        at = x + max(widths) + 0.1 if beside else x
        for i, line in enumerate(lines):
            self.texts.append(Text(at, line.y, line.text, beside, small=i > 0))

    def _write_shape(self, x, y, layer) -> None:
        self.texts.append(Text(x + 0.1, y, _shape(layer), beside=True, small=True))

    def _line(self, start, end, color, gap=None) -> None:
        self.lines.append(Line(start, end, color, gap))

    def _detour(self, x, start, end, before, layers, color, target, gap=0, fixed=None) -> None:
        """From the path, in row `start`, over the layers around x to what stands at `target` on the path, in row `end`."""
        high = sum(self._height(layer) + GAP for layer in layers) - GAP
        ys = self._stacked((start + end + high) / 2, layers)
        self._line((0, start), (x, start), color)
        last = self._column(x, start, ys, before, layers, color, fixed)
        self._line((x, last), (x, end), color)
        self._line((x, end), (target, end), color, gap)

    def _gate(self, parts: _Parts, ys: list[float], half: float, color: str) -> None:
        """What makes s, to the left and not to scale: from below the layer that it scales to the product."""
        product = _product(parts)
        before = parts.path[product - 1]
        start = ys[product - 1] - self._height(before) / 2 - 0.13
        self._detour(-half - 1.2, start, ys[product], before, parts.gate, color, -half, fixed=HALF)

    def _shortcut(self, parts: _Parts, ys: list[float], edge: float) -> float:
        """The shortcut, to the right: a projection begins after the BN and ReLU before the first convolution, any other at x.
        Returns how far it reaches."""
        gates = [layer for layer in parts.around if layer.name == "unit/gate"]
        around = [layer for layer in parts.around if layer not in gates]
        projected = [layer.kind for layer in around if layer.name == "unit/shortcut"][:1] == ["conv"]
        before = len(parts.kind.ordering.first.split()) if projected else 0
        start = ys[before - 1] - 0.5 if before else -0.4
        end = ys[[layer.kind for layer in parts.path].index("add")]
        half = max(0.45, *(self.scale * layer.channels_out for layer in (parts.x, *around)))
        x = edge + 0.3 + half
        self._detour(x, start, end, parts.x, around, "shortcut", target=0, gap=8)
        for gate in gates:
            self._shortcut_gate(gate, (x, start))
        if not around:
            carried = self.scale * parts.x.channels_out
            self.carried.append(Box(x, (start + end) / 2, carried, carried, start - end, "shortcut", False))
            self.texts.append(Text(x, (start + end) / 2, "identity", color="shortcut"))
        return max(x + half, self._right_edge()) + 0.05

    def _shortcut_gate(self, gate: Layer, start: tuple[float, float]) -> None:
        """What makes g of the x that comes in, beside the shortcut and not to scale: from where it begins to its product."""
        product = self.boxes[-1]
        half = max(HALF, room(gate.label) / 2)
        x = self._right_edge() + 0.25 + half
        y = (start[1] + product.y) / 2
        self._line(start, (x, start[1]), "shortcut")
        self._line((x, start[1]), (x, y + self._height(gate) / 2), "shortcut", gap=0)
        self._layer(x, y, gate, [half, half], "shortcut")
        self._line((x, y - self._height(gate) / 2), (x, product.y), "shortcut")
        self._line((x, product.y), (product.x + product.top, product.y), "shortcut", gap=0)
