import base64
import re
import subprocess
import sys
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import resnet_lib
from resnet_lib import ARCHITECTURES, Block, cost, trace
from resnet_lib.blocks import CIFAR_ROOT, LAYOUTS
from resnet_lib.exploration import design, explore, explorer, explorer_panel
from resnet_lib.network_picture import TALLEST
from resnet_lib.panels import Choice, Slider
from resnet_lib.roofline import BYTES, DEVICES, predict
from resnet_lib.traffic import COUNTED_SHORTCUTS
from resnet_lib.units import COUNTED_KINDS, SHORTCUTS, BasicUnit, unit_kind

NETWORKS = [
    "resnet_v1_18",
    "resnet_v1_50",
    "resnet_v2_152",
    "plain_34",
    "resnet_v1_cifar_20",
    "resnext_50_32x4d",
    "se_resnet_50",
]


@pytest.mark.parametrize("name", NETWORKS)
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


@pytest.mark.parametrize("name", NETWORKS)
def test_the_table_of_the_page_is_the_data_frame(name):
    exploration = explore(name)
    (table,) = re.findall(r"<table>.*</table>", exploration._repr_html_(), re.DOTALL)
    head, *rows = ElementTree.fromstring(table).iter("tr")
    assert [row.size for row in exploration.rows] == [tuple(map(int, s.split("x"))) for s in exploration.stages["size"]]
    counts = dict.fromkeys(["params", "macs", "activations", "receptive_field"], "{:,}".format)
    formats = {**counts, "share_of_macs": "{:.1%}".format}
    shown = exploration.stages.reset_index()
    texts = [[formats.get(column, str)(row[column]) for column in shown] for _, row in shown.iterrows()]
    assert [cell.text for cell in head] == list(shown)
    assert [[cell.text for cell in row] for row in rows] == texts
    assert {(cell.tag, cell.get("scope")) for cell in head} == {("th", "col")}
    assert {tuple((cell.tag, cell.get("scope")) for cell in row) for row in rows} == {
        (("th", "row"), *[("td", None)] * (len(texts[0]) - 1))
    }


@pytest.mark.parametrize("name", NETWORKS)
def test_on_a_device_it_shows_what_was_predicted(name):
    found = explore(name, device="V100", batch_size=8, precision="float16")
    expected = predict(name, "V100", 8, "float16")
    assert found.prediction == expected
    assert sum(row.least_ms for row in found.rows) == pytest.approx(1e3 * expected.seconds)
    assert f"On V100, batch 8, float16: at least {1e3 * expected.seconds:.3g} ms" in found.summary()
    assert f"{expected.memory / 1e6:,.0f} MB of memory" in found._repr_html_()
    cells = re.findall(r"<td>([^<]*)</td></tr>", found._repr_html_())
    assert cells == [f"{value:.3g}" for value in found.stages["least_ms"]]
    assert "least_ms" not in explore(name).stages and explore(name).prediction is None


def test_the_panel_shows_the_costs_where_no_time_can_be_predicted():
    panel = explorer_panel(batch_size=7)
    shown = {shortcut: panel.show(**panel.start() | {"shortcut": shortcut}) for shortcut in SHORTCUTS}
    assert all("parameters" in page for page in shown.values())
    assert {s for s, page in shown.items() if "On H200, batch 7" in page} == {*COUNTED_SHORTCUTS}
    assert "precision must be one of" in panel.show(**panel.start() | {"device": "V100", "precision": "bfloat16"})


def test_a_layer_belongs_to_its_block_whatever_the_blocks_are_called():
    scopes = ["stage/1", "stage/11", "unit_1", "a", "b/unit_1", "rooted", "blocks", "1"]
    exploration = explore([Block(scope, "basic_v2", [(8, 1)] * i) for i, scope in enumerate(scopes, 1)], 8)
    assert [(row.name, row.units) for row in exploration.rows] == [
        ("root", 0),
        *((scope, i) for i, scope in enumerate(scopes, 1)),
        ("classifier", 0),
    ]
    plain = explore([Block(f"block{i}", "basic_v2", [(8, 1)] * i) for i in range(1, 9)], 8)
    assert [row[1:] for row in exploration.rows] == [row[1:] for row in plain.rows]
    assert sum(row.params for row in exploration.rows) == exploration.cost.params


def test_what_has_neither_pooling_nor_classifier_has_no_such_stage():
    names = [row.name for row in explore("resnet_v1_18", 32, None, global_pool=False).rows]
    assert names == ["root", "block1", "block2", "block3", "block4"]


def test_the_core_needs_the_standard_library_alone():
    """As in a browser: the page of a network and that of a panel, where nothing else can be imported."""
    absent = ["numpy", "pandas", "tensorflow", "tf_slim", "tf_keras", "keras", "matplotlib", "ipywidgets", "IPython"]
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({absent}))\n"
        "from resnet_lib.exploration import explore, explorer_panel\n"
        "panel = explorer_panel(units=(1, 2), unit='grouped_bottleneck_v1')\n"
        "print(explore('resnet_v2_50')._repr_html_(), panel.show(**panel.start()), sep='\\n')\n"
        "try: explore('resnet_v2_50').stages\n"
        "except ImportError as error: print(error.name)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    panel = explorer_panel(units=(1, 2), unit="grouped_bottleneck_v1")
    expected = [explore("resnet_v2_50")._repr_html_(), panel.show(**panel.start()), "pandas\n"]
    assert run.stdout == "\n".join(expected), run.stderr


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
    assert not others and alt.startswith("resnet_v2_50, a bar for each unit: conv1, 112x112x64, 3% of MACs; block1")
    drawing = ElementTree.fromstring(base64.b64decode(source))
    assert len(drawing.findall("{*}rect")) == 1 + 16
    labels = [text.text for text in drawing.findall("{*}text")]
    assert "14x14x512" in labels and sum(label.endswith("% of MACs") for label in labels) == 5


