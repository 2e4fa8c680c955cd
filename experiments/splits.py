"""Does any count say which split of sixteen units learns best? Makes data/splits.csv.

    TF_ENABLE_ONEDNN_OPTS=1 python -m experiments.splits [FILE] [--jobs N]

Thirty of the 455 ways to deal sixteen bottleneck units to four blocks (notebook 11), scaled down and trained on the first 5,000
pictures of `data.fashion_14()`. A border of zeros makes them 16x16, so that the sizes 16, 8, 4 and 2 halve exactly and all 455
have the same MACs to the last one. 16 channels in the first block, 4 in its bottlenecks, doubled from block to block; root and
shortcut as in He et al. 2015 on CIFAR-10 and `design`. Momentum SGD, 400 steps of 50 pictures, four epochs; the rate falls from
LEARNING_RATE to zero along a line. Three seeds; less than an hour on one core. A row:

    units, seed    the split, as "3 4 6 3"; the seed of the weights and of the order of the pictures
    params, macs, activations, receptive_field    what it costs and how far its last unit sees, in pixels
    train_loss     mean over the steps of the last epoch, with batch statistics
    test_error     of the weights at the end, share of wrong answers on all 10,000 test pictures
    versions, processor, date    of the run

Which thirty: a rule stated before the first run. (3, 4, 6, 3), the split of ResNet-50; (1, 9, 5, 1), which has the fewest
parameters of those that dominate it; the four with all but three units in one block. The other 449, sorted by parameters, fall
into 24 groups of nearly equal size, and `CHOICE` draws one of each. Runs go seed by seed, so that the first third of the rows
has every split once.

## Predictions, written down before the first row

What was seen before: the times of a few steps, two epochs of (3, 4, 6, 3), (13, 1, 1, 1) and (1, 1, 1, 13) at twice this width
with another rate, whose training errors were 0.38, 0.32 and 0.24, and one pilot of (3, 4, 6, 3) at this width, for the rate.

rho is the rank correlation of a count with the test error, over the thirty means of three seeds. The ceiling is what noise
leaves of a perfect correlation, sqrt(1 - s^2 / 3 / v): s^2 the mean variance between seeds, v the variance of the thirty means.

1. *There is something to predict.* The ceiling is above 0.7. Refuted by less: then three seeds cannot tell the splits apart,
   and 2 to 4 are undecided.
2. *Parameters predict best*, and more of them err less: their rho is -0.5 or lower, and no other of activations, receptive
   field and n3 - n4 is farther from zero. Refuted if it is above -0.5, or if another is farther from zero.
3. *What RegNet found in large models does not show here.* Radosavovic et al. 2020 (arXiv:2003.13678, section 5) see many blocks
   in stage 3 and few in the last among their best. rho of n3 - n4, the units of block3 less those of block4, is not below
   -0.3. Refuted if it is.
4. *The split of ResNet-50 is nothing special.* At least five of the other 29 have a lower mean error. Refuted by fewer.
5. *A third fewer parameters cost little.* (1, 9, 5, 1) errs at most one point more than (3, 4, 6, 3). Refuted by more.
"""

from __future__ import annotations

from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from experiments.jobs import add_missing, command_line
from resnet_lib import cost, data, explore
from resnet_lib.architectures import CIFAR_ROOT, Architecture
from resnet_lib.exploration import design
from resnet_lib.network import network_function
from resnet_lib.records import Records, now, processor, versions
from resnet_lib.tf_slim_compat import tf
from resnet_lib.training_graph import TrainingGraph

KEY = ["units", "seed"]
COLUMNS = [*KEY, "params", "macs", "activations", "receptive_field", "train_loss", "test_error"]
COLUMNS += ["versions", "processor", "date"]
SEEDS = range(3)
UNITS = 16
NUM_TRAIN = 5000
EPOCHS = 4
BATCH_SIZE = 50
LEARNING_RATE = 0.1
CHOICE = 11  # seed of the draw
ALWAYS = ((3, 4, 6, 3), (1, 9, 5, 1), (13, 1, 1, 1), (1, 13, 1, 1), (1, 1, 13, 1), (1, 1, 1, 13))
DRAWN = 24


