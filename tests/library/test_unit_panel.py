"""The unit on sliders: its numbers against TensorFlow's graph, its picture against the channels, and an answer everywhere."""

import base64
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_lib import Architecture, Block, build
from resnet_lib.graph_cost import graph_cost
from resnet_lib.unit_panel import SHAPES, SHORTCUTS, VERSIONS, unit_page, unit_panel
from resnet_lib.units import STRIDE_IN

SVG = "{http://www.w3.org/2000/svg}"


def drawn(page):
    """The SVG of a page as an element."""
    (source,) = re.findall(r'<img src="data:image/svg\+xml;base64,([^"]+)" alt="[^"]{30,}"', page)
    return ElementTree.fromstring(base64.b64decode(source))


def texts(page):
    return [text.text for text in drawn(page).findall(f"{SVG}text")]


def counted(page):
    """(parameters, MACs) of the sentence, and the same summed over the table."""
    said = re.search(r": ([\d,]+) parameters and ([\d,]+) MACs\.", page).groups()
    rows = re.findall(r"</td><td>([\d,]+)</td><td>([\d,]+)</td><td>[\d.]+%</td></tr>", page)
    numbers = [tuple(int(number.replace(",", "")) for number in row) for row in [said, *rows]]
    return numbers[0], tuple(map(sum, zip(*numbers[1:], strict=True)))


@pytest.mark.parametrize(
    "arguments, name, params, macs, shortcut",
    [
        # 4 b^2 + 9 b^2 + 4 b^2 weights, b = 64, used at 56 x 56 positions; two parameters a channel in each BN
        ({}, "bottleneck_v1 (256, 64, 1)", 69_632 + 2 * 384, 69_632 * 56**2, "costs nothing"),
        ({"version": "V2"}, "bottleneck_v2 (256, 64, 1)", 69_632 + 2 * 384 + 256, 69_632 * 56**2, "costs nothing"),
        (
            {"shortcut": "C"},
            "bottleneck_v1 (256, 64, 1)",
            69_632 + 2 * 384 + 65_536 + 512,
            135_168 * 56**2,
            "costs 66,048 of these parameters and 205,520,896 of these MACs",
        ),
        ({"shape": "basic", "out": 64, "channels_in": 64}, "basic_v1 (64, 1)", 73_984, 73_728 * 56**2, "costs nothing"),
        (
            {"shape": "basic", "out": 128, "channels_in": 64, "stride": 2, "shortcut": "A"},
            "basic_v1 (128, 2)",
            221_184 + 512,
            221_184 * 28**2,
            "costs nothing",
        ),
        # ResNeXt-50's second unit (Xie et al. 2017): about 70k weights
        (
            {"middle": 128, "groups": 32},
            "grouped_bottleneck_v1 (256, 128, 1, 32)",
            70_144 + 2 * 512,
            70_144 * 56**2,
            "costs nothing",
        ),
        ({"shortcut": "none"}, "bottleneck_v1 (256, 64, 1)", 70_400, 69_632 * 56**2, "It has no shortcut"),
    ],
)
def test_the_page_says_what_a_unit_costs(arguments, name, params, macs, shortcut):
    page = unit_page(**arguments)
    assert page.startswith(f"<p>{name}: {params:,} parameters and {macs:,} MACs.") and shortcut in page
    assert counted(page) == ((params, macs), (params, macs))


channels = st.sampled_from([4, 8, 12, 16, 24])


@settings(max_examples=12, deadline=None)
@given(
    channels_in=channels,
    middle=channels,
    out=channels,
    stride=st.integers(1, 3),
    shortcut=st.sampled_from(SHORTCUTS),
    groups=st.sampled_from([1, 2, 4]),
    version=st.sampled_from(VERSIONS),
    shape=st.sampled_from(SHAPES),
    stride_in=st.sampled_from(STRIDE_IN),
    size=st.integers(3, 9),
)
def test_its_numbers_are_those_of_the_graph(
    channels_in, middle, out, stride, shortcut, groups, version, shape, stride_in, size
):
    groups = groups if shape == "bottleneck" else 1
    shortcut = "B" if shortcut == "A" and out < channels_in else shortcut
    page = unit_page(channels_in, middle, out, stride, shortcut, groups, version, shape, stride_in, size)
    kind, numbers = re.match(r"<p>(\w+) \(([\d, ]+)\):", page).groups()
    unit = tuple(map(int, numbers.split(", ")))
    net = Architecture("net", (Block("block", kind, (unit,)),), None, shortcut, stride_in)
    graph = graph_cost(build(net, size, num_classes=None, channels_in=channels_in, global_pool=False))
    after = 2 * out if version == "V2" else 0  # the BN at the end of a V2 network is not the unit's
    assert counted(page)[0] == (graph.params - after, graph.macs)


