"""The book's live panels in a real browser: Python runs in the page and says what it says here. No other machine is reached."""

import json
import random
import re
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from browser import SCREENSHOTS, browser, missing, watched_page  # noqa: F401  the fixtures
from built_book import AXE, CONTRAST, DEVICES, LOOKS, SETTLED, STICKS_OUT, axe, book, look, site  # noqa: F401

from resnet_lib import Architecture, Block, cost
from resnet_lib.block_text import written_blocks
from resnet_lib.count_panel import count_panel
from resnet_lib.depth_panel import depth_panel
from resnet_lib.depth_table_panel import depth_table_panel
from resnet_lib.exploration import explorer_panel
from resnet_lib.explorer_page import ROOTS, presets, text_panel
from resnet_lib.padding_panel import padding_panel
from resnet_lib.panels import Slider, Text
from resnet_lib.roofline import BYTES
from resnet_lib.roofline import DEVICES as COMPUTERS
from resnet_lib.roofline_panel import roofline_panel
from resnet_lib.splits_panel import splits_panel
from resnet_lib.unit_panel import unit_panel
from resnet_lib.units import COUNTED_KINDS, SHORTCUTS, STRIDE_IN, BasicUnit, unit_kind

PANEL = text_panel()
STARTS = 240_000  # ms, for Python to start while other tests keep every core busy; alone it takes seconds
ANSWERS = 60_000  # ms
# The theme gives what scrolls a place in the order of the Tab key, and takes it from what does not, a while after it appeared.
PAGE = """html => {
    const page = html === null ? document.querySelector('.live-page') : document.createElement('div');
    if (html !== null) page.innerHTML = html;
    return page.innerHTML.replaceAll(/ tabindex="(0|-1)"/g, '');
}"""


@pytest.fixture(scope="module")
def python_in_book(book):
    if not (book / "_static" / "live" / "pyodide.mjs").exists():
        missing("the book was built without Python for browsers; with npm installed: rm build/.book && make book")


@pytest.fixture(scope="module")
def explorer(python_in_book, site, browser):
    """The Explorer after its button was pressed, and what went wrong on it."""
    page, problems = watched_page(browser, viewport=DEVICES["desktop"], color_scheme="light", reduced_motion="reduce")
    page.goto(f"{site}explorer.html")
    page.get_by_role("button", name="Make it live").press("Enter")
    answered(page, STARTS)
    yield page, problems
    page.context.close()


def answered(page, within=ANSWERS):
    page.locator('.live-page[aria-busy="false"]').wait_for(timeout=within)


def move(page, values, panel=PANEL):
    """Sets the controls of a panel as a reader does, each found by its label. page: that, or the part of it with the panel."""
    for control in panel.controls:
        if control.name in values:
            value = values[control.name]
            if isinstance(control, Slider):
                page.get_by_label(f"{control.label}, as a number").fill(str(value))
            elif isinstance(control, Text):
                page.get_by_label(control.label, exact=True).fill(value)
            else:
                page.get_by_label(control.label, exact=True).select_option(value)
    answered(page)


def shows(page, values):
    return shown(page) == page.evaluate(PAGE, PANEL.show(**PANEL.start() | values))


def shown(page):
    return page.evaluate(PAGE, None)


def printed(page):
    """The numbers of the design as the page prints them: {name: text}."""
    rows = page.locator("table.figures tr").all_inner_texts()
    return dict(row.split("\t")[:2] for row in rows[1:])


def any_design(dice):
    """Blocks and values of the controls."""
    kind = dice.choice(COUNTED_KINDS)
    shape = unit_kind(kind).shape
    depths = sorted(dice.choices([4, 8, 24, 64, 96], k=dice.randint(1, 4)))
    blocks = []
    for i, depth in enumerate(depths):
        unit = shape.sized(depth, dice.choice([1, 2]), dice.choice([1, 2, 4]))
        strides = [dice.choice([1, 2]), *[1] * dice.randint(0, 5)]
        blocks.append(Block(f"b{i}", kind, [unit._replace(stride=stride) for stride in strides]))
    root = dice.choice([*ROOTS])
    channels_in = ROOTS[root].depth if ROOTS[root] else 3
    narrows = blocks[0].args[0].depth < channels_in  # which an identity cannot
    values = {
        "root": root,
        "shortcut": dice.choice(("B", "C") if narrows else SHORTCUTS),
        "stride_in": "3x3" if shape is BasicUnit else dice.choice(STRIDE_IN),
        "image_size": dice.randint(16, 512),
        "num_classes": dice.randint(1, 1000),
        "device": dice.choice([*COMPUTERS]),
        "precision": dice.choice([*BYTES]),
        "batch_size": dice.randint(1, 512),
    }
    return blocks, values


