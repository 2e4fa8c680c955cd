"""Tables of architectures: the depth table of the source text, and costs beside published numbers. No TensorFlow."""

from itertools import groupby

import pandas as pd

from .accounting import cost, trace, unit_convolutions
from .architectures import ARCHITECTURES, OTHER_NETS, OWN, get_architecture


def _convolutions(unit):
    return "\n".join(f"{kernel}x{kernel}, {channels}" for kernel, channels, _ in unit_convolutions(unit))


def _cell(block):
    """Units of a block as the table prints them: the convolutions of one, then how many; other widths make another."""
    runs = groupby(_convolutions(unit) for unit in block.args)
    return "\n".join(f"{convolutions}\nx {len(list(run))}" for convolutions, run in runs)


def _working_size(layers, block):
    """(height, width) at which a block does its work: what its first 3x3 writes. A block's *output* may be smaller, when
    its last unit strides."""
    first = next(la for la in layers if la.name.startswith(f"{block.scope}/unit_1/") and la.kernel == 3)
    return _size(first)


def _size(layer):
    return "{}x{}".format(*layer.size_out)


def _strided(what, stride):
    return f"{what}, stride {stride}" if stride > 1 else what


def depth_table(architectures=None, image_size=OWN, num_classes=OWN, layout=None, shortcut=None):
    """Table 1 of He et al. 2015 for any networks, computed: one column a network, one row a stage, as pandas.DataFrame.

    architectures: names, Architectures or lists of Blocks; None takes the five of that table, 18 to 152 layers, in the
    paper's stride layout. The index is the stage and the size at which it works. The last rows hold the layers with
    weights and the MACs (the paper's "FLOPs") of an image. Other arguments as in `accounting.trace`.
    """
    if architectures is None:
        architectures, layout = [f"resnet_v1_{n}" for n in (18, 34, 50, 101, 152)], layout or "paper"
    columns = {}
    for architecture in (get_architecture(a, layout, shortcut) for a in architectures):
        layers = trace(architecture, image_size, num_classes)
        column = {}  # (place in the table, stage, size) -> cell
        for layer in layers:
            if layer.name == "conv1":
                kernel = f"{layer.kernel}x{layer.kernel}, {layer.channels_out}"
                column[0, "conv1", _size(layer)] = _strided(kernel, layer.stride)
            elif layer.name == "pool1":
                column[1, "pool1", _size(layer)] = _strided("3x3 max pool", layer.stride)
        for i, block in enumerate(architecture.blocks, 2):
            column[i, f"conv{i}_x", _working_size(layers, block)] = _cell(block)
        classes = f"average pool, {layers[-1].channels_out}-d fc, softmax" if num_classes else "average pool"
        column[997, "classifier", "1x1"] = classes
        column[998, "layers", ""] = str(architecture.layers)
        column[999, "MACs", ""] = f"{sum(layer.macs for layer in layers) / 1e9:.3f} x 10^9"
        columns[architecture.name] = pd.Series(column)
    table = pd.concat(columns, axis=1).sort_index(level=0, sort_remaining=False)
    return table.droplevel(0).rename_axis(index=["stage", "size"]).fillna("")


def _described(architecture, image_size, num_classes, layout, shortcut):
    """(name, layers, layout, shortcut, Cost) of a network; one without Blocks is built and its graph counted."""
    if isinstance(architecture, str) and architecture in OTHER_NETS:
        from .network import other_net_cost

        return architecture, None, "", "", other_net_cost(architecture, image_size, num_classes)
    net = get_architecture(architecture, layout, shortcut)
    return net.name, net.layers, net.layout or "", net.shortcut, cost(net, image_size, num_classes)


def cost_table(architectures=None, image_size=OWN, num_classes=OWN, layout=None, shortcut=None):
    """What networks cost, one row each: layers, stride layout, shortcut, trainable parameters, MACs and activations of an
    image, weights in MB.

    architectures: names, Architectures or lists of Blocks; None takes every named one. Names of `architectures.OTHER_NETS`
    ("vgg_16", "inception_v3", ...) are counted from their graphs, which loads TensorFlow; they have no Blocks,
    and so no layers, layout or shortcut here. pandas.DataFrame indexed by name. weights_mb: 4 bytes a parameter, 10^6
    bytes a megabyte.
    """
    rows = {}
    for architecture in ARCHITECTURES if architectures is None else architectures:
        name, layers, *kind, counted = _described(architecture, image_size, num_classes, layout, shortcut)
        rows[name] = [layers, *kind, *counted, 4 * counted.params / 1e6]
    columns = ["layers", "layout", "shortcut", *counted._fields, "weights_mb"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("network")
    return table.astype({"layers": "Int64"})
