"""The panel shows what the formulas say, and answers wherever its controls stand."""

import base64
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_lib.depth_panel import depth_page, depth_panel
from resnet_lib.mean_field import SKIPS, profile
from resnet_lib.panels import Choice

SVG = "{http://www.w3.org/2000/svg}"


def drawn(page):
    """The SVG of a page as an element."""
    (source,) = re.findall(r'<img src="data:image/svg\+xml;base64,([^"]+)" alt="[^"]{30,}"', page)
    return ElementTree.fromstring(base64.b64decode(source))


def lines(page):
    """The curves of the two charts, signals first, each as [(x, y), ...], and how wide each is drawn."""
    found = drawn(page).findall(f"{SVG}polyline")
    points = [[tuple(map(float, point.split(","))) for point in line.get("points").split()] for line in found]
    return points, [float(line.get("stroke-width")) for line in found]


def test_the_sentence_and_the_curves_are_the_profile():
    page = depth_page(units=20, skip="none", batch_norm=False, weight_scale=1.5)
    assert page.startswith(
        "<p>20 units, 40 layers, no skip, without batch norm, weights of 150%: the gradient for the first"
    )
    assert page.count("is 1e+07 times the one") == 4  # 1.5 ** 40 = 1.1e7
    points, widths = lines(page)
    assert widths == [3.5, 1.2, 3.5, 1.2]  # without batch norm there is no V1
    assert all(len(curve) == 21 for curve in points)
    signal, _, gradient, _ = ([y for _, y in curve] for curve in points)
    assert signal == sorted(signal, reverse=True) and gradient == sorted(gradient)  # y grows downwards
    steps = [b - a for a, b in zip(gradient, gradient[1:], strict=False)]
    assert max(steps) - min(steps) < 0.25  # 1.5^2 a unit: a straight line, drawn to a tenth


@pytest.mark.parametrize("skip", SKIPS)
def test_each_skip_is_drawn_where_its_profile_lies(skip):
    page = depth_page(units=30, skip=skip)
    points, widths = lines(page)
    gradients = dict(zip(SKIPS, points[3:], strict=True))
    assert [width > 2 for width in widths] == 2 * [name == skip for name in SKIPS]
    top = {name: curve[0][1] for name, curve in gradients.items()}
    assert top["none"] < top["v1"] < top["v2"]  # the higher, the larger
    assert f"is {profile(30, skip).gradient[0]:.2g}" in page or f"is {profile(30, skip).gradient[0]:.0e}" in page


@settings(deadline=None)
@given(
    units=st.integers(1, 100),
    weight_percent=st.integers(25, 300),
    skip=st.sampled_from(SKIPS),
    batch_norm=st.sampled_from(["yes", "no"]),
)
def test_it_answers_wherever_the_controls_stand(units, weight_percent, skip, batch_norm):
    page = depth_panel().show(units=units, weight_percent=weight_percent, skip=skip, batch_norm=batch_norm)
    if (skip, batch_norm) == ("v1", "no"):
        assert page == "<p><b>batch_norm: &#x27;v1&#x27; without it has no formula here, got False</b></p>"
    else:
        points, _ = lines(page)
        assert all(0 <= x <= 760 and 30 <= y <= 215 for curve in points for x, y in curve)


def test_what_is_wrong_with_a_value_is_the_page():
    page = depth_panel().show(units=1.5, weight_percent=100, skip="v2", batch_norm="yes")
    assert page == "<p><b>units must be a whole number from 1 to 100000, got 1.5</b></p>"


def test_the_controls_stand_where_they_are_put():
    panel = depth_panel(units=120, skip="v2", batch_norm=False, weight_percent=10)
    assert panel.start() == {"units": 120, "weight_percent": 10, "skip": "v2", "batch_norm": "no"}
    assert all(c.low <= c.value <= c.high for c in panel.controls if not isinstance(c, Choice))
    assert "120 units, 240 layers, V2, without batch norm, weights of 10%:" in panel.show(**panel.start())
    with pytest.raises(ValueError, match="skip must be one of .*, got 'v3'"):
        depth_panel(skip="v3")
