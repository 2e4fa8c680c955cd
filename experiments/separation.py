"""What the layers of a fresh network leave of the differences between the classes: makes data/separation.csv.

    python -m experiments.separation [FILE] [--jobs N]

Plain networks and V1 of 20, 56 and 110 layers with fresh weights, five seeds, on the digits: a few minutes. For every layer,
from the first convolution to the classifier, batch norms in training mode:

    family, layers, seed, layer   the network and its layer
    accuracy    of the simplest classifier on what the layer puts out: each of 512 digits is given the class whose mean, over
                512 others, is nearest
    contrast    how different the layer makes the images, see `probe.Probe.contrasts`; for all 1,024

## Predictions, written down before the first run

A look at one seed of plain-56 had shown a contrast of about 0.8 at all layers: the images do not become alike. And with its
first 28 layers frozen, fresh, the others did not learn (training error 0.84). So the differences that are left may no longer be
those between the classes: a network that is sensitive to small changes of its weights (`experiments.reach`) is so to small
changes of its input, and draws two images of one class as far apart as any other two. Medians over the seeds:

1. *After the first convolution* the accuracy is above 0.7 in all networks: there is something to lose.
2. *Plain networks lose it with depth*: at the last convolution below 0.4 with 56 layers, and below 0.2 with 110. Refuted above.
3. *V1 keeps it*: above 0.6 at the last convolution, with 20, 56 and 110 layers. Refuted below.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np

from experiments.jobs import add_missing, command_line
from experiments.probe import Probe
from experiments.reach import FAMILY_NAMES, KEY, LAYERS, SEEDS
from resnet_lib import data
from resnet_lib.architectures import get_architecture
from resnet_lib.network import build
from resnet_lib.records import Records
from resnet_lib.sweep import FAMILIES

COLUMNS = [*KEY, "layer", "accuracy", "contrast"]
IMAGES = 512  # to take the means of, and as many others to classify


def nearest_mean_accuracy(features: np.ndarray, labels: np.ndarray, known: int) -> float:
    """Share of the images after the first `known` whose class is the one with the nearest mean among these.

    features: [images, ...]; distances are Euclidean. Raises ValueError where a class is not among the known ones.
    """
    features = features.reshape(len(features), -1).astype(np.float64)
    classes = np.unique(labels)
    if missing := set(classes) - set(labels[:known]):
        raise ValueError(f"known must hold an image of every class, got {known} images without {sorted(missing)}")
    means = np.stack([features[:known][labels[:known] == c].mean(axis=0) for c in classes])
    # |f - m|^2 without |f|^2, which is the same for every mean
    distances = np.sum(means**2, axis=1) - 2 * features[known:] @ means.T
    return float(np.mean(classes[distances.argmin(axis=1)] == labels[known:]))


def measured(family: str, layers: int, seed: int) -> list[dict[str, Any]]:
    """The rows of one network."""
    dataset = data.digits()
    height, width, channels = dataset.train_images.shape[1:]
    net = get_architecture(FAMILIES[family](layers), (height, width), dataset.num_classes, channels_in=channels)
    probe = Probe(net)
    probe.load(build(net, seed=seed).values())
    images, labels = dataset.train_images[: 2 * IMAGES], dataset.train_labels[: 2 * IMAGES]
    found = zip(probe.responses(images), probe.contrasts(images), strict=True)
    return [
        {
            "family": family,
            "layers": layers,
            "seed": seed,
            "layer": layer,
            "accuracy": nearest_mean_accuracy(response, labels, IMAGES),
            "contrast": contrast,
        }
        for layer, (response, contrast) in enumerate(found, 1)
    ]


def main(path: Path = data.DATA / "separation.csv", jobs: int = 1) -> None:
    """Makes the rows that the file lacks."""
    records = Records(path, COLUMNS, KEY)
    keys = [(family, layers, seed) for seed, layers, family in itertools.product(SEEDS, LAYERS, FAMILY_NAMES)]
    add_missing(records, keys, measured, jobs)


if __name__ == "__main__":
    description = "What fresh layers leave of the classes; networks that the file lacks."
    args = command_line(description, "separation.csv").parse_args()
    main(args.file, args.jobs)
