"""A network for places without this library: as StableHLO, the portable form of OpenXLA, and as TensorFlow's SavedModel."""

import json
from pathlib import Path

import numpy as np

from .checks import positive_int
from .freezing import imported
from .tf_slim_compat import tf


def export_stablehlo(network, path, batch_size=32, precision="float32"):
    """Writes the frozen network to the folder `path`, made if need be, in three files.

    forward.stablehlo: the program, a portable artifact for batches of `batch_size`, without weights; arguments.json: what
    it takes, in this order, as {"name", "shape", "dtype"}: the images, float32 and [batch, height, width, channels], then
    every weight; beside it name, batch_size, precision and the MACs of one image; weights.npz: the weights by name, in float32
    also where the program takes bfloat16. The program gives the logits in float32. benchmarks/pjrt_forward.py runs it with
    JAX alone. Raises ValueError for a batch_size below 1, another precision, and a network for images of any size.
    """
    batch_size, shape = positive_int("batch_size", batch_size), network.input_shape
    if None in shape[1:]:
        raise ValueError("network must be built with an image_size to be exported, got one for images of any size")
    frozen, weights = imported(network._forward, shape, precision)
    images = tf.TensorSpec([batch_size, *shape[1:]], tf.float32, "images")
    program = tf.function(frozen, jit_compile=True, input_signature=[images])
    names = {id(value): name for name, value in weights.items()}
    captured = [(names[id(value)], value) for value in program.get_concrete_function().captured_inputs]
    arguments = [
        {"name": name, "shape": list(value.shape), "dtype": value.dtype.name}
        for name, value in [("images", images), *captured]
    ]
    known = {"network": network.name, "batch_size": batch_size, "precision": precision, "macs": network.cost().macs}
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    serialized = program.experimental_get_compiler_ir(images)(stage="stablehlo_serialized")
    (folder / "forward.stablehlo").write_bytes(serialized)
    (folder / "arguments.json").write_text(json.dumps(known | {"arguments": arguments}, indent=1))
    np.savez(folder / "weights.npz", **{name: tf.cast(value, tf.float32).numpy() for name, value in captured})


def export_saved_model(network, path):
    """Writes the network, with its variables, to the folder `path` as a SavedModel.

    `tf.saved_model.load(path)` gives an object whose `forward(images)` takes float32 images of the network's shape, in
    batches of any size, and gives its logits; its signature "serving_default" gives {"logits": ...}.
    """
    module = tf.Module()
    module.weights = network.variables
    images = tf.TensorSpec(network.input_shape, tf.float32, "images")
    module.forward = tf.function(network._forward, input_signature=[images])
    serve = tf.function(lambda images: {"logits": network._forward(images)}, input_signature=[images])
    tf.saved_model.save(module, str(path), signatures=serve.get_concrete_function())
