import pytest

from resnet_lib import ARCHITECTURES, Block, cost, cost_table, depth_table
from resnet_lib.architectures import get_architecture
from resnet_lib.network import build

# The five columns of the source text, 18 to 152 layers: (convolutions of a basic unit, of a bottleneck, units in each network).
SOURCE_TEXT = {
    "conv2_x": ("56x56", "3x3, 64\n3x3, 64", "1x1, 64\n3x3, 64\n1x1, 256", (2, 3, 3, 3, 3)),
    "conv3_x": ("28x28", "3x3, 128\n3x3, 128", "1x1, 128\n3x3, 128\n1x1, 512", (2, 4, 4, 4, 8)),
    "conv4_x": ("14x14", "3x3, 256\n3x3, 256", "1x1, 256\n3x3, 256\n1x1, 1024", (2, 6, 6, 23, 36)),
    "conv5_x": ("7x7", "3x3, 512\n3x3, 512", "1x1, 512\n3x3, 512\n1x1, 2048", (2, 3, 3, 3, 3)),
}
SLIM_LAYOUT = ["resnet_v2_50", "resnet_v2_101", "resnet_v2_152"]


@pytest.mark.parametrize("table", [depth_table(), depth_table(SLIM_LAYOUT)], ids=["Table 1", "V2"])
def test_depth_table_is_the_source_texts_cell_by_cell(table):
    kinds = ["basic", "basic", "bottleneck", "bottleneck", "bottleneck"][-len(table.columns) :]
    for stage, (size, basic, bottleneck, units) in SOURCE_TEXT.items():
        cells = [basic if kind == "basic" else bottleneck for kind in kinds]
        assert list(table.loc[(stage, size)]) == [
            f"{cell}\nx {n}" for cell, n in zip(cells, units[-len(cells) :], strict=True)
        ]
    assert set(table.loc[("conv1", "112x112")]) == {"7x7, 64, stride 2"}
    assert set(table.loc[("pool1", "56x56")]) == {"3x3 max pool, stride 2"}
    assert set(table.loc[("classifier", "1x1")]) == {"average pool, 1000-d fc, softmax"}
    assert list(table.loc[("layers", "")]) == ["18", "34", "50", "101", "152"][-len(cells) :]


@pytest.mark.parametrize("layout", ["paper", "v1.5", "slim"])
def test_a_block_stands_at_the_size_of_its_3x3_convolutions_in_every_layout(layout):
    sizes = {"conv2_x": "56x56", "conv3_x": "28x28", "conv4_x": "14x14", "conv5_x": "7x7"}
    table = depth_table(["resnet_v2_50"], layout=layout)
    assert {stage: size for stage, size in table.index if stage in sizes} == sizes


def test_the_last_row_holds_the_macs_of_the_layout_and_shortcut():
    paper = ["1.814", "3.664", "3.858", "7.570", "11.282"]
    assert list(depth_table().loc[("MACs", "")]) == [f"{macs} x 10^9" for macs in paper]
    assert list(depth_table(SLIM_LAYOUT).loc[("MACs", "")]) == ["3.482 x 10^9", "7.194 x 10^9", "10.907 x 10^9"]
    both = depth_table(["resnet_v1_34", "resnet_v1_50"], layout="v1.5", shortcut="A").loc[("MACs", "")]
    assert list(both) == ["3.644 x 10^9", "3.730 x 10^9"]


def test_depth_table_of_cifar_networks():
    table = depth_table(["resnet_v1_cifar_20", "plain_cifar_20"])
    assert list(table.index) == [
        ("conv1", "32x32"),
        ("conv2_x", "32x32"),
        ("conv3_x", "16x16"),
        ("conv4_x", "8x8"),
        ("classifier", "1x1"),
        ("layers", ""),
        ("MACs", ""),
    ]
    assert list(table["plain_cifar_20"]) == list(table["resnet_v1_cifar_20"])  # a table does not show shortcuts
    assert table.iloc[0, 0] == "3x3, 16" and table.loc[("conv4_x", "8x8")].iloc[0] == "3x3, 64\n3x3, 64\nx 3"
    assert table.loc[("classifier", "1x1")].iloc[0] == "average pool, 10-d fc, softmax"


def test_depth_table_of_ones_own_blocks_keeps_the_rows_in_order():
    own = [Block("first", "bottleneck_v2", [(64, 16, 1), (64, 16, 2), (128, 32, 1)])]
    table = depth_table(["resnet_v2_50", own], image_size=64)
    assert list(table.index.get_level_values("stage")) == [
        "conv1",
        "pool1",
        "conv2_x",
        "conv3_x",
        "conv4_x",
        "conv5_x",
        "classifier",
        "layers",
        "MACs",
    ]
    assert (
        table.loc[("conv2_x", "16x16"), "resnet_v2"]
        == "1x1, 16\n3x3, 16\n1x1, 64\nx 2\n1x1, 32\n3x3, 32\n1x1, 128\nx 1"
    )


def test_cost_table_holds_the_costs():
    table = cost_table()
    assert list(table.index) == list(ARCHITECTURES)
    for name, row in table.iterrows():
        net = ARCHITECTURES[name]
        assert (row.params, row.macs, row.activations) == cost(name)
        assert (row.layers, row.layout, row.shortcut) == (net.layers, net.layout, net.shortcut)
    assert table.loc["resnet_v2_50", "weights_mb"] == pytest.approx(102.27344)


