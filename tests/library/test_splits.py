"""Thirty splits, chosen by the rule that is stated; a graph serves all seeds, each with the weights that `build` would give."""

import numpy as np
import pytest

from experiments import splits
from resnet_lib import build, cost, data, explore
from resnet_lib.records import Records


def test_thirty_of_the_455_splits_are_chosen_one_from_each_group():
    every, chosen = splits.every_split(), splits.chosen()
    assert len(every) == 455 and len({*chosen}) == 30 and {*chosen} <= {*every}
    assert tuple(chosen[:6]) == splits.ALWAYS and chosen == splits.chosen()
    others = sorted(cost(splits.architecture(units)).params for units in every if units not in splits.ALWAYS)
    borders = [others[i] for i in np.cumsum([0] + [19] * 17 + [18] * 7)[:-1]]
    for i, units in enumerate(chosen[6:]):
        params = cost(splits.architecture(units)).params
        assert borders[i] <= params <= (borders[i + 1] if i < 23 else others[-1])


def test_all_splits_have_the_same_macs_and_halve_the_picture_exactly():
    assert {cost(splits.architecture(units)).macs for units in splits.every_split()} == {1_299_712}
    rows = explore(splits.architecture((3, 4, 6, 3))).rows
    assert [row.size for row in rows] == [(16, 16), (16, 16), (8, 8), (4, 4), (2, 2), (1, 1)]
    assert splits.pictures(np.ones((2, 14, 14, 1))).sum(axis=(1, 2, 3)).tolist() == [196, 196]


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(splits, "EPOCHS", 1)
    monkeypatch.setattr(splits, "NUM_TRAIN", 150)
    whole = data.fashion_14()
    return whole._replace(test_images=whole.test_images[:200], test_labels=whole.test_labels[:200])


def test_a_graph_starts_from_the_weights_of_each_seed():
    graph = splits.graph_of((1, 1, 1, 1))
    for seed in (3, 0):
        splits.start(graph, seed)
        expected = build(splits.architecture((1, 1, 1, 1)), seed=seed).values()
        found = graph.weights()
        assert found.keys() == expected.keys()
        assert all(np.array_equal(found[name], expected[name]) for name in found)


def test_a_row_depends_on_its_seed_and_not_on_what_ran_before(short):
    (first,), (other,), (again,) = (splits.run((1, 1, 1, 1), seed, short) for seed in (0, 1, 0))
    assert [*first] == splits.COLUMNS and first["units"] == "1 1 1 1" and 0.3 < first["test_error"] < 1
    results = [(row["train_loss"], row["test_error"]) for row in (first, other, again)]
    assert results[0] == results[2] != results[1]


def test_runs_go_seed_by_seed_and_only_what_the_file_lacks_is_run(tmp_path, monkeypatch):
    path, done = tmp_path / "splits.csv", []
    texts = {units: " ".join(map(str, units)) for units in splits.chosen()}

    def run(units, seed):
        done.append((units, seed))
        if len(done) == 40:
            raise KeyboardInterrupt
        return [{"units": texts[units], "seed": seed}]

    monkeypatch.setattr(splits, "run", run)
    with pytest.raises(KeyboardInterrupt):
        splits.main(path)
    splits.main(path)
    assert done[:31] == [*((units, 0) for units in texts), (splits.ALWAYS[0], 1)]
    assert len(done) == 91 and len(Records(path, splits.COLUMNS).rows()) == 90
