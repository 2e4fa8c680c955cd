"""What is done to a photograph before a network sees it: as those did it who trained its weights.

A network with another preprocessing than its own sees colours that it does not know, and is wrong without saying so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .checks import one_of, positive_int, whole_number
from .tf_slim_compat import tf


class Preprocessing(NamedTuple):
    """From bytes to what a network reads: the size first, then (pixel / divisor - mean) / std, channel by channel.

    resize: "stretch" (to the size, whatever the proportions), "central" (the middle `share` of each side, then to the size) or
    "shorter" (the shorter side to size / `share`, then the middle of it); rounding: there, of the longer side and of the first
    pixel; method, antialias: of `tf.image.resize`, or "bilinear_v1" of TensorFlow 1, which is half a pixel off; reverse:
    blue, green, red.
    """

    divisor: float
    mean: tuple[float, ...]
    std: tuple[float, ...] = (1.0,)
    reverse: bool = False
    resize: str = "stretch"
    share: float = 0.875
    rounding: tuple[Callable, Callable] = (np.floor, np.rint)
    method: str = "bilinear"
    antialias: bool = False


_IMAGENET = {"divisor": 255.0, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225), "antialias": True}

# tf-slim: research/slim/preprocessing in tensorflow/models, vgg_preprocessing.py (evaluation: the shorter side to 256, the
# middle 224) and inception_preprocessing.py (evaluation: the middle 0.875, bilinear). Keras: imagenet_utils.py, and
# `load_img(path, target_size=...)` of its documentation, which stretches to the nearest pixels. torchvision: the transforms of
# its IMAGENET1K_V1 weights; timm: the pretrained_cfg of resnetv2_50 (crop_pct 0.95, bicubic).
PREPROCESSING = {
    "vgg": Preprocessing(
        1.0, (123.68, 116.78, 103.94), resize="shorter", rounding=(np.rint, np.floor), method="bilinear_v1"
    ),
    "inception": Preprocessing(127.5, (1.0,), resize="central", method="bilinear_v1"),
    "caffe": Preprocessing(1.0, (103.939, 116.779, 123.68), reverse=True, method="nearest"),
    "tf": Preprocessing(127.5, (1.0,), method="nearest"),
    "torchvision": Preprocessing(**_IMAGENET, resize="shorter"),
    "timm": Preprocessing(**_IMAGENET, resize="shorter", share=0.95, method="bicubic"),
    "unit": Preprocessing(255.0, (0.0,), antialias=True),
}


MOST_PIXELS = 2**15  # of a side


def preprocessed(images: Any, name: str, height: int, width: int, channels: int = 3) -> tf.Tensor:
    """Bytes [height, width, channels] or [batch, height, width, channels], as a camera gives them, to [batch, height, width,
    channels] of float32, by one of PREPROCESSING. Raises ValueError for images of another type or shape."""
    how = PREPROCESSING[one_of("name", name, PREPROCESSING)]
    height, width = (whole_number(side, n, 1, MOST_PIXELS) for side, n in (("height", height), ("width", width)))
    channels = positive_int("channels", channels)
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
        raise ValueError(
            "images must be bytes (uint8), [height, width, channels] or [batch, height, width, channels], "
            f"got {images.dtype} {list(images.shape)}"
        )
    if images.shape[-1] != channels:
        raise ValueError(f"images must have {channels} channels, got {images.shape[-1]}")
    if images.size == 0:
        raise ValueError(f"images must have a pixel at least, got the shape {list(images.shape)}")
    images = tf.constant(images if images.ndim == 4 else images[None])
    pixels = _resized(images, how, height, width)
    if how.reverse:
        pixels = pixels[..., ::-1]
    return (pixels / how.divisor - how.mean) / how.std


def _resized(images, how, height, width):
    """The images in that size, as float32 from 0 to 255."""
    found = np.array(images.shape[1:3])
    wanted = np.array([height, width])
    if how.resize == "shorter":
        longer, first = how.rounding
        scale = np.max(np.floor(wanted / how.share) / found)
        images = _resize(images, how, longer(found * scale + 1e-6))
        return _cropped(images, first((np.array(images.shape[1:3]) - wanted) / 2), wanted)
    if how.resize == "central":
        first = np.floor(found * (1 - how.share) / 2)  # as tf.image.central_crop
        images = _cropped(images, first, found - 2 * first)
    return _resize(images, how, wanted)


def _resize(images, how, size):
    size = [int(side) for side in size]
    if how.method == "bilinear_v1":
        return tf.compat.v1.image.resize_bilinear(images, size)
    images = tf.image.resize(images, size, how.method, antialias=how.antialias)
    return tf.clip_by_value(tf.cast(images, tf.float32), 0, 255)


def _cropped(images, first, size):
    """The part of each image that begins at `first` (top, left) and has that (height, width)."""
    (top, left), (height, width) = first.astype(int), size.astype(int)
    return images[:, top : top + height, left : left + width]
