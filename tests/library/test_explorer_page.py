import base64
import html
import json
import re
from pathlib import Path

import pytest

from resnet_lib import ARCHITECTURES, Architecture, Block, cost, trace
from resnet_lib.block_text import written_blocks
from resnet_lib.blocks import LAYOUTS
from resnet_lib.descriptions import architecture_of
from resnet_lib.explorer_page import AS_TYPED, design_of, presets, text_panel
from resnet_lib.panels import Preset
from resnet_lib.roofline import predict
from resnet_lib.training_cost import training_memory
from resnet_lib.units import unit_kind

PANEL = text_panel()


def page(**values):
    return PANEL.show(**PANEL.start() | values)


def figures(text):
    """{name: what stands beside it} of the table of numbers."""
    (table,) = re.findall(r'<table class="figures">.*?</table>', text)
    rows = re.findall(r'<th scope="row">(.*?)</th>(.*?)</tr>', table)
    return {name: re.findall("<td>(.*?)</td>", cells) for name, cells in rows}


@pytest.mark.parametrize("name", [n for n in ARCHITECTURES if not re.search("1001|1202|200$", n)])
def test_a_named_network_has_the_numbers_that_the_library_gives(name):
    net, found = ARCHITECTURES[name], figures(page(**presets()[name], device="A100", batch_size=7))
    assert design_of(**presets()[name]) == net.variant(name="design")
    seen = [layer for layer in trace(net) if layer.name.startswith(net.blocks[-1].scope)][-1].receptive_field
    integers = [net.layers, sum(net.units), *cost(net), seen]
    assert [int(value.replace(",", "")) for (value,) in [*found.values()][:6]] == integers
    assert found["least time of a batch (ms)"] == [f"{1e3 * predict(net, 'A100', 7).seconds:,.3f}"]


def test_memory_and_time_stand_there_where_they_are_known():
    memory = training_memory("resnet_v1_50", 32).total
    assert figures(page())["memory of a training step (MB)"] == [f"{memory / 1e6:,.0f}"]
    assert figures(page(**presets()["se_resnet_50"]))["memory of a training step (MB)"] == ["not known"]
    assert figures(page(shortcut="scaling"))["least time of a batch (ms)"] == ["not known"]
    assert figures(page(device="V100", precision="bfloat16"))["most images/s"] == ["not known"]


def test_a_layout_moves_the_strides_that_were_typed():
    found = figures(page(layout="paper"))
    assert found["MACs"] == [f"{cost('resnet_v1_50', layout='paper').macs:,}"]
    assert "layout: only strides between blocks" in page(
        layout="paper", blocks='[Block("a", "bottleneck_v1", [(8, 8, 1), (8, 8, 2), (8, 8, 1)])]'
    )


def test_a_pinned_design_stands_beside_the_other_with_the_difference():
    pinned = json.dumps({**presets()["resnet_v1_18"], "device": "H200", "precision": "float32", "batch_size": 32})
    text = page(pinned=pinned)
    this, that = cost("resnet_v1_50").params, cost("resnet_v1_18").params
    change = f"+{this - that:,} ({this / that - 1:+.1%})"
    assert figures(text)["parameters"] == [f"{this:,}", f"{that:,}", change]
    assert text.count("<img") == 2 and figures(page(**presets()["resnet_v1_18"], pinned=pinned))["MACs"][2] == "none"


@pytest.mark.parametrize("pinned", ["x", "[]", "{}", "[" * 9999, json.dumps({"blocks": "[]"})])
def test_what_was_not_pinned_here_is_refused(pinned):
    assert page(pinned=pinned).startswith("<p><b>pinned: this is no design that was pinned here")


def test_a_pinned_value_of_another_kind_is_refused():
    values = {**presets()["resnet_v1_18"], "device": "H200", "precision": "float32", "batch_size": [32]}
    assert "pinned: this is no design" in page(pinned=json.dumps(values))


@pytest.mark.parametrize(
    ("blocks", "words"),
    [
        ("", "the text is empty"),
        ("[3]", "blocks must be a list of Blocks, got [3]"),
        ("[Block('<i>', 'basic_v1', [(8, 1)])]", "got '<i>'"),
        ("[Block('a', 'basic_v1', [(8, 1.5)])]", "Block 'a', unit 1: stride must be a positive whole number, got 1.5"),
        ("[Block('a', 'highway', [(8, 1)])]", "have no closed form"),
    ],
)
def test_what_is_wrong_is_the_page(blocks, words):
    text = page(blocks=blocks)
    assert words in html.unescape(text) and re.fullmatch(r"<p><b>[^<>]*</b></p>", text)


def test_the_code_of_the_page_makes_the_design():
    (code,) = re.findall("<pre>(.*?)</pre>", page(root="CIFAR", shortcut="C", image_size=99), re.DOTALL)
    scope = {}
    exec(html.unescape(code), scope)
    assert scope["design"] == design_of(
        written_blocks(ARCHITECTURES["resnet_v1_50"].blocks), "CIFAR", "C", "3x3", AS_TYPED, 99, 1000
    )


