"""python tools/course.py FOLDER NOTEBOOK...: what a lecturer hands out, made from the notebooks themselves (`make course`).

FOLDER/student: the notebooks without outputs and without the worked answers, with a cell for the answer to each exercise. Where
a chapter says "Predict first", a cell takes the prediction and locks it; the cells that show the result stop until then, and
what the text says of it is folded.

FOLDER/slides: a page for each chapter, its question, each of its figures under the heading that it stands in, and its summary.
The pages need no other machine; arrow keys turn them, and printed they are one slide a sheet.
"""

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


def student(notebook, number):
    """The student version of a notebook. number: of the chapter, which its questions are named by."""
    made, asked, after, questions = [], None, None, 0
    for cell in map(nbformat.from_dict, _without_answers(notebook.cells)):
        if cell.cell_type == "markdown":
            questions += PREDICT in cell.source
            asked = f"{number}.{questions}" if PREDICT in cell.source else None
            if after:
                cell.source = _folded(cell.source)
            after = None
            made.append(cell)
            if asked:
                made.append(_lock(asked))
            continue
        if asked:
            cell.source = f'locked("{asked}")  # stops here until your prediction is locked\n{cell.source}'
            after = asked
        cell.outputs, cell.execution_count = [], None
        made.append(cell)
    for i, cell in enumerate(made):
        cell.id = f"cell-{i:02d}"
    return nbformat.v4.new_notebook(cells=made, metadata=notebook.metadata)


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
        f'lock("{question}", "")  # your prediction between the quotes; once it is locked it stays'
    )
    return new_code_cell(source)


def _folded(text):
    """A text of which all before its first heading is folded."""
    heading = HEADING.search(text)
    at = heading.start() if heading else len(text)
    told = text[:at].strip()
    if not told:
        return text
    return f"<details><summary>What came out</summary>\n\n{told}\n\n</details>\n\n{text[at:]}".rstrip()


def slides(notebook):
    """The slides of a notebook as an HTML page, or None where it has no figure."""
    title, question = _opening(notebook.cells[0].source)
    pages = [f'<section class="title"><h1>{html.escape(title)}</h1>{markdown2html(question)}</section>']
    heading = title
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            if "## Worked answers" in cell.source:
                break
            heading = (HEADING.findall(cell.source) or [heading])[-1].lstrip("# ")
        elif "figure" in cell.metadata.get("tags", ()):
            pages += [f"<section><h2>{html.escape(heading)}</h2>{shown}</section>" for shown in _pictures(cell)]
    if len(pages) == 1:
        return None
    summary = re.search(r"^## Summary\n(.*?)(?=^## )", _prose(notebook), re.DOTALL | re.MULTILINE)
    pages.append(f"<section><h2>Summary</h2>{markdown2html(summary[1])}</section>")
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
section {{ box-sizing: border-box; min-height: 100vh; padding: 4vh 6vw; scroll-snap-align: start;
  break-after: page; display: flex; flex-direction: column; justify-content: center; }}
h1, h2 {{ line-height: 1.2; margin: 0 0 1rem; }}
h2 {{ font-size: 1.2rem; color: #0072b2; }}
section > div:has(img), section > figure {{ margin: 0; }}
img {{ width: 100%; max-height: 72vh; height: auto; object-fit: contain; }}
figcaption, .caption {{ font-size: 1rem; color: #555; }}
table {{ border-collapse: collapse; font-size: 1rem; }}
th, td {{ border-bottom: 1px solid #ccc; padding: 0.2rem 0.8rem; text-align: right; }}
a {{ color: #0a58a5; }}
</style>
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
    """Writes both kinds for all notebooks."""
    for name in ("student", "slides"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    titles = {}
    for path in paths:
        notebook, number = nbformat.read(path, as_version=4), path.name[:2]
        nbformat.write(student(notebook, number), folder / "student" / path.name)
        page = slides(notebook)
        if page:
            (folder / "slides" / f"{path.stem}.html").write_text(page, encoding="utf-8")
            titles[path.stem] = _opening(notebook.cells[0].source)[0]
    links = "".join(f'<li><a href="{stem}.html">{html.escape(title)}</a></li>' for stem, title in titles.items())
    index = PAGE.format(title="Slides", body=f"<section><h1>Slides</h1><ul>{links}</ul></section>", mathjax=MATHJAX)
    (folder / "slides" / "index.html").write_text(index, encoding="utf-8")
    script = next(file for file in files("sphinx-mathjax-offline") if file.name == MATHJAX)
    shutil.copy(script.locate(), folder / "slides" / MATHJAX)


if __name__ == "__main__":
    make(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
