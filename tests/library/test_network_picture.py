"""The picture of a network is to scale: what is measured off the SVG is what the layers say."""

import re
from xml.etree import ElementTree

import pytest

from resnet_lib import ARCHITECTURES, trace
from resnet_lib.network_picture import bars, picture

NAMES = ["resnet_v1_50", "resnet_v2_152", "resnet_v1_cifar_20", "plain_34", "resnext_50_32x4d", "resnet_v2_cifar_164"]


def drawing(name):
    net = ARCHITECTURES[name]
    svg, words = picture(net, trace(net))
    return net, ElementTree.fromstring(svg), words


@pytest.mark.parametrize("name", NAMES)
def test_height_is_pixels_width_is_channels_and_shade_is_macs(name):
    net, svg, _ = drawing(name)
    expected = bars(net, trace(net))
    found = svg.findall("{*}rect")
    assert len(found) == len(expected) == sum(net.units) + 1
    tall = {float(rect.get("height")) / max(bar.size) for rect, bar in zip(found, expected, strict=True)}
    assert max(tall) / min(tall) < 1.02
    steps = [float(after.get("x")) - float(rect.get("x")) for rect, after in zip(found, found[1:], strict=False)]
    inside = [i for i, step in enumerate(steps) if expected[i].block and expected[i].block == expected[i + 1].block]
    wide = [steps[i] / expected[i].channels for i in inside]
    assert max(wide) / min(wide) < 1.05
    shades = {bar.macs: float(rect.get("fill-opacity")) for rect, bar in zip(found[1:], expected[1:], strict=True)}
    assert [shades[macs] for macs in sorted(shades)] == sorted(shades.values())


@pytest.mark.parametrize("name", NAMES)
def test_every_unit_with_a_shortcut_has_its_arch_broken_where_it_projects(name):
    net, svg, _ = drawing(name)
    arches = [path.get("stroke-dasharray") is not None for path in svg.findall("{*}path")]
    projected = {re.sub("/shortcut$", "", layer.name) for layer in trace(net) if re.search("/shortcut$", layer.name)}
    convolved = {layer.name for layer in trace(net) if layer.kind == "conv"}
    units = dict.fromkeys(
        re.match(".*?/unit_[0-9]+/[^/]+", layer.name)[0] for layer in trace(net) if "/unit_" in layer.name
    )
    expected = [unit in projected and f"{unit}/shortcut" in convolved for unit in units]
    assert arches == ([] if net.shortcut == "none" else expected)


def test_the_same_in_words():
    _, svg, words = drawing("resnet_v1_cifar_20")
    texts = [text.text for text in svg.findall("{*}text")]
    assert words.startswith(
        "resnet_v1_cifar_20, a bar for each unit: conv1, 32x32x16, 1% of MACs; block1, 3 units, 32x32x16"
    )
    assert "block3" in texts and "8x8x64" in texts and texts[-1].startswith("height: pixels a side, width: channels")
