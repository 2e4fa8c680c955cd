"""A Sphinx extension: chapters link to the API pages of what they name, API pages to the chapters that use it.

Both are read off the notebooks: a chapter uses what its code cells import from resnet_lib, and the attributes of that.
"""

import ast
import inspect
import json
import re
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from docutils import nodes
from sphinx import addnodes

import resnet_lib

MODULES = [f"resnet_lib.{module.name}" for module in iter_modules(resnet_lib.__path__) if module.name != "__main__"]
TOP = resnet_lib.__all__  # what `from resnet_lib import` takes beside modules


@cache
def public():
    """{full name: object} of every module of resnet_lib, of the functions and classes it defines, and of its tables."""
    names = {}
    for module in map(import_module, MODULES):
        names[module.__name__] = module
        listed = getattr(module, "__all__", None) or [name for name in vars(module) if not name.startswith("_")]
        for name in listed:
            thing = getattr(module, name)
            if getattr(thing, "__module__", None) == module.__name__ and (
                inspect.isroutine(thing) or inspect.isclass(thing)
            ):
                names[f"{module.__name__}.{name}"] = thing
    return names


def full_name(thing):
    """The full name under which the API pages describe this object, or None."""
    return next((name for name, known in public().items() if known is thing), None)


def cells(path):
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] == "code":
            yield ast.parse(re.sub(r"^\s*[%!].*$", "", "".join(cell["source"]), flags=re.M))


def attribute(module, name):
    """module.name, a submodule too, or None."""
    try:
        return getattr(module, name, None) or import_module(f"{module.__name__}.{name}")
    except ImportError:
        return None


@cache
def used(path):
    """Full names of what a notebook uses: what it imports from resnet_lib, and attributes of imported modules."""
    scope, found = {}, []
    for tree in cells(path):
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "resnet_lib":
                for alias in node.names:
                    thing = attribute(import_module(node.module), alias.name)
                    scope[alias.asname or alias.name] = thing
                    found.append(thing)
    for tree in cells(path):
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                if inspect.ismodule(module := scope.get(node.value.id)):
                    found.append(getattr(module, node.attr, None))
    return {name for name in map(full_name, found) if name}


def anchor(heading):
    """The anchor of a heading as JupyterLab makes it, so that one link serves there and here."""
    return heading.replace(" ", "-")


def chapters(app):
    return sorted((Path(app.srcdir) / "notebooks").glob("*.ipynb"))


def used_in(app, name):
    """Links to the chapters that use this name, or anything in the module of this name, or an empty text."""
    users = [p for p in chapters(app) if any(full == name or full.startswith(f"{name}.") for full in used(p))]
    return ", ".join(chapter_link(app, "", path.stem[:2]) for path in users)


def chapter_link(app, words, number):
    (path,) = (path for path in chapters(app) if path.stem.startswith(number))
    return f":doc:`{words}{number} </notebooks/{path.stem}>`"


def write_api(app):
    """One page a module, in the folder that Sphinx reads, and the list of them."""
    folder = Path(app.srcdir) / "api"
    folder.mkdir(exist_ok=True)
    rows = []
    for name in MODULES:
        title = name.removeprefix("resnet_lib.")
        members = ["   :ignore-module-all:", ""] if not hasattr(import_module(name), "__all__") else [""]
        page = [title, "=" * len(title), "", f".. automodule:: {name}", *members]
        (folder / f"{title}.rst").write_text("\n".join(page))
        first = inspect.getdoc(import_module(name)).split("\n\n")[0].replace("\n", " ")
        rows += [f":py:mod:`{name}`", f"   {safe(first)}", ""]
    toctree = ["", ".. toctree::", "   :hidden:", "", *(f"   {name.removeprefix('resnet_lib.')}" for name in MODULES)]
    title = "The library, module by module"
    (folder / "index.rst").write_text("\n".join([title, "=" * len(title), "", *rows, *toctree, ""]))


def safe(line):
    """A line of a docstring in reStructuredText: names in backticks are links, bars and underscores elsewhere stay."""
    parts = line.split("`")
    for i, part in enumerate(parts):
        name = named(part) if i % 2 else None
        parts[i] = f"{part} <{name}>" if name else part if i % 2 else re.sub(r"(\||_(?!\w))", r"\\\1", part)
    return "`".join(parts)


