"""python book/browser_python.py CACHE FOLDER: puts into FOLDER what a page needs to run the library in the reader's browser.

That is Pyodide, which is Python for browsers, and a zip of the library's pure modules. Pyodide comes from npm into CACHE once;
its hash is checked every time. Where npm is missing, or does not reach its registry, the book is built without them and one
sentence says so. A page that runs them fetches nothing but these files.
"""

import base64
import hashlib
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

LIBRARY = Path(__file__).resolve().parents[1] / "resnet_lib"
NAME, VERSION = "pyodide", "314.0.7"
INTEGRITY = "sha512-0YvXxEhfEdpLfb/XkM2BFAeMROq0iMUX2bzzH9pOttyMcWkwq+HbE5uyuGD82LN7y2q+SNvi/6V5JEsOlD2R1A=="
# The loader, Python, its standard library, and the list of what else Pyodide has, of which nothing is loaded.
FILES = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip", "pyodide-lock.json")

# Modules of resnet_lib that need the standard library alone; `figures` needs more only when it draws with matplotlib.
MODULES = (
    "__init__",
    "accounting",
    "architectures",
    "block_text",
    "blocks",
    "checks",
    "count_conventions",
    "count_panel",
    "depth_panel",
    "depth_table_panel",
    "descriptions",
    "exploration",
    "explorer_page",
    "figures",
    "layers",
    "mean_field",
    "network_picture",
    "other_nets",
    "padding_panel",
    "panels",
    "recipe",
    "roofline",
    "roofline_panel",
    "splits_panel",
    "traffic",
    "training_cost",
    "unit_drawing",
    "unit_panel",
    "units",
    "weight_names",
    "widths",
)


class NotReached(Exception):
    """Pyodide cannot be had here; the message says why."""


def pack(path):
    """Writes the zip of the modules, the same bytes for the same sources."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for module in MODULES:
            entry = zipfile.ZipInfo(f"resnet_lib/{module}.py")  # of the first day that a zip knows
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, (LIBRARY / f"{module}.py").read_bytes())


def fetched(cache):
    """The path of Pyodide's package in the folder `cache`, from npm if it is not there yet. Raises NotReached."""
    path = cache / f"{NAME}-{VERSION}.tgz"
    if path.exists():
        return path
    npm = shutil.which("npm")
    if npm is None:
        raise NotReached("npm is not installed")
    cache.mkdir(parents=True, exist_ok=True)
    command = [npm, "pack", f"{NAME}@{VERSION}", "--ignore-scripts", "--fetch-retries=1", "--fetch-timeout=120000"]
    run = subprocess.run(command, cwd=cache, capture_output=True, text=True)
    if run.returncode or not path.exists():
        raise NotReached(f"npm could not fetch {NAME}@{VERSION}")
    return path


def check(path):
    """Deletes a package whose hash is not INTEGRITY, and raises ValueError."""
    found = "sha512-" + base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
    if found != INTEGRITY:
        path.unlink()
        raise ValueError(f"{path.name} has been refused and deleted: its hash is {found}, and should be {INTEGRITY}")


def unpack(path, folder):
    """Puts the FILES of a package into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path) as package:
        for name in FILES:
            (folder / name).write_bytes(package.extractfile(f"package/{name}").read())


if __name__ == "__main__":
    cache, folder = map(Path, sys.argv[1:])
    try:
        package = fetched(cache)
    except NotReached as reason:
        print(f"The book's pages will not come alive: {reason}. Later, `rm build/.book && make book` tries again.")
    else:
        check(package)
        unpack(package, folder)
        pack(folder / "resnet_lib.zip")
