"""make bench, or python benchmarks/forward.py [--layers 50 152] [--batch-size 1 8 32] [--precision float32 bfloat16]
[--rounds 5] [--csv FILE]: the forward pass of ResNet V2 in resnet_lib and in its peers (peers.py), in one run.

All engines have the same weights and must give the same logits before they are timed. Every engine lives in a process of
its own, so that its peak memory is its own; the processes take turns (turns.py). Beside them run two ceilings, what the
machine reaches in one large matrix product and in one large 3x3 convolution. An engine that cannot run is a row with a
reason. Needs the extra `bench`.
"""

import argparse
import multiprocessing
import tempfile
from datetime import datetime
from functools import partial
from importlib import metadata
from pathlib import Path

import numpy as np
import peers  # no TensorFlow here, nor in resnet_lib's first line: what this module loads, every engine's process does
from turns import race, show

from resnet_lib import cost

PRECISIONS = ("float32", "bfloat16")


def ours(folder, layers, precision, engine=None):
    """engine: of `Network.freeze`; None does not freeze, and computes in float32."""
    from resnet_lib import build

    network = build(f"resnet_v2_{layers}")
    network.load(folder / "weights.npz")
    return network.freeze(precision, engine) if engine else network


ENGINES = {
    "resnet_lib": ours,
    "resnet_lib, frozen: tf": partial(ours, engine="tf"),
    "resnet_lib, frozen: openvino": partial(ours, engine="openvino"),
    "tf_slim.nets": peers.tf_slim_session,
    "keras.applications": peers.keras_applications,
    "PyTorch": peers.pytorch,
    "PyTorch, compiled": partial(peers.pytorch, compiled=True),
    "ONNX Runtime": peers.onnx_runtime,
    "OpenVINO from ONNX": peers.openvino_from_onnx,
}
# whose versions belong to an engine's row; torch where nothing is said
PACKAGES = {
    "resnet_lib": ["tensorflow"], "resnet_lib, frozen: tf": ["tensorflow"],
    "resnet_lib, frozen: openvino": ["openvino", "tensorflow"], "tf_slim.nets": ["tf-slim", "tensorflow"],
    "keras.applications": ["keras", "tensorflow"], "ONNX Runtime": ["onnxruntime"], "OpenVINO from ONNX": ["openvino"],
}  # fmt: skip
TOLERANCE = {"float32": 1e-3, "bfloat16": 5e-2}  # of the largest logit


def make_reference(folder, layers):
    """The weights, with batch norms that do something, 32 images, and the logits of the first."""
    from resnet_lib import build

    network, random = build(f"resnet_v2_{layers}"), np.random.default_rng(0)
    spread = {"gamma": (0.5, 1.0), "beta": (-0.1, 0.1), "moving_mean": (-0.1, 0.1), "moving_variance": (0.5, 1.5)}
    for variable in network.variables:
        kind = variable.name.split(":")[0].split("/")[-1]
        if kind in spread:
            variable.assign(random.uniform(*spread[kind], variable.shape))
    network.save(folder / "weights.npz")
    images = random.uniform(-1, 1, (32, 224, 224, 3)).astype(np.float32)
    np.savez(folder / "reference.npz", images=images, logits=network(images[:1]).numpy().ravel())


def prepare(engine, folder, layers, precision):
    forward, reference = engine(folder, layers, precision), np.load(folder / "reference.npz")
    images, expected = reference["images"], reference["logits"]
    difference = np.abs(np.asarray(forward(images[:1])).ravel() - expected).max() / np.abs(expected).max()
    if not difference < TOLERANCE[precision]:
        raise ValueError(f"its logits are off by {difference:.1e} of the largest")
    return lambda batch_size: np.asarray(forward(images[:batch_size]))


MATMUL, CONVOLUTION = 4096, (32, 256, 28)  # rows and columns; images, channels, rows and columns of pixels


def ceiling(kind, precision):
    """What the machine can do at best, by the library that measured fastest here: oneDNN, through PyTorch."""
    import torch

    dtype = getattr(torch, precision)
    if kind == "matmul":
        a = torch.rand(MATMUL, MATMUL).to(dtype)
        return lambda _: a @ a
    images, channels, side = CONVOLUTION
    x = torch.rand(images, channels, side, side).to(dtype, memory_format=torch.channels_last)
    conv = torch.nn.Conv2d(channels, channels, 3, padding=1, bias=False).to(dtype, memory_format=torch.channels_last)

    def run(_):
        with torch.no_grad():
            return conv(x)

    return run


