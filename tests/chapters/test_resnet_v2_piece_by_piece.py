"""What chapter 07 says of the pieces of ResNet V2: its own code, its tables and its text, by other ways."""

import ast
import re
from collections import namedtuple
from inspect import signature
from pathlib import Path

import nbformat
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tf_slim.nets import resnet_utils as their_resnet_utils
from tf_slim.nets import resnet_v2 as their_resnet_v2

from experiments import peers, torch_unit
from resnet_lib import build, cost, resnet_v2
from resnet_lib.padding_panel import padding_page
from resnet_lib.resnet_utils import Block, conv2d_same, resnet_arg_scope, stack_blocks_dense, subsample
from resnet_lib.resnet_v2 import bottleneck
from resnet_lib.tf_slim_compat import quick_building, slim, tf

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "notebooks" / "07_resnet_v2_piece_by_piece.ipynb"
INFERENCE = resnet_arg_scope(is_training=False)


@pytest.fixture(scope="module")
def cells():
    return nbformat.read(NOTEBOOK, as_version=4).cells


@pytest.fixture(scope="module")
def functions(cells):
    """The functions that the chapter defines, and BARE, as they stand there."""
    trees = (ast.parse(cell.source) for cell in cells if cell.cell_type == "code")
    kept = [n for tree in trees for n in tree.body if isinstance(n, ast.FunctionDef) or _is_bare(n)]
    namespace = {"tf": tf, "np": np, "slim": slim, "subsample": subsample, "conv2d_same": conv2d_same}
    exec(compile(ast.Module(kept, []), NOTEBOOK.stem, "exec"), namespace)
    return namespace


def _is_bare(node):
    return isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "BARE"


def printed(cells, source):
    """What the one cell that holds this source printed, or shows as text."""
    (cell,) = (cell for cell in cells if cell.cell_type == "code" and source in cell.source)
    return "".join(o.get("text", "") or o.get("data", {}).get("text/plain", "") for o in cell.outputs)