def test_random_designs_give_the_integers_that_they_give_here(explorer, site):
    """Ten by the controls, and 190 by the address of the page."""
    page, problems = explorer
    dice = random.Random(23)
    for i in range(200):
        blocks, values = any_design(dice)
        values["blocks"] = written_blocks(blocks)
        if i < 10:
            move(page, values)
        else:
            page.goto(f"{site}explorer.html#{urlencode(values)}")  # the page stays, its address changes
            answered(page)
        form = (values[name] for name in ("shortcut", "stride_in", "image_size", "num_classes"))
        net = Architecture("net", blocks, ROOTS[values["root"]], *form)
        found = printed(page)
        expected = (net.layers, sum(net.units), *cost(net))
        assert tuple(int(found[name].replace(",", "")) for name in [*found][:5]) == expected, i
        if i % 10 == 0:
            assert shows(page, values)
    assert problems == []


def test_what_is_wrong_with_a_text_stands_there_in_words(explorer):
    page, problems = explorer
    for text in (
        "[Block('a', 'basic_v1', [(64, 0)])]",
        "[\nBlock('a', 'basic_v1', open('x'))]",
        "[Block('a', 'b', 1)]",
    ):
        move(page, {"blocks": text})
        assert shows(page, {"blocks": text}) and page.locator(".live-page b").count() == 1
    move(page, {"blocks": "[\nBlock('a', 'basic_v1', open('x'))]"})
    words = "blocks, line 2: only Block(...), lists, tuples, numbers, texts, + and * are read here, got open('x')"
    assert page.locator(".live-page").inner_text() == words
    page.get_by_role("status").get_by_text(words).wait_for(state="attached")
    assert problems == []


def test_a_network_is_chosen_and_pinned_and_the_address_restores_both(explorer, site, browser):
    page, problems = explorer
    move(page, {"image_size": 160})
    move(page, {"network": "resnet_v1_18"})
    assert page.get_by_label("image size", exact=True).input_value() == "224"
    page.get_by_role("button", name="pin this design").press("Enter")
    move(page, {"network": "resnet_v2_50"})
    assert page.get_by_label("network", exact=True).input_value() == "resnet_v2_50"
    move(page, {"image_size": 320})
    assert page.get_by_label("network", exact=True).input_value() == ""
    mac_row = page.get_by_role("row", name=re.compile("^MACs")).inner_text()
    assert f"{cost('resnet_v1_18').macs:,}" in mac_row and f"{cost('resnet_v2_50', 320).macs:,}" in mac_row
    page.wait_for_url(re.compile("image_size=320"))
    fragment = parse_qs(urlsplit(page.url).fragment)
    assert fragment["image_size"] == ["320"] and json.loads(fragment["pinned"][0])["image_size"] == 224
    other, problems_there = watched_page(browser, viewport=DEVICES["phone"])
    other.goto(page.url)
    answered(other, STARTS)
    assert shown(other) == shown(page)
    other.goto(f"{site}explorer.html#image_size=0&shortcut=Z&batch_size=x")  # the page stays, its address changes
    answered(other)
    assert shows(other, {"image_size": 1, "batch_size": 1})
    other.context.close()
    assert problems == problems_there == []


def test_a_design_of_ones_own_comes_back_after_a_network(explorer):
    page, problems = explorer
    own = {"blocks": "[Block('a', 'basic_v1', [(64, 1)] * 7)]", "shortcut": "A", "image_size": 100}
    move(page, own)
    expected = shown(page)
    move(page, {"network": "resnet_v1_18"})
    assert shown(page) != expected
    move(page, {"network": ""})  # "(your own)"
    assert page.locator("textarea").input_value() == own["blocks"] and shown(page) == expected
    assert problems == []


def test_a_design_is_matched_in_macs_to_the_pinned_one(explorer):
    page, problems = explorer
    move(page, {"network": "resnet_v1_18"})
    match = page.get_by_role("button", name="match the pinned MACs")
    pin = page.get_by_role("button", name="pin this design")
    if pin.get_attribute("aria-pressed") == "true":
        pin.click()
    assert match.is_disabled()
    pin.press("Enter")
    move(page, {"network": "resnet_v1_50"})
    match.press("Enter")
    typed = presets()["resnet_v1_50"]["blocks"]
    page.wait_for_function("typed => document.querySelector('textarea').value !== typed", arg=typed)
    answered(page)
    macs = int(printed(page)["MACs"].replace(",", ""))
    assert abs(macs / cost("resnet_v1_18").macs - 1) < 0.01 and macs != cost("resnet_v1_50").macs
    move(page, {"blocks": "[Block('a', 'basic_v1', [(64, 1)] * 60)]", "shortcut": "A"})
    match.press("Enter")
    page.get_by_role("status").get_by_text("no width of design has about").wait_for()
    pin.click()
    assert problems == []


