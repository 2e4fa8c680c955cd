"""What the pixels cost that nobody reads: ResNet-50 with the weights of a Keras file, with them and without, in one run.

    python -m experiments.bench_unread [--batch-size 32] [--rounds 7] [--csv FILE]

In the paper's layout, which Keras has, a tenth of ResNet-50's MACs is for pixels that no later layer reads
(`Architecture.without_unread_pixels`). `freeze` leaves them out. Here each engine runs both graphs, with the same weights,
beside Keras itself. They take turns, each in a process of its own, and must agree on the logits. Needs the extras
`openvino` and `onnxruntime`.

    engine                        of `engines.ENGINES`, or "keras.applications"
    pixels                        "all" or "read"
    batch_size, median_ms, fastest_ms, images_per_s, error, device, threads, versions, date, samples_ms
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from resnet_lib.records import Records, now, processor, usable_cores, versions

# No TensorFlow here, nor in what is imported: what this module loads, every engine's process does.
from .bench_forward import SPREAD, Forward, prepare, run_apart
from .turns import Row, race, show

ENGINES = ("tf", "openvino", "onnxruntime")
KERAS = "keras.applications"
COLUMNS = (
    "engine pixels batch_size median_ms fastest_ms images_per_s error device threads versions date samples_ms".split()
)


def make_reference(folder: Path, size: int, images: int) -> None:
    """A file of Keras with batch norms that do something, images, and Keras' logits of the first."""
    model = keras_model(size)
    random = np.random.default_rng(0)
    for layer in model.layers:
        if layer.name.endswith("bn"):
            layer.set_weights([random.uniform(*ends, len(layer.get_weights()[0])) for ends in SPREAD.values()])
    model.save_weights(folder / "keras.weights.h5")
    batch = random.uniform(-1, 1, (images, size, size, 3)).astype(np.float32)
    np.savez(folder / "reference.npz", images=batch, logits=model(batch[:1]).numpy().ravel())


def keras_model(size: int) -> Any:
    """Keras' ResNet50, with logits."""
    from resnet_lib.tf_slim_compat import tf  # isort: skip  first, so that TensorFlow's start-up lines are not shown

    return tf.keras.applications.ResNet50(weights=None, classifier_activation=None, input_shape=(size, size, 3))


def in_keras(folder: Path, size: int, precision: str) -> Forward:
    """Keras itself."""
    model = keras_model(size)
    model.load_weights(folder / "keras.weights.h5")
    return model.predict_on_batch


def ours(folder: Path, size: int, precision: str, engine: str, pixels: str) -> Forward:
    """The file in this library, in one engine, with all pixels or with those that are read."""
    from resnet_lib import build
    from resnet_lib.engines import compile_network
    from resnet_lib.tf_slim_compat import tf

    network = build("resnet_v1_50", image_size=size, weights=folder / "keras.weights.h5")
    if pixels == "read":
        run = network.freeze(precision, engine).forward
    else:
        run = compile_network(network.function, network.input_shape, precision, engine).run
    return lambda images: run(tf.constant(images))


def engines() -> dict[tuple[str, str], Callable[..., Forward]]:
    """(engine, pixels) -> what prepares it."""
    made: dict[tuple[str, str], Callable[..., Forward]] = {(KERAS, "all"): in_keras}
    for engine in ENGINES:
        for pixels in ("all", "read"):
            made[engine, pixels] = partial(ours, engine=engine, pixels=pixels)
    return made


def compare(batch_size: int, rounds: int, size: int = 224) -> list[Row]:
    """One race."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run_apart(make_reference, folder, size, batch_size)
        named = {", ".join(key): partial(prepare, made, folder, size, "float32") for key, made in engines().items()}
        return race(named, rounds, [(batch_size,)])


def table(rows: list[Row]) -> list[dict[str, Any]]:
    """The race's rows as records of COLUMNS."""
    common = {"device": processor(), "threads": usable_cores(), "date": now()}
    common["versions"] = versions("tensorflow", "keras", "openvino", "onnxruntime")
    records = []
    for row in rows:
        engine, pixels = row.engine.split(", ")
        record = {"engine": engine, "pixels": pixels, "batch_size": row.case[0], "error": row.failed, **common}
        if row.times:
            median = float(np.median(row.times))
            record |= {
                "median_ms": 1e3 * median,
                "fastest_ms": 1e3 * min(row.times),
                "images_per_s": row.case[0] / median,
            }
            record["samples_ms"] = ";".join(f"{1e3 * seconds:.3f}" for seconds in row.times)
        records.append(record)
    return records


def main() -> None:
    parser = argparse.ArgumentParser(
        description="ResNet-50 in Keras' layout, with and without the pixels that nobody reads."
    )
    parser.add_argument("--batch-size", type=int, default=32, metavar="N", help="default: 32")
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="runs that are counted (default: 7)")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="adds the rows to this file")
    args = parser.parse_args()
    rows = compare(args.batch_size, args.rounds)
    show(rows, first=f"{KERAS}, all")
    if args.csv:
        Records(args.csv, COLUMNS).append(*table(rows))


if __name__ == "__main__":
    main()
