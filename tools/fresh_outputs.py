"""pytest tools/fresh_outputs.py: what a run just printed (build/notebooks) against what is committed (notebooks).

`make check-notebooks` runs it after the notebooks. Words and whole numbers must be the same; a number with a decimal point
may differ by 1 %, for processors round differently. Cells tagged "measured" print times and are not compared; of figures
only the alternative text is.
"""

import math
import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
NUMBER = re.compile(r"[-+]?\d[\d,]*\.?\d*(?:[eE][-+]?\d+)?")
TINY = 1e-4  # below this a number is a rounding error, and only its smallness is compared


def texts(notebook):
    """For every cell that is not measured, its number and all text that it put out, without pictures and row ids."""
    for i, cell in enumerate(notebook.cells):
        if cell.cell_type == "code" and "measured" not in cell.metadata.get("tags", ()):
            parts = [
                o.get("text", "") or (o.data.get("text/html") or o.data.get("text/plain", "")) for o in cell.outputs
            ]
            text = "\n".join(parts)
            text = re.sub(r"data:image/[a-z+]+;base64,[^\"]*|T_[0-9a-f]{5}|width=\"\d+\"|0x[0-9a-f]+", "", text)
            yield i, re.sub(r"[ \-]{2,}", " ", text)


def same_number(old, new):
    if not re.search(r"[.eE]", old + new):
        return old == new
    a, b = (float(x.replace(",", "").rstrip(".")) for x in (old, new))
    return math.isclose(a, b, rel_tol=1e-2) or max(abs(a), abs(b)) < TINY


def difference(old, new):
    """The first difference that matters between two texts, or None."""
    words = [NUMBER.split(text) for text in (old, new)]
    if [re.sub(r"\s+", " ", w) for w in words[0]] != [re.sub(r"\s+", " ", w) for w in words[1]]:
        pairs = zip(*words, strict=False)
        return next(
            ((a, b) for a, b in pairs if a.split() != b.split()), ("as many numbers", "another count of numbers")
        )
    numbers = zip(NUMBER.findall(old), NUMBER.findall(new), strict=True)
    return next(((a, b) for a, b in numbers if not same_number(a, b)), None)


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_outputs_are_fresh(path):
    committed, rerun = (nbformat.read(p, as_version=4) for p in (path, ROOT / "build" / "notebooks" / path.name))
    for (i, old), (_, new) in zip(texts(committed), texts(rerun), strict=True):
        found = difference(old, new)
        assert found is None, f"cell {i}: committed {found[0]!r}, now {found[1]!r}; run `make notebooks` and commit"


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("params 25,568,360", "params 25,568,360", True),
        ("params 25,568,360", "params 25,568,361", False),
        ("ratio 1.910", "ratio 1.915", True),
        ("ratio 1.91", "ratio 1.99", False),
        ("error 2.1e-07", "error 3.3e-07", True),
        ("error 2.1e-07", "error 2.1e-02", False),
        ("the same words", "the same words", True),
        ("the same words", "the other words", False),
        ("1 2", "1 2 3", False),
    ],
)
def test_the_comparison_sees_what_matters(old, new, same):
    assert (difference(old, new) is None) is same
