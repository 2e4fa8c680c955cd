"""The slides in a real browser: formulas are drawn, and no slide is higher than the screen."""

import subprocess
import sys
from pathlib import Path

import pytest
from browser import SCREENSHOTS, browser, watched_page  # noqa: F401  the fixture

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[01]*.ipynb"))[:-1]  # the appendix has no figure
SCREEN = {"width": 1280, "height": 720}


@pytest.fixture(scope="module")
def shown(browser, tmp_path_factory):
    folder = tmp_path_factory.mktemp("course")
    subprocess.run([sys.executable, ROOT / "tools" / "course.py", folder, *NOTEBOOKS], check=True)
    page, problems = watched_page(browser, viewport=SCREEN)
    yield page, problems, folder / "slides"
    page.context.close()


@pytest.mark.parametrize("name", [path.stem for path in NOTEBOOKS])
def test_formulas_are_drawn_and_every_slide_fits(shown, name):
    page, problems, folder = shown
    page.goto((folder / f"{name}.html").as_uri())
    page.evaluate("MathJax.startup.promise")
    page.evaluate("Promise.all([...document.images].map(image => image.decode()))")
    heights = page.eval_on_selector_all("section", "all => all.map(one => one.getBoundingClientRect().height)")
    assert max(heights) <= SCREEN["height"] + 1, heights
    assert "$" not in page.evaluate("document.body.innerText")
    page.locator("section").last.scroll_into_view_if_needed()
    page.screenshot(path=SCREENSHOTS / f"slides_{name}.png")
    assert problems == []
