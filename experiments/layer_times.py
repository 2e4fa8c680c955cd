"""Every distinct convolution of a network, timed alone beside what its machine can do at most: adds to data/layer_times.csv.

    python -m experiments.layer_times [FILE] [--network resnet_v2_152] [--batch-size 32]

TensorFlow's convolution in float32, on all cores: 30 runs of each shape after two that are not counted, in rounds, so that a
slow moment of the machine hits all shapes alike. Three minutes on two cores. (In the first stored run each convolution was a
tf.function of its own; since then it is called as it is.) One run adds rows of one date:

    network, batch_size           whose convolutions they are
    kernel, stride, rate, groups, size_in, channels_in, size_out, channels_out   the shape; sizes are heights
    count                         how many of the network's convolutions have it
    flops, bytes                  of the whole batch: 2 a MAC; input, weights and output, once each
    median_ms, fastest_ms, samples_ms
    peak_tflops, tb_per_s, cache_mb   of the machine, measured in the same run by `timing.this_machine`
    device, threads, versions, date

## Predictions, written down before the first row

Of ResNet V2-152, batch 32. "Reached" is the bound of `roofline` (max(flops / peak, bytes / bandwidth)) over the median time.

1. *No shape is faster than its bound*, but for what fits into the cache. Refuted by one that is faster by more than 5 % with
   input and output together larger than the cache.
2. *3x3 convolutions reach 0.7 or more, 1x1 convolutions 0.5 or more*, medians over the shapes. Refuted below.
3. *The first convolution is the worst*: with three input channels it reaches less than 0.5, and less than any other. Refuted
   otherwise.
4. *Convolutions are 80 to 97 % of the whole*: the sum of median times counts, over the forward pass of the frozen network in
   TensorFlow, measured in the same minute. The rest is batch norms, ReLUs, sums and pooling. Refuted outside.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from resnet_lib import build, data, trace
from resnet_lib.layers import Layer
from resnet_lib.records import Records, now, processor, usable_cores, versions
from resnet_lib.tf_slim_compat import tf
from resnet_lib.timing import this_machine, time_forward

ROUNDS = 30
WARM_UP = 2


class Shape(NamedTuple):
    """What tells one convolution from another, for one image."""

    kernel: int
    stride: int
    rate: int
    groups: int
    size_in: int
    channels_in: int
    size_out: int
    channels_out: int


COLUMNS = [
    *("network", "batch_size", *Shape._fields, "count", "flops", "bytes"),
    *("median_ms", "fastest_ms", "peak_tflops", "tb_per_s", "cache_mb", "device", "threads", "versions", "date"),
    "samples_ms",
]


def shapes(layers: list[Layer]) -> Counter[Shape]:
    """How many convolutions of each shape a network has, by its `trace`."""
    found: Counter[Shape] = Counter()
    before = layers[0]
    for layer in layers[1:]:
        if layer.kind == "conv":
            found[_shape(layer, before)] += 1
        if not layer.on_shortcut:  # which stands before the path, and reads what the path reads
            before = layer
    return found


def _shape(layer, x):
    channels_in = x.channels_out
    sizes = {"size_in": x.size_out[0], "size_out": layer.size_out[0]}
    of_layer = {"kernel": layer.kernel, "stride": layer.stride, "rate": layer.rate, "groups": layer.groups}
    return Shape(**of_layer, **sizes, channels_in=channels_in, channels_out=layer.channels_out)


def convolution(shape: Shape, batch_size: int) -> Any:
    """A call that convolves, and returns when it has."""
    x = tf.random.stateless_uniform([batch_size, shape.size_in, shape.size_in, shape.channels_in], seed=(0, 0))
    filters = [shape.kernel, shape.kernel, shape.channels_in // shape.groups, shape.channels_out]
    weights = tf.random.stateless_uniform(filters, seed=(0, 1))
    before = (shape.kernel - 1) * shape.rate // 2
    after = (shape.kernel - 1) * shape.rate - before
    padding = [[0, 0], [before, after], [before, after], [0, 0]]

    def convolve():
        return tf.nn.conv2d(x, weights, shape.stride, padding, dilations=shape.rate)

    assert convolve().shape[1] == shape.size_out
    return lambda: convolve()[0, 0, 0, 0].numpy()


def row_of(shape: Shape, count: int, batch_size: int, samples_ms: list[float]) -> dict[str, Any]:
    """Its counts and times."""
    window = shape.kernel**2 * shape.channels_in // shape.groups
    written = shape.size_out**2 * shape.channels_out
    read = min(shape.size_in, shape.kernel * shape.size_out) ** 2 * shape.channels_in
    return {
        **shape._asdict(),
        "count": count,
        "flops": 2 * batch_size * written * window,
        "bytes": 4 * (batch_size * (read + written) + window * shape.channels_out),
        "median_ms": float(np.median(samples_ms)),
        "fastest_ms": min(samples_ms),
        "samples_ms": ";".join(f"{sample:.3f}" for sample in samples_ms),
    }


def measured(network: str, batch_size: int) -> list[dict[str, Any]]:
    """The rows of one run; the last is the whole frozen network, whose shape is empty."""
    counts = shapes(trace(network))
    machine = this_machine()
    calls = {shape: convolution(shape, batch_size) for shape in counts}
    samples: dict[Shape, list[float]] = {shape: [] for shape in counts}
    for i in range(WARM_UP + ROUNDS):
        for shape, call in calls.items():
            start = time.perf_counter()
            call()
            if i >= WARM_UP:
                samples[shape].append(1e3 * (time.perf_counter() - start))
    rows = [row_of(shape, count, batch_size, samples[shape]) for shape, count in counts.items()]
    whole = time_forward(build(network).freeze(), batch_size, num_batches=10)
    rows.append({"median_ms": whole.median_ms, "fastest_ms": min(whole.samples_ms)})
    common = {"network": network, "batch_size": batch_size, "peak_tflops": machine.tflops["float32"]}
    common |= {"tb_per_s": machine.tb_per_s, "cache_mb": machine.cache_mb, "device": processor()}
    common |= {"threads": usable_cores(), "versions": versions("tensorflow"), "date": now()}
    return [{**row, **common} for row in rows]


def main(path: Path, network: str = "resnet_v2_152", batch_size: int = 32) -> None:
    """Adds the rows of one run."""
    Records(path, COLUMNS).append(*measured(network, batch_size))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Every distinct convolution of a network, timed alone.")
    file = data.DATA / "layer_times.csv"
    parser.add_argument("file", nargs="?", type=Path, default=file, help="default: data/layer_times.csv")
    parser.add_argument("--network", default="resnet_v2_152", help="default: resnet_v2_152")
    parser.add_argument("--batch-size", type=int, default=32, metavar="N", help="default: 32")
    args = parser.parse_args()
    main(args.file, args.network, args.batch_size)
