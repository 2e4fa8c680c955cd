import base64
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import resnet_lib
from resnet_lib import ARCHITECTURES, Block, cost, trace
from resnet_lib.architectures import CIFAR_ROOT, LAYOUTS, SHORTCUTS, UNIT_KINDS
from resnet_lib.exploration import design, explore, explorer, picture


@pytest.mark.parametrize("name", ["resnet_v1_18", "resnet_v1_50", "resnet_v2_152", "plain_34", "resnet_v1_cifar_20"])
def test_stages_add_up_to_the_network(name):
    exploration = explore(name)
    stages, total = exploration.stages, cost(name)
    assert exploration.cost == total == tuple(stages[["params", "macs", "activations"]].sum())
    assert tuple(stages["units"][stages["units"] > 0]) == ARCHITECTURES[name].units
    assert stages["share_of_macs"].sum() == pytest.approx(1)
    layers = {layer.name: layer for layer in trace(name)}
    for block in ARCHITECTURES[name].blocks:
        last = [layer for n, layer in layers.items() if n.startswith(f"{block.scope}/")][-1]
        row = stages.loc[block.scope]
        assert (row["size"], row["depth"]) == ("{}x{}".format(*last.size_out), block.args[-1].depth)
        assert row["receptive_field"] == last.receptive_field


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"units": (3, 4, 6, 3), "unit": "bottleneck_v2", "layout": "slim"}, "resnet_v2_50"),
        ({"units": (3, 8, 36, 3), "unit": "bottleneck_v1", "layout": "slim"}, "resnet_v1_152"),
        ({"units": (2, 2, 2, 2), "unit": "basic_v1", "layout": "paper"}, "resnet_v1_18"),
        ({"units": (3, 4, 6, 3), "unit": "basic_v1", "layout": "paper", "shortcut": "none"}, "plain_34"),
    ],
)
def test_design_reaches_the_named_networks(arguments, name):
    assert design(**arguments, name=name) == ARCHITECTURES[name]


def test_images_of_one_channel_are_counted_too():
    exploration = explore("resnet_v1_cifar_20", 8, channels_in=1)
    assert exploration.cost == cost("resnet_v1_cifar_20", 8, channels_in=1)
    assert exploration.stages["params"].sum() == exploration.cost.params < explore("resnet_v1_cifar_20", 8).cost.params
    assert repr(exploration) == exploration.summary()


def test_design_reaches_the_cifar_networks():
    arguments = {"unit": "basic_v1", "layout": "paper", "shortcut": "A", "root": CIFAR_ROOT, "image_size": 32}
    mine = design((3, 3, 3), 16, **arguments, num_classes=10, name="resnet_v1_cifar_20")
    assert mine == ARCHITECTURES["resnet_v1_cifar_20"]


def test_a_block_of_no_units_is_left_out():
    assert design((3, 0, 6, 0)).units == (3, 6)
    assert [block.args[0].depth for block in design((3, 0, 6, 0)).blocks] == [256, 512]


def test_the_code_that_is_shown_makes_the_network():
    for name in ("resnet_v2_50", "resnet_v1_18", "resnet_v1_cifar_20"):
        net = ARCHITECTURES[name]
        blocks = eval(explore(name).code(), {"Block": Block})
        assert tuple(resnet_lib.architectures.Architecture("x", tuple(blocks)).blocks) == net.blocks


def test_what_is_shown_needs_no_kernel_and_tells_those_who_cannot_see():
    page = explore("resnet_v2_50")._repr_html_()
    assert "25,568,360 parameters (102.3 MB in float32), 3,482" in page and "50 layers" in page
    (source, alt), *others = re.findall(r'<img src="data:image/svg\+xml;base64,([^"]+)" alt="([^"]+)"', page)
    assert not others and alt.startswith("resnet_v2_50, a bar for each unit: block1, 3 units, 28x28x256")
    drawing = ElementTree.fromstring(base64.b64decode(source))
    assert len(drawing.findall("{*}rect")) == 16
    labels = [text.text for text in drawing.findall("{*}text")]
    assert "14x14x512" in labels and sum(label.endswith("% of MACs") for label in labels) == 4


@given(
    units=st.lists(st.integers(0, 48), min_size=1, max_size=5), size=st.integers(1, 600), depth=st.integers(1, 128),
    kind=st.sampled_from(list(UNIT_KINDS)), layout=st.sampled_from(list(LAYOUTS)), shortcut=st.sampled_from(SHORTCUTS),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_sliders_anywhere_give_a_network_or_say_why_not(units, size, depth, kind, layout, shortcut):
    options = {"units": units, "base_depth": depth, "unit": kind, "layout": layout, "shortcut": shortcut}
    first_depth = depth if kind.startswith("basic") else 4 * depth  # behind 64 channels; no identity narrows
    if not any(units) or (shortcut not in ("B", "C", "none") and first_depth < 64):
        with pytest.raises(ValueError, match="units: one block at least|shortcut .* pads channels with zeros"):
            explore(design(**options, image_size=size))
        return
    exploration = explore(design(**options, image_size=size))
    svg, _ = picture(exploration)
    bars = ElementTree.fromstring(svg).findall("{*}rect")
    assert len(bars) == sum(units)
    ends = [float(bar.get("x")) + float(bar.get("width")) for bar in bars]
    width = float(re.search(r'viewBox="0 0 (\d+)', svg)[1])
    assert ends == sorted(ends) and ends[-1] <= width
    assert all(0 < float(bar.get("height")) <= 110 for bar in bars)


def test_the_explorer_follows_its_sliders():
    box = explorer(units=(3, 4, 6, 3), unit="bottleneck_v2", layout="slim")
    controls, page = box.children
    sliders, others = (column.children for column in controls.children)
    assert "25,568,360 parameters" in page.value
    sliders[1].value, sliders[2].value = 8, 36
    assert "60,236,904 parameters" in page.value and "152 layers" in page.value
    base_depth, image_size, unit, layout, shortcut = others
    image_size.value = 1
    assert "1x1" in page.value
    for slider in sliders:
        slider.value = 0
    assert page.value == "<p><b>units: one block at least needs a unit, got (0, 0, 0, 0)</b></p>"
    sliders[0].value, unit.value, base_depth.value, shortcut.value = 48, "basic_v1", 1, "A"
    assert "pads channels with zeros and cannot turn 64 channels into 1" in page.value


def test_bad_input_is_named():
    for wrong, message in {
        ("units", (1.5,)): "units must be a positive whole number, got 1.5",
        ("units", (-1, 2)): "units must be a positive whole number, got -1",
        ("base_depth", 0): "base_depth must be a positive whole number, got 0",
        ("unit", "bottle"): r"unit must be one of \['basic_v1', .*\], got 'bottle'",
        ("layout", "torch"): r"layout must be one of \['paper', 'v1.5', 'slim'\], got 'torch'",
    }.items():
        with pytest.raises((ValueError, TypeError), match=message):
            design(**dict([wrong]))
