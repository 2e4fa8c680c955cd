"""How signals run forward and backward through the units of residual networks, fresh and trained: makes data/signals.csv.

    python -m experiments.signals [FILE]

Networks of 56 layers on the digits, seeds 0 to 4: all families of chapter 06 as they begin, and V1 and V2 ("residual" and
"v2") after the training of `data/variants.csv` as well. Deterministic, one thread; about half an hour on two cores. What is
in the file is not made again. Columns:

    family, layers, seed    as in the sweeps
    state                   "fresh" or "trained"
    unit                    0 is what the first unit receives; i is what unit i puts out, x_i
    feature_std             standard deviation of x_i over images, positions and channels
    gradient_norm           of the mean cross-entropy for x_i, over all of them
    shortcut_norm           of the same gradient, with all residuals F and all gates held constant
    cut_off                 share of x_i that is exactly zero: what a ReLU after the sum has cut off
    reached                 share of x_i that the gradient through the shortcuts alone reaches (is not zero there)

All of them on the 297 test images as one batch, batch norms in training mode, so that a fresh network is normalized too.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import joblib
import numpy as np
import pandas as pd

from resnet_lib import data
from resnet_lib.architectures import Architecture, get_architecture
from resnet_lib.network import network_function
from resnet_lib.records import Records
from resnet_lib.sweep import FAMILIES
from resnet_lib.tf_slim_compat import quick_building, tf
from resnet_lib.training import Recipe, train
from resnet_lib.training_graph import session
from resnet_lib.units import unit_kind

KEY = ["family", "layers", "seed", "state"]
COLUMNS = [*KEY, "unit", "feature_std", "gradient_norm", "shortcut_norm", "cut_off", "reached"]
RECIPE = Recipe(learning_rate=0.05, warm_up=2)
LAYERS = 56
SEEDS = range(5)
TRAINED = ("residual", "v2")
VARIANTS = (
    "residual bn_after_addition relu_before_addition relu_only_preactivation v2 "
    "C scaling exclusive_gating shortcut_only_gating dropout v2_first"
).split()

Weights = Mapping[str, np.ndarray] | str | os.PathLike
Arrays = list[np.ndarray]


def unit_tensors(
    architecture: Architecture, end_points: Mapping[str, tf.Tensor]
) -> tuple[list[tf.Tensor], list[tf.Tensor], list[tf.Tensor]]:
    """The pieces of the formulas, from the end points of a network that begins with a convolution: (x, F, gates).

    x: what the first unit receives and what each unit puts out; F: each unit's residual, before a gate or a scale; gates:
    those of the gated shortcuts, else an empty list.
    """
    scopes = [
        f"{architecture.name}/{block.scope}/unit_{i}/{unit_kind(block.unit_fn).name}"
        for block in architecture.blocks
        for i in range(1, len(block.args) + 1)
    ]
    x = [end_points[f"{architecture.name}/conv1"], *(end_points[scope] for scope in scopes)]
    gates = [end_points[f"{scope}/gate"] for scope in scopes if f"{scope}/gate" in end_points]
    last = {scope: max(name for name in end_points if name.startswith(f"{scope}/conv")) for scope in scopes}
    return x, [end_points[last[scope]] for scope in scopes], gates


def loss_and_end_points(
    architecture: Architecture, images: np.ndarray, labels: np.ndarray, seed: int, is_training: bool
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """The mean cross-entropy of the network, built into the default graph, and its end points."""
    with quick_building():
        net, end_points = network_function(architecture, seed=seed)(tf.constant(images), is_training)
    logits = tf.reshape(net, [-1, architecture.num_classes])
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)), end_points


def signals(
    architecture: Architecture,
    images: np.ndarray,
    labels: np.ndarray,
    seed: int = 0,
    weights: Weights | None = None,
    is_training: bool = True,
) -> tuple[Arrays, Arrays, Arrays]:
    """The features x of every unit, the gradients for them, and the gradients through the shortcuts alone: three lists of
    arrays, [units + 1] each.

    weights: name -> array, as `History.weights` has them, or a file of `Network.save` or `training.train`; None takes fresh
    ones of the seed. is_training: of batch norm and dropout.
    """
    architecture = get_architecture(architecture, num_classes=10)
    with tf.Graph().as_default() as graph:
        tf.compat.v1.set_random_seed(seed)  # for dropout
        loss, end_points = loss_and_end_points(architecture, images, labels, seed, is_training)
        x, residuals, gates = unit_tensors(architecture, end_points)
        fetches = x, tf.gradients(loss, x), tf.gradients(loss, x, stop_gradients=residuals + gates)
        with session(graph) as running:
            initialize(running, weights)
            return running.run(fetches)


def initialize(running: tf.compat.v1.Session, weights: Weights | None = None) -> None:
    """Gives the variables of the graph their initial values, or these: name -> array, or a file."""
    initializers = {variable.initializer: variable.op.name for variable in tf.compat.v1.global_variables()}
    values = {} if weights is None else _by_name(weights)
    feed = {initial.inputs[1]: values[name] for initial, name in initializers.items()} if values else {}
    running.run(list(initializers), feed)


def _by_name(weights):
    if isinstance(weights, Mapping):
        return weights
    with np.load(weights) as saved:
        return dict(saved)


def table(x: Arrays, gradients: Arrays, through_shortcuts: Arrays) -> pd.DataFrame:
    """What `signals` gives as numbers: pandas.DataFrame, one row a unit."""
    return pd.DataFrame(
        {
            "unit": range(len(x)),
            "feature_std": [np.std(part) for part in x],
            "gradient_norm": [np.linalg.norm(part) for part in gradients],
            "shortcut_norm": [np.linalg.norm(part) for part in through_shortcuts],
            "cut_off": [np.mean(part == 0) for part in x],
            "reached": [np.mean(part != 0) for part in through_shortcuts],
        }
    )


def measure(family: str, layers: int, seed: int, state: str) -> pd.DataFrame:
    """The rows of one network: pandas.DataFrame of COLUMNS."""
    digits = data.digits()
    architecture = FAMILIES[family](layers)
    weights = train(architecture, digits, RECIPE, seed, threads=1).weights if state == "trained" else None
    rows = table(*signals(architecture, digits.test_images, digits.test_labels, seed, weights))
    return rows.assign(family=family, layers=layers, seed=seed, state=state)[COLUMNS]


def main(path: Path = data.DATA / "signals.csv") -> None:
    """Makes the rows that the file lacks."""
    records = Records(path, COLUMNS, KEY)
    keys = [(family, LAYERS, seed, "fresh") for family in VARIANTS for seed in SEEDS]
    keys += [(family, LAYERS, seed, "trained") for family in TRAINED for seed in SEEDS]
    jobs = (joblib.delayed(measure)(*key) for key in records.missing(keys))
    for rows in joblib.Parallel(n_jobs=2, return_as="generator", verbose=10)(jobs):
        records.append(*rows.to_dict("records"))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
