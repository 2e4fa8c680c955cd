import dataclasses

import pytest

from resnet_lib import ARCHITECTURES, Architecture, Block, Unit
from resnet_lib.architectures import as_unit, get_architecture, height_and_width

UNITS = {
    "resnet_v2_50": (3, 4, 6, 3),
    "resnet_v2_101": (3, 4, 23, 3),
    "resnet_v2_152": (3, 8, 36, 3),
    "resnet_v2_200": (3, 24, 36, 3),
}
TINY = Block("block1", "bottleneck_v2", [(8, 2, 1)])


def test_every_named_network_is_in_the_table():
    assert {name: net.units for name, net in ARCHITECTURES.items()} == UNITS


@pytest.mark.parametrize("name", UNITS)
def test_a_network_has_the_layers_of_its_name(name):
    assert ARCHITECTURES[name].layers == int(name.rsplit("_", 1)[1])


def test_blocks_are_those_of_the_source_text():
    block = ARCHITECTURES["resnet_v2_50"].blocks[0]
    assert block == Block("block1", "bottleneck_v2", tuple([(256, 64, 1)] * 2 + [(256, 64, 2)]))
    assert block.args[-1] == Unit(depth=256, depth_bottleneck=64, stride=2)


def test_an_architecture_cannot_be_changed_by_accident():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ARCHITECTURES["resnet_v2_50"].name = "other"


def test_tuple_and_dict_forms_are_one_unit():
    assert as_unit((8, 2, 1)) == as_unit({"depth": 8, "depth_bottleneck": 2}) == Unit(8, 2, 1)


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(ValueError, match="the nearest is 'resnet_v2_152'"):
        get_architecture("resnet_v2_15")
    with pytest.raises(KeyError, match="the nearest is 'resnet_v2_50'"):
        ARCHITECTURES["resnet50"]


@pytest.mark.parametrize(
    ("unit", "error", "message"),
    [
        ((8, 2), ValueError, r"unit 1: expected \(depth, depth_bottleneck, stride\), got \(8, 2\)"),
        ((8, 2, 1, 1), ValueError, "unit 1: expected"),
        ({"depth": 8}, ValueError, r"expected the keys \['depth', 'depth_bottleneck', 'stride'\], got \['depth'\]"),
        ((8, 2, -1), ValueError, "unit 1: stride must be a positive whole number, got -1"),
        ((8, 0, 1), ValueError, "unit 1: depth_bottleneck must be a positive whole number, got 0"),
        ((8.5, 2, 1), TypeError, "unit 1: depth must be a positive whole number, got 8.5"),
        ((True, 2, 1), TypeError, "unit 1: depth must be a positive whole number, got True"),
        ("abc", ValueError, "unit 1: expected"),
    ],
)
def test_malformed_units_are_named(unit, error, message):
    with pytest.raises(error, match=f"Block 'block1', {message}" if message.startswith("unit") else message):
        get_architecture([Block("block1", "bottleneck_v2", [unit])])


def test_malformed_block_lists_are_named():
    with pytest.raises(ValueError, match="at least one Block"):
        get_architecture([])
    with pytest.raises(ValueError, match="Block 'block1' needs at least one unit"):
        get_architecture([Block("block1", "bottleneck_v2", [])])
    with pytest.raises(ValueError, match="a scope of its own"):
        Architecture("twice", (TINY, TINY))
    with pytest.raises(TypeError, match="must be a list of Block"):
        get_architecture(["block1"])
    with pytest.raises(TypeError, match="must be a name, an Architecture or a list of Blocks, got 50"):
        get_architecture(50)


@pytest.mark.parametrize("image_size", [0, -1, 2.5, "224", (224,), (224, 0), (1, 2, 3), None])
def test_bad_image_sizes_are_named(image_size):
    with pytest.raises((ValueError, TypeError), match="image_size must be"):
        height_and_width(image_size)
