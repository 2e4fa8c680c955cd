"""Wide residual Inception modules at high learning rates, residuals scaled: makes data/inception_scales.csv.

    TF_ENABLE_ONEDNN_OPTS=1 python -m experiments.inception_scales [FILE] [--jobs N]

On the digits, at 4x4 positions after the first convolution: five `inception.residual_module`, with batch norms inside of the
branches and, as in the paper, none after the 1x1 that ends them, on `width` channels, their residuals times `scale`. 55 steps,
of which 33 have the full learning rate, 11 a tenth and 11 a hundredth of it. A fifth of an hour of one core; three seeds, at
the rate 0.05, which is a control, one, and five epochs, because the wide networks are slow. A row is a network:

    width, scale, rate, seed    rate: the learning rate
    zeros       share of what enters the classifier that is exactly 0: the means over all positions of what the last module puts
                out, for the training images, as the classifier sees it when it is tested (so 1 is a dead network)
    dead        share of its channels that are 0 for every training image
    train_loss  and train_error, test_error: after the last epoch; train_errors: after every epoch
    error       why a run stopped before its end, else empty

## Predictions, written down before the first run

Szegedy et al. 2016 (arXiv:1602.07261, section 3.3) report that residual variants with more than 1,000 filters "just died": the
last layer before the average pooling put out nothing but zeros; scales of 0.1 to 0.3 prevented that. Here a network *fails* if
zeros is 1, or the loss is not finite, or the training loss ends above 2.2 (that of a guess is log 10 = 2.303). The size of
fresh signals does not depend on the width (chapter 10). What a step of a given rate does, does: it changes each weight by as
much as in a narrow network, and a sum over more of them by more. So, at the rate 0.5:

1. *Wide and unscaled fails*: two of three seeds at least with 1,088 channels and a scale of 1. Refuted if two learn.
2. *Narrow does not*: no seed with 64 channels and a scale of 1. Refuted if 64 fails as often as 1,088.
3. *The scale rescues*: no seed with 1,088 channels and a scale of 0.1 or 0.3. Refuted if one of the two fails as often as a
   scale of 1.
4. *They die*: of what fails, most has zeros = 1, and not a loss that is not finite. Refuted by the contrary.
5. At the rate 0.05 nothing fails, and with 1,088 channels the unscaled network ends with the higher training loss than that of
   scale 0.1 (medians). Refuted if one fails, or the order is the other.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np

from experiments.jobs import RESULTS, add_missing, command_line
from resnet_lib import data
from resnet_lib.architectures import Architecture, Block
from resnet_lib.blocks import Root
from resnet_lib.inception import residual_module
from resnet_lib.inception_modules import Branches
from resnet_lib.records import Records, now, processor, versions
from resnet_lib.tf_slim_compat import slim, tf
from resnet_lib.training import Recipe, train
from resnet_lib.training_graph import TrainingGraph
from resnet_lib.units import BasicUnit, UnitKind

BRANCHES: Branches = ("1x1 16", "1x1 16, 3x3 16", "1x1 16, 3x3 24, 3x3 32")  # half of RESNET_V2_A
MODULES = 5
WIDTHS = (64, 256, 1088)
SCALES = (0.1, 0.3, 1.0)
SEEDS = {0.5: range(3), 0.05: range(1)}  # of a learning rate
EPOCHS = 5
KEY = ["width", "scale", "rate", "seed"]
MEASURED = ["zeros", "dead", *RESULTS, "train_errors"]
COLUMNS = [*KEY, *MEASURED, "error", "versions", "processor", "date"]


def scaled_kind(scale: float) -> UnitKind:
    """`inception.residual_module` as a kind of unit. Made where it is used, as `inception_pair.module_kind`."""

    @slim.add_arg_scope
    def unit(inputs, depth, stride, rate=1, outputs_collections=None, scope=None):
        with tf.compat.v1.variable_scope(scope, "module", [inputs]) as sc:
            net = residual_module(inputs, BRANCHES, scale, scope="residual")
            return slim.utils.collect_named_outputs(outputs_collections, sc.name, net)

    return UnitKind("scaled_inception", BasicUnit, 1, builder=unit)


def architecture(width: int, scale: float) -> Architecture:
    """A 3x3 convolution of stride 2, which leaves 4x4 positions of the digits, the modules, global pooling, a classifier."""
    block = Block("block1", scaled_kind(scale), ((width, 1),) * MODULES)
    root = Root(depth=width, kernel_size=3, stride=2, pool_stride=1)
    return Architecture("scaled", (block,), root=root, image_size=8, num_classes=10, channels_in=1)


def pooled(graph: TrainingGraph, images: np.ndarray) -> np.ndarray:
    """What enters the classifier in evaluation: [images, channels]."""
    loss, _ = graph.evaluation
    classifiers = [op for op in loss.graph.get_operations() if op.name.endswith("/logits/Conv2D")]
    features = graph.session.run(classifiers[-1].inputs[0], {graph.images: images})
    return features.reshape(len(images), -1)


def run(width: int, scale: float, rate: float, seed: int) -> list[dict[str, Any]]:
    """One network: its one row."""
    dataset = data.digits()
    recipe = Recipe(epochs=EPOCHS, learning_rate=rate)
    last_step = EPOCHS * (len(dataset.train_images) // recipe.batch_size)
    row = dict(zip(KEY, (width, scale, rate, seed), strict=True))

    def observe(step: int, graph: TrainingGraph) -> None:
        if step == last_step:
            features = pooled(graph, dataset.train_images)
            row.update(zeros=np.mean(features == 0), dead=np.mean(np.all(features == 0, axis=0)))

    history = train(architecture(width, scale), dataset, recipe, seed, threads=1, observe=observe)
    if history.epochs:
        row |= {name: history.epochs[-1]._asdict()[name] for name in RESULTS}
    row |= {"train_errors": ";".join(f"{epoch.train_error:.4f}" for epoch in history.epochs), "error": history.error}
    return [row | {"versions": versions("tensorflow"), "processor": processor(), "date": now()}]


def main(path: Path = data.DATA / "inception_scales.csv", jobs: int = 1) -> None:
    """Makes the rows that the file lacks."""
    records = Records(path, COLUMNS, KEY)
    grid = list(itertools.product(WIDTHS, SCALES))
    keys = [(*cell, rate, seed) for rate, seeds in SEEDS.items() for seed in seeds for cell in grid]
    add_missing(records, keys, run, jobs)


if __name__ == "__main__":
    description = "Wide residual Inception modules, scaled; networks that the file lacks."
    args = command_line(description, "inception_scales.csv").parse_args()
    main(args.file, args.jobs)