def docstring(app, what, name, obj, options, lines):
    """In a docstring an indented paragraph is code, and a list needs no empty line before it, as in Markdown; at the end
    stand the chapters that use it."""
    text = []
    whole = re.sub(r"^(?!- )(\S.*)\n(?=- )", r"\1\n\n", "\n".join(lines).strip("\n"), flags=re.M)
    for paragraph in re.split(r"\n\s*\n", whole):
        code = all(line.startswith("    ") for line in paragraph.splitlines())
        text += ([".. code-block:: text", ""] if code and paragraph else []) + (
            paragraph.splitlines() if code else [safe(line) for line in paragraph.splitlines()]
        )
        text.append("")
    text = [
        re.sub(r"\b([Nn]otebook )(\d\d)\b", lambda found: chapter_link(app, *found.groups()), line) for line in text
    ]
    if links := used_in(app, name):
        text += [f"Used in chapters {links}." if "," in links else f"Used in chapter {links}.", ""]
    lines[:] = text


def only_draws(tree, later):
    """Whether a cell ends in figures.show, checks and prints nothing, and defines nothing that a later cell needs."""
    last = tree.body[-1] if tree.body else None
    if not (isinstance(last, ast.Expr) and ast.unparse(last).startswith("figures.show(")):
        return False
    if any(isinstance(node, (ast.Assert, ast.FunctionDef, ast.Import, ast.ImportFrom)) for node in ast.walk(tree)):
        return False
    stored, _ = names(tree)
    for cell in later:
        again, loaded = names(cell)
        if stored & (loaded - again):
            return False
        stored -= again
    return True


def names(tree):
    """(names that a cell stores, names that it loads)."""
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    return tuple({n.id for n in found if isinstance(n.ctx, context)} for context in (ast.Store, ast.Load))


def fold_tag(metadata, draws):
    """The tag that folds a cell of this metadata as JupyterLab does, or None. draws: its code is folded in any case."""
    jupyter = metadata.get("jupyter", {})
    source = draws or jupyter.get("source_hidden")
    outputs = jupyter.get("outputs_hidden")
    if source and outputs:
        return "hide-cell"
    if outputs:
        return "hide-output"
    return "hide-input" if source else None


def fold(app, docname, source):
    """Folds what JupyterLab folds, and the code of the cells that only draw."""
    if not docname.startswith("notebooks/"):
        return
    notebook = json.loads(source[0])
    trees = list(cells(Path(app.srcdir) / f"{docname}.ipynb"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for i, (cell, tree) in enumerate(zip(code, trees, strict=True)):
        tag = fold_tag(cell["metadata"], only_draws(tree, trees[i + 1 :]))
        tags = cell["metadata"].setdefault("tags", [])
        if tag and tag not in tags:
            tags.append(tag)
    source[0] = json.dumps(notebook)


def named(code, path=None):
    """The full name that inline code stands for, or None: of what this notebook uses, or of the whole API."""
    code = re.sub(r"\(.*\)$", "", code)
    tops = {full_name(getattr(resnet_lib, name)) for name in TOP}
    for known in (used(path) if path else (), tops, public()):
        found = [name for name in known if name and (name == code or name.endswith(f".{code}"))]
        if len(found) == 1 and (known is not public() or "." in code or "_" in code):
            return found[0]
    return None


def api_link(docname, name, content):
    """What Sphinx turns into a link to the API entry of this full name."""
    role = "mod" if name in MODULES else "obj"
    link = addnodes.pending_xref(
        "", content, refdomain="py", reftype=role, reftarget=name, refexplicit=True, refwarn=True
    )
    link["refdoc"] = docname
    return link


def link_names(app, doctree):
    """Links the first mention of a public name in each section of a chapter, and lists at its end what it uses."""
    docname = app.env.docname
    if not docname.startswith("notebooks/"):
        return
    path, seen = Path(app.srcdir) / f"{docname}.ipynb", set()
    for literal in list(doctree.findall(nodes.literal)):
        section = literal.parent
        while not isinstance(section, (nodes.section, nodes.document)):
            section = section.parent
        name = named(literal.astext(), path)
        if name is None or isinstance(literal.parent, (nodes.reference, nodes.title)) or (section, name) in seen:
            continue
        seen.add((section, name))
        literal.replace_self(api_link(docname, name, literal.deepcopy()))
    uses = nodes.paragraph("", "What this chapter uses of the library: ", classes=["uses"])
    listed = used(path)
    for name in sorted(n for n in listed if not any(other.startswith(f"{n}.") for other in listed)):
        short = name.removeprefix("resnet_lib.")
        uses += [api_link(docname, name, nodes.literal("", short)), nodes.Text(", ")]
    uses[-1] = nodes.Text(".")
    next(doctree.findall(nodes.section)).append(uses)


def setup(app):
    app.connect("builder-inited", write_api)
    app.connect("source-read", fold)
    app.connect("doctree-read", link_names)
    app.connect("autodoc-process-docstring", docstring)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
