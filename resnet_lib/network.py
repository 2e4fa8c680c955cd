"""From a description to something that runs: `build(...)` gives a `Network`, which is called on images.

Built once with `tf.compat.v1.wrap_function`, a tf-slim network works in eager mode and keeps its variables. Every Network has
a graph of its own, so building twice in one process never clashes.
"""

from __future__ import annotations

from os import PathLike
from typing import Any

from . import other_nets
from .architectures import OWN, Architecture, Block, get_architecture
from .built_network import Frozen as Frozen
from .built_network import Network
from .checks import MAX_SEED, file_path, height_and_width, one_of, own, whole_number
from .known_weights import check_hash
from .other_nets import OTHER_NETS
from .slim_function import network_function, seeded_weights, wrapped, zero_weights
from .weight_files import opened
from .weights import WeightFile


def build(
    architecture: str | Architecture | list[Block],
    image_size: int | tuple[int, int] | str | None = OWN,
    num_classes: int | str | None = OWN,
    seed: int = 0,
    weights: str | PathLike | None = None,
    fresh_classifier: bool = False,
    **changes: Any,
) -> Network:
    """Builds a network for inference, with freshly initialized weights or a file's: Network.

    architecture: a name, an Architecture or a list of Blocks; image_size: one number, (height, width), or None for any;
    num_classes: None returns features; "own" is what the network was designed for; seed: of fresh weights (the same seed
    gives the same weights); changes: channels_in, of the images; global_pool, output_stride, as in `resnet_v2.resnet_v2`;
    layout, shortcut, root_pooling, batch_norm_epsilon, as in `architectures.get_architecture`.
    weights: a file, as `Network.load` takes it. What belongs to it comes with it unless it is named here: number of classes,
    batch norm epsilon and root pooling, of a named network image size and stride layout as well, and the channels of the
    images from a file that describes its network (`weights.architecture_in`). Of 1001 classes the first, the background, is
    left out for num_classes=1000. fresh_classifier: leave the last layer as it is, for other classes.
    The names of `other_nets.OTHER_NETS` ("vgg_16", ...) build networks that are not lists of Blocks. They take image_size,
    num_classes, seed, channels_in and weights only.
    Raises ValueError or TypeError naming the argument at fault, and what `Network.load` does.
    """
    seed = whole_number("seed", seed, most=MAX_SEED)
    one_of("fresh_classifier", fresh_classifier, (True, False))
    if weights is None:
        if fresh_classifier:
            raise ValueError("fresh_classifier: without weights all layers are fresh")
        return _build(architecture, image_size, num_classes, seed, changes)
    file_path("weights", weights)
    check_hash(weights)
    with opened(weights) as file:
        other = isinstance(architecture, str) and architecture in OTHER_NETS
        net = None if other else get_architecture(architecture)
        found = WeightFile(file, net.name if net else architecture, net)
        fixed = {} if other else found.changes()
        if not isinstance(architecture, str):
            fixed.pop("layout", None)  # its strides stand where its author put them
        elif net and found.described:
            fixed["channels_in"] = found.described.channels_in
            image_size = found.described.image_size if own(image_size) else image_size
        elif own(image_size) and found.convention and found.convention.image_size:
            image_size = found.convention.image_size
        num_classes = found.fitting_classes(num_classes, fresh_classifier)
        drawn = seed if fresh_classifier else None
        network = _build(architecture, image_size, num_classes, drawn, {**fixed, **changes})
        found.check(network.architecture)
        network._take(found, fresh_classifier)
        return network


def _build(architecture, image_size, num_classes, seed, changes):
    """seed: None where every weight is about to come from a file."""
    getter = zero_weights if seed is None else seeded_weights(seed)
    if isinstance(architecture, str) and architecture in OTHER_NETS:
        name, net = architecture, None
        size, num_classes, channels = other_nets.check_options(name, image_size, num_classes, **changes)
        function = other_nets.function(name, num_classes)
    else:
        net = get_architecture(architecture, image_size, num_classes, **changes)
        name, size, channels = net.name, net.image_size, net.channels_in
        function = network_function(net, weight_decay=0.0)
    height, width = (None, None) if size is None else height_and_width(size)
    return Network(name, net, wrapped(function, [None, height, width, channels], getter))
