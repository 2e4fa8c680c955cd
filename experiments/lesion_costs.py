"""The lesion study once more, where its first version left something open: makes data/lesion_costs.csv.

    python -m experiments.lesion_costs [FILE] [--jobs N]

The networks of 56 layers of `data/lesions.csv`, V1 and V2, trained again to the same weights. There both families lost the same
random units, and whether one of the first four units was among them was left to chance. Here each family draws its own, half of
the draws from the later units only. About ten minutes on one core. Columns:

    family, layers, seed   as in `lesions`
    lesion           "none"; "remove": every unit that keeps the shape left out alone; "spare" and "hit": several of them
                     left out at random, none of the first four units of the network, or at least one
    number, draw     how many were left out; 0, 1, ... for the choices of one number
    units            which, from 0 for the first unit of the network
    test_error       share of wrong answers on the 297 test images
    test_loss        mean cross-entropy on them
    residual_norm    |F| of the unit left out, in the whole network, over all test images; for "remove"
    state_norm       |x| of what this unit receives

## Predictions, written down before the first row

Of `data/lesions.csv`: in V1 and V2 the mean test error with two units missing is 7 and 9 % where the first four units were
spared, 38 and 40 % where they were not; with five 9 and 13 %, 59 and 61 %; with eight 35 and 40 %, 67 and 59 %.

1. *Two populations.* For 2, 3, 5 and 8 units, in V1 and in V2, the mean error is at least 15 points higher where the first four
   were hit than where they were spared. Refuted by one of these eight pairs below 15.
2. *V1 and V2 stay alike with draws of their own*: for each number up to 8, spared or hit, their mean errors differ by less than
   10 points. Refuted if two of these eight pairs or more differ by 10 or more.
3. *How much a unit changes the state tells what its loss costs.* The rank correlation of |F| / |x| with the rise of the test
   loss, over the 25 units left out alone, is 0.7 or more in the median of the seeds, in V1 and in V2, and 0.4 or more over the
   21 of them after the first four. Refuted below 0.5 and 0.2.
4. *And it tells more than the place*: over those 21 the median correlation is higher than that of the cost with the number of
   units that follow. Refuted if it is lower in V1 or in V2.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.jobs import add_missing, command_line
from experiments.lesions import RECIPE, Lesioned, keeping
from experiments.signals import Weights, initialize, unit_tensors
from resnet_lib import data
from resnet_lib.architectures import Architecture, get_architecture
from resnet_lib.network import network_function
from resnet_lib.records import Records
from resnet_lib.sweep import FAMILIES
from resnet_lib.tf_slim_compat import quick_building, tf
from resnet_lib.training import train
from resnet_lib.training_graph import session

KEY = ["family", "layers", "seed"]
COLUMNS = [*KEY, "lesion", "number", "draw", "units", "test_error", "test_loss", "residual_norm", "state_norm"]
FIRST = {0, 1, 2, 3}
LAYERS = 56
NUMBERS = (2, 3, 5, 8, 12)
DRAWS = 10
SEEDS = range(5)
NETWORKS = [("residual", LAYERS), ("v2", LAYERS)]


def norms(architecture: Architecture, weights: Weights, images: np.ndarray) -> list[dict[str, float]]:
    """|F| and |x| of every unit, in the network as it answers."""
    architecture = get_architecture(architecture, num_classes=10)
    with tf.Graph().as_default() as graph:
        with quick_building():
            _, end_points = network_function(architecture)(tf.constant(images), is_training=False)
        x, residuals, _ = unit_tensors(architecture, end_points)
        pairs = [(tf.norm(residual), tf.norm(state)) for residual, state in zip(residuals, x[:-1], strict=True)]
        with session(graph) as running:
            initialize(running, weights)
            found = running.run(pairs)
    return [{"residual_norm": float(residual), "state_norm": float(state)} for residual, state in found]


def without(network: Lesioned, digits: data.Dataset, removed: Sequence[int]) -> dict[str, float]:
    """Error and loss on the test images without these units."""
    switches = np.array([i not in removed for i in range(len(network.units))], np.float32)
    logits = network.session.run(network.logits, {network.images: digits.test_images, network.switches: switches})
    logits = logits.astype(np.float64)
    largest = logits.max(axis=1)
    of_label = logits[np.arange(len(logits)), digits.test_labels]
    loss = largest + np.log(np.exp(logits - largest[:, None]).sum(axis=1)) - of_label
    return {"test_error": np.mean(logits.argmax(axis=1) != digits.test_labels), "test_loss": np.mean(loss)}


def choices(kept: Sequence[int], number: int, hit: bool, random: np.random.Generator) -> Iterator[list[int]]:
    """Random units without end: none of the FIRST, or at least one."""
    allowed = kept if hit else [i for i in kept if i not in FIRST]
    while True:
        chosen = sorted(random.choice(allowed, number, replace=False).tolist())
        if bool(FIRST & set(chosen)) == hit:
            yield chosen


def rows_of(network: Lesioned, digits: data.Dataset, of_unit: Sequence[dict], random: np.random.Generator) -> Iterator:
    """The network whole, without each unit, and without several."""
    kept = keeping(network.architecture)
    plan = [("none", 0, 0, [])]
    plan += [("remove", 1, draw, [i]) for draw, i in enumerate(kept)]
    for number in NUMBERS:
        for lesion in ("spare", "hit"):
            chosen = itertools.islice(choices(kept, number, lesion == "hit", random), DRAWS)
            plan += [(lesion, number, draw, units) for draw, units in enumerate(chosen)]
    for lesion, number, draw, units in plan:
        row = {"lesion": lesion, "number": number, "draw": draw, "units": " ".join(map(str, units))}
        alone = of_unit[units[0]] if lesion == "remove" else {}
        yield {**row, **without(network, digits, units), **alone}


def measured(family: str, layers: int, seed: int) -> list[dict[str, Any]]:
    """The rows of one network."""
    digits = data.digits()
    architecture = FAMILIES[family](layers)
    weights = train(architecture, digits, RECIPE, seed, threads=1).weights
    of_unit = norms(architecture, weights, digits.test_images)
    random = np.random.default_rng([layers, seed, *family.encode()])  # each family draws its own
    rows = rows_of(Lesioned(architecture, weights), digits, of_unit, random)
    return [{"family": family, "layers": layers, "seed": seed, **row} for row in rows]


def main(path: Path = data.DATA / "lesion_costs.csv", jobs: int = 1) -> None:
    """Makes the rows that the file lacks."""
    records = Records(path, COLUMNS, KEY)
    add_missing(records, [(*network, seed) for seed in SEEDS for network in NETWORKS], measured, jobs)


if __name__ == "__main__":
    description = "Lesions with draws of their own, and what a unit changes; networks that the file lacks."
    args = command_line(description, "lesion_costs.csv").parse_args()
    main(args.file, args.jobs)
