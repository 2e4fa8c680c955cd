"""A network's graph made ready for inference: its weights fixed, its batch norms folded away, in the precision of your choice.

`engines` runs such a graph, `Network.freeze` asks for it. It is made in three passes: read, fold, narrow.

A batch norm at inference is y = s x + t, with s = gamma / sqrt(variance + epsilon) and t = beta - s mean, for each channel.
After a convolution that feeds nothing else it is folded exactly: into the weights, w s, and a bias, t. That is every batch
norm of V1, and in V2 those inside a unit. The first one of a V2 unit cannot be folded: what it reads is the sum of a shortcut
and a residual, which the next shortcut takes as well, unscaled; and a ReLU comes after it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from .tf_slim_compat import tf


class FrozenGraph(NamedTuple):
    """A network without variables.

    graph_def: a GraphDef in which images and weights are placeholders; weights: name of a placeholder -> eager tensor;
    images, output: names of nodes. It is a value: no pass changes the graph that it was given.
    """

    graph_def: tf.compat.v1.GraphDef
    weights: dict[str, tf.Tensor]
    images: str
    output: str

    def constant(self) -> tf.compat.v1.GraphDef:
        """The GraphDef with the weights in it as constants."""
        graph_def = tf.compat.v1.GraphDef(versions=self.graph_def.versions)
        for node in self.graph_def.node:
            new = graph_def.node.add()
            if node.name in self.weights:
                new.name = node.name
                new.op = "Const"
                new.attr["dtype"].CopyFrom(node.attr["dtype"])
                new.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(self.weights[node.name].numpy()))
            else:
                new.CopyFrom(node)
        return graph_def

    def function(self, input_shape: Sequence[int | None]) -> tuple[Callable, dict[str, tf.Tensor]]:
        """The graph as a concrete function of its own, (function, weights): it captures the eager tensors in `weights`."""

        def run(images):
            # the identity captures the tensor; without it the weights would be constants of the function's graph
            inputs = {name: tf.identity(value) for name, value in self.weights.items()}
            inputs[self.images] = images
            return tf.graph_util.import_graph_def(self.graph_def, inputs, [f"{self.output}:0"], name="")[0]

        wrapped = tf.compat.v1.wrap_function(run, [tf.TensorSpec(input_shape, tf.float32)])
        return wrapped.prune(wrapped.inputs[0], wrapped.outputs[0]), self.weights


def frozen_graph(function: Callable, precision: str = "float32") -> FrozenGraph:
    """A function of one input and one output, with its batch norms folded.

    function: a concrete function, as `wrap_function` gives it; what it captures are variables. precision: "bfloat16" makes
    every convolution, sum and pooling work on bfloat16 numbers; input, output and the statistics of the batch norms that
    remain are float32.
    """
    dtype = tf.as_dtype(precision)
    folded = _folded(_read(function))
    return folded if dtype == tf.float32 else _narrowed(folded, dtype)


# First pass: every number of the network becomes a weight.


def _read(function):
    """The function's graph with a placeholder for every read of a variable and for every constant of real numbers."""
    source = function.graph.as_graph_def()
    images = function.inputs[0].op.name
    weights = _weights(function, source)
    graph_def = tf.compat.v1.GraphDef(versions=source.versions)
    for node in source.node:
        if node.name in weights:
            graph_def.node.append(_placeholder(node.name, weights[node.name]))
        elif node.name == images or node.op != "Placeholder":  # the other placeholders stand for variables
            graph_def.node.append(node)
    return FrozenGraph(graph_def, weights, images, function.outputs[0].op.name)


def _weights(function, graph_def):
    """The value of every variable's read and of every constant of real numbers: name of the node -> eager tensor."""
    resources = {placeholder.op.name: resource for resource, placeholder in function.graph.captures}
    weights = {}
    for node in graph_def.node:
        if node.op == "Identity" and node.input[0] in weights:  # as a tf.distribute strategy reads its variables
            weights[node.name] = weights[node.input[0]]
        elif node.op == "ReadVariableOp":
            resource = resources[node.input[0]]
            weights[node.name] = tf.raw_ops.ReadVariableOp(resource=resource, dtype=node.attr["dtype"].type)
        elif node.op == "Const" and node.attr["dtype"].type == tf.float32.as_datatype_enum:
            weights[node.name] = tf.constant(tf.make_ndarray(node.attr["value"].tensor))
    return weights


def _placeholder(name, value):
    node = tf.compat.v1.NodeDef(name=name, op="Placeholder")
    node.attr["dtype"].type = value.dtype.as_datatype_enum
    node.attr["shape"].shape.CopyFrom(value.shape.as_proto())
    return node


