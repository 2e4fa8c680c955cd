"""What runs a frozen network: a table of engines; and files for places without this library.

A new engine is a function, taking what `Engine` says, and a row of ENGINES. Nothing here needs TensorFlow to be imported, so
that the names in the tables are known without it.
"""

from __future__ import annotations

import json
import tempfile
import threading
import warnings
from collections.abc import Callable, Sequence
from functools import cache, partial
from importlib.util import find_spec
from itertools import pairwise
from math import ceil, prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .checks import file_path, installed, one_of, positive_int
from .onnx_files import load as load
from .records import processor, replacing

PRECISIONS = ("float32", "bfloat16")
UNFROZEN = "unfrozen"  # what a record calls a network as `build` gives it, which none of ENGINES has compiled


class Compiled(NamedTuple):
    """run: float32 images, an eager tensor -> logits, the same; precision: the one that runs, which need not be the one that
    was asked for; lacks: what has no instructions for the other one."""

    run: Callable[[Any], Any]
    precision: str
    lacks: str = "this processor"


class Engine(NamedTuple):
    """compile: (freeze, input_shape, precision) -> Compiled, where freeze(precision) gives a FrozenGraph; package: what must
    be installed, None where TensorFlow is enough. The extra that brings it has the engine's name."""

    compile: Callable[..., Compiled]
    package: str | None = None


def compile_network(
    function: Callable, input_shape: Sequence[int | None], precision: str = "float32", engine: str = "tf"
) -> Compiled:
    """A network's concrete function images -> net, frozen and made ready to run by one of ENGINES.

    Warns, once in a process, where the processor lacks the instructions for `precision`, so that another one runs. Raises
    ValueError for an unknown precision or engine, ImportError for an engine that is not installed.
    """
    one_of("precision", precision, PRECISIONS)
    chosen = ENGINES[one_of("engine", engine, list(ENGINES))]
    if chosen.package:
        installed(chosen.package, engine, f"engine: {engine!r}")
    from .frozen_graph import frozen_graph

    compiled = chosen.compile(partial(frozen_graph, function), input_shape, precision)
    if compiled.precision != precision:
        _warn_once(engine, precision, compiled.precision, compiled.lacks)
    return compiled


# What `auto` looks for, in this order, with AVX-512 and without: ResNet V2-152 in batches of 32, one run of
# `experiments.bench_forward` on each of two processors (data/engine_times.csv). The one with AVX-512 had bfloat16 too; there
# ONNX Runtime ran PyTorch's export, and was ahead of "tf" by less than 1 %. Bfloat16 without its instructions: not measured.
FASTEST_FIRST = {
    ("float32", True): ("openvino", "onnxruntime", "tf"),
    ("float32", False): ("onnxruntime", "openvino", "tf"),
    ("bfloat16", True): ("openvino", "tf"),
    ("bfloat16", False): ("openvino", "tf"),
}


def fastest_installed(precision: str = "float32") -> str:
    """The engine that `auto` means here: the first of FASTEST_FIRST whose package is installed, "tf" where there is a GPU.
    Raises ValueError for an unknown precision."""
    from .tf_slim_compat import tf

    order = FASTEST_FIRST[one_of("precision", precision, PRECISIONS), "avx512f" in processor()]
    if tf.config.list_physical_devices("GPU"):
        return "tf"
    return next(name for name in order if ENGINES[name].package is None or find_spec(ENGINES[name].package))


@cache
def _warn_once(engine, asked, runs, lacks):
    text = f"engine {engine!r} was asked for {asked} and runs {runs}: {lacks} has no instructions for {asked}"
    warnings.warn(text, RuntimeWarning, stacklevel=5)  # where the caller of `Network.freeze` stands


# On a CPU, images of a larger batch go through in slices of at most this many bytes: 32 images of 224x224x3. Memory then holds
# less of a large batch; slices of 8 images cost ResNet V2-152 another 5 % of its time.
_SLICE_BYTES = 32 * 224 * 224 * 3 * 4


