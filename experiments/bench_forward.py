"""The forward pass of ResNet V2 in resnet_lib and in its peers (peers.py), in one run: `make bench`, or

    python -m experiments.bench_forward [--layers 50 152] [--batch-size 1 8 32] [--precision float32 bfloat16] [--rounds 5]
                                        [--engines ENGINE ...] [--csv FILE]

All engines have the same weights and must give the same logits before they are timed. Every engine lives in a process of
its own, so that its peak memory is its own; the processes take turns (turns.py). Beside them run two ceilings, what the
machine reaches in one large matrix product and in one large 3x3 convolution. An engine that cannot run is a row with a
reason, and so is one that would run in another precision than the one asked for. Needs the extra `bench`.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from resnet_lib import cost
from resnet_lib.records import Records, now, processor, usable_cores, versions

# No TensorFlow here, nor in what is imported from resnet_lib: what this module loads, every engine's process does.
from . import peers
from .turns import Row, hushed, race, show

PRECISIONS = ("float32", "bfloat16")
LARGEST_BATCH = 64
COLUMNS = (
    "network batch_size engine precision median_ms fastest_ms slowest_ms images_per_s tflops peak_memory_gib error device "
    "threads versions date samples_ms"
).split()

Forward = Callable[[np.ndarray], Any]  # images [batch, 224, 224, 3] -> logits


def ours(folder: Path, layers: int, precision: str, engine: str | None = None) -> Forward:
    """engine: of `Network.freeze`; None does not freeze, and computes in float32."""
    from resnet_lib import build

    network = build(f"resnet_v2_{layers}")
    network.load(folder / "weights.npz")
    if engine is None:
        return network
    frozen = network.freeze(precision, engine)
    peers.check_precision(frozen.precision, precision)
    return frozen


def exported(folder: Path, layers: int, precision: str) -> Forward:
    """What `Network.export_onnx` wrote, in a process that never loads TensorFlow."""
    from resnet_lib.engines import load

    peers.check_precision("float32", precision)
    return load(folder / "resnet_lib.onnx")


EXPORTED = "resnet_lib, exported"
ENGINES = {
    "resnet_lib": ours,
    "resnet_lib, frozen: tf": partial(ours, engine="tf"),
    "resnet_lib, frozen: openvino": partial(ours, engine="openvino"),
    "resnet_lib, frozen: onnxruntime": partial(ours, engine="onnxruntime"),
    EXPORTED: exported,
    "tf_slim.nets": peers.tf_slim_session,
    "keras.applications": peers.keras_applications,
    "PyTorch": peers.pytorch,
    "PyTorch, compiled": partial(peers.pytorch, compiled=True),
    "ONNX Runtime": peers.onnx_runtime,
    "OpenVINO from ONNX": peers.openvino_from_onnx,
}
OURS_FIRST = "resnet_lib, frozen: tf"  # what the others are compared with
FROM_ONNX = ("ONNX Runtime", "OpenVINO from ONNX")
PACKAGES = {  # whose versions belong to an engine's row; torch where nothing is said
    "resnet_lib": ["tensorflow"],
    "resnet_lib, frozen: tf": ["tensorflow"],
    "resnet_lib, frozen: openvino": ["openvino", "tensorflow"],
    "resnet_lib, frozen: onnxruntime": ["onnxruntime", "tensorflow"],
    EXPORTED: ["onnxruntime"],
    "tf_slim.nets": ["tf-slim", "tensorflow"],
    "keras.applications": ["keras", "tensorflow"],
    "ONNX Runtime": ["onnxruntime"],
    "OpenVINO from ONNX": ["openvino"],
}
TOLERANCE = {"float32": 1e-3, "bfloat16": 5e-2}  # of the largest logit
SPREAD = {"gamma": (0.5, 1.0), "beta": (-0.1, 0.1), "moving_mean": (-0.1, 0.1), "moving_variance": (0.5, 1.5)}


def make_reference(folder: Path, layers: int) -> None:
    """The weights, with batch norms that do something, images, and the logits of the first."""
    from resnet_lib import build

    network = build(f"resnet_v2_{layers}")
    random = np.random.default_rng(0)
    for variable in network.variables:
        kind = variable.name.split(":")[0].split("/")[-1]
        if kind in SPREAD:
            variable.assign(random.uniform(*SPREAD[kind], variable.shape))
    network.save(folder / "weights.npz")
    images = random.uniform(-1, 1, (LARGEST_BATCH, 224, 224, 3)).astype(np.float32)
    np.savez(folder / "reference.npz", images=images, logits=network(images[:1]).numpy().ravel())


def export_onnx(folder: Path, layers: int) -> None:
    """The same network as ONNX."""
    ours(folder, layers, "float32").export_onnx(folder / "resnet_lib.onnx")


def prepare(engine: Callable, folder: Path, layers: int, precision: str) -> Callable[[int], np.ndarray]:
    """What is timed: batch size -> logits. Raises ValueError for an engine whose logits are others than the reference's."""
    forward = engine(folder, layers, precision)
    reference = np.load(folder / "reference.npz")
    images = reference["images"]
    expected = reference["logits"]
    difference = np.abs(np.asarray(forward(images[:1])).ravel() - expected).max() / np.abs(expected).max()
    if not difference < TOLERANCE[precision]:
        raise ValueError(f"its logits are off by {difference:.1e} of the largest")
    return lambda batch_size: np.asarray(forward(images[:batch_size]))


