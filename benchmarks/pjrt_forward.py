"""python pjrt_forward.py FOLDER... [--timm resnetv2_152 ...] [--rounds 20] [--csv FILE]: times exported networks on any
machine with JAX, without TensorFlow.

A FOLDER is what `Network.export_stablehlo` wrote. It is compiled by JAX's PJRT client for the machine's first device, a GPU
where there is one, and runs on random images. Without weights.npz in the folder, which may be too large to carry, the
weights are random as well. Several folders take turns; so do models of timm with each batch size and precision of the
folders, eager and through torch.compile, channels last, on PyTorch's GPU where it has one. Prints median, spread, images per
second and TFLOP/s (2 FLOPs a MAC), and beside them the device's own pace, in one matrix product of each precision and in
copying memory. --csv: append a row for each, in the columns of data/forward_times.csv. What cannot run is a row with a reason.
"""

import argparse
import csv
import json
import os
import time
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # leaves memory to PyTorch, on a GPU

import jax  # isort: skip
import jaxlib
import ml_dtypes  # noqa: F401  makes NumPy know bfloat16
import numpy as np
from jax.extend import backend


def load(folder):
    """(run, known): run(images) gives the logits, both on the device; known: what arguments.json says."""
    folder, client = Path(folder), backend.get_backend()
    known, random = json.loads((folder / "arguments.json").read_text()), np.random.default_rng(0)
    saved = np.load(folder / "weights.npz") if (folder / "weights.npz").exists() else None
    weights = []
    for argument in known["arguments"][1:]:
        shape = argument["shape"]
        value = random.normal(size=shape) / np.sqrt(np.prod(shape[:-1])) if saved is None else saved[argument["name"]]
        if saved is None and len(shape) == 1:
            value = np.abs(value)  # it may be a variance
        weights.append(jax.device_put(value.astype(argument["dtype"])))
    program = client.compile_and_load((folder / "forward.stablehlo").read_bytes(), client.local_devices()[:1])
    return lambda images: program.execute([jax.device_put(images), *weights])[0], known


# of resnet_lib.timing.Timing, which needs TensorFlow; tests/test_exporting.py holds the two equal
COLUMNS = (
    "network", "batch_size", "image_size", "first_call_ms", "median_ms", "p10_ms", "p90_ms", "images_per_s", "tflops",
    "matmul_tflops", "share_of_matmul", "error", "engine", "precision", "device", "threads", "versions", "date", "samples_ms",
)  # fmt: skip


def seconds(call):
    start = time.perf_counter()
    call().block_until_ready()
    return time.perf_counter() - start


def best(function, *arguments):
    """Seconds of the fastest of ten runs, after one that compiles."""
    compiled = jax.jit(function)
    return min(seconds(lambda: compiled(*arguments)) for _ in range(11))


def matmul_tflops(precision):
    """In a product of two square matrices, 8192 rows on a GPU and 2048 elsewhere; float32 is what the device makes of it by
    default, which on NVIDIA's GPUs is TF32."""
    size = 8192 if jax.default_backend() == "gpu" else 2048
    a = jax.numpy.ones((size, size), precision)
    return 2 * size**3 / best(lambda a, b: a @ b, a, a) / 1e12


def copy_gb_per_s():
    """Of bytes read and written, in 10^9 a second."""
    numbers = jax.numpy.ones(2**28 if jax.default_backend() == "gpu" else 2**26, "float32")
    return 2 * numbers.nbytes / best(lambda x: x + 1, numbers) / 1e9


class Engine(NamedTuple):
    """put: NumPy images -> images on the device; run: those -> nothing, when the result is there; known: as in load."""

    name: str
    versions: str
    put: object
    run: object
    known: dict


def stablehlo(folder):
    run, known = load(folder)
    put = lambda images: jax.device_put(images).block_until_ready()  # noqa: E731
    versions = f"jax {jax.__version__}, jaxlib {jaxlib.__version__}"
    return Engine(f"stablehlo, {jax.default_backend()}", versions, put, lambda x: run(x).block_until_ready(), known)


