"""The library is built in floors: a module imports only from lower ones, and the lower ones load no TensorFlow."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from browser_python import MODULES

import resnet_lib

FLOORS = [
    {"checks", "layers", "panels", "records", "tf_slim_compat"},
    {
        "convolutions",
        "data_files",
        "flat_graph",
        "images",
        "lessons",
        "mean_field",
        "photos",
        "preprocessing",
        "recipe",
        "units",
        "weight_files",
    },
    {"blocks", "graph_cost", "shortcuts"},
    {"block_text", "known_weights", "other_nets"},
    {"architectures", "weight_names"},
    {"accounting", "descriptions", "resnet_utils"},
    {"checkpoints", "traffic", "unit_drawing"},
    {"figures", "highway", "inception_modules", "resnet_v1", "resnet_v2", "roofline", "weights"},
    {
        "count_conventions",
        "depth_panel",
        "frozen_graph",
        "identification",
        "inception",
        "network_picture",
        "orderings",
        "padding_panel",
        "roofline_panel",
        "slim_function",
        "tables",
        "training_cost",
        "unit_panel",
        "widths",
    },
    {"count_panel", "exploration"},
    {"depth_table_panel", "explorer_page", "onnx_files", "splits_panel"},
    {"engines"},
    {"frozen"},
    {"built_network"},
    {"network"},
    {"data", "keras_layer", "timing", "training_graph"},
    {"training"},
    {"predictions", "sweep"},
    {"classify"},
    {"__main__"},
]
FLOOR = {module: number for number, modules in enumerate(FLOORS) for module in modules}
PURE = [
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
]  # the standard library only
WITHOUT_TENSORFLOW = [
    *PURE,
    "__main__",
    "checkpoints",
    "classify",
    "data",
    "data_files",
    "engines",
    "figures",
    "known_weights",
    "lessons",
    "onnx_files",
    "photos",
    "predictions",
    "records",
    "tables",
]
SOURCE = {path.stem: path.read_text() for path in Path(resnet_lib.__file__).parent.glob("*.py")}
ALL = sorted(SOURCE.keys() - {"__init__"})


def imported(module, when_loaded=False):
    """The modules of the library and the packages that a module imports, anywhere or outside of its functions."""

    def statements(node):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                continue  # for those who read the types; nothing of it is run
            if not (when_loaded and isinstance(child, ast.FunctionDef)):
                yield child
                yield from statements(child)

    for node in statements(ast.parse(SOURCE[module])):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.level == 0 or node.module):
            yield node.module.split(".")[0]
        elif isinstance(
            node, ast.ImportFrom
        ):  # from . import resnet_v1, but a name of `__init__` is none of its modules
            yield from (alias.name if alias.name in SOURCE else "__init__" for alias in node.names)


def loaded(module, seen=()):
    """All that comes with a module: what it imports when it is loaded, and what that imports."""
    found = {*imported(module, when_loaded=True)} - {*seen, module}
    return found.union(*(loaded(name, {*seen, *found, module}) for name in found & SOURCE.keys()))


@pytest.mark.parametrize("module", ALL)
def test_a_module_imports_only_from_lower_floors_also_within_its_functions(module):
    upward = [name for name in imported(module) if name in FLOOR and FLOOR[name] >= FLOOR[module]]
    assert upward == []


def test_every_module_has_its_floor():
    assert sorted(FLOOR) == ALL and sum(map(len, FLOORS)) == len(FLOOR)


@pytest.mark.parametrize("module", ["__init__", *WITHOUT_TENSORFLOW])
def test_no_import_leads_to_tensorflow_where_it_is_not_needed(module):
    assert not loaded(module) & {"tf_slim_compat", "tensorflow", "tf_keras", "tf_slim", "keras"}


def test_counts_tables_and_explorations_appear_without_tensorflow():
    """The same, of everything that really comes along; `import resnet_lib` and a cost do without pandas as well."""
    program = (
        "import importlib, sys, resnet_lib\n"
        "resnet_lib.cost('resnet_v2_50')\n"
        "print('pandas' in sys.modules)\n"
        f"for name in {WITHOUT_TENSORFLOW}: importlib.import_module('resnet_lib.' + name)\n"
        "resnet_lib.depth_table(), resnet_lib.cost_table(['resnet_v2_50']), resnet_lib.explore()._repr_html_()\n"
        "print({'tensorflow', 'tf_slim', 'keras', 'matplotlib'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.stdout.split() == ["False", "set()"], run.stderr


def test_browsers_get_the_pure_modules():
    assert sorted(MODULES) == sorted(["__init__", "figures", *PURE])


def test_every_module_is_an_attribute_and_listed():
    assert {*ALL, "build", "explore"} - {"__main__"} <= {*dir(resnet_lib)}
    assert all(getattr(resnet_lib, name).__name__ == f"resnet_lib.{name}" for name in WITHOUT_TENSORFLOW)
    with pytest.raises(AttributeError, match="module 'resnet_lib' has no attribute 'architecture'"):
        _ = resnet_lib.architecture


def test_a_star_brings_what_the_package_shows_with_and_without_tensorflow():
    names = {}
    exec("from resnet_lib import *", names)
    assert {*resnet_lib._LAZY} <= {*resnet_lib.__all__} <= names.keys()
    assert names["build"] is resnet_lib.network.build
