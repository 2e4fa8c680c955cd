"""python tools/tidy_notebooks.py NOTEBOOK...: drops what a run leaves behind that says nothing to a reader.

Kernel versions, run times and colours would make every run a change; cell ids are made from the cell's place. A cell keeps
its tags, the claim that its figure bears out (`make course` sets it over the slide), and whether JupyterLab shows its source or
its outputs folded.
"""

import sys
from pathlib import Path

import nbformat

KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
FOLDED = ("source_hidden", "outputs_hidden")  # under "jupyter" in a cell's metadata

WIDGET = "(controls, which answer when this cell is run in JupyterLab)"


def kept(metadata):
    """Of a cell's metadata what speaks to a reader: its tags, its claim, and what of it is folded."""
    found = {name: metadata[name] for name in ("tags", "claim") if metadata.get(name)}
    folded = {name: True for name in FOLDED if metadata.get("jupyter", {}).get(name)}
    if folded:
        found["jupyter"] = folded
    return nbformat.from_dict(found)


def tidy(notebook):
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": {"name": "python"}})
    for i, cell in enumerate(notebook.cells):
        cell.id = f"cell-{i:02d}"
        cell.metadata = kept(cell.metadata)
        for output in cell.get("outputs", ()):
            if "metadata" in output:
                output.metadata = nbformat.from_dict({})
            # A widget has no state without its kernel, and a page that names it would show an error in its place.
            if output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None):
                output.data["text/plain"] = WIDGET
    return notebook


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        nbformat.write(tidy(nbformat.read(path, as_version=4)), path)
