"""The gradient of fresh convolutional Highway networks, and which of them learn: makes data/highway_gradient.csv.

    python -m experiments.highway_gradient [FILE] [--jobs N]

The networks of `experiments.highway_depth`, whose gates begin at a bias of -3 or at -ln(L - 1) for L Highway layers, the rule
of chapter 01. About half an hour on two cores. A row is a network:

    dataset, layers, gate_bias, seed
    gradient_growth   of the fresh network, for its first 256 training images as one batch, batch norms in training mode: the
                      norm of the gradient for what the first unit receives over that for what the last one puts out
    contrast          how different the last convolution makes the images, see `probe.Probe.contrasts`
    train_error       with 110 layers and -3 on the digits, after the 15 epochs of `highway_depth`; otherwise empty

## Predictions, written down before the first row

Why they are made: the atlas has an explosion of 10^13 to 10^14 in fresh Highway networks of 110 layers at -3, on the pictures,
that nothing here explained; chapter 01's rule was derived without batch norm, and yet its networks learn; and at -3 it depends
on the seed whether 110 layers learn the digits. A small program beside this library, with three seeds of its own (100 to 102),
gave on the pictures 10^10 to 10^16 at -3 and 0.9 to 1.0 with the rule; on the digits 0.8, 0.9 and 17,000 at -3, 1.0 with the
rule, and 0.7 with 56 layers at -3.

1. *The rule holds with batch norm as well.* At 110 layers the growth is between 1/3 and 3 in each of five seeds, on the digits
   and on the pictures. Refuted by one of the ten outside 1/10 to 10.
2. *At -3 the pictures explode*: above 10^6 in each of five seeds. Refuted by one below 1000.
3. *It is the seeds whose gradient explodes that do not learn.* Of ten networks of 110 layers at -3 on the digits, those whose
   growth is above 100 end above 50 % training error, and the others below 10 %. Refuted if three or more of the ten do
   otherwise, or if all ten are on one side of 100.
4. *56 layers on the digits at -3*, which all learn: below 10 in each of five seeds. Refuted by one above 100.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from experiments.bank import PROBED
from experiments.highway_depth import FIXED_BIAS, HIGHWAY_LAYERS, LAYERS, RECIPE, convolutional, rule
from experiments.jobs import add_missing, command_line
from experiments.probe import Probe, watch
from resnet_lib import data
from resnet_lib.architectures import get_architecture
from resnet_lib.records import Records
from resnet_lib.training import train

KEY = ["dataset", "layers", "gate_bias", "seed"]
COLUMNS = [*KEY, "gradient_growth", "contrast", "train_error"]
TRAINED = ("digits", LAYERS, FIXED_BIAS)
NETWORKS = {  # -> number of seeds
    TRAINED: 10,
    ("digits", LAYERS, rule(HIGHWAY_LAYERS)): 5,
    ("digits", 56, FIXED_BIAS): 5,
    ("fashion_14", LAYERS, FIXED_BIAS): 5,
    ("fashion_14", LAYERS, rule(HIGHWAY_LAYERS)): 5,
}


def measured(dataset: str, layers: int, gate_bias: float, seed: int) -> list[dict[str, Any]]:
    """The row of one network."""
    images = getattr(data, dataset)()
    height, width, channels = images.train_images.shape[1:]
    net = convolutional(gate_bias, layers)
    probe = Probe(get_architecture(net, (height, width), images.num_classes, channels_in=channels))
    [(_, fresh)] = watch(net, images, RECIPE, seed, [0])
    probe.load(fresh)
    batch = images.train_images[:PROBED]
    _, units = probe.measure(batch, images.train_labels[:PROBED])
    row = {
        **dict(zip(KEY, (dataset, layers, gate_bias, seed), strict=True)),
        "gradient_growth": units[0]["gradient_norm"] / units[-1]["gradient_norm"],
        "contrast": probe.contrasts(batch)[-2],  # the last is the classifier's
    }
    if (dataset, layers, gate_bias) == TRAINED:
        row["train_error"] = train(net, images, RECIPE, seed, threads=1).epochs[-1].train_error
    return [row]


def main(path: Path = data.DATA / "highway_gradient.csv", jobs: int = 1) -> None:
    """Makes the rows that the file lacks."""
    records = Records(path, COLUMNS, KEY)
    keys = [(*network, seed) for network, seeds in NETWORKS.items() for seed in range(seeds)]
    add_missing(records, keys, measured, jobs)


if __name__ == "__main__":
    args = command_line("Fresh Highway networks; those that the file lacks.", "highway_gradient.csv").parse_args()
    main(args.file, args.jobs)
