"""The memory of a step of training, predicted and measured: makes data/training_memory.csv.

    python -m experiments.training_memory [FILE]

A row is a network and a batch: what `training_cost.training_memory` predicts, and the peak of a process that has taken two
steps of momentum SGD on such batches of black images, float32, with TensorFlow on the processor. Batches grow in one process,
so the peak is that of the largest so far. About three minutes on two cores; how busy they are does not matter.

## Prediction, written down before the first run

From the batch of 8 to that of 32 the peak grows by 1.0 to 1.3 times the predicted activations: what is kept must be there, and
some gradients and workspace beside it. Refuted outside of that. (The peak itself has TensorFlow and its graph in it, which no
formula knows.)
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from experiments.turns import race
from resnet_lib import data
from resnet_lib.architectures import get_architecture
from resnet_lib.network import network_function
from resnet_lib.records import Records, now, processor, versions
from resnet_lib.training_cost import training_memory
from resnet_lib.training_graph import TrainingGraph

KEY = ["network", "batch_size"]
COLUMNS = [*KEY, "predicted_mb", "activations_mb", "peak_mb", "versions", "processor", "date"]
NETWORKS = ("resnet_v1_50", "resnet_v2_50")
BATCH_SIZES = (8, 16, 32)


def prepare(name: str, image_size: int = 224) -> Callable[[int], None]:
    """A function that takes a step of training on a batch of so many black images."""
    shape = (image_size, image_size, 3)
    network = network_function(get_architecture(name, image_size))
    graph = TrainingGraph(network, shape, max(BATCH_SIZES), 0.9, 0, None)

    def step(batch_size: int) -> None:
        images = np.zeros((batch_size, *shape), np.float32)
        feed = {graph.images: images, graph.labels: np.zeros(batch_size, int), graph.learning_rate: 0.01}
        graph.session.run(graph.step, feed)

    return step


def main(path: Path) -> None:
    """Makes the rows that the file lacks."""
    records = Records(path, COLUMNS, KEY)
    missing = records.missing([(name, batch_size) for name in NETWORKS for batch_size in BATCH_SIZES])
    for name in dict.fromkeys(name for name, _ in missing):
        for row in race({name: partial(prepare, name)}, 1, [(batch_size,) for batch_size in BATCH_SIZES]):
            if row.failed:
                raise RuntimeError(f"{name}: {row.failed}")
            (batch_size,) = row.case
            predicted = training_memory(name, batch_size)
            records.append(
                {
                    "network": name,
                    "batch_size": batch_size,
                    "predicted_mb": predicted.total / 1e6,
                    "activations_mb": predicted.activations / 1e6,
                    "peak_mb": row.peak_memory * 2**30 / 1e6,
                    "versions": versions("tensorflow"),
                    "processor": processor(),
                    "date": now(),
                }
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Memory of a step of training; runs what the file lacks.")
    parser.add_argument("file", nargs="?", type=Path, default=data.DATA / "training_memory.csv")
    main(parser.parse_args().file)
