"""From a description to something that runs: `build(...)` gives a `Network`, which is called on images.

Built once with `tf.compat.v1.wrap_function`, a tf-slim network works in eager mode and keeps its variables. Every Network has
a graph of its own, so building twice in one process never clashes.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import cached_property
from os import PathLike
from typing import Any

import numpy as np

from . import other_nets
from .accounting import Cost, Layer, cost, trace
from .architectures import OWN, Architecture, Block, get_architecture
from .checks import height_and_width, list_of, one_of
from .engines import compile_network, export_saved_model, export_stablehlo, in_slices
from .graph_cost import graph_cost
from .images import checked_images, shape_text
from .other_nets import OTHER_NETS
from .records import arrays, replacing
from .slim_function import network_function, seeded_weights, shared_variables, wrapped
from .tf_slim_compat import check_eager, tf
from .units import unit_kind


class Frozen:
    """A network for inference only: `frozen(images)` gives what `network(images)` gave when it was frozen.

    name, input_shape, cost(), widest(): those of the network; engine, requested_precision: as asked for; precision: the one
    that runs, which on a processor without bfloat16 may be another. Made by `Network.freeze`; goes to `timing.time_forward`
    like a Network.
    """

    def __init__(self, network: Network, precision: str = "float32", engine: str = "tf"):
        self.name = network.name
        self.input_shape = network.input_shape
        self.engine = engine
        self.requested_precision = precision
        check_eager("freeze")
        self._run, self.precision = compile_network(network.function, self.input_shape, precision, engine)
        sized = None not in network.input_shape[1:]
        self._cost = network.cost() if sized else None
        self._widest = network.widest() if sized else None

    def __call__(self, images: Any) -> tf.Tensor:
        """As `Network.__call__`, with its shapes, checks and errors."""
        return self.forward(checked_images(images, self.input_shape))

    def forward(self, images: tf.Tensor) -> tf.Tensor:
        """`frozen(images)` without its checks, for a float32 tensor that is known to fit."""
        return self._run(images)

    def cost(self) -> Cost | None:
        """`Network.cost`; None where it was built for images of any size, as is `widest`."""
        return self._cost

    def widest(self) -> int | None:
        """`Network.widest`."""
        return self._widest

    def __repr__(self):
        asked = "" if self.precision == self.requested_precision else f" ({self.requested_precision} asked for)"
        return f"<Frozen {self.name}, {self.precision}{asked}, {self.engine}>"


class Network(tf.Module):
    """A network with weights: `network(images)` gives the logits, `network.end_points(images)` every named tensor.

    It is a tf.Module, so that a tf.Module or a tf.train.Checkpoint that holds it knows its variables. For a layer of Keras see
    `keras_layer.keras_layer`.

    name: the variable scope; architecture: the description, with the sizes that it was built for, None for one of
    `other_nets.OTHER_NETS`; input_shape: of the images, (None, height, width, channels), None where any will do; graph: the
    TensorFlow graph; variables, trainable_variables: lists of tf.Variable in order of creation, named as tf-slim names them.
    """

    def __init__(self, name: str, architecture: Architecture | None, built: Any):
        """built: a slim network as `tf.compat.v1.wrap_function` gives it, images -> (net, end_points)."""
        self._scope = name
        self.architecture = architecture
        self.graph = built.graph
        self._by_name = {_plain_name(variable): variable for variable in self.variables}
        self._built = built  # owns the variables
        self._input = built.inputs[0]
        self._net, self._end_point_tensors = built.structured_outputs

    @property
    def name(self) -> str:
        return self._scope

    @property
    def variables(self) -> list[tf.Variable]:
        return self.graph.get_collection(tf.compat.v1.GraphKeys.GLOBAL_VARIABLES)

    @property
    def trainable_variables(self) -> list[tf.Variable]:
        return self.graph.get_collection(tf.compat.v1.GraphKeys.TRAINABLE_VARIABLES)

    @property
    def input_shape(self) -> tuple:
        return tuple(self._input.shape)

    @cached_property
    def function(self) -> Any:
        """The concrete function images -> net. It asks for the net alone, so that no end point is kept in memory."""
        return self._built.prune(self._input, self._net)

    @cached_property
    def _all_end_points(self):
        return self._built.prune(self._input, self._end_point_tensors)

    def __call__(self, images: Any) -> tf.Tensor:
        """[batch, height, width, channels] -> logits [batch, 1, 1, num_classes] (or features), as `resnet_v2` returns them.

        images: a NumPy array, a tensor or a variable of any real type. Raises ValueError for another shape and for NaN or
        infinity, RuntimeError within a layer of Keras.
        """
        _refuse_in_keras_layer()
        return self.forward(checked_images(images, self._input.shape))

    def forward(self, images: tf.Tensor) -> tf.Tensor:
        """`network(images)` without its checks, for a float32 tensor that is known to fit."""
        return in_slices(self.function, images)

    def freeze(self, precision: str = "float32", engine: str = "tf") -> Frozen:
        """This network for inference only, as it is now: a Frozen, called like the network.

        Later changes of this network do not reach it, and batch norms are folded into the convolutions before them where that
        is exact. precision: "float32" (equal to rounding, about 1e-6 of the largest logit) or "bfloat16" (to about 1e-2),
        which a processor with such instructions computes twice as fast (experiments/bench_forward.py); `Frozen.precision`
        says which one runs. engine: one of `engines.ENGINES`: "tf", "xla", "openvino" (extra of that name) or "session", the
        source text's way. Raises ValueError for another one and ImportError for an engine that is missing.
        """
        return Frozen(self, precision, engine)

    def export_stablehlo(self, path: str | PathLike, batch_size: int = 32, precision: str = "float32") -> None:
        """Writes the network, frozen, for machines without TensorFlow: see `engines.export_stablehlo`."""
        export_stablehlo(self, path, batch_size, precision)

    def export_saved_model(self, path: str | PathLike) -> None:
        """Writes the network for TensorFlow without this library: see `engines.export_saved_model`."""
        export_saved_model(self, path)

    def end_points(self, images: Any) -> dict[str, tf.Tensor]:
        """Every named tensor of the network for these images: dict of name -> tensor, without the network's scope:
        "block1/unit_1/bottleneck_v2/conv1", "block1", ..., "predictions". Raises what calling the network raises."""
        values = self._all_end_points(checked_images(images, self._input.shape))
        return {name.removeprefix(self.name + "/"): value for name, value in values.items()}

    def values(self) -> dict[str, np.ndarray]:
        """Name -> value of every variable, as `assign` takes them."""
        return {name: variable.numpy() for name, variable in self._by_name.items()}

    def save(self, path: str | PathLike) -> None:
        """Writes every variable to a file of NumPy's .npz format, under its name without the ":0".

        Who is interrupted, or finds the disk full, leaves an older file of that name as it was."""
        with replacing(path) as file:
            np.savez(file, **{_plain_name(variable): variable.numpy() for variable in self.variables})

    def load(self, path: str | PathLike) -> None:
        """Takes the value of every variable from a file that `save` or, as a checkpoint, `training.train` has written.

        Raises ValueError for another kind of file and one that is cut short, when a variable is not there or has another
        shape, before any is changed; and OSError when it cannot be read.
        """
        self.assign(arrays(path), f"path: {path}")

    def assign(self, values: dict[str, np.ndarray], source: str = "values") -> None:
        """Gives every variable its value, by its name without the ":0". source: what an error calls `values`.

        Raises ValueError when a variable is not there or has another shape, before any is changed.
        """
        check_eager("assign")
        new = []
        for variable in self.variables:
            name, wanted = _plain_name(variable), tuple(variable.shape)
            value = np.asarray(values[name]) if name in values else None
            if value is None or value.shape != wanted:
                found = "nothing of that name" if value is None else f"the shape {value.shape}"
                raise ValueError(f"{source} has {found} for {name}, whose shape is {wanted}")
            if value.dtype.kind not in "fiub":
                raise ValueError(f"{source} has no real numbers for {name}, but {value.dtype}")
            new.append(value)
        for variable, value in zip(self.variables, new, strict=True):
            variable.assign(value)

    def rewired(self, order: dict[str, list[int]]) -> Network:
        """The network with units left out, repeated or in another order: a Network on the same variables.

        order: scope of a block -> the numbers of its units in the order of the new network; {"block1": [1, 2, 4]} leaves out
        the third. Other blocks stay. Raises ValueError for a block or a number that is not there, for an empty list, and
        where a unit does not fit what the new network hands it.
        """
        if self.architecture is None:
            raise ValueError(f"{self.name!r} is not a list of Blocks, so it has no units to rewire")
        order = _checked_order(order, self.architecture.blocks)
        blocks = tuple(
            block._replace(args=tuple(block.args[i - 1] for i in order[block.scope])) if block.scope in order else block
            for block in self.architecture.blocks
        )
        architecture = replace(self.architecture, blocks=blocks)
        renamed = {
            f"{self.name}/{scope}/unit_{new}/": f"{self.name}/{scope}/unit_{old}/"
            for scope, numbers in order.items()
            for new, old in enumerate(numbers, 1)
        }
        getter, handed_out = shared_variables(self._by_name, self.trainable_variables, renamed, f"order: {order}")
        built = wrapped(network_function(architecture, weight_decay=0.0), self._input.shape, getter)
        network = Network(self.name, architecture, built)
        network._by_name = handed_out  # a variable keeps the name of the unit that it was made for
        return network

    def trace(self) -> list[Layer]:
        """The layers of this very network, as `accounting.trace`. Raises ValueError for a network that is not a list of
        Blocks."""
        return trace(self.architecture or self.name)

    def cost(self) -> Cost:
        """What this very network costs: in closed form, or where its units or the whole of it have none, the count of its
        graph."""
        blocks = self.architecture.blocks if self.architecture else ()
        closed = blocks and all(unit_kind(block.unit_fn).ordering for block in blocks)
        return cost(self.architecture) if closed else Cost(*graph_cost(self)[:3])

    def widest(self) -> int:
        """How many numbers the widest convolution writes for one image."""
        return max(op.activations for op in graph_cost(self).ops)

    def __repr__(self):
        return f"<Network {self.name}: {shape_text(self._input.shape)} -> {shape_text(self._net.shape)}>"

    def __reduce__(self):
        raise TypeError(
            "a Network holds a graph of TensorFlow, which cannot be copied or pickled: `save` keeps its weights, "
            "and `build` and `load` make it again"
        )


def _refuse_in_keras_layer():
    """Raises RuntimeError within a call of a Keras 3 layer: Keras trains what its layers track, and a Network that one of them
    only calls would stay as it is, in silence."""
    state = sys.modules.get("keras.src.backend.common.global_state")  # where Keras keeps the call that is under way
    call = state.get_global_attribute("current_call_ctx") if hasattr(state, "get_global_attribute") else None
    if call is not None:
        raise RuntimeError(
            f"the Keras layer {call.entry_layer.name!r} calls a Network, whose variables it does not track, so that they would "
            "not train: call keras_layer.keras_layer(network) there, or network.freeze() for weights that shall stay"
        )


def _checked_order(order, blocks):
    """`order` with a list of int for every block that it names."""
    counts = {block.scope: len(block.args) for block in blocks}
    if not isinstance(order, dict):
        raise TypeError(f"order must be a dict, scope of a block -> numbers of its units, got {order!r}")
    checked = {}
    for scope, numbers in order.items():
        count = counts[one_of("order: block", scope, list(counts))]
        checked[scope] = list(list_of("numbers of units", f"order: {scope!r}", numbers))
        if not checked[scope] or not {*checked[scope]} <= {*range(1, count + 1)}:
            raise ValueError(
                f"order: {scope!r} has the units 1 to {count} and needs one at least, got {checked[scope]}"
            )
    return {scope: [*map(int, numbers)] for scope, numbers in checked.items()}


def _plain_name(variable):
    return variable.name.split(":")[0]


def build(
    architecture: str | Architecture | list[Block],
    image_size: int | tuple[int, int] | str | None = OWN,
    num_classes: int | str | None = OWN,
    seed: int = 0,
    **changes: Any,
) -> Network:
    """Builds a network for inference, with freshly initialized weights: Network.

    architecture: a name, an Architecture or a list of Blocks; image_size: one number, (height, width), or None for any;
    num_classes: None returns features; "own" is what the network was designed for; seed: of the weights (the same seed
    gives the same weights); changes: channels_in, of the images; global_pool, output_stride, as in `resnet_v2.resnet_v2`;
    layout, shortcut, as in `architectures.get_architecture`.
    The names of `other_nets.OTHER_NETS` ("vgg_16", ...) build networks that are not lists of Blocks. They take image_size,
    num_classes, seed and channels_in only.
    Raises ValueError or TypeError naming the argument at fault.
    """
    if isinstance(architecture, str) and architecture in OTHER_NETS:
        name, net = architecture, None
        size, num_classes, channels = other_nets.check_options(name, image_size, num_classes, **changes)
        function, getter = other_nets.function(name, num_classes), seeded_weights(seed)
    else:
        net = get_architecture(architecture, image_size, num_classes, **changes)
        name, size, channels = net.name, net.image_size, net.channels_in
        function, getter = network_function(net, seed=seed, weight_decay=0.0), None
    height, width = (None, None) if size is None else height_and_width(size)
    return Network(name, net, wrapped(function, [None, height, width, channels], getter))