def numbers_after(text, beginning):
    """The numbers in the line that begins so; of a table that is broken into two, in the last of them."""
    line = [line for line in text.splitlines() if line.strip().startswith(beginning)][-1]
    return [float(number) for number in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", line.strip().removeprefix(beginning))]


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


# How to run a layer, and Block


def test_a_layer_called_twice_draws_new_weights_and_keeps_none(cells):
    text = printed(cells, 'for call in ("first", "second")')
    assert numbers_after(text, "first call:") != numbers_after(text, "second call:")
    assert text.endswith("variables that were kept: []\n")


def test_a_block_is_a_plain_namedtuple_and_its_dicts_are_the_tuples(cells):
    plain = namedtuple("Block", "scope unit_fn args")
    tuples = [(256, 64, 1)] * 2 + [(256, 64, 2)]
    assert set(dir(Block)) ^ set(dir(plain)) <= {"__slotnames__"}  # which copyreg leaves on a class once pickled
    assert Block("block1", None, tuples) == plain("block1", None, tuples)
    dicts = resnet_v2.resnet_v2_block("block1", 64, 3, 2)
    assert [tuple(unit.values()) for unit in dicts.args] == tuples
    assert printed(cells, "dicts = resnet_v2_block(").splitlines() == [
        f"tuples: {tuples}",
        f"dicts: {dicts.args[-1]} for the last of them",
        "tf-slim, given tuples: argument after ** must be a mapping, not tuple",
    ]


# bottleneck


def test_the_unit_was_the_librarys_to_the_last_bit(cells):
    lines = printed(cells, "def unit(x, depth, depth_bottleneck, stride)").splitlines()
    assert [line.split(": ")[1] for line in lines if line] == [
        f"{shape}, off by 0.0" for shape in ((1, 8, 8, 32), (1, 8, 8, 16), (1, 4, 4, 16))
    ]


@settings(max_examples=5, deadline=None)
@given(depth=st.sampled_from([8, 16]), middle=st.integers(1, 5), stride=st.integers(1, 3), size=st.integers(3, 9))
def test_the_unit_is_the_librarys(functions, depth, middle, stride, size):
    x = normal(2, size, size, 16, seed=size)
    mine = lambda: functions["scoped"]("unit", functions["unit"], tf.constant(x), depth, middle, stride)  # noqa: E731
    library = lambda: bottleneck(tf.constant(x), depth, middle, stride, scope="unit")  # noqa: E731
    with quick_building(), slim.arg_scope(INFERENCE):
        a, b = functions["run"](lambda: functions["same_weights"](mine, library))
    assert np.array_equal(a, b)


def unit_in_parts(depth, middle, stride, channels_in=16):
    """End points, variables and penalties of one unit; called in a graph."""
    collect = slim.arg_scope([slim.conv2d, bottleneck], outputs_collections="ends")
    with slim.arg_scope(INFERENCE), collect:
        bottleneck(tf.constant(normal(1, 8, 8, channels_in, seed=2)), depth, middle, stride, scope="unit")
    return slim.utils.convert_collection_to_dict("ends"), {v.op.name: v for v in tf.compat.v1.global_variables()}


def test_a_unit_is_its_shortcut_plus_conv3_and_only_a_new_depth_has_weights_there(functions):
    x = normal(1, 8, 8, 16, seed=2)
    for numbers, shortcut in (((16, 4, 1), x), ((16, 4, 2), x[:, ::2, ::2])):
        ends, weights = functions["run"](lambda n=numbers: unit_in_parts(*n))
        assert np.array_equal(ends["unit"], shortcut + ends["unit/conv3"])
        assert not [name for name in weights if "shortcut" in name]


def test_a_projection_is_of_the_preactivated_x(functions, cells):
    x = normal(1, 8, 8, 16, seed=2)
    ends, w = functions["run"](lambda: unit_in_parts(32, 4, 1))
    gamma, beta, mean, variance = (w[f"unit/preact/{k}"] for k in ("gamma", "beta", "moving_mean", "moving_variance"))
    preact = np.maximum((x - mean) / np.sqrt(variance + 1e-5) * gamma + beta, 0)
    of_preact, of_x = (z @ w["unit/shortcut/weights"][0, 0] + w["unit/shortcut/biases"] for z in (preact, x))
    assert np.allclose(ends["unit/shortcut"], of_preact, atol=1e-4)
    assert not np.allclose(ends["unit/shortcut"], of_x, atol=0.1)
    text = printed(cells, "sums = {")
    off = [numbers_after(text, row)[-1] for row in ("shortcut + F", "x is projected", "conv3 keeps", "a ReLU after")]
    assert off[0] == 0 and min(off[1:]) > 0.2
    assert text.count("(1, 8, 8, 32)") == 4


def test_the_penalty_is_on_for_all_four_convolutions_and_the_answer_counts_960():
    with tf.Graph().as_default():
        unit_in_parts(32, 4, 1)
        penalties = [t.name.split("/")[1] for t in tf.compat.v1.losses.get_regularization_losses()]
        trained = {v.op.name: int(np.prod(v.shape)) for v in tf.compat.v1.trainable_variables()}
        assert len(tf.compat.v1.global_variables()) == 18
    assert penalties == ["shortcut", "conv1", "conv2", "conv3"]
    of = {}
    for name, count in trained.items():
        of[name.split("/")[1]] = of.get(name.split("/")[1], 0) + count
    assert of == {"preact": 32, "shortcut": 544, "conv1": 72, "conv2": 152, "conv3": 160} and sum(of.values()) == 960


# resnet_arg_scope


def test_the_table_of_settings_is_that_of_the_two_functions(cells):
    (text,) = [cell.source for cell in cells if "| `resnet_arg_scope` | source text and library |" in cell.source]
    listed = {name: row for name, *row in re.findall(r"^\| `(\w+)` \| (\S+) \| (.+?) \|$", text, flags=re.M)}
    ours, theirs = (
        {name: p.default for name, p in signature(f).parameters.items()}
        for f in (resnet_arg_scope, their_resnet_utils.resnet_arg_scope)
    )
    assert list(listed) == list(ours)
    for name, (here, there) in listed.items():
        assert ast.literal_eval(here) == ours[name]
        assert there == "not there" if name not in theirs else ast.literal_eval(there) == theirs[name]
    assert "is_training" in signature(their_resnet_v2.resnet_v2).parameters


def test_the_texts_weight_decay_pulls_ten_times_as_hard():
    of_conv2d = slim.arg_scope_func_key(slim.conv2d)
    scopes = resnet_arg_scope(), their_resnet_utils.resnet_arg_scope()
    penalties = [scope[of_conv2d]["weights_regularizer"](tf.ones([3, 3, 4, 16])).numpy() for scope in scopes]
    assert penalties == pytest.approx([0.001 * 576 / 2, 0.0001 * 576 / 2])


def test_weights_begin_with_the_variance_of_he_et_al():
    tf.random.set_seed(0)
    drawn = resnet_arg_scope()[slim.arg_scope_func_key(slim.conv2d)]["weights_initializer"]([3, 3, 64, 64])
    assert drawn.numpy().std() == pytest.approx(np.sqrt(2 / 576), rel=0.02)


def test_a_step_keeps_0_997_of_the_stored_mean_if_its_update_is_run():
    x = 5 + 3 * normal(4, 8, 8, 4)

    def mean_after(run_update):
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            with slim.arg_scope(resnet_arg_scope(is_training=True)):
                y = slim.batch_norm(tf.constant(x))
            session.run(tf.compat.v1.global_variables_initializer())
            session.run([y, *(tf.compat.v1.get_collection("update_ops") if run_update else [])])
            return session.run(next(v for v in tf.compat.v1.global_variables() if "moving_mean" in v.name))

    assert mean_after(True) == pytest.approx(0.003 * x.mean((0, 1, 2)), rel=1e-4)
    assert not mean_after(False).any()


def test_a_forgotten_scope_builds_another_network(cells):
    text = printed(cells, "in_scope = inference[")
    table = {line[:35].strip(): line[35:].split() for line in text.splitlines()}
    assert table["size of block1/unit_1/bottleneck_v2"] == ["16x16x8", "16x16x8", "15x15x8"]
    assert table["size of block1"] == ["8x8x8"] * 3 and table["size of logits"] == ["1x1x5"] * 3
    right, forgotten, slims = map(int, table["variables"])
    assert right > forgotten == slims
    assert table["BN: is_training"] == ["False", "True", "True"] and table["BN: scale"] == ["True", "False", "False"]
    assert table["BN: decay"] == ["0.997", "0.999", "0.999"]


def test_an_answer_depends_on_its_company_only_in_training_mode(cells):
    text = printed(cells, "mixed, by_class =")
    rows = "stored averages", "batch of 250, mixed", "batches of 10, mixed", "batches of 10, sorted by class"
    stored, mixed, tens, by_class = (numbers_after(text, name)[-1] for name in rows)
    alone = numbers_after(text, "one picture at a time")[-1]
    assert abs(stored - mixed) < 2 and mixed < tens + 1 and tens < 20
    assert by_class > 60 and 80 < alone < 97


# subsample, conv2d_same


def test_subsample_is_the_slice_and_returns_its_input_itself(cells):
    x = tf.constant(np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1))
    assert subsample(x, 1) is x and np.array_equal(subsample(x, 2), x[:, ::2, ::2])
    alt = printed(cells, "square = np.arange(16")
    assert "subsample takes 0, 2, 8, 10; noise of mean 0.00 gets mean 0.00" in alt
    assert "2x2 maximum takes 5, 7, 13, 15; noise of mean 0.00 gets mean 1.03" in alt


