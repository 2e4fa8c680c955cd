"""How large signals become in the 35x35 modules of a fresh Inception-ResNet-V2: makes data/inception_growth.csv.

    python -m experiments.inception_growth [FILE]

The first layers of the network up to Mixed_5b and its ten modules block35, with the weights that
`build("inception_resnet_v2", seed=seed)` would have, on the two photographs at 299x299. Deterministic but for rounding; some
minutes on two cores. What is in the file is not made again. Columns:

    statistics   of the batch norms: "initial", mean 0 and variance 1, as at inference; "batch", as in training
    scale        of the residuals; 1 is none
    seed         of the weights
    module       0 is Mixed_5b, i is block35_i, what it puts out after its ReLU
    mean_square  of x_i, over images, positions and channels
    std          standard deviation of x_i, over the same
    up_square    mean square of the residual that was added, before its scale
    zeros        share of x_i that is exactly zero
    correlation  between x_i and x_0, over all numbers
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resnet_lib import data
from resnet_lib.inception import MIXED_5B, RESNET_V2_A, inception_arg_scope, inception_module, residual_module
from resnet_lib.network import seeded_weights
from resnet_lib.records import Records
from resnet_lib.tf_slim_compat import quick_building, slim, tf

COLUMNS = ("statistics", "scale", "seed", "module", "mean_square", "std", "up_square", "zeros", "correlation")
SCALES = (0.1, 0.17, 0.2, 0.3, 1.0)
STATISTICS = {"initial": False, "batch": True}  # is_training of the batch norms
SEEDS = range(5)


def photographs(size: int = 299) -> np.ndarray:
    """The two photographs as Inception takes them, from -1 to 1: [2, size, size, 3]."""
    photos = np.stack([data.photo(name) for name in ("china", "flower")])
    return (tf.image.resize(photos, [size, size]) / 127.5 - 1).numpy()


def stem(images: tf.Tensor) -> tf.Tensor:
    """What stands before block35_1 in the public model: [batch, 299, 299, 3] -> [batch, 35, 35, 320]."""
    net = slim.conv2d(images, 32, 3, stride=2, padding="VALID", scope="Conv2d_1a_3x3")
    net = slim.conv2d(net, 32, 3, padding="VALID", scope="Conv2d_2a_3x3")
    net = slim.conv2d(net, 64, 3, scope="Conv2d_2b_3x3")
    net = slim.max_pool2d(net, 3, stride=2, padding="VALID", scope="MaxPool_3a_3x3")
    net = slim.conv2d(net, 80, 1, scope="Conv2d_3b_1x1")
    net = slim.conv2d(net, 192, 3, padding="VALID", scope="Conv2d_4a_3x3")
    net = slim.max_pool2d(net, 3, stride=2, padding="VALID", scope="MaxPool_5a_3x3")
    return inception_module(net, MIXED_5B, "Mixed_5b")


def _modules(images, scale, seed, is_training, modules):
    """x_0 and what each module puts out: a list of tensors."""
    with (
        tf.compat.v1.variable_scope("inception_resnet_v2", custom_getter=seeded_weights(seed)),
        slim.arg_scope(inception_arg_scope(is_training=is_training)),
    ):
        x = [stem(tf.constant(images))]
        for i in range(1, modules + 1):
            x.append(residual_module(x[-1], RESNET_V2_A, scale, scope=f"Repeat/block35_{i}"))
    return x


def stacks(
    images: np.ndarray, seed: int, is_training: bool, scales: Sequence[float] = SCALES, modules: int = 10
) -> Iterator[tuple[list[np.ndarray], list[np.ndarray]]]:
    """x_0 and what each module puts out, and what each adds before its scale: lists of arrays, one scale after another."""
    with tf.Graph().as_default() as graph:
        scale = tf.compat.v1.placeholder(tf.float32, [])
        with quick_building():
            x = _modules(images, scale, seed, is_training, modules)
        names = [f"inception_resnet_v2/Repeat/block35_{i}/Conv2d_1x1/BiasAdd:0" for i in range(1, modules + 1)]
        up = [graph.get_tensor_by_name(name) for name in names]
        with tf.compat.v1.Session() as session:
            session.run(tf.compat.v1.global_variables_initializer())
            for value in scales:
                yield session.run((x, up), {scale: value})


def measure(seed: int, statistics: str, images: np.ndarray) -> list[dict[str, Any]]:
    """The rows of one set of weights: list of dicts with the columns above."""
    rows = []
    for scale, (x, up) in zip(SCALES, stacks(images, seed, STATISTICS[statistics], SCALES), strict=True):
        added = [None, *(np.mean(residual**2, dtype=float) for residual in up)]
        for i, (part, up_square) in enumerate(zip(x, added, strict=True)):
            row = {"statistics": statistics, "scale": scale, "seed": seed, "module": i, "up_square": up_square}
            row["mean_square"] = np.mean(part**2, dtype=float)
            row["std"] = np.std(part, dtype=float)
            row["zeros"] = np.mean(part == 0)
            row["correlation"] = np.corrcoef(x[0].ravel(), part.ravel())[0, 1]
            rows.append(row)
    return rows


def main(path: Path = data.DATA / "inception_growth.csv") -> None:
    """Makes the rows that the file lacks."""
    records = Records(path, COLUMNS, key=("statistics", "seed"))
    images = photographs()
    for statistics, seed in records.missing((statistics, seed) for statistics in STATISTICS for seed in SEEDS):
        records.append(*measure(seed, statistics, images))
        print(statistics, seed, flush=True)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
