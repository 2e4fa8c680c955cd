"""Where the windows of a strided convolution stand, under three rules of padding: a panel for size, stride and kernel.

The standard library is all that this needs, so it runs in a browser as it is. `padding_panel` is the panel, and
`panels.jupyter(padding_panel())` shows it in JupyterLab. Used in notebook 07.
"""

from __future__ import annotations

import html
from typing import NamedTuple

from .checks import one_of, positive_int
from .figures import COLORS, Picture
from .panels import Panel, Slider, sheet, svg, table

RULES = ("conv2d_same", "SAME", "symmetric")
_NAMES = {"conv2d_same": "conv2d_same", "SAME": "TensorFlow's SAME", "symmetric": "PyTorch's padding=k//2"}

_WIDTH, _LEFT, _ROW = 760, 175, 46
_LARGEST = 34  # pixels for one pixel


class Windows(NamedTuple):
    """Along one axis: zeros before and after the pixels, and the pixel at which each window begins, negative in the zeros."""

    before: int
    after: int
    begins: tuple[int, ...]


def windows(rule: str, size: int, stride: int, kernel: int) -> Windows:
    """The windows of a convolution of `kernel` x `kernel` over `size` pixels along one axis.

    rule: "conv2d_same", kernel - 1 zeros in all, the odd one after; "SAME", TensorFlow's, as many as the last window needs,
    the odd one after; "symmetric", kernel // 2 zeros on either side, as PyTorch's Conv2d(padding=kernel // 2). Raises
    ValueError for another rule and TypeError or ValueError for a number that is not a positive whole one.
    """
    one_of("rule", rule, RULES)
    for name, number in (("size", size), ("stride", stride), ("kernel", kernel)):
        positive_int(name, number)
    if rule == "symmetric":
        before = after = kernel // 2
    else:
        total = kernel - 1
        if rule == "SAME":
            total = max((_number_kept(size, stride) - 1) * stride + kernel - size, 0)
        before = total // 2
        after = total - before
    number = (before + size + after - kernel) // stride + 1
    return Windows(before, after, tuple(stride * i - before for i in range(number)))


def _number_kept(size: int, stride: int) -> int:
    """How many pixels the shortcut keeps: 0, stride, 2 stride, ..."""
    return (size + stride - 1) // stride


def shift(found: Windows, size: int, stride: int, kernel: int) -> int | None:
    """By how many pixels the windows stand after those of the convolution with stride 1 at the pixels that the shortcut keeps;
    None where they are more or fewer than these pixels, so that the two cannot be added."""
    if len(found.begins) != _number_kept(size, stride):
        return None
    return found.begins[0] + (kernel - 1) // 2


def padding_page(size: int = 6, stride: int = 2, kernel: int = 3) -> str:
    """The page of the panel, an HTML text: what the shortcut keeps, and for each rule where its windows stand, in words, as a
    picture and as a table. Raises what `windows` does."""
    found = {rule: windows(rule, size, stride, kernel) for rule in RULES}
    kept = range(0, size, stride)
    verdicts = {rule: _verdict(shift(w, size, stride, kernel)) for rule, w in found.items()}
    agreeing = [rule for rule in RULES if verdicts[rule] == "agrees"]
    sentence = (
        f"{size} pixel{'s' if size > 1 else ''}, stride {stride}, kernel {kernel}: the shortcut keeps {_listed(kept)}. "
        f"{_said(agreeing)} the convolution with stride 1 at these pixels"
    )
    others = [f"{_NAMES[rule]}: {verdict}" for rule, verdict in verdicts.items() if verdict != "agrees"]
    sentence = f"{sentence}. {'; '.join(others)}." if others else f"{sentence}."
    image = Picture(_drawn(found, verdicts, _Strips(size, stride, kernel)).encode(), sentence, _WIDTH)
    return f"<p>{html.escape(sentence)}</p>{image.html()}{_table(found, verdicts, kernel)}"


def _listed(pixels: range) -> str:
    """A few of them: "pixel 0", "pixels 0, 2, 4", "pixels 0, 1, 2, ... 15"."""
    if len(pixels) == 1:
        return "pixel 0"
    few = ", ".join(map(str, pixels if len(pixels) < 6 else pixels[:3]))
    return f"pixels {few}{'' if len(pixels) < 6 else f', ... {pixels[-1]}'}"


def _said(agreeing: list[str]) -> str:
    if len(agreeing) == len(RULES):
        return "All three rules compute"
    names = " and ".join(_NAMES[rule] for rule in agreeing)
    return f"{'Only ' if len(agreeing) == 1 else ''}{names} compute{'s' if len(agreeing) == 1 else ''}"


def _verdict(by: int | None) -> str:
    if by is None:
        return "another number of outputs"
    if by == 0:
        return "agrees"
    return f"{abs(by)} pixel{'s' if abs(by) > 1 else ''} too {'late' if by > 0 else 'early'}"


