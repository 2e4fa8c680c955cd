"""How far steps may go is measured along the two directions, from the same weights, to the loss of the same images."""

import numpy as np
import pandas as pd
import pytest

from experiments import reach
from resnet_lib.records import Records


@pytest.fixture(scope="module")
def rows():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reach, "STEPS", (0, 2))
        return reach.measured("residual", 8, 1)


def test_every_state_has_a_row_for_each_direction_and_length(rows):
    expected = [(s, d, share) for s in (0, 2) for d in ("gradient", "layerwise") for share in reach.SHARES]
    assert [(row["steps"], row["direction"], row["share"]) for row in rows] == expected
    assert all({*row} == {*reach.COLUMNS} for row in rows)
    assert len({row["loss"] for row in rows}) == 2  # one a state: every step begins at the same weights


def test_a_small_step_keeps_its_promise_and_a_large_one_does_not(rows):
    fresh = [row for row in rows if row["steps"] == 0]
    for row in fresh:
        if 1e-4 <= row["share"] <= 1e-3:
            assert row["found"] == pytest.approx(row["promised"], rel=0.1)
    assert all(row["found"] < 0.5 * row["promised"] for row in fresh if row["share"] > 0.1)


def test_promises_grow_with_the_length_and_are_positive(rows):
    for row in rows:
        first = next(r for r in rows if (r["steps"], r["direction"]) == (row["steps"], row["direction"]))
        assert row["promised"] > 0
        assert row["promised"] == pytest.approx(first["promised"] * row["share"] / first["share"])


def test_a_direction_has_the_length_of_the_weights():
    generator = np.random.default_rng(0)
    weights = {name: generator.normal(size=shape) for name, shape in {"a": (3, 4), "b": (5,), "other": (7,)}.items()}
    gradients = {name: generator.normal(size=weights[name].shape) for name in "ab"}
    together, layerwise = reach.directions(weights, gradients).values()
    assert {*together} == {*layerwise} == {"a", "b"}
    assert reach.norm(together) == pytest.approx(np.sqrt(np.sum(weights["a"] ** 2) + np.sum(weights["b"] ** 2)))
    assert together["a"][0, 0] / together["b"][0] == pytest.approx(gradients["a"][0, 0] / gradients["b"][0])
    for name in "ab":
        assert np.linalg.norm(layerwise[name]) == pytest.approx(np.linalg.norm(weights[name]))
        assert np.sum(layerwise[name] * gradients[name]) < 0 and np.sum(together[name] * gradients[name]) < 0


def test_the_reach_ends_where_half_of_the_promise_is_first_missed():
    rows = pd.DataFrame({"share": [1.0, 0.1, 0.01, 0.001], "found": [9, 0.4, 0.6, 1], "promised": [1, 1, 1, 1]})
    assert reach.reach_of(rows) == 0.01
    assert reach.reach_of(rows.assign(found=[0, 0, 0, 0.49])) == 0
    assert reach.reach_of(rows.assign(found=1)) == 1


def test_only_what_the_file_lacks_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(reach, "LAYERS", (8,))
    monkeypatch.setattr(reach, "SEEDS", (1, 2))
    path, done = tmp_path / "reach.csv", []

    def measured(family, layers, seed):
        done.append((family, seed))
        if done[-1] == ("plain", 2):
            raise KeyboardInterrupt
        return [{"family": family, "layers": layers, "seed": seed, "share": 0.1}]

    monkeypatch.setattr(reach, "measured", measured)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            reach.main(path)
    assert done == [("plain", 1), ("residual", 1), ("plain", 2), ("plain", 2)]
    assert [row["family"] for row in Records(path, reach.COLUMNS).rows()] == ["plain", "residual"]
