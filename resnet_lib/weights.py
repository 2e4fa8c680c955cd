"""Weights that others have trained: a file of them, held against a network.

The same network has other functions with other conventions: where its strides stand, what its batch norms add to the variance,
how its root pads before pooling, what is done to a photograph first, and whether class 0 is the background. A file says little
of that; its source decides. `build(..., weights=PATH)` and `Network.load` read all of it here. Notebook 07 tells the sources
apart.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from .architectures import Architecture
from .checks import own
from .descriptions import architecture_of, described
from .units import BasicUnit
from .weight_files import Opened, Stored, opened
from .weight_names import CONVENTIONS, NAMES, Convention, classifier_scope, keras_layers, other_convention, place

LEAVES = ("weights", "biases", "gamma", "beta", "moving_mean", "moving_variance")


def source_of(file: Opened) -> str:
    """Whose names a file has: "npz", "tf-slim" or one of `weight_names.NAMES`."""
    if file.kind == "safetensors":
        return "timm" if "stem.conv.weight" in file.arrays else "torchvision"
    return {"npz": "npz", "checkpoint": "tf-slim", "keras": "Keras"}[file.kind]


def with_layer_names(file: Opened, architecture: Architecture | None) -> Opened:
    """The same; a file of tf_keras that numbers its layers gets their names, if it has as many as the network."""
    if file.kind != "keras" or "conv2d/kernel" not in file.arrays or architecture is None:
        return file
    layers = keras_layers(architecture.version, architecture.units)
    there = {name.rpartition("/")[0] for name in file.arrays}
    if there - {"dense"} != layers.keys() - {"dense"}:
        return file
    split = {name: name.rpartition("/") for name in file.arrays}
    return file._replace(
        arrays={f"{layers[layer]}/{what}": file.arrays[name] for name, (layer, _, what) in split.items()}
    )


def _root(names: Iterable[str], scope: str) -> str:
    """The variable scope of the network in a file: `scope` if it is there, else the only one that holds weights."""
    roots = {name.partition("/")[0] for name in names if name.endswith("/weights")}
    return scope if scope in roots or len(roots) != 1 else roots.pop()


class WeightFile:
    """A file of weights, held against a network.

    name: of the network, its variable scope; architecture: None for one of OTHER_NETS. path: of the file; convention:
    what belongs to the weights, None for an .npz file that says nothing of it; described: the Architecture that an .npz file
    says they are of, None where it says nothing; num_classes: that they tell apart, None for a file without a classifier.
    """

    def __init__(self, file: Opened, name: str, architecture: Architecture | None):
        version = architecture.version if architecture else None
        self._file = file = with_layer_names(file, architecture)
        self.path = file.path
        self._source = source_of(file)
        self._name = name
        self._root = _root(file.arrays, name) if self._source in ("npz", "tf-slim") else ""
        self.convention = self._found_convention(version)
        self.described = described_in(file) if self._source == "npz" else None
        found = file.arrays.get(self._stored_name(f"{classifier_scope(name)}/weights"))
        self.num_classes = None if found is None else found.shape[0 if file.kind == "safetensors" else -1]

    def _found_convention(self, version):
        if self._source == "npz":
            found = _about(self._file).get("convention")
            return Convention(*map(found.get, Convention._fields)) if found else None
        if version is None and self._source == "tf-slim":
            return other_convention(self._name)
        if (self._source, version) not in CONVENTIONS:
            network = f"ResNet V{version}" if version else self._name
            raise ValueError(
                f"weights: {self._file.path} has the names of {self._source}, in which there is no {network} here; known are "
                f"{', '.join(f'{source} V{number}' for source, number in CONVENTIONS)}"
            )
        return CONVENTIONS[self._source, version]

    def _stored_name(self, variable):
        """What the file calls a variable, its name without the network's scope; None where it has no name for it."""
        if self._source in ("npz", "tf-slim"):
            return f"{self._root}/{variable}"
        where = place(variable)
        return None if where is None else NAMES[self._source](where)

    def values(self, wanted: Mapping[str, tuple[int, ...]], without_classifier: bool = False) -> dict[str, np.ndarray]:
        """The value of every variable in `wanted`, name with the network's scope -> shape, as float32.

        A class more than wanted is the background, and is left out. without_classifier: leave out the last layer.
        Raises ValueError, naming the file and the variable, for one that is missing or has another shape, for a number that is
        not finite, and for weights that the network has no place for.
        """
        classifier = f"{self._name}/{classifier_scope(self._name)}/"
        values, used = {}, set()
        for name, shape in wanted.items():
            if not (without_classifier and name.startswith(classifier)):
                values[name] = self._value(name, tuple(shape), name.startswith(classifier), used)
        unused = sorted(filter(self._counts, self._file.arrays.keys() - used))
        if without_classifier or not any(name.startswith(classifier) for name in wanted):
            unused = [name for name in unused if name not in self._of_classifier()]
        if unused:
            raise ValueError(
                f"weights: {self._file.path} holds {len(unused)} arrays more than {self._name} has variables: it is of another "
                f"network; the first is {unused[0]!r}"
            )
        return values

    def _of_classifier(self):
        return {self._stored_name(f"{classifier_scope(self._name)}/{leaf}") for leaf in ("weights", "biases")}

    def _counts(self, name):
        """Whether an array belongs to the network; an optimizer has others, and training an auxiliary head."""
        if self._source in ("npz", "tf-slim"):
            leaf = name.rpartition("/")[2]
            return leaf in LEAVES and name.startswith(f"{self._root}/") and "/AuxLogits/" not in name
        return not name.endswith(".num_batches_tracked")

    def _value(self, name, shape, of_classifier, used):
        variable = name.removeprefix(f"{self._name}/")
        stored_name = self._stored_name(variable)
        stored = self._file.arrays.get(stored_name)
        if stored is None:
            if self._source in ("torchvision", "timm") and variable.endswith("/biases") and not of_classifier:
                return np.zeros(shape, np.float32)  # PyTorch's convolutions have none here
            raise ValueError(f"weights: {self._file.path} has nothing for {name}, which it would call {stored_name!r}")
        used.add(stored_name)
        fit = self._fit(stored.shape, shape, of_classifier)
        if fit is None:
            raise ValueError(
                f"weights: {self._file.path} has the shape {stored.shape} for {name}, whose shape is {shape}"
            )
        value = fit(self._read(stored_name, stored))
        if self._source == "Keras" and variable.endswith("/BatchNorm/moving_mean"):
            bias = self._stored_name(variable.replace("/BatchNorm/moving_mean", "/biases"))
            if bias in self._file.arrays:  # BN(x + b) with the mean m is BN(x) with the mean m - b
                used.add(bias)
                value = value - self._read(bias, self._file.arrays[bias])
        return np.ascontiguousarray(value, np.float32)

    def _fit(self, found, wanted, of_classifier) -> Callable[[np.ndarray], np.ndarray] | None:
        """What makes an array of the shape `found` one of the shape `wanted`; None if nothing does."""
        axes = {4: (2, 3, 1, 0), 2: (1, 0)}.get(len(found)) if self._file.kind == "safetensors" else None
        shape = tuple(found[axis] for axis in axes) if axes else found
        shape = (1, 1, *shape) if len(shape) == 2 and len(wanted) == 4 else shape  # a dense layer is a 1x1 convolution
        background = of_classifier and shape == (*wanted[:-1], wanted[-1] + 1) and self.num_classes == 1001
        if shape != wanted and not background:
            return None
        return lambda value: (value.transpose(axes) if axes else value).reshape(shape)[..., int(background) :]

    def _read(self, name, stored: Stored):
        value = np.asarray(stored.read())
        if value.shape != stored.shape or value.dtype.kind != "f":
            raise ValueError(
                f"weights: {self._file.path} has no real numbers for {name!r}, but {value.dtype} {value.shape}"
            )
        value = value.astype(np.float32, copy=False)
        if not np.isfinite(value.sum(dtype=np.float64)):
            raise ValueError(f"weights: {self._file.path} holds NaN or infinity in {name!r}")
        return value

    def check(self, architecture: Architecture | None) -> None:
        """Raises ValueError, naming the argument, for a network of another layout, epsilon or pooling, and, where the file says
        what its network is, of another shortcut or other strides."""
        if architecture is None:
            return
        for name, wanted in self.changes().items():
            found = getattr(architecture, name)
            if not (_same_layout(architecture, wanted) if name == "layout" else found == wanted):
                raise ValueError(
                    f"{name}: the weights in {self._file.path} are for {wanted!r}, got {found!r}; build(..., weights=PATH) "
                    "without it takes what belongs to them"
                )
        if self.described:
            self._check_described(architecture)

    def _check_described(self, architecture):
        for name, wanted in _unseen(self.described).items():
            found = _unseen(architecture)[name]
            if not (found == wanted or {wanted, found} <= _SEEN_SHORTCUTS):
                raise ValueError(
                    f"{name}: the weights in {self._file.path} are for {wanted!r}, got {found!r}; "
                    f"resnet_lib.weights.architecture_in(PATH) is their network, {self.described.name!r}"
                )

    def changes(self) -> dict[str, Any]:
        """The fields of an Architecture that the convention fixes, or the architecture that the file describes."""
        fixed = self.convention or self.described
        fields = ("layout", "batch_norm_epsilon", "root_pooling") if fixed else ()
        return {name: getattr(fixed, name) for name in fields if getattr(fixed, name) is not None}

    def fitting_classes(self, num_classes: Any, fresh_classifier: bool) -> Any:
        """The number of classes of the network to build. Raises ValueError where the file has another number, unless the
        classifier stays fresh, or there is none."""
        if fresh_classifier or num_classes is None:
            return num_classes
        if own(num_classes):
            return self.num_classes
        if num_classes == self.num_classes or (num_classes, self.num_classes) == (1000, 1001):
            return num_classes
        raise ValueError(
            f"num_classes: the weights in {self._file.path} have {self.num_classes or 'no'} classes, got {num_classes}; "
            "fresh_classifier=True leaves the classifier without them"
        )