def test_the_numbers_are_those_of_tf_slims_own_test(cells):
    reference, same, strided = printed(cells, "for name, found in outputs(").splitlines()
    assert reference.endswith("[[14, 43], [43, 84]]") and same.endswith("[[14, 43], [43, 84]]")
    assert strided.endswith("[[48, 37], [37, 22]]")


def test_only_conv2d_same_stands_on_the_kept_pixels_of_even_sizes(cells):
    alt = printed(cells, "centres = outputs(grid")
    assert "conv2d_same: rows and columns 0, 2, 4" in alt and "strided SAME: rows and columns 1, 3, 5" in alt


def test_strided_same_is_right_one_above_a_multiple_of_the_stride(functions, cells):
    for stride in (2, 3):
        for size in range(4, 10):
            right = "conv2d_same and SAME" if size % stride == 1 else "conv2d_same"
            assert functions["verdict"](size, stride) == right
    assert "by hand, off conv2d_same by 0.0" in printed(cells, "def by_hand(x)")


def test_the_panel_in_the_chapter_is_the_library_page(cells):
    (cell,) = [cell for cell in cells if cell.cell_type == "code" and "HTML(padding_page(" in cell.source]
    assert cell.outputs[0].data["text/html"] == padding_page(size=6, stride=2, kernel=3)


