"""The spectrum is the sum over paths that are followed one by one; every network gets its rows."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from slim_networks import randomize

from experiments import lesions, path_spectrum
from resnet_lib import Architecture, Block, Root, build, data
from resnet_lib.records import Records
from resnet_lib.sweep import FAMILIES
from resnet_lib.tf_slim_compat import tf

SUBSETS = list(itertools.product((0, 1), repeat=4))  # of the units of `tiny`


def tiny(version):
    blocks = tuple(
        Block(f"block{b}", f"basic_v{version}", ((depth, stride), (depth, 1)))
        for b, depth, stride in ((1, 3, 1), (2, 5, 2))
    )
    return Architecture("tiny", blocks, Root(3, 3, 1, 1), "A", image_size=6, num_classes=10)


@pytest.mark.parametrize("version", [1, 2])
def test_each_part_is_the_sum_over_its_paths_followed_one_by_one(version):
    """Two units that keep the shape, one that changes it, and one more. `lesions.Lesioned` follows single paths as far as the
    image, so the parts are taken through the first convolution before they are compared. Float32: 1e-5 of the largest."""
    network = build(tiny(version), channels_in=2)
    randomize({variable.name.split(":")[0]: variable for variable in network.variables}, 2)
    random = np.random.default_rng(0)
    images, labels = random.normal(size=(3, 6, 6, 2)).astype(np.float32), np.array([1, 3, 0])
    parts, _ = path_spectrum.gradient_parts(tiny(version), images, labels, 0, network.values(), is_training=False)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(pixels := tf.constant(images))
        received = network.end_points(pixels)["conv1"]
    lesioned = lesions.Lesioned(tiny(version), network.values(), (6, 6, 2), 10)
    along = {subset: lesioned.path_gradient(images, labels, np.flatnonzero(subset)) for subset in SUBSETS}
    largest = max(np.abs(path).max() for path in along.values())
    assert len(parts) == 5
    for k, part in enumerate(parts):
        found = tape.gradient(received, pixels, output_gradients=tf.constant(part))
        expected = sum(path for subset, path in along.items() if sum(subset) == k)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * largest)


@pytest.mark.parametrize(("family", "is_training"), [("residual", True), ("v2", False)])
def test_the_parts_sum_to_the_gradient_and_the_shares_to_one(family, is_training):
    digits = data.digits()
    parts, whole = path_spectrum.gradient_parts(
        FAMILIES[family](14), digits.test_images[:20], digits.test_labels[:20], 3, is_training=is_training
    )
    np.testing.assert_allclose(parts.sum(axis=0), whole, rtol=0, atol=1e-5 * np.abs(whole).max())
    rows = path_spectrum.spectrum(parts, whole)
    assert [row["paths"] for row in rows] == [math.comb(6, k) for k in range(7)]
    assert sum(row["share"] for row in rows) == pytest.approx(1, abs=1e-4)
    assert all(abs(row["share"]) <= row["norm"] / row["gradient_norm"] + 1e-6 for row in rows)


def test_linear_units_have_the_spectrum_of_the_binomial_theorem():
    """S = 1, J = r: a number for each length, C(n, k) r^k."""
    parts, r = [1], 3
    for n in range(1, 8):
        parts = path_spectrum.longer(parts, parts, [r * part for part in parts])
        assert parts == [math.comb(n, k) * r**k for k in range(n + 1)]


def test_parts_that_miss_the_gradient_end_the_run(monkeypatch):
    digits = data.digits()
    monkeypatch.setattr(path_spectrum, "longer", lambda parts, s, r: [*s, r[-1]])
    with pytest.raises(ArithmeticError, match="the parts miss the gradient"):
        path_spectrum.gradient_parts(FAMILIES["v2"](8), digits.test_images[:5], digits.test_labels[:5])


def test_gates_are_refused():
    digits = data.digits()
    with pytest.raises(ValueError, match="gate"):
        path_spectrum.gradient_parts(FAMILIES["exclusive_gating"](8), digits.test_images[:5], digits.test_labels[:5])


def test_every_network_gets_its_rows_and_only_once(tmp_path, monkeypatch):
    few = data.digits(num_train=200)
    monkeypatch.setattr(
        path_spectrum.data,
        "digits",
        lambda: few._replace(test_images=few.test_images[:20], test_labels=few.test_labels[:20]),
    )
    monkeypatch.setattr(path_spectrum, "NETWORKS", [("digits", "v2", 8), ("fashion", path_spectrum.SHIPPED, 20)])
    monkeypatch.setattr(path_spectrum, "SEEDS", (0, 1))
    monkeypatch.setattr(path_spectrum, "PICTURES", 2)
    monkeypatch.setattr(path_spectrum.lesions, "RECIPE", replace(lesions.RECIPE, epochs=1))
    parts_of = path_spectrum.gradient_parts
    known = {}

    def of_fresh_and_trained(network, images, labels, seed, weights, is_training):
        """Each network is followed once fresh and once trained: here the rows count, not the numbers in them."""
        key = network.name, weights is None
        if key not in known:
            known[key] = parts_of(network, images, labels, seed, weights, is_training)
        return known[key]

    monkeypatch.setattr(path_spectrum, "gradient_parts", of_fresh_and_trained)
    path = tmp_path / "path_spectrum.csv"
    path_spectrum.main(path)
    rows = Records(path, path_spectrum.COLUMNS).rows()
    states = {(row["dataset"], row["seed"]): [] for row in rows}
    for row in rows:
        if row["length"] == "0":
            states[row["dataset"], row["seed"]].append(row["state"])
    all_states = ["fresh", "trained, batch", "trained"]
    assert states == {
        **{("digits", seed): all_states for seed in "01"},
        ("fashion", "0"): all_states,
        ("fashion", "1"): ["fresh"],
    }
    assert len(rows) == 6 * 4 + 4 * 10
    monkeypatch.setattr(path_spectrum, "measured", None)
    path_spectrum.main(path)
