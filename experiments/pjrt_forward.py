"""python pjrt_forward.py FOLDER... [--timm resnetv2_152 ...] [--rounds 20] [--csv FILE]: times exported networks on any
machine with JAX, without TensorFlow. It is one file, and imports nothing of this project.

A FOLDER is what `Network.export_stablehlo` wrote. It is compiled by JAX's PJRT client for the machine's first device, a GPU
where there is one, and runs on random images. Without weights.npz in the folder, which may be too large to carry, the
weights are random as well. Several folders take turns; so do models of timm with each batch size and precision of the
folders, eager and through torch.compile, channels last, on PyTorch's GPU where it has one. Prints median, spread, images per
second and TFLOP/s (2 FLOPs a MAC), and beside them the device's own pace, in one matrix product of each precision and in
copying memory. --csv: append a row for each, in the columns of data/forward_times.csv. What cannot run is a row with a reason.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # leaves memory to PyTorch, on a GPU

import jax  # isort: skip
import jaxlib
import ml_dtypes  # noqa: F401  makes NumPy know bfloat16
import numpy as np
from jax.extend import backend

WARM_UP = 3  # calls of an engine that are not counted; the first is a row's first call


def load(folder: str | Path) -> tuple[Callable[[Any], Any], dict[str, Any]]:
    """(run, known): run(images) gives the logits, both on the device; known: what arguments.json says."""
    folder = Path(folder)
    client = backend.get_backend()
    known = json.loads((folder / "arguments.json").read_text())
    weights = [jax.device_put(value) for value in _weights(folder, known["arguments"][1:])]
    program = client.compile_and_load((folder / "forward.stablehlo").read_bytes(), client.local_devices()[:1])
    return lambda images: program.execute([jax.device_put(images), *weights])[0], known


def _weights(folder, arguments):
    """Those of weights.npz, else random ones of about the size that weights have."""
    random = np.random.default_rng(0)
    saved = np.load(folder / "weights.npz") if (folder / "weights.npz").exists() else None
    for argument in arguments:
        shape = argument["shape"]
        if saved is not None:
            value = saved[argument["name"]]
        else:
            value = random.normal(size=shape) / np.sqrt(np.prod(shape[:-1]))
            value = np.abs(value) if len(shape) == 1 else value  # it may be a variance
        yield value.astype(argument["dtype"])


# of resnet_lib.timing.Timing, which needs TensorFlow; a test holds the two equal
COLUMNS = (
    "network batch_size image_size first_call_ms median_ms p10_ms p90_ms images_per_s tflops matmul_tflops share_of_matmul "
    "error engine precision device threads versions date samples_ms"
).split()


def seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call().block_until_ready()
    return time.perf_counter() - start


def best(function: Callable, *arguments: Any) -> float:
    """Seconds of the fastest of ten runs, after one that compiles."""
    compiled = jax.jit(function)
    return min(seconds(lambda: compiled(*arguments)) for _ in range(11))


def matmul_tflops(precision: str) -> float:
    """In a product of two square matrices, 8192 rows on a GPU and 2048 elsewhere; float32 is what the device makes of it by
    default, which on NVIDIA's GPUs is TF32."""
    size = 8192 if jax.default_backend() == "gpu" else 2048
    a = jax.numpy.ones((size, size), precision)
    return 2 * size**3 / best(lambda a, b: a @ b, a, a) / 1e12


def copy_gb_per_s() -> float:
    """Of bytes read and written, in 10^9 a second."""
    numbers = jax.numpy.ones(2**28 if jax.default_backend() == "gpu" else 2**26, "float32")
    return 2 * numbers.nbytes / best(lambda x: x + 1, numbers) / 1e9


class Engine(NamedTuple):
    """put: NumPy images -> images on the device; run: those -> nothing, when the result is there; known: as in load."""

    name: str
    versions: str
    put: Callable[[np.ndarray], Any]
    run: Callable[[Any], None]
    known: dict[str, Any]


def stablehlo(folder: str | Path) -> Engine:
    """An exported network."""
    run, known = load(folder)

    def put(images):
        return jax.device_put(images).block_until_ready()

    versions = f"jax {jax.__version__}, jaxlib {jaxlib.__version__}"
    return Engine(f"stablehlo, {jax.default_backend()}", versions, put, lambda x: run(x).block_until_ready(), known)


def timm_model(name: str, compiled: bool, like: dict[str, Any]) -> Engine:
    """The model of that name for the batches and the precision of the exported network `like`."""
    import timm
    import torch

    torch.set_float32_matmul_precision("high")  # TF32, as JAX's default on a GPU
    torch.backends.cudnn.benchmark = True
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = getattr(torch, like["precision"])
    model = timm.create_model(name).eval().to(device, dtype, memory_format=torch.channels_last)
    model = torch.compile(model) if compiled else model

    def put(images):
        return torch.from_numpy(images).to(device, dtype).permute(0, 3, 1, 2)

    def run(x):
        with torch.no_grad():
            model(x)
        if device == "cuda":
            torch.cuda.synchronize()

    known = like | {"network": name, "macs": None}  # nobody here counts timm's networks
    versions = f"timm {timm.__version__}, torch {torch.__version__}"
    return Engine(f"timm, {'compiled' if compiled else 'eager'}", versions, put, run, known)


