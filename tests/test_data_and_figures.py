import hashlib
import io
import pickle
import re
import struct
import tarfile
from collections import Counter
from itertools import combinations

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

from resnet_lib import Architecture, Block, data, figures, trace
from resnet_lib.architectures import SHORTCUTS, UNIT_KINDS


@pytest.mark.parametrize("name", ["china", "flower"])
def test_photos_are_small_colour_images(name):
    photo = data.photo(name)
    assert photo.shape == (224, 224, 3) and photo.dtype == np.uint8 and photo.std() > 20


def test_every_photo_is_attributed():
    readme = data.path("README.md").read_text()
    for photo in data.path("photos").iterdir():
        assert f"`photos/{photo.name}`" in readme
    assert readme.count("CC BY 2.0") >= 2


@pytest.mark.parametrize("name", ["params_macs", "forward_timing", "imagenet_accuracy"])
def test_every_published_number_has_a_source(name):
    assert data.published(name)["source"].notna().all()


def test_missing_data_says_what_is_there():
    with pytest.raises(
        FileNotFoundError, match=r"no 'photos/cat.jpg'; in photos/ there is: \['china.jpg', 'flower.jpg'\]"
    ):
        data.photo("cat")
    with pytest.raises(FileNotFoundError, match=r"no 'cats.py'; in data/ there is: .*'signals.py'"):
        data.script("cats")


def test_a_picture_carries_its_alt_text_and_twice_the_pixels():
    before = dict(matplotlib.rcParams)
    figure, axes = plt.subplots(figsize=(4, 2))
    axes.plot([1, 2])
    picture = figures.show(figure, alt='a "line"', caption="rising & rising")
    pixels = struct.unpack(">I", picture.png[16:20])[0]
    page = picture._repr_html_()
    assert 'alt="a &quot;line&quot;"' in page and "<figcaption>rising &amp; rising</figcaption>" in page
    assert f'width="{pixels // 2}"' in page and pixels > 600
    assert not plt.fignum_exists(figure.number)
    assert dict(matplotlib.rcParams) == before


def test_a_picture_needs_an_alt_text():
    with pytest.raises(ValueError, match="alt must say"):
        figures.show(plt.figure(), alt=" ")


def unit_of(kind, depth, stride):
    return (depth, 16, stride) if kind.startswith("bottleneck") else (depth, stride)


def drawn(kind, depth=64, stride=1, channels_in=64, **options):
    """(axes, the texts drawn on them from top to bottom, the drawing in words) of a unit at 28x21 positions."""
    axes, words = figures.draw_unit(kind, unit_of(kind, depth, stride), channels_in, (28, 21), **options)
    plt.close(axes.figure)
    texts = [text for text in axes.texts if text.get_text()]  # arrows are texts without words
    return axes, [text.get_text() for text in sorted(texts, key=lambda text: -text.get_position()[1])], words


def traced(kind, depth, stride, shortcut):
    """The layers of the same unit as a network of its own, as `trace` lists them."""
    net = Architecture("net", (Block("block", kind, (unit_of(kind, depth, stride),)),), root=None, shortcut=shortcut)
    layers = trace(net, image_size=(28, 21), num_classes=None, channels_in=64, global_pool=False)
    return [layer for layer in layers if layer.name != "postnorm"]


UNIT_ORDERINGS_FIRST = {"v2": 2, "relu_only_preactivation": 1}  # boxes before the first convolution

EVERY_UNIT = [
    pytest.param(kind, depth, stride, shortcut, id=f"{kind}-{depth}-{stride}-{shortcut}")
    for kind in UNIT_KINDS
    for depth, stride in [(64, 1), (128, 3), (64, 2), (128, 1)][: 4 if kind.endswith(("_v1", "_v2")) else 2]
    for shortcut in SHORTCUTS
]


