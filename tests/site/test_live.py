"""What makes the book's panels live, without a browser: the files that a page loads, and what a page says of a panel."""

import html
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from browser_python import LIBRARY, MODULES, NAME, VERSION, check, pack
from live import markup, panel_of

from resnet_lib.explorer_page import text_panel

COMMAND = [sys.executable, str(LIBRARY.parent / "book" / "browser_python.py")]


@pytest.fixture
def library(tmp_path):
    path = tmp_path / "resnet_lib.zip"
    pack(path)
    return path


def test_the_zip_holds_the_pure_modules_as_they_are_and_is_the_same_each_time(library):
    with zipfile.ZipFile(library) as archive:
        held = {Path(name).stem: archive.read(name).decode() for name in archive.namelist()}
    assert held == {name: (LIBRARY / f"{name}.py").read_text() for name in MODULES}
    first = library.read_bytes()
    pack(library)
    assert library.read_bytes() == first


def test_what_is_in_the_zip_needs_the_standard_library_alone(library):
    program = (
        f"import sys; sys.path.insert(0, {str(library)!r})\n"
        "from importlib import import_module\n"
        f"for name in {MODULES[1:]}: import_module('resnet_lib.' + name)\n"
        "from resnet_lib.explorer_page import text_panel\n"
        "panel = text_panel()\n"
        "print(sys.modules['resnet_lib'].__file__, panel.show(**panel.start()))"
    )
    run = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith(str(library)) and "25,557,032" in run.stdout


def test_a_package_of_another_hash_is_refused(tmp_path):
    package = tmp_path / f"{NAME}-{VERSION}.tgz"
    package.write_bytes(b"not Pyodide")
    with pytest.raises(ValueError, match="has been refused and deleted: its hash is sha512-"):
        check(package)
    assert not package.exists()
    package.write_bytes(b"not Pyodide")
    run = subprocess.run([*COMMAND, tmp_path, tmp_path / "live"], capture_output=True, text=True)
    assert run.returncode != 0 and "refused" in run.stderr and not (tmp_path / "live").exists()


def test_without_npm_one_sentence_says_that_pages_stay_as_they_are(tmp_path):
    run = subprocess.run([*COMMAND, tmp_path, tmp_path / "live"], capture_output=True, text=True, env={"PATH": ""})
    assert run.returncode == 0 and not (tmp_path / "live").exists()
    assert run.stdout.startswith("The book's pages will not come alive: npm is not installed.")
    assert run.stdout.count("\n") == 1


def test_a_panel_stands_in_the_page_with_what_its_controls_are():
    text = markup("explorer_page:text_panel", {"network": "resnet_v2_50"}, share=True)
    data = {key: html.unescape(value) for key, value in re.findall(r' data-(\w+)="([^"]*)"', text)}
    panel = text_panel("resnet_v2_50")
    assert data["panel"] == "explorer_page:text_panel" and data["share"] == ""
    assert json.loads(data["start"]) == {"network": "resnet_v2_50"}
    assert json.loads(data["controls"]) == json.loads(json.dumps(panel.described()))
    assert panel.show(**panel.start()) in text


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("panels.jupyter(unit_panel())", ("unit_panel:unit_panel", {})),
        ("x = 1\npanels.jupyter(depth_panel(units=9))", ("depth_panel:depth_panel", {"units": 9})),
        ("box = explorer(units=(3, 4))\nbox", ("exploration:explorer_panel", {"units": (3, 4)})),
        ("box = explorer(units=(3, 4))", None),
        ("box", None),
        ("unit_page()", None),
        ("%matplotlib inline", None),
        ("", None),
    ],
)
def test_a_cell_that_ends_in_controls_is_known_by_its_source(source, found):
    assert panel_of(source) == found