def _centre(begin: int, kernel: int) -> float:
    return begin + (kernel - 1) / 2


def _table(found: dict[str, Windows], verdicts: dict[str, str], kernel: int) -> str:
    """A row for each rule."""
    rows = []
    for rule, w in found.items():
        numbers = map(str, (w.before, w.after, len(w.begins)))
        rows.append((_NAMES[rule], *numbers, f"{_centre(w.begins[0], kernel):g}", verdicts[rule]))
    return table(("rule", "zeros before", "after", "outputs", "first centre", ""), rows)


class _Strips(NamedTuple):
    """Strips of pixels below each other, of one scale: there is room for the zeros of every rule."""

    size: int
    stride: int
    kernel: int

    @property
    def zeros(self) -> int:
        """The most on a side."""
        return self.kernel // 2

    @property
    def cell(self) -> float:
        """How wide a pixel is drawn."""
        return min(_LARGEST, (_WIDTH - _LEFT - 190) / (self.size + 2 * self.zeros))

    def x(self, pixel: float) -> float:
        """Where a pixel begins; those of the zeros before are negative."""
        return _LEFT + self.zeros * self.cell + pixel * self.cell

    def numbers(self) -> list[str]:
        """The number of each pixel, or of a few where they are narrow."""
        step = 1 if self.cell > 14 else self.stride * max(1, self.size // 16)
        return [
            f'<text x="{self.x(pixel + 0.5):.1f}" y="14" text-anchor="middle">{pixel}</text>'
            for pixel in range(0, self.size, step)
        ]

    def pixels(self, y: int, w: Windows) -> list[str]:
        """The pixels and zeros of a rule, and frames around those that the shortcut keeps."""
        inset = min(3, self.cell / 6)
        green = f'fill="none" stroke="{COLORS["shortcut"]}" stroke-width="2.5"'
        parts = []
        for pixel in range(-w.before, self.size + w.after):
            fill = "white" if 0 <= pixel < self.size else "#e4e4e4"
            parts.append(_square(self.x(pixel), y, self.cell, f'fill="{fill}" stroke="#bbbbbb"'))
        for pixel in range(0, self.size, self.stride):
            parts.append(_square(self.x(pixel) + inset, y + 3, self.cell - 2 * inset, green, 28))
        return parts

    def marks(self, y: int, w: Windows, color: str) -> list[str]:
        """A line under the first window, and a dot at the centre of each."""
        left, width, radius = self.x(w.begins[0]) + 1, self.kernel * self.cell - 2, min(6, self.cell / 4)
        line = f'<path d="M{left:.1f} {y + 38}h{width:.1f}" stroke="{color}" stroke-width="3"/>'
        centres = (self.x(_centre(begin, self.kernel) + 0.5) for begin in w.begins)
        return [line, *(f'<circle cx="{x:.1f}" cy="{y + 17}" r="{radius:.1f}" fill="{color}"/>' for x in centres)]

    def strip(self, y: int, rule: str, w: Windows, verdict: str) -> list[str]:
        """A rule from left to right: its name, its pixels and windows, and the verdict."""
        color, weight = (COLORS["residual"], "normal") if verdict == "agrees" else (COLORS["accent"], "bold")
        right = self.x(self.size + self.zeros) + 12
        return [
            f'<text x="4" y="{y + 21}">{html.escape(_NAMES[rule])}</text>',
            *self.pixels(y, w),
            *self.marks(y, w, color),
            f'<text x="{right:.1f}" y="{y + 21}" fill="{color}" font-weight="{weight}">{verdict}</text>',
        ]


def _drawn(found: dict[str, Windows], verdicts: dict[str, str], strips: _Strips) -> str:
    """A strip of pixels for each rule: zeros grey, kept pixels in a green frame, a dot at the centre of each window."""
    high = 26 + len(RULES) * _ROW
    parts = [sheet(_WIDTH, high), *strips.numbers()]
    for row, (rule, w) in enumerate(found.items()):
        parts += strips.strip(24 + row * _ROW, rule, w, verdicts[rule])
    return svg(_WIDTH, high, parts, font_size=12)


def _square(x: float, y: float, width: float, style: str, height: float = _LARGEST) -> str:
    return f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{height}" {style}/>'


def padding_panel(size: int = 6, stride: int = 2, kernel: int = 3) -> Panel:
    """Controls for the arguments of `padding_page`, and the page: Panel. Arguments: where the controls stand at first."""
    controls = (
        Slider("size", "size (pixels)", 1, max(16, size), size),
        Slider("stride", "stride", 1, max(4, stride), stride),
        Slider("kernel", "kernel", 1, max(7, kernel), kernel),
    )
    return Panel(controls, padding_page)
