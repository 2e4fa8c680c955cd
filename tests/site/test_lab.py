"""Two chapters in JupyterLab, opened and run as a reader does it, in a real browser that reaches no other machine.

JupyterLab starts with fresh settings and with copies of the notebooks, which it does not trust: what a newcomer has.
`make browser` runs this, and keeps pictures of it in build/screenshots.
"""

import functools
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest
from browser import SCREENSHOTS, browser, watched_page  # noqa: F401  the fixture

from resnet_lib import explore
from resnet_lib.exploration import design

ROOT = Path(__file__).resolve().parents[2]
MINUTE = 60_000  # ms; the limits are for a machine that does other work at the same time
CHAPTERS = ["00_start_here", "11_your_own_architecture"]  # what is read first, and what has sliders
FIRST_CELLS = {"11_your_own_architecture": 16}  # the sliders and three figures; nbmake runs all of it

# JupyterLab opens a dialog when it misses something, such as a kernel; as an error it is among the page's problems.
REPORT_DIALOGS = """new MutationObserver(changes => changes.forEach(change => change.addedNodes.forEach(node => {
    if (node.classList?.contains('jp-Dialog')) console.error('dialog: ' + node.textContent);
}))).observe(document, {childList: true, subtree: true})"""
CELLS = "document.querySelectorAll('.jp-Notebook .jp-Cell').length"
PROMPTS = "[...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].map(prompt => prompt.textContent)"
IDLE = "document.querySelector('.jp-Notebook-ExecutionIndicator[data-status=idle]')"
CLEARED = f"() => {PROMPTS}.every(prompt => prompt == '[ ]:')"
# All prompts turn to [*] at once, and to [1], [2], ... as the cells end; an error turns those that follow back to [ ].
ENDED = f"() => document.querySelector('.jp-Dialog') || {IDLE} && {PROMPTS}[0] == '[1]:' && !/[*]/.test({PROMPTS})"
IMAGES = """images => Promise.all(images.map(async image => {
    await image.decode().catch(() => null);
    return {width: image.naturalWidth, alt: image.alt};
}))"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab, started by the command of `make lab`: (its address, the folder of its notebooks)."""
    folder = tmp_path_factory.mktemp("lab")
    shutil.copytree(ROOT / "notebooks", folder / "notebooks")
    for name, number in FIRST_CELLS.items():
        notebook = nbformat.read(folder / "notebooks" / f"{name}.ipynb", as_version=4)
        notebook.cells = notebook.cells[:number]
        nbformat.write(notebook, folder / "notebooks" / f"{name}.ipynb")
    printed = subprocess.run(["make", "--dry-run", "lab"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (line,) = (line for line in printed.splitlines() if "jupyter lab " in line)
    command = [str(Path(sys.executable).with_name("jupyter")), *shlex.split(line)[1:]]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command += ["--no-browser", "--allow-root", f"--ServerApp.port={port}", "--IdentityProvider.token="]
    own = {f"JUPYTER_{name}_DIR": str(folder / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=folder, env=os.environ | own, stdout=log, stderr=log)
        try:
            wait_for(port, server, folder / "log")
            yield f"http://127.0.0.1:{port}", folder / "notebooks"
        finally:
            server.terminate()
            server.wait(60)


def wait_for(port, server, log):
    """Returns when the server listens."""
    end = time.monotonic() + 120
    while server.poll() is None and time.monotonic() < end:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()}", pytrace=False)


class Reading(NamedTuple):
    """A chapter opened and run. before, after: of every image its width in pixels and its alt text."""

    page: object
    problems: list
    before: list
    after: list
    committed: nbformat.NotebookNode
    saved: nbformat.NotebookNode  # by JupyterLab, after the run


@pytest.fixture(scope="module")
def read(browser, lab):
    """A function from a chapter's name to its Reading; each chapter runs once."""

    @functools.cache
    def read(name):
        address, folder = lab
        committed = nbformat.read(folder / f"{name}.ipynb", as_version=4)
        page, problems = watched_page(browser, viewport={"width": 1400, "height": 900})
        page.set_default_timeout(2 * MINUTE)
        page.add_init_script(REPORT_DIALOGS)
        page.goto(f"{address}/lab/workspaces/{name}?reset")
        page.locator(".jp-DirListing-item", has_text=name).dblclick()
        page.get_by_text("Python 3 (ipykernel) | Idle").or_(page.locator(".jp-Dialog")).first.wait_for()
        assert problems == []
        page.wait_for_function(f"() => {CELLS} == {len(committed.cells)}")
        shoot(page, f"{name}_opened")
        before = images(page)
        choose(page, "View", "Expand All Code")  # what is folded has no prompt that could be waited for
        choose(page, "Edit", "Clear Outputs of All Cells")
        page.wait_for_function(CLEARED)
        choose(page, "Run", "Run All Cells")
        page.wait_for_function(ENDED, timeout=10 * MINUTE)
        with page.expect_response(lambda response: response.request.method == "PUT"):
            choose(page, "File", "Save Notebook")
        after = images(page)
        # Run All leaves the reader at the end; in a window as high as the notebook every cell is in view.
        panel = page.locator(".jp-Notebook .jp-WindowedPanel-outer")
        height = panel.evaluate("panel => panel.scrollHeight") + 200
        page.set_viewport_size({"width": 1400, "height": min(height, 16_000)})  # the most that Chromium draws
        panel.evaluate("panel => panel.scrollTo(0, 0)")
        shoot(page, f"{name}_ran")
        saved = nbformat.read(folder / f"{name}.ipynb", as_version=4)
        return Reading(page, problems, before, after, committed, saved)

    return read


def choose(page, menu, item):
    page.locator(".lm-MenuBar-content").get_by_text(menu, exact=True).click()
    page.locator(".lm-Menu").get_by_text(item, exact=True).click()


def images(page):
    return page.locator(".jp-Notebook img").evaluate_all(IMAGES)


def shoot(page, name):
    page.screenshot(path=SCREENSHOTS / f"lab_{name}.png")


def num_figures(notebook):
    return sum(
        o.get("data", {}).get("text/html", "").count("<img ") for c in notebook.cells for o in c.get("outputs", ())
    )


@pytest.mark.parametrize("name", CHAPTERS)
def test_every_cell_runs_without_error(read, name):
    code = [cell for cell in read(name).saved.cells if cell.cell_type == "code"]
    assert not [output.evalue for cell in code for output in cell.outputs if output.output_type == "error"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))


@pytest.mark.parametrize("name", CHAPTERS)
def test_every_figure_has_pixels_and_an_alternative_text(read, name):
    reading = read(name)
    sliders = reading.page.locator(".jupyter-widgets img").count()  # their picture is not in the file
    assert len(reading.before) == num_figures(reading.committed) > 0
    assert len(reading.after) == num_figures(reading.saved) + sliders == len(reading.before) + sliders
    for image in reading.before + reading.after:
        assert image["width"] > 0 and len(image["alt"]) >= 30, image


def test_sliders_change_picture_and_table(read):
    page = read("11_your_own_architecture").page
    explorer = page.locator(".jp-OutputArea-output .jupyter-widgets", has=page.locator(".widget-slider")).first
    sliders, row = explorer.locator(".widget-slider"), explorer.locator("tr", has_text="block1").locator("td")

    def shown():
        """Units as the sliders say, once the page says the same."""
        units = [int(text) for text in explorer.locator(".widget-readout").all_inner_texts()][:4]
        explorer.get_by_text(explore(design(units), device="H200").summary()).wait_for()
        assert row.all_inner_texts()[:3] == ["56x56", "256", str(units[0])]
        assert f"block1, {units[0]} units" in explorer.locator("img").get_attribute("alt")
        return units

    before = shown()
    sliders.nth(0).get_by_role("slider").press("ArrowLeft")
    explorer.get_by_text(f'Block("block1", "bottleneck_v2", [(256, 64, 1)] * {before[0] - 1})').wait_for()
    assert shown() == [before[0] - 1, *before[1:]]
    track = sliders.nth(1).locator(".noUi-target")
    track.click(position={"x": track.bounding_box()["width"] / 4, "y": 2})
    explorer.get_by_text("[(512, 128, 1)] * 11").wait_for()
    assert shown() == [before[0] - 1, 12, *before[2:]]
    explorer.screenshot(path=SCREENSHOTS / "lab_explorer.png")


def test_no_question_pops_up_at_the_first_start(read):
    """JupyterLab would ask whether it may fetch news; set-up has turned that off."""
    page = read(CHAPTERS[0]).page
    assert page.locator(".Toastify__toast").all_inner_texts() == []


@pytest.mark.parametrize("name", CHAPTERS)
def test_no_errors_no_dialogs_and_no_other_machine(read, name):
    assert read(name).problems == []
