"""The three ways to install, pip's ranges, the lock and conda's file, name the same packages; the lock is safe to share."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import resnet_lib

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = CONFIGURATION["project"]
PACKAGES = CONFIGURATION["tool"]["setuptools"]
LOCK = (ROOT / "requirements.lock").read_text()
EXTRAS = ("notebooks", "test", "site")  # what a newcomer gets; gpu is for those who have one


def test_there_is_one_version():
    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), flags=re.M)[1]
    assert resnet_lib.__version__ == PROJECT["version"] == cited


def test_type_checkers_see_the_annotations():
    assert (ROOT / "resnet_lib" / "py.typed").exists()
    assert PACKAGES["package-data"]["resnet_lib"] == ["py.typed"]


def test_every_package_is_installed():
    assert {path.parent.name for path in ROOT.glob("*/__init__.py")} == set(PACKAGES["packages"])


def required():
    lines = PROJECT["dependencies"] + [line for e in EXTRAS for line in PROJECT["optional-dependencies"][e]]
    return {requirement.name: requirement.specifier for requirement in map(Requirement, lines)}


def conda():
    text = (ROOT / "environment.yml").read_text()
    lines = [line.strip().removeprefix("- ") for line in text.split("dependencies:")[1].splitlines() if "- " in line]
    found = {Requirement(line).name: Requirement(line).specifier for line in lines if not line.endswith(":")}
    return {name: specifier for name, specifier in found.items() if name not in ("python", "pip")}, found["python"]


def locked():
    return {name.lower(): version for name, version in re.findall(r"^([\w.-]+)==([\w.]+)", LOCK, flags=re.M)}


def test_conda_names_the_same_packages_and_ranges():
    packages, python = conda()
    assert packages == required()
    assert python == Requirement(f"python{PROJECT['requires-python']}").specifier


def test_tensorflow_and_slim_come_through_pip_in_conda():
    through_pip = (ROOT / "environment.yml").read_text().split("- pip:")[1]
    assert all(name in through_pip for name in ("tensorflow", "tf-keras", "tf-slim"))


@pytest.mark.parametrize("name", sorted(required()))
def test_lock_pins_every_package_within_its_range(name):
    assert locked()[name] in required()[name]


def test_lock_holds_hashes_and_no_addresses():
    assert "://" not in LOCK and "index-url" not in LOCK
    pins = re.split(r"\n(?=\S)", LOCK.split("make lock\n")[1].strip())
    assert len(pins) > 50 and all("--hash=sha256:" in pin for pin in pins)


def test_gpu_extra_is_the_same_tensorflow():
    assert [Requirement(line).name for line in PROJECT["optional-dependencies"]["gpu"]] == ["tensorflow"]


# What `make lab` says where it cannot set up. A script takes the place of Python.


def set_up(folder, python):
    """`make .venv/.ready` where this script is all the Python there is: the finished process."""
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    (folder / "bin").mkdir()
    script = folder / "bin" / "python3"
    script.write_text(f"#!/bin/sh\n{python}\n")
    script.chmod(0o755)
    make = shutil.which("make")
    options = {"cwd": folder, "env": os.environ | {"PATH": str(script.parent)}, "capture_output": True, "text": True}
    return subprocess.run([make, ".venv/.ready"], **options)


def test_an_old_python_is_named_with_those_that_will_do(tmp_path):
    made = set_up(tmp_path, '[ "$1" = --version ] && echo Python 3.9.2; exit 1')
    assert made.returncode and "needs Python 3.11, 3.12 or 3.13; here there is: Python 3.9.2" in made.stderr
    assert "make PYTHON=" in made.stderr


def test_a_python_that_makes_no_environments_is_named_with_the_package_that_it_lacks(tmp_path):
    made = set_up(tmp_path, f'case "$2" in *venv*) exit 1;; esac; exec {sys.executable} "$@"')
    assert made.returncode and "apt install python3-venv" in made.stderr


def test_a_set_up_that_fails_says_what_it_needs(tmp_path):
    made = set_up(tmp_path, f'[ "$1" = -m ] && {{ echo No space left >&2; exit 1; }}; exec {sys.executable} "$@"')
    assert made.returncode and made.stderr.splitlines()[0] == "No space left"
    assert "needs about 4 GB of disk and a connection" in made.stderr and not (tmp_path / ".venv/.ready").exists()
