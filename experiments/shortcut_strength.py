"""How much the shortcut keeps and how much of F is let in: makes data/shortcut_strength.csv.

    python -m experiments.shortcut_strength [FILE] [--jobs N]

V1 of 56 layers on the digits, with units relu(keep x + let_in F). `data/variants.csv` has those strengths with which He et al.
2016 (arXiv:1603.05027, Table 1) got furthest, trained in the same way: 0.5 x + 0.5 F, and gates whose bias begins at -6. Here
are the others. Five seeds; about half an hour on one core. Columns:

    kind       "scaling": keep = strength, let_in = 1; "exclusive_gating": keep = 1 - g, let_in = g; "shortcut_only_gating":
               keep = 1 - g, let_in = 1, with the gate g = sigmoid(W x + b)
    strength   of scaling the factor; of gates the bias b at first
    seed, train_loss, train_error, test_error   after 15 epochs; train_errors: after each; error: why it stopped before

## Predictions, written down before the first row

1. *Scaling: F times 1 or times 0.5 is the same network.* A batch norm follows each convolution of F, so F does not see how
   large x is: 0.5 x + F is twice 0.5 x + 0.5 F wherever x is twice as large, from the first unit to the classifier. So the two
   can compute the same functions, and differ in nothing but the scale of their first and last layers. He et al. report a
   failure of the one and 12.35 % of the other. Here the mean training errors differ by less than 0.1 (0.254 is stored).
   Refuted by more.
2. *Exclusive gates at -6 shut F out.* g is 0.0025 there. A gate at -3 (0.047) lets F in, and keeps 0.27 of the direct path
   through 27 units: its mean training error is below 0.1, against 0.306 at -6. Refuted by 0.2 or more.
3. At 0 half of the shortcut is lost in each unit, at -10 all of F: exclusive gates have a training error of more than 0.2 at
   both. Refuted by less at one of them.
4. *Shortcut-only gates let all of F in*, so that only the shortcut counts: at 0 more than 0.1, as scaling has; at -3 and -10
   less than 0.02. Refuted on the other side.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.jobs import TRAINED, add_missing, command_line, trained
from resnet_lib import data
from resnet_lib.architectures import Architecture, get_architecture
from resnet_lib.convolutions import conv1x1, conv2d_same, subsample
from resnet_lib.records import Records
from resnet_lib.sweep import with_units
from resnet_lib.tf_slim_compat import slim, tf
from resnet_lib.training import Recipe
from resnet_lib.units import BasicUnit, UnitKind

KEY = ["kind", "strength", "seed"]
COLUMNS = [*KEY, *TRAINED]
RECIPE = Recipe(epochs=15, learning_rate=0.05, warm_up=2)
LAYERS = 56
SEEDS = range(5)
NETWORKS = [
    ("scaling", 0.5),
    *(("exclusive_gating", bias) for bias in (0.0, -3.0, -10.0)),
    *(("shortcut_only_gating", bias) for bias in (0.0, -3.0, -10.0)),
]


def factors(kind: str, strength: float, inputs: tf.Tensor, depth: int, stride: int) -> tuple[Any, Any]:
    """(keep, let_in): numbers, or tensors of the shape of the sum."""
    if kind == "scaling":
        return strength, 1
    closed = {"normalizer_fn": None, "biases_initializer": tf.constant_initializer(strength)}
    gate = conv1x1(inputs, depth, stride, activation_fn=tf.sigmoid, **closed, scope="gate")
    return 1 - gate, gate if kind == "exclusive_gating" else 1


def unit_of(kind: str, strength: float) -> Callable[..., tf.Tensor]:
    """`resnet_v1.basic` with shortcut A, its sum weighted, as a unit function."""

    @slim.add_arg_scope
    def unit(inputs, depth, stride, rate=1, outputs_collections=None, scope=None):
        with tf.compat.v1.variable_scope(scope, "strength", [inputs]) as sc:
            identity = subsample(inputs, stride)
            identity = tf.pad(identity, [[0, 0], [0, 0], [0, 0], [0, depth - inputs.shape[-1]]])
            keep, let_in = factors(kind, strength, inputs, depth, stride)
            residual = conv2d_same(inputs, depth, 3, stride, rate=rate, scope="conv1")
            residual = slim.conv2d(residual, depth, [3, 3], rate=rate, activation_fn=None, scope="conv2")
            out = tf.nn.relu(keep * identity + let_in * residual)
            return slim.utils.collect_named_outputs(outputs_collections, sc.name, out)

    return unit


def architecture(kind: str, strength: float, layers: int = LAYERS) -> Architecture:
    """The network for the digits."""
    own = UnitKind("strength", BasicUnit, 1, builder=unit_of(kind, strength))
    described = with_units(f"{kind}_strength", own, shortcut="B")(layers)  # of which its units do not hear
    return get_architecture(described, image_size=8, num_classes=10, channels_in=1)


def measured(kind: str, strength: float, seed: int) -> list[dict[str, Any]]:
    """One network: its one row."""
    row = dict(zip(KEY, (kind, strength, seed), strict=True))
    return [row | trained(architecture(kind, strength), data.digits(), RECIPE, seed)]


def main(path: Path = data.DATA / "shortcut_strength.csv", jobs: int = 1) -> None:
    """Makes the rows that the file lacks."""
    records = Records(path, COLUMNS, KEY)
    add_missing(records, [(*network, seed) for seed in SEEDS for network in NETWORKS], measured, jobs)


if __name__ == "__main__":
    args = command_line(
        "How much the shortcut keeps; networks that the file lacks.", "shortcut_strength.csv"
    ).parse_args()
    main(args.file, args.jobs)
