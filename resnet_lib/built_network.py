"""`Network`: a tf-slim network with its variables, which is called on images. `network.build` makes it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from os import PathLike
from typing import Any

import numpy as np

from .accounting import Cost, Layer, cost, trace
from .architectures import Architecture
from .blocks import checked_order
from .checks import file_path, instance_of, one_of
from .engines import export_saved_model, export_stablehlo, in_slices
from .frozen import Frozen
from .graph_cost import graph_cost
from .images import checked_images, shape_text, with_an_image
from .known_weights import check_hash
from .onnx_files import export_onnx
from .preprocessing import preprocessed
from .records import replacing
from .slim_function import network_function, shared_variables, wrapped
from .tf_slim_compat import check_eager, tf
from .units import unit_kind
from .weight_files import opened
from .weight_names import Convention
from .weights import WeightFile, about


class Network(tf.Module):
    """A network with weights: `network(images)` gives the logits, `network.end_points(images)` every named tensor.

    It is a tf.Module, so that a tf.Module or a tf.train.Checkpoint that holds it knows its variables. For a layer of Keras see
    `keras_layer.keras_layer`.

    name: the variable scope; architecture: the description, with the sizes that it was built for, None for one of
    `other_nets.OTHER_NETS`; input_shape: of the images, (None, height, width, channels), None where any will do; graph: the
    TensorFlow graph; variables, trainable_variables: lists of tf.Variable in order of creation, named as tf-slim names them;
    convention: the `weights.Convention` of the file that its weights are from, None for fresh ones.
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
        self.convention: Convention | None = None  # what belongs to its weights, where they are a file's
        self._weights_from = ""

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
        return self._part(self._net)

    @cached_property
    def _all_end_points(self):
        return self._part(self._end_point_tensors)

    def _part(self, fetched):
        """The concrete function images -> fetched. With a signature each call fits at once; without one TensorFlow first writes
        an error, with all images in it, and drops it again."""
        images = tf.TensorSpec(self._input.shape, self._input.dtype)
        return self._built.prune(self._input, fetched, input_signature=((images,), {}))

    def __call__(self, images: Any) -> tf.Tensor:
        """[batch, height, width, channels] -> logits [batch, 1, 1, num_classes] (or features), as `resnet_v2` returns them.

        images: a NumPy array, a tensor or a variable of any real type. Raises ValueError for another shape and for NaN or
        infinity, RuntimeError within a layer of Keras.
        """
        _refuse_in_keras_layer()
        return with_an_image(self.forward, checked_images(images, self._input.shape))

    def forward(self, images: tf.Tensor) -> tf.Tensor:
        """`network(images)` without its checks, for a float32 tensor that is known to fit."""
        return in_slices(self.function, images)

    def freeze(self, precision: str = "float32", engine: str = "tf") -> Frozen:
        """This network for inference only, as it is now: a Frozen, called like the network.

        Later changes of this network do not reach it, batch norms are folded into the convolutions before them where that is
        exact, and pixels that nobody reads are not computed (`without_unread_pixels`). precision: "float32" (equal to
        rounding, about 1e-6 of the largest logit) or "bfloat16" (to about 1e-2), which a processor with such instructions
        computes twice as fast (experiments/bench_forward.py); `Frozen.precision` says which one runs.
        engine: one of `engines.ENGINES`: "tf", "xla", "openvino" and "onnxruntime" (extras of these names), "session", the
        source text's way; or "auto", the fastest one that is installed (`engines.fastest_installed`). The first two run within
        a tf.function too, and give gradients for the images. Raises ValueError for another one and ImportError for an engine
        that is missing.
        """
        return Frozen(self, precision, engine)

    def export_stablehlo(self, path: str | PathLike, batch_size: int = 32, precision: str = "float32") -> None:
        """Writes the network, frozen, for machines without TensorFlow: see `engines.export_stablehlo`."""
        export_stablehlo(self, path, batch_size, precision)

    def export_onnx(self, path: str | PathLike, progress: bool = False) -> None:
        """Writes the network, frozen, to an ONNX file: see `onnx_files.export_onnx`."""
        export_onnx(self, path, progress)

    def export_saved_model(self, path: str | PathLike) -> None:
        """Writes the network for TensorFlow without this library: see `engines.export_saved_model`."""
        export_saved_model(self, path)

    def end_points(self, images: Any) -> dict[str, tf.Tensor]:
        """Every named tensor of the network for these images: dict of name -> tensor, without the network's scope:
        "block1/unit_1/bottleneck_v2/conv1", "block1", ..., "predictions". Raises what calling the network raises."""
        _refuse_in_keras_layer()
        values = with_an_image(self._all_end_points, checked_images(images, self._input.shape))
        return {name.removeprefix(self.name + "/"): value for name, value in values.items()}

    def values(self) -> dict[str, np.ndarray]:
        """Name -> value of every variable, as `assign` takes them."""
        return {name: variable.numpy() for name, variable in self._by_name.items()}

    def save(self, path: str | PathLike, precision: str = "float32") -> None:
        """Writes every variable to a file of NumPy's .npz format, under its name without the ":0", and under "about" what
        belongs to them, so that `load` can tell. precision: "float16" makes a file of about half the size.

        If writing is interrupted, or the disk is full, an older file of that name stays as it was. Raises ValueError, since
        `load` would refuse the file, for NaN, infinity, and what is too large for float16."""
        path = file_path("path", path)
        dtype = one_of("precision", precision, ("float32", "float16"))
        with np.errstate(over="ignore"):  # what is too large for the dtype becomes infinite, and is refused
            variables = {name: variable.numpy().astype(dtype) for name, variable in self._by_name.items()}
        for name, value in variables.items():
            if not np.isfinite(value).all():
                raise ValueError(f"precision: in {precision}, {name} holds NaN or infinity, which load would refuse")
        write = np.savez if precision == "float32" else np.savez_compressed
        with replacing(path) as file:
            write(file, about=about(self._own_convention(), self.architecture), **variables)

    def _own_convention(self):
        convention = self.convention or Convention("resnet_lib")
        net = self.architecture
        if net is None:
            return convention
        of_network = {"batch_norm_epsilon": net.batch_norm_epsilon, "root_pooling": net.root_pooling}
        return convention._replace(layout=net.layout, **of_network)

    def load(self, path: str | PathLike) -> None:
        """Takes the value of every variable from a file: of `save` or, as a checkpoint, `training.train`, of tf-slim, Keras,
        torchvision or timm; see `weight_files.opened` and `weights`.

        Raises ValueError, before any variable is changed, for another kind of file and a damaged one, for weights of another
        network, layout, epsilon, pooling or number of classes, of another shortcut or other strides where the file says which
        they had, for numbers that are not finite, for two values of one variable of a `rewired` network, and for a file that is
        named like a released one (`known_weights`) but has another hash; OSError when it cannot be read.
        """
        file_path("path", path)
        check_hash(path)
        with opened(path) as file:
            found = WeightFile(file, self.name, self.architecture)
            found.check(self.architecture)
            self._take(found)

    def _take(self, found, fresh_classifier=False):
        """Takes the weights of a WeightFile, but for the classifier's where that is to stay fresh."""
        check_eager("load")
        values = found.values({name: variable.shape for name, variable in self._by_name.items()}, fresh_classifier)
        self._check_shared(values, f"weights: {found.path}")
        for name in list(values):
            self._by_name[name].assign(values.pop(name))  # so that the memory of each is free again at once
        self._weights_from = found.path.name
        self.convention = found.convention
        if self.convention and fresh_classifier:
            self.convention = self.convention._replace(classes=None)

    @property
    def class_offset(self) -> int | None:
        """The number of its first class of ImageNet: 1 where 0 is the background, None where the classes are others."""
        if self.convention is None or self.convention.classes != "ImageNet":
            return None
        return {1000: 0, 1001: 1}.get(self._net.shape[-1])

    def preprocess(self, images: Any) -> tf.Tensor:
        """Photographs as bytes, [height, width, channels] or [batch, height, width, channels], to what this network reads:
        [batch, height, width, channels] of float32, as those did it who trained its weights (see `preprocessing`).

        A network for images of any size gets those of its convention's. Another preprocessing is a change of the convention:
        `network.convention = network.convention._replace(preprocessing="timm")`. Raises ValueError for images of another type
        or shape, and where it is not known, as for fresh weights, what belongs to them.
        """
        if self.convention is None or self.convention.preprocessing is None:
            raise ValueError(
                f"preprocess: it is not known what belongs to the weights of {self.name}, which are {self.origin}"
            )
        sides = [side or self.convention.image_size for side in self._input.shape[1:3]]
        return preprocessed(images, self.convention.preprocessing, *sides, self._input.shape[3])

    @property
    def origin(self) -> str:
        """Where its weights are from: "fresh", or the source and the file: "Keras, resnet50.h5"."""
        source = f"{self.convention.source}, " if self.convention else ""
        return f"{source}{self._weights_from}" if self._weights_from else "fresh"

    def assign(self, values: dict[str, np.ndarray], source: str = "values") -> None:
        """Gives every variable its value, by its name without the ":0". source: what an error calls `values`.

        Raises ValueError, before any is changed, when a variable is not there, has another shape, or gets NaN or infinity, and
        when one that has several names (see `rewired`) has not one value under them.
        """
        check_eager("assign")
        instance_of("values", values, Mapping, "a dict, name of a variable -> its value")
        instance_of("source", source, str, "a text")
        new = {}
        for name, variable in self._by_name.items():
            wanted = tuple(variable.shape)
            value = np.asarray(values[name]) if name in values else None
            if value is None or value.shape != wanted:
                found = "nothing of that name" if value is None else f"the shape {value.shape}"
                raise ValueError(f"{source} has {found} for {name}, whose shape is {wanted}")
            if value.dtype.kind not in "fiub":
                raise ValueError(f"{source} has no real numbers for {name}, but {value.dtype}")
            with np.errstate(over="ignore"):
                value = value.astype(np.float32, copy=False)
            if not np.isfinite(value).all():
                raise ValueError(f"{source} holds NaN or infinity in {name}")
            new[name] = value
        self._check_shared(new, source)
        for name, value in new.items():
            self._by_name[name].assign(value)
        self.convention, self._weights_from = None, ""

    def _check_shared(self, values, source):
        """Raises ValueError where a variable of several names has not one value under them."""
        first = {}
        for name in values:
            other = first.setdefault(id(self._by_name[name]), name)
            if name != other and not np.array_equal(values[name], values[other], equal_nan=True):
                raise ValueError(f"{source} has two values for one variable, under {other} and under {name}")

    def rewired(self, order: dict[str, list[int]]) -> Network:
        """The network with units left out, repeated or in another order: a Network on the same variables.

        order: scope of a block -> the numbers of its units in the order of the new network; {"block1": [1, 2, 4]} leaves out
        the third. Other blocks stay. `values`, `assign`, `save` and `load` name the variables by the units of the new network;
        those of a unit that is repeated have several names. Raises ValueError for a block or a number that is not there, for an
        empty list, and where a unit does not fit what the new network hands it.
        """
        if self.architecture is None:
            raise ValueError(f"{self.name!r} is not a list of Blocks, so it has no units to rewire")
        order = checked_order(order, self.architecture.blocks)
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
        return self._on_same_variables(architecture, renamed, f"order: {order}")

    def _on_same_variables(self, architecture, renamed, asked):
        """Another network on these variables; renamed, asked: as in `shared_variables`."""
        getter, handed_out = shared_variables(self._by_name, self.trainable_variables, renamed, asked)
        built = wrapped(network_function(architecture, weight_decay=0.0), self._input.shape, getter)
        network = Network(self.name, architecture, built)
        network.convention, network._weights_from = self.convention, self._weights_from
        network._by_name = handed_out  # `variable.name` stays that of the unit that it was made for
        return network

    def without_unread_pixels(self) -> Network:
        """The same logits, to rounding, in fewer MACs: a Network on the same variables, of the architecture that
        `Architecture.without_unread_pixels` gives; this one itself where there is nothing to save."""
        architecture = self.architecture and self.architecture.without_unread_pixels()
        if architecture == self.architecture:
            return self
        return self._on_same_variables(architecture, {}, "without_unread_pixels")

    def trace(self) -> list[Layer]:
        """The layers of this very network, as `accounting.trace`. Raises ValueError for a network that is not a list of
        Blocks, and for one for images of any size."""
        self._check_sized()
        return trace(self.architecture or self.name)

    def cost(self) -> Cost:
        """What this very network costs: in closed form, or where its units or the whole of it have none, the count of its
        graph. Raises ValueError for a network for images of any size."""
        self._check_sized()
        blocks = self.architecture.blocks if self.architecture else ()
        closed = blocks and all(unit_kind(block.unit_fn).ordering for block in blocks)
        return cost(self.architecture) if closed else Cost(*graph_cost(self)[:3])

    def _check_sized(self):
        if None in self.input_shape[1:]:
            raise ValueError("network must be built with an image_size to be counted, got one for images of any size")

    def widest(self) -> int:
        """How many numbers the widest convolution writes for one image."""
        return max(op.activations for op in graph_cost(self).ops)

    def __repr__(self):
        weights = f", weights: {self.origin}" if self._weights_from else ""
        return f"<Network {self.name}: {shape_text(self._input.shape)} -> {shape_text(self._net.shape)}{weights}>"

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


def _plain_name(variable):
    return variable.name.split(":")[0]
