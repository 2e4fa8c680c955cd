"""A training run on disk: what makes two runs the same run, and the file from which one goes on."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict
from inspect import isfunction
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from .architectures import Architecture
from .descriptions import described
from .recipe import Recipe
from .records import replacing
from .units import UnitKind


class Epoch(NamedTuple):
    """What one epoch of training came to. Errors are shares of wrong answers, from 0 to 1."""

    epoch: int  # from 1
    learning_rate: float
    train_loss: float  # mean cross-entropy, without the weight decay
    train_error: float
    test_error: float
    gradient_norm: float  # of all weights together, mean over the steps
    first_gradient_norm: float  # of the first convolution's weights, mean over the steps


def fingerprint(
    architecture: Architecture,
    recipe: Recipe,
    data: Any,
    seed: int,
    start: Mapping[str, np.ndarray] = MappingProxyType({}),
    change_gradients: Any = None,
) -> str:
    """What a run depends on, as text: two runs with the same are the same run. Arguments as in `training.train`, which checks
    them; start: the weights that it starts from."""
    content = hashlib.sha256()
    for array in (data.train_images, data.train_labels, data.test_images, data.test_labels, *start.values()):
        content.update(np.ascontiguousarray(array))
    kinds = [block.unit_fn for block in architecture.blocks if isinstance(block.unit_fn, UnitKind)]
    own = [kind.builder for kind in kinds if callable(kind.builder)]
    functions = [_known_by(function, []) for function in (*own, change_gradients) if function]
    return json.dumps([_printed(architecture), asdict(recipe), content.hexdigest()[:16], seed, *functions])


def _known_by(value, seen):
    """A function as text: its name, its defaults and what it closes over; of functions among these the same, of other values
    how they print. seen: the functions that are described already."""
    if not isfunction(value):
        return _printed(value)
    if value in seen:
        return value.__qualname__
    seen.append(value)
    closed_over = [cell.cell_contents for cell in value.__closure__ or ()]
    values = [*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values(), *closed_over]
    texts = [_known_by(inner, seen) for inner in values]
    return f"{value.__qualname__}({', '.join(texts)})" if texts else value.__qualname__


def _printed(value):
    """How a value prints, without the addresses, which are others in another process."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def write(path: Path, run: str, epochs: list[Epoch], variables: Mapping[str, np.ndarray], net: Architecture) -> None:
    """Writes a checkpoint, which takes the place of the old one when it is whole. run: its `fingerprint`.

    An .npz file: each variable under its name ("net/conv1/weights", ".../weights/Momentum"), the records under "about", and the
    architecture, as in a file of `Network.save`.
    """
    about = np.array(json.dumps({"run": run, "epochs": epochs, "architecture": described(net)}))
    with replacing(path) as file:
        np.savez(file, about=about, **variables)


def read(path: Path | None, run: str) -> tuple[dict[str, np.ndarray], list[Epoch]]:
    """The variables of a checkpoint by name, and its records; nothing of either where there is none. Raises ValueError for
    another kind of file, a damaged one, and one of another run than `run`, its `fingerprint`."""
    if not path or not os.path.exists(path):
        return {}, []
    try:
        with np.load(path) as saved:
            arrays = dict(saved)
        about = json.loads(str(arrays.pop("about")))
        there = json.loads(about["run"])
        epochs = [Epoch(*epoch) for epoch in about["epochs"]]
    except OSError:
        raise
    except Exception as error:  # NumPy, zipfile, zlib and json have one each for what they cannot read
        reason = f"is no checkpoint of `train`, or not a whole one ({type(error).__name__}: {error})"
        raise ValueError(f"checkpoint: {path} {reason}. Name another file") from error
    different = _differences(there, json.loads(run))
    if different:
        raise ValueError(f"checkpoint: {path} belongs to another run: {different}. Name another file")
    return arrays, epochs


def _differences(there, here):
    """What two fingerprints differ in, for people; an empty text where they are the same."""
    network, recipe, data, seed, *functions = there
    network_here, recipe_here, data_here, seed_here, *functions_here = here
    numbers = {**recipe, "seed": seed}
    numbers_here = {**recipe_here, "seed": seed_here}
    names = numbers.keys() | numbers_here.keys()
    pairs = {name: (numbers.get(name), numbers_here.get(name)) for name in sorted(names)}
    texts = [f"{name} is {one} there and {other} here" for name, (one, other) in pairs.items() if one != other]
    others = {
        "the network is another one": network != network_here,
        "the data, or the weights to start from, are others": data != data_here,
        "a unit function or change_gradients is another one": functions != functions_here,
    }
    return "; ".join([*texts, *(text for text, differ in others.items() if differ)])
