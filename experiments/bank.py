"""A bank of trained networks: plain, V1 and V2 of 20, 56 and 110 layers on `data.fashion_14`, one to three seeds each.

    TF_ENABLE_ONEDNN_OPTS=1 python -m experiments.bank [FOLDER] [--jobs N]

Makes data/bank_epochs.csv, bank_layers.csv, bank_units.csv and bank_runs.csv, and keeps the trained networks in build/bank.
About two and a half hours on two cores; three runs of 20 and of 56 layers and one of 110, and not five, are what that time
allows. (So are 10 epochs: there were to be 20, until three runs of 20 layers had shown what they cost. No deeper one had run.)
The variable asks TensorFlow for oneDNN's kernels, which it takes by itself on newer processors only; with AVX2 a step of V2 of
56 layers takes 0.49 s with them and 1.17 s without. A run that was interrupted goes on from its last epoch, and what is in the
files is not made again. The families are those of the sweeps, with shortcut A; each run has one thread. Batches of 128; a
learning rate of 0.05, in the first epoch a tenth of it, from half and three quarters of the 10 epochs on a tenth and a
hundredth; the same for all.

    family, layers, seed   the run
    epoch, steps           0 before training
    bank_epochs            part "train" or "test"; mode "evaluation" (moving averages) or "batch" (statistics of each batch);
                           images: all 10,000, after each epoch, or the first 2,560, before the first as well; loss, error
    bank_layers, _units    before training, after 1, 10, 100 and all 780 steps; see `probe.Probe.measure`: for the first 256
                           training images as one batch. residual_ratio is empty for plain networks, which have no shortcut
    removed_error          of bank_units, after training: error on the first 2,560 test images without this unit, or, of units
                           that change the shape and have a shortcut, without its residual; of unit 0: with all units
    bank_runs              error: why a run stopped before its end, else empty; seconds of the last piece of a run

## Predictions, written down before the first run

A prediction holds if it is so in every seed, unless it says otherwise.

1. *Depth harms plain networks, not residual ones.* Training error after the last epoch, evaluation mode, all images: plain-56
   has twice the error of plain-20 or more, and plain-110 more than plain-56; V1 and V2 of 56 layers have no more than those of
   20 plus 0.005. Refuted if plain-56 stays below twice plain-20, or a residual network of 56 layers is worse than that.
2. *It is not the moving averages.* In batch mode plain-56 has twice the training error of plain-20 or more as well. Refuted if
   it does not: then much of the degradation is one of evaluation only.
3. *The gradients for the layers' weights differ most in deep plain networks.* Fresh, gradient over weight norm of the first
   convolution is more than 30 times that of the last in plain-56, and less than that in V1-56 and V2-56. Refuted if V1 or V2
   have as large a ratio, or plain-56 has not.
4. *Deeper residual networks change less in each unit* (He et al. 2015, section 4.2 and Fig. 7). After training, the mean of
   response_std over the convolutions in units falls from 20 to 56 to 110 layers in V1, and the median of residual_ratio over
   the units that keep the shape does so in V1 and V2. Refuted if a mean over the seeds rises from one depth to the next.
5. *A unit can be left out of a deep residual network, not of a plain one* (Veit et al. 2016). Without one unit that keeps the
   shape, in the median over units, V1-110 and V2-110 gain less than 0.02 in test error, and plain-20 and plain-56 more than
   0.2. Refuted if a median lies on the other side.

And of V2 whose units of a block share their convolutions ("recurrent", notebook 09), with the same recipe and nothing measured
inside; the networks of the bank are its control. On the digits sharing cost nothing that could be seen.

    TF_ENABLE_ONEDNN_OPTS=1 python -m resnet_lib sweep data/shared_weights.csv --families recurrent --layers 20 56 \\
        --seeds 0 1 2 --dataset fashion_14 --epochs 10 --learning-rate 0.05 --warm-up 1 --jobs 2

6. *On pictures sharing costs training error and hardly any test error*, means over the seeds: the training error is 0.02 or
   more above that of V2 of as many layers, the test error less than 0.015 above. Refuted, at 20 or at 56 layers, if the
   training error is less than 0.005 above, or the test error more than 0.03.
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path
from typing import Any

import joblib

from experiments.lesions import Lesioned, keeping
from experiments.probe import Probe
from resnet_lib import data
from resnet_lib.architectures import Architecture, get_architecture
from resnet_lib.records import Records, now, processor, versions
from resnet_lib.sweep import FAMILIES
from resnet_lib.training import History, Recipe, train
from resnet_lib.training_graph import TrainingGraph

KEY = ("family", "layers", "seed")
COLUMNS = {
    "bank_epochs": [*KEY, "epoch", "part", "mode", "images", "loss", "error"],
    "bank_layers": [*KEY, "steps", "layer", "response_std", "gradient_norm", "weight_norm", "weight_gradient_norm"],
    "bank_units": [*KEY, "steps", "unit", "feature_std", "gradient_norm", "residual_ratio", "removed_error"],
    "bank_runs": [*KEY, "error", "seconds", "versions", "processor", "date"],
}
GROUPS = {  # the columns whose values say which rows belong together, and are there wholly or not at all
    "bank_epochs": [*KEY, "epoch", "images"],
    "bank_layers": [*KEY, "steps"],
    "bank_units": [*KEY, "steps"],
}
RECIPE = Recipe(epochs=10, learning_rate=0.05, warm_up=1)
FAMILY_NAMES = ("plain", "residual", "v2")
SEEDS = {20: 3, 56: 3, 110: 1}  # layers -> runs of each family
LAYERS = tuple(SEEDS)
EARLY_STEPS = (0, 1, 10, 100)
PROBED = 256  # training images
EVALUATED = 2560  # images, in both modes
WEIGHTS = Path(__file__).resolve().parents[1] / "build/bank"


class Run:
    """One network of the bank: it trains, and its rows go to the files of `folder` as they come."""

    def __init__(
        self, family: str, layers: int, seed: int, folder: Path, recipe: Recipe = RECIPE, weights: Path = WEIGHTS
    ):
        self.key = dict(zip(KEY, (family, layers, seed), strict=True))
        self.dataset = data.fashion_14()
        self.recipe = recipe
        height, width, channels = self.dataset.train_images.shape[1:]
        size = {"image_size": (height, width), "num_classes": self.dataset.num_classes, "channels_in": channels}
        self.architecture: Architecture = get_architecture(FAMILIES[family](layers), **size)
        self.weights = weights / f"{family}_{layers}_{seed}.npz"
        self.files = {name: Records(folder / f"{name}.csv", COLUMNS[name], key) for name, key in GROUPS.items()}
        self.steps_an_epoch = len(self.dataset.train_images) // recipe.batch_size
        self.probe = Probe(self.architecture)

    @property
    def last_step(self) -> int:
        return self.recipe.epochs * self.steps_an_epoch

    def go(self) -> str | None:
        """Trains and measures what the files lack; why the training stopped before its end, if it did."""
        self.weights.parent.mkdir(parents=True, exist_ok=True)
        seed = self.key["seed"]
        history = train(
            self.architecture, self.dataset, self.recipe, seed, self.weights, threads=1, observe=self.observe
        )
        self._after(history)
        return history.error

    def observe(self, steps: int, graph: TrainingGraph) -> None:
        """Measures the network in training, where that is due. Its last state is measured when the run is over."""
        epoch, rest = divmod(steps, self.steps_an_epoch)
        early = steps in EARLY_STEPS and steps < self.last_step
        if early or not rest:
            self.probe.load(graph.weights())
        if early:
            self._add_signals(steps)
        if not rest:
            self._add("bank_epochs", *self._both_modes(epoch, graph))

    def _both_modes(self, epoch, graph):
        return [
            {"epoch": epoch, "part": part, "mode": mode, "images": EVALUATED, "loss": loss, "error": error}
            for part, images, labels in self._parts(EVALUATED)
            for mode, (loss, error) in {
                "evaluation": graph.evaluate(images, labels),
                "batch": self.probe.evaluate(images, labels, self.recipe.batch_size),
            }.items()
        ]

    def _parts(self, number):
        dataset = self.dataset
        yield "train", dataset.train_images[:number], dataset.train_labels[:number]
        yield "test", dataset.test_images[:number], dataset.test_labels[:number]

    def _add_signals(self, steps, removed=()):
        layers, units = self.probe.measure(self.dataset.train_images[:PROBED], self.dataset.train_labels[:PROBED])
        for unit, error in zip(units, removed, strict=False):
            unit["removed_error"] = error
        if self.architecture.shortcut == "none":
            for unit in units:
                unit["residual_ratio"] = None
        self._add("bank_layers", *({"steps": steps, **row} for row in layers))
        self._add("bank_units", *({"steps": steps, **row} for row in units))

    def _add(self, name, *rows):
        self.files[name].append(*({**self.key, **row} for row in rows))

    def _after(self, history: History):
        self._add("bank_epochs", *itertools.chain.from_iterable(map(self._on_all_images, history.epochs)))
        if not history.error:  # of a run that diverged there is nothing to measure
            self.probe.load(history.weights)
            self._add_signals(self.last_step, self._removed_errors(history.weights))

    def _on_all_images(self, record):
        """What `train` has measured after an epoch."""
        common = {"epoch": record.epoch, "mode": "evaluation", "images": len(self.dataset.train_images)}
        yield {**common, "part": "train", "loss": record.train_loss, "error": record.train_error}
        yield {**common, "part": "test", "error": record.test_error}

    def _removed_errors(self, weights) -> list[float | None]:
        """Test error of the network whole, and without each of its units; None where one cannot be left out."""
        shape, num_classes = self.dataset.test_images.shape[1:], self.dataset.num_classes
        network = Lesioned(self.architecture, weights, shape, num_classes)
        images, labels = self.dataset.test_images[:EVALUATED], self.dataset.test_labels[:EVALUATED]
        number = len(network.units)
        possible = keeping(self.architecture) if self.architecture.shortcut == "none" else range(number)
        errors = [network.error(images, labels, [i]) if i in possible else None for i in range(number)]
        return [network.error(images, labels), *errors]


def run(family: str, layers: int, seed: int, folder: Path) -> dict[str, Any]:
    """One run of the bank: its row of bank_runs, after those of the other files."""
    started = time.perf_counter()
    error = Run(family, layers, seed, folder).go()
    row = {"family": family, "layers": layers, "seed": seed, "error": error, "seconds": time.perf_counter() - started}
    return {**row, "versions": versions("tensorflow"), "processor": processor(), "date": now()}


def main(folder: Path = data.DATA, jobs: int = 1) -> None:
    """Makes the rows that the files lack."""
    records = Records(folder / "bank_runs.csv", COLUMNS["bank_runs"], KEY)
    runs = [
        (family, layers, seed)
        for seed in range(max(SEEDS.values()))
        for layers, family in itertools.product(SEEDS, FAMILY_NAMES)
        if seed < SEEDS[layers]
    ]
    runs.sort(key=lambda run: run[1] == max(SEEDS))  # the deepest last: they take more than a third of the time
    missing = records.missing(runs)
    parallel = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")
    for row in parallel(joblib.delayed(run)(*key, folder) for key in missing):
        records.append(row)
        print(row, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Trains the bank of networks; runs what the files lack.")
    parser.add_argument("folder", nargs="?", type=Path, default=data.DATA, help="of the four files (default: data)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at a time (default: 1)")
    args = parser.parse_args()
    main(args.folder, args.jobs)
