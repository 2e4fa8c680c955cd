import base64
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_lib import cost
from resnet_lib.exploration import design, explore
from resnet_lib.splits_panel import counted, splits, splits_panel
from resnet_lib.training_cost import training_memory

PANEL = splits_panel()
SENTENCE = re.compile(r"a training step of (\d+) images takes ([\d.]+) GB. ([\d,]+) of ([\d,]+) splits")


def page(*units, batch_size=32):
    return PANEL.show(batch_size=batch_size, **{f"units_{i}": n for i, n in enumerate(units, 1)})


@given(units=st.tuples(*[st.integers(1, 40)] * 4))
@settings(max_examples=30, deadline=None)
def test_a_split_costs_what_its_design_does(units):
    found, expected = counted(units), explore(design(units))
    assert found[1:4] == expected.cost and found.receptive_field == expected.rows[-2].receptive_field


def test_455_splits_of_sixteen_units_12_of_which_dominate_that_of_resnet_50():
    every, ours = splits(16), counted((3, 4, 6, 3))
    assert len({split.units for split in every}) == len(every) == 15 * 14 * 13 // 6
    assert {split.macs for split in every} == {cost(design((3, 4, 6, 3))).macs}
    assert all(sum(split.units) == 16 and min(split.units) >= 1 for split in every)
    assert sum(split.dominates(ours) for split in every) == 12
    assert not ours.dominates(ours)
    without_field = [s for s in every if s.params <= ours.params and s.activations <= ours.activations and s != ours]
    assert len(without_field) == 39 and counted((1, 9, 5, 1)) in without_field
    assert not counted((1, 9, 5, 1)).dominates(ours)


def test_the_page_says_and_shows_where_the_split_is():
    text = page(3, 4, 6, 3, batch_size=64)
    assert text.startswith(
        "<p>(3, 4, 6, 3): 25,568,360 parameters, 4,089,184,256 MACs, 11,114,984 activations, sees 427"
    )
    batch, memory, better, every = SENTENCE.search(text).groups()
    assert (batch, better, every) == ("64", "12", "455")
    assert memory == f"{training_memory(design((3, 4, 6, 3)), 64).total / 1e9:.2f}"
    svg = ElementTree.fromstring(base64.b64decode(re.search(r'base64,([^"]*)"', text)[1]))
    keys = 4
    assert len(svg.findall("{*}circle")) == 455 + 12 + 1 + keys
    assert "(3, 4, 6, 3)" in [label.text for label in svg.findall("{*}text")]
    assert "12 of 455 splits dominate it" in re.search(r'alt="([^"]*)"', text)[1]


def test_dots_lie_in_the_order_of_their_counts():
    text = page(2, 3, 2, 1)
    svg = ElementTree.fromstring(base64.b64decode(re.search(r'base64,([^"]*)"', text)[1]))
    every = sorted(splits(8), key=lambda split: split.receptive_field)
    places = [(float(c.get("cx")), -float(c.get("cy"))) for c in svg.findall("{*}circle")[: len(every)]]
    for axis, count in ((0, "params"), (1, "activations")):
        pairs = sorted((getattr(split, count), place[axis]) for split, place in zip(every, places, strict=True))
        assert all(b >= a - 0.11 for (_, a), (_, b) in zip(pairs, pairs[1:], strict=False))


@pytest.mark.parametrize("units", [(1, 1, 1, 1), (6, 6, 6, 6), (21, 1, 1, 1)])
def test_few_and_many_units_are_shown(units):
    assert "<img" in page(*units)


def test_more_units_than_are_compared_are_said_to_be_so():
    assert page(13, 13, 1, 1) == "<p><b>units: 28 in all; up to 24 are compared here</b></p>"
