"""What a built network says of itself: its graph, what the ops of the graph read and write, and which pixels reach its outputs.

The second way to every number of the closed form. `experiments.fuzz` holds the two equal, and so do the tests of `units`,
`graph_cost` and `traffic`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import prod

import numpy as np

from resnet_lib.accounting import trace
from resnet_lib.architectures import Architecture, get_architecture
from resnet_lib.built_network import Network
from resnet_lib.checks import height_and_width
from resnet_lib.flat_graph import FlatGraph
from resnet_lib.network import build, network_function
from resnet_lib.tf_slim_compat import quick_building, tf


def graph_of(architecture: str | Architecture, **options) -> tf.Graph:
    """The inference graph of a network, without values for its variables."""
    net = get_architecture(architecture, **options)
    with tf.Graph().as_default() as graph, quick_building():
        images = [None, *height_and_width(net.image_size), net.channels_in]
        network_function(net, weight_decay=0.0)(tf.compat.v1.placeholder(tf.float32, images))
    return graph


def randomize(by_name: Mapping[str, tf.Variable], seed: int = 0) -> None:
    """Weights and batch norms that are nowhere 0 or 1, so that every one of them matters."""
    random = np.random.default_rng(seed)
    for name in sorted(by_name):
        shape = by_name[name].shape.as_list()
        fan_in = max(1, np.prod(shape[:-1]))
        low_high = (0.5, 1.5) if re.search("variance|gamma", name) else (-0.3, 0.3)
        value = random.normal(size=shape) / np.sqrt(fan_in) if "weights" in name else random.uniform(*low_high, shape)
        by_name[name].assign(value.astype(np.float32))


# What the ops read and write.

KINDS = {
    "Conv2D": "conv",
    "FusedBatchNormV3": "batch_norm",
    "Relu": "relu",
    "Sigmoid": "sigmoid",
    "Mean": "global_pool",
    "Mul": "multiply",
    "AddV2": "add",
}


def read_and_written(graph: tf.Graph) -> list[tuple[str, int, int]]:
    """[(kind, numbers read, numbers written)] of the ops of an inference graph, sorted. Padding and biases belong to their
    convolution, and so does the choice of pixels before a 1x1 one; adding 0 is none."""
    wanted = {*KINDS, "MaxPool", "Pad", "PadV2"}
    found = []
    for op in FlatGraph(graph).operations(lambda node: node.op in wanted):
        kind = _kind_of(op)
        if kind is None:
            continue
        data = op.inputs[:2] if kind in ("add", "multiply") else op.inputs[:1]
        found.append((kind, sum(_numbers_read(op, tensor) for tensor in data), prod(_written(op).shape)))
    return sorted(found)


def _kind_of(op):
    if op.type == "MaxPool":
        if op.get_attr("ksize")[1] > 1:
            return "max_pool"
        return None if [reader.type for reader in op.outputs[0].consumers()] == ["Conv2D"] else "subsample"
    if op.type in ("AddV2", "Mul") and not all(tensor.shape.rank for tensor in op.inputs):
        return None  # of a number and a tensor: 0 + residual, and what makes first values of variables
    if op.type in ("Pad", "PadV2"):
        return "zero_pad" if op.outputs[0].shape[3] != op.inputs[0].shape[3] else None
    return KINDS[op.type]


def _source(tensor):
    """What is read where padding, zeros that are added, and the choice of pixels are not written down."""
    op = tensor.op
    spatial = op.type in ("Pad", "PadV2") and op.outputs[0].shape[3] == op.inputs[0].shape[3]
    if spatial or op.type in ("SpaceToBatchND", "BiasAdd"):
        return _source(op.inputs[0])
    if op.type == "AddV2":
        ranked = [x for x in op.inputs if x.shape.rank]
        return _source(ranked[0]) if len(ranked) == 1 else tensor
    return tensor


def _numbers_read(op, tensor):
    size = prod(_written(op).shape[1:3])
    if op.type == "Conv2D" and tensor.op.type == "MaxPool" and tensor.op.get_attr("ksize")[1] == 1:
        return prod(tensor.shape)
    tensor = _source(tensor)
    if op.type == "MaxPool" and op.get_attr("ksize")[1] == 1:
        return size * tensor.shape[3]
    if op.type in ("Conv2D", "MaxPool"):
        kernel = op.inputs[1].shape[0] if op.type == "Conv2D" else op.get_attr("ksize")[1]
        outs = _written(op).shape[1:3]
        sides = [min(side, kernel * out) for side, out in zip(tensor.shape[1:3], outs, strict=True)]
        return prod(sides) * tensor.shape[3]
    return prod(tensor.shape[1:])


def _written(op):
    (tensor,) = op.outputs[:1]
    readers = tensor.consumers()
    return readers[0].outputs[0] if [reader.type for reader in readers] == ["BatchToSpaceND"] else tensor


# Which pixels reach an output.


def footprint(network: Network, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Which input rows, and which input columns, each output position depends on: two boolean arrays [input, output].

    Every weight is positive and equal within its layer, so raising one row or column of the input raises all that sees it.
    """
    for variable in network.trainable_variables:
        if "/gate/" in variable.name:  # half open, whatever comes in: a gate that shuts would hide what passes it
            variable.assign(tf.zeros_like(variable))
        elif variable.name.endswith("weights:0"):
            variable.assign(tf.ones_like(variable) / np.prod(variable.shape[:-1]))
    height, width = size
    raised = np.ones([1 + height + width, height, width, 1], np.float32)
    for row in range(height):
        raised[1 + row, row] += 1000
    for column in range(width):
        raised[1 + height + column, :, column] += 1000
    outputs = network(raised).numpy().sum(axis=-1)
    changed = outputs[1:] > outputs[0] * (1 + 1e-5)
    return changed[:height, :, 0], changed[height:, 0, :]


def beyond_the_field(architecture: Architecture, size: tuple[int, int], output_stride: int | None = None) -> str:
    """Where the footprint of a network is not what `trace` says of its last layer, in words; "" where it is.

    Receptive field, stride and padding are compared at every position of the features, rows and columns.
    """
    options = {"image_size": size, "channels_in": 1, "num_classes": None, "global_pool": False}
    options["output_stride"] = output_stride
    last = trace(architecture, **options)[-1]
    for axis, sees in enumerate(footprint(build(architecture, **options), size)):
        if sees.shape != (size[axis], last.size_out[axis]):
            return f"axis {axis} has the positions {sees.shape}, not {size[axis], last.size_out[axis]}"
        for position, column in enumerate(sees.T):
            begin = position * last.effective_stride - last.effective_padding[axis]
            end = begin + last.receptive_field - 1
            seen = np.flatnonzero(column)
            whole = 0 <= begin and end < size[axis]
            # What the border cuts off may end before it: a strided 1x1 leaves holes there.
            fits = seen.size and (
                (seen[0], seen[-1]) == (begin, end) if whole else begin <= seen[0] and seen[-1] <= end
            )
            if not fits:
                ends = (int(seen[0]), int(seen[-1])) if seen.size else "nothing"
                return f"position {position} of axis {axis} sees {ends}, not {begin, end}"
    return ""