@given(
    units=st.lists(st.integers(0, 48), min_size=1, max_size=5),
    size=st.integers(1, 600),
    depth=st.integers(1, 128),
    kind=st.sampled_from(COUNTED_KINDS),
    layout=st.sampled_from(list(LAYOUTS)),
    shortcut=st.sampled_from(SHORTCUTS),
)
@settings(max_examples=60, deadline=None)
def test_sliders_anywhere_give_a_network_or_say_why_not(units, size, depth, kind, layout, shortcut):
    options = {"units": units, "base_depth": depth, "unit": kind, "layout": layout, "shortcut": shortcut}
    first_depth = depth if unit_kind(kind).shape is BasicUnit else 4 * depth  # after 64 channels; no identity narrows
    if not any(units) or (shortcut not in ("B", "C", "none") and first_depth < 64):
        with pytest.raises(ValueError, match="units: one block at least|shortcut .* pads channels with zeros"):
            explore(design(**options, image_size=size))
        return
    exploration = explore(design(**options, image_size=size))
    svg, _ = exploration.picture()
    bars = ElementTree.fromstring(svg).findall("{*}rect")
    assert len(bars) == 1 + sum(units)
    ends = [float(bar.get("x")) + float(bar.get("width")) for bar in bars]
    width = float(re.search(r'viewBox="0 0 (\d+)', svg)[1])
    assert ends == sorted(ends) and ends[-1] <= width
    assert all(0 < float(bar.get("height")) <= TALLEST for bar in bars)


def any_value(control):
    if isinstance(control, Slider):
        return st.integers(control.low, control.high)
    return st.sampled_from(control.options)


@given(values=st.fixed_dictionaries({control.name: any_value(control) for control in explorer_panel().controls}))
@settings(max_examples=60, deadline=None)
def test_a_panel_shows_a_page_for_every_combination(values):
    units = [values[f"units_{i}"] for i in range(1, 5)]
    on_device = {name: values[name] for name in ("device", "batch_size", "precision")}
    others = {name: values[name] for name in values.keys() - on_device.keys() if not name.startswith("units_")}
    page = explorer_panel().show(**values)
    try:
        net = design(units, **others)
        expected = explore(net, **on_device if net.shortcut in COUNTED_SHORTCUTS else {})._repr_html_()
    except ValueError as error:
        expected = f"<p><b>{error}</b></p>".replace("'", "&#x27;")
    assert page == expected


def test_the_controls_of_the_panel_are_the_arguments_of_design():
    panel = explorer_panel((3, 60), base_depth=200, unit="se_bottleneck_v1", image_size=600)
    assert panel.controls == (
        Slider("units_1", "units 1", 0, 48, 3),
        Slider("units_2", "units 2", 0, 60, 60),
        Slider("base_depth", "base depth", 1, 200, 200),
        Slider("image_size", "image size", 1, 600, 600),
        Choice("unit", "unit", COUNTED_KINDS, "se_bottleneck_v1"),
        Choice("layout", "layout", ("paper", "v1.5", "slim"), "v1.5"),
        Choice("shortcut", "shortcut", SHORTCUTS, "B"),
        Choice("device", "device", (*DEVICES,), "H200"),
        Choice("precision", "precision", (*BYTES,), "float32"),
        Slider("batch_size", "batch size", 1, 512, 32),
    )
    assert panel.start() == {control.name: control.value for control in panel.controls}
    net = design((3, 60), 200, "se_bottleneck_v1", image_size=600)
    assert panel.show(**panel.start()) == explore(net, device="H200")._repr_html_()
    with pytest.raises(ValueError, match="unit must be one of .*, got 'highway'"):
        explorer_panel(unit="highway")


def test_the_explorer_follows_its_sliders():
    box = explorer(units=(3, 4, 6, 3), unit="bottleneck_v2", layout="slim")
    controls, page = box.children
    (*sliders, base_depth, image_size), (unit, _, shortcut, *_) = (column.children for column in controls.children)
    assert "25,568,360 parameters" in page.value
    sliders[1].value, sliders[2].value = 8, 36
    assert "60,236,904 parameters" in page.value and "152 layers" in page.value
    image_size.value = 1
    assert "1x1" in page.value
    for slider in sliders:
        slider.value = 0
    assert page.value == "<p><b>units: one block at least needs a unit, got (0, 0, 0, 0)</b></p>"
    sliders[0].value, unit.value, base_depth.value, shortcut.value = 48, "basic_v1", 1, "A"
    assert "pads channels with zeros and cannot turn 64 channels into 1" in page.value


def test_bad_input_is_named():
    for wrong, message in {
        ("units", (1.5,)): "units must be a whole number >= 0, got 1.5",
        ("units", 3): "units must be a list of whole numbers, got 3",
        ("units", "34"): "units must be a list of whole numbers, got '34'",
        ("units", (-1, 2)): "units must be a whole number >= 0, got -1",
        ("base_depth", 0): "base_depth must be a positive whole number, got 0",
        ("unit", "bottle"): r"unit must be one of \['basic_v1', .*\], got 'bottle'",
        ("layout", "torch"): r"layout must be one of \['paper', 'v1.5', 'slim'\], got 'torch'",
    }.items():
        with pytest.raises((ValueError, TypeError), match=message):
            design(**dict([wrong]))
