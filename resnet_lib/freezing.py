"""A network made ready for inference: its weights fixed, its batch norms folded away, in the precision and by the engine
of your choice. `Network.freeze` calls this; benchmarks/forward.py measures it.

A batch norm at inference is y = s x + t, with s = gamma / sqrt(variance + epsilon) and t = beta - s mean, for each channel.
Behind a convolution that feeds nothing else it is folded exactly: into the weights, w s, and a bias, t. That is every batch
norm of V1, and in V2 those inside a unit. The first one of a V2 unit cannot be folded: what it reads is the sum of a shortcut
and a residual, which the next shortcut takes as well, unscaled; and behind it stands a ReLU.
"""

import tempfile
from collections import Counter
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .architectures import ENGINES, PRECISIONS
from .checks import one_of
from .tf_slim_compat import tf


def shape_text(shape):
    """A tensor's shape for people: "[any, 224, 224, 3]"."""
    return "[" + ", ".join("any" if side is None else str(side) for side in shape) + "]"


def checked_images(images, shape):
    """`images` as a float32 tensor. Raises ValueError unless they are real numbers of that shape, none NaN or infinite."""
    if not tf.is_tensor(images):
        images = np.asarray(images)
        if images.dtype.kind not in "fiub":
            raise ValueError(f"images must hold real numbers, got an array of {images.dtype}")
    images = tf.cast(images, tf.float32)
    if not tf.TensorShape(shape).is_compatible_with(images.shape):
        raise ValueError(f"images must have the shape {shape_text(shape)}, got {shape_text(images.shape)}")
    if tf.executing_eagerly() and not np.isfinite(tf.reduce_sum(images)):  # or it only overflows
        which = np.unique(np.argwhere(~np.isfinite(images))[:, 0])
        if len(which):
            raise ValueError(f"images holds NaN or infinity, in image {', '.join(map(str, which))} of the batch")
    return images


# On a CPU, images of a larger batch go through in slices of at most this many bytes: 32 images of 224x224x3. Memory then holds
# less of a large batch; slices of 8 images cost ResNet V2-152 another 5 % of its time.
_SLICE_BYTES = 32 * 224 * 224 * 3 * 4


