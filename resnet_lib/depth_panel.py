"""How deep may a fresh network be? A panel: signal and gradient at every unit, from the formulas of `mean_field`.

The standard library is all that this needs, so it runs in a browser as it is. `depth_panel` is the panel, and
`panels.jupyter(depth_panel())` shows it in JupyterLab. Used in notebook 01.
"""

from __future__ import annotations

import html
from math import ceil, floor, log10
from typing import NamedTuple

from .checks import one_of
from .figures import COLORS, Picture
from .mean_field import SKIPS, profile
from .panels import Choice, Panel, Slider, in_words, sheet, svg

_NAMES = {"none": "no skip", "v1": "V1", "v2": "V2"}
_COLORS = {"none": COLORS["plain"], "v1": COLORS["residual"], "v2": COLORS["residual"]}
_DASHES = {"none": "", "v1": "7 4", "v2": ""}

_WIDTH, _HEIGHT = 760, 262
_CHART_WIDTH, _CHART_HEIGHT = 300, 170
_TOP = 36
_LEAST = 1e-300  # what is drawn for numbers that are 0 in floating point


class _Curve(NamedTuple):
    skip: str
    values: list[float]  # one for each x_0 ... x_n


def depth_page(units: int, skip: str = "v2", batch_norm: bool = True, weight_scale: float = 1.0) -> str:
    """The page of the panel, an HTML text: what `mean_field.profile` says of these arguments in a sentence and as two charts,
    with the networks that differ only in their skip as thin lines. Raises ValueError as `profile` does."""
    chosen = profile(units, skip, batch_norm, weight_scale)
    norm = "with" if batch_norm else "without"
    what = f"{units} units, {2 * units} layers, {_NAMES[skip]}, {norm} batch norm, weights of {weight_scale:.0%}"
    sentence = (
        f"{what}: the gradient for the first unit is {_number(chosen.gradient[0])} times the one for the last; the signal "
        f"after the last unit is {_number(chosen.signal[-1] / max(chosen.signal[0], _LEAST))} times the one before the first"
    )
    possible = [name for name in SKIPS if batch_norm or name != "v1"]
    profiles = {name: profile(units, name, batch_norm, weight_scale) for name in possible}
    charts = [
        _chart(55, "signal (root mean square)", [_Curve(name, p.signal) for name, p in profiles.items()], skip),
        _chart(440, "gradient (last unit: 1)", [_Curve(name, p.gradient) for name, p in profiles.items()], skip),
        *_legend(possible, skip),
    ]
    drawn = svg(_WIDTH, _HEIGHT, [sheet(_WIDTH, _HEIGHT), *charts], font_size=12)
    alt = f"Two charts over the units. {sentence}."
    return f"<p>{html.escape(sentence)}.</p>{Picture(drawn.encode(), alt, _WIDTH).html()}"


def _number(value: float) -> str:
    return f"{value:.2g}" if 1e-3 < value < 1e4 else f"{value:.0e}"


def _chart(left: float, title: str, curves: list[_Curve], chosen: str) -> str:
    """One chart with its left edge there: values on a logarithmic axis over the units 0 to n."""
    logs = {curve.skip: [log10(max(value, _LEAST)) for value in curve.values] for curve in curves}
    low = min(-1, floor(min(map(min, logs.values()))))
    high = max(1, ceil(max(map(max, logs.values()))))

    def y(exponent: float) -> float:
        return _TOP + _CHART_HEIGHT * (high - exponent) / (high - low)

    parts = [f'<text x="{left}" y="{_TOP - 16}" font-weight="bold">{title}</text>']
    step = ceil((high - low) / 6)
    for exponent in range(step * ceil(low / step), high + 1, step):
        at = y(exponent)
        parts.append(f'<path d="M{left} {at:.1f}h{_CHART_WIDTH}" stroke="#dddddd"/>')
        parts.append(f'<text x="{left - 6}" y="{at + 4:.1f}" text-anchor="end">1e{exponent}</text>')
    units = len(curves[0].values) - 1
    for unit in (0, units):
        x = left + _CHART_WIDTH * unit / units
        parts.append(f'<text x="{x}" y="{_TOP + _CHART_HEIGHT + 18}" text-anchor="middle">{unit}</text>')
    middle = left + _CHART_WIDTH / 2
    parts.append(f'<text x="{middle}" y="{_TOP + _CHART_HEIGHT + 18}" text-anchor="middle">unit</text>')
    for skip, exponents in logs.items():
        points = " ".join(f"{left + _CHART_WIDTH * i / units:.1f},{y(e):.1f}" for i, e in enumerate(exponents))
        width = 3.5 if skip == chosen else 1.2
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{_COLORS[skip]}" stroke-width="{width}" '
            f'stroke-dasharray="{_DASHES[skip]}"/>'
        )
    return "".join(parts)


def _legend(skips: list[str], chosen: str) -> list[str]:
    """What each line is, side by side below the charts."""
    parts = []
    for i, skip in enumerate(skips):
        x = 55 + 130 * i
        width, weight = (3.5, "bold") if skip == chosen else (1.2, "normal")
        parts.append(
            f'<path d="M{x} {_HEIGHT - 14}h34" stroke="{_COLORS[skip]}" stroke-width="{width}" '
            f'stroke-dasharray="{_DASHES[skip]}"/>'
            f'<text x="{x + 42}" y="{_HEIGHT - 10}" font-weight="{weight}">{_NAMES[skip]}</text>'
        )
    return parts


def depth_panel(units: int = 50, skip: str = "none", batch_norm: bool = True, weight_percent: int = 100) -> Panel:
    """Controls for the arguments of `mean_field.profile`, and the page that `depth_page` makes of them: Panel. Arguments: where
    the controls stand at first; weight_percent: 100 times the weight scale. Raises ValueError for an unknown skip."""
    controls = (
        Slider("units", "units", 1, max(100, units), units),
        Slider("weight_percent", "weights (%)", min(25, weight_percent), max(300, weight_percent), weight_percent),
        Choice("skip", "skip", SKIPS, one_of("skip", skip, SKIPS)),
        Choice("batch_norm", "batch norm", ("yes", "no"), "yes" if batch_norm else "no"),
    )

    def show(units: int, weight_percent: int, skip: str, batch_norm: str) -> str:
        return depth_page(units, skip, batch_norm == "yes", weight_percent / 100)

    return Panel(controls, in_words(show))
