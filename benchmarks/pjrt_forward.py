"""python pjrt_forward.py FOLDER... [--rounds 20] [--csv FILE]: times exported networks on any machine with JAX, without
TensorFlow.

A FOLDER is what `Network.export_stablehlo` wrote. It is compiled by JAX's PJRT client for the machine's first device, a GPU
where there is one, and runs on random images. Without weights.npz in the folder, which may be too large to carry, the
weights are random as well. Several folders take turns. Prints device, median, spread, images per second and TFLOP/s (2 FLOPs
a MAC), and beside them the device's own pace, in one matrix product of each precision and in copying memory. --csv: append a
row for each folder, in the columns of data/forward_times.csv.
"""

import argparse
import csv
import json
import time
from datetime import datetime
from pathlib import Path

import jax
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


def record(known, first, samples, matmul):
    """A row for data/forward_times.csv."""
    size, (p10, median, p90) = known["batch_size"], np.percentile(samples, [10, 50, 90])
    tflops = 2 * known["macs"] * size / median / 1e12
    values = {
        "network": known["network"], "batch_size": size,
        "image_size": "x".join(map(str, known["arguments"][0]["shape"][1:3])), "first_call_ms": 1e3 * first,
        "median_ms": 1e3 * median, "p10_ms": 1e3 * p10, "p90_ms": 1e3 * p90, "images_per_s": size / median,
        "tflops": tflops, "matmul_tflops": matmul, "share_of_matmul": tflops / matmul,
        "engine": f"stablehlo, {jax.default_backend()}", "precision": known["precision"],
        "device": jax.devices()[0].device_kind, "versions": f"jax {jax.__version__}, jaxlib {jax.lib.__version__}",
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "samples_ms": ";".join(f"{1e3 * s:.3f}" for s in samples),
    }  # fmt: skip
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
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--csv")
    args = parser.parse_args()
    print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}, median of {args.rounds} rounds in turns")
    matmul = {precision: matmul_tflops(precision) for precision in ("float32", "bfloat16")}
    print("matrix product", *(f"{name} {rate:.3f} TFLOP/s" for name, rate in matmul.items()), sep=", ", end="; ")
    print(f"copying {copy_gb_per_s():.1f} GB/s")
    networks = [load(folder) for folder in args.folders]
    samples = [[] for _ in networks]
    for i in range(3 + args.rounds):  # the first is a row's first call, two more warm up
        for (run, known), times in zip(networks, samples, strict=True):
            shape = known["arguments"][0]["shape"]
            images = jax.device_put(np.random.default_rng(i).uniform(size=shape).astype(np.float32)).block_until_ready()
            times.append(seconds(lambda run=run, images=images: run(images)))
    for (_, known), (first, _, _, *times) in zip(networks, samples, strict=True):
        row = record(known, first, times, matmul[known["precision"]])
        print(
            f"{row['network']:15s} {row['precision']:9s} batch {row['batch_size']:4d} {row['median_ms']:>9s} ms "
            f"({1e3 * min(times):.2f} to {1e3 * max(times):.2f}) {row['images_per_s']:>9s} images/s "
            f"{row['tflops']:>8s} TFLOP/s, {row['share_of_matmul']} of the matrix product"
        )
        if args.csv:
            append(args.csv, row)


if __name__ == "__main__":
    main()
