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
from .checks import height_and_width, one_of
from .engines import compile_network, export_saved_model, export_stablehlo, in_slices
from .graph_cost import graph_cost
from .other_nets import OTHER_NETS
from .records import replacing
from .slim_function import network_function, seeded_weights, wrapped
from .tf_slim_compat import check_eager, check_process, tf
from .units import unit_kind


def shape_text(shape: Any) -> str:
    """A tensor's shape for people: "[any, 224, 224, 3]"."""
    return "[" + ", ".join("any" if side is None else str(side) for side in shape) + "]"


def checked_images(images: Any, shape: Any) -> tf.Tensor:
    """`images` as a float32 tensor. Raises ValueError unless they are real numbers of that shape, at least one pixel each and
    none NaN or infinite, and RuntimeError where they cannot be computed with."""
    check_process()
    images = tf.cast(_real_numbers(images), tf.float32)
    if not tf.TensorShape(shape).is_compatible_with(images.shape):
        raise ValueError(f"images must have the shape {shape_text(shape)}, got {shape_text(images.shape)}")
    if 0 in images.shape[1:]:
        raise ValueError(f"images must have a pixel at least, got the shape {shape_text(images.shape)}")
    if not tf.executing_eagerly() and not tf.compat.v1.get_default_graph().building_function:
        check_eager("a Network outside of a tf.function")
    if tf.executing_eagerly() and not np.isfinite(tf.reduce_sum(images)):  # or it only overflows
        which = np.unique(np.argwhere(~np.isfinite(images))[:, 0])
        if len(which):
            raise ValueError(f"images holds NaN or infinity, in image {', '.join(map(str, which))} of the batch")
    return images


def _real_numbers(images):
    """An array, a tensor or a variable as a tensor. Raises ValueError for what holds no real numbers."""
    given = type(images).__name__
    try:
        kept = tf.is_tensor(images) or hasattr(images, "__tf_tensor__")  # to Keras' variables as well flows a gradient
        images = tf.convert_to_tensor(images) if kept else np.asarray(images)
        dtype = tf.as_dtype(images.dtype)
    except (TypeError, ValueError) as error:
        raise ValueError(f"images must be an array or a tensor of real numbers, got a {given}") from error
    if not (dtype.is_floating or dtype.is_integer or dtype.is_bool):
        raise ValueError(
            f"images must hold real numbers, got an array of {images.dtype if isinstance(images, np.ndarray) else dtype.name}"
        )
    return images


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
        self.assign(_arrays(path), f"path: {path}")

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
        _check_order(order, self.architecture.blocks)
        blocks = tuple(
            block._replace(args=tuple(block.args[i - 1] for i in order[block.scope])) if block.scope in order else block
            for block in self.architecture.blocks
        )
        architecture = replace(self.architecture, blocks=blocks)
        handed_out: dict[str, Any] = {}
        function = network_function(architecture, weight_decay=0.0)
        built = wrapped(function, self._input.shape, self._shared_getter(order, handed_out))
        network = Network(self.name, architecture, built)
        network._by_name = handed_out  # a variable keeps the name of the unit that it was made for
        return network

    def _shared_getter(self, order, handed_out):
        """A custom getter that gives unit i + 1 of a new network the variables of this network's unit order[block][i], and
        notes in `handed_out` which variable went by which name."""
        keys = tf.compat.v1.GraphKeys
        trainable = {id(variable) for variable in self.trainable_variables}
        renamed = {
            f"{self.name}/{scope}/unit_{new}/": f"{self.name}/{scope}/unit_{old}/"
            for scope, numbers in order.items()
            for new, old in enumerate(numbers, 1)
        }

        def get(_getter, name, *args, shape=None, **kwargs):
            place = next((prefix for prefix in renamed if name.startswith(prefix)), "")
            ours = renamed.get(place, "") + name.removeprefix(place)
            variable = handed_out[name] = self._by_name.get(ours)
            if variable is None or list(variable.shape) != list(shape):
                there = f"has the shape {tuple(variable.shape)}" if variable is not None else "is not there"
                raise ValueError(f"order: {order} does not fit: {ours} would need the shape {tuple(shape)} and {there}")
            for key in [keys.GLOBAL_VARIABLES, *([keys.TRAINABLE_VARIABLES] if id(variable) in trainable else [])]:
                if not any(variable is known for known in tf.compat.v1.get_collection(key)):
                    tf.compat.v1.add_to_collection(key, variable)
            return variable

        return get

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


def _arrays(path):
    """Name -> array of an .npz file. Raises ValueError, naming `path`, for any other file and one that is cut short."""
    try:
        with np.load(path) as saved:
            return dict(saved)
    except OSError:
        raise
    except Exception as error:  # zipfile, zlib, struct and NumPy have each their own
        raise ValueError(f"path: {path} is not a whole .npz file, as Network.save writes it: {error}") from error


def _check_order(order, blocks):
    scopes = {block.scope: block for block in blocks}
    for scope, numbers in order.items():
        units = scopes[one_of("order: block", scope, list(scopes))].args
        if not numbers or not set(numbers) <= {*range(1, len(units) + 1)}:
            raise ValueError(
                f"order: {scope!r} has the units 1 to {len(units)} and needs one at least, got {numbers!r}"
            )


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
