"""Which paths does a residual network need while it learns? Makes data/short_paths.csv.

    python -m experiments.short_paths [FILE] [--jobs N]

V2 of 56 layers (27 basic units, shortcut A) on the digits, with the recipe of `data/degradation.csv`, trained in seven ways.
Five seeds; about half an hour on two cores. A row is one run:

    training      one of TRAININGS:
                  "whole"             as always
                  "backward 1/2"      and "backward 1/4", "backward 0": the forward pass is as always, and backpropagation
                                      multiplies what leaves the residual of a unit towards the input by q, 1/2, 1/4 or 0. A
                                      path through k residuals counts q^k. With 0 only the shortcuts are left: each unit learns
                                      as if no later unit responded to it
                  "23 of 54 units"    each unit takes part in a step, forward and backward, with a probability of 23 / 54, the
                                      share of Veit et al. 2016 (arXiv:1605.06431, section 5), who draw 23 units; else it is
                                      its shortcut alone
                  "stochastic depth"  the probability falls linearly, from near 1 in the first unit to 1/2 in the last (Huang
                                      et al. 2016, arXiv:1603.09382, section 3)
                  "classifier only"   the control: the gradients of all but the last batch norm and the classifier are set to 0
    seed
    train_loss    and train_error, test_error: after the last epoch; train_errors: after every epoch
    error         why a run stopped before its end, else empty

Where units are drawn, one draw holds for the whole batch, and in evaluation every unit takes part, its residual multiplied by
its probability (Huang et al., section 3). The units of a row are drawn by its seed.

## Predictions, written down before the first row

What is known (`data/path_spectrum.csv`): the gradient for what the first unit receives comes along paths of 3 to 9 residuals,
and the paths of lengths 0 and 1 together hold less than a hundredth of it, fresh and trained. So it is easy to think that a
network learns from the paths of middle length. Medians over the seeds:

1. *The shortcuts are enough.* "backward 0" ends at a training error of 0.02 or less. Refuted above 0.1: then what carries the
   gradient is what the network learns from.
2. *They cost something in the test*: "backward 0" has 0.01 to 0.05 more test error than "whole". Refuted outside.
3. *With half of the gradient at each residual nothing is lost*: "backward 1/2" is within 0.02 of the test error of "whole".
   Refuted if it is more than 0.04 above it.
4. *A part of the units is enough in each step*, as Veit et al. found (test error on CIFAR-10: 5.96 % with 23 of 54 units,
   6.10 % with all): "23 of 54 units" ends at a training error of 0.05 or less and within 0.02 of the test error of "whole".
   Refuted if it is above 0.15 in training, or more than 0.04 above "whole" in the test.
5. *Stochastic depth neither helps nor harms in 15 epochs*: within 0.015 of the test error of "whole" (Huang et al. train 500
   epochs). Refuted outside.
6. *The control*: "classifier only" stays above 0.2 in training. Refuted at 0.1 or less: then random units do the work, and 1 to
   4 say nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from experiments.jobs import TRAINED, add_missing, command_line, trained
from resnet_lib import data
from resnet_lib.architectures import Architecture, cifar_architecture
from resnet_lib.blocks import Block
from resnet_lib.convolutions import conv2d_same
from resnet_lib.records import Records
from resnet_lib.shortcuts import unit_sum
from resnet_lib.tf_slim_compat import slim, tf
from resnet_lib.training import Recipe
from resnet_lib.units import BasicUnit, UnitKind

KEY = ["training", "seed"]
COLUMNS = [*KEY, *TRAINED]
RECIPE = Recipe(epochs=15, learning_rate=0.05, warm_up=2)
LAYERS = 56
SEEDS = range(5)


class Training(NamedTuple):
    """One way to train. backward: q; keep_first, keep_last: the probability of a unit ahead of the first and of the last."""

    backward: float = 1
    keep_first: float = 1
    keep_last: float = 1


TRAININGS = {
    "whole": Training(),
    "backward 1/2": Training(backward=1 / 2),
    "backward 1/4": Training(backward=1 / 4),
    "backward 0": Training(backward=0),
    "23 of 54 units": Training(keep_first=23 / 54, keep_last=23 / 54),
    "stochastic depth": Training(keep_last=1 / 2),
    "classifier only": Training(),
}


def with_gradient_times(q: float, x: tf.Tensor) -> tf.Tensor:
    """x, whose gradient is multiplied by q."""
    return x + (q - 1) * (x - tf.stop_gradient(x))


def kept(residual: tf.Tensor, probability: float) -> tf.Tensor:
    """In training the residual, or with 1 - probability 0 for the whole batch; otherwise probability times the residual."""
    if probability == 1:
        return residual
    return residual * (probability * slim.dropout(tf.ones([1, 1, 1, 1]), probability, scope="kept"))


def unit_function(backward: float, keep: float) -> Callable[..., tf.Tensor]:
    """`resnet_v2.basic`, trained in one of these ways, as a unit function."""

    @slim.add_arg_scope
    def short_path_unit(inputs, depth, stride, rate=1, outputs_collections=None, scope=None, shortcut="B"):
        bare = {"normalizer_fn": None, "activation_fn": None}
        with tf.compat.v1.variable_scope(scope, "short_path", [inputs]) as sc:
            preact = slim.batch_norm(with_gradient_times(backward, inputs), activation_fn=tf.nn.relu, scope="preact")
            add = unit_sum(inputs, depth, stride, shortcut, preact, **bare)
            residual = conv2d_same(preact, depth, 3, stride, rate=rate, scope="conv1")
            residual = slim.conv2d(residual, depth, [3, 3], rate=rate, **bare, scope="conv2")
            return slim.utils.collect_named_outputs(outputs_collections, sc.name, add(kept(residual, keep)))

    return short_path_unit


def architecture(training: Training, layers: int) -> Architecture:
    """The network for the digits, each unit a block of its own: their probabilities differ."""
    network = cifar_architecture(layers, shortcut="A")
    units = [args for block in network.blocks for args in block.args]
    blocks = []
    for number, args in enumerate(units, 1):
        keep = training.keep_first + (training.keep_last - training.keep_first) * number / len(units)
        kind = UnitKind(
            "short_path", BasicUnit, 2, options=("shortcut",), builder=unit_function(training.backward, keep)
        )
        blocks.append(Block(f"unit_{number}", kind, (args,)))
    return replace(network, name=f"short_paths_{layers}", blocks=tuple(blocks))


def of_classifier_only(gradients: list[tf.Tensor], variables: list[tf.Variable]) -> list[tf.Tensor]:
    """The gradients of the last batch norm and of the classifier; 0 for the others."""
    return [
        gradient if "/logits/" in variable.op.name or "/postnorm/" in variable.op.name else tf.zeros_like(gradient)
        for gradient, variable in zip(gradients, variables, strict=True)
    ]


def run(training: str, seed: int) -> list[dict[str, Any]]:
    """One run: its one row."""
    change = of_classifier_only if training == "classifier only" else None
    net = architecture(TRAININGS[training], LAYERS)
    return [{"training": training, "seed": seed, **trained(net, data.digits(), RECIPE, seed, change)}]


def main(path: Path = data.DATA / "short_paths.csv", jobs: int = 1) -> None:
    """Makes the rows that the file lacks."""
    add_missing(Records(path, COLUMNS, KEY), [(training, seed) for seed in SEEDS for training in TRAININGS], run, jobs)


if __name__ == "__main__":
    args = command_line(
        "V2 trained through some of its paths; runs that the file lacks.", "short_paths.csv"
    ).parse_args()
    main(args.file, args.jobs)
