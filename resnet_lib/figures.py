"""Figures shared by the notebooks: one colour for one thing, a text for those who cannot see it, and residual units drawn
from their description. Changes no setting of matplotlib until a chapter asks for the common style, by `use_style`."""

from __future__ import annotations

import base64
import html
import io
from typing import TYPE_CHECKING, NamedTuple

from .accounting import unit_layers
from .checks import height_and_width, one_of, positive_int
from .layers import Layer, input_layer
from .units import COUNTED_KINDS, SHORTCUTS, STRIDE_IN, AnyUnit, UnitKind, as_unit, unit_kind

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, which colour-blind readers can tell apart.
COLORS = {
    "plain": "#7f7f7f",
    "highway": "#e69f00",
    "residual": "#0072b2",
    "shortcut": "#009e73",
    "published": "#cc79a7",
    "accent": "#d55e00",
}

STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "legend.frameon": False,
    "lines.linewidth": 2,
}


def use_style() -> None:
    """Gives the figures that follow, in this process, the common look of the chapters: matplotlib's settings of STYLE."""
    import matplotlib.pyplot as plt

    plt.rcParams.update(STYLE)


class Picture:
    """A finished figure as Jupyter shows it: an image with its alternative text and a caption."""

    def __init__(self, image: bytes, alt: str, width: int, caption: str | None = None):
        """image: a PNG or an SVG; width: on the page, in pixels."""
        self.image = image
        self.alt = alt
        self.width = width
        self.caption = caption

    @property
    def kind(self) -> str:
        """The image's MIME type."""
        return "image/png" if self.image.startswith(b"\x89PNG") else "image/svg+xml"

    def _repr_html_(self) -> str:
        caption = f"<figcaption>{html.escape(self.caption)}</figcaption>" if self.caption else ""
        return f"<figure>{self.html()}{caption}</figure>"

    def html(self) -> str:
        """The image alone, with its alternative text."""
        data = base64.b64encode(self.image).decode()
        return f'<img src="data:{self.kind};base64,{data}" alt="{html.escape(self.alt)}" width="{self.width}">'

    def __repr__(self) -> str:
        return self.alt


_PIXELS_PER_INCH = 100


def show(figure: Figure, alt: str, caption: str | None = None) -> Picture:
    """The last line of a cell that draws: the matplotlib figure as a Picture with its alternative text.

    The image is an SVG, whose text stays text and is crisp at any size, or a PNG of twice the resolution, whichever is smaller.
    Raises ValueError for an empty alt text: who cannot see the figure should still get its claim.
    """
    if not alt.strip():
        raise ValueError("alt must say what the figure shows, got an empty text")
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    png, svg = io.BytesIO(), io.BytesIO()
    options = {"bbox_inches": "tight", "facecolor": "white"}
    figure.savefig(png, format="png", dpi=2 * _PIXELS_PER_INCH, **options)
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "resnet_lib"}):
        figure.savefig(svg, format="svg", metadata={"Date": None}, **options)
    plt.close(figure)
    image = min(svg.getvalue(), png.getvalue(), key=len)
    width = int.from_bytes(png.getvalue()[16:20], "big") // 2  # the width in the PNG's header, in pixels
    return Picture(image, alt, width, caption)


class _Formula(NamedTuple):
    """How a layer is drawn: marks as (x, y, text), arrows as lists of points, those of the shortcut apart; and in words."""

    marks: list[tuple[float, float, str]]
    arrows: list[list[tuple[float, float]]]
    shortcut: list[tuple[float, float]]
    words: str


_FORMULAS = {
    "plain": _Formula([(0, -2, "H")], [[(0, 0), (0, -2)], [(0, -2), (0, -4)]], [], "y = H(x)"),
    "highway": _Formula(
        [(0, -1.1, "H"), (-1.3, -1.1, "T"), (0, -2.1, "×"), (1.3, -2.1, "× (1−T)"), (0, -3.1, "+")],
        [
            [(0, 0), (0, -1.1)],
            [(0, -0.4), (-1.3, -0.4), (-1.3, -1.1)],
            [(0, -1.1), (0, -2.1)],
            [(-1.3, -1.1), (-1.3, -2.1), (0, -2.1)],
            [(0, -2.1), (0, -3.1)],
            [(0, -3.1), (0, -4)],
        ],
        [(0, -0.4), (1.3, -0.4), (1.3, -3.1), (0, -3.1)],
        "y = H(x) T(x) + x (1 - T(x))",
    ),
    "residual": _Formula(
        [(0, -1.6, "F"), (0, -3.1, "+")],
        [[(0, 0), (0, -1.6)], [(0, -1.6), (0, -3.1)], [(0, -3.1), (0, -4)]],
        [(0, -0.4), (1.3, -0.4), (1.3, -3.1), (0, -3.1)],
        "y = F(x) + x",
    ),
}


