"""A Sphinx extension: panels of the library in the pages, which `_static/live.js` makes live in the reader's browser.

    ```{live} explorer_page:text_panel
    :share:
    ```

puts there the page that the panel begins with, and, for the script, what its controls are. share: the address of the page
then holds what the controls say. Without the script, or without Python for browsers, the page stays as it is. A cell of a
chapter whose output are the controls of a panel in JupyterLab gets the same; its page stands in the cell above.
"""

import ast
import html
import json
from importlib import import_module
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive, directives

# What chapters call, and where it is. `panels.jupyter` shows what the others make, but for `explorer`, which does both.
PANELS = {
    "depth_panel": "depth_panel:depth_panel",
    "unit_panel": "unit_panel:unit_panel",
    "depth_table_panel": "depth_table_panel:depth_table_panel",
    "count_panel": "count_panel:count_panel",
    "padding_panel": "padding_panel:padding_panel",
    "roofline_panel": "roofline_panel:roofline_panel",
    "splits_panel": "splits_panel:splits_panel",
    "explorer": "exploration:explorer_panel",
}


def markup(name, start, share=False, page=True):
    """The HTML of a panel. name: "module:function" of resnet_lib; start: the function's arguments, which JSON can hold; page:
    whether the page that it begins with stands there."""
    module, function = name.split(":")
    panel = getattr(import_module(f"resnet_lib.{module}"), function)(**start)
    data = {"panel": name, "start": json.dumps(start), "controls": json.dumps(panel.described())}
    if share:
        data["share"] = ""
    attributes = "".join(f' data-{key}="{html.escape(text)}"' for key, text in data.items())
    first = panel.show(**panel.start()) if page else ""
    return f'<div class="live"{attributes}><div class="live-page" tabindex="0">{first}</div></div>'


class Live(Directive):
    required_arguments = 1
    option_spec = {"share": directives.flag}

    def run(self):
        return [nodes.raw("", markup(self.arguments[0], {}, "share" in self.options), format="html")]


def panel_of(source):
    """(name as in `markup`, arguments) of the panel that a cell shows with its last line, or None."""
    try:
        cell = ast.parse(source).body
    except SyntaxError:  # a command of IPython
        return None
    last = cell[-1].value if cell and isinstance(cell[-1], ast.Expr) else None
    if isinstance(last, ast.Name):
        named = (line for line in cell if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == last.id)
        last = next((line.value for line in named), None)
    if isinstance(last, ast.Call) and ast.unparse(last.func) == "panels.jupyter":
        last = last.args[0]
    if isinstance(last, ast.Call) and ast.unparse(last.func) in PANELS:
        return PANELS[ast.unparse(last.func)], {part.arg: ast.literal_eval(part.value) for part in last.keywords}
    return None


def enliven(app, doctree):
    """Puts a live panel into a chapter where JupyterLab would have its controls."""
    for cell in doctree.findall(
        lambda node: isinstance(node, nodes.container) and node.get("nb_element") == "cell_code"
    ):
        parts = {part.get("nb_element"): part for part in cell.children}
        source, output = parts.get("cell_code_source"), parts.get("cell_code_output")
        if source and output and (found := panel_of(source.astext())):
            output.children = [nodes.raw("", markup(*found, page=False), format="html")]


def script(app, config):
    """Loads the script, and tells it whether Python for browsers is there (`browser_python.py`)."""
    there = (Path(app.srcdir) / "_static" / "live" / "pyodide.mjs").exists()
    app.add_js_file("live.js", defer="defer", **{"data-python": "there" if there else "missing"})


def setup(app):
    app.add_directive("live", Live)
    app.connect("config-inited", script)
    app.connect("doctree-read", enliven)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
