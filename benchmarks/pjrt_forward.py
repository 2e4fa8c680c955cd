"""python pjrt_forward.py FOLDER... [--rounds 20]: times exported networks on any machine with JAX, without TensorFlow.

A FOLDER is what `Network.export_stablehlo` wrote. It is compiled by JAX's PJRT client for the machine's first device, a GPU
where there is one, and runs on random images. Without weights.npz in the folder, which may be too large to carry, the
weights are random as well. Several folders take turns. Prints device, median, spread, images per second and TFLOP/s (2 FLOPs
a MAC).
"""

import argparse
import json
import statistics
import time
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


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--rounds", type=int, default=20)
    args = parser.parse_args()
    print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}, median of {args.rounds} rounds in turns")
    networks = [load(folder) for folder in args.folders]
    samples = [[] for _ in networks]
    for i in range(2 + args.rounds):  # two rounds warm up
        for (run, known), seconds in zip(networks, samples, strict=True):
            shape = known["arguments"][0]["shape"]
            images = jax.device_put(np.random.default_rng(i).uniform(size=shape).astype(np.float32)).block_until_ready()
            start = time.perf_counter()
            run(images).block_until_ready()
            if i > 1:
                seconds.append(time.perf_counter() - start)
    for (_, known), seconds in zip(networks, samples, strict=True):
        middle, size = statistics.median(seconds), known["batch_size"]
        print(
            f"{known['network']:15s} {known['precision']:9s} batch {size:4d} {1e3 * middle:9.2f} ms "
            f"({1e3 * min(seconds):.2f} to {1e3 * max(seconds):.2f}) {size / middle:9.1f} images/s "
            f"{2 * known['macs'] * size / middle / 1e12:8.3f} TFLOP/s"
        )


if __name__ == "__main__":
    main()
