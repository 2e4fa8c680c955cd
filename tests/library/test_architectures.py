import dataclasses
import re

import numpy as np
import pytest

from experiments.layer_times import shapes
from resnet_lib import (
    ARCHITECTURES,
    Architecture,
    BasicUnit,
    Block,
    GroupedUnit,
    Root,
    SqueezeUnit,
    Unit,
    cifar_architecture,
    cost,
    explore,
    list_networks,
    trace,
)
from resnet_lib.architectures import CIFAR_ROOT, IMAGENET_ROOT, get_architecture, staged_blocks
from resnet_lib.blocks import TAKEN_SCOPES
from resnet_lib.count_conventions import elements
from resnet_lib.training_cost import kept_activations
from resnet_lib.units import as_unit

UNITS = {
    "plain_18": (2, 2, 2, 2),
    "plain_34": (3, 4, 6, 3),
    "resnet_v1_18": (2, 2, 2, 2),
    "resnet_v1_34": (3, 4, 6, 3),
    "resnet_v1_50": (3, 4, 6, 3),
    "resnet_v1_101": (3, 4, 23, 3),
    "resnet_v1_152": (3, 8, 36, 3),
    "resnet_v1_200": (3, 24, 36, 3),
    "resnet_v2_18": (2, 2, 2, 2),
    "resnet_v2_34": (3, 4, 6, 3),
    "resnet_v2_50": (3, 4, 6, 3),
    "resnet_v2_101": (3, 4, 23, 3),
    "resnet_v2_152": (3, 8, 36, 3),
    "resnet_v2_200": (3, 24, 36, 3),
    "wide_resnet_50_2": (3, 4, 6, 3),
    "resnext_50_32x4d": (3, 4, 6, 3),
    "resnext_101_32x8d": (3, 4, 23, 3),
    "se_resnet_50": (3, 4, 6, 3),
    **{f"plain_cifar_{6 * n + 2}": (n, n, n) for n in (3, 5, 7, 9, 18)},
    **{f"resnet_v1_cifar_{6 * n + 2}": (n, n, n) for n in (3, 5, 7, 9, 18, 200)},
    **{f"resnet_v2_cifar_{9 * n + 2}": (n, n, n) for n in (18, 111)},
}
BASIC = [name for name in UNITS if name.endswith(("_18", "_34")) or "v1_cifar" in name or "plain" in name]
TINY = Block("block1", "bottleneck_v2", [(8, 2, 1)])


def test_every_named_network_is_in_the_table():
    assert {name: net.units for name, net in ARCHITECTURES.items()} == UNITS


@pytest.mark.parametrize("name", UNITS)
def test_a_network_has_the_layers_of_its_name(name):
    assert ARCHITECTURES[name].layers == int(re.search(r"_(\d+)(?:_2|_32x\dd)?$", name)[1])


def test_a_network_without_a_root_has_a_layer_less():
    assert dataclasses.replace(ARCHITECTURES["resnet_v2_50"], root=None).layers == 49


def test_a_network_without_its_classifier_keeps_the_layers_of_its_name():
    assert get_architecture("resnet_v2_50", num_classes=None).layers == 50


def test_each_network_has_the_units_layout_and_shortcut_of_its_source():
    for name, net in ARCHITECTURES.items():
        basic = name in BASIC
        shapes = {"resnext": GroupedUnit, "se": SqueezeUnit}
        assert isinstance(net.blocks[0].args[0], BasicUnit if basic else shapes.get(name.split("_")[0], Unit))
        assert net.version == (2 if "_v2_" in name else 1)
        paper = basic or "cifar" in name or name == "se_resnet_50"
        assert net.layout == ("v1.5" if "wide" in name or "resnext" in name else "paper" if paper else "slim")
        assert net.shortcut == ("none" if "plain" in name else "A" if "v1_cifar" in name else "B")
        assert (net.root, net.image_size, net.num_classes) == (
            (CIFAR_ROOT, 32, 10) if "cifar" in name else (IMAGENET_ROOT, 224, 1000)
        )