def reason(error: Exception) -> str:
    """One line: a missing library or no memory is a reason to report, not to stop."""
    return f"{type(error).__name__}: {error}".splitlines()[0]


def make_engines(folders: list[str], models: list[str]) -> Iterator[Engine]:
    """The exported networks, then the models of timm that can be made; of the others it prints why not."""
    exported = [stablehlo(folder) for folder in folders]
    yield from exported
    likes = {(engine.known["batch_size"], engine.known["precision"]): engine.known for engine in exported}
    for like in likes.values():
        for name, compiled in product(models, (False, True)):
            try:
                yield timm_model(name, compiled, like)
            except Exception as error:
                print(f"{name} {like['precision']} batch {like['batch_size']}: {reason(error)}")


class Result(NamedTuple):
    """times: of every call in seconds, the warm-up too; failed: why there are none, else None."""

    engine: Engine
    times: list[float]
    failed: str | None


def race(engines: list[Engine], rounds: int) -> list[Result]:
    """Every engine in turn, so many times after the warm-up. One that fails is not run again."""
    times = [[] for _ in engines]
    failed = {}
    for i in range(WARM_UP + rounds):
        for number, engine in enumerate(engines):
            if number not in failed:
                try:
                    times[number].append(_one_call(engine, i))
                except Exception as error:
                    failed[number] = reason(error)
    return [Result(engine, times[number], failed.get(number)) for number, engine in enumerate(engines)]


def _one_call(engine, seed):
    shape = engine.known["arguments"][0]["shape"]
    x = engine.put(np.random.default_rng(seed).uniform(size=shape).astype(np.float32))
    start = time.perf_counter()
    engine.run(x)
    return time.perf_counter() - start


def record(result: Result, matmul: float) -> dict[str, Any]:
    """A row for data/forward_times.csv."""
    engine = result.engine
    row = {name: engine.known[name] for name in ("network", "batch_size", "precision")}
    row |= {"engine": engine.name, "device": jax.devices()[0].device_kind, "versions": engine.versions}
    row |= {"error": result.failed} if result.failed else _measured(engine.known, result.times, matmul)
    return {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in row.items()}


def _measured(known, times, matmul):
    samples = times[WARM_UP:]
    size = known["batch_size"]
    p10, median, p90 = np.percentile(samples, [10, 50, 90])
    row = {
        "image_size": "x".join(map(str, known["arguments"][0]["shape"][1:3])),
        "first_call_ms": 1e3 * times[0],
        "median_ms": 1e3 * median,
        "p10_ms": 1e3 * p10,
        "p90_ms": 1e3 * p90,
        "images_per_s": size / median,
        "matmul_tflops": matmul,
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "samples_ms": ";".join(f"{1e3 * sample:.3f}" for sample in samples),
    }
    if known["macs"]:
        row["tflops"] = 2 * known["macs"] * size / median / 1e12
        row["share_of_matmul"] = row["tflops"] / matmul
    return row


def report(result: Result, row: dict[str, Any]) -> str:
    """The line that is printed."""
    known = result.engine.known
    title = f"{known['network']:15s} {result.engine.name:15s} {known['precision']:9s} batch {known['batch_size']:4d}"
    if result.failed:
        return f"{title} {result.failed}"
    counted = result.times[WARM_UP:]
    spread = f"{1e3 * min(counted):.2f} to {1e3 * max(counted):.2f}"
    line = f"{title} {row['median_ms']:>9s} ms ({spread}) {row['images_per_s']:>9s} images/s"
    if known["macs"]:
        line += f" {row['tflops']} TFLOP/s, {row['share_of_matmul']} of the matrix product"
    return line


def append(path: str, row: dict[str, Any]) -> None:
    """Adds a row to the file, with the header first if it is new."""
    with open(path, "a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if file.tell() == 0:
            writer.writeheader()
        writer.writerow(row)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", nargs="+", help="that Network.export_stablehlo wrote")
    parser.add_argument("--timm", nargs="+", default=[], metavar="MODEL", help="models of timm to time beside them")
    parser.add_argument("--rounds", type=int, default=20, help="calls that are counted (default 20)")
    parser.add_argument("--csv", help="file to which a row a network is added")
    args = parser.parse_args()
    if args.rounds < 1:
        parser.error(f"--rounds must be 1 or more, got {args.rounds}")
    print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}, median of {args.rounds} rounds in turns")
    matmul = {precision: matmul_tflops(precision) for precision in ("float32", "bfloat16")}
    print("matrix product", *(f"{name} {rate:.3f} TFLOP/s" for name, rate in matmul.items()), sep=", ", end="; ")
    print(f"copying {copy_gb_per_s():.1f} GB/s")
    for result in race(list(make_engines(args.folders, args.timm)), args.rounds):
        row = record(result, matmul[result.engine.known["precision"]])
        print(report(result, row))
        if args.csv:
            append(args.csv, row)


if __name__ == "__main__":
    main()
