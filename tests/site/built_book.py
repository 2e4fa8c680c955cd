"""The web book for tests: built as `make book` does, served by this machine, and looked at as on a phone and on a screen.

`from built_book import book, site, axe` gives a test module the fixtures.
"""

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from filelock import FileLock
from serve import server

ROOT = Path(__file__).resolve().parents[2]
DEVICES = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 360, "height": 740}}
LOOKS = [("desktop", "light"), ("desktop", "dark"), ("phone", "light")]  # the last stays on for axe-core
CONTRAST = {"runOnly": ["color-contrast"]}  # of axe-core's rules the one whose answer differs in the dark
REACTS = 400  # ms; after a change of size the theme slides its sidebar, then makes what scrolls reachable by keyboard

SETTLED = "document.readyState == 'complete' && (!window.MathJax || MathJax.startup.promise.then(() => true))"
# What is drawn right of the screen although no frame around it scrolls; the copy of a formula for screen readers is not.
STICKS_OUT = """() => [...document.querySelectorAll('main *')].filter(element => {
    const box = element.getBoundingClientRect();
    if (!box.width || box.right <= innerWidth + 1 || element.closest('mjx-assistive-mml')) return false;
    for (let frame = element; frame; frame = frame.parentElement)
        if (/auto|scroll/.test(getComputedStyle(frame).overflowX)) return false;
    return true;
}).map(element => element.outerHTML.slice(0, 200))"""
AXE = """rules => axe.run({preload: false, resultTypes: ['violations'], ...rules}).then(found => found.violations
    .filter(({impact}) => impact == 'serious' || impact == 'critical')
    .flatMap(({id, nodes}) => nodes.map(node => `${id}: ${node.html.slice(0, 200)}`)))"""


@pytest.fixture(scope="module")
def book():
    """The folder of the built book, new if any of its sources is newer. Of several processes one builds, the others wait."""
    command = ["make", "--old-file=.venv/.ready", f"BIN={Path(sys.executable).parent}", "book"]
    (ROOT / "build").mkdir(exist_ok=True)
    with FileLock(ROOT / "build" / "book.lock"):
        made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr
    return ROOT / "build" / "book"


@pytest.fixture(scope="module")
def site(book):
    """The address at which this machine serves the book."""
    with server(book, port=0) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_port}/"
        serving.shutdown()


@pytest.fixture(scope="module")
def axe():
    import axe_playwright_python

    return Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text()


def look(page, device, theme):
    page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
    if page.viewport_size != DEVICES[device]:
        page.set_viewport_size(DEVICES[device])
        page.wait_for_timeout(REACTS)