def timm_model(name, compiled, like):
    """The model of that name for the batches and the precision of the exported network `like`."""
    import timm
    import torch

    torch.set_float32_matmul_precision("high")  # TF32, as JAX's default on a GPU
    torch.backends.cudnn.benchmark = True
    device, dtype = "cuda" if torch.cuda.is_available() else "cpu", getattr(torch, like["precision"])
    model = timm.create_model(name).eval().to(device, dtype, memory_format=torch.channels_last)
    model = torch.compile(model) if compiled else model

    def put(images):
        return torch.from_numpy(images).to(device, dtype).permute(0, 3, 1, 2)

    def run(x):
        with torch.no_grad():
            model(x)
        if device == "cuda":
            torch.cuda.synchronize()

    versions = f"timm {timm.__version__}, torch {torch.__version__}"
    return Engine(
        f"timm, {'compiled' if compiled else 'eager'}", versions, put, run, like | {"network": name, "macs": None}
    )


def record(engine, times, matmul):
    """A row for data/forward_times.csv."""
    (first, _, _, *samples), known, size = times, engine.known, engine.known["batch_size"]
    p10, median, p90 = np.percentile(samples, [10, 50, 90])
    values = {
        "network": known["network"], "batch_size": size,
        "image_size": "x".join(map(str, known["arguments"][0]["shape"][1:3])), "first_call_ms": 1e3 * first,
        "median_ms": 1e3 * median, "p10_ms": 1e3 * p10, "p90_ms": 1e3 * p90, "images_per_s": size / median,
        "matmul_tflops": matmul, "engine": engine.name, "precision": known["precision"],
        "device": jax.devices()[0].device_kind, "versions": engine.versions,
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "samples_ms": ";".join(f"{1e3 * s:.3f}" for s in samples),
    }  # fmt: skip
    if known["macs"]:  # timm's networks are counted by nobody here
        values["tflops"] = 2 * known["macs"] * size / median / 1e12
        values["share_of_matmul"] = values["tflops"] / matmul
    return {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in values.items()}


def append(path, row):
    with open(path, "a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if file.tell() == 0:
            writer.writeheader()
        writer.writerow(row)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--timm", nargs="+", default=[], metavar="MODEL")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--csv")
    args = parser.parse_args()
    if args.rounds < 1:
        parser.error(f"--rounds must be 1 or more, got {args.rounds}")
    print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}, median of {args.rounds} rounds in turns")
    matmul = {precision: matmul_tflops(precision) for precision in ("float32", "bfloat16")}
    print("matrix product", *(f"{name} {rate:.3f} TFLOP/s" for name, rate in matmul.items()), sep=", ", end="; ")
    print(f"copying {copy_gb_per_s():.1f} GB/s")
    engines = [stablehlo(folder) for folder in args.folders]
    likes = {(engine.known["batch_size"], engine.known["precision"]): engine.known for engine in engines}
    for (batch_size, precision), like in likes.items():
        for name, compiled in product(args.timm, (False, True)):
            try:
                engines.append(timm_model(name, compiled, like))
            except Exception as error:  # a missing library, no memory: a reason to report, not to stop
                print(f"{name} {precision} batch {batch_size}: {type(error).__name__}: {error}".splitlines()[0])
    times, failed = [[] for _ in engines], {}
    for i in range(3 + args.rounds):  # the first is a row's first call, two more warm up
        for number, engine in enumerate(engines):
            images = np.random.default_rng(i).uniform(size=engine.known["arguments"][0]["shape"]).astype(np.float32)
            if number not in failed:
                try:
                    x = engine.put(images)
                    start = time.perf_counter()
                    engine.run(x)
                    times[number].append(time.perf_counter() - start)
                except Exception as error:
                    failed[number] = f"{type(error).__name__}: {error}".splitlines()[0]
    for number, engine in enumerate(engines):
        known = engine.known
        title = f"{known['network']:15s} {engine.name:15s} {known['precision']:9s} batch {known['batch_size']:4d}"
        if number in failed:
            print(f"{title} {failed[number]}")
            row = {name: known[name] for name in ("network", "batch_size", "precision")}
            row |= {"error": failed[number], "engine": engine.name, "versions": engine.versions}
            row["device"] = jax.devices()[0].device_kind
        else:
            row, counted = record(engine, times[number], matmul[known["precision"]]), times[number][3:]
            rate = f" {row['tflops']} TFLOP/s, {row['share_of_matmul']} of the matrix product" if known["macs"] else ""
            print(
                f"{title} {row['median_ms']:>9s} ms ({1e3 * min(counted):.2f} to {1e3 * max(counted):.2f}) "
                f"{row['images_per_s']:>9s} images/s{rate}"
            )
        if args.csv:
            append(args.csv, row)


if __name__ == "__main__":
    main()
