"""What a network costs, read off its TensorFlow graph op by op.

This is the second, independent way of counting: it knows nothing of Blocks, and works on any graph. The conventions are
those of `accounting`: one multiply-add is one MAC; only convolutions and matrix products have MACs. What has arithmetic
but no formula here is listed in `uncounted` instead of being taken for zero in silence.

The graph is first written out flat, for a batch of one image (`flat_graph`); TensorFlow then works out all shapes anew, so that
rows folded into the batch are known as well.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from math import prod
from typing import Any, NamedTuple

from .flat_graph import FlatGraph, inputs, reached
from .tf_slim_compat import tf


class Op(NamedTuple):
    """One convolution or matrix product: the numbers it writes and its MACs, for the whole batch."""

    name: str  # in a function: that of the call, then that of the op
    type: str
    activations: int
    macs: int


class GraphCost(NamedTuple):
    """params: trainable; macs, activations: of one run of the graph (an unknown batch size counts as one image)."""

    params: int
    macs: int
    activations: int
    ops: list[Op]
    uncounted: dict[str, int]  # op type -> how many ops of it did arithmetic that is no MAC, or ran what may run again


# The MACs of each type of op.


def _sizes(op: tf.Operation, tensor: tf.Tensor) -> list[int]:
    shape = tensor.shape
    if not shape.is_fully_defined():
        verb = "writes" if tensor.op is op else "reads"
        raise ValueError(
            f"{op.name} {verb} {shape}: counting needs every size but the batch's; build with an image_size"
        )
    return shape.as_list()


def _activations(op: tf.Operation) -> int:
    """Numbers in the output of `op`. An atrous convolution is run between SpaceToBatchND, which deals the image out over
    the batch with some padding, and BatchToSpaceND: what comes out of the latter is what the convolution is for."""
    readers = op.outputs[0].consumers()
    written = readers[0] if [reader.type for reader in readers] == ["BatchToSpaceND"] else op
    return prod(_sizes(written, written.outputs[0]))


def _convolution_macs(op: tf.Operation) -> int:
    """A window of the filters for each number that the convolution writes; or in its two gradients, one of which is the
    transposed convolution, for each number that comes back."""
    filters = _sizes(op, op.outputs[0] if "BackpropFilter" in op.type else op.inputs[1])
    window = filters[:2] if op.type.startswith("Depthwise") else filters[:-1]  # its channels are those of one group
    numbers = prod(_sizes(op, op.inputs[2])) if "Backprop" in op.type else _activations(op)
    return numbers * prod(window)


def _matmul_macs(op: tf.Operation) -> int:
    transposed = op.get_attr("transpose_a" if op.type == "MatMul" else "adj_x")
    return _activations(op) * _sizes(op, op.inputs[0])[-2 if transposed else -1]


def _einsum_macs(op: tf.Operation) -> int:
    """Every number that is written is a sum over the labels that the output lacks."""
    read, written = op.get_attr("equation").decode().split("->")
    summed = {}
    for labels, tensor in zip(read.split(","), op.inputs, strict=True):
        front, _, back = labels.partition("...")
        sizes = _sizes(op, tensor)
        summed.update(zip(front, sizes, strict=False))
        summed.update(zip(reversed(back), reversed(sizes), strict=False))
    return _activations(op) * prod(size for label, size in summed.items() if label not in written)


_CONVOLUTIONS = (
    "Conv Conv2D Conv2DBackpropFilter Conv2DBackpropInput Conv3D Conv3DBackpropFilterV2 Conv3DBackpropInputV2 "
    "DepthwiseConv2dNative DepthwiseConv2dNativeBackpropFilter DepthwiseConv2dNativeBackpropInput"
)
_MACS = {
    **dict.fromkeys(_CONVOLUTIONS.split(), _convolution_macs),
    **dict.fromkeys("MatMul BatchMatMul BatchMatMulV2 BatchMatMulV3".split(), _matmul_macs),
    "Einsum": _einsum_macs,
}


def _has_macs(node: Any) -> bool:
    return node.op in _MACS and len(node.input) > 1  # an Einsum of one tensor only adds up


# All other arithmetic.

# These move numbers, make room for them, or give them back as they were.
_FREE = frozenset(
    "Assert Assign AssignVariableOp BatchToSpace BatchToSpaceND BroadcastTo Cast ConcatV2 DepthToSpace Empty EnsureShape "
    "Enter Exit ExpandDims Fill Gather GatherNd GatherV2 Identity IdentityN IsVariableInitialized IteratorGetNext "
    "LogicalAnd LogicalNot LogicalOr LoopCond MirrorPad NextIteration OnesLike Pack Pad PadV2 PreventGradient Rank "
    "ReadVariableOp Reshape ResourceGather RestoreV2 ReverseV2 SaveV2 Select SelectV2 Shape ShapeN Size Slice Snapshot "
    "SpaceToBatch SpaceToBatchND SpaceToDepth Split SplitV Squeeze StopGradient StridedSlice TensorListFromTensor "
    "TensorListGetItem TensorListPopBack TensorListPushBack TensorListReserve TensorListSetItem TensorListStack Tile "
    "Transpose Unpack VarIsInitializedOp ZerosLike".split()
)
_EXACT = {dtype.as_datatype_enum for dtype in (tf.bool, tf.int32, tf.int64, tf.resource, tf.string, tf.variant)}


def _computes(node: Any) -> bool:
    """Whether a node works on other numbers than integers, which are shapes and positions."""
    types = {dtype for value in node.attr.values() for dtype in (value.type, *value.list.type) if dtype}
    return bool(node.input) and node.op not in _FREE and not _has_macs(node) and not (types and types <= _EXACT)


def _arithmetic(nodes: list[Any]) -> Counter[str]:
    """Op type -> how many of its ops compute with images or variables. What comes of constants alone, such as the first
    value of a variable, is known ahead of the run."""
    readers = defaultdict(list)
    for node in nodes:
        for name in inputs(node):
            readers[name].append(node.name)
    sources = [node.name for node in nodes if not node.input and node.op not in ("Const", "StatelessRandomGetAlg")]
    brought = reached(sources, readers)
    return Counter(node.op for node in nodes if node.name in brought and _computes(node))


def graph_cost(graph: Any) -> GraphCost:
    """Counts a tf.Graph, a concrete function, or anything with a `graph` (a `Network`): GraphCost.

    A function is counted at each of its calls, however deep. A graph does not say which branch a run takes (tf.cond) nor how
    often a loop runs (tf.while_loop, tf.map_fn): every branch and one round of a loop are counted, and the op is named in
    `uncounted`. So is a call by which a function calls itself, which is not followed.
    Raises ValueError when a size of a counted op is unknown, or when the graph does not take a batch of one image.
    """
    counted = getattr(graph, "graph", graph)
    collected = counted.get_collection(tf.compat.v1.GraphKeys.TRAINABLE_VARIABLES)
    variables = collected or getattr(graph, "trainable_variables", ())
    flat = FlatGraph(counted)
    ops = [Op(op.name, op.type, _activations(op), _MACS[op.type](op)) for op in flat.operations(_has_macs)]
    return GraphCost(
        params=sum(prod(variable.shape) for variable in variables),
        macs=sum(op.macs for op in ops),
        activations=sum(op.activations for op in ops),
        ops=ops,
        uncounted=dict(sorted((_arithmetic(flat.nodes) | flat.unclear).items())),
    )