def draw_layer(kind: str, ax: Axes | None = None) -> tuple[Axes, str]:
    """Draws the formula of one layer from top to bottom: (axes, the formula as text).

    kind: "plain", "highway" or "residual"; ax: matplotlib axes of about 2.4 x 2.8 inches, None makes a figure. H and F are
    what the weights compute, T is the transform gate; the shortcut is green. Raises ValueError for another kind. See notebook
    01.
    """
    formula = _FORMULAS[one_of("kind", kind, _FORMULAS)]
    ax = ax or _new_axes(3.6, 4.6)
    for points in filter(None, [*formula.arrows, formula.shortcut]):
        color = COLORS["shortcut" if points is formula.shortcut else kind]
        ax.plot(*zip(*points, strict=True), color=color, lw=1.2, zorder=1)
        arrow = {"arrowstyle": "-|>", "color": color, "shrinkA": 0, "mutation_scale": 10, "lw": 1.2}
        ax.annotate("", points[-1], points[-2], arrowprops={**arrow, "shrinkB": 11 if points[-1][1] > -4 else 0})
    for x, y, text in formula.marks:
        box = {"boxstyle": "circle" if text == "+" or text == "×" else "round", "fc": "white", "ec": COLORS[kind]}
        ax.text(x, y, text, ha="center", va="center", bbox=box)
    ax.text(0, 0.25, "x", ha="center", va="center", style="italic")
    ax.text(0, -4.3, "y", ha="center", va="center", style="italic")
    ax.set(xlim=(-1.9, 2.1), ylim=(-4.6, 0.6))
    ax.axis("off")
    return ax, formula.words


def draw_unit(
    kind: str | UnitKind,
    unit: AnyUnit | tuple[int, ...],
    channels_in: int,
    size: int | tuple[int, int],
    shortcut: str = "B",
    stride_in: str = "3x3",
    ax: Axes | None = None,
) -> tuple[Axes, str]:
    """Draws one residual unit from top to bottom: (axes, text), text being the same in words, for `show(figure, alt=text)`.

    kind: "basic_v1", "bottleneck_v2", ... or the function of that name; unit: its tuple, as in a Block; channels_in, size:
    of what comes in, size one number or (height, width); shortcut, stride_in: as in `Architecture`; ax: matplotlib axes
    of about 2.5 x 4 inches, wider for groups or a gate, None makes a figure. Units side by side line up when their axes
    share y. Layers, sizes and channels are those of `accounting.unit_layers`. An arrow carries height x width x channels
    where they change; "/2" is a stride of 2; what makes the s of a squeeze-and-excitation unit stands to the left. Raises
    ValueError or TypeError naming the argument at fault. See notebook 03.
    """
    parts = _parts(unit_kind(kind), unit, channels_in, size, shortcut, stride_in)
    half = max(0.9, *(0.054 * len(layer.label) for layer in parts.path))  # of a box's width: room for the longest label
    left, right = _reach(parts, half)
    rows = _rows(parts)
    ax = ax or _new_axes(left + right, 2 - rows[-1])
    path = _Column(ax, 0, half, COLORS["plain" if shortcut == "none" else "residual"])
    end = path.draw(0.5, rows, parts.x, parts.path, both_ends=True)
    path.arrow((0, end), (0, end - 0.6))
    _draw_gate(path, rows, parts)
    _draw_shortcut(path, rows, parts)
    ax.update_datalim([(-left, 0.5), (right, end - 0.6)])
    ax.margins(0)
    ax.autoscale_view()
    ax.axis("off")
    return ax, _text(parts)


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


def _text(parts: _Parts) -> str:
    text = f"{_shape(parts.x)} in, {_words(parts.path)}, {_shape(parts.path[-1])} out"
    if parts.around is not None:
        text += f"; on the shortcut {_words(parts.around) or 'the identity'}"
    return f"{text}; s is made by {_words(parts.gate)}" if parts.gate else text


def _words(layers: list[Layer]) -> str:
    return ", ".join(layer.label.replace("+", "sum") for layer in layers)


def _shape(layer: Layer) -> str:
    return "x".join(map(str, (*layer.size_out, layer.channels_out)))


def _reach(parts: _Parts, half: float) -> tuple[float, float]:
    """How far the drawing reaches to the left and to the right of the path's middle."""
    left = half + (2.15 if parts.gate else 0.05)
    if parts.around is None:  # as wide as the others, the path in the middle
        return max(left, 2), max(half + 0.05, 2)
    return left, half + 2.15


