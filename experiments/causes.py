"""Why do deep plain networks fail? Four ways to take a step, at five learning rates: makes data/causes.csv.

    python -m experiments.causes [FILE] [--jobs N]
    python -m experiments.causes --layers 110 --families plain --remedies none --rates 0.15
    python -m experiments.causes --layers 110 --families plain --remedies clipped layerwise --rates 0.05
    python -m experiments.causes --layers 110 --families plain --remedies warm-up --rates 0.015
    TF_ENABLE_ONEDNN_OPTS=1 python -m experiments.causes --dataset fashion_14 --rates 0.05 --seeds 0 1

Plain networks and V1 of 56 and 110 layers, the families of the sweeps, on the digits, with the recipe of
`data/degradation.csv` but for what is said here. On two cores the 200 runs of 56 layers take two to three hours. Of 110
layers there is one rate for each remedy, the best for it in the plain network of 56 layers, and V1 is treated like plain, in
two seeds (the same three commands with `--families residual --seeds 0 1`): the whole grid was thought to take five hours,
and would take two and a half, as the runs that were made say. A row is one run.

    remedy          "none"        momentum SGD
                    "clipped"     all gradients together are scaled down to a norm of 10 where it is larger
                    "warm-up"     a tenth of the learning rate in the first 5 of the 15 epochs, and not in the first 2
                    "layerwise"   the gradient of each convolution's and of the classifier's weights is scaled to a fixed share,
                                  0.04, of the norm of the weights: a step changes each layer by the same share of itself (You
                                  et al. 2017, arXiv:1708.03888). The parameters of batch norms and the biases are left
    learning_rate   before it falls to a tenth and a hundredth, after half and three quarters of the epochs
    train_error     and train_loss, test_error: after the last epoch, in evaluation mode; train_errors: after every epoch
    first_epoch_norm  of all gradients together, before they are changed: mean over the steps of the first epoch
    error           why a run stopped before its end, else empty

## The question, and the predictions, written down before the first run

Chapter 02 shows that the gradient of a fresh plain network with batch norm *explodes* towards the first layers, and that one of
a residual network does not. There are two ways in which this might do harm. It may be too *large*: the first steps throw the
weights far away. Then a smaller rate, a longer warm-up or clipping must help. Or it may be too *unequal*: no single rate fits
the first layers and the last. Then only a step that is scaled layer by layer helps. Or neither, and no remedy helps.

A number below is the median over five seeds of the final training error, at the learning rate that is best for this median;
a run that diverged counts as 0.9, which is guessing. Before the first run there was a first look with other seeds: at a rate of
0.05 it suggested 1, 2 and 4, and for the layerwise step shares from 0.0002 to 0.02 of the weights (at 0.002, without momentum,
one seed came to 0.09, at 0.006 to 0.28 and at 0.02 to 0.67), so that the five rates of the grid lie around its best.

1. *Plain, 56 layers, none*: above 0.3. No single rate rescues it. Refuted if one does (0.1 or less).
2. *Plain, 56 layers, clipped and warm-up*: each above 0.2. The size of the steps is not what is wrong. Refuted if one of them
   comes to 0.1 or less: then the natural account, steps that are too large at first, is enough.
3. *Plain, 56 layers, layerwise*: 0.15 or less, and less than half of each of the others. Refuted if it is more than half of the
   best of them: then the inequality of the layers' gradients is not what keeps 56 layers from learning.
4. *Plain, 110 layers*: above 0.5 with every remedy. Refuted if one of them comes to 0.3 or less.
5. *V1, 56 and 110 layers*: 0.01 or less with every remedy. Refuted if a remedy does harm, more than 0.05: then a comparison
   with it says less about plain networks.

The rates at 110 layers were cut to one for each remedy, and V1's seeds to two, after the runs of 56 layers and before the first
of 110. So 4 can be confirmed at these four rates only; to refute it, one of them is enough.

Refuting 3 and confirming 1, 2 would leave the question open: then neither the size nor the inequality of gradients is enough.

## The same on pictures, predictions written down before the first run there

On the digits the layerwise step came to 0.157 at a rate of 0.05, and to half of the next best. The pictures of
`data.fashion_14` are a confirmation, at that one rate and in two seeds, as a run takes a quarter of an hour: 12 epochs are 936
steps, the first 78 of them, and with the longer warm-up 390, at a tenth of the rate. (The bank's plain network of 56 layers,
with 780 steps and no remedy, is at 0.339, and V1 at 0.035; `experiments/bank.py`.) In each seed:

6. *Plain, 56 layers, clipped and warm-up*: each above 0.15. Refuted if one comes to 0.08 or less, where 20 plain layers are.
7. *Plain, 56 layers, layerwise*: less than half of the best of the three others. Refuted if it is more than that one.
8. *V1, 56 layers*: 0.06 or less with every remedy. Refuted if one does harm, more than 0.1.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from experiments.jobs import RESULTS, add_missing, command_line
from resnet_lib.records import Records, now, processor, versions
from resnet_lib.sweep import DATASETS, FAMILIES
from resnet_lib.tf_slim_compat import tf
from resnet_lib.training import Recipe, train

KEY = ["dataset", "family", "layers", "remedy", "learning_rate", "seed"]
COLUMNS = [*KEY, *RESULTS, "train_errors", "first_epoch_norm", "error", "seconds", "versions", "processor", "date"]
RECIPES = {"digits": Recipe(epochs=15, warm_up=2), "fashion_14": Recipe(epochs=12, warm_up=1)}
LONGER_WARM_UP = 5
LARGEST_NORM = 10
SHARE = 0.04  # of the norm of a layer's weights: at a rate of 0.05 a step is 0.002 of it; with momentum, up to ten times that
FAMILY_NAMES = ("plain", "residual")
RATES = (0.005, 0.015, 0.05, 0.15, 0.5)
SEEDS = range(5)

Gradients = list[tf.Tensor]


def clipped(gradients: Gradients, variables: list[tf.Variable]) -> Gradients:
    """All of them scaled by one number, so that their norm together is LARGEST_NORM at most."""
    return tf.clip_by_global_norm(gradients, LARGEST_NORM)[0]


def layerwise(gradients: Gradients, variables: list[tf.Variable]) -> Gradients:
    """Those of weights, each scaled to SHARE of the norm of its weights; the others as they are."""
    return [
        gradient * (SHARE * tf.norm(variable) / (tf.norm(gradient) + 1e-12))
        if variable.op.name.endswith("/weights")
        else gradient
        for gradient, variable in zip(gradients, variables, strict=True)
    ]


REMEDIES = {"none": None, "clipped": clipped, "warm-up": None, "layerwise": layerwise}


def run(dataset: str, family: str, layers: int, remedy: str, learning_rate: float, seed: int) -> list[dict[str, Any]]:
    """One run: its one row."""
    started = time.perf_counter()
    recipe = replace(RECIPES[dataset], learning_rate=learning_rate)
    if remedy == "warm-up":
        recipe = replace(recipe, warm_up=LONGER_WARM_UP)
    change = REMEDIES[remedy]
    history = train(FAMILIES[family](layers), DATASETS[dataset](), recipe, seed, threads=1, change_gradients=change)
    key = dict(zip(KEY, (dataset, family, layers, remedy, learning_rate, seed), strict=True))
    row = {**key, "error": history.error, "seconds": time.perf_counter() - started}
    if history.epochs:
        row |= {name: getattr(history.epochs[-1], name) for name in RESULTS}
        row["first_epoch_norm"] = history.epochs[0].gradient_norm
    row["train_errors"] = ";".join(f"{epoch.train_error:.4f}" for epoch in history.epochs)
    return [{**row, "versions": versions("tensorflow"), "processor": processor(), "date": now()}]


def main(
    path: Path,
    jobs: int = 1,
    layers: int = 56,
    dataset: str = "digits",
    rates: Iterable[float] = RATES,
    seeds: Iterable[int] = SEEDS,
    remedies: Iterable[str] = tuple(REMEDIES),
    families: Iterable[str] = FAMILY_NAMES,
) -> None:
    """Makes the rows that the file lacks."""
    records = Records(path, COLUMNS, KEY)
    grid = itertools.product(seeds, rates, remedies, families)
    keys = [(dataset, family, layers, remedy, rate, seed) for seed, rate, remedy, family in grid]
    add_missing(records, keys, run, jobs)


if __name__ == "__main__":
    parser = command_line("Deep plain and residual networks with four kinds of steps.", "causes.csv")
    parser.add_argument("--layers", type=int, default=56, metavar="N", help="default: 56")
    parser.add_argument("--dataset", choices=RECIPES, default="digits", help="default: digits")
    parser.add_argument("--rates", type=float, nargs="+", default=RATES, metavar="X", help="default: all five")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, metavar="N", help="default: 0 to 4")
    parser.add_argument(
        "--remedies", nargs="+", choices=REMEDIES, default=REMEDIES, metavar="NAME", help="default: all four"
    )
    parser.add_argument(
        "--families", nargs="+", choices=FAMILY_NAMES, default=FAMILY_NAMES, metavar="NAME", help="default: both"
    )
    args = parser.parse_args()
    main(args.file, args.jobs, args.layers, args.dataset, args.rates, args.seeds, args.remedies, args.families)