MATMUL = 4096  # rows and columns
CONV_IMAGES, CONV_CHANNELS, CONV_SIDE = 32, 256, 28


def matrix_product(precision: str) -> Callable[[int], Any]:
    """What the machine can do at best, by the library that measured fastest here: oneDNN, through PyTorch."""
    import torch

    a = torch.rand(MATMUL, MATMUL).to(getattr(torch, precision))
    return lambda _: a @ a


def convolution(precision: str) -> Callable[[int], Any]:
    """The same, in one large 3x3 convolution."""
    import torch

    options = {"dtype": getattr(torch, precision), "memory_format": torch.channels_last}
    x = torch.rand(CONV_IMAGES, CONV_CHANNELS, CONV_SIDE, CONV_SIDE).to(**options)
    conv = torch.nn.Conv2d(CONV_CHANNELS, CONV_CHANNELS, 3, padding=1, bias=False).to(**options)

    def run(_):
        with torch.no_grad():
            return conv(x)

    return run


CEILINGS = {  # what prepares it, and the operations of one run
    "ceiling: matrix product": (matrix_product, 2 * MATMUL**3),
    "ceiling: 3x3 convolution": (convolution, 2 * CONV_IMAGES * (CONV_CHANNELS * 3 * CONV_SIDE) ** 2),
}


def table(rows: list[Row], layers: int, precision: str) -> Iterator[dict[str, Any]]:
    """The race's rows as records of COLUMNS; tflops counts 2 FLOPs a MAC, and a ceiling's is that of its fastest run."""
    conditions = {"device": processor(), "threads": usable_cores(), "date": now()}
    for row in rows:
        record = {"engine": row.engine, "precision": precision, "error": row.failed, **conditions}
        record["versions"] = versions(*PACKAGES.get(row.engine, ["torch"]))
        record["peak_memory_gib"] = row.peak_memory
        if row.engine in CEILINGS:
            record["network"] = row.engine.removeprefix("ceiling: ")
        else:
            record["network"] = f"resnet_v2_{layers}"
            record["batch_size"] = row.case[0]
        yield record | (_times(row, layers) if row.times else {})