STRIDES = {
    "paper": [[1, 1, 1], [2, 1, 1, 1], [2, 1, 1, 1, 1, 1], [2, 1, 1]],
    "v1.5": [[1, 1, 1], [2, 1, 1, 1], [2, 1, 1, 1, 1, 1], [2, 1, 1]],
    "slim": [[1, 1, 2], [1, 1, 1, 2], [1, 1, 1, 1, 1, 2], [1, 1, 1]],
}


@pytest.mark.parametrize("name", ["resnet_v1_50", "resnet_v2_50", "resnet_v1_34", "wide_resnet_50_2"])
def test_layouts_move_the_strides_and_nothing_else(name):
    net = ARCHITECTURES[name]
    for layout, strides in STRIDES.items():
        moved = net.variant(layout=layout)
        assert [[unit.stride for unit in block.args] for block in moved.blocks] == strides
        assert moved.stride_in == ("1x1" if layout == "paper" else "3x3")
        assert moved.layout == ("paper" if layout == "v1.5" and name in BASIC else layout)
        assert moved.variant(layout=net.layout).blocks == net.blocks
        assert [[unit.depth for unit in block.args] for block in moved.blocks] == [
            [unit.depth for unit in block.args] for block in net.blocks
        ]


def test_a_layout_has_a_name_only_where_the_strides_fit_one():
    inside = [Block("a", "bottleneck_v2", [(8, 2, 1), (8, 2, 2), (8, 2, 1)])]
    assert get_architecture(inside).layout is None
    first_strides = [Block("a", "bottleneck_v2", [(8, 2, 2), (8, 2, 1)]), Block("b", "bottleneck_v2", [(8, 2, 1)])]
    assert get_architecture(first_strides).layout == "v1.5"
    with pytest.raises(
        ValueError, match=r"layout: only strides between blocks can be moved.*got the strides \{'a': \(1, 2, 1\)"
    ):
        get_architecture(inside, layout="paper")
    with pytest.raises(ValueError, match="layout: only strides between blocks"):
        get_architecture(first_strides, layout="slim")  # nothing stands before the first block to take its stride
    with pytest.raises(ValueError, match=r"layout must be one of \['paper', 'v1.5', 'slim'\], got 'torch'"):
        get_architecture("resnet_v1_50", layout="torch")


def test_cifar_networks_of_any_depth():
    assert cifar_architecture(20) == ARCHITECTURES["resnet_v1_cifar_20"]
    assert cifar_architecture(8).units == (1, 1, 1) and cifar_architecture(8, shortcut="none").name == "plain_cifar_8"
    assert cifar_architecture(29, version=2).layers == 29
    with pytest.raises(ValueError, match=r"layers must be 6n \+ 2 for version 1 \(8, 14, 20, ...\), got 21"):
        cifar_architecture(21)
    with pytest.raises(ValueError, match=r"layers must be 9n \+ 2 for version 2"):
        cifar_architecture(22, version=2)
    with pytest.raises(ValueError, match="layers must be 6n"):
        cifar_architecture(2)
    with pytest.raises(ValueError, match=r"version must be one of \[1, 2\], got 3"):
        cifar_architecture(20, version=3)


def test_lists_of_blocks_take_the_version_of_their_units():
    assert get_architecture([TINY]).name == "resnet_v2"
    assert get_architecture([Block("b", "basic_v1", [(8, 1)])]).name == "resnet_v1"
    with pytest.raises(ValueError, match="units of V1 and V2 cannot be stacked on each other, got .*basic_v1"):
        get_architecture([TINY, Block("b", "basic_v1", [(8, 1)])])


def test_shortcuts_strides_and_roots_are_checked():
    with pytest.raises(ValueError, match=r"shortcut must be one of \['A', 'B', 'C', 'none', .*\], got 'D'"):
        get_architecture("resnet_v1_18", shortcut="D")
    with pytest.raises(ValueError, match=r"stride_in must be one of \['1x1', '3x3'\], got '7x7'"):
        Architecture("net", (TINY,), stride_in="7x7")
    with pytest.raises(ValueError, match="root: stride must be a positive whole number, got 0"):
        Architecture("net", (TINY,), root=Root(64, 7, 0, 2))


