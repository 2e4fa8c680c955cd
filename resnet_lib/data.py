"""What stands in `data/`: photographs, handwritten digits, published numbers with their sources, and stored experiments."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .checks import positive_int, whole_number
from .data_files import DATA as DATA
from .data_files import imagenet_classes as imagenet_classes
from .data_files import keras_folder, path
from .data_files import published as published

if TYPE_CHECKING:
    from .network import Network


class Dataset(NamedTuple):
    """Images [number, height, width, channels] of float32, labels [number] of int32."""

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    num_classes: int


def checked(data: Dataset) -> Dataset:
    """The same Dataset, with arrays of NumPy: one that a network can be trained on.

    Raises TypeError for what is no Dataset, and ValueError, naming the field, for images that are not [number, height,
    width, channels], that are none or not finite numbers, for test images of another shape than the training images, and
    for labels that are not one whole number below `num_classes` for each image.
    """
    if not isinstance(data, Dataset):
        raise TypeError(f"data must be a data.Dataset, got {type(data).__name__}")
    num_classes = positive_int("num_classes", data.num_classes)
    train_images = _images("train_images", data.train_images)
    test_images = _images("test_images", data.test_images)
    if test_images.shape[1:] != train_images.shape[1:]:
        shapes = f"{list(train_images.shape[1:])}, got {list(test_images.shape[1:])}"
        raise ValueError(f"test_images must have the height, width and channels of the training images, {shapes}")
    train_labels = _labels("train_labels", data.train_labels, len(train_images), num_classes)
    test_labels = _labels("test_labels", data.test_labels, len(test_images), num_classes)
    return Dataset(data.name, train_images, train_labels, test_images, test_labels, num_classes)


def _array(name, values):
    try:
        return np.asarray(values)
    except (TypeError, ValueError) as error:  # rows of different lengths, a tensor of another device
        raise ValueError(f"{name} must be an array: {error}") from error


def _images(name, images):
    images = _array(name, images)
    if images.ndim != 4 or not images.size:
        wanted = "[number, height, width, channels], with one image or more"
        raise ValueError(f"{name} must be {wanted}, got the shape {list(images.shape)}")
    if images.dtype.kind not in "buif":
        raise ValueError(f"{name} must be real numbers, got {images.dtype}")
    limit = np.finfo(np.float32).max
    if not (-limit <= images.min() and images.max() <= limit):  # neither for NaN
        first = tuple(np.argwhere(~((images >= -limit) & (images <= limit)))[0])
        raise ValueError(f"{name} must be finite numbers of float32, got {images[first]} in image {first[0]}")
    return images


def _labels(name, labels, number, num_classes):
    labels = _array(name, labels)
    if labels.shape != (number,):
        shapes = f"one for each of the {number} images, got the shape {list(labels.shape)}"
        raise ValueError(f"{name} must be [number], {shapes}")
    if labels.dtype.kind not in "iu":
        raise ValueError(f"{name} must be whole numbers, got {labels.dtype}")
    wrong = (labels < 0) | (labels >= num_classes)
    if wrong.any():
        raise ValueError(
            f"{name} must be from 0 to {num_classes - 1}, got {labels[wrong][0]} for image {wrong.argmax()}"
        )
    return labels


def digits(num_train: int = 1500) -> Dataset:
    """1,797 handwritten digits, 8x8 pixels from 0 to 1: Dataset. The first `num_train` are for training, the rest for testing.

    UCI Optical Recognition of Handwritten Digits (Alpaydin and Kaynak 1998), its test part. The order of the file is kept:
    neighbours are often by one writer, so that most writers of the test images have not been seen in training.
    Raises ValueError unless both parts get an image, and TypeError for a number that is not whole.
    """
    table = np.loadtxt(path("digits.csv.gz"), delimiter=",", dtype=np.float32)
    num_train = whole_number("num_train", num_train, 1, len(table) - 1)
    images = table[:, :-1].reshape(-1, 8, 8, 1) / 16
    labels = table[:, -1].astype(np.int32)
    return Dataset("digits", images[:num_train], labels[:num_train], images[num_train:], labels[num_train:], 10)


CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"


def cifar10() -> Dataset:
    """CIFAR-10 (Krizhevsky 2009): Dataset of 50,000 and 10,000 images, 32x32x3, each pixel less the mean training image,
    from -1 to 1.

    Keras' own loader downloads it once, checks its hash, and keeps it. Raises ConnectionError, saying what to download and
    where to put it, when that fails.
    """
    from .tf_slim_compat import tf

    try:
        (train_images, train_labels), (test_images, test_labels) = tf.keras.datasets.cifar10.load_data()
    except Exception as error:  # a plain Exception for no network, ValueError for a wrong hash
        cached = keras_folder() / "datasets/cifar-10-batches-py-target_archive"
        raise ConnectionError(
            f"CIFAR-10 could not be loaded ({error}). Where there is a network, download {CIFAR10_URL} (163 MB) and save it "
            f"here as {cached}; Keras checks and unpacks it from there"
        ) from error
    mean = train_images.mean(axis=0, dtype=np.float64)
    images = [((part - mean) / 255).astype(np.float32) for part in (train_images, test_images)]
    labels = [part.reshape(-1).astype(np.int32) for part in (train_labels, test_labels)]
    return Dataset("cifar10", images[0], labels[0], images[1], labels[1], 10)


FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
FASHION_FOLDER = Path("/usr/share/datasets/fashion-mnist")  # of Debian's package dataset-fashion-mnist
FASHION_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets"


def fashion_mnist() -> Dataset:
    """Fashion-MNIST (Xiao et al. 2017, arXiv:1708.07747): Dataset of 60,000 and 10,000 pictures, 28x28x1, from 0 to 1.

    From Debian's package `dataset-fashion-mnist` where that is installed; else Keras' own loader downloads it once and keeps
    it. Raises ConnectionError, saying what to install or to download, when that fails, and ValueError for a damaged file.
    """
    if FASHION_FOLDER.is_dir():
        arrays = [_idx(FASHION_FOLDER / f"{name}-ubyte.gz") for name in _FASHION_FILES]
    else:
        arrays = _fashion_by_keras()
    train_images, train_labels, test_images, test_labels = arrays
    return _fashion("fashion_mnist", train_images, train_labels, test_images, test_labels)


_FASHION_FILES = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")


def _fashion_by_keras():
    from .tf_slim_compat import tf

    try:
        (train_images, train_labels), (test_images, test_labels) = tf.keras.datasets.fashion_mnist.load_data()
    except Exception as error:
        files = ", ".join(f"{name}-ubyte.gz" for name in _FASHION_FILES)
        raise ConnectionError(
            f"Fashion-MNIST could not be loaded ({error}). Install Debian's package dataset-fashion-mnist, or where there is a "
            f"network, download {files} (30 MB) from {FASHION_URL} to {keras_folder() / 'datasets/fashion-mnist'}"
        ) from error
    return train_images, train_labels, test_images, test_labels


def _idx(file):
    """An array of uint8 from a gzipped file of LeCun's IDX format: 0, 0, 8, the number of axes, their lengths, the numbers."""
    try:
        content = gzip.decompress(file.read_bytes())
        axes = content[3]
        shape = [int.from_bytes(content[4 * i : 4 * i + 4], "big") for i in range(1, axes + 1)]
        if content[:3] != b"\0\0\x08":
            raise ValueError("it does not hold bytes")
        return np.frombuffer(content, np.uint8, offset=4 * axes + 4).reshape(shape)
    except (ValueError, IndexError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{file} is not a whole file of the IDX format: {error}") from error


def _from_0_to_1(images):
    """[number, height, width] of bytes -> [number, height, width, 1] of float32."""
    return images[..., None].astype(np.float32) / 255


def _fashion(name, train_images, train_labels, test_images, test_labels):
    images = [_from_0_to_1(part) for part in (train_images, test_images)]
    labels = [part.astype(np.int32) for part in (train_labels, test_labels)]
    return Dataset(name, images[0], labels[0], images[1], labels[1], len(FASHION_CLASSES))


def fashion_14() -> Dataset:
    """Fashion-MNIST, small: Dataset of 10,000 and 10,000 pictures, 14x14x1, from 0 to 1, which comes with the repository.

    Each pixel is the mean of four; the training images are the first 10,000. `experiments.fashion` makes the file.
    """
    with np.load(path("fashion_14.npz")) as file:
        parts = [file[name] for name in ("train_images", "train_labels", "test_images", "test_labels")]
    return _fashion("fashion_14", *parts)


def fashion_sample() -> tuple[np.ndarray, np.ndarray]:
    """The first 1,000 test pictures of Fashion-MNIST as they are, to look at: (images [1000, 28, 28, 1] from 0 to 1 of float32,
    labels [1000] of int32, numbers of FASHION_CLASSES)."""
    with np.load(path("fashion_14.npz")) as file:
        images, labels = file["sample_images"], file["test_labels"][:1000]
    return _from_0_to_1(images), labels.astype(np.int32)


TRAINED = "trained"  # the folder of the networks


def trained(name: str) -> Network:
    """One of the small trained networks that come with the repository, "fashion_resnet_v2_20" or "fashion_plain_20": Network.

    data/README.md says how each was made and what it gets wrong. `Network.preprocess` makes of pictures as bytes what it reads.
    Raises FileNotFoundError, listing them, for another name.
    """
    from .network import build
    from .weights import architecture_in

    file = path(TRAINED, f"{name}.npz")
    return build(architecture_in(file), weights=file)


def photo(name: str) -> np.ndarray:
    """A photograph, "china" or "flower", as [224, 224, 3] of uint8."""
    from .photos import read_photo

    return read_photo(path("photos", f"{name}.jpg"))
