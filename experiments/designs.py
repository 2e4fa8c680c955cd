"""The eight designs of notebook 11, trained on the digits: makes data/designs.csv.

    python -m experiments.designs [FILE]

About ten minutes of one core, in two processes. Runs that are in the file are not made again, so an interrupted call goes
on. All designs have MACs within 1.5 % of one another. The first 900 digits are for training and the 897 others for testing,
so that an error is counted on three times as many images as elsewhere in this suite. 24 epochs make 168 steps. A row:

    design                   its name
    units, base_depth, shortcut, root    arguments of `exploration.design`; units and root as "3 3 3" and "16 3 1 1"
    layers, params, macs, activations    what it costs, for an 8x8 image of one channel
    seed                     of the weights and of the order of the images
    train_loss, train_error, test_error  after the last epoch, empty if there was none; errors are shares of wrong answers
    train_losses             the training loss after each epoch
    error                    why a run stopped early, else empty
    versions, date           of the run
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import joblib

from experiments.jobs import RESULTS
from resnet_lib import cost, data
from resnet_lib.architectures import Architecture, Root
from resnet_lib.exploration import design
from resnet_lib.records import Records, now, versions
from resnet_lib.training import Recipe, train

COLUMNS = (
    "design units base_depth shortcut root layers params macs activations seed "
    "train_loss train_error test_error train_losses error versions date"
).split()
RECIPE = Recipe(epochs=24, learning_rate=0.05, warm_up=2)
SEEDS = range(5)
NUM_TRAIN = 900
DESIGNS = {  # units, base_depth, shortcut, root
    "balanced": ((3, 3, 3), 16, "A", Root(16, 3, 1, 1)),
    "early": ((7, 1, 1), 16, "A", Root(16, 3, 1, 1)),
    "middle": ((1, 7, 1), 16, "A", Root(16, 3, 1, 1)),
    "late": ((1, 1, 7), 16, "A", Root(16, 3, 1, 1)),
    "wide": ((1, 1, 1), 31, "A", Root(16, 3, 1, 1)),
    "thin": ((12, 12, 11), 8, "A", Root(8, 3, 1, 1)),
    "thin, no shortcuts": ((12, 12, 11), 8, "none", Root(8, 3, 1, 1)),
    "ImageNet root": ((3, 3, 3), 46, "A", Root(16, 7, 2, 2)),
}


def architecture(name: str) -> Architecture:
    """The network of a design, for the digits."""
    units, base_depth, shortcut, root = DESIGNS[name]
    return design(units, base_depth, "basic_v2", "paper", shortcut, root, image_size=8, num_classes=10)


def run(name: str, seed: int) -> dict[str, Any]:
    """One row."""
    units, base_depth, shortcut, root = DESIGNS[name]
    net = architecture(name)
    history = train(net, data.digits(NUM_TRAIN), RECIPE, seed, threads=1)
    last = history.epochs[-1]._asdict() if history.epochs else {}
    return {
        "design": name,
        "units": " ".join(map(str, units)),
        "base_depth": base_depth,
        "shortcut": shortcut,
        "root": " ".join(map(str, root)),
        "layers": net.layers,
        **cost(net, channels_in=1)._asdict(),
        "seed": seed,
        **{result: last.get(result) for result in RESULTS},
        "train_losses": ";".join(f"{epoch.train_loss:.4g}" for epoch in history.epochs),
        "error": history.error,
        "versions": versions("tensorflow"),
        "date": now(),
    }


def main(path: Path = data.DATA / "designs.csv") -> None:
    """Makes the rows that the file lacks."""
    records = Records(path, COLUMNS, key=("design", "seed"))
    missing = records.missing((name, seed) for seed in SEEDS for name in DESIGNS)
    for row in joblib.Parallel(n_jobs=2, return_as="generator")(joblib.delayed(run)(*one) for one in missing):
        records.append(row)
        print(row["design"], row["seed"], row["train_error"], row["test_error"], flush=True)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