def test_blocks_are_those_of_the_source_text():
    block = ARCHITECTURES["resnet_v2_50"].blocks[0]
    assert block == Block("block1", "bottleneck_v2", tuple([(256, 64, 1)] * 2 + [(256, 64, 2)]))
    assert block.args[-1] == Unit(depth=256, depth_bottleneck=64, stride=2)


def test_an_architecture_cannot_be_changed_by_accident():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ARCHITECTURES["resnet_v2_50"].name = "other"


def test_tuple_and_dict_forms_are_one_unit():
    assert as_unit((8, 2, 1)) == as_unit({"depth": 8, "depth_bottleneck": 2}) == Unit(8, 2, 1)
    assert as_unit((8, 2), BasicUnit) == as_unit({"depth": 8, "stride": 2}, BasicUnit) == BasicUnit(8, 2)


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(ValueError, match="no network is called 'resnet_v2_15'; near are 'resnet_v2_152', .*list all"):
        get_architecture("resnet_v2_15")
    with pytest.raises(KeyError, match="near are .*'resnet_v2_50', 'resnet_v1_50'") as error:
        ARCHITECTURES["resnet50"]
    assert str(error.value).count("'") < 12  # three names, not all
    with pytest.raises(KeyError, match="near are .*'vgg_16'"):
        ARCHITECTURES["vgg16"]


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


def test_a_basic_unit_with_three_numbers_is_named():
    with pytest.raises(ValueError, match=r"Block 'b', unit 2: expected \(depth, stride\), got \(64, 64, 1\)"):
        get_architecture([Block("b", "basic_v1", [(64, 1), (64, 64, 1)])])
    with pytest.raises(
        ValueError, match=r"unit 1: expected the keys \['depth', 'stride'\], got \['depth', 'depth_bottleneck'\]"
    ):
        get_architecture([Block("b", "basic_v2", [{"depth": 8, "depth_bottleneck": 2}])])


def test_tf_slims_networks_are_not_lists_of_blocks():
    with pytest.raises(ValueError, match=r"'vgg_16' is not a list of Blocks: build\('vgg_16'\) and cost"):
        get_architecture("vgg_16")
    with pytest.raises(KeyError, match="'vgg_16' is not a list of Blocks"):
        ARCHITECTURES["vgg_16"]


def test_malformed_block_lists_are_named():
    with pytest.raises(ValueError, match="at least one Block"):
        get_architecture([])
    with pytest.raises(ValueError, match="Block 'block1' needs at least one unit"):
        get_architecture([Block("block1", "bottleneck_v2", [])])
    for scope in (TINY.scope, f"{TINY.scope}/part", TINY.scope.upper()):
        with pytest.raises(
            ValueError, match="must differ in more than capital letters, and none may lie within another"
        ):
            Architecture("twice", (TINY, TINY._replace(scope=scope)))
    with pytest.raises(TypeError, match="must be a list of Block"):
        get_architecture(["block1"])
    with pytest.raises(TypeError, match="must be a name, an Architecture or a list of Blocks, got 50"):
        get_architecture(50)


@pytest.mark.parametrize("scope", ["block 1", "", "a//b", "/a", "a/", "a:0", "b\u00e4r", None, 3])
def test_a_name_that_tensorflow_would_refuse_is_refused_at_once(scope):
    for make in (lambda: Architecture("net", (TINY._replace(scope=scope),)), lambda: Architecture(scope, (TINY,))):
        with pytest.raises(
            ValueError, match=f"must be a name for variables: letters, digits and any of .*, got {scope!r}"
        ):
            make()


@pytest.mark.parametrize("scope", [*TAKEN_SCOPES, "Logits"])
def test_a_block_cannot_have_the_name_of_another_part(scope):
    with pytest.raises(ValueError, match=f"no Block can be called {scope!r}, which is a part of every network"):
        get_architecture([TINY._replace(scope=scope)])


