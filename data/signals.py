"""How signals run forward and backward through the units of residual networks, fresh and trained: makes `signals.csv`.

    python data/signals.py

Networks of 56 layers on the digits, seeds 0 to 4: all families of chapter 06 as they begin, and V1 and V2 ("residual" and
"v2") after the training of `data/variants.csv` as well. Deterministic, one thread; about half an hour on two cores. Columns:

    family, layers, seed    as in the sweeps
    state                   "fresh" or "trained"
    unit                    0 is what the first unit receives; i is what unit i puts out, x_i
    feature_std             standard deviation of x_i over images, positions and channels
    gradient_norm           of the mean cross-entropy for x_i, over all of them
    shortcut_norm           of the same gradient, with all residuals F and all gates held constant
    cut_off                 share of x_i that is exactly zero: what a ReLU behind the sum has cut off
    reached                 share of x_i that the gradient through the shortcuts alone reaches (is not zero there)

All of them on the 297 test images as one batch, batch norms in training mode, so that a fresh network is normalized too.
"""

import sys
import tempfile
from pathlib import Path

import joblib
import numpy as np
import pandas as pd

from resnet_lib import data
from resnet_lib.network import network_function
from resnet_lib.sweep import FAMILIES
from resnet_lib.tf_slim_compat import tf
from resnet_lib.training import Recipe, train

RECIPE = Recipe(learning_rate=0.05, warm_up=2)
TRAINED = ("residual", "v2")
VARIANTS = ("residual", "bn_after_addition", "relu_before_addition", "relu_only_preactivation", "v2",
            "C", "scaling", "exclusive_gating", "shortcut_only_gating", "dropout")  # fmt: skip


def unit_tensors(architecture, end_points):
    """The pieces of the formulas, from the end points of a network that begins with a convolution: (x, F, gates).

    x: what the first unit receives and what each unit puts out; F: each unit's residual, before a gate or a scale; gates:
    those of the gated shortcuts, else an empty list.
    """
    scopes = [
        f"{architecture.name}/{block.scope}/unit_{i}/{getattr(block.unit_fn, 'kind', block.unit_fn)}"
        for block in architecture.blocks
        for i in range(1, len(block.args) + 1)
    ]
    x = [end_points[f"{architecture.name}/conv1"], *(end_points[scope] for scope in scopes)]
    gates = [end_points[f"{scope}/gate"] for scope in scopes if f"{scope}/gate" in end_points]
    last = {scope: max(name for name in end_points if name.startswith(f"{scope}/conv")) for scope in scopes}
    return x, [end_points[last[scope]] for scope in scopes], gates


def signals(architecture, images, labels, seed=0, weights=None, is_training=True):
    """The features x of every unit, the gradients for them, and the gradients through the shortcuts alone: three lists of
    arrays, [units + 1] each.

    weights: a checkpoint of `training.train`; None takes fresh ones of the seed. is_training: of batch norm and dropout.
    """
    with tf.Graph().as_default():
        tf.compat.v1.set_random_seed(seed)  # for dropout
        net, end_points = network_function(architecture, 10, seed=seed)(tf.constant(images), is_training)
        logits = tf.reshape(net, [-1, 10])
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
        x, residuals, gates = unit_tensors(architecture, end_points)
        fetches = x, tf.gradients(loss, x), tf.gradients(loss, x, stop_gradients=residuals + gates)
        config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1,
                                          use_per_session_threads=True)  # fmt: skip
        with tf.compat.v1.Session(config=config) as session:
            session.run(tf.compat.v1.global_variables_initializer())
            if weights is not None:
                with np.load(weights) as saved:
                    variables = {v.initializer: v for v in tf.compat.v1.global_variables()}
                    values = {initial.inputs[1]: saved[v.op.name] for initial, v in variables.items()}
                    session.run(list(variables), values)  # initializes once more, each with its value
            return session.run(fetches)


def table(x, gradients, through_shortcuts):
    """What `signals` gives as numbers: pandas.DataFrame, one row a unit."""
    return pd.DataFrame({
        "unit": range(len(x)),
        "feature_std": [np.std(part) for part in x],
        "gradient_norm": [np.linalg.norm(part) for part in gradients],
        "shortcut_norm": [np.linalg.norm(part) for part in through_shortcuts],
        "cut_off": [np.mean(part == 0) for part in x],
        "reached": [np.mean(part != 0) for part in through_shortcuts],
    })  # fmt: skip


def measure(family, layers, seed, state):
    """The rows of one network: pandas.DataFrame of the columns above."""
    digits, architecture = data.digits(), FAMILIES[family](layers)
    with tempfile.TemporaryDirectory() as folder:
        weights = None
        if state == "trained":
            weights = Path(folder, "weights.npz")
            train(architecture, digits, RECIPE, seed, weights, threads=1)
        rows = table(*signals(architecture, digits.test_images, digits.test_labels, seed, weights))
    for column, value in reversed({"family": family, "layers": layers, "seed": seed, "state": state}.items()):
        rows.insert(0, column, value)
    return rows


if __name__ == "__main__":
    jobs = [(family, 56, seed, "fresh") for family in VARIANTS for seed in range(5)]
    jobs += [(family, 56, seed, "trained") for family in TRAINED for seed in range(5)]
    parts = joblib.Parallel(n_jobs=2, verbose=10)(joblib.delayed(measure)(*job) for job in jobs)
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else data.DATA / "signals.csv"
    pd.concat(parts).to_csv(path, index=False, float_format="%.6g", lineterminator="\n")
