"""Arguments, checked where they come in: each function returns the value or says what it must be. No TensorFlow."""

from __future__ import annotations

import math
import operator
import os
import re
from collections.abc import Collection, Hashable, Iterable, Mapping, Set
from importlib.util import find_spec
from numbers import Rational, Real
from pathlib import Path
from typing import Any

MAX_SEED = 2**63 - 1  # that TensorFlow takes
OWN = "own"  # the image size or number of classes that the network was designed for


def one_of(name: str, value: Any, known: Collection) -> Any:
    """`value`. Raises ValueError, naming the argument, when it is not one of the `known` ones."""
    # What has no hash, such as an array, is not even compared: an array is neither equal to a text nor not.
    if not isinstance(value, Hashable) or value not in known:
        raise ValueError(f"{name} must be one of {list(known)}, got {value!r}")
    return value


def instance_of(name: str, value: Any, kind: type | tuple[type, ...], what: str) -> Any:
    """`value`. Raises TypeError, naming the argument, when it is no `kind`, which is called `what`: "a Network"."""
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be {what}, got {value!r}")
    return value


def file_path(name: str, value: Any) -> Path:
    """`value` as a Path. Raises TypeError or ValueError, naming the argument, when it is a path of no file system."""
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"{name} must be the path of a file, got {value!r}")
    if not os.fspath(value):
        raise ValueError(f"{name} must be the path of a file, got {value!r}")
    if "\0" in os.fspath(value):
        raise ValueError(f"{name} must be the path of a file, which holds no zero, got {value!r}")
    return Path(value)


def positive_int(name: str, value: Any) -> int:
    """`value` as an int. Raises TypeError or ValueError, naming the argument, when it is not a whole number >= 1."""
    try:
        number = operator.index(value)
        if isinstance(value, bool):
            raise TypeError
    except TypeError:
        raise TypeError(f"{name} must be a positive whole number, got {value!r}") from None
    if number < 1:
        raise ValueError(f"{name} must be a positive whole number, got {value!r}")
    return number


def whole_number(name: str, value: Any, least: int = 0, most: float = math.inf) -> int:
    """`value` as an int. Raises TypeError or ValueError, naming the argument, when it is not a whole number in that range."""
    message = f"{name} must be a whole number {_range(least, most)}, got {value!r}"
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(message) from None
    if isinstance(value, bool):
        raise TypeError(message)
    if not least <= number <= most:
        raise ValueError(message)
    return number


def real_number(name: str, value: Any, least: float = 0, most: float = math.inf) -> float:
    """`value` as a float. Raises TypeError or ValueError, naming the argument, when it is not a finite number in that range.

    A NumPy number becomes the one that it prints: float32's 0.1 is 0.1 and not 0.10000000149.
    """
    message = f"{name} must be a number {_range(least, most)}, got {value!r}"
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(message)
    number = float(value if isinstance(value, Rational) else str(value))
    if not (least <= number <= most and math.isfinite(number)):
        raise ValueError(message)
    return number


def _range(least, most):
    return f">= {least}" if most == math.inf else f"from {least} to {most}"


def listed(name: str, value: Any) -> list:
    """The values of an iterable, read once; a text or a number alone is one. Raises ValueError when there are none."""
    try:
        values = iter([value] if isinstance(value, str) else value)
    except TypeError:
        values = [value]
    found = list(values)
    if not found:
        raise ValueError(f"{name} must have one value or more, got {value!r}")
    return found


def list_of(what: str, name: str, value: Any) -> Iterable:
    """`value`. Raises TypeError, naming the argument, when it is not an iterable, or one of another kind than a list."""
    if isinstance(value, str | dict | Set) or not isinstance(value, Iterable):
        raise TypeError(f"{name} must be a list of {what}, got {value!r}")
    return value


def installed(package: str, extra: str, what: str) -> None:
    """Raises ImportError, saying which extra of this library brings it, where a package is missing that `what` needs."""
    if find_spec(package) is None:
        which = "of that name" if f"{package!r}" in what else package
        raise ImportError(f"{what} needs the package {which}: pip install 'resnet-lib[{extra}]'")


def own(value: Any) -> bool:
    """Whether an argument asks for what the network was designed for. (An array compared with a text is an array.)"""
    return isinstance(value, str) and value == OWN


def height_and_width(image_size: Any) -> tuple[int, int]:
    """`image_size` as (height, width): one number means a square; a pair may be of any kind, an array too."""
    try:
        no_pair = isinstance(image_size, str | Set | Mapping)  # which have no order, or none that says anything
        sides = [image_size] * 2 if no_pair else [*image_size]
    except TypeError:  # no pair but one number
        sides = [image_size] * 2
    if len(sides) != 2:
        raise ValueError(f"image_size must be one number or (height, width), got {image_size!r}")
    height, width = sides
    return positive_int("image_size", height), positive_int("image_size", width)


def scope_name(name: str, value: Any) -> str:
    """`value`. Raises ValueError, naming the argument, when TensorFlow takes it for no name of a scope."""
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9.][\w.>-]*(/[\w.>-]+)*", value, re.ASCII):
        raise ValueError(
            f"{name} must be a name for variables: letters, digits and any of ._->, parts of it separated by '/', "
            f"got {value!r}"
        )
    return value
