"""Figures shared by the notebooks: one colour for one thing, a text for those who cannot see it, and residual units drawn
from their description. Changes no setting of matplotlib until a chapter asks for the common style, by `use_style`."""

from __future__ import annotations

import base64
import html
import io
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from .checks import one_of, positive_int
from .unit_drawing import HALF, Drawing, unit_drawing
from .units import AnyUnit, UnitKind

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
# Bytes. A smaller SVG of lines and texts is not compared with a PNG: to draw a figure again takes as long as the first time.
_LARGE = 50_000


def show(figure: Figure, alt: str, caption: str | None = None) -> Picture:
    """The last line of a cell that draws: the matplotlib figure as a Picture with its alternative text.

    The image is an SVG, whose text stays text and is crisp at any size, or where that is large or holds pixels a PNG of
    twice the resolution, if it is smaller.
    Raises ValueError for an empty alt text: who cannot see the figure should still get its claim.
    """
    if not alt.strip():
        raise ValueError("alt must say what the figure shows, got an empty text")
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    svg, png = io.BytesIO(), io.BytesIO()
    options = {"bbox_inches": "tight", "facecolor": "white"}
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "resnet_lib"}):
        figure.savefig(svg, format="svg", metadata={"Date": None}, **options)
    image = svg.getvalue()
    points = float(re.search(rb'<svg[^>]* width="([0-9.]+)pt"', image)[1])  # 72 make an inch
    if len(image) > _LARGE or b"<image" in image:
        figure.savefig(png, format="png", dpi=2 * _PIXELS_PER_INCH, **options)
        image = min(image, png.getvalue(), key=len)
    plt.close(figure)
    return Picture(image, alt, round(points / 72 * _PIXELS_PER_INCH), caption)


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
    weights: bool = False,
    widest: int | None = None,
    half: float | None = None,
) -> tuple[Axes, str]:
    """Draws one residual unit from top to bottom: (axes, text), text being the same in words, for `show(figure, alt=text)`.

    kind: "basic_v1", "bottleneck_v2", ... or the function of that name; unit: its tuple, as in a Block; channels_in, size:
    of what comes in, size one number or (height, width); shortcut, stride_in: as in `Architecture`; ax: matplotlib axes
    of about 2.5 x 4 inches, wider for groups or a gate, None makes a figure; weights: whether convolutions say how many they
    have. Units side by side line up when their axes share y.

    The width of a box is to scale: as wide at its top as the channels that come in, at its bottom as those that go out; an
    identity is a band as wide as what it carries. The widest layer gets twice `half`, None: as much as the labels need;
    widest: the channels that get it, None: the most in this unit. What makes the s of a squeeze-and-excitation unit stands to
    the left, not to scale. Layers, sizes, channels and weights are those of `accounting.unit_layers`. An arrow carries
    height x width x channels where they change; "/2" is a stride of 2. Raises ValueError or TypeError naming the argument at
    fault. `unit_drawing` computes where everything stands. See notebook 03.
    """
    drawing = unit_drawing(kind, unit, channels_in, size, shortcut, stride_in, weights, widest, half)
    ax = ax or _new_axes(drawing.right - drawing.left, drawing.top - drawing.bottom)
    _put(drawing, ax)
    ax.update_datalim([(drawing.left, drawing.top), (drawing.right, drawing.bottom)])
    ax.margins(0)
    ax.autoscale_view()
    ax.axis("off")
    return ax, drawing.words


_INCHES = 0.65, 0.38  # of a step to the right and down in a drawing of units
_BETWEEN = 0.5  # units side by side
_TITLE = 1.0  # room above a row of units


