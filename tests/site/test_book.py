"""The web book, built as `make book` does and read page by page in a real browser that reaches no other machine."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote, urldefrag, urljoin

import nbformat
import pytest
from browser import SCREENSHOTS, browser, watched_page  # noqa: F401  the fixtures
from built_book import AXE, CONTRAST, DEVICES, LOOKS, REACTS, SETTLED, STICKS_OUT, axe, book, look, site  # noqa: F401
from links import fold

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
MODULES = sorted(path.stem for path in (ROOT / "resnet_lib").glob("*.py") if not path.stem.startswith("__"))
PAGES = ["index", "explorer", "teaching", "claims", "data/README", "search", "api/index"]
PAGES += [f"notebooks/{name}" for name in NOTEBOOKS] + [f"api/{name}" for name in MODULES]
FIRST_OF_THE_API = f"api/{MODULES[0]}"
# axe-core looks at each page at the width of a phone; at that of a screen at one page of each kind.
WIDE = ("index", "notebooks/05_parameters_and_flops", FIRST_OF_THE_API)
# Code cells and signatures repeat the colours of others, and rows of a table those of the two first; each kind is looked at
# once, which is two to four times as fast.
ONE_OF_A_KIND = """() => {
    const seen = new Set();
    for (const token of document.querySelectorAll('.highlight pre span[class], .sig span[class]')) {
        const kind = Boolean(token.closest('.sig')) + token.className;
        seen.has(kind) ? token.replaceWith(token.textContent) : seen.add(kind);
    }
    for (const table of document.querySelectorAll('table.dataframe'))
        [...table.tBodies[0].rows].slice(2).filter(row => !row.querySelector('[style]')).forEach(row => row.remove());
}"""
PROSE = """() => {
    const text = document.querySelector('main').cloneNode(true);
    text.querySelectorAll('pre, code, script, mjx-container').forEach(element => element.remove());
    return text.textContent;
}"""


class Links(HTMLParser):
    """The targets and the anchors of a page."""

    def __init__(self, text):
        super().__init__()
        self.targets, self.anchors = set(), {"", "#"}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.anchors |= {attributes.get("id"), attributes.get("name")}
        if tag == "a" and attributes.get("href"):
            self.targets.add(attributes["href"])


def test_the_book_has_these_pages_and_no_other(book):
    built = {
        str(path.relative_to(book).with_suffix("")) for path in book.rglob("*.html") if "_static" not in path.parts
    }
    assert built == set(PAGES)


@pytest.mark.parametrize(
    ("code", "metadata", "tags"),
    [
        ("1", {}, []),
        ("1", {"jupyter": {"source_hidden": True}}, ["hide-input"]),
        ("1", {"jupyter": {"outputs_hidden": True}}, ["hide-output"]),
        (
            "assert 1",
            {"jupyter": {"source_hidden": True, "outputs_hidden": True}, "tags": ["check"]},
            ["check", "hide-cell"],
        ),
        ("figures.show(1)", {}, ["hide-input"]),
        ("figures.show(1)", {"jupyter": {"source_hidden": True}, "tags": ["hide-input"]}, ["hide-input"]),
        ("figures.show(1)", {"jupyter": {"outputs_hidden": True}}, ["hide-cell"]),
    ],
)
def test_what_jupyterlab_folds_and_what_only_draws_is_folded(tmp_path, code, metadata, tags):
    cell = nbformat.v4.new_code_cell(code, metadata=metadata)
    source = [nbformat.writes(nbformat.v4.new_notebook(cells=[cell]))]
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "x.ipynb").write_text(source[0])
    fold(SimpleNamespace(srcdir=tmp_path), "notebooks/x", source)
    assert json.loads(source[0])["cells"][0]["metadata"]["tags"] == tags


def test_every_internal_link_and_anchor_leads_somewhere(book):
    pages = {f"{name}.html": Links((book / f"{name}.html").read_text()) for name in PAGES}
    broken = []
    for page, links in pages.items():
        for target in links.targets:
            if re.match(r"(https?|mailto|data):", target):  # a file to save is within its page
                continue
            file, anchor = urldefrag(urljoin(page, target))
            there = (book / file).exists() and (file not in pages or unquote(anchor) in pages[file].anchors)
            broken += [] if there else [f"{page}: {target}"]
    assert broken == []


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_chapters_and_library_link_to_each_other(book, name):
    chapter = Links((book / "notebooks" / f"{name}.html").read_text())
    assert any(re.match(r"\.\./api/\w+\.html#", target) for target in chapter.targets)
    articles = [(book / "api" / f"{module}.html").read_text().split("<article")[1] for module in MODULES]
    assert any(f'href="../notebooks/{name}.html"' in article for article in articles)


@pytest.fixture(scope="module")
def reader(browser):
    """One page of the browser, on which all pages of the book are read: what they share is loaded once."""
    page, problems = watched_page(browser, color_scheme="light", reduced_motion="reduce")
    yield page, problems
    page.context.close()


@pytest.mark.parametrize("name", PAGES)
def test_page(name, site, axe, reader):
    page, problems = reader
    problems.clear()
    # Pages of the API are made from one template: the first of them stands for all in the dark, as a picture, and where there
    # is more room than on a phone.
    thorough = not name.startswith("api/") or name == FIRST_OF_THE_API
    looks = LOOKS if thorough else LOOKS[-1:]
    page.set_viewport_size(DEVICES[looks[0][0]])
    page.goto(f"{site}{name}.html")
    page.wait_for_function(SETTLED)
    images = page.eval_on_selector_all("img", "images => images.map(image => [image.naturalWidth, image.alt])")
    assert all(width > 0 and alt for width, alt in images)
    check_mathematics(page, name)
    for device, theme in looks:
        look(page, device, theme)
        if thorough:
            page.screenshot(path=SCREENSHOTS / f"book_{name.replace('/', '_')}_{device}_{theme}.png")
        assert page.evaluate("document.documentElement.scrollWidth") <= DEVICES[device]["width"], device
        assert page.evaluate(STICKS_OUT) == [], device
    page.evaluate(axe)
    page.evaluate(ONE_OF_A_KIND)
    assert page.evaluate(AXE, {}) == []
    if thorough:
        look(page, "phone", "dark")
        assert page.evaluate(AXE, CONTRAST) == []
    if name in WIDE:
        look(page, "desktop", "light")
        assert page.evaluate(AXE, {}) == []
    assert problems == []


def test_the_way_back_to_the_top_is_readable(site, axe, reader):
    page, problems = reader
    page.goto(f"{site}notebooks/00_start_here.html")
    page.add_style_tag(content="#pst-back-to-top { display: block !important; }")  # as for a reader who scrolls up
    page.evaluate(axe)
    for device, theme in LOOKS:
        look(page, device, theme)
        assert page.get_by_role("button", name="Back to top").is_visible()
        assert page.evaluate(AXE, CONTRAST) == [], (device, theme)
    assert problems == []


def check_mathematics(page, name):
    formulas = page.locator(".math").count()
    assert page.locator(".math mjx-container").count() == formulas
    assert page.locator("mjx-merror, [data-mjx-error]").count() == 0
    assert not re.search(r"\$|\\[(\[a-z]", page.evaluate(PROSE))
    if name in ("notebooks/01_highway_and_residual_formulas", "notebooks/09_three_views_of_a_resnet"):
        assert formulas > 30


def test_search_finds_bottleneck(site, browser):
    page, problems = watched_page(browser, viewport=DEVICES["desktop"])
    page.goto(f"{site}index.html")
    page.keyboard.press("Control+k")
    page.keyboard.type("bottleneck")
    page.keyboard.press("Enter")
    page.locator("#search-results li a").first.wait_for()
    found = page.eval_on_selector_all("#search-results li a", "links => links.map(link => link.href)")
    assert any("/notebooks/" in link for link in found) and any("/api/resnet_v2" in link for link in found)
    assert problems == []
