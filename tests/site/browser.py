"""A real browser for tests: the system's Chromium, driven by Playwright, with no way to any other machine.

`from browser import browser, watched_page` gives a test module the fixture and a page that remembers its errors. Where there is
no browser or no Playwright the tests skip and say what is missing; with RESNET_LIB_REQUIRE_BROWSER=1, as in .ci/run, they fail.
"""

import os
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
LOCAL = ("127.0.0.1", "localhost")
SCREENSHOTS = Path(__file__).resolve().parents[2] / "build" / "screenshots"


def find_browser():
    """Path of a Chromium on PATH, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def missing(reason):
    """Skips the test for this reason, or fails it where a browser is required."""
    if os.environ.get("RESNET_LIB_REQUIRE_BROWSER") == "1":
        pytest.fail(f"RESNET_LIB_REQUIRE_BROWSER=1, but {reason}", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium that resolves no host but this one: playwright.sync_api.Browser."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("Playwright is not installed: pip install playwright")
    path = find_browser()
    if path is None:
        missing(f"none of {', '.join(NAMES)} is on PATH; on Debian: apt install chromium")
    rules = ", ".join(["MAP * ~NOTFOUND", *(f"EXCLUDE {host}" for host in LOCAL)])
    # Chromium's sandbox does not start as root, which is what one usually is in a container.
    args = [f"--host-resolver-rules={rules}", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=args)
        yield browser
        browser.close()


def watched_page(browser, allowed=(), **context):
    """A new page and the list that fills with what goes wrong on it: (playwright.sync_api.Page, problems, list of str).

    A problem is an error on the console (a resource that did not load is one), an exception that nothing caught, or a request
    to another machine. allowed: texts; a problem that holds one of them is left out. context: as in `Browser.new_context`.
    """
    page, problems = browser.new_context(**context).new_page(), []

    def problem(text):
        if not any(words in text for words in allowed):
            problems.append(text)

    def remote(url):
        parts = urlsplit(url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.hostname not in LOCAL:
            problem(f"request to another machine: {url}")

    page.on("console", lambda m: m.type == "error" and problem(f"console: {m.text} ({m.location.get('url')})"))
    page.on("pageerror", lambda error: problem(f"uncaught: {error}"))
    page.on("request", lambda request: remote(request.url))
    page.on("websocket", lambda socket: remote(socket.url))
    return page, problems
