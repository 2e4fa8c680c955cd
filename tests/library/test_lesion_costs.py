"""Draws spare or hit the first units, as they say; norms are those of the network; every network gets its rows."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from experiments import lesion_costs
from experiments.lesions import Lesioned, keeping
from resnet_lib import build, data
from resnet_lib.records import Records
from resnet_lib.sweep import FAMILIES

DIGITS = data.digits()


@pytest.fixture(scope="module")
def fresh():
    network = build(FAMILIES["v2"](20), 8, num_classes=10, channels_in=1, seed=1)
    return network, network.values()


@pytest.mark.parametrize("hit", [False, True])
def test_draws_spare_or_hit_the_first_units(hit):
    kept = [0, *range(1, 9), *range(10, 18), *range(19, 27)]
    draws = lesion_costs.choices(kept, 3, hit, np.random.default_rng(0))
    for units in itertools.islice(draws, 50):
        assert len(set(units)) == 3 and set(units) <= set(kept)
        assert (min(units) < 4) == hit


def test_the_norms_are_of_what_a_unit_adds_and_receives(fresh):
    network, values = fresh
    images = DIGITS.test_images[:10]
    found = lesion_costs.norms(FAMILIES["v2"](20), values, images)
    points = network.end_points(images)
    before, after = points["conv1"].numpy(), points["block1/unit_1/basic_v2"].numpy()
    assert found[0]["state_norm"] == pytest.approx(np.linalg.norm(before), rel=1e-4)
    assert found[0]["residual_norm"] == pytest.approx(np.linalg.norm(after - before), rel=1e-4)
    assert len(found) == 9


def test_error_and_loss_without_a_unit_are_those_of_the_network_without_it(fresh):
    network, values = fresh
    digits = DIGITS._replace(test_images=DIGITS.test_images[:40], test_labels=DIGITS.test_labels[:40])
    lesioned = Lesioned(FAMILIES["v2"](20), values)
    found = lesion_costs.without(lesioned, digits, [1])
    logits = network.rewired({"block1": [1, 3]})(digits.test_images)[:, 0, 0].numpy().astype(float)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert found["test_loss"] == pytest.approx(-np.log(shares[range(40), digits.test_labels]).mean(), rel=1e-4)
    assert found["test_error"] == np.mean(logits.argmax(axis=1) != digits.test_labels)
    assert found != lesion_costs.without(lesioned, digits, [])


def test_every_network_gets_its_rows_and_draws_of_its_own(tmp_path, monkeypatch):
    small = data.digits(num_train=200)
    small = small._replace(test_images=small.test_images[:40], test_labels=small.test_labels[:40])
    monkeypatch.setattr(lesion_costs.data, "digits", lambda: small)
    monkeypatch.setattr(lesion_costs, "NETWORKS", [("residual", 20), ("v2", 20)])
    monkeypatch.setattr(lesion_costs, "SEEDS", (0,))
    monkeypatch.setattr(lesion_costs, "NUMBERS", (2, 3))
    monkeypatch.setattr(lesion_costs, "DRAWS", 3)
    monkeypatch.setattr(lesion_costs, "RECIPE", replace(lesion_costs.RECIPE, epochs=1))
    path = tmp_path / "lesion_costs.csv"
    lesion_costs.main(path)
    rows = Records(path, lesion_costs.COLUMNS).rows()
    units = len(keeping(FAMILIES["v2"](20)))
    assert len(rows) == 2 * (1 + units + 2 * 2 * lesion_costs.DRAWS)
    assert all(bool(row["residual_norm"]) == (row["lesion"] == "remove") for row in rows)
    drawn = {
        family: [row["units"] for row in rows if row["family"] == family and row["number"] == "3"]
        for family in ("residual", "v2")
    }
    assert drawn["residual"] != drawn["v2"]
    monkeypatch.setattr(lesion_costs, "measured", None)
    lesion_costs.main(path)
