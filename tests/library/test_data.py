import gzip
import hashlib
import io
import pickle
import tarfile

import numpy as np
import pandas as pd
import pytest

from experiments import fashion
from resnet_lib import data


@pytest.mark.parametrize("name", ["china", "flower"])
def test_photos_are_small_colour_images(name):
    photo = data.photo(name)
    assert photo.shape == (224, 224, 3) and photo.dtype == np.uint8 and photo.std() > 20


def test_every_photo_is_attributed():
    readme = data.path("README.md").read_text()
    for photo in data.path("photos").iterdir():
        assert f"`photos/{photo.name}`" in readme
    assert readme.count("CC BY 2.0") >= 2


PUBLISHED = ["params_macs", "receptive_fields", "forward_timing", "imagenet_accuracy", "pretrained_weights"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_number_has_a_source(name):
    assert data.published(name)["source"].notna().all()


def test_imagenet_classes_stand_in_the_order_of_the_networks():
    """As torchvision and Keras number them; WordNet's identifiers ascend. Two pairs of classes share their first word."""
    classes = data.imagenet_classes()
    published = {
        0: "tench",
        134: "crane (bird)",
        207: "golden retriever",
        281: "tabby",
        388: "giant panda",
        517: "crane (machine)",
        637: "mailbox",
        638: "maillot (tights)",
        639: "maillot (tank suit)",
        663: "monastery",
        985: "daisy",
        999: "toilet tissue",
    }
    assert {number: classes[number] for number in published} == published
    assert len(classes) == len({*classes}) == 1000 and all(name == name.strip() != "" for name in classes)
    table = pd.read_csv(data.path("imagenet_classes.csv"))
    assert list(table["class"]) == list(range(1000)) and table["wordnet_id"].is_monotonic_increasing
    assert dict(zip(table["wordnet_id"], table["name"], strict=True))["n02510455"] == "giant panda"
    assert "WordNet 3.0 Copyright 2006 by Princeton University." in data.path("README.md").read_text()


def test_missing_data_says_what_is_there():
    with pytest.raises(
        FileNotFoundError, match=r"no 'photos/cat.jpg'; in photos/ there is: \['china.jpg', 'flower.jpg'\]"
    ):
        data.photo("cat")


def test_digits_are_those_of_uci():
    """1,797 images of 64 grey levels from 0 to 16; the counts of the ten digits are those that scikit-learn documents."""
    digits = data.digits()
    assert digits.train_images.shape == (1500, 8, 8, 1) and digits.test_images.shape == (297, 8, 8, 1)
    pixels = np.concatenate([digits.train_images, digits.test_images]) * 16
    assert pixels.dtype == np.float32 and set(np.unique(pixels)) == set(range(17))
    labels = np.concatenate([digits.train_labels, digits.test_labels])
    assert list(np.bincount(labels)) == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert list(labels[:10]) == list(range(10)) and pixels[0, 0, 2] == 5  # the first image is a zero
    assert len(data.digits(np.int16(1796)).test_images) == 1
    for number, error in ((1797, ValueError), (0, ValueError), (1.5, TypeError), (True, TypeError)):
        with pytest.raises(error, match=f"num_train must be a whole number from 1 to 1796, got {number}"):
            data.digits(num_train=number)


def idx(path, array, kind=8, cut=None):
    header = bytes([0, 0, kind, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    path.write_bytes(gzip.compress((header + array.astype(np.uint8).tobytes())[:cut]))


def whole_set(seed=0):
    random = np.random.default_rng(seed)
    numbers = [random.integers(0, 256, [7, 28, 28]), np.arange(7), random.integers(0, 256, [4, 28, 28]), np.arange(4)]
    return [array.astype(np.uint8) for array in numbers]


@pytest.mark.parametrize("source", ["Debian", "Keras"])
def test_fashion_mnist_is_read_where_it_is(tmp_path, monkeypatch, source):
    arrays = whole_set()
    monkeypatch.setattr(data, "FASHION_FOLDER", tmp_path / "fashion")
    if source == "Debian":
        data.FASHION_FOLDER.mkdir()
        for name, array in zip(data._FASHION_FILES, arrays, strict=True):
            idx(data.FASHION_FOLDER / f"{name}-ubyte.gz", array)
    else:
        from resnet_lib.tf_slim_compat import tf

        monkeypatch.setattr(tf.keras.datasets.fashion_mnist, "load_data", lambda: (arrays[:2], arrays[2:]))
    fashion = data.checked(data.fashion_mnist())
    assert fashion.train_images.shape == (7, 28, 28, 1) and fashion.train_images.dtype == np.float32
    assert np.array_equal(np.rint(fashion.test_images[..., 0] * 255), arrays[2]) and fashion.test_images.max() <= 1
    assert list(fashion.train_labels) == list(range(7)) and fashion.num_classes == 10


def test_without_a_network_fashion_mnist_says_what_to_install(tmp_path, monkeypatch):
    from resnet_lib.tf_slim_compat import tf

    def no_network():
        raise Exception("URL fetch failure")

    monkeypatch.setattr(data, "FASHION_FOLDER", tmp_path / "fashion")
    monkeypatch.setattr(tf.keras.datasets.fashion_mnist, "load_data", no_network)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(
        ConnectionError, match="Install Debian's package dataset-fashion-mnist, or .*train-images-idx3-ubyte.gz"
    ):
        data.fashion_mnist()


@pytest.mark.parametrize("damage", ["cut short", "another type", "a text", "empty"])
def test_a_damaged_file_of_fashion_mnist_is_named(tmp_path, monkeypatch, damage):
    monkeypatch.setattr(data, "FASHION_FOLDER", tmp_path)
    for name, array in zip(data._FASHION_FILES, whole_set(), strict=True):
        idx(tmp_path / f"{name}-ubyte.gz", array)
    file = tmp_path / "t10k-images-idx3-ubyte.gz"
    if damage in ("cut short", "another type"):
        idx(file, whole_set()[2], cut=-5 if damage == "cut short" else None, kind=8 if damage == "cut short" else 13)
    else:
        file.write_bytes(b"clothes" if damage == "a text" else b"")
    with pytest.raises(ValueError, match="t10k-images-idx3-ubyte.gz is not a whole file of the IDX format"):
        data.fashion_mnist()


def test_the_small_fashion_mnist_is_made_of_the_whole_one():
    """Its labels are balanced, 1,000 test pictures of each class; a small picture is the mean of a large one."""
    small = data.checked(data.fashion_14())
    images, labels = data.fashion_sample()
    assert small.train_images.shape == small.test_images.shape == (10_000, 14, 14, 1)
    assert list(np.bincount(small.test_labels)) == [1000] * 10 and np.bincount(small.train_labels).min() > 900
    assert images.shape == (1000, 28, 28, 1) and np.array_equal(labels, small.test_labels[:1000])
    means = images.reshape(1000, 14, 2, 14, 2).mean((2, 4))
    assert np.abs(means - small.test_images[:1000, ..., 0]).max() < 0.51 / 255
    assert len(data.FASHION_CLASSES) == 10 and data.FASHION_CLASSES[labels[0]] == "Ankle boot"


def test_the_small_fashion_mnist_is_made_again_as_it_is_stored(tmp_path, monkeypatch):
    """From a whole set whose first pictures are made of the stored ones; those at 14x14 are four pixels of one grey each."""
    stored = dict(np.load(data.path("fashion_14.npz")))
    large = {name: np.repeat(np.repeat(stored[f"{name}_images"], 2, 1), 2, 2) for name in ("train", "test")}
    large["test"][:1000] = stored["sample_images"]
    parts = (large["train"], stored["train_labels"], large["test"], stored["test_labels"])
    monkeypatch.setattr(data, "fashion_mnist", lambda: data._fashion("whole", *parts))
    fashion.main(tmp_path / "again.npz")
    again = dict(np.load(tmp_path / "again.npz"))
    assert stored.keys() == again.keys() and all(np.array_equal(stored[name], again[name]) for name in stored)
    assert np.array_equal(fashion.smaller(np.array([[[0, 1], [0, 1]]], np.uint8)), [[[1]]])  # a half goes up


GREY = np.full([6, 3, 4, 2], 0.5, np.float32)
TWO = data.Dataset("two", GREY, np.arange(6) % 2, GREY[:2], np.arange(2), 2)


def changed(array, value):
    """A copy of which the last number is another."""
    array = np.array(array, np.result_type(array, value))
    array.flat[-1] = value
    return array


@pytest.mark.parametrize(
    "fields",
    [
        {
            "train_labels": pd.Series(TWO.train_labels, index=range(6)[::-1])
        },  # by its index it would be the other labels
        {"train_images": GREY.tolist(), "train_labels": TWO.train_labels.tolist(), "num_classes": np.int64(2)},
        {"test_labels": TWO.test_labels.astype(np.uint8), "num_classes": np.uint8(2)},
    ],
)
def test_a_dataset_becomes_arrays(fields):
    checked = data.checked(TWO._replace(**fields))
    for there, expected in zip(checked, TWO, strict=True):
        assert type(there) is type(expected) and np.array_equal(there, expected)


def test_a_dataset_that_is_fit_is_not_copied():
    assert all(there is given for there, given in zip(data.checked(TWO), TWO, strict=True))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("train_images", GREY[:0], r"with one image or more, got the shape \[0, 3, 4, 2\]"),
        ("test_images", GREY[:0], r"with one image or more, got the shape \[0, 3, 4, 2\]"),
        ("train_images", GREY[0], r"\[number, height, width, channels\], .* got the shape \[3, 4, 2\]"),
        ("test_images", None, r"\[number, height, width, channels\], .* got the shape \[\]"),
        ("train_images", [[1], [2, 3]], "an array: .*inhomogeneous"),
        ("train_images", GREY.astype(str), "real numbers, got <U"),
        ("train_images", changed(GREY, np.nan), "finite numbers of float32, got nan in image 5"),
        ("test_images", changed(GREY[:2], -np.inf), "finite numbers of float32, got -inf in image 1"),
        ("test_images", changed(GREY[:2], np.float64(1e39)), r"finite numbers of float32, got 1e\+39 in image 1"),
        ("test_images", GREY[:2, :2], r"channels of the training images, \[3, 4, 2\], got \[2, 4, 2\]"),
        ("train_labels", TWO.test_labels, r"one for each of the 6 images, got the shape \[2\]"),
        ("train_labels", np.eye(2)[TWO.train_labels], r"one for each of the 6 images, got the shape \[6, 2\]"),
        ("test_labels", TWO.train_labels, r"one for each of the 2 images, got the shape \[6\]"),
        ("test_labels", np.array([0.0, 1.0]), "whole numbers, got float64"),
        ("test_labels", np.array([False, True]), "whole numbers, got bool"),
        ("train_labels", changed(TWO.train_labels, 2), "from 0 to 1, got 2 for image 5"),
        ("test_labels", changed(TWO.test_labels, -1), "from 0 to 1, got -1 for image 1"),
        ("num_classes", 0, "a positive whole number, got 0"),
    ],
)
def test_data_that_no_network_can_be_trained_on_is_named(field, value, message):
    with pytest.raises(ValueError, match=f"{field} must (be|have) .*{message}"):
        data.checked(TWO._replace(**{field: value}))


@pytest.mark.parametrize("other", ["digits", tuple(TWO), None, data.digits])
def test_something_else_than_a_dataset_is_refused(other):
    with pytest.raises(TypeError, match=f"data must be a data.Dataset, got {type(other).__name__}"):
        data.checked(other)


def cifar_archive(folder):
    """A file as CIFAR-10's, of black images but for one, so that it is small: its path and its hash."""
    archive = folder / "made.tar.gz"
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        for i, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
            pixels = np.zeros((10000, 3, 32, 32), np.uint8)
            pixels[7, :, 2, 3] = (10, 20, 30)  # red, green and blue of one pixel
            batch = pickle.dumps({b"data": pixels.reshape(10000, -1), b"labels": [(i + j) % 10 for j in range(10000)]})
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(batch)
            tar.addfile(info, io.BytesIO(batch))
    return archive, hashlib.sha256(archive.read_bytes()).hexdigest()


@pytest.fixture
def cifar_from(tmp_path, monkeypatch):
    """Lets Keras' loader fetch another address, with another hash, into a folder of the test."""
    from keras.src.datasets import cifar10

    def use(origin, file_hash):
        given, own = {"origin": origin, "file_hash": file_hash, "cache_dir": str(tmp_path / "cache")}, cifar10.get_file
        (tmp_path / "cache").mkdir()
        monkeypatch.setattr(cifar10, "get_file", lambda **options: own(**{**options, **given}))

    return use


def test_cifar10_is_loaded_through_keras_from_a_small_archive_made_here(tmp_path, cifar_from):
    archive, digest = cifar_archive(tmp_path)
    cifar_from(archive.as_uri(), digest)
    cifar = data.cifar10()
    assert cifar.train_images.shape == (50000, 32, 32, 3) and cifar.test_images.shape == (10000, 32, 32, 3)
    mean = np.array([10, 20, 30]) * 5 / 50000
    np.testing.assert_allclose(cifar.train_images[10007, 2, 3], (np.array([10, 20, 30]) - mean) / 255, rtol=1e-5)
    assert cifar.train_images[7, 3, 2].tolist() == [0, 0, 0]
    assert list(cifar.train_labels[:3]) == [0, 1, 2] and list(cifar.test_labels[:3]) == [5, 6, 7]
    assert cifar.train_labels.dtype == np.int32 and cifar.num_classes == 10


@pytest.mark.parametrize("what", ["no network", "wrong hash"])
def test_cifar10_that_cannot_be_had_says_what_to_download_and_where_to_put_it(tmp_path, cifar_from, what):
    (tmp_path / "other").write_bytes(b"something else")
    cifar_from((tmp_path / ("missing" if what == "no network" else "other")).as_uri(), "0" * 64)
    with pytest.raises(
        ConnectionError, match="cifar-10-python.tar.gz .163 MB. and save it here as .*_archive; Keras checks"
    ):
        data.cifar10()