CEILINGS = {
    "ceiling: matrix product": ("matmul", 2 * MATMUL**3),
    "ceiling: 3x3 convolution": ("conv", 2 * CONVOLUTION[0] * (CONVOLUTION[1] * 3 * CONVOLUTION[2]) ** 2),
}


def version(package):
    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return f"{package} missing"


def table(rows, layers, precision):
    """The race's rows as a DataFrame; tflops counts 2 FLOPs a MAC, and a ceiling's is that of its fastest run."""
    import pandas as pd

    from resnet_lib.timing import cpu_name, usable_cores

    records, macs = [], cost(f"resnet_v2_{layers}").macs
    for engine, (batch_size,), times, peak_memory, failed in rows:
        seconds, fastest = (np.median(times), min(times)) if times else (np.nan, np.nan)
        if engine in CEILINGS:
            network, size, tflops = engine.removeprefix("ceiling: "), None, CEILINGS[engine][1] / fastest / 1e12
        else:
            network, size, tflops = f"resnet_v2_{layers}", batch_size, 2 * macs * batch_size / seconds / 1e12
        versions = map(version, PACKAGES.get(engine, ["torch"]))
        records.append({
            "network": network, "batch_size": size, "engine": engine, "precision": precision, "median_ms": 1e3 * seconds,
            "fastest_ms": 1e3 * fastest, "slowest_ms": 1e3 * max(times, default=np.nan),
            "images_per_s": batch_size / seconds if size else None, "tflops": tflops, "peak_memory_gib": peak_memory,
            "error": failed, "device": cpu_name(), "threads": usable_cores(), "versions": ", ".join(versions),
            "date": datetime.now().astimezone().isoformat(timespec="seconds"),
            "samples_ms": ";".join(f"{1e3 * seconds:.3f}" for seconds in times),
        })  # fmt: skip
    return pd.DataFrame(records)


def run_apart(function, *args):
    """Runs it in a process of its own, so that this one keeps no TensorFlow and no PyTorch."""
    process = multiprocessing.get_context("spawn").Process(target=function, args=args)
    process.start()
    process.join()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--layers", type=int, nargs="+", default=[50, 152], choices=[50, 152])
    parser.add_argument("--batch-size", type=int, nargs="+", default=[1, 8, 32], choices=range(1, 33))
    parser.add_argument("--precision", nargs="+", default=PRECISIONS, choices=PRECISIONS)
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=list(ENGINES), metavar="ENGINE")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--csv", help="a new file for the rows")
    args = parser.parse_args()
    if args.rounds < 1:
        parser.error(f"--rounds must be 1 or more, got {args.rounds}")
    if args.csv:
        try:
            open(args.csv, "x").close()  # one file is one run; and not after half an hour that it cannot be written
        except OSError as error:
            parser.error(f"--csv must be a file that can be made anew, got {args.csv!r}: {error.strerror}")
    for layers in args.layers:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            run_apart(make_reference, folder, layers)
            if {"ONNX Runtime", "OpenVINO from ONNX"} & set(args.engines):
                run_apart(peers.export_onnx, folder, layers)  # where it fails, these two engines will miss its file
            for precision in args.precision:
                chosen = [e for e in args.engines if (e, precision) != ("resnet_lib", "bfloat16")]
                engines = {e: partial(prepare, ENGINES[e], folder, layers, precision) for e in chosen}
                engines |= {name: partial(ceiling, kind, precision) for name, (kind, _) in CEILINGS.items()}
                rows = race(engines, args.rounds, [(batch_size,) for batch_size in sorted(args.batch_size)])
                rows = [row._replace(failed=row.failed and row.failed.replace(f"{folder}/", "")) for row in rows]
                for batch_size in sorted(args.batch_size):
                    print(f"ResNet V2-{layers}, batch {batch_size}, {precision}, median of {args.rounds} rounds")
                    show([row for row in rows if row.case == (batch_size,)], first="resnet_lib, frozen: tf")
                if args.csv:
                    with open(args.csv, "a", newline="") as file:
                        header = file.tell() == 0
                        table(rows, layers, precision).to_csv(file, header=header, index=False, float_format="%.6g")


if __name__ == "__main__":
    main()