def test_the_answer_about_even_kernels():
    for size in range(3, 12):
        page = padding_page(size, 2, 4)
        assert "conv2d_same and TensorFlow&#x27;s SAME compute" in page
        assert ("PyTorch&#x27;s padding=k//2: another number of outputs" in page) == (size % 2 == 0)
    assert "TensorFlow&#x27;s SAME: 1 pixel too late" in padding_page(224, 2, 7)


# stack_blocks_dense, resnet_v2


BLOCKS = [Block("block1", bottleneck, [(8, 2, 1), (8, 2, 2)]), Block("block2", bottleneck, [(16, 4, 2), (16, 4, 1)])]


def test_the_two_loops_were_the_librarys(cells):
    text = printed(cells, "def stack(net, blocks)").split("\n")
    assert (
        text[0] == "(1, 4, 4, 16), off the library's by 0.0" and "block1/unit_1/bottleneck_v2/shortcut/weights" in text
    )


def test_the_dense_network_is_the_same_looked_at_more_often(functions):
    x = normal(1, 16, 16, 4)
    dense = lambda stride: stack_blocks_dense(tf.constant(x), BLOCKS, stride)  # noqa: E731
    with quick_building(), slim.arg_scope(INFERENCE):
        assert functions["variables"](lambda: dense(1)) == functions["variables"](lambda: dense(None))
        finer, nominal = functions["run"](lambda: functions["same_weights"](lambda: dense(1), lambda: dense(None)))
    assert finer.shape[1] == 16 and np.allclose(finer[:, ::4, ::4], nominal, rtol=1e-4, atol=1e-4)


def test_without_the_rate_it_is_another_network(functions):
    x = normal(1, 16, 16, 4)
    no_stride = [block._replace(args=[(d, b, 1) for d, b, _ in block.args]) for block in BLOCKS]
    with quick_building(), slim.arg_scope(INFERENCE):
        plain, nominal = functions["run"](
            lambda: functions["same_weights"](
                lambda: stack_blocks_dense(tf.constant(x), no_stride),
                lambda: stack_blocks_dense(tf.constant(x), BLOCKS),
            )
        )
    assert np.abs(plain[:, ::4, ::4] - nominal).max() > 0.1


def test_an_output_stride_of_8_costs_macs_and_no_parameters():
    dense, nominal = cost("resnet_v2_50", output_stride=8), cost("resnet_v2_50")
    assert dense.params == nominal.params and dense.macs / nominal.macs == pytest.approx(5.4, abs=0.05)


def test_root_and_head_were_the_librarys_and_all_is_tf_slims(cells):
    text = printed(cells, "def by_hand_net():")
    assert text.startswith("(2, 1, 1, 5), off the library's by 0.0\nend points: conv1 block1/unit_1/b/shortcut ")
    assert text.split("end points: ")[1].split() == [
        *("conv1 block1/unit_1/b/shortcut block1/unit_1/b/conv1 block1/unit_1/b/conv2 block1/unit_1/b/conv3".split()),
        *("block1/unit_1/b block1/unit_2/b/conv1 block1/unit_2/b/conv2 block1/unit_2/b/conv3 block1/unit_2/b".split()),
        *("block1 block2/unit_1/b/shortcut block2/unit_1/b/conv1 block2/unit_1/b/conv2 block2/unit_1/b/conv3".split()),
        *"block2/unit_1/b block2 logits".split(),
        *text.split()[-1:],  # predictions, whose name has no scope
    ]
    assert printed(cells, "differences = {") == "19 end points, the same names: True; largest difference 0.0\n"