def _same_layout(architecture, layout):
    """Whether a network has that layout, which for units without a 1x1 may have two names."""
    try:
        return architecture.layout == architecture.variant(layout=layout).layout
    except ValueError:  # strides that no layout has
        return False


_SEEN_SHORTCUTS = {"A", "B", "C"}  # they are one function, or the projections of one are not there in the other


def _unseen(architecture):
    """Name of an argument -> what of it makes another function of variables with the same names and shapes."""
    root, blocks = architecture.root, architecture.blocks
    basic = all(isinstance(unit, BasicUnit) for block in blocks for unit in block.args)  # which have no 1x1
    return {
        "shortcut": architecture.shortcut,
        "root: strides": root and (root.stride, root.pool_stride),
        "blocks: strides": tuple(tuple(unit.stride for unit in block.args) for block in blocks),
        "stride_in": None if basic else architecture.stride_in,
    }


def _about(file: Opened) -> dict[str, Any]:
    """What an .npz file of this library says of itself: "convention", and "architecture" if that can be written."""
    stored = file.arrays.get("about")
    if stored is None:
        return {}
    text = str(stored.read())
    try:
        return dict(json.loads(text))
    except (TypeError, ValueError) as error:  # no JSON, or no dict
        raise ValueError(f"weights: {file.path} says in 'about' what this library does not write: {error}") from error


def about(convention: Convention, architecture: Architecture | None) -> np.ndarray:
    """What `Network.save` writes beside the variables."""
    description = described(architecture) if architecture else None
    return np.array(json.dumps({"convention": convention._asdict(), "architecture": description}))


def architecture_in(path: str | os.PathLike) -> Architecture:
    """The architecture that a file of `Network.save`, or a checkpoint of `training.train`, describes. Raises ValueError for a
    file that describes none."""
    with opened(path) as file:
        net = described_in(file)
        if net is None:
            raise ValueError(f"weights: {path} does not say what its network is: name it")
        return net


def described_in(file: Opened) -> Architecture | None:
    """The same of an open file of any kind; None for one that describes none."""
    fields = _about(file).get("architecture")
    try:
        return architecture_of(fields) if fields else None
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"weights: {file.path} says in 'about' what this library does not write: {error!r}") from error