def test_every_part_of_a_network_has_a_taken_name():
    for name in ("resnet_v1_18", "resnet_v2_50"):
        parts = {layer.name.split("/")[0] for layer in trace(name)} - {"block1", "block2", "block3", "block4"}
        assert parts <= set(TAKEN_SCOPES)
    rows = {row.name for row in explore("resnet_v2_50").rows} - {"block1", "block2", "block3", "block4"}
    assert rows <= set(TAKEN_SCOPES)


@pytest.mark.parametrize("unit", ["bottleneck_v1", "bottleneck_v2"])
@pytest.mark.parametrize("scope", ["shortcut_study", "stage/shortcut", "squeeze", "root/1", "classifier/BatchNorm"])
def test_nothing_depends_on_what_a_block_is_called(scope, unit):
    def counted(scope):
        block = Block(scope, unit, [(8, 2, 1), (16, 4, 2)])
        net = Architecture("net", (block,), Root(8, 3, 1, 2), image_size=16)
        rows = explore(net, device="H200").rows
        return elements(net), kept_activations(net), shapes(trace(net)), [row.least_ms for row in rows]

    assert counted(scope) == counted("block1")


def test_lists_of_any_kind_are_taken():
    """Generators are read once, and rows of an array are tuples."""
    same = get_architecture([TINY])
    assert get_architecture(block for block in [TINY]) == same == Architecture(same.name, (b for b in [TINY]))
    for args in (np.array(TINY.args), (unit for unit in TINY.args), [np.array(unit).tolist() for unit in TINY.args]):
        assert get_architecture([TINY._replace(args=args)]) == same
    for size in (np.array([32, 24]), [np.int64(32), 24], iter((32, 24)), (32, np.uint8(24))):
        assert get_architecture(same, size).image_size == (32, 24)
    assert get_architecture(same, np.array(32), np.int32(7)) == get_architecture(same, 32, 7)


def test_an_output_stride_that_no_unit_can_reach_is_refused_at_once():
    with pytest.raises(ValueError, match=r"output_stride must be one of \[4\], .* got 8"):
        Architecture("net", (TINY,), output_stride=8)


@pytest.mark.parametrize("root", [3, (64, 7), "abcd", {"depth": 3}, (64, 7, 2, 2, 2)])
def test_a_malformed_root_is_named(root):
    with pytest.raises(
        TypeError, match=r"root must be a Root\(depth, kernel_size, stride, pool_stride\) or None, got "
    ):
        Architecture("net", (TINY,), root)


def test_what_is_no_list_is_named():
    for blocks in (TINY, "block1", 3):
        with pytest.raises(TypeError, match="must be a list of Blocks, got"):
            Architecture("net", blocks)
    for args in (3, "units", {"depth": 4}):
        with pytest.raises(TypeError, match="Block 'block1': args must be a list of units, got"):
            get_architecture([TINY._replace(args=args)])
    with pytest.raises(ValueError, match=r"image_size must be one number or \(height, width\), got \(32,\)"):
        get_architecture([TINY], (32,))
    with pytest.raises(ValueError, match=r"global_pool must be one of \[True, False\], got 'no'"):
        get_architecture([TINY], global_pool="no")


