"""How large signals become in the 35x35 modules of a fresh Inception-ResNet-V2: makes `inception_growth.csv`.

    python data/inception_growth.py

The first layers of the network up to Mixed_5b and its ten modules block35, with the weights that
`build("inception_resnet_v2", seed=seed)` would have, on the two photographs at 299x299. Deterministic but for rounding; some
minutes on two cores. Columns:

    statistics   of the batch norms: "initial", mean 0 and variance 1, as at inference; "batch", as in training
    scale        of the residuals; 1 is none
    seed         of the weights
    module       0 is Mixed_5b, i is block35_i, what it puts out behind its ReLU
    mean_square  of x_i, over images, positions and channels
    std          standard deviation of x_i, over the same
    up_square    mean square of the residual that was added, before its scale
    zeros        share of x_i that is exactly zero
    correlation  between x_i and x_0, over all numbers
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from resnet_lib import data
from resnet_lib.inception import MIXED_5B, RESNET_V2_A, inception_arg_scope, inception_module, residual_module
from resnet_lib.network import seeded_weights
from resnet_lib.tf_slim_compat import slim, tf

SCALES = (0.1, 0.17, 0.2, 0.3, 1.0)
STATISTICS = {"initial": False, "batch": True}  # is_training of the batch norms


def photographs(size=299):
    """The two photographs as Inception takes them, from -1 to 1: [2, size, size, 3]."""
    photos = np.stack([data.photo(name) for name in ("china", "flower")])
    return (tf.image.resize(photos, [size, size]) / 127.5 - 1).numpy()


def stem(images):
    """What stands before block35_1 in the public model: [batch, 299, 299, 3] -> [batch, 35, 35, 320]."""
    net = slim.conv2d(images, 32, 3, stride=2, padding="VALID", scope="Conv2d_1a_3x3")
    net = slim.conv2d(net, 32, 3, padding="VALID", scope="Conv2d_2a_3x3")
    net = slim.conv2d(net, 64, 3, scope="Conv2d_2b_3x3")
    net = slim.max_pool2d(net, 3, stride=2, scope="MaxPool_3a_3x3")
    net = slim.conv2d(net, 80, 1, scope="Conv2d_3b_1x1")
    net = slim.conv2d(net, 192, 3, padding="VALID", scope="Conv2d_4a_3x3")
    net = slim.max_pool2d(net, 3, stride=2, scope="MaxPool_5a_3x3")
    return inception_module(net, MIXED_5B, "Mixed_5b")


def stacks(images, seed, is_training, scales=SCALES, modules=10):
    """x_0 and what each module puts out, and what each adds before its scale: lists of arrays, for one scale after another."""
    with tf.Graph().as_default() as graph:
        scale = tf.compat.v1.placeholder(tf.float32, [])
        with (
            tf.compat.v1.variable_scope("inception_resnet_v2", custom_getter=seeded_weights(seed)),
            slim.arg_scope(inception_arg_scope(is_training=is_training)),
        ):
            x = [stem(tf.constant(images))]
            for i in range(1, modules + 1):
                x.append(residual_module(x[-1], RESNET_V2_A, scale, scope=f"Repeat/block35_{i}"))
        up = [graph.get_tensor_by_name(f"inception_resnet_v2/Repeat/block35_{i + 1}/Conv2d_1x1/BiasAdd:0")
              for i in range(modules)]  # fmt: skip
        with tf.compat.v1.Session() as session:
            session.run(tf.compat.v1.global_variables_initializer())
            for value in scales:
                yield session.run((x, up), {scale: value})


def measure(seed, statistics, images):
    """The rows of one set of weights: list of dicts with the columns above."""
    rows = []
    for scale, (x, up) in zip(SCALES, stacks(images, seed, STATISTICS[statistics]), strict=True):
        for i, part in enumerate(x):
            rows.append({
                "statistics": statistics, "scale": scale, "seed": seed, "module": i,
                "mean_square": np.mean(part**2, dtype=float), "std": np.std(part, dtype=float),
                "up_square": np.mean(up[i - 1] ** 2, dtype=float) if i else None,
                "zeros": np.mean(part == 0), "correlation": np.corrcoef(x[0].ravel(), part.ravel())[0, 1],
            })  # fmt: skip
    return rows


if __name__ == "__main__":
    images, rows = photographs(), []
    for statistics in STATISTICS:
        for seed in range(5):
            rows += measure(seed, statistics, images)
            print(statistics, seed, flush=True)
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else data.DATA / "inception_growth.csv"
    pd.DataFrame(rows).to_csv(path, index=False, float_format="%.6g", lineterminator="\n")