def _new_axes(width: float, height: float) -> Axes:
    import matplotlib.pyplot as plt

    return plt.figure(figsize=(0.65 * width, 0.38 * height), layout="constrained").subplots()


def _product(parts: _Parts) -> int:
    """Where on the path s is multiplied."""
    return [layer.label for layer in parts.path].index("times s")


def _rows(parts: _Parts) -> list[int]:
    """Where each layer of the path stands, from -1 down, with room for the gate before s is multiplied."""
    rows = [-1 - i for i in range(len(parts.path))]
    if parts.gate:
        product = _product(parts)
        rows[product:] = [row - len(parts.gate) for row in rows[product:]]
    return rows


class _Column(NamedTuple):
    """Boxes one below the other around `center`, 2 * half wide: convolutions tinted, a sum round."""

    ax: Axes
    center: float
    half: float
    color: str

    def draw(self, start, rows, before, layers, both_ends=False) -> float:
        """Draws the layers in their rows, and an arrow into each, which carries the shape where it changes; with `both_ends`,
        the first arrow and what follows carry it anyway. Returns where the last box ends."""
        if both_ends:
            self._write_shape(0.05, before)
        for row, layer in zip(rows, layers, strict=True):
            self.arrow((self.center, start), (self.center, row + 0.27))
            self._draw_layer(row, layer)
            if _shape(layer) != _shape(before) or (both_ends and layer is layers[-1]):
                self._write_shape(row - 0.5, layer)
            start = row - 0.27
            before = layer
        return start

    def detour(self, start, end, before, layers, target, gap=0) -> None:
        """From the path, in row `start`, over the layers to what stands at `target` on the path, in row `end`."""
        first = (start + end + len(layers) - 1) / 2
        self._line((0, self.center), (start, start))
        last = self.draw(start, [first - i for i in range(len(layers))], before, layers)
        self._line((self.center, self.center), (last, end))
        self.arrow((self.center, end), (target, end), gap)

    def arrow(self, start, end, gap=0) -> None:
        """From start to end, in data coordinates, stopping `gap` points before the end."""
        arrow = {"arrowstyle": "-|>", "color": self.color, "shrinkA": 0, "shrinkB": gap, "mutation_scale": 9, "lw": 1.2}
        self.ax.annotate("", end, start, arrowprops=arrow)

    def _line(self, xs, ys) -> None:
        self.ax.plot(xs, ys, color=self.color, lw=1.2, zorder=1)

    def _draw_layer(self, row: float, layer: Layer) -> None:
        from matplotlib.patches import Rectangle

        if layer.kind == "add":
            self.ax.plot(self.center, row, "o", ms=14, mfc="white", mec=self.color)
        else:
            box = ((self.center - self.half, row - 0.27), 2 * self.half, 0.54)
            self.ax.add_patch(Rectangle(*box, fc="white", ec=self.color))
            self.ax.add_patch(Rectangle(*box, fc=self.color, alpha=0.25 if layer.kind == "conv" else 0))
        self.ax.text(self.center, row, layer.label, ha="center", va="center_baseline", fontsize=8)

    def _write_shape(self, row: float, layer: Layer) -> None:
        self.ax.text(self.center + 0.07, row, _shape(layer), va="center", fontsize=7.5)


def _draw_gate(path: _Column, rows: list[int], parts: _Parts) -> None:
    """What makes s, to the left: from below the layer that it scales to the product."""
    if parts.gate:
        product = _product(parts)
        column = _Column(path.ax, -path.half - 1.2, 0.9, path.color)
        column.detour(rows[product - 1] - 0.4, rows[product], parts.path[product - 1], parts.gate, -path.half)


def _draw_shortcut(path: _Column, rows: list[int], parts: _Parts) -> None:
    """The shortcut, to the right: a projection begins after the BN and ReLU before the first convolution, any other at x."""
    if parts.around is None:
        return
    projected = [layer.kind for layer in parts.around if layer.name == "unit/shortcut"][:1] == ["conv"]
    before = len(parts.kind.ordering.first.split()) if projected else 0
    start = -before - 0.5 if before else -0.4
    end = rows[[layer.kind for layer in parts.path].index("add")]
    column = _Column(path.ax, path.half + 1.2, 0.9, COLORS["shortcut"])
    column.detour(start, end, parts.x, parts.around, target=0, gap=8)
    if not parts.around:
        white = {"color": "white"}
        middle = (column.center, (start + end) / 2)
        path.ax.text(*middle, "identity", ha="center", va="center", fontsize=8, color=column.color, bbox=white)
