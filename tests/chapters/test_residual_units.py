"""What chapter 03 says of residual units: its own code, its tables, and what stands in its text, by other ways."""

import ast
import re
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_lib import ARCHITECTURES, Architecture, Block, build, cost, data, trace
from resnet_lib.tf_slim_compat import tf
from resnet_lib.units import as_unit, unit_kind

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def cells():
    return nbformat.read(ROOT / "notebooks" / "03_residual_units.ipynb", as_version=4).cells


@pytest.fixture(scope="module")
def functions(cells):
    """The functions that the chapter defines, as they stand there."""
    trees = (ast.parse(cell.source) for cell in cells if cell.cell_type == "code")
    defined = [node for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef)]
    namespace = {"tf": tf, "np": np, "Block": Block, "Architecture": Architecture, "build": build}
    exec(compile(ast.Module(defined, []), "03_residual_units", "exec"), namespace)
    return namespace


def printed(cells, source):
    """What the one cell that holds this source printed, or shows as text."""
    (cell,) = (cell for cell in cells if cell.cell_type == "code" and source in cell.source)
    return "".join(o.get("text", "") or o.get("data", {}).get("text/plain", "") for o in cell.outputs)


def table(cells, source):
    """The first word of each line -> its numbers."""
    rows = [re.sub(r"[,%]", "", line).split() for line in printed(cells, source).splitlines()]
    return {row[0]: [float(word) for word in row[1:] if re.fullmatch(r"-?[\d.]+", word)] for row in rows if row}


def one_unit(kind, unit, channels_in, size=8, **options):
    net = Architecture("net", (Block("block1", kind, (unit,)),), None, **options)
    return build(net, size, num_classes=None, channels_in=channels_in, global_pool=False)


def ends_of(net, x):
    """What one unit's layers put out, by the end of their names; the unit itself by its kind."""
    return {name.split("/")[-1]: value.numpy() for name, value in net.end_points(x).items()}


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def layers_of(kind, unit, channels_in, shortcut="B", size=8):
    net = Architecture("net", (Block("block1", kind, (unit,)),), None, shortcut)
    layers = trace(net, size, None, channels_in=channels_in, global_pool=False)
    return [layer for layer in layers if "/" in layer.name]


def weights(kind, unit, channels_in, shortcut="B"):
    """Weights of all convolutions of a unit: its MACs on a map of one position."""
    return sum(layer.macs for layer in layers_of(kind, unit, channels_in, shortcut, size=1))


# The unit in code


def test_the_units_in_code_were_the_librarys_up_to_rounding(cells):
    for source in ("mine = unit_v2(x, w2)", "mine_v1 = unit_v1("):
        words, _, difference = printed(cells, source).rpartition(" ")
        assert words == "largest difference from the library's unit:" and float(difference) < 1e-5


