"""V1 and V2 of the same depth differ in their units only; what is left of a path is counted; every network gets its row."""

import numpy as np
import pytest

from experiments import v1_depth
from resnet_lib import cost, data
from resnet_lib.records import Records
from resnet_lib.training import Recipe

DIGITS = data.digits()


@pytest.mark.parametrize("layers", [*v1_depth.SEEDS, 11])
def test_the_networks_have_their_layers_and_differ_in_their_units_only(layers):
    v1, v2 = (v1_depth.architecture(family, layers) for family in ("v1", "v2"))
    assert v1.layers == v2.layers == layers and v1.units == v2.units and (v1.version, v2.version) == (1, 2)
    assert (v1.shortcut, v1.stride_in) == (v2.shortcut, v2.stride_in) == ("B", "1x1")
    assert cost(v1).macs == cost(v2).macs


def test_a_place_survives_where_no_later_unit_puts_out_zero():
    outputs = [np.array(values) for values in ([0, 1, 1, 1], [1, 0, 1, 2], [1, 1, 0, 3])]
    assert v1_depth.survived(outputs) == 0.5
    assert v1_depth.survived(outputs[:2]) == 0.75
    blocks = list(v1_depth.by_block(range(7), (2, 3, 1)))
    assert [list(block) for block in blocks] == [[1, 2], [3, 4, 5], [6]]


def test_what_survives_of_v1_is_what_the_direct_gradient_reaches():
    """Within the last block, whose end the whole gradient reaches: a mask for every ReLU, and nothing else on the way."""
    net = v1_depth.architecture("v1", 29)
    x, _, direct = v1_depth.signals(net, DIGITS.test_images[:20], DIGITS.test_labels[:20], 1)
    *_, last = v1_depth.by_block(x, net.units)
    assert v1_depth.survived(last) == pytest.approx(np.mean(direct[7] != 0), abs=1e-3)
    assert 0.1 < v1_depth.survived(last) < 0.9


def test_a_row_holds_the_fresh_network_and_the_trained_one(monkeypatch):
    monkeypatch.setattr(v1_depth, "RECIPE", Recipe(epochs=2, learning_rate=0.05, warm_up=1))
    rows = {family: v1_depth.measured(family, 11, 1)[0] for family in ("v1", "v2")}
    for row in rows.values():
        assert {*row} == {*v1_depth.COLUMNS} and row["error"] is None
        assert row["train_errors"].count(";") == 1 and 0 <= row["train_error"] < 0.9
        assert row["gradient"] > row["direct"] > 0
    assert [rows["v2"][name] for name in v1_depth.FRESH[:3]] == [1, 1, 1]  # one unit a block: no later ReLU


def test_only_what_the_file_lacks_is_run(tmp_path, monkeypatch):
    monkeypatch.setattr(v1_depth, "SEEDS", {20: 1, 56: 2})
    path, done = tmp_path / "v1_depth.csv", []

    def measured(*key):
        done.append(key)
        if key == ("v2", 56, 1):
            raise KeyboardInterrupt
        return [dict(zip(v1_depth.KEY, key, strict=True))]

    monkeypatch.setattr(v1_depth, "measured", measured)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            v1_depth.main(path)
    assert done == [*((f, 20, 0) for f in ("v1", "v2")), *((f, 56, s) for s in (0, 1) for f in ("v1", "v2")), done[-1]]
    assert len(Records(path, v1_depth.COLUMNS, v1_depth.KEY).rows()) == 5
