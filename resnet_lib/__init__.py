"""Residual networks to read, count, build and time.

A network is a list of Blocks, and everything reads that list: the closed-form counts
(`cost`, `trace`, `depth_table`), the TensorFlow graph (`build`) and the timings (`timing`).

Here stand what most begin with, and every module as an attribute:

    list_networks, Block, Architecture    the networks that have a name, and what one of yours is made of
    cost, trace                           parameters, MACs and activations, of the whole and layer by layer
    depth_table, cost_table, explore      the paper's table; costs as a table; a list of Blocks, shown
    build, Network                        a network that is called on images

The descriptions and counts need no TensorFlow, so `import resnet_lib` is quick and changes nothing; TensorFlow loads when
a network is first built. A map of the house, from the ground up; a module imports only from the floors below it:

    checks, records, tf_slim_compat       arguments; rows that survive a kill; tf-slim on today's TensorFlow
    layers, panels                        what a layer is and costs; what a reader moves, on any screen
    units, convolutions, flat_graph,      the table of kinds of units; padding; a graph without functions;
    images, preprocessing, photos,        what a network is called on; pictures from files; how to train one; files
    recipe, weight_files, data_files,     of weights, and of data/; signals and gradients of fresh networks, from
    mean_field, lessons                   formulas; predictions that students lock
    blocks, shortcuts, graph_cost         lists of units; what any TensorFlow graph costs
    other_nets, known_weights,            networks that are not lists of units; files of released weights;
    block_text                            Blocks as one types them
    architectures, weight_names           whole networks, and all that are named; what files call their variables
    accounting, resnet_utils,             the closed form; what every residual network needs; an Architecture as
    descriptions                          numbers and texts
    unit_drawing, traffic,                a unit as lines and boxes, to scale; what a forward pass reads and writes;
    checkpoints                           a training run on disk
    resnet_v1, resnet_v2, highway,        units and networks, written with tf-slim, and pictures of them;
    figures, inception_modules, weights,  the weights people have;
    roofline                              what a forward pass must take on a device
    tables, orderings,                    tables; the other kinds of units;
    inception, slim_function,             a description as a tf-slim network; a graph without variables
    frozen_graph, identification,         whose weights a file holds;
    depth_panel, count_conventions,       how deep a fresh network may be, on sliders; what a printed count counts;
    training_cost, unit_panel, widths,    what a step of training takes; a unit, on sliders; equal MACs by width;
    padding_panel, network_picture,       where a strided convolution looks, on sliders; a network to scale;
    roofline_panel                        the bound on a device, on sliders
    exploration, count_panel              your own design; what a printed number counts
    depth_table_panel, explorer_page,     the paper's table, to be edited; a text of Blocks, explored;
    splits_panel, onnx_files              a network among all of its MACs, on sliders; ONNX files
    engines                               what runs a frozen graph, and exports
    frozen, built_network, network        a network for inference only; Network; build
    keras_layer, data                     a Network that Keras trains; what stands in data/
    timing, training_graph, training      measure
    sweep, predictions                    grids of runs; what a network sees in a photograph
    classify, __main__                    the command line
"""

from __future__ import annotations

from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

from .accounting import Cost, Layer, cost, trace
from .architectures import ARCHITECTURES, Architecture, Block, Root, cifar_architecture, list_networks
from .units import UNIT_KINDS, BasicUnit, GroupedUnit, SqueezeUnit, Unit, UnitKind

if TYPE_CHECKING:
    from .exploration import explore as explore
    from .network import Network as Network
    from .network import build as build
    from .tables import cost_table as cost_table
    from .tables import depth_table as depth_table

__version__ = "0.2.0"

# What `help` lists, so the names of _LAZY too: `from resnet_lib import *` loads TensorFlow, unlike `import resnet_lib`.
__all__ = [
    "ARCHITECTURES",
    "UNIT_KINDS",
    "Architecture",
    "BasicUnit",
    "Block",
    "Cost",
    "GroupedUnit",
    "Layer",
    "Network",
    "Root",
    "SqueezeUnit",
    "Unit",
    "UnitKind",
    "build",
    "cifar_architecture",
    "cost",
    "cost_table",
    "depth_table",
    "explore",
    "list_networks",
    "trace",
]

_LAZY = {
    "depth_table": "tables",
    "cost_table": "tables",
    "build": "network",
    "Network": "network",
    "explore": "exploration",
}
_MODULES = {module.name for module in iter_modules(__path__)}


def __getattr__(name: str) -> Any:
    """Loads what needs pandas, matplotlib or TensorFlow only when it is first asked for (PEP 562)."""
    from importlib import import_module

    if name in _LAZY:
        return getattr(import_module(f".{_LAZY[name]}", __name__), name)
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, *_MODULES})
