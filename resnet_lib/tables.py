"""Tables of architectures: the depth table of the source text, and costs beside published numbers. No TensorFlow."""

from itertools import groupby

import pandas as pd

from .accounting import cost, trace
from .architectures import ARCHITECTURES, get_architecture, unit_kind


def _convolutions(kind, unit):
    return {
        "bottleneck_v2": f"1x1, {unit.depth_bottleneck}\n3x3, {unit.depth_bottleneck}\n1x1, {unit.depth}",
    }[kind]


def _cell(block):
    """Units of a block as the table prints them: the convolutions of one, then how many; other widths make another."""
    runs = groupby(_convolutions(unit_kind(block.unit_fn), unit) for unit in block.args)
    return "\n".join(f"{convolutions}\nx {len(list(run))}" for convolutions, run in runs)


def _working_size(layers, block):
    """(height, width) at which a block does its work: what its first 3x3 writes. A block's *output* may be smaller, when
    its last unit strides."""
    first = next(la for la in layers if la.name.startswith(f"{block.scope}/unit_1/") and la.kernel == 3)
    return _size(first)


def _size(layer):
    return "{}x{}".format(*layer.size_out)


def depth_table(architectures=None, image_size=224, num_classes=1000):
    """Table 1 of He et al. 2015 for any networks, computed: one column a network, one row a stage, as pandas.DataFrame.

    architectures: names, Architectures or lists of Blocks; None takes every named one. The index is the stage and the
    size at which it works. The last rows hold the layers with weights and the MACs (the paper's "FLOPs") of an image.
    """
    columns = {}
    for architecture in map(get_architecture, ARCHITECTURES if architectures is None else architectures):
        layers = trace(architecture, image_size, num_classes)
        column = {}  # (place in the table, stage, size) -> cell
        if architecture.include_root_block:
            column[0, "conv1", _size(layers[1])] = "7x7, 64, stride 2"
            column[1, "pool1", _size(layers[2])] = "3x3 max pool, stride 2"
        for i, block in enumerate(architecture.blocks, 2):
            column[i, f"conv{i}_x", _working_size(layers, block)] = _cell(block)
        column[997, "classifier", "1x1"] = f"average pool, {num_classes}-d fc, softmax"
        column[998, "layers", ""] = str(architecture.layers)
        column[999, "MACs", ""] = f"{sum(layer.macs for layer in layers) / 1e9:.1f} x 10^9"
        columns[architecture.name] = pd.Series(column)
    table = pd.concat(columns, axis=1).sort_index(level=0, sort_remaining=False)
    return table.droplevel(0).rename_axis(index=["stage", "size"]).fillna("")


def cost_table(architectures=None, image_size=224, num_classes=1000):
    """What networks cost, one row each: layers, trainable parameters, MACs and activations of an image, weights in MB.

    pandas.DataFrame indexed by name. weights_mb: 4 bytes a parameter, 10^6 bytes a megabyte.
    """
    rows = {}
    for architecture in map(get_architecture, ARCHITECTURES if architectures is None else architectures):
        counted = cost(architecture, image_size, num_classes)
        rows[architecture.name] = {
            "layers": architecture.layers,
            **counted._asdict(),
            "weights_mb": 4 * counted.params / 1e6,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("network")
