"""Stacks of Inception modules with and without the shortcut, trained: makes data/inception_pair.csv.

    TF_ENABLE_ONEDNN_OPTS=1 python -m experiments.inception_pair [FILE] [--jobs N]

On 4,000 training and 2,000 test images of `data.fashion_14`, pooled to 7x7 after the first convolution; about a quarter
of an hour of one core. Five seeds; of 14 modules three, which was decided for want of time when two had been run and their
twins lay 15 points apart and more. Every module is `inception.residual_module` with the branches BRANCHES, three as in module
A of Inception-ResNet-v2, on 32 channels, unscaled; "without" leaves out the addition and nothing else, so that parameters and
MACs are equal to the integer, and the two begin with the same weights. 14 modules are as many as Inception-v4 has. A row is an
epoch of a run:

    shortcut     "with" or "without"
    modules      5, 14
    seed         of the weights and of the order of the images
    epoch        train_loss, train_error, test_error: after it
    error        why a run stopped before its end: in a last row of its own, else empty

## Predictions, written down before the first run

Szegedy et al. 2016 (arXiv:1602.07261) say of their pairs of equal cost: with shortcuts faster, in the end no better (Figs. 21
to 25), and that shortcuts are not necessary to train very deep networks for image recognition (section 2). Chapter 02 says
otherwise of plain stacks: above some depth they train worse. Medians over the seeds:

1. *Faster*: after the first and after the second epoch the training error with shortcuts is the lower one, at both depths.
   Refuted at a depth where it is not.
2. *Not better, 5 modules*: the test errors after the last epoch differ by less than 1.5 points. Refuted by a difference of 1.5
   points or more.
3. *14 modules decide between the paper and chapter 02*: on the paper's word the test errors differ by less than 1.5 points, on
   chapter 02's the network without shortcuts ends at least 1.5 points higher, in training error as well. The shortest path
   through it has 30 convolutions, the longest 58, as in the networks of chapter 02 that degrade: so chapter 02's is the
   prediction here. Refuted by a smaller difference.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from experiments.jobs import add_missing, command_line
from resnet_lib import data
from resnet_lib.architectures import Architecture, Block
from resnet_lib.blocks import Root
from resnet_lib.inception import inception_module
from resnet_lib.inception_modules import Branches
from resnet_lib.records import Records
from resnet_lib.shortcuts import unit_sum
from resnet_lib.tf_slim_compat import slim, tf
from resnet_lib.training import Recipe, train
from resnet_lib.units import BasicUnit, UnitKind

KEY = ["shortcut", "modules", "seed"]
MEASURED = ["train_loss", "train_error", "test_error"]
COLUMNS = [*KEY, "epoch", *MEASURED, "error"]
BRANCHES: Branches = ("1x1 8", "1x1 8, 3x3 8", "1x1 8, 3x3 12, 3x3 16")  # a quarter of RESNET_V2_A
DEPTH = 32
SHORTCUTS = {"with": "A", "without": "none"}
MODULES = (5, 14)
SEEDS = {5: range(5), 14: range(3)}  # of so many modules
TRAINED, TESTED = 4000, 2000
RECIPE = Recipe(epochs=8, learning_rate=0.05)


def module_kind(branches: Branches = BRANCHES) -> UnitKind:
    """`inception.residual_module` without a scale, which leaves its input out where the network has no shortcuts.

    Made where it is used: tf-slim knows a unit function by its address, which is another one in another process.
    """

    @slim.add_arg_scope
    def unit(inputs, depth, stride, rate=1, outputs_collections=None, scope=None, shortcut="B"):
        with tf.compat.v1.variable_scope(scope, "module", [inputs]) as sc:
            add = unit_sum(inputs, depth, stride, shortcut, inputs)
            mixed = inception_module(inputs, branches, scope="branches")
            residual = slim.conv2d(mixed, depth, [1, 1], normalizer_fn=None, activation_fn=None, scope="Conv2d_1x1")
            return slim.utils.collect_named_outputs(outputs_collections, sc.name, tf.nn.relu(add(residual)))

    return UnitKind("inception", BasicUnit, 1, options=("shortcut",), builder=unit)


def architecture(shortcut: str, modules: int) -> Architecture:
    """A 3x3 convolution and a pooling, which leave 7x7 positions, the modules, global pooling and a classifier."""
    block = Block("block1", module_kind(), ((DEPTH, 1),) * modules)
    root = Root(depth=DEPTH, kernel_size=3, stride=1, pool_stride=2)
    return Architecture(
        f"inception_{modules}",  # of both: the weights of a fresh network depend on its name
        (block,),
        root=root,
        shortcut=SHORTCUTS[shortcut],
        image_size=14,
        num_classes=10,
        channels_in=1,
    )


def dataset() -> data.Dataset:
    """The first images of `data.fashion_14`."""
    whole = data.fashion_14()
    return whole._replace(
        train_images=whole.train_images[:TRAINED],
        train_labels=whole.train_labels[:TRAINED],
        test_images=whole.test_images[:TESTED],
        test_labels=whole.test_labels[:TESTED],
    )


def run(shortcut: str, modules: int, seed: int) -> list[dict[str, Any]]:
    """The rows of one network."""
    key = dict(zip(KEY, (shortcut, modules, seed), strict=True))
    history = train(architecture(shortcut, modules), dataset(), RECIPE, seed, threads=1)
    rows = [{name: epoch._asdict()[name] for name in ["epoch", *MEASURED]} for epoch in history.epochs]
    stopped = [{"epoch": len(rows) + 1, "error": history.error}] if history.error else []
    return [key | row for row in rows + stopped]


def main(path: Path = data.DATA / "inception_pair.csv", jobs: int = 1) -> None:
    """Makes the rows that the file lacks."""
    records = Records(path, COLUMNS, KEY)
    keys = [(shortcut, modules, seed) for modules in MODULES for seed in SEEDS[modules] for shortcut in SHORTCUTS]
    add_missing(records, keys, run, jobs)


if __name__ == "__main__":
    description = "Inception modules with and without the shortcut; networks that the file lacks."
    args = command_line(description, "inception_pair.csv").parse_args()
    main(args.file, args.jobs)
