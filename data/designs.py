"""The eight designs of notebook 11, trained on the digits: makes designs.csv beside this file.

    python data/designs.py

About ten minutes of one core, in two processes. Runs that are in the file are not made again, so an interrupted call goes on.
All designs have MACs within 1.5 % of one another. The first 900 digits are for training and the 897 others for testing, so that
an error is counted on three times as many images as elsewhere in this suite. 24 epochs make 168 steps. A row:

    design                   its name
    units, base_depth, shortcut, root    arguments of `exploration.design`; units and root as "3 3 3" and "16 3 1 1"
    layers, params, macs, activations    what it costs, for an 8x8 image of one channel
    seed                     of the weights and of the order of the images
    train_loss, train_error, test_error  after the last epoch; errors are shares of wrong answers
    train_losses             the training loss after each epoch
    error                    why a run stopped early, else empty
    versions, date           of the run
"""

import csv
import os
import platform
from datetime import datetime
from pathlib import Path

import joblib

from resnet_lib import cost, data
from resnet_lib.architectures import Root
from resnet_lib.exploration import design
from resnet_lib.tf_slim_compat import tf
from resnet_lib.training import Recipe, train

RECIPE = Recipe(epochs=24, learning_rate=0.05, warm_up=2)
SEEDS, NUM_TRAIN = range(5), 900
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


def architecture(name):
    units, base_depth, shortcut, root = DESIGNS[name]
    return design(units, base_depth, "basic_v2", "paper", shortcut, root, image_size=8, num_classes=10)


def run(name, seed):
    """One row: a dict."""
    units, base_depth, shortcut, root = DESIGNS[name]
    net = architecture(name)
    history = train(net, data.digits(NUM_TRAIN), RECIPE, seed, threads=1)
    last = history.epochs[-1]
    return {
        "design": name, "units": " ".join(map(str, units)), "base_depth": base_depth, "shortcut": shortcut,
        "root": " ".join(map(str, root)), "layers": net.layers, **cost(net, channels_in=1)._asdict(), "seed": seed,
        "train_loss": f"{last.train_loss:.6g}", "train_error": f"{last.train_error:.6g}",
        "test_error": f"{last.test_error:.6g}",
        "train_losses": ";".join(f"{epoch.train_loss:.4g}" for epoch in history.epochs), "error": history.error or "",
        "versions": f"tensorflow {tf.__version__}, python {platform.python_version()}",
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
    }  # fmt: skip


def main(path):
    rows = list(csv.DictReader(path.open())) if path.exists() else []
    done = {(row["design"], int(row["seed"])) for row in rows}
    missing = [(name, seed) for seed in SEEDS for name in DESIGNS if (name, seed) not in done]
    runs = joblib.Parallel(n_jobs=2, return_as="generator")(joblib.delayed(run)(*one) for one in missing)
    for row in runs:
        rows.append(row)
        beside = path.with_name(f"{path.name}.{os.getpid()}")  # a whole file takes the place of a whole file
        with beside.open("w", newline="") as file:
            writer = csv.DictWriter(file, row, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        os.replace(beside, path)
        print(row["design"], row["seed"], row["train_error"], row["test_error"], flush=True)


if __name__ == "__main__":
    main(Path(__file__).with_suffix(".csv"))