def test_boxes_are_as_wide_as_their_channels_and_say_their_weights():
    page = unit_page(channels_in=256, middle=64, out=512, version="V2")
    corners = [
        [tuple(map(float, point.split(","))) for point in shape.get("points").split()]
        for shape in drawn(page).findall(f"{SVG}polygon")
        if shape.get("stroke")
    ]
    widths = [
        (right - left, lower_right - lower_left) for (left, _), (right, _), (lower_right, _), (lower_left, _) in corners
    ]
    scale = widths[0][0] / 256
    ends = [256, 256], [256, 256], [256, 64], [64, 64], [64, 64], [64, 64], [64, 64], [64, 64], [64, 512], [256, 512]
    assert widths == [pytest.approx((top * scale, bottom * scale), abs=0.3) for top, bottom in ends]
    found = [text for text in texts(page) if text.endswith("weights")]
    assert found == ["16,384 weights", "36,864 weights", "32,768 weights", "131,072 weights"]
    kept = drawn(unit_page()).findall(f"{SVG}polygon")
    (band,) = [shape for shape in kept if shape.get("fill-opacity") == "0.12"]
    xs = [float(point.split(",")[0]) for point in band.get("points").split()]
    assert max(xs) - min(xs) == pytest.approx(2 * 62 * 1.7, abs=0.3)  # all 256 channels: the widest there is


def test_a_squeeze_unit_and_groups_draw_themselves():
    assert {"mean", "1x1 conv 16", "times s", "sigmoid"} <= {*texts(unit_page(shape="se_bottleneck"))}
    assert "3x3 conv 64, 8 groups" in texts(unit_page(groups=8)) and "4,608 weights" in texts(unit_page(groups=8))


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        ({"groups": 3}, "groups must divide middle: 64 channels are no 3 groups of one size"),
        ({"shape": "basic", "groups": 2}, "groups: a unit of shape 'basic' has none here, got 2; choose 'bottleneck'"),
        ({"out": 64, "shortcut": "A"}, "shortcut 'A' pads channels with zeros and cannot turn 256 channels into 64"),
        ({"version": "V3"}, "version must be one of"),
        ({"shape": "round"}, "shape must be one of"),
        ({"shortcut": "D"}, "shortcut must be one of"),
        ({"stride_in": "5x5"}, "stride_in must be one of"),
        ({"middle": 0}, "depth_bottleneck must be a positive whole number"),
        ({"channels_in": 0}, "channels_in must be"),
    ],
)
def test_what_cannot_be_built_says_why(arguments, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        unit_page(**arguments)
    panel = unit_panel()
    page = panel.show(**{**panel.start(), **arguments})
    assert page.startswith("<p><b>") and page.count("<") == 4


@settings(deadline=None)
@given(values=st.data())
def test_it_answers_wherever_the_controls_stand(values):
    panel = unit_panel()
    chosen = {}
    for control in panel.controls:
        options = control.options if hasattr(control, "options") else range(control.low, control.high + 1)
        chosen[control.name] = values.draw(st.sampled_from(options), control.name)
    page = panel.show(**chosen)
    if not page.startswith("<p><b>"):
        picture = drawn(page)
        _, _, width, height = map(float, picture.get("viewBox").split())
        points = [point for line in picture.iter() for point in (line.get("points") or "").split()]
        assert all(0 <= float(x) <= width and 0 <= float(y) <= height for x, y in (p.split(",") for p in points))


def test_the_controls_stand_where_they_are_put():
    panel = unit_panel(2048, 600, 2048, 5, "C", 100, "V2", "se_bottleneck")
    start = panel.start()
    assert [start[name] for name in ("channels_in", "middle", "out", "stride", "groups")] == [2048, 600, 2048, 5, 100]
    assert (start["shortcut"], start["version"], start["shape"]) == ("C", "V2", "se_bottleneck")
    for wrong in ({"shape": "round"}, {"version": "V3"}, {"shortcut": "scaling"}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be one of"):
            unit_panel(**wrong)
