"""The gradient at every layer of deep networks, fresh and after the first steps: makes data/atlas.csv.

    python -m experiments.atlas [FILE] [--jobs N]

Networks of 20, 56 and 110 layers on `data.fashion_14`, three seeds, one thread each, with the recipe of the bank: about an hour
on two cores. (Five seeds were planned. What is predicted differs by factors of ten and more between the families, so three tell
it; this was decided when the networks of one seed were there.) The families are those of the sweeps, and "plain_without_bn":
plain units with biases in place of batch norms (the first convolution keeps its own). After 0, 1, 10 and 100 steps, for the
first 256 training images as one batch, batch norms in training mode:

    family, layers, seed, steps   the network and its state
    layer                         1 is the first convolution, the last is the classifier
    response_std                  of what the layer puts out, before its ReLU; gradient_norm: of the loss for that
    weight_norm                   of its weights; weight_gradient_norm: of the gradient for them
    contrast                      how different it makes the images, see `probe.Probe.contrasts`

A run whose loss is no longer a finite number ends there, and its later states are missing.

## Predictions, written down before the first run

For fresh networks, in every seed, unless it says otherwise. "Growth" is the gradient for the response of the second convolution
over that of the last one, per layer between them: the n-th root for n layers.

1. *Plain, with batch norm*: the gradient explodes, with a growth from 1.15 to 1.30 at 56 and 110 layers. Mean field, for wide
   layers and large batches: the root of pi / (pi - 1), 1.211 (Yang et al. 2019, arXiv:1902.08129). Refuted outside of that.
2. *Plain, without batch norm*: at 110 layers it is smaller at the second layer than at the last, by ten times or more: zeros
   at the borders of the maps take away from the signal at every layer. Refuted if it is larger.
3. *With a skip it grows slowly*: from the last convolution to the second one, by less than 100 times in V2-110 and by less than
   600 times in V1-110, and in both by less than a thousandth of what plain-110 has. Mean field, without the changes of width:
   35, 200 and 8e8. Refuted by a seed that lies above.
4. *Highway networks* (gates at -3) do so as well: by less than 100 times at 110 layers. Refuted by a seed that lies above.
5. *What one step does*: the gradient over the norm of the weights, of the first convolution over that of the last one, is more
   than 10,000 in plain-110 and less than 1,000 in V1-110 and V2-110. Refuted by a seed on the other side.
6. *A hundred steps do not mend it*: plain-110 still has a growth of more than 1.1 (median of the seeds). Refuted below 1.05.
7. *The signal*: contrast falls towards 0 in plain-110 without batch norm (below 0.1 at the last convolution) and not in
   plain-110 with it (above 0.3); that of V1-110 and V2-110 lies between 0.1 and 1. Refuted on the other side of these numbers.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from experiments.bank import LAYERS, PROBED, RECIPE
from experiments.jobs import add_missing, command_line
from experiments.probe import Probe, watch
from resnet_lib import data
from resnet_lib.architectures import Architecture, get_architecture
from resnet_lib.convolutions import conv2d_same
from resnet_lib.records import Records
from resnet_lib.sweep import FAMILIES, with_units
from resnet_lib.tf_slim_compat import slim, tf
from resnet_lib.units import BasicUnit, UnitKind

KEY = ["family", "layers", "seed"]
MEASURED = ["response_std", "gradient_norm", "weight_norm", "weight_gradient_norm", "contrast"]
COLUMNS = [*KEY, "steps", "layer", *MEASURED]
STEPS = (0, 1, 10, 100)
SEEDS = range(3)
WITHOUT_BN = "plain_without_bn"
FAMILY_NAMES = (WITHOUT_BN, "plain", "highway", "residual", "v2")


def without_bn() -> UnitKind:
    """Two 3x3 convolutions with biases, each followed by ReLU. Shapes as of `resnet_v1.basic`.

    Made where it is used: tf-slim knows a unit function by its address, which is another one in another process.
    """

    @slim.add_arg_scope
    def unit(inputs, depth, stride, rate=1, outputs_collections=None, scope=None):
        with (
            tf.compat.v1.variable_scope(scope, WITHOUT_BN, [inputs]) as sc,
            slim.arg_scope([slim.conv2d], normalizer_fn=None),
        ):
            net = conv2d_same(inputs, depth, 3, stride, rate=rate, scope="conv1")
            net = conv2d_same(net, depth, 3, 1, rate=rate, scope="conv2")
            return slim.utils.collect_named_outputs(outputs_collections, sc.name, net)

    return UnitKind(WITHOUT_BN, BasicUnit, 1, builder=unit)


def architecture(family: str, layers: int, dataset: data.Dataset) -> Architecture:
    """The network of a family, for the images of the dataset."""
    families = {**FAMILIES, WITHOUT_BN: with_units(WITHOUT_BN, without_bn(), shortcut="B")}
    height, width, channels = dataset.train_images.shape[1:]
    return get_architecture(families[family](layers), (height, width), dataset.num_classes, channels_in=channels)


def measured(family: str, layers: int, seed: int) -> list[dict[str, Any]]:
    """The rows of one network."""
    dataset = data.fashion_14()
    net = architecture(family, layers, dataset)
    probe = Probe(net)
    images, labels = dataset.train_images[:PROBED], dataset.train_labels[:PROBED]
    rows = []
    for steps, weights in watch(net, dataset, RECIPE, seed, STEPS):
        probe.load(weights)
        rows.extend({"steps": steps, **row} for row in of_layers(probe, images, labels))
    return [{"family": family, "layers": layers, "seed": seed, **row} for row in rows]


def of_layers(probe: Probe, images: Any, labels: Any) -> Iterator[dict[str, Any]]:
    """What the probe finds at every layer."""
    layers, _ = probe.measure(images, labels)
    for layer, contrast in zip(layers, probe.contrasts(images), strict=True):
        yield {**layer, "contrast": contrast}


def main(path: Path = data.DATA / "atlas.csv", jobs: int = 1) -> None:
    """Makes the rows that the file lacks."""
    records = Records(path, COLUMNS, KEY)
    keys = [(family, layers, seed) for seed, layers, family in itertools.product(SEEDS, LAYERS, FAMILY_NAMES)]
    add_missing(records, keys, measured, jobs)


if __name__ == "__main__":
    args = command_line("The gradient at every layer; networks that the file lacks.", "atlas.csv").parse_args()
    main(args.file, args.jobs)
