"""Photographs from files, as a network's preprocessing takes them. No TensorFlow."""

from __future__ import annotations

import os
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from .checks import file_path, one_of, positive_int

# No other format is tried: some start programs when they are read (EPS).
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")


def read_photo(path: str | os.PathLike, channels: int = 3) -> np.ndarray:
    """The picture in a file, upright as its camera meant it: [height, width, channels] of uint8, red, green and blue, or with
    channels=1 the greys of a picture without colours.

    Any file of FORMATS; of an animation the first picture. What is transparent becomes white, 16 bits become 8, CMYK and
    greys become RGB (without colour profiles). Raises ValueError, naming `photo`, for a folder, an empty file, one of another
    format, one that is cut short or damaged, one whose pixels have no known range (32 bits), one that claims more pixels
    than Pillow takes for safe (179 million), and one in colours where one channel is wanted; OSError when it cannot be opened.
    """
    one_of("channels", positive_int("channels", channels), (1, 3))
    if file_path("path", path).is_dir():
        raise ValueError(f"photo must be a file with a picture, got the folder {path}")
    with open(path, "rb") as file:
        if not file.peek(1):
            raise ValueError(f"photo must be a file with a picture, got the empty file {path}")
        try:
            pixels = _pixels(file)
        except UnidentifiedImageError:
            raise ValueError(f"photo must be a picture, one of {list(FORMATS)}; {path} is none, or damaged") from None
        except Exception as error:  # each format, and each way to be damaged, has errors of its own
            raise ValueError(f"photo: the picture {path} cannot be read: {error}") from error
    if channels == 3:
        return pixels
    if (pixels != pixels[..., :1]).any():  # how its colours became greys, only who trained the network knows
        raise ValueError(f"photo must be in greys for images of one channel, got the colours of {path}")
    return pixels[..., :1]


def _pixels(file: BinaryIO) -> np.ndarray:
    with Image.open(file, formats=FORMATS) as image:
        image = _eight_bits(ImageOps.exif_transpose(image), image.format)
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.array(image.convert("RGB"))


def _eight_bits(image: Image.Image, file_format: str | None) -> Image.Image:
    """Greys of 16 bits as 8: `convert` would make all but the darkest white. (Pillow halves the bits of colours itself.)"""
    sixteen = image.mode.startswith("I;16") or (image.mode == "I" and file_format == "PNG")  # "I" in older Pillows
    if sixteen:
        return Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError("its pixels are 32 bits, and nobody knows which number is white")
    return image
