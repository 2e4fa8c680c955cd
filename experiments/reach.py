"""How far a step may go before the loss no longer falls as its gradient promised: makes data/reach.csv.

    python -m experiments.reach [FILE] [--jobs N]

Plain networks and V1 of 20, 56 and 110 layers on the digits, five seeds, with the recipe of data/degradation.csv: about
a quarter of an hour on two cores. At three states of each network, fresh and after one and three epochs, and from the
same weights in every row, one step of a given length along a direction, and the loss of the first 128 training images
before it and after it, batch norms in training mode. Only the weights of layers are moved.

    family, layers, seed, steps   the network and its state
    direction     "gradient": down the gradient; "layerwise": down the gradient of each layer, scaled so that every layer
                  changes by the same share of its weights' norm
    share         |step| / |weights|, of all weights together or of each layer's
    loss          before the step
    promised      by how much it falls if it falls in a straight line, gradient times step
    found         by how much it does fall

*Reach*: the largest share up to which at least half of what was promised is found, at it and at all smaller ones.

## Predictions, written down before the first run

`experiments.causes` asks whether the length of the steps is what keeps 56 plain layers from learning, or that one rate has to
fit all layers. There may be a third reason: a deep plain network with batch norm is so sensitive to its weights that its
gradient says little about the loss at the end of any step worth taking. Where a gradient grows by a factor of g with every
layer on the way back, so does, on the way forward, a small change of the first layer's output. Mean field has g = 1.211 without
a skip (see `experiments.atlas`), so that the reach should fall by g with every layer.

For fresh networks and the layerwise direction unless it says otherwise; medians over the seeds.

1. *At 56 layers V1 reaches at least 10 times as far as plain*, in every seed. Refuted by a seed below.
2. *From 20 to 56 layers the reach of plain falls by 20 times or more* (mean field: 1.211 to the 36th, 980), *and that of V1 by
   less than 5*. Refuted on the other side of either number.
3. *110 plain layers reach less than 0.00001.* Refuted above.
4. *The best of the steps* lowers the loss of V1 at least 5 times as much as that of plain, at 56 layers. Refuted below.
5. *Three epochs do not mend it*: the reach of plain stays below a third of V1's, at 56 layers. Refuted above.

If 1 or 2 is refuted, sensitivity is not what sets plain networks apart, whatever the other numbers are.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.jobs import add_missing, command_line
from experiments.probe import Probe, watch
from resnet_lib import data
from resnet_lib.architectures import get_architecture
from resnet_lib.records import Records
from resnet_lib.sweep import FAMILIES
from resnet_lib.training import Recipe

KEY = ["family", "layers", "seed"]
COLUMNS = [*KEY, "steps", "direction", "share", "loss", "promised", "found"]
FAMILY_NAMES = ("plain", "residual")
LAYERS = (20, 56, 110)
SEEDS = range(5)
STEPS = (0, 11, 33)  # eleven make an epoch
SHARES = tuple(10 ** (-6 + i / 2) for i in range(12))  # 0.000001 to 0.3; below, float32 cannot hold the step
RECIPE = Recipe(epochs=15, learning_rate=0.05, warm_up=2)
BATCH = 128

Arrays = dict[str, np.ndarray]


def norm(arrays: Arrays) -> float:
    """Of all of them together."""
    return float(np.sqrt(sum(np.sum(np.square(array, dtype=np.float64)) for array in arrays.values())))


def directions(weights: Arrays, gradients: Arrays) -> dict[str, Arrays]:
    """The two steps of share 1, for the weights that have a gradient."""
    shrink = norm({name: weights[name] for name in gradients}) / norm(gradients)
    together = {name: -shrink * gradient for name, gradient in gradients.items()}
    layerwise = {
        name: -gradient * (np.linalg.norm(weights[name]) / np.linalg.norm(gradient))
        for name, gradient in gradients.items()
    }
    return {"gradient": together, "layerwise": layerwise}


def steps_from(probe: Probe, weights: Arrays, images: np.ndarray, labels: np.ndarray) -> Iterator[dict[str, Any]]:
    """A row for each direction and share."""
    probe.load(weights)
    gradients = probe.weight_gradients(images, labels)
    loss, _ = probe.evaluate(images, labels, len(images))
    for (name, step), share in itertools.product(directions(weights, gradients).items(), SHARES):
        moved = {name: weights[name] + share * change for name, change in step.items()}
        probe.load(weights | moved)
        after, _ = probe.evaluate(images, labels, len(images))
        promised = -share * sum(float(np.sum(step[name] * gradients[name])) for name in step)
        yield {"direction": name, "share": share, "loss": loss, "promised": promised, "found": loss - after}


def measured(family: str, layers: int, seed: int) -> list[dict[str, Any]]:
    """The rows of one network."""
    dataset = data.digits()
    height, width, channels = dataset.train_images.shape[1:]
    described = FAMILIES[family](layers)
    probe = Probe(get_architecture(described, (height, width), dataset.num_classes, channels_in=channels))
    batch = dataset.train_images[:BATCH], dataset.train_labels[:BATCH]
    return [
        {"family": family, "layers": layers, "seed": seed, "steps": steps, **row}
        for steps, weights in watch(described, dataset, RECIPE, seed, STEPS)
        for row in steps_from(probe, weights, *batch)
    ]


def reach_of(rows: pd.DataFrame) -> float:
    """The largest share up to which at least half of what was promised is found, 0 if it is not at the smallest.

    rows: one direction from one state, with the columns `share`, `found` and `promised`.
    """
    rows = rows.sort_values("share")
    holds = (rows["found"] >= 0.5 * rows["promised"]).cummin()
    return float(rows["share"].where(holds, 0).max())


def main(path: Path = data.DATA / "reach.csv", jobs: int = 1) -> None:
    """Makes the rows that the file lacks."""
    records = Records(path, COLUMNS, KEY)
    keys = [(family, layers, seed) for seed, layers, family in itertools.product(SEEDS, LAYERS, FAMILY_NAMES)]
    add_missing(records, keys, measured, jobs)


if __name__ == "__main__":
    args = command_line("How far a step may go; networks that the file lacks.", "reach.csv").parse_args()
    main(args.file, args.jobs)