def test_many_blocks_have_bars_of_some_width():
    blocks = [Block(f"b{i}", "basic_v1", [(8, 1)]) for i in range(60)]
    assert f"{Architecture('net', blocks).layers}</td>" in page(blocks=written_blocks(blocks))


def test_presets_name_every_control_that_makes_a_design():
    (preset,) = (control for control in PANEL.controls if isinstance(control, Preset))
    assert preset.presets.keys() == ARCHITECTURES.keys()
    assert all(values.keys() <= PANEL.start().keys() for values in preset.presets.values())
    with pytest.raises(ValueError, match="network must be one of"):
        text_panel("vgg_16")


def test_the_layouts_of_the_panel_are_the_librarys():
    (layout,) = (control for control in PANEL.controls if control.name == "layout")
    assert layout.options == (AS_TYPED, *LAYOUTS)


def test_every_layer_that_costs_has_a_row_and_they_sum_to_the_whole():
    (table,) = re.findall("<summary>Layer by layer</summary><table>(.*?)</table>", page())
    rows = re.findall(r'<th scope="row">(.*?)</th>(.*?)</tr>', table)
    cells = [re.findall("<td>(.*?)</td>", cells) for _, cells in rows]
    params, macs = (sum(int(row[i].replace(",", "")) for row in cells) for i in (2, 3))
    assert (params, macs) == cost("resnet_v1_50")[:2]
    assert rows[0][0] == "conv1" and cells[0][:2] == ["7x7 conv 64 /2", "112x112x64"] and rows[-1][0] == "logits"


def test_the_design_and_its_picture_can_be_saved():
    text = page(root="CIFAR", image_size=96)
    files = {
        name: base64.b64decode(data).decode()
        for name, data in re.findall(r'<a download="([^"]*)" href="data:[^;]*;base64,([^"]*)">', text)
    }
    saved = json.loads(files["design.json"])
    net = design_of(**presets()["resnet_v1_50"] | {"root": "CIFAR", "image_size": 96})
    assert architecture_of(saved["design"]) == net
    assert saved["numbers"]["MACs"] == cost(net).macs
    assert base64.b64encode(files["design.svg"].encode()).decode() in text.split("<img")[1]


def test_a_design_takes_the_macs_of_the_pinned_one_by_its_width():
    pinned = json.dumps({**presets()["resnet_v1_18"], "device": "H200", "precision": "float32", "batch_size": 32})
    values = {**PANEL.start(), "layout": "v1.5", "pinned": pinned}
    found = PANEL.steps["match_macs"](**values)
    assert found["layout"] == AS_TYPED
    row = figures(PANEL.show(**values | found))["MACs"]
    this, that = (int(text.replace(",", "")) for text in row[:2])
    assert that == cost("resnet_v1_18").macs and abs(this / that - 1) < 0.01
    assert figures(PANEL.show(**values | found))["layers"][0] == "50"
    with pytest.raises(ValueError, match="pinned: this is no design"):
        PANEL.steps["match_macs"](**values | {"pinned": "x"})
    by_params = figures(PANEL.show(**values | PANEL.steps["match_params"](**values)))["parameters"]
    this, that = (int(text.replace(",", "")) for text in by_params[:2])
    assert that == cost("resnet_v1_18").params and abs(this / that - 1) < 0.01


def test_a_pinned_design_says_with_what_it_was_pinned_where_that_is_another():
    pinned = {**presets()["resnet_v1_18"], "device": "H200", "precision": "bfloat16", "batch_size": 8}
    heads = re.findall(r'<th scope="col">([^<]*)</th>', page(pinned=json.dumps(pinned)))
    assert heads[:3] == ["this design", "pinned: H200, bfloat16, batch 8", "difference"]
    same = page(pinned=json.dumps(pinned), device="H200", precision="bfloat16", batch_size=8)
    assert re.findall(r'<th scope="col">([^<]*)</th>', same)[1] == "pinned"


def test_where_no_time_is_known_the_page_says_why():
    assert "The data sheet of the V100 has no bfloat16, so no time is known" in page(
        device="V100", precision="bfloat16"
    )
    assert "What a shortcut of scaling moves is not counted here" in page(shortcut="scaling")
    assert "no time is known" not in page()


def test_a_number_of_many_digits_is_printed_with_few():
    text = page(blocks="[Block('a', 'basic_v1', [(8, 2)] * 900)]")
    assert figures(text)["receptive field (pixels)"] == ["2.0e+272"] and len(text) < 1_000_000


def test_the_page_of_the_book_names_the_kinds_of_unit_and_their_numbers():
    text = (Path(__file__).parents[2] / "book" / "explorer.md").read_text()
    rows = {
        kind: re.findall(r"\w+", numbers)
        for kinds, numbers in re.findall(r"^\| (`.*`) \| `\((.*)\)`", text, re.M)
        for kind in re.findall(r"\w+", kinds)
    }
    assert rows == {kind: [*unit_kind(kind).shape._fields] for kind in rows} and len(rows) == 8