def in_slices(forward, images):
    """`forward(images)`, on a CPU in slices of the batch."""
    batch_size = images.shape[0]
    limit = max(1, _SLICE_BYTES // (4 * prod(images.shape[1:]))) if tf.executing_eagerly() else None
    if limit is None or batch_size <= limit or tf.config.list_physical_devices("GPU"):
        return forward(images)
    slices = np.array_split(np.arange(batch_size), -(-batch_size // limit))
    return tf.concat([forward(images[part[0] : part[-1] + 1]) for part in slices], axis=0)


class FrozenGraph(NamedTuple):
    """A network without variables: graph_def, in which images and weights are placeholders; weights: name of a placeholder ->
    eager tensor; images, output: names of nodes."""

    graph_def: object
    weights: dict
    images: str
    output: str

    def constant(self):
        """The GraphDef with the weights in it as constants."""
        graph_def = tf.compat.v1.GraphDef(versions=self.graph_def.versions)
        for node in self.graph_def.node:
            new = graph_def.node.add()
            if node.name in self.weights:
                new.name, new.op = node.name, "Const"
                new.attr["dtype"].CopyFrom(node.attr["dtype"])
                new.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(self.weights[node.name].numpy()))
            else:
                new.CopyFrom(node)
        return graph_def


def _weights(function, nodes):
    """The value of every variable's read and of every constant of real numbers: name of the node -> eager tensor."""
    resources = {placeholder.op.name: resource for resource, placeholder in function.graph.captures}
    weights = {}
    for node in nodes:
        if node.op == "ReadVariableOp":
            weights[node.name] = tf.raw_ops.ReadVariableOp(
                resource=resources[node.input[0]], dtype=node.attr["dtype"].type
            )
        elif node.op == "Const" and node.attr["dtype"].type == tf.float32.as_datatype_enum:
            weights[node.name] = tf.constant(tf.make_ndarray(node.attr["value"].tensor))
    return weights


def _fold(node, nodes, weights, uses):
    """Turns a batch norm behind a convolution into a bias and scales the convolution's weights; leaves others alone."""
    convolution = nodes.get(node.input[0])
    if convolution is None or convolution.op != "Conv2D" or uses[convolution.name] > 1 or node.attr["is_training"].b:
        return
    kernel, shift = convolution.input[1], node.input[2]
    if uses[kernel] > 1 or uses[shift] > 1:  # shared with another layer, which would see them changed
        return
    gamma, beta, mean, variance = (weights[name] for name in node.input[1:5])
    scale = gamma / tf.sqrt(variance + node.attr["epsilon"].f)
    weights[kernel] = weights[kernel] * scale
    weights[shift] = beta - scale * mean
    node.op = "BiasAdd"
    del node.input[3:], node.input[1]
    for attribute in set(node.attr) - {"T", "data_format"}:
        del node.attr[attribute]


def frozen_graph(function, precision="float32"):
    """A function of one input and one output, with its batch norms folded, as a FrozenGraph.

    function: a concrete function, as `wrap_function` gives it; what it captures are variables. precision: "bfloat16" makes
    every convolution, sum and pooling work on bfloat16 numbers; input, output and the statistics of the batch norms that
    remain are float32.
    """
    dtype = tf.as_dtype(one_of("precision", precision, PRECISIONS))
    graph_def = function.graph.as_graph_def()
    nodes, weights = {node.name: node for node in graph_def.node}, _weights(function, graph_def.node)
    uses = Counter(name.removeprefix("^").split(":")[0] for node in graph_def.node for name in node.input)
    for node in graph_def.node:
        if node.op == "FusedBatchNormV3":
            _fold(node, nodes, weights, uses)
    frozen, images = tf.compat.v1.GraphDef(versions=graph_def.versions), function.inputs[0].op.name
    statistics = {name for node in graph_def.node if node.op == "FusedBatchNormV3" for name in node.input[1:]}
    used = {name for node in graph_def.node for name in node.input}
    read, weights = set(weights), {name: value for name, value in weights.items() if name in used}
    for name in set(weights) - statistics:
        weights[name] = tf.cast(weights[name], dtype)
    for node in graph_def.node:
        if node.name in weights:
            placeholder = frozen.node.add(name=node.name, op="Placeholder")
            placeholder.attr["dtype"].type = weights[node.name].dtype.as_datatype_enum
            placeholder.attr["shape"].shape.CopyFrom(weights[node.name].shape.as_proto())
        elif node.name == images or (node.name not in read and node.op != "Placeholder"):
            if "T" in node.attr and node.attr["T"].type == tf.float32.as_datatype_enum:
                node.attr["T"].type = dtype.as_datatype_enum
            node.input[:] = [
                f"{name}/narrow" if name == images and dtype != tf.float32 else name for name in node.input
            ]
            frozen.node.append(node)
    output = function.outputs[0].op.name
    if dtype != tf.float32:
        frozen.node.append(_cast(f"{images}/narrow", images, tf.float32, dtype))
        frozen.node.append(_cast(f"{output}/float32", output, dtype, tf.float32))
        output = f"{output}/float32"
    return FrozenGraph(frozen, weights, images, output)


def _cast(name, source, before, after):
    node = tf.compat.v1.NodeDef(name=name, op="Cast", input=[source])
    node.attr["SrcT"].type, node.attr["DstT"].type = before.as_datatype_enum, after.as_datatype_enum
    return node


class Frozen:
    """A network for inference only: `frozen(images)` gives what `network(images)` gave when it was frozen.

    name, input_shape, cost(), widest(): those of the network; precision, engine: as asked for. Made by
    `Network.freeze`; goes to `timing.time_forward` like a Network.
    """

    def __init__(self, network, precision="float32", engine="tf"):
        self.name, self.input_shape = network.name, network.input_shape
        self.precision, self.engine = one_of("precision", precision, PRECISIONS), one_of("engine", engine, ENGINES)
        sized = None not in network.input_shape[1:]
        self._cost, self._widest = (network.cost(), network.widest()) if sized else (None, None)
        self._run = _ENGINES[engine](network._forward, self.input_shape, precision)

    def __call__(self, images):
        """As `Network.__call__`, with its shapes, checks and errors."""
        return self.forward(checked_images(images, self.input_shape))

    def forward(self, images):
        """`frozen(images)` without its checks, for a float32 tensor that is known to fit."""
        return self._run(images)

    def cost(self):
        """`Network.cost`; None where it was built for images of any size, as is `widest`."""
        return self._cost

    def widest(self):
        return self._widest

    def __repr__(self):
        return f"<Frozen {self.name}, {self.precision}, {self.engine}>"


def imported(function, input_shape, precision):
    """The frozen function on its own, (function, weights): what it captures are the eager tensors in `weights`, by name."""
    graph_def, weights, images, output = frozen_graph(function, precision)

    def run(x):
        inputs = {images: x, **{name: tf.identity(value) for name, value in weights.items()}}
        return tf.graph_util.import_graph_def(graph_def, inputs, [f"{output}:0"], name="")[0]

    wrapped = tf.compat.v1.wrap_function(run, [tf.TensorSpec(input_shape, tf.float32)])
    return wrapped.prune(wrapped.inputs[0], wrapped.outputs[0]), weights


def _tf(function, input_shape, precision):
    frozen, _ = imported(function, input_shape, precision)
    return lambda images: in_slices(frozen, images)


def _xla(function, input_shape, precision):
    return tf.function(imported(function, input_shape, precision)[0], jit_compile=True)


def _session(function, input_shape, precision):
    frozen = frozen_graph(function, precision)
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(frozen.constant(), name="")
    session = tf.compat.v1.Session(graph=graph)
    return lambda x: tf.constant(session.run(f"{frozen.output}:0", {f"{frozen.images}:0": x.numpy()}))


def _openvino(function, input_shape, precision):
    """OpenVINO chooses by itself where bfloat16 is good enough, so it gets the float32 graph and a hint."""
    if find_spec("openvino") is None:
        raise ImportError("engine: 'openvino' needs the package of that name: pip install 'resnet-lib[openvino]'")
    import openvino

    core = openvino.Core()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "frozen.pb")  # read as a file: `openvino.convert_model` would report to its makers
        path.write_bytes(frozen_graph(function).constant().SerializeToString())
        model = core.read_model(path)
    model.reshape(openvino.PartialShape([-1 if side is None else side for side in input_shape]))
    hints = {
        "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = core.compile_model(model, "CPU", hints)
    return lambda images: tf.constant(compiled(images.numpy())[0])


_ENGINES = dict(zip(ENGINES, (_tf, _xla, _openvino, _session), strict=True))
