"""Two small networks trained on the whole of Fashion-MNIST: makes data/trained/*.npz and data/trained.csv.

    python -m experiments.fashion_networks [FOLDER]

A V2 of nine basic units, 20 layers, and the same without its shortcuts. Each takes about 45 minutes on two cores alone, and
goes on from its last epoch when it was interrupted. The first unit is that of He et al. 2016, Appendix: BN and ReLU stand after
the first convolution, before the two paths part. A row of trained.csv:

    name                      for `data.trained`
    params, layers            of the network
    train_error, test_error   shares of wrong answers on 60,000 and 10,000 pictures, with the weights as they were trained
    half_error, sample_error  with the weights of float16 that are kept: on the 10,000, on the 1,000 of `data.fashion_sample`
    epochs ... augment        the recipe, see `training.Recipe`
    seed, ..., date           seconds are those of the last piece of the run
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from resnet_lib import data
from resnet_lib.architectures import Architecture
from resnet_lib.blocks import CIFAR_ROOT, Block
from resnet_lib.network import Network, build
from resnet_lib.records import Records, now, processor, versions
from resnet_lib.training import History, Recipe, train
from resnet_lib.weight_names import Convention

RECIPE = Recipe(epochs=8, learning_rate=0.1, augment=2)
SEED = 0
NETWORKS = {"fashion_resnet_v2_20": "A", "fashion_plain_20": "none"}  # -> the shortcut
COLUMNS = [
    *("name", "params", "layers", "train_error", "test_error", "half_error", "sample_error"),
    *(*asdict(RECIPE), "seed", "seconds", "versions", "processor", "date"),
]
CHECKPOINTS = Path(__file__).resolve().parents[1] / "build/fashion"


def architecture(name: str) -> Architecture:
    """The description of one of NETWORKS."""
    blocks = (
        Block("block1", "basic_v2_first", [(16, 1)]),
        Block("block2", "basic_v2", [(16, 1)] * 2),
        Block("block3", "basic_v2", [(32, 2), (32, 1), (32, 1)]),
        Block("block4", "basic_v2", [(64, 2), (64, 1), (64, 1)]),
    )
    sizes = {"image_size": 28, "num_classes": len(data.FASHION_CLASSES), "channels_in": 1}
    return Architecture(name, blocks, CIFAR_ROOT, NETWORKS[name], "1x1", **sizes)


def error(network: Network, images: np.ndarray, labels: np.ndarray) -> float:
    """Share of wrong answers."""
    frozen = network.freeze()
    answers = [np.argmax(frozen(part)[:, 0, 0], -1) for part in np.array_split(images, max(1, len(images) // 250))]
    return float(np.mean(np.concatenate(answers) != labels))


def keep(history: History, file: Path) -> None:
    """Writes the trained network, in half precision, with what belongs to it."""
    network = history.network
    network.convention = Convention("Fashion-MNIST, experiments.fashion_networks", preprocessing="unit", image_size=28)
    file.parent.mkdir(parents=True, exist_ok=True)
    network.save(file, precision="float16")


def rows(folder: Path, names: list[str]) -> Iterator[dict[str, Any]]:
    """Trains the networks, keeps them, and gives a row for each."""
    dataset = data.fashion_mnist()
    CHECKPOINTS.mkdir(parents=True, exist_ok=True)
    for name in names:
        started = time.perf_counter()
        net = architecture(name)
        history = train(net, dataset, RECIPE, SEED, CHECKPOINTS / f"{name}.npz", progress=True)
        if history.error:
            raise RuntimeError(f"{name}: {history.error}")
        last, file = history.epochs[-1], folder / data.TRAINED / f"{name}.npz"
        keep(history, file)
        half = build(net, weights=file)
        yield {
            "name": name,
            "params": history.network.cost().params,
            "layers": net.layers,
            "train_error": last.train_error,
            "test_error": last.test_error,
            "half_error": error(half, dataset.test_images, dataset.test_labels),
            "sample_error": error(half, *data.fashion_sample()),
            **asdict(RECIPE),
            "seed": SEED,
            "seconds": time.perf_counter() - started,
            "versions": versions("tensorflow"),
            "processor": processor(),
            "date": now(),
        }


def main(folder: Path = data.DATA) -> None:
    """Makes the networks that the table lacks."""
    records = Records(folder / "trained.csv", COLUMNS, ["name"])
    for row in rows(folder, [name for (name,) in records.missing([(name,) for name in NETWORKS])]):
        records.append(row)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
