"""At what depth does V1 break? V1 and V2 of 20 to 1001 layers, fresh and trained on the digits: makes data/v1_depth.csv.

    python -m experiments.v1_depth [FILE] [--jobs N]

Networks of 9n + 2 layers, three blocks of n bottlenecks, that differ in their units only. The recipe is that of notebook 02,
with one thread. Five seeds up to 326 layers, three at 1001, where a run takes a quarter of an hour and more. (There were to be
three at 326 and two at 1001. More were added when these had disagreed.) Columns:

    family, layers, seed        "v1" or "v2"
    survived_1, _2, _3          fresh: the share of what the first unit of block 1, 2, 3 puts out that no ReLU of V1 cuts off up
                                to the end of the block; 1 in V2, which has none there
    direct                      fresh: the norm of the loss's gradient for what the first unit receives, through the shortcuts
                                alone, over the norm of the gradient for what the last unit puts out
    gradient                    fresh: the same through all paths
    train_loss ... test_error   after the last epoch; train_errors: after each
    error                       why the training stopped before its end, else empty

Fresh networks see the first 100 test images as one batch, with batch norms in training mode.

## Predictions, written down before the first row

Two views of one number. In the V1 of `data/signals.csv` (two layers a unit, 56 layers, fresh) eight ReLUs let through 0.44 of
what the first unit of the last block puts out, which is 0.902 for each.

*A constant share*: each ReLU lets through what the one before it did. Then n units leave 0.902^(n - 1) of a block: 0.90, 0.60,
0.32, 0.027 and 0.000012 for n = 2, 6, 12, 36, 111.
*A random walk*: in a fresh V1, F is new noise of variance 1 at every unit, so x is a walk that 0 reflects. The further it has
gone, the more rarely it comes back. A walk that starts with two steps and has not been at 0 after n units: 0.65, 0.38, 0.28,
0.16 and 0.093 of them (200,000 walks), which falls like one over the root of n.

1. *The walk is right.* Fresh V1 of 1001 layers keeps more than 0.03 in every block (the walk: 0.09; a constant share: 0.00001).
   Refuted below 0.001; between the two, neither is right.
2. *So V1 holds longer than a constant share allows.* Trained, V1 of 326 layers has at most 0.05 more training error than V2 of
   326 layers (means of the seeds). A constant share leaves 0.00002 of the whole path there, and every unit of notebook 06 that
   leaves less than a twentieth learned worse. Refuted by a larger gap.
3. *At 1001 layers V1 falls behind*, as in the paper (7.61 against 4.92 % on CIFAR-10): it has more than 0.05 more training
   error than V2. The path as a whole is then below a twentieth in the view of the walk as well (the root of 0.093^3 is 0.028).
   Refuted by a smaller gap.
4. *V2 trains at every depth*: at most 0.05 training error after 15 epochs. Refuted by a mean above it.

And of the first unit of V2, which the paper's Appendix gives its BN and ReLU before the two paths part, while the shortcut of
`FAMILIES["v2"]` begins with the bare convolution (bottlenecks do not differ here: their first unit projects what is activated).
Both as basic units of 56 layers, five seeds: "v2" and "v2_first" in data/variants.csv and data/signals.csv.

5. *It matters for the first gradient and not for the errors.* Fresh, the gradient for what the first unit receives is 3.0 times
   that for what it puts out in "v2" (median), and less than twice in "v2_first"; the mean training and test errors differ by
   less than 0.02. Refuted by a ratio of 2 or more, or by a larger difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from experiments.jobs import TRAINED, add_missing, command_line, trained
from experiments.signals import signals
from resnet_lib import data
from resnet_lib.architectures import Architecture, cifar_architecture, get_architecture
from resnet_lib.records import Records
from resnet_lib.training import Recipe

KEY = ["family", "layers", "seed"]
FRESH = ["survived_1", "survived_2", "survived_3", "direct", "gradient"]
COLUMNS = [*KEY, *FRESH, *TRAINED]
RECIPE = Recipe(epochs=15, learning_rate=0.05, warm_up=2)
UNITS = {"v1": "bottleneck_v1", "v2": "bottleneck_v2"}
SEEDS = {20: 5, 56: 5, 110: 5, 326: 5, 1001: 3}  # layers -> how many
PROBED = 100  # test images


def architecture(family: str, layers: int) -> Architecture:
    """The network of a family for the digits."""
    net = cifar_architecture(layers, version=2)
    blocks = tuple(block._replace(unit_fn=UNITS[family]) for block in net.blocks)
    described = replace(net, name=f"{family}_{layers}", blocks=blocks)
    return get_architecture(described, image_size=8, num_classes=10, channels_in=1)


def survived(outputs: Sequence[np.ndarray]) -> float:
    """Of what the first of these units puts out: the share of places where no later one puts out zero."""
    return float(np.mean(np.logical_and.reduce([x != 0 for x in outputs[1:]])))


def by_block(x: Sequence[np.ndarray], units: Sequence[int]) -> Iterator[Sequence[np.ndarray]]:
    """What the units of each block put out; x[0] is what the first unit receives."""
    ends = np.cumsum([1, *units])
    for begin, end in zip(ends, ends[1:], strict=False):
        yield x[begin:end]


def of_fresh(net: Architecture, dataset: data.Dataset, seed: int) -> dict[str, float]:
    """The columns FRESH."""
    x, gradients, direct = signals(net, dataset.test_images[:PROBED], dataset.test_labels[:PROBED], seed)
    at_the_end = np.linalg.norm(gradients[-1])
    sizes = (np.linalg.norm(part[0]) / at_the_end for part in (direct, gradients))
    return dict(zip(FRESH, (*map(survived, by_block(x, net.units)), *sizes), strict=True))


def measured(family: str, layers: int, seed: int) -> list[dict[str, Any]]:
    """One network: its one row."""
    dataset = data.digits()
    net = architecture(family, layers)
    row = dict(zip(KEY, (family, layers, seed), strict=True)) | of_fresh(net, dataset, seed)
    return [row | trained(net, dataset, RECIPE, seed)]


def main(path: Path = data.DATA / "v1_depth.csv", jobs: int = 1) -> None:
    """Makes the rows that the file lacks."""
    records = Records(path, COLUMNS, KEY)
    numbers = [(layers, seed) for seed in range(max(SEEDS.values())) for layers in SEEDS if seed < SEEDS[layers]]
    keys = [(family, *number) for number in numbers for family in UNITS]  # first one of every depth
    add_missing(records, keys, measured, jobs)


if __name__ == "__main__":
    args = command_line("V1 and V2 of 20 to 1001 layers; networks that the file lacks.", "v1_depth.csv").parse_args()
    main(args.file, args.jobs)
