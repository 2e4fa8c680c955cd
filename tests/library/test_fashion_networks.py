"""The small trained networks: how they are made, kept and read again."""

from dataclasses import asdict

import numpy as np
import pytest

from experiments import fashion_networks
from resnet_lib import build, cost, data, data_files
from resnet_lib.records import Records
from resnet_lib.training import History, Recipe


def test_the_networks_are_those_of_the_papers():
    """20 layers, the first unit of He et al. 2016, Appendix, and a plain twin that has not one parameter less."""
    residual, plain = map(fashion_networks.architecture, fashion_networks.NETWORKS)
    assert residual.layers == plain.layers == 20 and residual.shortcut == "A" and plain.shortcut == "none"
    assert [block.unit_fn for block in residual.blocks] == ["basic_v2_first", *["basic_v2"] * 3]
    # By hand: the root, nine units of two 3x3 convolutions with their batch norms, the last batch norm and the classifier. The
    # second convolution of a unit has a bias in the place of a batch norm.
    units = [(16, 16)] * 3 + [(16, 32)] + [(32, 32)] * 2 + [(32, 64)] + [(64, 64)] * 2
    by_hand = sum(2 * a + 9 * a * b + 2 * b + 9 * b * b + b for a, b in units)
    assert cost(residual).params == cost(plain).params == 9 * 16 + 16 + by_hand + 2 * 64 + 64 * 10 + 10


def test_a_network_is_trained_kept_and_read_again(tmp_path, monkeypatch):
    images, labels = data.fashion_sample()
    small = data.Dataset("small", images[:96], labels[:96], images[96:128], labels[96:128], 10)
    monkeypatch.setattr(fashion_networks.data, "fashion_mnist", lambda: small)
    monkeypatch.setattr(fashion_networks.data, "fashion_sample", lambda: (small.test_images, small.test_labels))
    monkeypatch.setattr(fashion_networks, "RECIPE", Recipe(epochs=1, batch_size=32, augment=2))
    monkeypatch.setattr(fashion_networks, "CHECKPOINTS", tmp_path / "checkpoints")
    monkeypatch.setattr(fashion_networks, "NETWORKS", {"fashion_resnet_v2_20": "A"})
    histories = []
    train = fashion_networks.train
    monkeypatch.setattr(fashion_networks, "train", lambda *a, **k: histories.append(train(*a, **k)) or histories[-1])
    fashion_networks.main(tmp_path)
    fashion_networks.main(tmp_path)
    (history,) = histories  # what the table has is not trained again
    (row,) = Records(tmp_path / "trained.csv", fashion_networks.COLUMNS).rows()
    assert row["test_error"] == f"{history.epochs[-1].test_error:.6g}" and row["half_error"] == row["sample_error"]
    monkeypatch.setattr(data_files, "DATA", tmp_path)
    network = data.trained("fashion_resnet_v2_20")
    assert network.architecture == history.network.architecture and network.convention.preprocessing == "unit"
    for name, value in history.weights.items():
        np.testing.assert_allclose(network.values()[name], value, rtol=1e-3, atol=1e-6)  # of half precision
    pictures = np.rint(small.test_images * 255).astype(np.uint8)
    np.testing.assert_allclose(network.preprocess(pictures), small.test_images, atol=1e-6)
    answers = network(small.test_images).numpy().argmax(-1).ravel()
    assert f"{np.mean(answers != small.test_labels):.6g}" == row["half_error"]
    with pytest.raises(
        FileNotFoundError, match=r"data has no 'trained/fashion_17.npz'; .* \['fashion_resnet_v2_20.npz'\]"
    ):
        data.trained("fashion_17")


def test_a_network_that_diverges_is_not_kept_and_its_reason_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(fashion_networks.data, "fashion_mnist", lambda: None)
    monkeypatch.setattr(fashion_networks, "CHECKPOINTS", tmp_path / "checkpoints")
    diverged = History([], "diverged: the loss is nan at epoch 1")
    monkeypatch.setattr(fashion_networks, "train", lambda *args, **options: diverged)
    with pytest.raises(RuntimeError, match="fashion_resnet_v2_20: diverged: the loss is nan"):
        fashion_networks.main(tmp_path)
    assert not (tmp_path / data.TRAINED).exists()


def test_the_error_is_the_share_of_wrong_answers():
    network = build(fashion_networks.architecture("fashion_plain_20"))
    images, labels = data.fashion_sample()
    answers = network(images[:600]).numpy().argmax(-1).ravel()
    wrong = (answers != labels[:600]).mean()
    assert (
        fashion_networks.error(network, images[:600], labels[:600]) == pytest.approx(wrong, abs=0.002) and 0 < wrong < 1
    )


@pytest.mark.parametrize("name", fashion_networks.NETWORKS)
def test_a_stored_network_makes_the_errors_that_are_recorded_for_it(name):
    (row,) = (r for r in Records(data.path("trained.csv"), fashion_networks.COLUMNS).rows() if r["name"] == name)
    network = data.trained(name)
    assert network.architecture == fashion_networks.architecture(name)
    assert int(row["params"]) == network.cost().params and int(row["layers"]) == network.architecture.layers == 20
    images, labels = data.fashion_sample()
    wrong = network(images).numpy().argmax(-1).ravel() != labels
    assert wrong.mean() == pytest.approx(float(row["sample_error"]), abs=0.0011)  # one image may lie on the border
    assert wrong.mean() < 0.2


def test_the_recipe_of_the_stored_networks_is_the_programs():
    for row in Records(data.path("trained.csv"), fashion_networks.COLUMNS).rows():
        assert Recipe(
            **{key: type(value)(float(row[key])) for key, value in asdict(fashion_networks.RECIPE).items()}
        ) == (fashion_networks.RECIPE)
