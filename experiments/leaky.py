"""Plain networks that are less sensitive, and nothing else: makes data/leaky.csv.

    python -m experiments.leaky [FILE] [--jobs N]

The networks of `data/degradation.csv` on the digits, with its recipe, but for one number: every ReLU of a unit is a leaky one,
which multiplies what is negative by `slope`. With a slope of 0 it is the ReLU, with 1 it would be a straight line. Five seeds;
about an hour on two cores. A row is one network:

    family, layers, slope, seed
    reach         of the fresh network, see `reach`: how far all layers may move before half of the promise is gone
    accuracy      of the nearest class mean at the last convolution of the fresh network, see `separation`
    train_loss    and train_error, test_error: after the last epoch; train_errors: after every epoch
    error         why a run stopped before its end, else empty

## The question, and the predictions, written down before the first run

Chapter 02 finds that smaller and more equal steps do not rescue 56 plain layers (`causes`), that their fresh gradient holds for
steps of a few millionths only (`reach`), and that the layers scramble the classes (`separation`). The last two go together with
failure, and with depth as well. If they are its cause, a plain network of the same depth and width without them must learn.

The leak does this. In mean field, with batch norm, a gradient and a small change grow at every layer by the root of
1 / (1 - (1 - s)^2 / (pi (1 + s^2))) for a slope of s (for s = 0 it is Yang et al. 2019's pi / (pi - 1)): over 56 layers by
46,000, 3,800, 75, 6 and 1.2 for the slopes 0, 0.1, 0.3, 0.5 and 0.8. It changes neither the lengths of the steps nor the
number of layers, and it takes from the nonlinearity. Zhang et al. 2022 (arXiv:2203.08120) train deep networks without
shortcuts and batch norm by choosing the slope, among other changes. Medians over the seeds, plain, 56 layers, unless it says
otherwise:

1. *Reach and accuracy rise with the slope* (a step may stay level), and from 0 to 0.5 the reach rises at least a hundredfold.
2. *The training error falls with the slope*, from above 0.3 at 0 to 0.05 or less at 0.5. Refuted if it is above 0.2 at 0.5 and
   at 0.8: then networks that are not sensitive fail as well, and something else is the cause.
3. *110 layers learn too*: 0.1 or less at a slope of 0.5 or of 0.8 (growth 37 and 1.5), above 0.8 at 0. Refuted above 0.3.
4. *Control*: V1 of 56 layers with a slope of 0.5 ends at 0.01 or less, so the leak does no harm. Refuted above 0.05.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.jobs import TRAINED, add_missing, command_line, trained
from experiments.probe import Probe
from experiments.reach import BATCH, reach_of, steps_from
from experiments.separation import IMAGES, nearest_mean_accuracy
from resnet_lib import data
from resnet_lib.architectures import Architecture, get_architecture
from resnet_lib.convolutions import conv2d_same
from resnet_lib.network import build
from resnet_lib.records import Records
from resnet_lib.shortcuts import unit_sum
from resnet_lib.sweep import with_units
from resnet_lib.tf_slim_compat import slim, tf
from resnet_lib.training import Recipe
from resnet_lib.units import BasicUnit, UnitKind

KEY = ["family", "layers", "slope", "seed"]
COLUMNS = [*KEY, "reach", "accuracy", *TRAINED]
RECIPE = Recipe(epochs=15, learning_rate=0.05, warm_up=2)
SEEDS = range(5)
NETWORKS = [
    *(("plain", 56, slope) for slope in (0.0, 0.1, 0.3, 0.5, 0.8)),
    ("residual", 56, 0.5),
    *(("plain", 110, slope) for slope in (0.0, 0.5, 0.8)),
]
SHORTCUTS = {"plain": "none", "residual": "A"}


def leaky_unit(slope: float) -> Callable[..., tf.Tensor]:
    """`resnet_v1.basic` with leaky ReLUs, as a unit function."""

    def activation(x):
        return tf.maximum(x, slope * x)

    @slim.add_arg_scope
    def unit(inputs, depth, stride, rate=1, outputs_collections=None, scope=None, shortcut="B"):
        with (
            tf.compat.v1.variable_scope(scope, "leaky", [inputs]) as sc,
            slim.arg_scope([slim.conv2d], activation_fn=activation),
        ):
            add = unit_sum(inputs, depth, stride, shortcut, inputs, activation_fn=None)
            residual = conv2d_same(inputs, depth, 3, stride, rate=rate, scope="conv1")
            residual = slim.conv2d(residual, depth, [3, 3], rate=rate, activation_fn=None, scope="conv2")
            return slim.utils.collect_named_outputs(outputs_collections, sc.name, activation(add(residual)))

    return unit


def architecture(family: str, layers: int, slope: float) -> Architecture:
    """The network of a family for the digits, with leaky units."""
    kind = UnitKind("leaky", BasicUnit, 1, options=("shortcut",), builder=leaky_unit(slope))
    described = with_units(f"leaky_{family}", kind, shortcut=SHORTCUTS[family])(layers)
    return get_architecture(described, image_size=8, num_classes=10, channels_in=1)


def of_fresh(net: Architecture, dataset: data.Dataset, seed: int) -> dict[str, float]:
    """Reach and accuracy."""
    probe = Probe(net)
    weights = build(net, seed=seed).values()
    probe.load(weights)
    images, labels = dataset.train_images[: 2 * IMAGES], dataset.train_labels[: 2 * IMAGES]
    *_, last_convolution, _ = probe.responses(images)
    accuracy = nearest_mean_accuracy(last_convolution, labels, IMAGES)
    steps = pd.DataFrame(steps_from(probe, weights, images[:BATCH], labels[:BATCH]))
    return {"reach": reach_of(steps[steps["direction"] == "layerwise"]), "accuracy": accuracy}


def run(family: str, layers: int, slope: float, seed: int) -> list[dict[str, Any]]:
    """One network: its one row."""
    dataset = data.digits()
    net = architecture(family, layers, slope)
    row = dict(zip(KEY, (family, layers, slope, seed), strict=True)) | of_fresh(net, dataset, seed)
    return [row | trained(net, dataset, RECIPE, seed)]


def main(path: Path = data.DATA / "leaky.csv", jobs: int = 1) -> None:
    """Makes the rows that the file lacks."""
    records = Records(path, COLUMNS, KEY)
    keys = [(*network, seed) for seed in SEEDS for network in NETWORKS]
    add_missing(records, keys, run, jobs)


if __name__ == "__main__":
    args = command_line("Plain networks with leaky ReLUs; networks that the file lacks.", "leaky.csv").parse_args()
    main(args.file, args.jobs)