def architecture(units: tuple[int, ...]) -> Architecture:
    """The small network of a split."""
    net = design(units, base_depth=4, root=CIFAR_ROOT, image_size=16, num_classes=10)
    return net.variant(channels_in=1)


def every_split() -> list[tuple[int, ...]]:
    """All ways to deal the units to four blocks of one unit at least."""
    return [units for units in product(range(1, UNITS - 2), repeat=4) if sum(units) == UNITS]


def chosen() -> list[tuple[int, ...]]:
    """The thirty splits, by the rule above."""
    others = [units for units in every_split() if units not in ALWAYS]
    others.sort(key=lambda units: (cost(architecture(units)).params, units))
    random = np.random.default_rng(CHOICE)
    groups = np.array_split(np.arange(len(others)), DRAWN)
    return [*ALWAYS, *(others[random.choice(group)] for group in groups)]


def pictures(images: np.ndarray) -> np.ndarray:
    """[number, 14, 14, 1] -> [number, 16, 16, 1], within a border of zeros."""
    return np.pad(images, [(0, 0), (1, 1), (1, 1), (0, 0)])


@cache
def graph_of(units: tuple[int, ...]) -> TrainingGraph:
    """The graph of a split, for all seeds: building it takes as long as some hundred steps, and all thirty take 4 GB."""
    net = architecture(units)

    def network(images, is_training=False):
        seed = tf.compat.v1.placeholder_with_default(np.int64(0), [], "seed")
        function = network_function(net, seed=seed, weight_decay=1e-4, batch_norm_decay=0.9)
        return function(images, is_training)

    return TrainingGraph(network, (16, 16, 1), BATCH_SIZE, momentum=0.9, seed=0, threads=1)


def start(graph: TrainingGraph, seed: int) -> None:
    """Gives all variables their first values, those of this seed."""
    graph.session.run([variable.initializer for variable in graph.variables], {"seed:0": seed})


def run(units: tuple[int, ...], seed: int, dataset: data.Dataset | None = None) -> list[dict[str, Any]]:
    """The row of one run."""
    dataset = dataset or data.fashion_14()
    images, labels = pictures(dataset.train_images[:NUM_TRAIN]), dataset.train_labels[:NUM_TRAIN]
    net, graph = architecture(units), graph_of(units)
    start(graph, seed)
    steps = EPOCHS * (len(images) // BATCH_SIZE)
    losses = []
    for epoch in range(EPOCHS):
        order = np.random.default_rng([seed, epoch]).permutation(len(images))
        for batch in order[: steps // EPOCHS * BATCH_SIZE].reshape(-1, BATCH_SIZE):
            rate = LEARNING_RATE * (1 - len(losses) / steps)
            feed = {graph.images: images[batch], graph.labels: labels[batch], graph.learning_rate: rate}
            losses.append(graph.session.run(graph.step, feed)[0])
    _, test_error = graph.evaluate(pictures(dataset.test_images), dataset.test_labels)
    row = {
        "units": " ".join(map(str, units)),
        "seed": seed,
        **cost(net)._asdict(),
        "receptive_field": explore(net).rows[-2].receptive_field,
        "train_loss": np.mean(losses[-(steps // EPOCHS) :]),
        "test_error": test_error,
        "versions": versions("tensorflow"),
        "processor": processor(),
        "date": now(),
    }
    return [row]


def main(path: Path, jobs: int = 1) -> None:
    """Makes the rows that the file lacks."""
    records = Records(path, COLUMNS, KEY)
    texts = {" ".join(map(str, units)): units for units in chosen()}
    missing = records.missing((text, seed) for seed in SEEDS for text in texts)
    add_missing(records, missing, lambda text, seed: run(texts[text], seed), jobs)


if __name__ == "__main__":
    args = command_line("Thirty splits of sixteen units; runs what the file lacks.", "splits.csv").parse_args()
    main(args.file, args.jobs)