def test_the_picture_and_the_design_are_saved(explorer):
    page, problems = explorer
    move(page, {"network": "resnet_v2_50"})
    with page.expect_download() as found:
        page.get_by_role("button", name="save the picture as PNG").click()
    png = found.value.path().read_bytes()
    assert found.value.suggested_filename == "design.png" and png.startswith(b"\x89PNG")
    assert len(png) > 5_000  # a picture, not an empty canvas
    with page.expect_download() as found:
        page.get_by_role("link", name="design.json").click()
    saved = json.loads(found.value.path().read_text())
    assert saved["numbers"]["MACs"] == cost("resnet_v2_50").macs and len(saved["design"]["blocks"]) == 4
    page.mouse.move(0, 0)  # what the mouse is over has another colour, the theme's own
    assert problems == []


def test_the_live_page_is_readable_by_all(explorer, axe):
    page, problems = explorer
    page.wait_for_function(SETTLED)
    page.evaluate(axe)
    for device, theme in LOOKS:
        look(page, device, theme)
        page.screenshot(path=SCREENSHOTS / f"explorer_live_{device}_{theme}.png", full_page=True)
        assert page.evaluate(AXE, CONTRAST if theme == "dark" else {}) == [], (device, theme)
        assert page.evaluate("document.documentElement.scrollWidth") <= DEVICES[device]["width"]
        assert page.evaluate(STICKS_OUT) == []
    assert problems == []


def test_where_python_cannot_run_the_page_says_what_to_do(book, site, browser):
    page, _ = watched_page(browser)
    page.goto((book / "explorer.html").as_uri())
    assert "type `make read`" in page.get_by_role("status").inner_text()
    assert page.locator(".live table.figures").count() == 1 and page.locator(".live button").count() == 0
    there, without = 'data-python="there"', 'data-python="missing"'
    text = (book / "explorer.html").read_text().replace(there, without)
    page.route("**/explorer.html", lambda route: route.fulfill(body=text, content_type="text/html"))
    page.goto(f"{site}explorer.html")
    assert "With npm installed" in page.get_by_role("status").inner_text()
    assert page.locator(".live button").count() == 0
    page.context.close()


# The panels of each chapter, in their order, and values to move them to.
CHAPTERS = {
    "01_highway_and_residual_formulas": [(depth_panel(), {"units": 30, "weight_percent": 150, "skip": "v2"})],
    "03_residual_units": [(unit_panel(), {"out": 512, "stride": 2, "version": "V2", "shortcut": "A"})],
    "04_the_depth_table": [(depth_table_panel(), {"units_3": 23, "layout": "v1.5", "image_size": 256})],
    "05_parameters_and_flops": [(count_panel(), {"printed": "7.7 GFLOPs", "network": "resnet_v2_50"})],
    "07_resnet_v2_piece_by_piece": [(padding_panel(), {"size": 9, "kernel": 4})],
    "08_forward_timing": [(roofline_panel(), {"device": "A100", "fused": "none", "batch_size": 8})],
    "11_your_own_architecture": [
        (explorer_panel(), {"units_1": 0, "device": "A100", "base_depth": 32}),
        (splits_panel(), {"units_1": 1, "units_3": 9, "batch_size": 8}),
    ],
}


def test_the_panels_of_the_chapters_answer(python_in_book, book, site, browser):
    """All on one page, where one Python serves them."""
    boxes = []
    for name in CHAPTERS:
        boxes += re.findall(
            r'<div class="live".*?</div></div>', (book / "notebooks" / f"{name}.html").read_text(), re.S
        )
    panels = [panel for chapter in CHAPTERS.values() for panel in chapter]
    assert len(boxes) == len(panels)
    script = '<script src="_static/live.js" data-python="there"></script>'
    text = f"<!DOCTYPE html><title>Panels</title>{''.join(boxes)}{script}"
    page, problems = watched_page(browser)
    page.route("**/panels.html", lambda route: route.fulfill(body=text, content_type="text/html"))
    page.goto(f"{site}panels.html")
    for i, (panel, values) in enumerate(panels):
        box = page.locator(".live").nth(i)
        box.get_by_role("button", name="Make it live").click()
        answered(box, STARTS)
        move(box, values, panel)
        here = page.evaluate(PAGE, panel.show(**panel.start() | values))
        assert box.locator(".live-page").inner_html() == here
    assert [problem for problem in problems if "favicon" not in problem] == []
    page.context.close()
