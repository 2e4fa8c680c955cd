"""What a photograph becomes for each source of weights, held against the sources' own code or Pillow's."""

import keras
import numpy as np
import pytest
from PIL import Image

from resnet_lib import build, data
from resnet_lib.preprocessing import PREPROCESSING, preprocessed
from resnet_lib.tf_slim_compat import tf
from resnet_lib.weight_names import Convention

PHOTO = np.random.default_rng(0).integers(0, 256, (75, 100, 3)).astype(np.uint8)
PHOTO = np.asarray(Image.fromarray(PHOTO).resize((150, 111), Image.Resampling.BICUBIC))  # smooth, and of odd sides
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def by_pillow(photo, size, shorter, method):
    """What torchvision's Resize(shorter), CenterCrop(size) and Normalize make of a photograph."""
    image = Image.fromarray(photo)
    width, height = image.size
    scaled = [shorter, int(shorter * max(width, height) / min(width, height))]
    image = image.resize(scaled[::-1] if width > height else scaled, method)
    width, height = image.size
    left, top = round((width - size) / 2), round((height - size) / 2)
    return (np.asarray(image.crop((left, top, left + size, top + size))) / 255 - MEAN) / STD


def vgg(photo, size, shorter):
    """vgg_preprocessing.py of tf-slim, in evaluation: the shorter side, the middle, less the means."""
    height, width, _ = photo.shape
    scale = shorter / min(height, width)
    resized = tf.compat.v1.image.resize_bilinear(
        photo[None], [int(np.rint(height * scale)), int(np.rint(width * scale))]
    )[0]
    top, left = (resized.shape[0] - size) // 2, (resized.shape[1] - size) // 2
    return resized[top : top + size, left : left + size].numpy() - [123.68, 116.78, 103.94]


def inception(photo, size):
    """inception_preprocessing.py of tf-slim, in evaluation."""
    image = tf.image.convert_image_dtype(photo, tf.float32)
    image = tf.image.central_crop(image, central_fraction=0.875)
    image = tf.compat.v1.image.resize_bilinear(image[None], [size, size])[0]
    return ((image - 0.5) * 2).numpy()


def of_keras(photo, size, mode):
    image = Image.fromarray(photo).resize((size, size), Image.Resampling.NEAREST)  # as load_img does
    return keras.applications.imagenet_utils.preprocess_input(np.asarray(image, np.float32), mode=mode)


ORACLES = {  # name -> (what the source makes of PHOTO for 64 pixels, how far Pillow's rounding to whole greys may take it)
    "vgg": (lambda: vgg(PHOTO, 64, 73), 1e-3),
    "inception": (lambda: inception(PHOTO, 64), 1e-4),
    "caffe": (lambda: of_keras(PHOTO, 64, "caffe"), 1e-4),
    "tf": (lambda: of_keras(PHOTO, 64, "tf"), 1e-6),
    "torchvision": (lambda: by_pillow(PHOTO, 64, 73, Image.Resampling.BILINEAR), 0.02),
    "timm": (lambda: by_pillow(PHOTO, 64, 67, Image.Resampling.BICUBIC), 0.1),  # it cuts off what overshoots twice
    "unit": (lambda: np.asarray(Image.fromarray(PHOTO).resize((64, 64), Image.Resampling.BILINEAR)) / 255, 0.005),
}


@pytest.mark.parametrize("name", PREPROCESSING)
def test_a_photograph_becomes_what_its_source_makes_of_it(name):
    oracle, tolerance = ORACLES[name]
    expected = oracle()
    found = preprocessed(PHOTO, name, 64, 64)
    assert found.shape == (1, 64, 64, 3) and found.dtype == tf.float32
    difference = np.abs(found[0] - expected)
    assert difference.max() < tolerance and difference.mean() < 0.01
    assert np.array_equal(preprocessed(np.stack([PHOTO] * 2), name, 64, 64)[1], found[0])


@pytest.mark.parametrize("name", PREPROCESSING)
@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 400, 3), (500, 2, 3), (224, 224, 3)])
def test_a_photograph_of_any_size_gets_the_networks(name, shape):
    found = preprocessed(np.full(shape, 128, np.uint8), name, 48, 64)
    assert found.shape == (1, 48, 64, 3) and np.ptp(found, axis=(0, 1, 2)).max() < 1e-4  # one grey stays one grey


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (np.zeros((8, 8, 3), np.float32), r"must be bytes \(uint8\), .* got float32 \[8, 8, 3\]"),
        (np.zeros((8, 8), np.uint8), r"must be bytes .* got uint8 \[8, 8\]"),
        (np.zeros((0, 8, 3), np.uint8), r"must have a pixel at least, got the shape \[0, 8, 3\]"),
        (np.zeros((8, 8, 4), np.uint8), r"must have 3 channels, got 4"),
    ],
)
def test_what_is_no_photograph_is_refused(images, expected):
    network = build([("block1", "basic_v2", [(8, 1)])], image_size=8, num_classes=None)
    network.convention = Convention("mine", preprocessing="tf", image_size=8)
    with pytest.raises(ValueError, match=f"images {expected}"):
        network.preprocess(images)


def test_a_network_that_nobody_has_trained_knows_no_preprocessing():
    network = build([("block1", "basic_v2", [(8, 1)])], image_size=None, num_classes=None)
    with pytest.raises(
        ValueError, match="preprocess: it is not known what belongs to the weights of resnet_v2, which are fresh"
    ):
        network.preprocess(PHOTO)
    network.convention = Convention("mine", preprocessing="torchvision", image_size=32)
    assert network.preprocess(data.photo("china")).shape == (
        1,
        32,
        32,
        3,
    )  # a network for any size gets the convention's