@pytest.fixture(scope="module")
def fifty():
    """(ResNet V2-50, an image, its end points), with offsets and stored statistics that all matter."""
    network, image = build("resnet_v2_50"), normal(1, 224, 224, 3)
    rng = np.random.default_rng(3)
    for vector in (v for v in network.variables if len(v.shape) == 1):
        vector.assign_add(rng.uniform(0, 0.2, vector.shape).astype(np.float32))
    return network, image, network.end_points(image)


def test_at_full_size_it_is_what_the_text_says(fifty):
    network, _, ends = fifty
    names = [v.name.split(":")[0] for v in network.variables]
    sizes = {
        "block1/unit_2/bottleneck_v2": [56, 56, 256],
        "block1": [28, 28, 256],
        "block2": [14, 14, 512],
        "block3": [7, 7, 1024],
        "block4": [7, 7, 2048],
        "logits": [1, 1, 1000],
    }
    assert {k: ends[k].shape.as_list()[1:] for k in sizes} == sizes
    assert len(names) == 272 and sum(name.endswith("shortcut/weights") for name in names) == 4


def test_a_unit_of_stride_3_keeps_every_third_pixel():
    one_unit = [Block("block1", bottleneck, [(256, 64, 3)])]
    for size, expected in ((15, 5), (16, 6)):
        with tf.Graph().as_default():
            net, _ = resnet_v2.resnet_v2(
                tf.zeros([1, size, size, 3]), one_unit, global_pool=False, include_root_block=False
            )
        assert net.shape.as_list() == [1, expected, expected, 256]


def test_fifty_layers_are_tf_slims_and_a_single_stored_mean_is_seen(fifty):
    ours, image, ends = fifty

    def network(x):
        with slim.arg_scope(their_resnet_utils.resnet_arg_scope()):
            return their_resnet_v2.resnet_v2_50(x, num_classes=1000, is_training=False)

    with quick_building():
        theirs = tf.compat.v1.wrap_function(network, [tf.TensorSpec([None, 224, 224, 3], tf.float32)])
    value, copied = {v.name: v for v in ours.variables}, theirs.graph.get_collection("variables")
    assert [v.name for v in copied] == list(value)
    for v in copied:
        v.assign(value[v.name])

    def difference():
        b = {name.removeprefix("resnet_v2_50/"): end for name, end in theirs(tf.constant(image))[1].items()}
        assert ends.keys() == b.keys() and len(ends) == 75
        return max(float(tf.reduce_max(tf.abs(ends[name] - b[name]))) for name in ends)

    assert difference() == 0
    mean = next(v for v in copied if v.name.endswith("block3/unit_2/bottleneck_v2/conv2/BatchNorm/moving_mean:0"))
    mean.assign_add(tf.fill(mean.shape, 0.5))
    assert difference() > 1e-3


