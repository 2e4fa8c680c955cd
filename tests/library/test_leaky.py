"""A leaky unit is the library's own at a slope of 0 and a line at 1; every network gets its row."""

import numpy as np
import pytest

from experiments import leaky
from resnet_lib import Architecture, Block, build, data
from resnet_lib.records import Records
from resnet_lib.sweep import FAMILIES
from resnet_lib.training import Recipe
from resnet_lib.units import BasicUnit, UnitKind

IMAGES = data.digits().test_images[:16]


@pytest.mark.parametrize("family", leaky.SHORTCUTS)
def test_a_slope_of_zero_is_the_network_of_the_sweeps(family):
    ours = build(leaky.architecture(family, 14, 0.0), seed=3)
    theirs = build(FAMILIES[family](14), 8, num_classes=10, channels_in=1, seed=4)
    theirs.assign(dict(zip(theirs.values(), ours.values().values(), strict=True)))
    assert np.array_equal(ours(IMAGES), theirs(IMAGES))
    other = build(leaky.architecture(family, 14, 0.3), seed=3)
    assert not np.allclose(ours(IMAGES), other(IMAGES), atol=1e-3)


def unit(slope):
    kind = UnitKind("leaky", BasicUnit, 1, options=("shortcut",), builder=leaky.leaky_unit(slope))
    net = Architecture("net", (Block("block1", kind, ((8, 1),)),), root=None, shortcut="none")
    return build(net, 8, num_classes=None, channels_in=8, global_pool=False)


def test_a_slope_of_one_is_a_line_and_one_of_a_half_is_none():
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 8)).astype(np.float32)
    for slope, is_line in ((1.0, True), (0.5, False)):
        net = unit(slope)
        assert np.allclose(net(x) + net(-x), 2 * net(0 * x), atol=1e-5) == is_line


def test_a_row_holds_the_fresh_network_and_the_trained_one(monkeypatch):
    monkeypatch.setattr(leaky, "RECIPE", Recipe(epochs=3, learning_rate=0.05, warm_up=1))
    (row,) = leaky.run("plain", 8, 0.5, 1)
    assert {*row} == {*leaky.COLUMNS} and row["error"] is None
    assert row["reach"] > 1e-4 and row["accuracy"] > 0.3
    assert row["train_error"] < 0.5 and row["train_errors"].count(";") == 2


def test_only_what_the_file_lacks_is_run(tmp_path, monkeypatch):
    monkeypatch.setattr(leaky, "NETWORKS", leaky.NETWORKS[:2])
    monkeypatch.setattr(leaky, "SEEDS", (1, 2))
    path, done = tmp_path / "leaky.csv", []

    def run(*key):
        done.append(key)
        if key[2:] == (0.1, 2):
            raise KeyboardInterrupt
        return [dict(zip(leaky.KEY, key, strict=True))]

    monkeypatch.setattr(leaky, "run", run)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            leaky.main(path)
    assert [key[2:] for key in done] == [(0.0, 1), (0.1, 1), (0.0, 2), (0.1, 2), (0.1, 2)]
    assert len(Records(path, leaky.COLUMNS).rows()) == 3
