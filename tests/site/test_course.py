"""What a lecturer hands out: student versions without answers, whose predictions lock, and slides of the figures."""

import html
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from course import PREDICT, slides, student
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from resnet_lib import cifar_architecture, cost
from resnet_lib.lessons import lock

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CHAPTERS = NOTEBOOKS[:-1]  # not the appendix


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("course")
    subprocess.run([sys.executable, ROOT / "tools" / "course.py", folder, *NOTEBOOKS], check=True)
    return folder


def sources(cells, kind):
    return [cell.source for cell in cells if cell.cell_type == kind]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_student_version_has_neither_answers_nor_outputs(made, path):
    whole, found = (nbformat.read(p, as_version=4) for p in (path, made / "student/notebooks" / path.name))
    nbformat.validate(found)
    prose = "\n".join(sources(found.cells, "markdown"))
    assert "## Worked answers" not in prose and not re.search(r"<summary>\d", prose)
    assert not any("answer" in cell.metadata.get("tags", ()) for cell in found.cells)
    assert not any(cell.outputs or cell.execution_count for cell in found.cells if cell.cell_type == "code")
    assert not any("claim" in cell.metadata for cell in found.cells)
    asked = "\n".join(sources(whole.cells, "markdown")).partition("## Exercises")[2].partition("## Worked answers")[0]
    exercises = re.findall(r"^(\d+)\. ", asked, re.M)
    assert re.findall(r"^\*\*Exercise (\d+)\.\*\*", prose, re.M) == exercises
    assert (not exercises) == ("appendix" in path.stem)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_every_chapter_asks_for_a_prediction_that_its_next_cell_waits_for(made, path):
    cells = nbformat.read(made / "student/notebooks" / path.name, as_version=4).cells
    asking = [i for i, cell in enumerate(cells) if cell.cell_type == "markdown" and PREDICT in cell.source]
    assert asking and not any(
        PREDICT in fold for cell in cells for fold in re.findall("<details>.*?</details>", cell.source, re.S)
    )
    for number, i in enumerate(asking, 1):
        name = f"{path.name[:2]}.{number}"
        assert f'lock("{name}", "")' in cells[i + 1].source
        assert cells[i + 2].source.startswith(f'locked("{name}")')


def small():
    return new_notebook(
        cells=[
            new_markdown_cell(f"# 77 Small\n\n**What is 6 x 7?** Let us see.\n\n{PREDICT} which number?"),
            new_code_cell("x = 6 * 7", outputs=[new_output("stream", text="42")], execution_count=1),
            new_code_cell("seen.append(x)", outputs=[], execution_count=2),
            new_markdown_cell("It is 42."),
            new_code_cell("seen.append('still')"),
            new_markdown_cell("Even so.\n\n## More\n\nFree to read."),
            new_code_cell("seen.append('more')"),
            new_code_cell("seen.append(x + 1)"),
            new_code_cell("y = x"),
            new_markdown_cell(f"## Again\n\n{PREDICT} and 42 + 1?"),
            new_code_cell("seen.append(y + 1)"),
            new_markdown_cell("43.\n\n## End"),
            new_code_cell("x = 0\nseen.append(x)"),
            new_code_cell("seen.append(x)"),
            new_markdown_cell("## Summary\n\n- It was 42.\n\n## Exercises\n\n1. *By hand.* Why?\n2. *Code.* How?"),
            new_markdown_cell("## Worked answers\n\n<details><summary>1</summary>\n\nBecause.\n\n</details>"),
            new_code_cell("secret", metadata={"tags": ["answer"]}),
            new_markdown_cell("<details><summary>2</summary>\n\nSo.\n\n</details>"),
            new_markdown_cell("Next: [nothing](78.ipynb)."),
        ]
    )


def test_cells_stop_until_the_prediction_is_locked(tmp_path, monkeypatch):
    """Those up to the next heading, and a later one that needs what they define, for each of the predictions that it needs."""
    monkeypatch.chdir(tmp_path)
    found = student(small(), "77")
    _, lock, first, second, told, third, also_told, more, needs, defines, _, again, both, _, new, free, *_ = found.cells
    seen = []
    names = {"seen": seen}
    with pytest.raises(ValueError, match="type yours between the quotes"):
        exec(lock.source, names)

    def stop(*cells):
        for cell in cells:
            with pytest.raises(ValueError, match="no prediction yet"):
                exec(cell.source, names)

    def go_on(*cells):
        for cell in cells:
            exec(cell.source, names)

    stop(first, second, third, needs, defines, both)
    go_on(more, new, free)
    exec(again.source.replace('""', '"43"'), names)
    stop(both)
    exec(lock.source.replace('""', '"40 or so"'), names)
    go_on(first, second, third, needs, defines, both)
    assert seen == ["more", 0, 0, 42, "still", 43, 43]
    fold = "<details><summary>What came out, and how it goes on</summary>\n\n{}\n\n</details>"
    assert told.source == fold.format("It is 42.")
    assert also_told.source == fold.format("Even so.") + "\n\n## More\n\nFree to read."


