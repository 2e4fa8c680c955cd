"""What a network costs, read off its TensorFlow graph op by op.

This is the second, independent way of counting: it knows nothing of Blocks, and works on any graph. The conventions are
those of `accounting`: one multiply-add is one MAC; only convolutions and matrix products have MACs. What has arithmetic
but no formula here is listed in `uncounted` instead of being taken for zero in silence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import prod
from typing import Any, NamedTuple

from .tf_slim_compat import tf


class Op(NamedTuple):
    """One convolution or matrix product: the numbers it writes and its MACs, for the whole batch."""

    name: str
    type: str
    activations: int
    macs: int


class GraphCost(NamedTuple):
    """params: trainable; macs, activations: of one run of the graph (an unknown batch size counts as one image)."""

    params: int
    macs: int
    activations: int
    ops: list[Op]
    uncounted: dict[str, int]  # op type -> how many ops of it did arithmetic that is no MAC


def _conv_terms(op: tf.Operation) -> int:
    height, width, channels_in, _ = op.inputs[1].shape  # channels_in is that of one group
    return height * width * channels_in


def _depthwise_terms(op: tf.Operation) -> int:
    height, width, _, _ = op.inputs[1].shape
    return height * width


def _matmul_terms(op: tf.Operation) -> int:
    transposed = op.get_attr("transpose_a") if op.type == "MatMul" else op.get_attr("adj_x")
    return op.inputs[0].shape[-2 if transposed else -1]


# Op type -> the multiply-adds of each number that it writes.
_TERMS = {
    "Conv2D": _conv_terms,
    "DepthwiseConv2dNative": _depthwise_terms,
    "MatMul": _matmul_terms,
    "BatchMatMulV2": _matmul_terms,
}
_ARITHMETIC = frozenset(
    "Add AddN AddV2 AvgPool BiasAdd Einsum Exp FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 Conv2DBackpropInput Conv3D "
    "LRN MaxPool Mean Mul RealDiv Relu Relu6 Rsqrt Sigmoid Softmax Square SquaredDifference Sub Sum Tanh".split()
)


def _activations(op: tf.Operation) -> int:
    """Numbers in the output of `op`. An atrous convolution is run between SpaceToBatchND, which deals the image out over
    the batch with some padding, and BatchToSpaceND: what comes out of the latter is what the convolution is for."""
    readers = op.outputs[0].consumers()
    output = readers[0].outputs[0] if [reader.type for reader in readers] == ["BatchToSpaceND"] else op.outputs[0]
    shape = output.shape
    if shape.rank is None or None in shape[1:]:
        raise ValueError(
            f"{op.name} writes {shape}: counting needs every size but the batch's; build with an image_size"
        )
    return prod([shape[0] or 1, *shape[1:]])


def _functions(graph: tf.Graph) -> Iterator[tf.Graph]:
    """The bodies of all functions that a graph calls, one for each call: a layer in a tf.function is counted too."""
    for op in graph.get_operations():
        if op.type in ("PartitionedCall", "StatefulPartitionedCall"):
            yield graph._get_function(op.get_attr("f").name).graph


def graph_cost(graph: Any) -> GraphCost:
    """Counts a tf.Graph, a concrete function, or anything with a `graph` (a `Network`): GraphCost.

    Raises ValueError when the height, width or channels of a counted op are unknown.
    """
    graph = getattr(graph, "graph", graph)
    variables = graph.get_collection(tf.compat.v1.GraphKeys.TRAINABLE_VARIABLES)
    variables = variables or getattr(graph, "trainable_variables", ())
    ops = []
    uncounted = Counter()
    for body in (graph, *_functions(graph)):
        for op in body.get_operations():
            if op.type in _TERMS:
                activations = _activations(op)
                ops.append(Op(op.name, op.type, activations, activations * _TERMS[op.type](op)))
            elif op.type in _ARITHMETIC:
                uncounted[op.type] += 1
    return GraphCost(
        params=sum(prod(variable.shape) for variable in variables),
        macs=sum(op.macs for op in ops),
        activations=sum(op.activations for op in ops),
        ops=ops,
        uncounted=dict(sorted(uncounted.items())),
    )