def test_avg_pool_was_the_faster_one(cells):
    text = printed(cells, "ways_to_pool = {")
    mean, pool = map(float, re.findall(r"median ([\d.]+) ms", text))
    (won,) = re.findall(r"wins (\d+) of 200 turns", text)
    assert pool < mean and int(won) < 100
    assert f"Additions an image: {7 * 7 * 2048:,}; MACs: {cost('resnet_v2_50').macs:,}" in text
    assert cost("resnet_v2_50").macs == 3_482_255_360 and -(-299 // 32) == 10


# The trained network


def test_training_makes_each_block_easier_to_read(cells):
    alt = printed(cells, "def nearest_mean_error(features)")
    trained, random = (
        [int(n) for n in re.findall(r"(\d+) %", alt.split(name)[1].split(";")[0])] for name in ("trained:", "random:")
    )
    assert len(trained) == len(random) == 5
    assert trained == sorted(trained, reverse=True) and trained[-1] < 15
    assert abs(trained[0] - random[0]) < 5 and min(random) > 50


def test_each_piece_is_worth_something(cells):
    text = printed(cells, "def max_2x2(x, factor, scope=None)")
    names = "as it should be", "strided SAME for conv2d_same", "2x2 maximum for subsample", "head without postnorm"
    right, same, maximum, headless = (numbers_after(text, name)[0] for name in names)
    assert right < same < headless < maximum and right + 1 < same
    wrong, mended = numbers_after(text, "strided SAME for conv2d_same")[-2:]
    assert same - right == pytest.approx((wrong - mended) / 10, abs=0.06)


# The bridges


def test_the_conventions_of_keras_and_nothing_else_give_its_logits(cells):
    text = printed(cells, "keras_net = ")
    right = numbers_after(text, "Keras' own conventions")[-1]
    assert right < 1e-5
    for flip in ("torchvision's preprocessing", "strides as in torchvision", "pooling as in tf-slim"):
        assert numbers_after(text, flip)[-1] > 1e-4
    assert numbers_after(text, "epsilon of tf-slim")[-1] < 1e-5
    assert cost("resnet_v2_50").params == 25_568_360


def test_keras_pads_with_zeros_that_can_win():
    """As tf.keras.applications.ResNet50V2 has it; tests/library/test_weights.py holds its files against its logits."""
    negative = tf.constant(np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1) - 16)
    padded = tf.nn.max_pool2d(tf.pad(negative, [[0, 0], [1, 1], [1, 1], [0, 0]]), 3, 2, "VALID")
    assert padded[0, :, :, 0].numpy().tolist() == [[0, 0], [0, -1]]
    assert tf.nn.max_pool2d(negative, 3, 2, "SAME")[0, :, :, 0].numpy().tolist() == [[-6, -5], [-2, -1]]


def sequences(source):
    """Attribute -> the layers of its nn.Sequential in the printed unit, each as (class, its arguments)."""
    found = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            target = node.targets[0].attr if isinstance(node.targets[0], ast.Attribute) else None
            if getattr(node.value.func, "attr", None) == "Sequential":
                layers = [(layer.func.attr, list(map(ast.unparse, layer.args))) for layer in node.value.args]
                found[target] = layers
            elif target:
                found[target] = (node.value.func.attr, list(map(ast.unparse, node.value.args)))
    return found


def test_the_names_of_the_table_are_those_of_the_printed_unit_and_cover_the_librarys():
    source, names = torch_unit.printed_unit(), torch_unit.printed_names()
    assert len(source.strip().splitlines()) <= 24 and "import" not in source.replace("from torch import nn", "")
    layers = sequences(source)
    for theirs, ours in names.items():
        attribute, _, index = theirs.partition(".")
        kind, arguments = layers[attribute][int(index)] if index else layers[attribute]
        if ours.endswith(("preact", "BatchNorm")):
            assert kind == "BatchNorm2d"
        else:
            assert kind == "Conv2d" and arguments[2] == ("3" if ours == "conv2" else "1")
    _, values = torch_unit.library_unit(16, (32, 4, 2), 8)
    state = torch_unit.torch_state(values, names)
    assert len(state) == len(values) and {v.size for v in state.values()} == {v.size for v in values.values()}
    assert state["residual.3.weight"].shape == (4, 4, 3, 3)
    assert np.array_equal(state["residual.0.weight"][2, 5, 0, 0], values["conv1/weights"][0, 0, 5, 2])


def test_the_names_of_keras_are_those_of_the_port(cells):
    (text,) = [cell.source for cell in cells if "| tf-slim | PyTorch, above | Keras |" in cell.source]
    rows = re.findall(r"^\| `([\w/]+)` \| `[\w.]+` \| `(\w+)` \|$", text, flags=re.M)
    assert {keras: ours for ours, keras in rows} == peers._SCOPES
