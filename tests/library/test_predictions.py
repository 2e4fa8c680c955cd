from types import SimpleNamespace

import numpy as np
import pytest

from resnet_lib import ARCHITECTURES, data, identification, known_weights, network
from resnet_lib.predictions import Likely, class_names, likeliest, network_with_weights

PHOTO = np.zeros((5, 6, 3), np.uint8)


class Seeing:
    """Stands for a Network: whatever it is shown, its logits are the same."""

    def __init__(self, logits, class_offset=None):
        self.logits = np.asarray(logits, np.float32)
        self.class_offset = class_offset

    def preprocess(self, images):
        assert images.shape == (1, 5, 6, 3) and images.dtype == np.uint8
        return np.zeros((1, 8, 8, 3), np.float32)

    def __call__(self, images):
        assert images.shape == (1, 8, 8, 3)
        return self.logits.reshape(1, 1, 1, -1)


def imagenet_logits(class_offset):
    """The giant panda has the probability 0.6, the daisy 0.3, each of the other 998 the same; the background is likeliest."""
    probabilities = np.full(1000, 0.1 / 998)
    probabilities[[388, 985]] = 0.6, 0.3
    return np.log([*[1000.0] * class_offset, *probabilities])


@pytest.mark.parametrize("class_offset", [0, 1])
def test_the_likeliest_classes_of_imagenet_leave_the_background_out(class_offset):
    seen = likeliest(Seeing(imagenet_logits(class_offset), class_offset), PHOTO, top=1000)
    assert [(s.number, s.name) for s in seen[:3]] == [(388, "giant panda"), (985, "daisy"), (0, "tench")]
    np.testing.assert_allclose([s.probability for s in seen[:3]], [0.6, 0.3, 0.1 / 998], rtol=1e-6)
    assert abs(sum(s.probability for s in seen) - 1) < 1e-9 and len({s.name for s in seen}) == 1000


def test_classes_that_are_not_imagenets_have_numbers_and_large_logits_do_no_harm():
    seen = likeliest(Seeing([1000, 1000 + np.log(3), -1000]), PHOTO, top=2)
    assert [s[:2] for s in seen] == [(1, "class 1"), (0, "class 0")] and isinstance(seen[0], Likely)
    np.testing.assert_allclose([s.probability for s in seen], [0.75, 0.25], rtol=1e-4)
    assert len(likeliest(Seeing(np.arange(10)), PHOTO)) == 5
    assert class_names(Seeing([0], class_offset=1), 1000) == data.imagenet_classes()
    assert class_names(Seeing([0] * 1000), 1000)[7] == "class 7"  # a thousand classes, but of something else


@pytest.mark.parametrize(("top", "error"), [(0, ValueError), (4, ValueError), (1.5, TypeError)])
def test_only_as_many_classes_as_there_are_can_be_asked_for(top, error):
    with pytest.raises(error, match=f"top must be a whole number from 1 to 3, got {top}"):
        likeliest(Seeing([0, 1, 2]), PHOTO, top)


@pytest.fixture
def built(monkeypatch):
    """What `build` was asked for: a list of (architecture, weights). Every file says that it is of resnet_v2_101."""
    calls = []

    def build(architecture, weights):
        calls.append((architecture, weights))
        num_classes = None if "notop" in str(weights) else 1000
        return SimpleNamespace(name="net", architecture=ARCHITECTURES[architecture].variant(num_classes=num_classes))

    monkeypatch.setattr(network, "build", build)
    monkeypatch.setattr(identification, "named", lambda path: "resnet_v2_101")
    return calls


@pytest.mark.parametrize("name", ["mine.h5", "mine.ckpt"])
def test_weights_may_be_a_file_or_a_checkpoint_of_several(tmp_path, built, name):
    (tmp_path / (name + ".index" * name.endswith("ckpt"))).touch()
    network_with_weights(str(tmp_path / name))
    network_with_weights(tmp_path / name, "resnet_v2_50")
    assert [(a, str(w)) for a, w in built] == [(a, str(tmp_path / name)) for a in ("resnet_v2_101", "resnet_v2_50")]


def test_weights_may_be_a_name_whose_file_is_fetched(tmp_path, built, monkeypatch):
    monkeypatch.setattr(known_weights, "fetch", lambda name: tmp_path / name)
    network_with_weights("keras/resnet_v2_101")
    assert built == [("resnet_v2_101", tmp_path / "keras/resnet_v2_101")]


def test_weights_that_are_neither_a_file_nor_a_name_are_refused(built):
    message = "weights must be a file or the name of one, got 'resnet_v2_50': .* near are .*/resnet_v2_50'"
    with pytest.raises(ValueError, match=message):
        network_with_weights("resnet_v2_50")
    assert built == []


def test_a_damaged_file_is_not_taken_for_a_wrong_name(built, monkeypatch):
    def damaged(name):
        raise ValueError("net.h5 is damaged")

    monkeypatch.setattr(known_weights, "fetch", damaged)
    with pytest.raises(ValueError, match="^net.h5 is damaged"):
        network_with_weights("keras/resnet_v2_50")


def test_weights_without_a_classifier_cannot_classify(tmp_path, built):
    (tmp_path / "notop.h5").touch()
    with pytest.raises(
        ValueError, match="weights must have a classifier, but .*notop.h5 ends with the features of net"
    ):
        network_with_weights(tmp_path / "notop.h5")


def test_a_file_of_this_library_says_itself_what_its_network_is():
    network = network_with_weights(data.path("trained", "fashion_resnet_v2_20.npz"))
    assert network.architecture == data.trained("fashion_resnet_v2_20").architecture
    images, labels = data.fashion_sample()
    (found,) = likeliest(network, np.rint(images[0] * 255).astype(np.uint8), top=1)
    assert found.number == labels[0] and found.name == f"class {labels[0]}"
