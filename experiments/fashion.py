"""The small Fashion-MNIST that comes with the repository: makes data/fashion_14.npz.

    python -m experiments.fashion [FILE]

From the whole set, see `data.fashion_mnist`. The file holds bytes:

    train_images, train_labels   the first 10,000 training pictures, each pixel the mean of four, rounded: 14x14
    test_images, test_labels     the 10,000 test pictures likewise
    sample_images                the first 1,000 test pictures as they are, 28x28
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from resnet_lib import data
from resnet_lib.records import replacing


def smaller(images: np.ndarray) -> np.ndarray:
    """[number, 2 height, 2 width] of uint8 -> [number, height, width]: the mean of four pixels, a half upwards."""
    number, height, width = images.shape
    fours = images.reshape(number, height // 2, 2, width // 2, 2).sum(axis=(2, 4), dtype=np.uint16)
    return ((fours + 2) // 4).astype(np.uint8)


def main(file: str | Path) -> None:
    """Writes the file."""
    whole = data.fashion_mnist()
    train, test = (np.rint(images[..., 0] * 255).astype(np.uint8) for images in (whole.train_images, whole.test_images))
    with replacing(file) as target:
        np.savez_compressed(
            target,
            train_images=smaller(train[:10_000]),
            train_labels=whole.train_labels[:10_000].astype(np.uint8),
            test_images=smaller(test),
            test_labels=whole.test_labels.astype(np.uint8),
            sample_images=test[:1000],
        )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else data.DATA / "fashion_14.npz")
