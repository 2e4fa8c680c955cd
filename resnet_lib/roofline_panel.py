"""What must a forward pass take on this device? A panel for `roofline.predict`: the roofline, and a row for each block.

The standard library is all that this needs, so it runs in a browser as it is. `roofline_panel` is the panel, and
`panels.jupyter(roofline_panel())` shows it in JupyterLab. Used in notebook 08.
"""

from __future__ import annotations

import html
from collections import Counter
from math import ceil, floor, log10, sqrt
from typing import NamedTuple

from .architectures import ARCHITECTURES
from .checks import one_of
from .figures import COLORS, Picture
from .panels import Choice, Panel, Slider, in_words, sheet, svg, table
from .roofline import BYTES, DEVICES, Prediction, predict
from .traffic import COUNTED_SHORTCUTS, FUSED

_WIDTH, _HEIGHT = 760, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 24, 736, 52, 205
_LARGEST = 30  # radius of a dot that would be the whole time
_LEGEND = (
    f'<text x="{_LEFT}" y="14">a dot is a kind of kernel, its area the share of the time: '
    f'<tspan fill="{COLORS["accent"]}">waits for memory</tspan>, '
    f'<tspan fill="{COLORS["residual"]}">waits for arithmetic</tspan></text>'
)
NETWORKS = tuple(name for name, net in ARCHITECTURES.items() if net.shortcut in COUNTED_SHORTCUTS)


def roofline_page(network: str, device: str, precision: str, batch_size: int, fused: str) -> str:
    """The page of the panel, an HTML text: the bound in a sentence, the roofline with a dot for each kernel, and a row for each
    block. Arguments and errors are those of `roofline.predict`."""
    found = predict(network, device, batch_size, precision, fused)
    sentence = (
        f"{found.network} on {device}, batch {batch_size}, {precision}: at least {1e3 * found.seconds:.3g} ms, so at most "
        f"{found.images_per_s:,.0f} images/s; {found.memory_bound_share:.0%} of this time waits for memory"
    )
    return f"<p>{html.escape(sentence)}.</p>{_picture(found, sentence)}{_table(found)}"


class _Axes(NamedTuple):
    """Both axes are logarithmic: FLOPs for each byte, from 10^low to 10^high, and TFLOP/s, from what memory lets through at
    the left to the peak."""

    low: int
    high: int
    peak: float  # TFLOP/s
    bandwidth: float  # TB/s

    def x(self, intensity: float) -> float:
        return _LEFT + (_RIGHT - _LEFT) * (log10(intensity) - self.low) / (self.high - self.low)

    def y(self, tflops: float) -> float:
        lowest = log10(self.bandwidth) + self.low
        return _BOTTOM - (_BOTTOM - _TOP) * (log10(tflops) - lowest) / (log10(self.peak) - lowest)

    @property
    def ridge(self) -> float:
        """The intensity from which on arithmetic is the limit."""
        return self.peak / self.bandwidth


def _picture(found: Prediction, sentence: str) -> str:
    seconds: Counter[float] = Counter()  # intensity -> of all kernels that have it
    for bound in found.bounds:
        if bound.flops and bound.bytes:
            seconds[bound.flops / bound.bytes] += bound.seconds
    axes = _axes(found.device.tflops[found.precision], found.device.tb_per_s, [*seconds])
    dots = [_dot(axes, intensity, taken / found.seconds) for intensity, taken in seconds.items()]
    parts = [sheet(_WIDTH, _HEIGHT), *_roof(axes), _LEGEND, *_grid(axes), *dots]
    alt = f"The roofline of {found.device.name}, a dot for each kind of kernel, as large as its share of the time. {sentence}."
    return Picture(svg(_WIDTH, _HEIGHT, parts, font_size=11.5).encode(), alt, _WIDTH).html()


def _axes(peak: float, bandwidth: float, intensities: list[float]) -> _Axes:
    """Axes on which all of these intensities and the ridge lie."""
    shown = [*intensities, peak / bandwidth]
    return _Axes(floor(log10(min(shown))), ceil(log10(max(shown))), peak, bandwidth)


def _roof(axes: _Axes) -> list[str]:
    """What the device can do at most, and the title of the lower axis."""
    ridge, middle = axes.x(axes.ridge), axes.x(axes.ridge**0.5 * 10 ** (axes.low / 2))
    return [
        f'<path d="M{_LEFT} {_BOTTOM}L{ridge:.1f} {_TOP}H{_RIGHT}" fill="none" stroke="{COLORS["plain"]}"/>',
        f'<text x="{_RIGHT}" y="{_TOP - 9}" text-anchor="end">{axes.peak:,.4g} TFLOP/s</text>',
        f'<text x="{middle + 14:.1f}" y="{(_TOP + _BOTTOM) / 2 + 14}">{axes.bandwidth:g} TB/s</text>',
        f'<text x="{(_LEFT + _RIGHT) / 2:.0f}" y="{_HEIGHT - 8}" text-anchor="middle">FLOPs for each byte moved</text>',
    ]


def _grid(axes: _Axes) -> list[str]:
    """A line and a number for each power of ten."""
    parts = []
    for exponent in range(axes.low, axes.high + 1):
        at = axes.x(10.0**exponent)
        parts.append(f'<path d="M{at:.1f} {_TOP}V{_BOTTOM}" stroke="#e4e4e4"/>')
        parts.append(f'<text x="{at:.1f}" y="{_BOTTOM + 18}" text-anchor="middle">{10.0**exponent:g}</text>')
    return parts


def _dot(axes: _Axes, intensity: float, share: float) -> str:
    """A kind of kernel, under the roof, with its share of the time as its area."""
    radius = max(1.5, _LARGEST * sqrt(share))
    y = axes.y(min(axes.peak, axes.bandwidth * intensity))
    color = COLORS["residual" if intensity >= axes.ridge else "accent"]
    return f'<circle cx="{axes.x(intensity):.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{color}" fill-opacity="0.5"/>'


def _table(found: Prediction) -> str:
    """A row for the root, each block and the classifier."""
    scopes = dict.fromkeys(bound.kernel.group.split("/")[0] for bound in found.bounds)
    rows = []
    for scope in scopes:
        own = [bound for bound in found.bounds if bound.kernel.group.split("/")[0] == scope]
        seconds = sum(bound.seconds for bound in own)
        waiting = sum(bound.seconds for bound in own if bound.limit == "memory")
        row = (
            scope,
            f"{sum(bound.flops for bound in own) / 1e9:,.1f}",
            f"{sum(bound.bytes for bound in own) / 1e6:,.1f}",
            f"{1e3 * seconds:.3g}",
            f"{seconds / found.seconds:.0%}",
            f"{waiting / seconds:.0%}",
        )
        rows.append(row)
    return table(("", "GFLOPs", "MB moved", "ms at least", "share", "waiting for memory"), rows)


def roofline_panel(network: str = "resnet_v2_152", device: str = "H200", precision: str = "bfloat16") -> Panel:
    """Controls for the arguments of `roofline_page`, and the page: Panel. Arguments: where the controls stand at first. Raises
    ValueError for an unknown network, device or precision."""
    controls = (
        Choice("network", "network", NETWORKS, one_of("network", network, NETWORKS)),
        Choice("device", "device", (*DEVICES,), one_of("device", device, DEVICES)),
        Choice("precision", "precision", (*BYTES,), one_of("precision", precision, BYTES)),
        Slider("batch_size", "batch size", 1, 512, 32),
        Choice("fused", "fused", FUSED, "sum"),
    )

    return Panel(controls, in_words(roofline_page))
