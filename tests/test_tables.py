import pytest

from resnet_lib import ARCHITECTURES, Block, cost, cost_table, depth_table
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
        ("conv1", "32x32"), ("conv2_x", "32x32"), ("conv3_x", "16x16"), ("conv4_x", "8x8"), ("classifier", "1x1"),
        ("layers", ""), ("MACs", ""),
    ]  # fmt: skip
    assert list(table["plain_cifar_20"]) == list(table["resnet_v1_cifar_20"])  # a table does not show shortcuts
    assert table.iloc[0, 0] == "3x3, 16" and table.loc[("conv4_x", "8x8")].iloc[0] == "3x3, 64\n3x3, 64\nx 3"
    assert table.loc[("classifier", "1x1")].iloc[0] == "average pool, 10-d fc, softmax"


def test_depth_table_of_ones_own_blocks_keeps_the_rows_in_order():
    own = [Block("first", "bottleneck_v2", [(64, 16, 1), (64, 16, 2), (128, 32, 1)])]
    table = depth_table(["resnet_v2_50", own], image_size=64)
    assert list(table.index.get_level_values("stage")) == [
        "conv1", "pool1", "conv2_x", "conv3_x", "conv4_x", "conv5_x", "classifier", "layers", "MACs",
    ]  # fmt: skip
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
