"""What belongs to the weights of each source beside their values, and what its files call the variables of a network.

Pure Python. `weights` reads files with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from .other_nets import OTHER_NETS


class Convention(NamedTuple):
    """What belongs to weights beside their values.

    source: whose they are; layout, batch_norm_epsilon, root_pooling: of the `Architecture`, None where they may be any;
    preprocessing: one of `preprocessing.PREPROCESSING`, None where it is not known; image_size: that the preprocessing gives;
    classes: whose names the classes have, "ImageNet" or None.
    """

    source: str
    layout: str | None = None
    batch_norm_epsilon: float | None = None
    root_pooling: str | None = None
    preprocessing: str | None = None
    image_size: int | None = None
    classes: str | None = None


# (source, version of the network). tf-slim: nets/resnet_v1.py, resnet_v2.py and the preprocessing of research/slim; Keras:
# applications/resnet.py; torchvision and timm: models/resnet.py, models/resnetv2.py. timm's V1 has torchvision's names.
CONVENTIONS = {
    ("tf-slim", 1): Convention("tf-slim", "slim", 1e-5, "SAME", "vgg", 224, "ImageNet"),
    ("tf-slim", 2): Convention("tf-slim", "slim", 1e-5, "SAME", "inception", 299, "ImageNet"),
    ("Keras", 1): Convention("Keras", "paper", 1.001e-5, "zeros", "caffe", 224, "ImageNet"),
    ("Keras", 2): Convention("Keras", "slim", 1.001e-5, "zeros", "tf", 224, "ImageNet"),
    ("torchvision", 1): Convention("torchvision", "v1.5", 1e-5, "symmetric", "torchvision", 224, "ImageNet"),
    ("timm", 2): Convention("timm", "v1.5", 1e-5, "symmetric", "timm", 224, "ImageNet"),
}


def other_convention(name: str) -> Convention:
    """Of tf-slim's weights for one of `other_nets.OTHER_NETS`."""
    preprocessing = "inception" if name.startswith("inception") else "vgg"
    size = OTHER_NETS[name].image_size
    return Convention("tf-slim", preprocessing=preprocessing, image_size=size, classes="ImageNet")


# The last layer of the networks that are not lists of Blocks.
_OTHER_CLASSIFIERS = {
    "alexnet_v2": "fc8",
    "vgg_16": "fc8",
    "vgg_19": "fc8",
    "inception_v1": "Logits/Conv2d_0c_1x1",
    "inception_v3": "Logits/Conv2d_1c_1x1",
    "inception_v4": "Logits/Logits",
    "inception_resnet_v1": "Logits/Logits",
    "inception_resnet_v2": "Logits/Logits",
}


def classifier_scope(name: str) -> str:
    """The scope of a network's last layer, within the network's."""
    return _OTHER_CLASSIFIERS.get(name, "logits")


class Place(NamedTuple):
    """Where a variable of a list of Blocks is: the numbers of its block and unit, 0 outside; its layer ("conv1", "shortcut",
    "preact", "postnorm", "logits"); whether it belongs to that layer's batch norm; "weights", "gamma", ..."""

    block: int
    unit: int
    layer: str
    norm: bool
    leaf: str


_VARIABLE = re.compile(
    r"(?:block(\d+)/unit_(\d+)/\w+/)?(conv\d|shortcut|preact|postnorm|logits)(/BatchNorm)?/(\w+)", re.ASCII
)


def place(variable: str) -> Place | None:
    """The Place of a variable, its name without the network's scope, None for one that no file of others has."""
    found = _VARIABLE.fullmatch(variable)
    if not found:
        return None
    block, unit, layer, norm, leaf = found.groups()
    return Place(int(block or 0), int(unit or 0), layer, bool(norm) or layer in ("preact", "postnorm"), leaf)


_KERAS_LEAVES = {"weights": "kernel", "biases": "bias"}
_TORCH_LEAVES = {
    "weights": "weight",
    "biases": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def _keras_name(place):
    leaf = _KERAS_LEAVES.get(place.leaf, place.leaf)
    if place.layer in ("postnorm", "logits"):
        return f"{'post_bn' if place.norm else 'predictions'}/{leaf}"
    what = "bn" if place.norm else "conv"
    if not place.unit:
        return f"{place.layer}_{what}/{leaf}"
    layer = {"shortcut": "0", "preact": "preact"}.get(place.layer, place.layer.removeprefix("conv"))
    return f"conv{place.block + 1}_block{place.unit}_{layer}_{what}/{leaf}"


def keras_layers(version: int, units: tuple[int, ...]) -> dict[str, str]:
    """What tf_keras calls the layers of a network of bottlenecks in a .weights.h5 file, "conv2d", "conv2d_1", ..., in the order
    of its graph -> their names."""
    convolutions, norms = ["conv1_conv"], ["conv1_bn"] if version == 1 else []
    for block, count in enumerate(units, 2):
        for unit in range(1, count + 1):
            start = f"conv{block}_block{unit}_"
            projected = ["0"] if unit == 1 else []
            convolutions += [f"{start}{layer}_conv" for layer in ("1", "2", *projected, "3")]
            normed = ("1", "2", *projected, "3") if version == 1 else ("preact", "1", "2")
            norms += [f"{start}{layer}_bn" for layer in normed]
    if version == 2:
        norms.append("post_bn")
    numbered = {"conv2d": convolutions, "batch_normalization": norms, "dense": ["predictions"]}
    return {f"{kind}_{i}" if i else kind: layer for kind, layers in numbered.items() for i, layer in enumerate(layers)}


def _torchvision_name(place):
    leaf = _TORCH_LEAVES[place.leaf]
    layer = place.layer.replace("conv", "bn") if place.norm else place.layer
    if not place.unit:
        return f"{'fc' if layer == 'logits' else layer}.{leaf}"
    if layer == "shortcut":
        layer = f"downsample.{int(place.norm)}"
    return f"layer{place.block}.{place.unit - 1}.{layer}.{leaf}"


def _timm_name(place):
    leaf = _TORCH_LEAVES[place.leaf]
    if not place.unit:
        return f"{ {'conv1': 'stem.conv', 'postnorm': 'norm', 'logits': 'head.fc'}[place.layer] }.{leaf}"
    layer = place.layer
    if place.norm:  # numbered by the convolution that follows, ours by the one before
        layer = "norm1" if layer == "preact" else f"norm{int(layer[-1]) + 1}"
    layer = "downsample.conv" if layer == "shortcut" else layer
    return f"stages.{place.block - 1}.blocks.{place.unit - 1}.{layer}.{leaf}"


NAMES: dict[str, Callable[[Place], str]] = {
    "Keras": _keras_name,
    "torchvision": _torchvision_name,
    "timm": _timm_name,
}