@pytest.mark.parametrize("kind, depth, stride, shortcut", EVERY_UNIT)
def test_a_drawn_unit_has_the_layers_and_shapes_of_the_trace(kind, depth, stride, shortcut):
    axes, texts, words = drawn(kind, depth, stride, shortcut=shortcut)
    layers = traced(kind, depth, stride, shortcut)
    expected = Counter()
    for layer in layers[1:]:
        by = f" /{layer.stride}" if layer.stride > 1 else ""
        gate = "g: " if layer.name.endswith("gate") else ""
        factor = layer.name.split("/")[-1]
        expected[{
            "conv": f"{gate}{layer.kernel}x{layer.kernel} conv {layer.channels_out}{by}", "batch_norm": "BN", "add": "+",
            "max_pool": f"subsample{by}", "zero_pad": f"zeros to {layer.channels_out}",
            "multiply": factor if factor == "dropout" else f"times {factor}",
        }[layer.kind]] += 1  # fmt: skip
    boxes = Counter(text for text in texts if not re.fullmatch(r"\d+x\d+x\d+|ReLU|identity", text))
    shapes = ["{}x{}x{}".format(*layer.size_out, layer.channels_out) for layer in layers]
    assert boxes == expected
    assert set(texts) - set(boxes) - {"ReLU", "identity"} == set(shapes)
    assert texts[0] == shapes[0] and texts[-1] == shapes[-1]
    assert words.startswith(f"{shapes[0]} in, ") and f"{shapes[-1]} out" in words
    assert (
        ("identity" in texts) == ("the identity" in words) == (depth == 64 and stride == 1 and shortcut in ("A", "B"))
    )


def test_a_drawn_unit_activates_where_its_version_says():
    """He et al. 2015, Fig. 5 right, and He et al. 2016, Fig. 1(b); a plain unit of V1 keeps its last ReLU."""
    v1 = ["1x1 conv 16", "BN", "ReLU", "3x3 conv 16", "BN", "ReLU", "1x1 conv 64", "BN", "sum", "ReLU"]
    v2 = ["BN", "ReLU", "1x1 conv 16", "BN", "ReLU", "3x3 conv 16", "BN", "ReLU", "1x1 conv 64", "sum"]
    plain = ["3x3 conv 64", "BN", "ReLU", "3x3 conv 64", "BN", "ReLU"]
    ends = "28x21x64 in, {}, 28x21x64 out{}"
    assert drawn("bottleneck_v1")[2] == ends.format(", ".join(v1), "; on the shortcut the identity")
    assert drawn("bottleneck_v2")[2] == ends.format(", ".join(v2), "; on the shortcut the identity")
    assert drawn("basic_v1", shortcut="none")[2] == ends.format(", ".join(plain), "")
    # He et al. 2016, Fig. 4 (b) to (d)
    conv, between = "3x3 conv 64", "3x3 conv 64, BN, ReLU, 3x3 conv 64"
    for kind, layers in {
        "basic_bn_after_addition": f"{between}, sum, BN, ReLU",
        "basic_relu_before_addition": f"{between}, BN, ReLU, sum",
        "basic_relu_only_preactivation": f"ReLU, {between}, BN, sum",
    }.items():
        assert layers.count(conv) == 2
        assert drawn(kind)[2] == ends.format(layers, "; on the shortcut the identity")
    gates = "; on the shortcut g: 1x1 conv 64, times 1 - g"
    assert drawn("basic_v1", shortcut="exclusive_gating")[2] == ends.format(f"{between}, BN, times g, sum, ReLU", gates)


