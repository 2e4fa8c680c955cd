"""Every committed notebook is one clean run from top to bottom that everyone can read."""

import copy
import re
from pathlib import Path

import nbformat
import pytest
from tidy_notebooks import tidy

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def notebook(path):
    return nbformat.read(path, as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def prose(notebook):
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def outputs(notebook):
    return [output for cell in code(notebook) for output in cell.outputs]


def test_there_are_notebooks():
    assert [path.name[:2] for path in NOTEBOOKS] == [f"{number:02d}" for number in range(13)]


def test_outputs_are_from_one_run_top_to_bottom(notebook):
    assert [cell.execution_count for cell in code(notebook)] == list(range(1, len(code(notebook)) + 1))


def test_no_errors_warnings_or_log_lines(notebook):
    assert not [o for o in outputs(notebook) if o.output_type == "error" or o.get("name") == "stderr"]
    text = "\n".join(o.get("text", "") for o in outputs(notebook))
    assert not re.search(r"Warning|WARNING|deprecat|I0000|E0000", text)


def test_every_figure_has_an_alternative_text(notebook):
    for output in outputs(notebook):
        html = output.get("data", {}).get("text/html", "")
        assert "image/png" not in output.get("data", {}), "a figure that did not go through figures.show"
        for image in re.findall(r"<img [^>]*>", html):
            assert re.search(r'alt="[^"]{30,}"', image)


def test_cells_are_short_and_define_no_classes(notebook):
    for cell in code(notebook):
        assert len(cell.source.splitlines()) <= 25
        assert not re.search(r"^class ", cell.source, flags=re.M)


def test_the_library_brings_tensorflow(notebook):
    assert not any(
        re.search(r"^\s*(import|from) (tensorflow|tf_slim)\b(?!.*nets)", c.source, flags=re.M) for c in code(notebook)
    )


def test_a_chapter_has_a_number_a_summary_and_worked_exercises(path, notebook):
    assert notebook.cells[0].source.startswith(f"# {path.name[:2]} ")
    headings = re.findall(r"^## (.+)$", prose(notebook), flags=re.M)
    if path.stem.startswith("12_appendix"):
        return
    assert {"Summary", "Exercises", "Worked answers"} <= set(headings)


def test_links_between_notebooks_lead_somewhere(path, notebook):
    links = re.findall(r"\]\(([^)#]+\.ipynb)", prose(notebook))
    assert links and all((path.parent / link).exists() for link in links)


def anchors(notebook):
    """Of every heading the anchor that JupyterLab gives it; the book does the same (book/conf.py)."""
    text = re.sub(r"^```.*?^```", "", prose(notebook), flags=re.M | re.S)
    return {heading.replace(" ", "-") for heading in re.findall(r"^#{1,3} (.+)$", text, flags=re.M)}


def test_links_to_sections_lead_to_a_heading(path, notebook):
    for file, anchor in re.findall(r"\]\(([^)#\s]*)#([^)]*)\)", prose(notebook)):
        if not file.startswith("http"):
            there = nbformat.read(path.parent / file, as_version=4) if file else notebook
            assert anchor in anchors(there), f"{file} has no heading for #{anchor}"
            # JupyterLab compares with what a browser makes of the link, which writes other characters as %22
            assert re.fullmatch(r"[\w,.:;?!'()+-]+", anchor, flags=re.ASCII)


def test_it_is_tidy(notebook):
    assert tidy(copy.deepcopy(notebook)) == notebook


def test_tidying_keeps_tags_and_what_is_folded():
    folded = {"source_hidden": True, "outputs_hidden": True}
    metadata = {"tags": ["check"], "jupyter": folded, "execution": {"iopub.execute_input": "2026"}, "scrolled": True}
    code = nbformat.v4.new_code_cell("1", id="a", metadata=metadata)
    open_again = nbformat.v4.new_code_cell("2", id="b", metadata={"jupyter": {"source_hidden": False}, "tags": []})
    cells = tidy(nbformat.v4.new_notebook(cells=[code, open_again], metadata={"widgets": {}})).cells
    assert [cell.metadata for cell in cells] == [{"tags": ["check"], "jupyter": folded}, {}]
    assert [cell.id for cell in cells] == ["cell-00", "cell-01"]


def test_tidying_says_what_stands_where_a_widget_was():
    widget = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/plain": "VBox(children=...)"}
    code = nbformat.v4.new_code_cell("panel", outputs=[nbformat.v4.new_output("display_data", widget)])
    (output,) = tidy(nbformat.v4.new_notebook(cells=[code])).cells[0].outputs
    assert output.data == {"text/plain": "(controls, which answer when this cell is run in JupyterLab)"}


def test_nothing_of_the_machine_is_in_it(path):
    assert not re.search(r"(?<![\w.:/])/(?:home|root|tmp|work|Users)/", path.read_text())
