"""Whose weights a file holds: `named`."""

from __future__ import annotations

import os

from .architectures import ARCHITECTURES, Architecture
from .other_nets import OTHER_NETS
from .units import unit_kind
from .weight_files import opened
from .weight_names import CONVENTIONS, NAMES, Place
from .weights import described_in, source_of, with_layer_names


def named(path: str | os.PathLike) -> str | Architecture:
    """The network whose weights a file holds: its name, one of `list_networks()`, or if it has none here and the file, of
    `Network.save`, describes it, its Architecture. Raises ValueError for any other file, and what `weight_files.opened` does.
    """
    with opened(path) as file:
        source = source_of(file)
        roots = {name.partition("/")[0] for name in file.arrays if name.endswith("/weights")}
        known = [name for name in roots if name in ARCHITECTURES or name in OTHER_NETS]
        if source not in ("npz", "tf-slim"):
            known = [name for name, net in ARCHITECTURES.items() if _fits(file, source, net)]
        if len(known) != 1 and (net := described_in(file)):
            return net
        if len(known) != 1:
            what = f"of {sorted(known)}" if known else "of no network that has a name here"
            raise ValueError(f"weights: {path} holds weights {what}: say which network it is")
        return known[0]


def _fits(file, source, architecture):
    """Whether the file has the weights of the last unit of every block, and none after it."""
    if (source, architecture.version) not in CONVENTIONS or len(architecture.units) != 4:
        return False
    file = with_layer_names(file, architecture)
    if (NAMES[source](Place(0, 0, "postnorm", True, "gamma")) in file.arrays) != (architecture.version == 2):
        return False
    for number, block in enumerate(architecture.blocks, 1):
        unit, kind = block.args[-1], unit_kind(block.unit_fn)
        last = len(unit.convolutions())
        if kind.ordering is None or unit.depth_squeeze or architecture.shortcut == "none":
            return False
        for count, there in ((len(block.args), True), (len(block.args) + 1, False)):
            name = NAMES[source](Place(number, count, f"conv{last}", False, "weights"))
            if (name in file.arrays) != there:
                return False
        convolution = unit.convolutions()[last - 2]
        name = NAMES[source](Place(number, len(block.args), f"conv{last - 1}", False, "weights"))
        shape = file.arrays[name].shape
        kernel = (shape[1], shape[0]) if file.kind == "safetensors" else shape[2:]
        inputs = unit.depth if last == 2 else unit.depth_bottleneck
        if tuple(kernel) != (inputs // convolution.groups, convolution.channels):
            return False
    return True
