"""What a network with the weights of a file sees in a photograph."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from . import data, known_weights
from .checks import whole_number

if TYPE_CHECKING:
    from .network import Network


class Likely(NamedTuple):
    """A class that a photograph may be of. number: of the class, the background left out; name: of ImageNet's classes, or
    "class 3"; probability: from 0 to 1."""

    number: int
    name: str
    probability: float


def network_with_weights(weights: str | os.PathLike, architecture: str | None = None) -> Network:
    """The network whose weights a file holds: Network, which can classify.

    weights: the path of a file, or a name of `known_weights`, whose file is downloaded once; architecture: the network's name,
    None for what the file says. Raises ValueError for what is neither, for weights without a classifier, and what
    `known_weights.fetch` and `build` raise.
    """
    from .identification import named
    from .network import build

    checkpoint = Path(f"{weights}.index")  # of TensorFlow: several files, whose names begin with `weights`
    path = weights if Path(weights).exists() or checkpoint.exists() else _fetched(str(weights))
    network = build(architecture or named(path), weights=path)
    if network.architecture is not None and network.architecture.num_classes is None:
        raise ValueError(f"weights must have a classifier, but {weights} ends with the features of {network.name}")
    return network


def _fetched(weights):
    try:
        return known_weights.fetch(weights)
    except ValueError as error:
        if weights in known_weights.known():
            raise
        raise ValueError(f"weights must be a file or the name of one, got {weights!r}: {error}") from error


def likeliest(network: Network, photo: np.ndarray, top: int = 5) -> list[Likely]:
    """The likeliest classes of a photograph, [height, width, 3] of uint8, and their probabilities: list of `top` Likely.

    The probabilities are the softmax over all classes but the background, so that those of all classes sum to 1.
    Raises ValueError unless `top` is from 1 to the number of classes.
    """
    batch = network.preprocess(np.asarray(photo)[None])
    logits = np.asarray(network(batch), np.float64).reshape(-1)[network.class_offset or 0 :]
    top = whole_number("top", top, 1, len(logits))
    exponentials = np.exp(logits - logits.max())
    probabilities = exponentials / exponentials.sum()
    names = class_names(network, len(logits))
    return [Likely(int(i), names[i], float(probabilities[i])) for i in np.argsort(-probabilities, kind="stable")[:top]]


def class_names(network: Network, number: int) -> list[str]:
    """The names of a network's classes but the background: ImageNet's if they are ImageNet's, else "class 0", "class 1", ..."""
    return data.imagenet_classes() if network.class_offset is not None else [f"class {i}" for i in range(number)]
