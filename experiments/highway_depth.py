"""How deep Highway networks train, and what their depth brings: makes data/highway_depth.csv.

    python -m experiments.highway_depth [FILE] [--jobs N]

On the digits, five seeds; about half an hour on two cores. A row is an epoch of a run:

    network           "convolutional": the Highway family of the sweeps, 110 layers, with the recipe of data/degradation.csv
                      "stack": 900 fully connected Highway layers of width 32, as `highway.train_stack` trains them
                      "frozen stack": the same, but only the layers before and after the stack are trained
                      "ten layers": `train_stack` with ten plain layers; "softmax regression": no hidden layer at all, with
                      the steps, rate and momentum of the stacks
    gate_bias         where the transform gates begin: -3, or -ln(L - 1) for L Highway layers, the rule of chapter 01; 0 for
                      networks without gates
    epoch, train_error, test_error, train_loss

## Predictions, written down before the first run

1. *The rule's bias mends the convolutional network.* With -ln(105) = -4.7 all five seeds end at 1 % training error or less,
   where with -3 at least two of five end above 50 %. Refuted if a seed with the rule's bias ends above 10 %.
2. *900 layers train, and bring nothing here.* The median training error of the stack falls below 20 % within 20 epochs, and
   stays above that of softmax regression in each of the 20. Refuted if it does not fall so far, or falls below.
3. *The stack itself learns little in that time.* The frozen stack has no higher training error, in the median, after 5 epochs
   and after 20. Refuted if training the 900 layers lowers it at both.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import log
from pathlib import Path
from typing import Any

import numpy as np

from experiments.jobs import add_missing, command_line
from resnet_lib import data
from resnet_lib.architectures import Architecture
from resnet_lib.highway import LayerWeights, highway_layer, highway_unit, plain_layer, train_stack
from resnet_lib.records import Records
from resnet_lib.sweep import with_units
from resnet_lib.tf_slim_compat import slim, tf
from resnet_lib.training import Recipe, train
from resnet_lib.units import BasicUnit, UnitKind

KEY = ["network", "gate_bias", "seed"]
COLUMNS = [*KEY, "epoch", "train_loss", "train_error", "test_error"]
RECIPE = Recipe(learning_rate=0.05, warm_up=2)
LAYERS = 110
STACKED = 900
EPOCHS = 20
SEEDS = range(5)
FIXED_BIAS = -3.0


def rule(layers: int) -> float:
    """The bias with which so many Highway layers transform their input about once in all, rounded for a file."""
    return round(-log(layers - 1), 3)


HIGHWAY_LAYERS = LAYERS - 4  # without the first convolution, two layers that change the shape, and the classifier
NETWORKS = [
    ("convolutional", FIXED_BIAS),
    ("convolutional", rule(HIGHWAY_LAYERS)),
    ("stack", rule(STACKED)),
    ("frozen stack", rule(STACKED)),
    ("ten layers", 0.0),
    ("softmax regression", 0.0),
]


def with_bias(gate_bias: float) -> UnitKind:
    """The kind of Highway units whose gates begin there."""

    @slim.add_arg_scope
    def unit(inputs, depth, stride, rate=1, outputs_collections=None, scope=None):
        return highway_unit(
            inputs, depth, stride, rate, gate_bias, outputs_collections=outputs_collections, scope=scope
        )

    return UnitKind("highway", BasicUnit, 1, builder=unit)


def convolutional(gate_bias: float, layers: int = LAYERS) -> Architecture:
    """The Highway family's network with this bias."""
    return with_units("highway", with_bias(gate_bias), shortcut="B")(layers)


def frozen_layer(x: tf.Tensor, weights: LayerWeights, activation: Any = tf.tanh) -> tf.Tensor:
    """A Highway layer whose weights stay as they are."""
    return highway_layer(x, LayerWeights(*map(tf.stop_gradient, weights)), activation)


def softmax_regression(dataset: data.Dataset, seed: int, epochs: int) -> Iterator[dict[str, Any]]:
    """One linear layer, trained as `train_stack` trains: a record an epoch."""
    images = dataset.train_images.reshape(len(dataset.train_images), -1)
    tests = dataset.test_images.reshape(len(dataset.test_images), -1)
    classes = np.eye(dataset.num_classes)
    weights = np.zeros((images.shape[1] + 1, dataset.num_classes))
    velocity = np.zeros_like(weights)

    def logits(pixels):
        return pixels @ weights[:-1] + weights[-1]

    for epoch in range(epochs):
        order = np.random.default_rng([seed, epoch]).permutation(len(images))
        losses = []
        for batch in order[: len(order) // 100 * 100].reshape(-1, 100):
            scores = logits(images[batch])
            scores = np.exp(scores - scores.max(axis=1, keepdims=True))
            probabilities = scores / scores.sum(axis=1, keepdims=True)
            wanted = classes[dataset.train_labels[batch]]
            losses.append(-np.mean(np.log(probabilities[wanted == 1])))
            slope = (probabilities - wanted) / len(batch)
            velocity = 0.9 * velocity + np.vstack([images[batch].T @ slope, slope.sum(axis=0)])
            weights = weights - 0.05 * velocity
        yield {
            "epoch": epoch + 1,
            "train_loss": np.mean(losses),
            "train_error": np.mean(logits(images).argmax(axis=1) != dataset.train_labels),
            "test_error": np.mean(logits(tests).argmax(axis=1) != dataset.test_labels),
        }


def measured(network: str, gate_bias: float, seed: int) -> list[dict[str, Any]]:
    """The rows of one run."""
    dataset = data.digits()
    if network == "convolutional":
        epochs = [epoch._asdict() for epoch in train(convolutional(gate_bias), dataset, RECIPE, seed, threads=1).epochs]
    elif network == "softmax regression":
        epochs = list(softmax_regression(dataset, seed, EPOCHS))
    else:
        layer = {"stack": highway_layer, "frozen stack": frozen_layer, "ten layers": plain_layer}[network]
        number = 10 if network == "ten layers" else STACKED
        stack = train_stack(layer, number, dataset, 32, gate_bias, EPOCHS, seed=seed)
        epochs = [epoch._asdict() for epoch in stack.epochs]
    key = dict(zip(KEY, (network, gate_bias, seed), strict=True))
    return [{**key, **{name: epoch[name] for name in COLUMNS[3:]}} for epoch in epochs]


def main(path: Path, jobs: int = 1) -> None:
    """Makes the rows that the file lacks."""
    records = Records(path, COLUMNS, KEY)
    add_missing(records, [(*network, seed) for network in NETWORKS for seed in SEEDS], measured, jobs)


if __name__ == "__main__":
    description = "Deep Highway networks and their controls; runs what the file lacks."
    args = command_line(description, "highway_depth.csv").parse_args()
    main(args.file, args.jobs)
