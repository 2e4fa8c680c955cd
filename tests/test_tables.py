import pytest

from resnet_lib import Block, cost, cost_table, depth_table

# The rows of the source text for 50, 101 and 152 layers: (convolutions of a unit, units in each network).
SOURCE_TEXT = {
    "conv2_x": ("56x56", "1x1, 64\n3x3, 64\n1x1, 256", (3, 3, 3)),
    "conv3_x": ("28x28", "1x1, 128\n3x3, 128\n1x1, 512", (4, 4, 8)),
    "conv4_x": ("14x14", "1x1, 256\n3x3, 256\n1x1, 1024", (6, 23, 36)),
    "conv5_x": ("7x7", "1x1, 512\n3x3, 512\n1x1, 2048", (3, 3, 3)),
}


def test_depth_table_is_the_source_texts_cell_by_cell():
    table = depth_table(["resnet_v2_50", "resnet_v2_101", "resnet_v2_152"])
    for stage, (size, convolutions, units) in SOURCE_TEXT.items():
        assert list(table.loc[(stage, size)]) == [f"{convolutions}\nx {n}" for n in units]
    assert set(table.loc[("conv1", "112x112")]) == {"7x7, 64, stride 2"}
    assert set(table.loc[("pool1", "56x56")]) == {"3x3 max pool, stride 2"}
    assert set(table.loc[("classifier", "1x1")]) == {"average pool, 1000-d fc, softmax"}
    assert list(table.loc[("layers", "")]) == ["50", "101", "152"]
    assert list(table.loc[("MACs", "")]) == ["3.5 x 10^9", "7.2 x 10^9", "10.9 x 10^9"]


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
    for name, row in table.iterrows():
        assert (row.params, row.macs, row.activations) == cost(name)
    assert table.loc["resnet_v2_50", "weights_mb"] == pytest.approx(102.27344)