def test_cost_table_sets_networks_of_tf_slim_beside_ours():
    table = cost_table(["resnet_v1_50", "alexnet_v2"], layout="paper")
    assert table.macs["resnet_v1_50"] == 3_857_973_248 and table.layout["resnet_v1_50"] == "paper"
    assert tuple(table.loc["alexnet_v2", ["params", "macs", "activations"]]) == build("alexnet_v2").cost()
    assert table.layers.isna()["alexnet_v2"] and table.layout["alexnet_v2"] == table.shortcut["alexnet_v2"] == ""


LAYOUTS = ("paper", "v1.5", "slim")


def test_networks_that_share_a_name_have_a_row_and_a_column_each():
    three = [get_architecture("resnet_v1_50", layout=layout) for layout in LAYOUTS]
    table = cost_table(three)
    assert list(table.index) == ["resnet_v1_50"] * 3 and list(table.layout) == list(LAYOUTS)
    assert list(table.macs) == [cost("resnet_v1_50", layout=layout).macs for layout in LAYOUTS]
    columns = depth_table(three)
    assert list(columns.columns) == ["resnet_v1_50"] * 3
    assert list(columns.loc[("MACs", "")]) == ["3.858 x 10^9", "4.089 x 10^9", "3.482 x 10^9"]
    own = [[Block("first", "basic_v2", [(depth, 1)] * units)] for depth, units in ((64, 1), (32, 2))]
    assert list(depth_table(own).loc[("conv2_x", "56x56")]) == ["3x3, 64\n3x3, 64\nx 1", "3x3, 32\n3x3, 32\nx 2"]
    assert list(cost_table(own).index) == ["resnet_v2"] * 2 and list(cost_table(own).layers) == [4, 6]


def test_one_network_needs_no_list():
    blocks = [Block("first", "basic_v2", [(64, 1)])]
    for network, name in (
        ("resnet_v2_50", "resnet_v2_50"),
        (blocks, "resnet_v2"),
        (ARCHITECTURES["plain_18"], "plain_18"),
    ):
        assert list(cost_table(network).index) == list(depth_table(network).columns) == [name]
        assert cost_table(network).equals(cost_table([network]))
        assert depth_table(network).equals(depth_table([network]))


def test_a_table_of_nothing_has_its_columns():
    assert len(cost_table([])) == 0 and list(cost_table([]).columns) == list(cost_table("plain_18").columns)
    assert cost_table([]).index.name == "network"
    assert depth_table([]).shape == (0, 0) and list(depth_table([]).index.names) == ["stage", "size"]


def test_the_depth_table_says_what_a_graph_knows_of_other_networks():
    table = depth_table(["vgg_16", "resnet_v1_18"], layout="paper")
    assert list(table.columns) == ["vgg_16", "resnet_v1_18"]
    assert list(table["vgg_16"]) == [""] * 8 + ["15.470 x 10^9"]
    assert table.loc[("MACs", "")].iloc[0] == f"{build('vgg_16').cost().macs / 1e9:.3f} x 10^9"
    assert list(table["resnet_v1_18"]) == list(depth_table("resnet_v1_18", layout="paper")["resnet_v1_18"])
    assert list(depth_table("vgg_16").index) == [("layers", ""), ("MACs", "")]


def test_groups_and_gates_are_in_their_cells():
    """Xie et al. 2017, Table 1, and Hu et al. 2018, Table 1."""
    table = depth_table(["resnext_50_32x4d", "se_resnet_50"])
    assert list(table.loc[("conv2_x", "56x56")]) == [
        "1x1, 128\n3x3, 128, C=32\n1x1, 256\nx 3",
        "1x1, 64\n3x3, 64\n1x1, 256\nfc, [16, 256]\nx 3",
    ]


def test_tables_take_every_option_of_a_network():
    options = {"channels_in": 1, "global_pool": False, "output_stride": 8, "layout": "v1.5", "shortcut": "C"}
    table = cost_table(["resnet_v1_50"], 64, 7, **options)
    assert tuple(table.iloc[0]) == (50, "v1.5", "C", *cost("resnet_v1_50", 64, 7, **options), table.weights_mb.iloc[0])
    column = depth_table(["resnet_v1_50"], 64, 7, **options)["resnet_v1_50"]
    assert column[("classifier", "8x8")] == "7-d fc, softmax"
    assert depth_table("resnet_v1_50", 64, None)["resnet_v1_50"][("classifier", "1x1")] == "average pool"
    assert cost_table("alexnet_v2", channels_in=1).params.iloc[0] < cost_table("alexnet_v2").params.iloc[0]
    with pytest.raises(TypeError, match="layouts"):
        cost_table("resnet_v1_50", layouts="paper")


@pytest.mark.parametrize("make", [cost_table, depth_table])
def test_networks_without_blocks_refuse_what_only_blocks_have(make):
    """But for a layout and a shortcut in a table with others, whose they are."""
    for options in ({"output_stride": 8}, {"chanels_in": 1}, {"layout": "paper"}, {"shortcut": "A"}):
        with pytest.raises(ValueError, match=f"{min(options)}: 'alexnet_v2' is not a list of Blocks; got "):
            make(["alexnet_v2", "alexnet_v2"], **options)
    with pytest.raises(ValueError, match="output_stride: 'alexnet_v2' is not a list of Blocks; got 8"):
        make(["alexnet_v2", "plain_18"], output_stride=8)
    assert len(make(["alexnet_v2", "plain_18"], layout="paper", shortcut="A", channels_in=1))


@pytest.mark.parametrize("make", [cost_table, depth_table])
def test_what_is_no_network_is_named(make):
    with pytest.raises(TypeError, match="architectures must be a name, .*, or a list of these, got 50"):
        make(50)
    with pytest.raises(TypeError, match="architecture must be a name, an Architecture or a list of Blocks, got None"):
        make(["resnet_v2_50", None])
