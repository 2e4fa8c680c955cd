"""Random networks on which all ways to a number agree: a hundred here, and those of data/fuzz.csv."""

from itertools import count

import pandas as pd
import pytest

from experiments import fuzz
from resnet_lib import data
from resnet_lib.records import Records
from resnet_lib.units import COUNTED_KINDS, SHORTCUTS, unit_kind

OURS = 10_000_000  # the first number that the file does not reach


@pytest.mark.parametrize("exported", ["SavedModel", "ONNX"])
def test_fifty_networks_are_what_they_are_said_to_be(exported):
    """Counts of all; of two the footprint, and their logits after a file and after an export."""
    start = OURS + (50 if exported == "ONNX" else 0)
    first = next(number for number in count(start, 100) if not fuzz.closed_form(number)[1])
    (row,) = fuzz.run(first, 50, every=25)
    assert (row["mismatches"], row["reasons"]) == (0, "")
    assert 0 < row["refused"] < 25 and row["samples"] >= 2 and row["in_bytes"] > 10
    assert {*row} == {*fuzz.COLUMNS}


def test_the_receptive_field_is_the_footprint():
    """Of ten numbers those that make a network."""
    found = {number: fuzz.closed_form(number)[0] for number in range(OURS + 100, OURS + 110)}
    nets = {number: closed[0] for number, closed in found.items() if closed}
    assert len(nets) >= 5 and {
        number: fuzz.sees_otherwise(net, number) for number, net in nets.items()
    } == dict.fromkeys(nets, "")


def test_the_numbers_draw_everything_that_a_network_may_have():
    nets = [closed[0] for number in range(1500) for closed, refused in [fuzz.closed_form(number)] if not refused]
    blocks = [block for net in nets for block in net.blocks]
    assert {unit_kind(block.unit_fn).name for block in blocks} == {*COUNTED_KINDS, "basic_v2_first"}
    assert {net.shortcut for net in nets} == {*SHORTCUTS} and {net.layout for net in nets} == {None, *fuzz.LAYOUTS}
    assert {unit.groups for block in blocks for unit in block.args if hasattr(unit, "groups")} == {1, 2, 3}
    assert {net.root_pooling for net in nets if net.root and net.root.pool_stride > 1} == {*fuzz.ROOT_POOLING}
    assert any(net.root is None for net in nets) and any(net.output_stride for net in nets)
    assert {refused for number in range(300) for _, refused in [fuzz.closed_form(number)]} == {"", *fuzz.REFUSALS}


def number_of(wanted):
    """The first network that can be built and of which `wanted` is true."""
    return next(n for n in range(500) for closed, refused in [fuzz.closed_form(n)] if not refused and wanted(closed[0]))


def test_a_count_that_is_off_is_found(monkeypatch):
    number, counted = number_of(lambda net: net.shortcut == "B"), fuzz.graph_cost
    monkeypatch.setattr(fuzz, "graph_cost", lambda graph: counted(graph)[0:1] + (1, 2))
    (row,) = fuzz.run(number, 1)
    assert row["mismatches"] == 1 and row["reasons"].startswith(f"{number}: (") and row["params"] == 0
    monkeypatch.setattr(fuzz, "graph_cost", counted)
    monkeypatch.setattr(fuzz, "read_and_written", lambda graph: [("conv", 1, 1)])
    assert "kernels and ops differ in" in fuzz.run(number, 1)[0]["reasons"]


def test_whoever_refuses_alone_is_found(monkeypatch):
    number = number_of(lambda net: net.shortcut == "B")
    monkeypatch.setattr(fuzz, "built_graph", lambda drawn: {}["no graph"])
    assert fuzz.check(number).mismatch == "closed form: no refusal; graph: KeyError: 'no graph'"
    refused = next(n for n in range(500) if fuzz.closed_form(n)[1] == "groups")
    monkeypatch.setattr(fuzz, "built_graph", lambda drawn: None)
    assert fuzz.check(refused).mismatch == "closed form: groups; graph: no refusal"


def test_what_is_stored_agrees_and_is_counted_so_today():
    """The sums of every twentieth row, once more in closed form."""
    stored = pd.read_csv(data.path("fuzz.csv"))
    assert [*zip(stored["first"], stored["networks"], strict=True)] == [(first, 100) for first in range(0, 10_000, 100)]
    assert not stored["mismatches"].any() and stored["reasons"].isna().all()
    for row in stored[::20].itertuples():
        found = [fuzz.closed_form(number) for number in range(row.first, row.first + row.networks)]
        costs = [closed[1] for closed, refused in found if not refused]
        assert [sum(column) for column in zip(*costs, strict=True)] == [row.params, row.macs, row.activations]
        assert sum(bool(refused) for _, refused in found) == row.refused


def test_only_chunks_that_the_file_lacks_are_run(tmp_path, monkeypatch):
    path, done = tmp_path / "fuzz.csv", []

    def run(*key):
        done.append(key)
        if len(done) == 2:
            raise KeyboardInterrupt
        return [dict(zip(fuzz.KEY, key, strict=True))]

    monkeypatch.setattr(fuzz, "run", run)
    with pytest.raises(KeyboardInterrupt):
        fuzz.main(path, networks=250)
    fuzz.main(path, networks=250)
    assert done == [(0, 100), (100, 100), (100, 100), (200, 50)]
    assert len(Records(path, fuzz.COLUMNS).rows()) == 3
