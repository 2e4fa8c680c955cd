"""python tools/course.py FOLDER NOTEBOOK...: what a lecturer hands out, made from the notebooks themselves (`make course`).

FOLDER/student: a folder to hand out, in which `make lab` works: the library, the data, and the notebooks without outputs and
without the worked answers, with a cell for the answer to each exercise. Where a chapter says "Predict first", a cell takes the
prediction and locks it. Until then the cells up to the next heading stop, as do later ones that need what they define, and
what the text says up to that heading is folded.

FOLDER/slides: a page for each chapter, its question, each of its figures under the claim that it bears out ("claim" in the
metadata of its cell, or else its heading), what it asks to predict, and its summary. The pages need no other machine; arrow
keys turn them, and printed they are one slide a sheet.
"""

from __future__ import annotations

import ast
import html
import re
import shutil
import sys
from importlib.metadata import files
from pathlib import Path

import nbformat
from nbconvert.filters import markdown2html
from nbformat.v4 import new_code_cell, new_markdown_cell

PREDICT = "**Predict first:**"
HEADING = re.compile(r"^#{1,6} .*$", re.MULTILINE)
EXERCISE = re.compile(r"^(\d+)\. ", re.MULTILINE)
MATHJAX = "tex-svg.js"
ROOT = Path(__file__).resolve().parents[1]
# What students need beside the notebooks, with a README that does not show what comes out.
HANDED_OUT = ["resnet_lib", "experiments", "data", "Makefile", "pyproject.toml", "requirements.lock", "LICENSE"]
README = """# Residual networks, for students

You need Python 3.11, 3.12 or 3.13 and about 4 GB of disk. `make lab` sets up .venv, which takes a few minutes once, and opens
JupyterLab on the notebooks.

Hand in this folder's `notebooks/`. Your predictions stand in `notebooks/predictions.json`; what is locked there stays. Write
with each what would refute it.
"""


def student(notebook, number):
    """The student version of a notebook. number: of the chapter, which its questions are named by."""
    made, asked, number_asked = [], None, 0
    behind = {}  # a name that a cell gives a value -> the questions that must be answered before
    for cell in map(nbformat.from_dict, _without_answers(notebook.cells)):
        if cell.cell_type == "markdown":
            text = cell.source
            if asked:
                cell.source = _folded(text)
            made.append(cell)
            if HEADING.search(text):
                asked = None
            if PREDICT in text:
                number_asked += 1
                asked = f"{number}.{number_asked}"
                made.append(_lock(asked))
            continue
        stored, loaded = _names(cell.source)
        needed = {asked} if asked else set()
        needed = needed.union(*(behind[name] for name in behind.keys() & loaded - stored))
        behind = {name: questions for name, questions in behind.items() if name not in stored}
        if needed:
            stops = [
                f'locked("{question}")  # stops here until your prediction is locked\n' for question in sorted(needed)
            ]
            cell.source = "".join(stops) + cell.source
            behind |= dict.fromkeys(stored, needed)
        cell.outputs, cell.execution_count = [], None
        cell.metadata.pop("claim", None)
        made.append(cell)
    for i, cell in enumerate(made):
        cell.id = f"cell-{i:02d}"
    return nbformat.v4.new_notebook(cells=made, metadata=notebook.metadata)


def _names(source):
    """(names that the code of a cell gives a value, names that it reads): what is local to a function counts, too."""
    stored, loaded = set(), set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name):
            (loaded if isinstance(node.ctx, ast.Load) else stored).add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            stored.add(node.name)
        elif isinstance(node, ast.alias):
            stored.add((node.asname or node.name).partition(".")[0])
    return stored, loaded


def _without_answers(cells):
    """The cells up to the worked answers, a place for the answer to each exercise, and the last line."""
    kept = []
    for i, cell in enumerate(cells):
        before, heading, _ = cell.source.partition("## Worked answers")
        if cell.cell_type == "markdown" and heading:
            if before.strip():
                kept.append(new_markdown_cell(before.strip()))
            exercises = before.partition("## Exercises")[2] or cells[i - 1].source.partition("## Exercises")[2]
            for number in EXERCISE.findall(exercises):
                kept += [new_markdown_cell(f"**Exercise {number}.** Your answer:"), new_code_cell("")]
            ends = [c.source for c in cells[i + 1 :] if c.cell_type == "markdown" and "<details>" not in c.source]
            return [*kept, *map(new_markdown_cell, ends[-1:])]
        kept.append(cell)
    return kept


def _lock(question):
    source = (
        "from resnet_lib.lessons import lock, locked\n\n"
        f'lock("{question}", "")  # your prediction, and what would refute it; once it is locked it stays'
    )
    return new_code_cell(source)


def _folded(text):
    """A text of which all before its first heading is folded."""
    heading = HEADING.search(text)
    at = heading.start() if heading else len(text)
    told = text[:at].strip()
    if not told:
        return text
    return (
        f"<details><summary>What came out, and how it goes on</summary>\n\n{told}\n\n</details>\n\n{text[at:]}".rstrip()
    )


