"""python tools/readme_figure.py: takes the README's figure out of notebook 02, where it is made (see `make notebooks`)."""

import base64
import re
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[1]
FIGURE = ROOT / "book" / "degradation.svg"


def figure_from_notebook():
    """The SVG of notebook 02's figure of training error against depth, as bytes."""
    notebook = nbformat.read(ROOT / "notebooks" / "02_the_degradation_problem.ipynb", as_version=4)
    pages = (o.get("data", {}).get("text/html", "") for cell in notebook.cells for o in cell.get("outputs", ()))
    page = next(page for page in pages if 'alt="Training error against layers.' in page)
    return base64.b64decode(re.search(r"image/svg\+xml;base64,([^\"]+)", page)[1])


if __name__ == "__main__":
    FIGURE.write_bytes(figure_from_notebook())
