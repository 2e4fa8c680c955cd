"""The editable depth table against the tables and counts of the library, and against the paper's digits."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_lib import ARCHITECTURES, cost, trace
from resnet_lib.blocks import LAYOUTS
from resnet_lib.depth_table_panel import SHORTCUTS, UNITS, depth_table_page, depth_table_panel


def cells(page):
    """The table as a list of rows of texts."""
    return [re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", page)]


@pytest.mark.parametrize(
    "name, unit", [("resnet_v1_18", "basic_v1"), ("resnet_v1_50", "bottleneck_v1"), ("resnet_v2_200", "bottleneck_v2")]
)
def test_the_page_of_a_named_network_is_its_own(name, unit):
    net = ARCHITECTURES[name]
    page = depth_table_page(net.units, unit, "paper")
    counted = cost(name, layout="paper")
    last = [layer for layer in trace(name, layout="paper") if layer.name.startswith("block4/")][-1]
    assert (
        f"<b>{net.layers} layers</b>, the units of {name}: {counted.params:,} parameters, {counted.macs:,} MACs" in page
    )
    assert f"sees {last.receptive_field} x {last.receptive_field} pixels" in page
    header, *rows = cells(page)
    assert header == ["stage", "units", "hands on", "parameters", "MACs"]
    assert [row[0] for row in rows] == ["root", "block1", "block2", "block3", "block4", "classifier"]
    assert sum(int(row[3].replace(",", "")) for row in rows) == counted.params
    assert [row[1].rsplit("<br>x ", 1)[1] for row in rows[1:5]] == [str(n) for n in net.units]
    assert rows[2][2].startswith("28x28, ")


@pytest.mark.parametrize(
    "units, unit, changes, words",
    [
        ((2, 2, 2, 2), "basic_v1", {}, "prints 1.8 billion: that is 1.814, rounded."),
        ((3, 4, 6, 3), "basic_v1", {"shortcut": "A"}, "prints 3.6 billion: that is 3.644, rounded."),
        ((3, 4, 6, 3), "basic_v1", {}, "prints 3.6 billion: that is 3.664, cut off."),
        ((3, 4, 6, 3), "bottleneck_v1", {}, "prints 3.8 billion: that is 3.858, cut off."),
        ((3, 4, 23, 3), "bottleneck_v2", {}, "prints 7.6 billion: that is 7.570, rounded."),
        ((3, 8, 36, 3), "bottleneck_v1", {}, "prints 11.3 billion: that is 11.282, rounded."),
        ((3, 4, 6, 3), "bottleneck_v1", {"layout": "v1.5"}, "prints 3.8 billion: <b>that is not 4.089</b>"),
        ((3, 4, 6, 3), "bottleneck_v1", {"layout": "slim"}, "prints 3.8 billion: <b>that is not 3.482</b>"),
    ],
)
def test_the_papers_digits_stand_beside_its_columns(units, unit, changes, words):
    assert words in depth_table_page(units, unit, **changes)


def test_other_columns_have_neither_a_name_nor_printed_digits():
    page = depth_table_page((3, 4, 6, 4))
    assert "a network without a name" in page and "Table 1" not in page
    assert "Table 1" not in depth_table_page((3, 4, 6, 3), image_size=256)
    assert "the units of resnet_v1_34:" in depth_table_page((3, 4, 6, 3), "basic_v1")  # and not of plain_34


@settings(max_examples=30, deadline=None)
@given(
    counts=st.lists(st.integers(1, 48), min_size=4, max_size=4),
    unit=st.sampled_from(UNITS),
    layout=st.sampled_from(tuple(LAYOUTS)),
    shortcut=st.sampled_from(SHORTCUTS),
    image_size=st.integers(32, 512),
)
def test_it_answers_wherever_the_controls_stand(counts, unit, layout, shortcut, image_size):
    panel = depth_table_panel()
    values = {f"units_{i}": n for i, n in enumerate(counts, 1)}
    page = panel.show(**values, unit=unit, layout=layout, shortcut=shortcut, image_size=image_size)
    layers = sum(counts) * (2 if unit.startswith("basic") else 3) + 2
    assert f"<b>{layers} layers</b>" in page and len(cells(page)) == 7


def test_the_controls_stand_where_they_are_put():
    start = depth_table_panel((3, 8, 60, 3), "bottleneck_v2", "slim", "C").start()
    assert start["units_3"] == 60 and (start["unit"], start["layout"], start["shortcut"]) == (
        "bottleneck_v2",
        "slim",
        "C",
    )
    for wrong in ({"unit": "se_bottleneck_v1"}, {"layout": "v2"}, {"shortcut": "none"}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be one of"):
            depth_table_panel(**wrong)