@settings(max_examples=10, deadline=None)
@given(version=st.sampled_from([1, 2]), seed=st.integers(0, 999), depth=st.integers(1, 9))
def test_the_units_in_code_are_the_librarys(functions, version, seed, depth):
    kind, x = f"basic_v{version}", numbers(2, 8, 8, depth, seed=seed)
    net = one_unit(kind, (depth, 1), depth)
    random = np.random.default_rng(seed)
    for variable in net.variables:
        variable.assign(random.uniform(0.3, 1.5, variable.shape))
    mine = functions[f"unit_v{version}"](x, functions["weights_of"](net, kind))
    np.testing.assert_allclose(mine, ends_of(net, x)[kind], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind, expected", [("basic_v1", "relu(x)"), ("basic_v2", "x")])
def test_a_closed_unit_hands_on_x_and_a_plain_one_nothing(functions, cells, kind, expected):
    x = numbers(2, 8, 8, 5)
    net, plain = one_unit(kind, (5, 1), 5), one_unit(kind, (5, 1), 5, shortcut="none")
    for variable in (v for n in (net, plain) for v in n.variables if "conv2/weights" in v.name):
        variable.assign(0 * variable)
    assert np.array_equal(ends_of(net, x)[kind], np.maximum(x, 0) if expected == "relu(x)" else x)
    assert not ends_of(plain, x)[kind].any()
    shown = table(cells, "def closed(network, kind)")
    assert shown["V2"] == shown["x"] and shown["V1"] == [max(value, 0) for value in shown["x"]] != shown["x"]


def test_a_plain_unit_has_more_than_one_identity():
    """Of x >= 0: a one in the middle from a channel to itself, or to another and back, three times and a third."""
    x, order = np.abs(numbers(2, 8, 8, 6)), np.random.default_rng(0).permutation(6)
    net = one_unit("basic_v1", (6, 1), 6, shortcut="none")
    first, second = (v for v in net.trainable_variables if v.name.endswith("weights:0"))
    for there, back in [(np.eye(6), np.eye(6)), (3 * np.eye(6)[:, order], np.eye(6)[order] / 3)]:
        for variable, matrix in ((first, there), (second, back)):
            kernel = np.zeros((3, 3, 6, 6))
            kernel[1, 1] = matrix
            variable.assign(kernel)
        np.testing.assert_allclose(ends_of(net, x)["basic_v1"], x, rtol=1e-4)


def test_a_response_begins_at_one_where_a_batch_norm_follows():
    fresh = pd.read_csv(data.path("bank_layers.csv")).query("steps == 0 and layers == 20 and layer < 20")
    normalized = fresh[(fresh["family"] != "v2") | (fresh["layer"] % 2 == 0)]
    assert len(normalized) > 40 and (normalized["response_std"] - 1).abs().max() < 0.01


def test_what_is_said_of_responses_and_of_the_size_of_f():
    """Where a BN follows, a response stays near 1, but not in 110 plain layers, which learn nothing;
    |F| / |x| falls with depth."""
    run = pd.read_csv(data.path("bank_layers.csv")).query("layer < layers and steps == 780")
    medians = run.groupby(["family", "layers"])["response_std"].median()
    assert {20, 56, 110} == {*medians["plain"].index} == {*medians["residual"].index} == {*medians["v2"].index}
    assert ((medians.drop(("plain", 110)) - 1).abs() < 0.02).all()
    first_ten = run[run["layer"] <= 10].groupby(["family", "layers"])["response_std"].mean()
    of_56 = run.query("layers == 56").groupby(["family", "layer"])["response_std"].median()
    assert (of_56["plain"] / of_56["residual"])[1:7].between(1.19, 1.52).all()
    of_v1 = run.query("family == 'residual'").groupby("layers")["response_std"].mean()
    assert of_v1[110] > 1.2 > 1 > of_v1[56]
    steps = pd.read_csv(data.path("bank_layers.csv")).query("family == 'plain' and layers == 110 and layer == 1")
    assert steps.set_index("steps")["response_std"].round()[[0, 1]].tolist() == [1, 314]
    assert first_ten["plain", 110] > 1000 and 1 < run.query("family == 'residual'")["response_std"].max() < 9
    units = pd.read_csv(data.path("bank_units.csv")).query("steps in (0, 780)")
    ratio = units.groupby(["family", "steps", "layers"])["residual_ratio"].median()
    for family, steps in (("residual", 0), ("residual", 780), ("v2", 0)):
        assert ratio[family, steps, 56] < 0.75 * ratio[family, steps, 20]
        assert ratio[family, steps, 110] < 0.8 * ratio[family, steps, 56]


# Two layers or three


@given(b=st.integers(1, 300))
def test_a_bottleneck_is_17_where_a_pair_is_18(b):
    bottleneck, pair = ("bottleneck_v1", (4 * b, b, 1), 4 * b), ("basic_v1", (b, 1), b)
    assert (weights(*bottleneck), weights(*pair)) == (17 * b**2, 18 * b**2)
    assert weights("basic_v1", (4 * b, 1), 4 * b) == 288 * b**2
    assert weights(*bottleneck, "C") - weights(*bottleneck) == 16 * b**2
    assert weights(*pair, "C") - weights(*pair) == b**2
    assert [layers_of(*unit)[-1].receptive_field for unit in (bottleneck, pair)] == [3, 5]


def test_every_unit_of_the_library_is_one_of_the_two():
    """Chapter 03: two 3x3 of equal channels, or 1x1, 3x3, 1x1; and 15 of the 16 units of ResNet-50 reduce."""
    units = [unit for net in ARCHITECTURES.values() for block in net.blocks for unit in block.args]
    for convolutions in {tuple(unit): unit.convolutions() for unit in units}.values():
        assert [convolution.kernel for convolution in convolutions] in ([3, 3], [1, 3, 1])
        assert convolutions[0].channels == convolutions[1].channels
    channels, kinds = 64, []
    for unit in (unit for block in ARCHITECTURES["resnet_v1_50"].blocks for unit in block.args):
        kinds.append((channels // unit.depth_bottleneck, channels == unit.depth))
        channels = unit.depth
    assert kinds.count((4, True)) == 12 and kinds.count((2, False)) == 3 and kinds[0] == (1, False)


def test_a_1x1_convolution_may_change_places_with_the_mean(cells):
    x, matrix = numbers(3, 7, 7, 64), numbers(1, 1, 64, 10, seed=1)
    each = tf.nn.conv2d(x, matrix, 1, "SAME")
    np.testing.assert_allclose(each, x @ matrix[0, 0], atol=1e-4)
    np.testing.assert_allclose(np.mean(each, axis=(1, 2)), x.mean(axis=(1, 2)) @ matrix[0, 0], atol=1e-5)
    shown = printed(cells, "straight = ")
    apart, largest = re.search(r"logit: (\S+) apart, of up to (\d+)\n", shown).groups()
    assert float(apart) < 1e-6 * float(largest)
    one, three = (int(share) for share in re.findall(r"by (\d+)%", shown))
    assert one == 0 and three > 20  # a trained 3x3 does see what stands above and below


# Shortcuts


@pytest.mark.parametrize(
    "shortcut, model, projections, params, macs, error",
    [
        ("none", "plain-34", 0, 21_623_848, 3_644_493_824, 28.54),
        ("A", "ResNet-34 A", 0, 21_623_848, 3_644_493_824, 25.03),
        ("B", "ResNet-34 B", 3, 21_797_672, 3_663_761_408, 24.52),
        ("C", "ResNet-34 C", 16, 22_716_840, 3_830_747_136, 24.19),
    ],
)
def test_what_a_shortcut_costs_and_brings(cells, shortcut, model, projections, params, macs, error):
    net = build("resnet_v1_34", image_size=32, shortcut=shortcut)
    built = [v for v in net.trainable_variables if "shortcut/weights" in v.name]
    assert len(built) == projections and sum(int(np.prod(v.shape)) for v in net.trainable_variables) == params
    assert cost("resnet_v1_34", shortcut=shortcut)[:2] == (params, macs)
    published = data.published("imagenet_accuracy").query("source.str.endswith('1512.03385 Table 3')")
    assert float(published.set_index("model")["top1"][model]) == error
    assert table(cells, 'columns = ["projections", "parameters"')[shortcut] == [projections, params, macs, error]


def test_zeros_leave_half_of_the_new_channels_without_a_shortcut():
    x = numbers(2, 8, 8, 6)
    ends = ends_of(one_unit("basic_v2", (12, 2), 6, shortcut="A"), x)
    assert np.array_equal(ends["basic_v2"][..., :6], x[:, ::2, ::2] + ends["conv2"][..., :6])
    assert np.array_equal(ends["basic_v2"][..., 6:], ends["conv2"][..., 6:])
    with pytest.raises(ValueError, match="pads channels with zeros and cannot turn 6 channels into 3"):
        one_unit("basic_v2", (3, 1), 6, shortcut="A")


@pytest.mark.parametrize("stride_in", ["1x1", "3x3"])
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_stride_in_the_first_1x1_reads_a_quarter(stride_in, version):
    x, kind = np.abs(numbers(2, 9, 9, 6)), f"bottleneck_{version}"
    erased = np.zeros_like(x)
    erased[:, ::2, ::2] = x[:, ::2, ::2]
    net = one_unit(kind, (12, 3, 2), 6, size=9, stride_in=stride_in)
    before, after = ends_of(net, x), ends_of(net, erased)
    assert np.array_equal(before["shortcut"], after["shortcut"])
    assert np.array_equal(before[kind], after[kind]) == (stride_in == "1x1")


def test_in_tf_slims_layout_one_unit_subsamples_and_the_next_projects():
    beside = {
        layer.name.split("/bottleneck")[0]: layer for layer in trace("resnet_v2_50") if layer.name.endswith("/shortcut")
    }
    found = {unit: (layer.kind, layer.stride) for unit, layer in beside.items()}
    assert found == {
        **{f"block{i}/unit_1": ("conv", 1) for i in (1, 2, 3, 4)},
        **{f"block{i}/unit_{n}": ("max_pool", 2) for i, n in ((1, 3), (2, 4), (3, 6))},
    }


def test_c_nearly_doubles_a_bottleneck_and_its_networks_by_half_and_more(cells):
    assert (
        round(weights("bottleneck_v1", (256, 64, 1), 256, "C") / weights("bottleneck_v1", (256, 64, 1), 256), 2) == 1.94
    )
    rows = table(cells, "growth = {}")
    assert [rows[f"ResNet-{n}"][2] for n in (50, 101, 152)] == [1.57, 1.73, 1.78] and rows["ResNet-34"][2] == 1.04


def test_v2_projects_what_is_normalized_and_activated(functions):
    x = numbers(2, 8, 8, 6)
    for version in (1, 2):
        kind = f"basic_v{version}"
        net = one_unit(kind, (12, 1), 6)
        for variable in net.variables:
            variable.assign(np.random.default_rng(1).uniform(0.3, 1.5, variable.shape))
        w = functions["weights_of"](net, kind)
        if version == 1:
            expected = functions["norm"](functions["conv"](x, w, "shortcut"), w, "shortcut/BatchNorm")
        else:
            expected = (
                functions["conv"](tf.nn.relu(functions["norm"](x, w, "preact")), w, "shortcut") + w["shortcut/biases"]
            )
        np.testing.assert_allclose(ends_of(net, x)["shortcut"], expected, rtol=1e-5, atol=1e-5)


# The exercises


@pytest.mark.parametrize(
    "kind, unit, channels_in, shortcut, expected",
    [
        ("bottleneck_v1", (512, 128, 1), 512, "B", 278_528),
        ("bottleneck_v1", (512, 128, 1), 512, "C", 540_672),
        ("bottleneck_v1", (512, 128, 1), 256, "B", 376_832),
        ("bottleneck_v1", (512, 128, 1), 256, "C", 376_832),
        ("grouped_bottleneck_v1", (256, 128, 1, 32), 256, "B", 70_144),
    ],
)
def test_the_answers_by_hand(cells, kind, unit, channels_in, shortcut, expected):
    assert weights(kind, unit, channels_in, shortcut) == expected
    on_the_path, reads = 0, channels_in
    for convolution in as_unit(unit, unit_kind(kind).shape).convolutions():
        on_the_path += convolution.kernel**2 * reads // convolution.groups * convolution.channels
        reads = convolution.channels
    beside = channels_in * unit[0] if shortcut == "C" or channels_in != unit[0] else 0
    assert on_the_path + beside == expected
    answers = "".join(cell.source for cell in cells if cell.cell_type == "markdown").split("## Worked answers")[1]
    assert f"{expected:,}" in answers.replace("{,}", ",")


@pytest.mark.parametrize(
    "kind, zeroed, learn",
    [
        ("basic_v1", "conv2/BatchNorm/gamma", "conv2/BatchNorm/gamma, conv2/BatchNorm/beta"),
        ("basic_v2", "conv1/BatchNorm/gamma", "conv2/biases"),
        ("basic_v2", "conv2/weights", "conv2/weights, conv2/biases"),
    ],
)
def test_what_learns_in_a_unit_that_begins_as_the_identity(cells, functions, kind, zeroed, learn):
    x, mix = np.abs(numbers(2, 8, 8, 6)), numbers(2, 8, 8, 6, seed=1)
    net = one_unit(kind, (6, 1), 6)
    named = {name: v for name, v in functions["weights_of"](net, kind).items() if v.trainable}
    named[zeroed].assign(0 * named[zeroed])
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(net.end_points(x)[f"block1/unit_1/{kind}"] * mix)
    assert np.array_equal(ends_of(net, x)[kind], x)
    gradients = zip(named, tape.gradient(total, list(named.values())), strict=True)
    assert ", ".join(name for name, gradient in gradients if gradient is not None and np.any(gradient)) == learn
    assert f"{kind}, {zeroed} = 0: {learn} can learn\n" in printed(cells, "named[zeroed].assign")


def test_zeros_in_place_of_projections_save_what_the_answer_says():
    saved = {n: cost(f"resnet_v1_{n}").params - cost(f"resnet_v1_{n}", shortcut="A").params for n in (50, 34)}
    assert saved == {50: 2_776_576, 34: 173_824}
    assert round(saved[50] / cost("resnet_v1_50").params, 2) == 0.11 and saved[34] / cost("resnet_v1_34").params < 0.01
