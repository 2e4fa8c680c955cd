"""The fits of notebook 09: one hidden layer against two on a radial function. Makes data/depth.csv.

    python -m experiments.depth [FILE]

About five minutes on one core; rows that are in the file are not made again. Points x have a random direction in
`dimension` dimensions and a radius between 0 and 1, all radii equally likely. The targets:

    radial     sin(5 pi |x|), a simple relative of the functions of Eldan and Shamir 2016 (arXiv:1512.03965)
    ridge      sin(5 pi sqrt(dimension) x_1): the control, it depends on one direction only. The root makes up for the
               smaller part of the radius that one coordinate has in the root mean square. Along a diameter the ridge has
               5 sqrt(dimension) periods and the radial function 5, so that the control is the harder of the two
    sawtooth   four teeth over the first coordinate, which three layers of two units represent exactly (Telgarsky 2015,
               arXiv:1509.08101), and one hidden layer of eight as well

Networks of ReLU units, one hidden layer of `widths` units or two, of the same number of parameters up to 1 %, are fitted by
Adam to new points in every step. Error: mean square of the difference on 10,000 other points over the variance of the
target: 0 is perfect, 1 is as good as the mean.

The sawtooth was first fitted by 2-2-2 (19 parameters), 8 (25) and 64 units (193), and only the last one learned it: a
comparison of sizes as much as of depths. A prediction, written down before its first row, for a deep network of about the
size of the 64: three layers of eight units (169) come to a mean error of 0.1 or less at the best of the three rates, so that
depth is no obstacle where there are units to spare. Refuted above 0.3.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from resnet_lib import data
from resnet_lib.records import Records
from resnet_lib.tf_slim_compat import tf

COLUMNS = ("target", "dimension", "hidden_layers", "widths", "params", "learning_rate", "steps", "seed", "error")
KEY = COLUMNS[:-1]
Widths = tuple[int, ...]
Weights = list[tuple[np.ndarray, np.ndarray]]  # kernel and bias of each layer


def sawtooth(y: tf.Tensor, layers: int = 3) -> tf.Tensor:
    """The tent map of [0, 1], 2 y up to 1/2 and 2 - 2 y from there, so many times."""
    for _ in range(layers):
        y = 2 * tf.nn.relu(y) - 4 * tf.nn.relu(y - 0.5)
    return y


TARGETS = {
    "radial": lambda x: tf.sin(5 * np.pi * tf.norm(x, axis=1)),
    "ridge": lambda x: tf.sin(5 * np.pi * np.sqrt(x.shape[1]) * x[:, 0]),
    "sawtooth": lambda x: sawtooth((1 + x[:, 0]) / 2),
}
LEARNING_RATES = (0.003, 0.01, 0.03)
SEEDS = range(5)
STEPS = 4000
STEPS_A_CALL = 200


def params(dimension: int, widths: Sequence[int]) -> int:
    """The number of weights and biases of a network from `dimension` numbers to one."""
    sizes = [dimension, *widths, 1]
    return sum((a + 1) * b for a, b in itertools.pairwise(sizes))


def equal_widths(dimension: int, width: int = 32) -> tuple[Widths, Widths]:
    """Widths of a network with two hidden layers of `width` and of one with one, of about equally many parameters."""
    wanted = params(dimension, (width, width))
    return (width, width), (round((wanted - 1) / (dimension + 2)),)


def points(number: int, dimension: int, random: np.random.Generator) -> np.ndarray:
    """Random points [number, dimension] of all directions and of radii from 0 to 1."""
    x = random.standard_normal((number, dimension))
    radius = random.random((number, 1))
    return (radius * x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def network(weights: Sequence[tuple[tf.Tensor, tf.Tensor]], x: tf.Tensor) -> tf.Tensor:
    """[batch, dimension] -> [batch]: ReLU units in every layer but the last."""
    *hidden, (last_kernel, last_bias) = weights
    for kernel, bias in hidden:
        x = tf.nn.relu(x @ kernel + bias)
    return (x @ last_kernel + last_bias)[:, 0]


def _initial(dimension, widths, random):
    """Variables (kernel, bias) of each layer, drawn from `random` in this order."""
    layers = []
    for a, b in itertools.pairwise([dimension, *widths, 1]):
        kernel = random.standard_normal((a, b)) * np.sqrt(2 / a)
        bias = random.uniform(-1, 1, b)
        layers.append((tf.Variable(kernel, dtype=tf.float32), tf.Variable(bias, dtype=tf.float32)))
    return layers


def _adam(weights, g, learning_rate, steps):
    """A function (batches, before) that takes one step of Adam for each batch [batch_size, dimension]; before: the number
    of steps before them."""
    flat = [part for layer in weights for part in layer]
    first = [tf.Variable(tf.zeros_like(part)) for part in flat]
    second = [tf.Variable(tf.zeros_like(part)) for part in flat]

    @tf.function(jit_compile=True)
    def run(batches, before):
        for i in tf.range(len(batches)):
            x = batches[i]
            t = tf.cast(before + i + 1, tf.float32)
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((network(weights, x) - g(x)) ** 2)
            rate = learning_rate * 0.5 * (1 + tf.cos(np.pi * t / steps))
            for part, m, v, gradient in zip(flat, first, second, tape.gradient(loss, flat), strict=True):
                m.assign(0.9 * m + 0.1 * gradient)
                v.assign(0.999 * v + 0.001 * gradient**2)
                part.assign_sub(rate * m / (1 - 0.9**t) / (tf.sqrt(v / (1 - 0.999**t)) + 1e-8))

    return run


def fit(
    target: str,
    dimension: int,
    widths: Sequence[int],
    learning_rate: float,
    seed: int,
    steps: int = STEPS,
    batch_size: int = 128,
) -> tuple[float, Weights]:
    """Fits a network: (error on other points, its weights). steps: a multiple of 200, over which the learning rate falls to
    zero on half a cosine."""
    random = np.random.default_rng([seed, dimension])
    g = tf.autograph.experimental.do_not_convert(TARGETS[target])
    weights = _initial(dimension, widths, random)
    run = _adam(weights, g, learning_rate, steps)
    for before in range(0, steps, STEPS_A_CALL):
        batches = points(STEPS_A_CALL * batch_size, dimension, random)
        run(tf.constant(batches.reshape(STEPS_A_CALL, batch_size, dimension)), tf.constant(before))
    x = tf.constant(points(10_000, dimension, random))
    error = tf.reduce_mean((network(weights, x) - g(x)) ** 2) / tf.math.reduce_variance(g(x))
    return float(error), [(kernel.numpy(), bias.numpy()) for kernel, bias in weights]


def grid() -> Iterator[tuple[str, int, Widths]]:
    """(target, dimension, widths) of every network: pairs of equal size, one of ten times the width, and the sawtooth."""
    for target, dimension in itertools.product(("radial", "ridge"), (1, 2, 4, 8)):
        yield from ((target, dimension, widths) for widths in equal_widths(dimension))
    _, (width,) = equal_widths(8)
    yield "radial", 8, (10 * width,)
    yield from (("sawtooth", 1, widths) for widths in ((2, 2, 2), (8,), (64,), (8, 8, 8)))


def _jobs():
    """The key of every row, in the order of the file, and what to fit for it."""
    for seed, (target, dimension, widths), rate in itertools.product(SEEDS, grid(), LEARNING_RATES):
        size = params(dimension, widths)
        key = (target, dimension, len(widths), "-".join(map(str, widths)), size, rate, STEPS, seed)
        yield key, (target, dimension, widths, rate, seed)


def main(path: Path = data.DATA / "depth.csv") -> None:
    """Makes the rows that the file lacks."""
    records = Records(path, COLUMNS, KEY)
    jobs = dict(_jobs())
    for key in records.missing(jobs):
        error, _ = fit(*jobs[key])
        records.append({**dict(zip(KEY, key, strict=True)), "error": error})


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
