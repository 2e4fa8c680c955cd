"""The fits of notebook 09: one hidden layer against two on a radial function. Makes depth.csv beside this file.

    python data/depth.py

About five minutes on one core; rows that are in the file are not made again. Points x have a random direction in `dimension`
dimensions and a radius between 0 and 1, all radii equally likely. The targets:

    radial     sin(5 pi |x|), a simple relative of the functions of Eldan and Shamir 2016 (arXiv:1512.03965)
    ridge      sin(5 pi sqrt(dimension) x_1): the control, it depends on one direction only. The root makes up for the smaller
               part of the radius that one coordinate has, so that it oscillates over the points as often as the radial one
    sawtooth   four teeth over the first coordinate, which three layers of two units represent exactly (Telgarsky 2015,
               arXiv:1509.08101), and one hidden layer of eight as well

Networks of ReLU units, one hidden layer of `widths` units or two, of the same number of parameters up to 1 %, are fitted by
Adam to new points in every step. Error: mean square of the difference on 10,000 other points over the variance of the target:
0 is perfect, 1 is as good as the mean.
"""

import csv
import itertools
from pathlib import Path

import numpy as np

from resnet_lib.tf_slim_compat import tf

COLUMNS = ("target", "dimension", "hidden_layers", "widths", "params", "learning_rate", "steps", "seed", "error")


def sawtooth(y, layers=3):
    """The tent map of [0, 1], 2 y up to 1/2 and 2 - 2 y from there, so many times."""
    for _ in range(layers):
        y = 2 * tf.nn.relu(y) - 4 * tf.nn.relu(y - 0.5)
    return y


TARGETS = {
    "radial": lambda x: tf.sin(5 * np.pi * tf.norm(x, axis=1)),
    "ridge": lambda x: tf.sin(5 * np.pi * np.sqrt(x.shape[1]) * x[:, 0]),
    "sawtooth": lambda x: sawtooth((1 + x[:, 0]) / 2),
}
LEARNING_RATES, SEEDS, STEPS = (0.003, 0.01, 0.03), range(5), 4000


def params(dimension, widths):
    """The number of weights and biases of a network from `dimension` numbers to one."""
    sizes = [dimension, *widths, 1]
    return sum((a + 1) * b for a, b in itertools.pairwise(sizes))


def equal_widths(dimension, width=32):
    """Widths of a network with two hidden layers of `width` and of one with one, of about equally many parameters."""
    wanted = params(dimension, (width, width))
    return (width, width), (round((wanted - 1) / (dimension + 2)),)


def points(number, dimension, random):
    """Random points [number, dimension] of all directions and of radii from 0 to 1."""
    x = random.standard_normal((number, dimension))
    radius = random.random((number, 1))
    return (radius * x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def network(weights, x):
    """[batch, dimension] -> [batch]: ReLU units in every layer but the last."""
    for kernel, bias in weights[:-1]:
        x = tf.nn.relu(x @ kernel + bias)
    return (x @ weights[-1][0] + weights[-1][1])[:, 0]


def fit(target, dimension, widths, learning_rate, seed, steps=STEPS, batch_size=128):
    """Fits a network: (error on other points, its weights). steps: a multiple of 200, over which the learning rate falls to
    zero on half a cosine."""
    random, g = np.random.default_rng([seed, dimension]), tf.autograph.experimental.do_not_convert(TARGETS[target])
    shapes = itertools.pairwise([dimension, *widths, 1])
    weights = [(random.standard_normal((a, b)) * np.sqrt(2 / a), random.uniform(-1, 1, b)) for a, b in shapes]
    weights = [tuple(tf.Variable(part, dtype=tf.float32) for part in layer) for layer in weights]
    flat = [part for layer in weights for part in layer]
    first, second = ([tf.Variable(tf.zeros_like(part)) for part in flat] for _ in range(2))

    @tf.function(jit_compile=True)
    def run(batches, before):
        """One step of Adam for each batch [batch_size, dimension]; `before`: the number of steps before them."""
        for i in tf.range(len(batches)):
            x, t = batches[i], tf.cast(before + i + 1, tf.float32)
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((network(weights, x) - g(x)) ** 2)
            rate = learning_rate * 0.5 * (1 + tf.cos(np.pi * t / steps))
            for part, m, v, gradient in zip(flat, first, second, tape.gradient(loss, flat), strict=True):
                m.assign(0.9 * m + 0.1 * gradient)
                v.assign(0.999 * v + 0.001 * gradient**2)
                part.assign_sub(rate * m / (1 - 0.9**t) / (tf.sqrt(v / (1 - 0.999**t)) + 1e-8))

    for before in range(0, steps, 200):
        batches = points(200 * batch_size, dimension, random).reshape(200, batch_size, dimension)
        run(tf.constant(batches), tf.constant(before))
    x = tf.constant(points(10_000, dimension, random))
    error = tf.reduce_mean((network(weights, x) - g(x)) ** 2) / tf.math.reduce_variance(g(x))
    return float(error), [tuple(part.numpy() for part in layer) for layer in weights]


def grid():
    """(target, dimension, widths) of every network: pairs of equal size, one of ten times the width, and the sawtooth."""
    for target, dimension in itertools.product(("radial", "ridge"), (1, 2, 4, 8)):
        yield from ((target, dimension, widths) for widths in equal_widths(dimension))
    yield "radial", 8, (10 * equal_widths(8)[1][0],)
    yield from (("sawtooth", 1, widths) for widths in ((2, 2, 2), (8,), (64,)))


def main(path):
    rows = list(csv.DictReader(path.open())) if path.exists() else []
    done = {tuple(row.values())[:-1] for row in rows}
    with path.open("a", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if not rows:
            writer.writerow(COLUMNS)
        for seed, (target, dimension, widths), rate in itertools.product(SEEDS, grid(), LEARNING_RATES):
            known = (target, dimension, len(widths), "-".join(map(str, widths)), params(dimension, widths), rate)
            row = tuple(map(str, (*known, STEPS, seed)))
            if row not in done:
                error, _ = fit(target, dimension, widths, rate, seed)
                writer.writerow([*row, f"{error:.6g}"])
                file.flush()


if __name__ == "__main__":
    main(Path(__file__).with_suffix(".csv"))