def in_slices(forward: Callable[[Any], Any], images: Any) -> Any:
    """`forward(images)`, on a CPU in slices of the batch, as equal as they can be."""
    from .tf_slim_compat import tf

    if not tf.executing_eagerly() or tf.config.list_physical_devices("GPU"):
        return forward(images)
    batch_size = images.shape[0]
    limit = max(1, _SLICE_BYTES // max(1, 4 * prod(images.shape[1:])))
    if batch_size <= limit:
        return forward(images)
    slices = ceil(batch_size / limit)
    edges = [batch_size * i // slices for i in range(slices + 1)]
    return tf.concat([forward(images[start:stop]) for start, stop in pairwise(edges)], axis=0)


def _tf(freeze, input_shape, precision):
    function, _ = freeze(precision).function(input_shape)
    return Compiled(partial(in_slices, function), precision)


def _xla(freeze, input_shape, precision):
    from .tf_slim_compat import tf

    function, _ = freeze(precision).function(input_shape)
    return Compiled(tf.function(function, jit_compile=True), precision)


def _session(freeze, input_shape, precision):
    """The source text's way."""
    from .tf_slim_compat import tf

    frozen = freeze(precision)
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(frozen.constant(), name="")
    session = tf.compat.v1.Session(graph=graph)
    images, output = f"{frozen.images}:0", f"{frozen.output}:0"
    return Compiled(lambda x: tf.constant(session.run(output, {images: _on_host(x, "session")})), precision)


def _on_host(images, engine):
    """The numbers of a tensor. Raises RuntimeError for a tensor that has none yet."""
    if not hasattr(images, "numpy"):
        raise RuntimeError(
            f"engine {engine!r} works on numbers, outside of TensorFlow: within a tf.function use the engines 'tf' and 'xla'"
        )
    return images.numpy()


_OPENVINO_TYPES = {"float32": "f32", "bfloat16": "bf16"}


def _openvino(freeze, input_shape, precision):
    """OpenVINO chooses by itself where bfloat16 is good enough, so it gets the float32 graph and a hint. On a processor
    without bfloat16 it runs float32 all the same, and only the compiled model knows."""
    import openvino

    from .tf_slim_compat import tf

    core = openvino.Core()
    model = _openvino_model(core, freeze("float32"))
    model.reshape(openvino.PartialShape([-1 if side is None else side for side in input_shape]))
    hints = {"INFERENCE_PRECISION_HINT": _OPENVINO_TYPES[precision], "PERFORMANCE_HINT": "LATENCY"}
    compiled = core.compile_model(model, "CPU", hints)
    mine = _OfThisThread(compiled)

    def run(images):
        if images.shape[0] == 0:  # its pooling takes no empty batch
            return run(tf.zeros([1, *images.shape[1:]]))[:0]
        return tf.constant(mine.request.infer([_on_host(images, "openvino")], share_inputs=True)[0])

    return Compiled(run, _openvino_precision(compiled))


def _openvino_model(core, frozen):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "frozen.pb")  # read as a file: `openvino.convert_model` would report to its makers
        path.write_bytes(frozen.constant().SerializeToString())
        return core.read_model(path)


def _onnxruntime(freeze, input_shape, precision):
    """ONNX Runtime computes convolutions in float32 on a CPU, whatever the model says."""
    from .onnx_files import Loaded, onnx_model
    from .tf_slim_compat import tf

    loaded = Loaded(onnx_model(freeze("float32"), "frozen").SerializeToString())
    run = partial(in_slices, lambda images: tf.constant(loaded.forward(_on_host(images, "onnxruntime"))))
    return Compiled(run, "float32", "ONNX Runtime on a CPU")


class _OfThisThread(threading.local):
    """A request of a compiled model for every thread that asks: while one runs, OpenVINO refuses its other calls."""

    def __init__(self, compiled):
        self.request = compiled.create_infer_request()


def _openvino_precision(compiled):
    """The one that runs, by our name for it."""
    runs = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    return {theirs: ours for ours, theirs in _OPENVINO_TYPES.items()}.get(runs, runs)


ENGINES = {
    "tf": Engine(_tf),
    "xla": Engine(_xla),
    "openvino": Engine(_openvino, "openvino"),
    "onnxruntime": Engine(_onnxruntime, "onnxruntime"),
    "session": Engine(_session),
}


def export_stablehlo(network: Any, path: str | Path, batch_size: int = 32, precision: str = "float32") -> None:
    """Writes the frozen network to the folder `path`, made if need be, in three files.

    forward.stablehlo: the program, a portable artifact for batches of `batch_size`, without weights; arguments.json: what
    it takes, in this order, as {"name", "shape", "dtype"}: the images, float32 and [batch, height, width, channels], then
    every weight; beside it network (its name), batch_size, precision and macs, of one image; weights.npz: the weights by
    name, in float32 also where the program takes bfloat16. The program gives the logits in float32.
    experiments/pjrt_forward.py runs it with JAX alone. Raises ValueError for a batch_size below 1, another precision, and a
    network for images of any size.
    """
    path = file_path("path", path)
    batch_size = positive_int("batch_size", batch_size)
    one_of("precision", precision, PRECISIONS)
    if None in network.input_shape[1:]:
        raise ValueError("network must be built with an image_size to be exported, got one for images of any size")
    from .tf_slim_compat import tf

    network = network.without_unread_pixels()
    images = tf.TensorSpec([batch_size, *network.input_shape[1:]], tf.float32, "images")
    serialized, weights = _stablehlo(network, images, precision)
    known = {"network": network.name, "batch_size": batch_size, "precision": precision, "macs": network.cost().macs}
    arguments = [_argument("images", images), *(_argument(name, value) for name, value in weights.items())]
    path.mkdir(parents=True, exist_ok=True)
    with replacing(path / "forward.stablehlo") as file:
        file.write(serialized)
    with replacing(path / "weights.npz") as file:
        np.savez(file, **{name: tf.cast(value, tf.float32).numpy() for name, value in weights.items()})
    with replacing(path / "arguments.json") as file:
        file.write(json.dumps(known | {"arguments": arguments}, indent=1).encode())


def _stablehlo(network, images, precision):
    """(program, weights): the serialized program for such images, and the weights by name in the order of its arguments."""
    from .frozen_graph import frozen_graph
    from .tf_slim_compat import tf

    function, weights = frozen_graph(network.function, precision).function(network.input_shape)
    program = tf.function(function, jit_compile=True, input_signature=[images])
    names = {id(value): name for name, value in weights.items()}
    captured = program.get_concrete_function().captured_inputs
    serialized = program.experimental_get_compiler_ir(images)(stage="stablehlo_serialized")
    return serialized, {names[id(value)]: value for value in captured}


def _argument(name, value):
    return {"name": name, "shape": list(value.shape), "dtype": value.dtype.name}


def export_saved_model(network: Any, path: str | Path) -> None:
    """Writes the network, with its variables, to the folder `path` as a SavedModel.

    `tf.saved_model.load(path)` gives an object whose `forward(images)` takes float32 images of the network's shape, in
    batches of any size, and gives its logits; its signature "serving_default" gives {"logits": ...}. Of a network with
    convolutions in groups it has no gradient.
    """
    path = file_path("path", path)
    from .tf_slim_compat import tf

    network = network.without_unread_pixels()
    module = tf.Module()
    module.weights = network.variables
    images = tf.TensorSpec(network.input_shape, tf.float32, "images")
    module.forward = tf.function(network.function, input_signature=[images])
    serve = tf.function(lambda images: {"logits": network.function(images)}, input_signature=[images])
    # The gradient of a convolution in groups is a function of this library, which SavedModel cannot store.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, str(path), signatures=serve.get_concrete_function(), options=options)
