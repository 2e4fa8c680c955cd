"""One residual unit to be moved: a panel that draws it to scale and says what it costs.

The standard library is all that this needs, so it runs in a browser as it is. `unit_panel` is the panel, and
`panels.jupyter(unit_panel())` shows it in JupyterLab. Used in notebook 03.
"""

from __future__ import annotations

import html
from typing import NamedTuple

from .accounting import total, trace
from .architectures import Architecture
from .blocks import Block
from .checks import one_of, positive_int
from .figures import COLORS, Picture
from .layers import Layer
from .panels import Choice, Panel, Slider, in_words, sheet, svg, table
from .unit_drawing import Box, Drawing, Line, Text, unit_drawing
from .units import SHORTCUTS_OF_2015, STRIDE_IN, AnyUnit, BasicUnit, GroupedUnit, SqueezeUnit, Unit, as_unit

SHAPES = ("basic", "bottleneck", "se_bottleneck")
VERSIONS = ("V1", "V2")
SHORTCUTS = SHORTCUTS_OF_2015

_ACROSS, _DOWN = 62, 37  # pixels for a step to the right and down in a drawing
_HALF = 1.7  # of the widest box


def unit_page(
    channels_in: int = 256,
    middle: int = 64,
    out: int = 256,
    stride: int = 1,
    shortcut: str = "B",
    groups: int = 1,
    version: str = "V1",
    shape: str = "bottleneck",
    stride_in: str = "3x3",
    size: int = 56,
) -> str:
    """The page of the panel, an HTML text: what the unit costs, its picture and its layers.

    channels_in, middle, out: channels, middle those of the 3x3 of a unit of three layers; groups: of the 3x3; version: "V1" or
    "V2"; shape: one of SHAPES; shortcut, stride_in: as in `Architecture`; size: of the maps that come in. Raises ValueError
    or TypeError naming the argument at fault.
    """
    unit = _unit(shape, middle, out, stride, groups)
    kind = f"{'grouped_' if groups > 1 else ''}{shape}_{one_of('version', version, VERSIONS).lower()}"
    net = Architecture("net", (Block("block", kind, (unit,)),), None, shortcut, stride_in)
    traced = trace(net, size, None, channels_in=channels_in, global_pool=False)
    layers = [layer for layer in traced if layer.name.startswith(f"block/unit_1/{kind}")]
    drawing = unit_drawing(kind, unit, channels_in, size, shortcut, stride_in, weights=True, half=_HALF)
    sentence = _sentence(f"{kind} {tuple(unit)}", layers)
    image = Picture(_drawn(drawing).encode(), f"{sentence} {drawing.words}.", _pixels(drawing)[0])
    return f"<p>{html.escape(sentence)}</p>{image.html()}{_table(layers)}"


