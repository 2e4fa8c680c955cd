"""A frozen network as an ONNX model: written by tf2onnx, read and run by ONNX Runtime, which needs neither TensorFlow nor
this library's graph."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from .checks import file_path, installed
from .records import replacing

if TYPE_CHECKING:
    from .frozen_graph import FrozenGraph

OPSET = 18
IMAGES, LOGITS = "images", "logits"  # what the model takes and gives, as Netron shows it


def export_onnx(network: Any, path: str | Path, progress: bool = False) -> None:
    """Writes the network, frozen, to an ONNX file, after `onnx.checker` has passed it.

    It takes "images", float32 [batch, height, width, channels] in batches of any size, and gives "logits"; nodes are named as
    in TensorFlow's graph ("resnet_v2_50/block1/unit_1/..."). `engines.load` runs it. progress: shows the three steps. Raises
    ImportError where tf2onnx or onnx is missing.
    """
    path = file_path("path", path)
    installed("onnx", "onnxruntime", "export_onnx")
    import onnx

    from .frozen_graph import frozen_graph

    with tqdm(total=3, desc=network.name, unit="step", disable=not progress, leave=False) as steps:
        frozen = frozen_graph(network.without_unread_pixels().function)
        steps.update()
        model = onnx_model(frozen, network.name)
        steps.update()
        onnx.checker.check_model(model)
        with replacing(path) as file:
            file.write(model.SerializeToString())
        steps.update()


def onnx_model(frozen: FrozenGraph, name: str) -> Any:
    """A frozen graph in float32 as an onnx.ModelProto. Raises ImportError where tf2onnx is missing.

    tf2onnx copies what it converts some 36 times, so it gets the graph without its weights, which follow afterwards: for 50
    layers in a tenth of the time and a quarter of the memory.
    """
    installed("tf2onnx", "onnxruntime", "writing ONNX")
    import tf2onnx

    weights = {f"{name}:0": value.numpy() for name, value in frozen.weights.items()}
    model, _ = tf2onnx.convert.from_graph_def(
        frozen.graph_def,
        input_names=[f"{frozen.images}:0", *weights],
        output_names=[f"{frozen.output}:0"],
        opset=OPSET,
        tensors_to_rename={f"{frozen.images}:0": IMAGES, f"{frozen.output}:0": LOGITS},
    )
    _with_weights(model.graph, weights)
    model.graph.name = name
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    return model


def _with_weights(graph: Any, weights: dict[str, np.ndarray]) -> None:
    """Gives an onnx.GraphProto the values of what it takes beside the images, in the order of axes that its nodes want."""
    from onnx import numpy_helper

    values = dict(weights)
    nodes = []
    for node in graph.node:
        if node.op_type == "Transpose" and node.input[0] in weights:
            (order,) = node.attribute
            values[node.output[0]] = weights[node.input[0]].transpose(order.ints)
        else:
            nodes.append(node)
    read = {name for node in nodes for name in node.input}
    images = [value for value in graph.input if value.name == IMAGES]
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in values.items() if name in read)
    for field, kept in ((graph.node, nodes), (graph.input, images)):
        del field[:]
        field.extend(kept)


class Loaded:
    """An exported network, run by ONNX Runtime: `loaded(images)` gives the logits, NumPy arrays both. name: of the network;
    input_shape: (None, height, width, channels), None where any will do."""

    def __init__(self, model: bytes | str):
        """model: the bytes of an ONNX model, or the path of its file."""
        installed("onnxruntime", "onnxruntime", "running ONNX")
        import onnxruntime

        self._session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        (images,) = self._session.get_inputs()
        self._images = images.name
        self.input_shape = tuple(side if isinstance(side, int) else None for side in images.shape)
        self.name = self._session.get_modelmeta().graph_name

    def __call__(self, images: Any) -> np.ndarray:
        """[batch, height, width, channels] -> logits. Raises ValueError, as a Network does, for another shape, for what holds
        no real numbers, and for NaN or infinity."""
        images = _real_numbers(images)
        fits = len(images.shape) == len(self.input_shape) and all(
            wanted in (None, side) for wanted, side in zip(self.input_shape, images.shape, strict=True)
        )
        if not fits:
            wanted = ", ".join("any" if side is None else str(side) for side in self.input_shape)
            raise ValueError(f"images must have the shape [{wanted}], got {list(images.shape)}")
        if 0 in images.shape[1:]:
            raise ValueError(f"images must have a pixel at least, got the shape {list(images.shape)}")
        which = np.unique(np.argwhere(~np.isfinite(images))[:, 0])
        if len(which):
            raise ValueError(f"images holds NaN or infinity, in image {', '.join(map(str, which))} of the batch")
        return self.forward(images)

    def forward(self, images: np.ndarray) -> np.ndarray:
        """`loaded(images)` without its checks, for an array of float32 that is known to fit."""
        return self._session.run(None, {self._images: images})[0]

    def __repr__(self) -> str:
        return f"<Loaded {self.name}, float32, onnxruntime>"


def _real_numbers(images):
    """An array of float32. Raises ValueError for what holds no real numbers. (`images.checked_images` loads TensorFlow.)"""
    try:
        found = np.asarray(images)
    except (TypeError, ValueError) as error:  # rows of different lengths
        raise ValueError(f"images must be an array of real numbers, got a {type(images).__name__}") from error
    if not np.can_cast(found.dtype, np.float32, "same_kind"):
        raise ValueError(f"images must hold real numbers, got an array of {found.dtype}")
    with np.errstate(over="ignore"):  # what is too large becomes infinite, which is refused
        return found.astype(np.float32, copy=False)


def load(path: str | Path) -> Loaded:
    """The network of a file that `Network.export_onnx` wrote, without TensorFlow: Loaded.

    Raises FileNotFoundError where there is none, ValueError for what is no ONNX file, ImportError without ONNX Runtime.
    """
    installed("onnxruntime", "onnxruntime", "load")
    path = file_path("path", path)
    if path.is_dir():
        raise ValueError(f"path must be an ONNX file, got the folder {str(path)!r}")
    if not path.is_file():
        raise FileNotFoundError(f"path must be an ONNX file, but there is none at {str(path)!r}")
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    try:
        return Loaded(str(path))
    except (errors.InvalidProtobuf, errors.InvalidGraph, errors.Fail, errors.InvalidArgument) as error:
        raise ValueError(f"path must be an ONNX file, got {str(path)!r}: {error}") from error