def slides(notebook):
    """The slides of a notebook as an HTML page, or None where it has no figure."""
    title, question = _opening(notebook.cells[0].source)
    pages = [f'<section class="title"><h1>{html.escape(title)}</h1>{markdown2html(question)}</section>']
    heading, figures = title, 0
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            if "## Worked answers" in cell.source:
                break
            heading = (HEADING.findall(cell.source) or [heading])[-1].lstrip("# ")
            for asked in map(str.strip, cell.source.split(PREDICT)[1:]):
                shown = markdown2html(asked[:1].upper() + asked[1:])
                pages.append(f"<section><h2>Predict first</h2>{shown}</section>")
        elif "figure" in cell.metadata.get("tags", ()):
            claim = html.escape(cell.metadata.get("claim", heading))
            pages += [f"<section><h2>{claim}</h2>{shown}</section>" for shown in _pictures(cell)]
            figures += 1
    if not figures:
        return None
    summary = re.search(r"^## Summary\n(.*?)(?=^## )", _prose(notebook), re.DOTALL | re.MULTILINE)
    pages.append(f'<section class="summary"><h2>Summary</h2>{markdown2html(summary[1])}</section>')
    body = re.sub(r'href="(\d\d_\w+)\.ipynb', r'href="\1.html', "\n".join(pages))
    return PAGE.format(title=html.escape(title), body=body, mathjax=MATHJAX)


def _opening(source):
    """(title, the first paragraph) of a chapter."""
    title, _, rest = source.partition("\n")
    return title.lstrip("# "), rest.strip().split("\n\n")[0]


def _prose(notebook):
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def _pictures(cell):
    texts = ("".join(output.get("data", {}).get("text/html", "")) for output in cell.outputs)
    return [text for text in texts if "<img" in text]


PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
html {{ scroll-snap-type: y mandatory; font: 1.3rem/1.5 sans-serif; color: #1f2328; background: white; }}
body {{ margin: 0; }}
section {{ box-sizing: border-box; min-height: 100vh; padding: 3vh 6vw; scroll-snap-align: start;
  break-after: page; display: flex; flex-direction: column; justify-content: center; }}
h1, h2 {{ line-height: 1.2; margin: 0 0 1rem; }}
h2 {{ font-size: 1.2rem; color: #0072b2; }}
section > div:has(img), section > figure {{ margin: 0; }}
img {{ width: 100%; max-height: 70vh; height: auto; object-fit: contain; }}
figcaption, .caption {{ font-size: 0.8rem; color: #555; }}
table {{ border-collapse: collapse; font-size: 0.9em; }}
th, td {{ border-bottom: 1px solid #ccc; padding: 0.2rem 0.8rem; text-align: right; }}
th:first-child, td:first-child {{ text-align: left; }}
a {{ color: #0a58a5; }}
.summary {{ font-size: 0.95rem; }}
</style>
<script>MathJax = {{ tex: {{ inlineMath: [["$", "$"], ["\\\\(", "\\\\)"]] }} }};</script>
<script defer src="{mathjax}"></script>
<script>
addEventListener("keydown", (event) => {{
  const step = {{ ArrowRight: 1, PageDown: 1, ArrowLeft: -1, PageUp: -1 }}[event.key];
  if (!step) return;
  event.preventDefault();
  const pages = [...document.querySelectorAll("section")];
  const now = pages.findIndex((page) => page.getBoundingClientRect().bottom > innerHeight / 2);
  pages[Math.max(0, Math.min(pages.length - 1, now + step))].scrollIntoView();
}});
</script>
</head>
<body>
{body}
</body>
</html>
"""


def make(folder, paths):
    """Writes both kinds for all notebooks, in place of what an earlier call wrote."""
    handed_out, slide_folder = folder / "student", folder / "slides"
    if answered := sorted(handed_out.rglob("predictions.json")):
        sys.exit(f"{answered[0]} holds predictions, and somebody's work is beside it: move {handed_out} away first")
    for part in (handed_out, slide_folder):
        shutil.rmtree(part, ignore_errors=True)
    _copy_library(handed_out)
    (handed_out / "notebooks").mkdir()
    slide_folder.mkdir()
    titles = {}
    for path in paths:
        notebook, number = nbformat.read(path, as_version=4), path.name[:2]
        nbformat.write(student(notebook, number), handed_out / "notebooks" / path.name)
        page = slides(notebook)
        if page:
            (slide_folder / f"{path.stem}.html").write_text(page, encoding="utf-8")
            titles[path.stem] = _opening(notebook.cells[0].source)[0]
    links = "".join(f'<li><a href="{stem}.html">{html.escape(title)}</a></li>' for stem, title in titles.items())
    index = PAGE.format(title="Slides", body=f"<section><h1>Slides</h1><ul>{links}</ul></section>", mathjax=MATHJAX)
    (slide_folder / "index.html").write_text(index, encoding="utf-8")
    script = next(file for file in files("sphinx-mathjax-offline") if file.name == MATHJAX)
    shutil.copy(script.locate(), slide_folder / MATHJAX)


def _copy_library(folder):
    """HANDED_OUT, and a README of its own."""
    folder.mkdir(parents=True)
    for name in HANDED_OUT:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.lock"))
        else:
            shutil.copy(ROOT / name, folder)
    (folder / "README.md").write_text(README, encoding="utf-8")


if __name__ == "__main__":
    make(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