def test_an_architecture_holds_everything_that_decides_what_is_built():
    net = get_architecture(
        "resnet_v2_50", (64, 48), None, channels_in=1, global_pool=False, output_stride=8, shortcut="C"
    )
    assert (net.image_size, net.num_classes, net.channels_in) == ((64, 48), None, 1)
    assert (net.global_pool, net.output_stride, net.shortcut) == (False, 8, "C")
    assert get_architecture(net) is net and get_architecture(net, 224, 1000).num_classes == 1000
    assert get_architecture("resnet_v2_50", (224, 224)) == ARCHITECTURES["resnet_v2_50"]
    assert get_architecture("resnet_v2_50", None).image_size is None
    for changes, error, message in [
        ({"channels_in": 0}, ValueError, "channels_in must be a positive whole number, got 0"),
        ({"num_classes": 2.5}, TypeError, "num_classes must be a positive whole number, got 2.5"),
        ({"image_size": (1, 2, 3)}, ValueError, "image_size must be one number or"),
        ({"output_stride": -8}, ValueError, "output_stride must be a positive whole number, got -8"),
        ({"colour": 3}, TypeError, "no option of a network is called 'colour'; near are"),
        ({"imagesize": 3}, TypeError, "no option of a network is called 'imagesize'; near are 'image_size'"),
    ]:
        with pytest.raises(error, match=message):
            get_architecture("resnet_v2_50", **changes)


def test_a_unit_function_and_its_name_are_one_description():
    from resnet_lib.resnet_v2 import bottleneck

    by_function = Architecture("net", (Block("b", bottleneck, [(8, 2, 1)]),))
    assert by_function == Architecture("net", (Block("b", "bottleneck_v2", ({"depth": 8, "depth_bottleneck": 2},)),))
    assert by_function.blocks[0].unit_fn == "bottleneck_v2" and "function" not in repr(by_function)


def test_stages_of_every_shape_have_the_proportions_of_their_papers():
    """Xie et al. 2017, Table 1: 32 groups of 4, 8, 16, 32 channels. Hu et al. 2018: a sixteenth of the channels."""
    grouped = [block.args[0] for block in ARCHITECTURES["resnext_50_32x4d"].blocks]
    assert [(unit.depth_bottleneck, unit.groups) for unit in grouped] == [(128, 32), (256, 32), (512, 32), (1024, 32)]
    squeezed = [block.args[0].depth_squeeze for block in ARCHITECTURES["se_resnet_50"].blocks]
    assert squeezed == [16, 32, 64, 128]
    small = staged_blocks("grouped_bottleneck_v2", (1, 1), (5, 12), "v1.5")
    assert [block.args[0].groups for block in small] == [5, 12]
    assert staged_blocks("se_bottleneck_v1", (1,), (2,), "v1.5")[0].args[0].depth_squeeze == 1


def test_one_listing_of_all_networks():
    names = list_networks()
    assert names[: len(UNITS)] == list(ARCHITECTURES) and {"vgg_16", "inception_v4"} < set(names)
    assert len(names) == len(set(names))


@pytest.mark.parametrize("layers, saved", [(50, 1.108), (101, 1.052), (152, 1.034)])
def test_in_the_papers_layout_pixels_are_computed_for_nobody(layers, saved):
    """Chapter 05's finding: their MACs are those that lie between the paper's layout and tf-slim's."""
    paper = get_architecture(f"resnet_v1_{layers}", layout="paper")
    lean = paper.without_unread_pixels()
    assert lean == get_architecture(f"resnet_v1_{layers}", layout="slim")
    assert round(cost(paper).macs / cost(lean).macs, 3) == saved and cost(paper).params == cost(lean).params


@pytest.mark.parametrize(
    "net",
    [
        get_architecture("resnet_v1_50"),  # tf-slim's layout already
        get_architecture("resnet_v1_50", layout="v1.5"),  # the stride stands in a 3x3, which reads all pixels
        get_architecture("resnet_v1_50", layout="paper", output_stride=8),
        get_architecture("se_resnet_50"),  # a gate sees the mean of a whole map
        get_architecture("resnet_v1_34"),  # units of two layers begin with a 3x3
        Architecture("first", (Block("block1", "bottleneck_v1", ((8, 4, 2), (8, 4, 1))),), stride_in="1x1"),
        Architecture("within", (Block("block1", "bottleneck_v1", ((8, 4, 1), (8, 4, 2), (8, 4, 1))),), stride_in="1x1"),
    ],
    ids=lambda net: f"{net.name}, {net.layout}",
)
def test_networks_that_read_all_their_pixels_stay_as_they_are(net):
    assert net.without_unread_pixels() is net
