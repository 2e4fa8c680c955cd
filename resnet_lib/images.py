"""What a network is called on: images as a tensor, checked where they come in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .tf_slim_compat import check_eager, check_process, tf


def shape_text(shape: Any) -> str:
    """A tensor's shape for people: "[any, 224, 224, 3]"."""
    return "[" + ", ".join("any" if side is None else str(side) for side in shape) + "]"


def checked_images(images: Any, shape: Any) -> tf.Tensor:
    """`images` as a float32 tensor. Raises ValueError unless they are real numbers of that shape, at least one pixel each and
    none NaN or infinite, and RuntimeError where they cannot be computed with."""
    check_process()
    images = tf.cast(_real_numbers(images), tf.float32)
    if not tf.TensorShape(shape).is_compatible_with(images.shape):
        raise ValueError(f"images must have the shape {shape_text(shape)}, got {shape_text(images.shape)}")
    if 0 in images.shape[1:]:
        raise ValueError(f"images must have a pixel at least, got the shape {shape_text(images.shape)}")
    if not tf.executing_eagerly() and not tf.compat.v1.get_default_graph().building_function:
        check_eager("a Network outside of a tf.function")
    if tf.executing_eagerly() and not np.isfinite(tf.reduce_sum(images)):  # or it only overflows
        which = np.unique(np.argwhere(~np.isfinite(images))[:, 0])
        if len(which):
            raise ValueError(f"images holds NaN or infinity, in image {', '.join(map(str, which))} of the batch")
    return images


def with_an_image(forward: Callable[[tf.Tensor], Any], images: tf.Tensor) -> Any:
    """`forward(images)`. A batch of no images goes through as one black image, which is then left out: oneDNN, TensorFlow's
    default on newer processors, loses the shape of an empty batch."""
    if images.shape[0] != 0:
        return forward(images)
    results = forward(tf.zeros([1, *images.shape[1:]], images.dtype))
    return tf.nest.map_structure(lambda result: result[:0], results)


def _real_numbers(images):
    """An array, a tensor or a variable as a tensor. Raises ValueError for what holds no real numbers."""
    given = type(images).__name__
    try:
        kept = tf.is_tensor(images)  # or a variable, Keras' too: a gradient flows to it
        images = tf.convert_to_tensor(images) if kept else np.asarray(images)
        dtype = tf.as_dtype(images.dtype)
    except (TypeError, ValueError) as error:
        raise ValueError(f"images must be an array or a tensor of real numbers, got a {given}") from error
    if not (dtype.is_floating or dtype.is_integer or dtype.is_bool):
        held = dtype.name if kept else images.dtype
        raise ValueError(f"images must hold real numbers, got an array of {held}")
    return images
