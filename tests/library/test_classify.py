import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from resnet_lib import build, data, predictions
from resnet_lib.__main__ import main
from resnet_lib.weight_names import CONVENTIONS


class Colours:
    """Stands for a Network that tells red, green and blue apart, with twice the probability for each ninth of full colour."""

    class_offset = None
    input_shape = (None, None, None, 3)

    def preprocess(self, images):
        return images.mean((1, 2), np.float32) / 255 * 9 * np.log(2)

    def __call__(self, images):
        return images[:, None, None]


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Paths of photographs, one colour each; they are not named "missing.png", and "text.png" is none."""
    monkeypatch.chdir(tmp_path)
    for name in ("red", "green"):
        Image.new("RGB", (4, 3), name.replace("green", "lime")).save(f"{name}.png")
    (tmp_path / "text.png").write_text("none")


@pytest.fixture
def asked(monkeypatch):
    """What networks were asked for: a list of (weights, architecture)."""
    calls = []

    def network_with_weights(weights, architecture):
        calls.append((weights, architecture))
        print("Downloading data")
        return Colours()

    monkeypatch.setattr(predictions, "network_with_weights", network_with_weights)
    return calls


def test_every_photo_is_classified_by_one_network(photos, asked, capsys):
    main(["classify", "red.png", "green.png", "--weights", "x/y", "--network", "resnet_v2_50", "--top", "2"])
    out, err = capsys.readouterr()
    assert out == "red.png:\n  99.61%  class 0\n   0.19%  class 1\ngreen.png:\n  99.61%  class 1\n   0.19%  class 0\n"
    assert err == "Downloading data\n" and asked == [("x/y", "resnet_v2_50")]


def test_photos_that_cannot_be_read_are_a_line_each_and_the_others_are_classified(photos, asked, capsys):
    with pytest.raises(SystemExit, match="^1$"):
        main(["classify", "missing.png", "red.png", "text.png", "green.png", "--weights", "x/y", "--top", "1"])
    out, err = capsys.readouterr()
    assert out == "red.png:\n  99.61%  class 0\ngreen.png:\n  99.61%  class 1\n" and asked == [("x/y", None)]
    downloading, missing, text = err.splitlines()
    assert missing == "error: [Errno 2] No such file or directory: 'missing.png'"
    assert text.startswith("error: photo must be a picture, one of ['JPEG', ") and "text.png" in text


@pytest.mark.parametrize(
    ("top", "message"),
    [("0", "top must be a positive whole number, got 0"), ("4", "top must be a whole number from 1 to 3, got 4")],
)
def test_a_wrong_number_of_classes_ends_with_one_line(photos, asked, top, message):
    with pytest.raises(SystemExit, match=f"^error: {message}$"):
        main(["classify", "red.png", "--weights", "x/y", "--top", top])
    assert len(asked) == (top == "4")  # what is wrong with any network is refused before one is built


def test_weights_must_be_named(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["classify", "red.png"])
    assert "the following arguments are required: --weights" in capsys.readouterr().err


def test_a_reader_may_leave(photos):
    program = """
from types import SimpleNamespace
from resnet_lib import build, data, predictions
from resnet_lib.__main__ import main
from resnet_lib.weight_names import CONVENTIONS
predictions.network_with_weights = lambda *_: SimpleNamespace(input_shape=(None, None, None, 3))
predictions.likeliest = lambda *_: [predictions.Likely(0, "red", 1.0)]
main(["classify", "--weights", "x/y", *["red.png"] * 3])
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141


def test_a_photograph_goes_through_a_network_with_a_files_weights(tmp_path, capsys):
    """From the command to the names: what the network, its preprocessing and NumPy's softmax give by hand."""
    network = build("resnet_v1_18", layout="v1.5", root_pooling="symmetric")
    network.convention = CONVENTIONS["torchvision", 1]
    network.save(tmp_path / "net.npz")
    main(["classify", str(data.path("photos", "china.jpg")), "--weights", str(tmp_path / "net.npz"), "--top", "3"])
    shown = capsys.readouterr().out.splitlines()
    logits = network(network.preprocess(data.photo("china"))).numpy().ravel().astype(np.float64)
    share = np.exp(logits) / np.exp(logits).sum()
    names = data.imagenet_classes()
    assert shown[1:] == [f"{share[i]:8.2%}  {names[i]}" for i in np.argsort(-share)[:3]]


def test_a_network_of_this_repository_sees_pictures_in_greys_and_refuses_colours(tmp_path, monkeypatch, capsys):
    """Through a file come the very bytes of Fashion-MNIST, which the file's own preprocessing reads."""
    monkeypatch.chdir(tmp_path)
    images, labels = data.fashion_sample()
    Image.fromarray(np.rint(images[0, ..., 0] * 255).astype(np.uint8)).save("grey.png")
    Image.new("RGB", (28, 28), "red").save("red.png")
    with pytest.raises(SystemExit, match="^1$"):
        main(["classify", "red.png", "grey.png", "--weights", str(data.path("trained", "fashion_resnet_v2_20.npz"))])
    out, err = capsys.readouterr()
    assert err == "error: photo must be in greys for images of one channel, got the colours of red.png\n"
    logits = data.trained("fashion_resnet_v2_20")(images[:1]).numpy().ravel().astype(np.float64)
    share = np.exp(logits).max() / np.exp(logits).sum()
    assert out.splitlines()[:2] == ["grey.png:", f"{share:8.2%}  class {labels[0]}"]
