"""Tables of architectures: the depth table of the source text, and costs beside published numbers. No TensorFlow, but for
networks that are not lists of Blocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import pandas as pd

from .accounting import Cost, cost, trace
from .architectures import ARCHITECTURES, Architecture, get_architecture
from .blocks import Block
from .checks import OWN
from .layers import Layer
from .other_nets import OTHER_NETS
from .units import printed_layers, unit_kind

Described = str | Architecture | Sequence[Block]
Size = int | tuple[int, int] | str

_TABLE_1 = [f"resnet_v1_{n}" for n in (18, 34, 50, 101, 152)]  # of He et al. 2015


def depth_table(
    architectures: Described | Sequence[Described] | None = None,
    image_size: Size = OWN,
    num_classes: int | str | None = OWN,
    **changes: Any,
) -> pd.DataFrame:
    """Table 1 of He et al. 2015 for any networks, computed: one column a network, one row a stage, as pandas.DataFrame.

    architectures: names, Architectures or lists of Blocks; None takes the five of that table, 18 to 152 layers, in the
    paper's stride layout. The index is the stage and the size at which it works. The last rows hold the layers with
    weights and the MACs (the paper's "FLOPs") of an image; of a network that is not a list of Blocks ("vgg_16") there are
    the MACs alone, which its graph gives. Other arguments as in `accounting.trace`. A layout and a shortcut are for the
    networks that are lists of Blocks; where there is none, they are refused. Raises ValueError or TypeError naming the
    argument at fault.
    """
    if architectures is None:
        architectures = _TABLE_1
        changes["layout"] = changes.get("layout") or "paper"
    names = []
    columns = []  # of each network: (place in the table, stage, size) -> cell
    for name, net, counted in _described(_listed(architectures), image_size, num_classes, changes):
        names.append(name)
        totals = {
            (998, "layers", ""): str(net.layers) if net else "",
            (999, "MACs", ""): f"{counted.macs / 1e9:.3f} x 10^9",
        }
        columns.append({**(_stages(net) if net else {}), **totals})
    rows = sorted({row: None for column in columns for row in column}, key=lambda row: row[0])
    index = pd.MultiIndex.from_tuples([row[1:] for row in rows], names=["stage", "size"])
    return pd.DataFrame([[column.get(row, "") for column in columns] for row in rows], index, names)


def _listed(architectures: Described | Sequence[Described]) -> list[Described]:
    """A list of networks; a network alone, be it a list of Blocks, becomes one of one."""
    if isinstance(architectures, str | Architecture):
        return [architectures]
    if not isinstance(architectures, Iterable):
        raise TypeError(
            f"architectures must be a name, an Architecture, a list of Blocks, or a list of these, got "
            f"{architectures!r}"
        )
    networks = list(architectures)
    one_of_blocks = networks and all(isinstance(item, Block) for item in networks)
    return [networks] if one_of_blocks else networks


def _described(
    networks: list[Described], image_size: Size, num_classes: int | str | None, changes: dict[str, Any]
) -> Iterator[tuple[str, Architecture | None, Cost]]:
    """The name, Architecture and Cost of each network. One that is not a list of Blocks has no Architecture; layouts and
    shortcuts are for the networks beside it that are. `cost` refuses all else that only Blocks have."""
    others = [isinstance(network, str) and network in OTHER_NETS for network in networks]
    dropped = () if all(others) else ("layout", "shortcut")
    for_others = {name: value for name, value in changes.items() if name not in dropped}
    for network, other in zip(networks, others, strict=True):
        if other:
            yield network, None, cost(network, image_size, num_classes, **for_others)
        else:
            net = get_architecture(network, image_size, num_classes, **changes)
            yield net.name, net, cost(net)


def _stages(net: Architecture) -> dict[tuple[int, str, str], str]:
    """The rows of a network's column from the first convolution to the classifier."""
    layers = trace(net)
    column = {}
    for layer in layers:
        if layer.name == "conv1":
            kernel = f"{layer.kernel}x{layer.kernel}, {layer.channels_out}"
            column[0, "conv1", _size(layer)] = _strided(kernel, layer.stride)
        elif layer.name == "pool1":
            column[1, "pool1", _size(layer)] = _strided("3x3 max pool", layer.stride)
    for i, block in enumerate(net.blocks, 2):
        column[i, f"conv{i}_x", _working_size(layers, block)] = _cell(block)
    pool = ["average pool"] if net.global_pool else []
    classifier = [f"{net.num_classes}-d fc", "softmax"] if net.num_classes else []
    column[997, "classifier", _size(layers[-1])] = ", ".join(pool + classifier)
    return column


def _cell(block: Block) -> str:
    """Units of a block as the table prints them: the convolutions of one, then how many; other widths make another."""
    runs = groupby("\n".join(printed_layers(unit)) for unit in block.args)
    return "\n".join(f"{convolutions}\nx {len(list(run))}" for convolutions, run in runs)


def _working_size(layers: Sequence[Layer], block: Block) -> str:
    """The size at which a block does its work: what its first 3x3 writes. A block's *output* may be smaller, when its last
    unit strides."""
    first_unit = f"{block.scope}/unit_1/{unit_kind(block.unit_fn).name}/conv"
    return _size(next(layer for layer in layers if layer.name.startswith(first_unit) and layer.kernel == 3))


def _size(layer: Layer) -> str:
    return "{}x{}".format(*layer.size_out)


def _strided(what: str, stride: int) -> str:
    return f"{what}, stride {stride}" if stride > 1 else what


def cost_table(
    architectures: Described | Sequence[Described] | None = None,
    image_size: Size = OWN,
    num_classes: int | str | None = OWN,
    **changes: Any,
) -> pd.DataFrame:
    """What networks cost, one row each: layers, stride layout, shortcut, trainable parameters, MACs and activations of an
    image, weights in MB.

    architectures: names, Architectures or lists of Blocks; None takes every named one that is a list of Blocks. Names of
    `other_nets.OTHER_NETS` ("vgg_16", "inception_v3", ...) are counted from their graphs, which loads TensorFlow; they have
    no Blocks, and so no layers, layout or shortcut here. Other arguments, and errors, as in `depth_table`. pandas.DataFrame
    indexed by name. weights_mb: 4 bytes a parameter, 10^6 bytes a megabyte.
    """
    rows = []
    networks = _listed(ARCHITECTURES if architectures is None else architectures)
    for name, net, counted in _described(networks, image_size, num_classes, changes):
        known = [net.layers, net.layout or "", net.shortcut] if net else [None, "", ""]
        rows.append([name, *known, *counted, 4 * counted.params / 1e6])
    columns = ["network", "layers", "layout", "shortcut", *Cost._fields, "weights_mb"]
    return pd.DataFrame(rows, columns=columns).set_index("network").astype({"layers": "Int64"})