def draw_units(
    units: Mapping[str, tuple[Any, ...]], rows: int = 1, weights: bool = True, width: float = 7.6
) -> tuple[Figure, str]:
    """Units side by side, all at one scale: (figure, the same in words), for `show(figure, alt=words)`.

    units: title -> the first arguments of `draw_unit`, (kind, unit, channels_in, size) and, if need be, shortcut and
    stride_in; rows: in how many rows they stand, row by row; weights: as in `draw_unit`; width: of the figure in inches, which
    the boxes fill as far as their labels allow. Raises what `draw_unit` does, and ValueError for no units and for no rows.
    """
    import matplotlib.pyplot as plt

    if not units:
        raise ValueError("units must hold at least one unit, got none")
    columns = math.ceil(len(units) / positive_int("rows", rows))
    drawings, left, right = _as_large_as_fits(list(units.values()), columns, weights, width / _INCHES[0])
    total = sum(left) + sum(right) + _BETWEEN * (columns - 1)
    heights = [max(d.top - d.bottom for d in drawings[i : i + columns]) for i in range(0, len(units), columns)]
    height = sum(heights) + _TITLE * len(heights)
    figure = plt.figure(figsize=(_INCHES[0] * total, _INCHES[1] * height))
    ax = figure.add_axes((0, 0, 1, 1))
    for i, (title, drawing) in enumerate(zip(units, drawings, strict=True)):
        row, column = divmod(i, columns)
        x = sum(left[: column + 1]) + sum(right[:column]) + _BETWEEN * column
        y = -sum(heights[:row]) - _TITLE * (row + 1) - drawing.top
        _put(drawing, ax, x, y)
        ax.text(x - left[column], y + drawing.top + 0.35, title, weight="bold", va="bottom")
    ax.set(xlim=(0, total), ylim=(-height, 0))
    ax.axis("off")
    return figure, " ".join(f"{title}: {drawing.words}." for title, drawing in zip(units, drawings, strict=True))


def _as_large_as_fits(units, columns, weights, width):
    """The drawings at the largest of six scales at which the columns fit into the width, else at the smallest; and how far
    each column reaches to the left and to the right of its middle."""
    widest = max(unit_drawing(*unit).widest for unit in units)
    for half in (2.4, 2.1, 1.8, 1.5, 1.2, HALF):
        drawings = [unit_drawing(*unit, weights=weights, widest=widest, half=half) for unit in units]
        left = [max(-d.left for d in drawings[i::columns]) for i in range(columns)]
        right = [max(d.right for d in drawings[i::columns]) for i in range(columns)]
        if sum(left) + sum(right) + _BETWEEN * (columns - 1) <= width:
            break
    return drawings, left, right


def _put(drawing: Drawing, ax: Axes, x: float = 0, y: float = 0) -> None:
    """The drawing on matplotlib's axes, its origin at (x, y)."""
    from matplotlib.patches import Polygon

    def moved(point):
        return point[0] + x, point[1] + y

    def polygon(box, **style):
        ax.add_patch(Polygon([moved(corner) for corner in box.corners], **style))

    for band in drawing.carried:
        polygon(band, fc=_tint(band.color, 0.12), ec="none", zorder=0.5)
    for box in drawing.boxes:
        polygon(box, fc="white", ec=COLORS[box.color])
        polygon(box, fc=COLORS[box.color], alpha=0.25 if box.tinted else 0)
    for *center, color in drawing.sums:
        ax.plot(*moved(center), "o", ms=14, mfc="white", mec=COLORS[color])
    for line in drawing.lines:
        start, end = moved(line.start), moved(line.end)
        style = {"color": COLORS[line.color], "lw": 1.2}
        if line.gap is None:
            ax.plot(*zip(start, end, strict=True), zorder=1, **style)
        else:
            arrow = {"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": line.gap, "mutation_scale": 9, **style}
            ax.annotate("", end, start, arrowprops=arrow)
    for text in drawing.texts:
        style = {"fontsize": 7.5 if text.small else 8, "ha": "left" if text.beside else "center"}
        style["va"] = "center" if text.small else "center_baseline"
        if text.color:
            box = {"fc": _tint(text.color, 0.12), "ec": "none", "pad": 1.5}
            style |= {"color": COLORS[text.color], "bbox": box}
        ax.text(*moved(text[:2]), text.text, **style)


def _tint(color: str, share: float) -> tuple[float, ...]:
    """A colour of COLORS on white."""
    from matplotlib.colors import to_rgb

    return tuple(1 - share + share * part for part in to_rgb(COLORS[color]))


def _new_axes(width: float, height: float) -> Axes:
    import matplotlib.pyplot as plt

    return plt.figure(figsize=(_INCHES[0] * width, _INCHES[1] * height), layout="constrained").subplots()