def _unit(shape: str, middle: int, out: int, stride: int, groups: int) -> AnyUnit:
    one_of("shape", shape, SHAPES)
    if positive_int("groups", groups) > 1:
        if shape != "bottleneck":
            raise ValueError(f"groups: a unit of shape {shape!r} has none here, got {groups}; choose 'bottleneck'")
        if positive_int("middle", middle) % groups:
            raise ValueError(f"groups must divide middle: {middle} channels are no {groups} groups of one size")
        return as_unit((out, middle, stride, groups), GroupedUnit)
    if shape == "basic":
        return as_unit((out, stride), BasicUnit)
    if shape == "bottleneck":
        return as_unit((out, middle, stride), Unit)
    return as_unit((out, middle, stride, max(1, out // 16)), SqueezeUnit)


def _part(layer: Layer) -> str:
    """Where in the unit a layer stands: "shortcut", "squeeze", "conv1", ...; of the sum, nothing."""
    return "/".join(layer.name.split("/")[3:])


def _sentence(name: str, layers: list[Layer]) -> str:
    whole = total(layers)
    beside = total([layer for layer in layers if _part(layer).startswith("shortcut")])
    costs = f"{beside.params:,} of these parameters and {beside.macs:,} of these MACs" if beside.params else "nothing"
    shortcut = f"Its shortcut costs {costs}" if layers[-1].kind == "add" else "It has no shortcut"
    seen = layers[-1].receptive_field
    positions = f"{seen} x {seen} positions" if seen > 1 else "one position"
    return (
        f"{name}: {whole.params:,} parameters and {whole.macs:,} MACs. {shortcut}. A number that it puts out sees {positions} "
        "of what comes in."
    )


def _table(layers: list[Layer]) -> str:
    """A row for each layer that has parameters."""
    macs = total(layers).macs
    rows = []
    for layer in layers:
        if layer.params:
            size = "x".join(map(str, (*layer.size_out, layer.channels_out)))
            rows.append((_part(layer), size, f"{layer.params:,}", f"{layer.macs:,}", f"{layer.macs / macs:.1%}"))
    return table(("layer", "puts out", "parameters", "MACs", "of the MACs"), rows)


def _pixels(drawing: Drawing) -> tuple[int, int]:
    """Width and height of the picture."""
    return round(_ACROSS * (drawing.right - drawing.left)), round(_DOWN * (drawing.top - drawing.bottom))


class _Pen(NamedTuple):
    """Writes what a Drawing holds, of which these are the left and the upper end, as elements of an SVG."""

    left: float
    top: float

    def at(self, x: float, y: float) -> tuple[str, str]:
        return f"{_ACROSS * (x - self.left):.1f}", f"{_DOWN * (self.top - y):.1f}"

    def points(self, *points: tuple[float, float]) -> str:
        return " ".join(",".join(self.at(*point)) for point in points)

    def polygon(self, box: Box, style: str) -> str:
        return f'<polygon points="{self.points(*box.corners)}" {style}/>'

    def carried(self, band: Box) -> str:
        return self.polygon(band, f'fill="{COLORS[band.color]}" fill-opacity="0.12"')

    def line(self, line: Line) -> str:
        end = f' marker-end="url(#{line.color})"' if line.gap is not None else ""
        style = f'fill="none" stroke="{COLORS[line.color]}" stroke-width="1.5"{end}'
        return f'<polyline points="{self.points(line.start, _shortened(line))}" {style}/>'

    def box(self, box: Box) -> str:
        color = COLORS[box.color]
        outline = self.polygon(box, f'fill="white" stroke="{color}" stroke-width="1.3"')
        return outline + self.polygon(box, f'fill="{color}" fill-opacity="0.25"') if box.tinted else outline

    def sum(self, x: float, y: float, color: str) -> str:
        cx, cy = self.at(x, y)
        return f'<circle cx="{cx}" cy="{cy}" r="9" fill="white" stroke="{COLORS[color]}" stroke-width="1.3"/>'

    def text(self, text: Text) -> str:
        x, y = self.at(text.x, text.y - 0.1)
        anchor = "start" if text.beside else "middle"
        around = ' paint-order="stroke" stroke="white" stroke-width="5"' if text.color else ""
        style = f'text-anchor="{anchor}" fill="{COLORS.get(text.color, "black")}"{around}'
        size = 10.5 if text.small else 11.5
        return f'<text x="{x}" y="{y}" font-size="{size}" {style}>{html.escape(text.text)}</text>'


def _drawn(drawing: Drawing) -> str:
    """The drawing as an SVG text."""
    pen = _Pen(drawing.left, drawing.top)
    heads = "".join(map(_arrow_head, sorted({line.color for line in drawing.lines})))
    width, height = _pixels(drawing)
    parts = [
        f"<defs>{heads}</defs>",
        sheet(width, height),
        *map(pen.carried, drawing.carried),
        *map(pen.line, drawing.lines),
        *map(pen.box, drawing.boxes),
        *(pen.sum(*place) for place in drawing.sums),
        *map(pen.text, drawing.texts),
    ]
    return svg(width, height, parts)


def _shortened(line: Line) -> tuple[float, float]:
    """Where the line ends: an arrow to a sum stops at its circle."""
    if not line.gap:
        return line.end
    towards = 1 if line.start[0] > line.end[0] else -1
    return line.end[0] + towards * 9 / _ACROSS, line.end[1]


def _arrow_head(color: str) -> str:
    return (
        f'<marker id="{color}" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="6" markerHeight="6" orient="auto">'
        f'<path d="M0 0 8 4 0 8z" fill="{COLORS[color]}"/></marker>'
    )


def unit_panel(
    channels_in: int = 256,
    middle: int = 64,
    out: int = 256,
    stride: int = 1,
    shortcut: str = "B",
    groups: int = 1,
    version: str = "V1",
    shape: str = "bottleneck",
) -> Panel:
    """Controls for the arguments of `unit_page`, and the page: Panel. Arguments: where the controls stand at first. Raises
    ValueError for an unknown shortcut, version or shape."""
    controls = (
        Slider("channels_in", "in", 1, max(1024, channels_in), channels_in),
        Slider("middle", "middle", 1, max(512, middle), middle),
        Slider("out", "out", 1, max(1024, out), out),
        Slider("groups", "groups", 1, max(64, groups), groups),
        Slider("stride", "stride", 1, max(3, stride), stride),
        Choice("shape", "unit", SHAPES, one_of("shape", shape, SHAPES)),
        Choice("version", "version", VERSIONS, one_of("version", version, VERSIONS)),
        Choice("shortcut", "shortcut", SHORTCUTS, one_of("shortcut", shortcut, SHORTCUTS)),
        Choice("stride_in", "stride in", STRIDE_IN, "3x3"),
        Slider("size", "map size", 1, 112, 56),
    )

    return Panel(controls, in_words(unit_page))