def test_what_is_handed_out_works_by_itself(made):
    """The library, the programs and the data are those of the folder, and it holds nothing that tells what comes out."""
    folder = made / "student"
    program = (
        "import resnet_lib, experiments.jobs as jobs; from resnet_lib import data; print(resnet_lib.__file__)\n"
        "print(jobs.__file__); print(data.path('atlas.csv'), len(data.digits().train_images))"
    )
    options = {"cwd": folder, "capture_output": True, "text": True, "check": True}
    printed = subprocess.run([sys.executable, "-c", program], **options).stdout.split()
    assert all(Path(path).is_relative_to(folder) for path in printed[:3]) and printed[3] == "1500"
    lab = subprocess.run(["make", "--dry-run", "lab"], **options).stdout
    assert "--notebook-dir=notebooks notebooks/00_start_here.ipynb" in lab
    assert "predictions.json" in (folder / "README.md").read_text() and not (folder / "book").exists()


def test_somebodys_predictions_are_not_overwritten(tmp_path):
    command = [sys.executable, ROOT / "tools" / "course.py", tmp_path, NOTEBOOKS[0]]
    subprocess.run(command, check=True)
    locked = tmp_path / "student/notebooks/predictions.json"
    locked.write_text("{}")
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode and "holds predictions" in again.stderr and locked.read_text() == "{}"


def test_what_teachers_are_told_shows_a_class_what_it_thought(tmp_path, monkeypatch):
    """The lines of book/teaching.md on two students' files."""
    monkeypatch.chdir(tmp_path)
    for name, guess in (("ada/notebooks", "42"), ("bob", "about 6")):
        folder = tmp_path / "handed_in" / name
        folder.mkdir(parents=True)
        lock("77.1", guess, folder / "predictions.json")
    program, _ = re.findall(r"```python\n(.*?)```", (ROOT / "book/teaching.md").read_text(), re.DOTALL)
    names = {}
    exec(program, names)
    assert names["thought"].loc["77.1"].to_dict() == {"ada": "42", "bob": "about 6"}


def test_what_teachers_are_told_trains_a_network_of_ones_own():
    """The lines of book/teaching.md, with one epoch and a small network."""
    _, program = re.findall(r"```python\n(.*?)```", (ROOT / "book/teaching.md").read_text(), re.DOTALL)
    names = {"my_network": cifar_architecture(8)}
    exec(program.replace("epochs=10", "epochs=1").replace(", progress=True", ""), names)
    assert names["run"].epochs[-1].test_error < 0.9 and names["run"].error is None


def test_the_network_of_20_layers_has_the_macs_that_teachers_are_told():
    macs = cost(cifar_architecture(20), 14, channels_in=1).macs
    assert (ROOT / "book/teaching.md").read_text().count(f"{macs / 1e6:.1f} million MACs") == 2


def test_answers_go_and_each_exercise_has_a_place():
    cells = student(small(), "77").cells
    text = "\n".join(cell.source for cell in cells)
    assert "Because" not in text and "secret" not in text and "So." not in text and "It was 42" in text
    assert "**Exercise 1.** Your answer:" in text and "**Exercise 2.**" in text
    assert cells[-1].source == "Next: [nothing](78.ipynb)."
    assert [cell.id for cell in cells] == [f"cell-{i:02d}" for i in range(len(cells))]


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_has_a_slide_for_each_figure_its_question_and_its_summary(made, path):
    notebook = nbformat.read(path, as_version=4)
    page = (made / "slides" / f"{path.stem}.html").read_text(encoding="utf-8")
    figures = [
        "".join(output.get("data", {}).get("text/html", ""))
        for cell in notebook.cells
        if "figure" in cell.metadata.get("tags", ())
        for output in cell.outputs
    ]
    questions = sum(cell.source.count(PREDICT) for cell in notebook.cells)
    assert page.count("<section") == sum("<img" in figure for figure in figures) + questions + 2
    assert page.count("<h2>Predict first</h2>") == questions
    assert all(figure in page for figure in figures if "<img" in figure)
    assert "Summary</h2>" in page and "</details>" not in page
    assert not re.search(r'(src|href)="(https?:)?//[^"]*\.(js|css)', page)
    for link in re.findall(r'href="(\d\d_\w+\.html)', page):
        assert (made / "slides" / link).exists() or link.startswith("12_")
    assert f'href="{path.stem}.html"' in (made / "slides" / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_every_figure_stands_under_a_claim_whose_numbers_are_the_chapters(made, path):
    cells = nbformat.read(path, as_version=4).cells
    page = (made / "slides" / f"{path.stem}.html").read_text(encoding="utf-8")
    for cell, after in zip(cells, cells[1:], strict=False):
        shown = "".join("".join(output.get("data", {}).get("text/html", "")) for output in cell.get("outputs", ()))
        if "figure" not in cell.metadata.get("tags", ()) or "<img" not in shown:
            continue
        claim = cell.metadata["claim"]
        assert len(claim) < 90 and not claim.endswith(".") and f"<h2>{html.escape(claim)}</h2>" in page
        told = (cell.source + shown + after.source).replace(",", "")
        assert [number for number in re.findall(r"\d+", claim.replace(",", "")) if number not in told] == [], claim


def test_without_a_figure_there_are_no_slides(made):
    assert slides(small()) is None
    assert (made / "slides" / "tex-svg.js").stat().st_size > 10**6