@pytest.mark.parametrize("kind, depth, stride, shortcut", EVERY_UNIT)
def test_a_drawn_projection_stands_where_channels_change_or_everywhere(kind, depth, stride, shortcut):
    axes, texts, _ = drawn(kind, depth, stride, shortcut=shortcut)
    tinted = [box.get_facecolor()[:3] for box in axes.patches if box.get_alpha()]
    gated = shortcut.endswith("gating")
    projections = [color for color in tinted if color == matplotlib.colors.to_rgb(figures.COLORS["shortcut"])]
    projected = shortcut == "C" or (shortcut == "B" and depth != 64)
    assert len(projections) == projected + gated
    assert len(tinted) - len(projections) == (3 if kind.startswith("bottleneck") else 2)
    assert ("+" in texts) == (shortcut != "none")
    # A projection sees what is pre-activated: it branches off below the BN and ReLU before the convolution, all else above.
    below = -UNIT_ORDERINGS_FIRST.get(kind.split("_", 1)[1], 0) - 0.4 if projected else -0.4
    branches = [line.get_ydata()[0] for line in axes.lines if len(set(line.get_ydata())) == 1 < len(line.get_ydata())]
    assert len(branches) == (shortcut != "none") and all(below - 0.2 < y <= below for y in branches)


@pytest.mark.parametrize("kind, depth, stride, shortcut", EVERY_UNIT)
def test_nothing_overlaps_in_a_drawn_unit(kind, depth, stride, shortcut):
    axes, _ = figures.draw_unit(kind, unit_of(kind, 2 * depth, stride), 64, (112, 112), shortcut)
    axes.figure.canvas.draw()
    extents = [text.get_window_extent() for text in axes.texts if text.get_text()]
    assert not [pair for pair in combinations(extents, 2) if pair[0].overlaps(pair[1])]
    for box in axes.patches:
        box = box.get_window_extent()
        for text in (text for text in extents if text.overlaps(box)):
            assert box.x0 < text.x0 and text.x1 < box.x1 and box.y0 < text.y0 and text.y1 < box.y1
    plt.close(axes.figure)


def test_a_unit_is_drawn_on_given_axes_and_says_what_it_cannot_draw():
    figure, axes = plt.subplots(1, 2, sharey=True)
    figures.draw_unit("bottleneck_v1", (256, 64, 2), 256, 56, stride_in="1x1", ax=axes[0])
    assert figures.draw_unit("basic_v1", (64, 1), 64, 56, ax=axes[1])[0] is axes[1]
    plt.close(figure)
    assert "1x1 conv 64 /2" in [text.get_text() for text in axes[0].texts]
    bottom, top = axes[0].get_ylim()  # shared: the shorter unit, drawn last, cuts nothing off the longer one
    assert all(bottom < text.get_position()[1] < top for text in axes[0].texts if text.get_text())
    for wrong, message in [
        ({"kind": "basic_v3"}, "unit_fn must be one of"), ({"unit": (64, 64, 1)}, "expected"),
        ({"shortcut": "D"}, "shortcut must be one of"), ({"stride_in": "5x5"}, "stride_in must be one of"),
        ({"channels_in": 0}, "channels_in must be"), ({"size": (1, 2, 3)}, "image_size must be"),
        ({"channels_in": 128, "shortcut": "A"}, "cannot turn 128 channels into 64"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=message):
            figures.draw_unit(**{"kind": "basic_v1", "unit": (64, 1), "channels_in": 64, "size": 56, **wrong})


def test_digits_are_those_of_uci():
    """1,797 images of 64 grey levels from 0 to 16; the counts of the ten digits are those that scikit-learn documents."""
    digits = data.digits()
    assert digits.train_images.shape == (1500, 8, 8, 1) and digits.test_images.shape == (297, 8, 8, 1)
    pixels = np.concatenate([digits.train_images, digits.test_images]) * 16
    assert pixels.dtype == np.float32 and set(np.unique(pixels)) == set(range(17))
    labels = np.concatenate([digits.train_labels, digits.test_labels])
    assert list(np.bincount(labels)) == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert list(labels[:10]) == list(range(10)) and pixels[0, 0, 2] == 5  # the first image is a zero
    with pytest.raises(ValueError, match="num_train must be from 1 to 1796, got 1797"):
        data.digits(num_train=1797)


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
