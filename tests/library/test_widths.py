import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_lib import ARCHITECTURES, Architecture, Block, cost
from resnet_lib.widths import scaled, with_cost

SMALL = [name for name, net in ARCHITECTURES.items() if sum(net.units) < 40]


@given(name=st.sampled_from(SMALL), factor=st.floats(0.05, 3))
@settings(max_examples=40, deadline=None)
def test_a_scaled_network_keeps_all_but_its_channels(name, factor):
    net = ARCHITECTURES[name]
    found = scaled(net, factor)
    for block, other in zip(net.blocks, found.blocks, strict=True):
        assert (block.scope, block.unit_fn) == (other.scope, other.unit_fn)
        for unit, new in zip(block.args, other.args, strict=True):
            groups = getattr(unit, "groups", 1)
            assert (new.stride, getattr(new, "groups", 1)) == (unit.stride, groups)
            assert abs(new.depth - unit.depth * factor) <= 0.5 or new.depth == 1
            if "depth_bottleneck" in unit._fields:
                assert new.depth_bottleneck % groups == 0
                assert abs(new.depth_bottleneck - unit.depth_bottleneck * factor) <= groups / 2 or (
                    new.depth_bottleneck == groups
                )
    assert found.root == net.root and scaled(net, 1.0) == net


@pytest.mark.parametrize(("name", "other"), [("resnet_v2_50", "resnet_v1_34"), ("resnet_v1_18", "resnet_v1_152")])
@pytest.mark.parametrize("quantity", ["params", "macs", "activations"])
def test_two_networks_meet_at_equal_cost(name, other, quantity):
    value = getattr(cost(other), quantity)
    net = with_cost(ARCHITECTURES[name], quantity, value)
    assert abs(getattr(cost(net), quantity) / value - 1) < 0.01
    assert net.units == ARCHITECTURES[name].units and net.layers == ARCHITECTURES[name].layers


def test_what_no_width_reaches_is_refused_in_words():
    narrow = Architecture("narrow", [Block("a", "basic_v1", [(64, 1)])], shortcut="A")
    with pytest.raises(ValueError, match=re.escape("macs: no width of narrow has about 1,000")):
        with_cost(narrow, "macs", 1000)
    with pytest.raises(ValueError, match="macs must be a positive whole number, got 0"):
        with_cost(narrow, "macs", 0)
    with pytest.raises(ValueError, match="quantity must be one of"):
        with_cost(narrow, "flops", 1000)
    with pytest.raises(ValueError, match="factor must be above 0, got 0"):
        scaled(narrow, 0)
    with pytest.raises(ValueError, match="factor must be a number >= 0, got -1"):
        scaled(narrow, -1)
