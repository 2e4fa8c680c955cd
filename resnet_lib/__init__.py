"""Residual networks to read, count, build and time.

A network is a list of Blocks, and everything reads that list: the closed-form counts
(`cost`, `trace`, `depth_table`), the TensorFlow graph (`build`) and the timings (`timing`).

The descriptions and counts need no TensorFlow, so `import resnet_lib` is quick; TensorFlow
loads when a network is first built.
"""

from pkgutil import iter_modules

from .accounting import Cost, Layer, cost, trace
from .architectures import ARCHITECTURES, Architecture, BasicUnit, Block, Root, Unit, cifar_architecture

__all__ = ["ARCHITECTURES", "Architecture", "BasicUnit", "Block", "Cost", "Layer", "Network", "Root", "Unit",
           "build", "cifar_architecture", "cost", "cost_table", "depth_table", "explore", "trace"]  # fmt: skip

_LAZY = {
    "depth_table": "tables",
    "cost_table": "tables",
    "build": "network",
    "Network": "network",
    "explore": "exploration",
}
_MODULES = {module.name for module in iter_modules(__path__)}


def __getattr__(name):
    """Loads what needs pandas, matplotlib or TensorFlow only when it is first asked for (PEP 562)."""
    from importlib import import_module

    if name in _LAZY:
        return getattr(import_module(f".{_LAZY[name]}", __name__), name)
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *_LAZY, *_MODULES})