def _times(row, layers):
    median = float(np.median(row.times))
    times = {"median_ms": 1e3 * median, "fastest_ms": 1e3 * min(row.times), "slowest_ms": 1e3 * max(row.times)}
    times["samples_ms"] = ";".join(f"{1e3 * seconds:.3f}" for seconds in row.times)
    if row.engine in CEILINGS:
        _, operations = CEILINGS[row.engine]
        times["tflops"] = operations / min(row.times) / 1e12
    else:
        times["images_per_s"] = row.case[0] / median
        times["tflops"] = 2 * cost(f"resnet_v2_{layers}").macs * row.case[0] / median / 1e12
    return times


def run_apart(function: Callable, *args: Any) -> None:
    """Runs it in a process of its own, so that this one keeps no TensorFlow and no PyTorch. Shows what it said if it fails."""
    with tempfile.NamedTemporaryFile() as log:
        process = multiprocessing.get_context("spawn").Process(target=hushed, args=(log.name, function, *args))
        process.start()
        process.join()
        if process.exitcode:
            sys.stderr.write(log.read().decode(errors="replace"))


def batch_size(text: str) -> int:
    """An argument: from 1 to LARGEST_BATCH."""
    number = int(text)
    if not 1 <= number <= LARGEST_BATCH:
        raise argparse.ArgumentTypeError(f"must be from 1 to {LARGEST_BATCH}, got {text}")
    return number


def rounds(text: str) -> int:
    """An argument: 1 or more."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {text}")
    return number


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="python -m experiments.bench_forward", description="Times ResNet V2 in resnet_lib and its peers."
    )
    sizes = f"one or more, from 1 to {LARGEST_BATCH} (default: 1 8 32)"
    engines = f"one or more of {', '.join(map(repr, ENGINES))} (default: all)"
    top.add_argument("--layers", type=int, nargs="+", default=[50, 152], choices=[50, 152], help="(default: both)")
    top.add_argument("--batch-size", type=batch_size, nargs="+", default=[1, 8, 32], metavar="N", help=sizes)
    top.add_argument("--precision", nargs="+", default=PRECISIONS, choices=PRECISIONS, help="(default: both)")
    top.add_argument("--engines", nargs="+", default=[*ENGINES], choices=ENGINES, metavar="ENGINE", help=engines)
    top.add_argument("--rounds", type=rounds, default=5, metavar="N", help="runs that are counted (default 5)")
    top.add_argument("--csv", metavar="FILE", help="a new file for the rows")
    return top


def compare(layers: int, precision: str, folder: Path, args: argparse.Namespace) -> list[Row]:
    """One race of all engines and the two ceilings: its rows, after they have been printed."""
    chosen = [name for name in args.engines if (name, precision) != ("resnet_lib", "bfloat16")]
    engines = {name: partial(prepare, ENGINES[name], folder, layers, precision) for name in chosen}
    engines |= {name: partial(ceiling, precision) for name, (ceiling, _) in CEILINGS.items()}
    cases = [(size,) for size in sorted(args.batch_size)]
    rows = race(engines, args.rounds, cases)
    rows = [row._replace(failed=row.failed and row.failed.replace(f"{folder}/", "")) for row in rows]
    for case in cases:
        print(f"ResNet V2-{layers}, batch {case[0]}, {precision}, median of {args.rounds} rounds")
        show([row for row in rows if row.case == case], first=OURS_FIRST)
    return rows


def main() -> None:
    args = parser().parse_args()
    if args.csv:
        try:
            open(args.csv, "x").close()  # one file is one run; and not after half an hour that it cannot be written
        except OSError as error:
            parser().error(f"--csv must be a file that can be made anew, got {args.csv!r}: {error.strerror}")
    for layers in args.layers:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            run_apart(make_reference, folder, layers)
            if EXPORTED in args.engines:
                # Where an export fails, the engines that read its file become rows that say so.
                run_apart(export_onnx, folder, layers)
            if {*FROM_ONNX} & {*args.engines}:
                run_apart(peers.export_onnx, folder, layers)
            for precision in args.precision:
                rows = compare(layers, precision, folder, args)
                if args.csv:
                    Records(args.csv, COLUMNS).append(*table(rows, layers, precision))


if __name__ == "__main__":
    main()
