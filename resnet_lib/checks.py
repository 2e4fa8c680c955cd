"""Arguments, checked where they come in: each function returns the value or says what it must be. No TensorFlow."""

import operator


def one_of(name, value, known):
    """`value`. Raises ValueError, naming the argument, when it is not one of the `known` ones."""
    if value not in known:
        raise ValueError(f"{name} must be one of {list(known)}, got {value!r}")
    return value


def positive_int(name, value):
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


def height_and_width(image_size):
    """`image_size` as (height, width): one number means a square."""
    if not isinstance(image_size, tuple | list):
        return (positive_int("image_size", image_size),) * 2
    if len(image_size) != 2:
        raise ValueError(f"image_size must be one number or (height, width), got {image_size!r}")
    return tuple(positive_int("image_size", side) for side in image_size)