# Second pass: batch norms go into the convolutions before them.


def _folded(frozen):
    """The same network; every batch norm that can be folded exactly is a bias, and the weights before it are scaled."""
    graph_def = tf.compat.v1.GraphDef()
    graph_def.CopyFrom(frozen.graph_def)
    nodes = {node.name: node for node in graph_def.node}
    uses = _uses(graph_def)
    weights = dict(frozen.weights)
    for norm in graph_def.node:
        if norm.op == "FusedBatchNormV3" and _can_be_folded(norm, nodes, uses):
            kernel = nodes[norm.input[0]].input[1]
            shift = norm.input[2]
            gamma, beta, mean, variance = (weights[name] for name in norm.input[1:5])
            scale = gamma / tf.sqrt(variance + norm.attr["epsilon"].f)
            weights[kernel] = weights[kernel] * scale  # [..., channels out] * [channels out]
            weights[shift] = beta - scale * mean
            _make_bias(norm)
    return _without_idle_weights(frozen._replace(graph_def=graph_def, weights=weights))


def _uses(graph_def):
    """How many inputs of other nodes a node feeds: Counter by name. An input is "name", "name:1" or, for order, "^name"."""
    return Counter(name.removeprefix("^").split(":")[0] for node in graph_def.node for name in node.input)


def _can_be_folded(norm, nodes, uses):
    """Whether folding changes nothing but this batch norm and the convolution that it reads."""
    source = nodes.get(norm.input[0])
    if source is None or source.op != "Conv2D":
        return False
    if norm.attr["is_training"].b:  # then it takes its mean and variance from the batch
        return False
    # Who else reads the convolution would see it scaled, and another layer that shares the weights or the shift as well.
    return uses[source.name] == 1 and uses[source.input[1]] == 1 and uses[norm.input[2]] == 1


def _make_bias(norm):
    """Batch norm of (x, gamma, beta, mean, variance) -> sum of (x, beta)."""
    norm.op = "BiasAdd"
    x, _, shift = norm.input[:3]
    norm.input[:] = [x, shift]
    for attribute in set(norm.attr) - {"T", "data_format"}:
        del norm.attr[attribute]


def _without_idle_weights(frozen):
    """Without the weights that no node reads: those of the folded batch norms."""
    uses = _uses(frozen.graph_def)
    weights = {name: value for name, value in frozen.weights.items() if uses[name]}
    idle = frozen.weights.keys() - weights.keys()
    kept = [node for node in frozen.graph_def.node if node.name not in idle]
    graph_def = tf.compat.v1.GraphDef(versions=frozen.graph_def.versions, node=kept)
    return frozen._replace(graph_def=graph_def, weights=weights)


# Third pass: numbers become narrower.


def _narrowed(frozen, dtype):
    """The same network on numbers of this type, between two casts: of the images, and of the output back to float32."""
    weights = _narrow_weights(frozen, dtype)
    images = f"{frozen.images}/narrow"
    output = f"{frozen.output}/float32"
    graph_def = tf.compat.v1.GraphDef(versions=frozen.graph_def.versions)
    for node in frozen.graph_def.node:
        if node.name in weights:
            graph_def.node.append(_placeholder(node.name, weights[node.name]))
        else:
            new = graph_def.node.add()
            new.CopyFrom(node)
            new.input[:] = [images if name == frozen.images else name for name in node.input]
            if "T" in node.attr and node.attr["T"].type == tf.float32.as_datatype_enum:
                new.attr["T"].type = dtype.as_datatype_enum
    graph_def.node.append(_cast(images, frozen.images, tf.float32, dtype))
    graph_def.node.append(_cast(output, frozen.output, dtype, tf.float32))
    return FrozenGraph(graph_def, weights, frozen.images, output)


def _narrow_weights(frozen, dtype):
    """All weights but what a batch norm that remains is given: TensorFlow's takes these in float32 only."""
    norms = [node for node in frozen.graph_def.node if node.op == "FusedBatchNormV3"]
    statistics = {name for norm in norms for name in norm.input[1:]}
    return {name: value if name in statistics else tf.cast(value, dtype) for name, value in frozen.weights.items()}


def _cast(name, source, before, after):
    node = tf.compat.v1.NodeDef(name=name, op="Cast", input=[source])
    node.attr["SrcT"].type = before.as_datatype_enum
    node.attr["DstT"].type = after.as_datatype_enum
    return node
