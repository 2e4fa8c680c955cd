"""The exact length spectrum of the gradient, fresh and trained: makes data/path_spectrum.csv.

    python -m experiments.path_spectrum [FILE] [--jobs N]

Backpropagation through n units is a product of n factors S^T + J^T: S is the Jacobian of a unit's shortcut, J that of its
residual, both at the state of the forward pass (in V1 the ReLU after the sum belongs to both). Multiplied out, it has 2^n
terms, one for each path, and a path that takes k of the J has length k. Nobody needs the terms one by one. Keep one tensor for
each length and go from the last unit to the first:

    new[k] = S^T old[k] + J^T old[k - 1]

At the end the tensor of length k is the sum of all C(n, k) paths of that length: for 56 layers and 27 units of all 134 million
paths, without sampling. All tensors together are the gradient, and a run ends with an error where they are not. About a
quarter of an hour on one core. Columns:

    dataset, family, layers, seed   the network: "residual" (V1) and "v2", shortcut A, of 56 layers on the digits, trained with
                        the recipe of `lesions`; "fashion_resnet_v2_20" of `data.trained` (whose one training has the seed 0)
                        and fresh networks of its architecture
    state               "fresh", and "trained, batch": batch norms with the statistics of this batch of images; "trained": with
                        their stored statistics, as the network answers
    length, paths       k, and the number of paths of this length
    norm                of the part g_k of the gradient that comes along paths of this length
    share               <g_k, g> / <g, g>: how much of the whole gradient g the part is. With its sign; all lengths sum to 1
    gradient_norm       of g

The gradient is that of the mean cross-entropy for what the first unit receives: of the 297 test images of the digits, or of
the first 250 pictures of `data.fashion_sample`, as one batch.

## Predictions, written down before the first row

What is known: the gradients along *sampled* single paths of the trained networks (`data/lesions.csv`) have norms that sum to
31 (V1) and 176 (V2) times the norm of the gradient, and weighted with these norms the mean length is 6.5 and 8.3. In
`data/signals.csv` the whole gradient is 94 to 221 times as large as that through the shortcuts alone in fresh networks, 36 to
44 (V1) and 83 to 114 (V2) times in trained ones. If the parts of all lengths are orthogonal to each other, and all units alike,
such ratios belong to a mean length sum_k k share_k of 7.9 to 9 (fresh), 6.3 (V1) and 7.7 (V2) (trained); if all parts point
the same way, to about half of that. Of networks of 56 layers unless it says otherwise:

1. *Fresh, the paths do not know of each other.* Every share is that of the squared norms, |g_k|^2 / sum_j |g_j|^2, to 0.05;
   none is below -0.02. Refuted if one of the ten networks differs.
2. *The mean length* is 5 to 8.5 fresh; trained, 3 to 6.5 in V1 and 4 to 8 in V2, and with stored statistics it is below the
   6.5 and 8.3 of the sampled norms in every network. Refuted where a median over the seeds lies outside.
3. *Training shortens the paths*, by 0.5 or more in the median, batch statistics on both sides, in V1 and in V2. Refuted if
   the median changes by less, or to the other side.
4. *V2 has longer paths than V1* when trained, in at least four of the five seeds. Refuted with three.
5. *What cancels has one length.* sum_k |g_k| / |g| is 2 to 4 fresh, and below 10 in the median when trained (stored
   statistics), where the single paths gave 31 and 176. Refuted above: then paths of different lengths work against each other.
6. *Few negative shares when trained*: those of a network sum to above -0.1 in the median. Refuted below.
7. *One number does not explain the spectrum.* The first units and those that change the shape are stronger than the rest, so
   that the trained shares are narrower than the binomial distribution of the same mean: a smaller variance in the median of V1
   and of V2. Refuted otherwise.
8. *Fashion-MNIST, 9 units*: the mean length is 2 to 4.5 in every network, and longer in the trained one (batch statistics)
   than in the median fresh one, for training has made the residuals of the small network of notebook 09 stronger.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from math import comb
from pathlib import Path
from typing import Any

import numpy as np

from experiments import fashion_networks, lesions
from experiments.jobs import add_missing, command_line
from experiments.signals import Weights, initialize, loss_and_end_points, unit_tensors
from resnet_lib import data
from resnet_lib.architectures import Architecture, get_architecture
from resnet_lib.records import Records
from resnet_lib.sweep import FAMILIES
from resnet_lib.tf_slim_compat import tf
from resnet_lib.training import train
from resnet_lib.training_graph import session

KEY = ["dataset", "family", "layers", "seed"]
COLUMNS = [*KEY, "state", "length", "paths", "norm", "share", "gradient_norm"]
LAYERS = 56
SEEDS = range(5)
SHIPPED = "fashion_resnet_v2_20"
PICTURES = 250
TOLERANCE = 1e-4  # of the norm of the whole gradient, for the sum of all parts: float32, parts larger than the whole
NETWORKS = [("digits", "residual", LAYERS), ("digits", "v2", LAYERS), ("fashion", SHIPPED, 20)]


def unit_gradients(before: tf.Tensor, residual: tf.Tensor, after: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """What a unit makes of a gradient for its output: (a placeholder for it, S^T of it, J^T of it).

    before, after: what the unit receives and puts out; residual: F, which is added to the shortcut.
    """
    gradient = tf.compat.v1.placeholder(tf.float32, after.shape)
    (along_shortcut,) = tf.gradients(after, before, grad_ys=gradient, stop_gradients=[residual])
    (into_residual,) = tf.gradients(after, residual, grad_ys=gradient)
    (along_residual,) = tf.gradients(residual, before, grad_ys=into_residual)
    return gradient, along_shortcut, along_residual


def forward_values(gradients: Iterable[tf.Tensor], forward: Collection[tf.Operation]) -> list[tf.Tensor]:
    """What gradients read of the forward pass, whose operations are given: fed, they need not be computed again."""
    found, seen, waiting = [], set(), [tensor.op for tensor in gradients]
    while waiting:
        for tensor in waiting.pop().inputs:
            if tensor.name in seen:
                continue
            seen.add(tensor.name)
            if tensor.op not in forward:
                waiting.append(tensor.op)
            elif tensor.dtype.is_floating:
                found.append(tensor)
    return found


def longer(parts: Sequence[np.ndarray], along_shortcut: Sequence, along_residual: Sequence) -> list[np.ndarray]:
    """new[k] = S^T old[k] + J^T old[k - 1], from the S^T and the J^T of each old part."""
    inner = [s + r for s, r in zip(along_shortcut[1:], along_residual[:-1], strict=True)]
    return [along_shortcut[0], *inner, along_residual[-1]]


def gradient_parts(
    architecture: Architecture,
    images: np.ndarray,
    labels: np.ndarray,
    seed: int = 0,
    weights: Weights | None = None,
    is_training: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """(parts, whole): the gradient of the mean cross-entropy for what the first unit receives, [n + 1, ...] by length of the
    paths, and as TensorFlow computes it.

    weights, is_training: as of `signals.signals`. Raises ValueError for a network with gates, and ArithmeticError unless the
    parts sum to the whole.
    """
    architecture = get_architecture(architecture, num_classes=10)
    with tf.Graph().as_default() as graph:
        loss, end_points = loss_and_end_points(architecture, images, labels, seed, is_training)
        x, residuals, gates = unit_tensors(architecture, end_points)
        if gates:
            raise ValueError("a gated unit has three gradients, by way of its shortcut, its residual and its gate")
        forward = set(graph.get_operations())
        units = [unit_gradients(*unit) for unit in zip(x[:-1], residuals, x[1:], strict=True)]
        read = [forward_values(along, forward) for _, *along in units]
        ends = tf.gradients(loss, [x[0], x[-1]])
        with session(graph) as running:
            initialize(running, weights)
            values, (whole, last) = running.run((read, ends))
            parts = [last]
            for (gradient, *along), tensors, known in reversed(list(zip(units, read, values, strict=True))):
                feed = dict(zip(tensors, known, strict=True))
                pairs = [running.run(along, {**feed, gradient: part}) for part in parts]
                parts = longer(parts, *zip(*pairs, strict=True))
    missed = np.linalg.norm(np.sum(parts, axis=0) - whole) / np.linalg.norm(whole)
    if not missed < TOLERANCE:
        raise ArithmeticError(f"the parts miss the gradient by {missed:.1e} of its norm")
    return np.stack(parts), whole


def spectrum(parts: np.ndarray, whole: np.ndarray) -> list[dict[str, Any]]:
    """A row for each length."""
    n = len(parts) - 1
    square = np.vdot(whole, whole)
    return [
        {
            "length": k,
            "paths": comb(n, k),
            "norm": float(np.linalg.norm(part)),
            "share": float(np.vdot(part, whole) / square),
            "gradient_norm": float(np.sqrt(square)),
        }
        for k, part in enumerate(parts)
    ]


def network_and_images(dataset: str, family: str, layers: int) -> tuple[Architecture, np.ndarray, np.ndarray]:
    """A network of NETWORKS, and the batch that it is given."""
    if dataset == "fashion":
        images, labels = data.fashion_sample()
        return fashion_networks.architecture(family), images[:PICTURES], labels[:PICTURES]
    digits = data.digits()
    return FAMILIES[family](layers), digits.test_images, digits.test_labels


def trained_weights(dataset: str, family: str, layers: int, seed: int) -> Weights | None:
    """The weights after training; None for the seeds that nobody has trained."""
    if dataset == "fashion":
        return data.trained(family).values() if seed == 0 else None
    return train(FAMILIES[family](layers), data.digits(), lesions.RECIPE, seed, threads=1).weights


def measured(dataset: str, family: str, layers: int, seed: int) -> list[dict[str, Any]]:
    """The rows of one network."""
    network, images, labels = network_and_images(dataset, family, layers)
    weights = trained_weights(dataset, family, layers, seed)
    states = {"fresh": (None, True)}
    if weights is not None:
        states |= {"trained, batch": (weights, True), "trained": (weights, False)}
    key = dict(zip(KEY, (dataset, family, layers, seed), strict=True))
    return [
        {**key, "state": state, **row}
        for state, (values, is_training) in states.items()
        for row in spectrum(*gradient_parts(network, images, labels, seed, values, is_training))
    ]


def main(path: Path = data.DATA / "path_spectrum.csv", jobs: int = 1) -> None:
    """Makes the rows that the file lacks."""
    records = Records(path, COLUMNS, KEY)
    add_missing(records, [(*network, seed) for seed in SEEDS for network in NETWORKS], measured, jobs)


if __name__ == "__main__":
    description = "The gradient by length of its paths; networks that the file lacks."
    args = command_line(description, "path_spectrum.csv").parse_args()
    main(args.file, args.jobs)
