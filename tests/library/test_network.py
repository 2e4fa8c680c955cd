import copy
import errno
import functools
import json
import os
import pickle
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slim_networks import randomize
from tensorflow.python.eager import context

from resnet_lib import (
    ARCHITECTURES,
    Architecture,
    Block,
    Root,
    build,
    cost,
    engines,
    explore,
    other_nets,
    tf_slim_compat,
    weights,
)
from resnet_lib.engines import ENGINES
from resnet_lib.graph_cost import graph_cost
from resnet_lib.network import network_function
from resnet_lib.other_nets import OTHER_NETS
from resnet_lib.tf_slim_compat import quick_building, slim, tf
from resnet_lib.units import COUNTED_KINDS, SHORTCUTS, unit_kind

BLOCKS = [Block("block1", "bottleneck_v2", [(8, 2, 1), (8, 2, 2)]), Block("block2", "bottleneck_v2", [(16, 4, 1)])]


@pytest.fixture(scope="module")
def network():
    return build(BLOCKS, image_size=32, num_classes=5)


def images(*shape):
    return np.random.default_rng(0).uniform(size=shape)


@functools.cache
def graph_counts(architecture):
    """(params, MACs, activations) of a network's graph, and of the second unit of each of its blocks."""
    with tf.Graph().as_default() as graph, quick_building():
        size = architecture.image_size
        inputs = tf.compat.v1.placeholder(tf.float32, [None, size, size, 3])
        network_function(architecture)(inputs)
    counted, units = graph_cost(graph), []
    for block in architecture.blocks:
        place = f"{architecture.name}/{block.scope}/unit_2/"
        ops = [op for op in counted.ops if op.name.startswith(place)]
        variables = [v for v in graph.get_collection("trainable_variables") if v.name.startswith(place)]
        params = sum(np.prod(variable.shape) for variable in variables)
        units.append((params, sum(op.macs for op in ops), sum(op.activations for op in ops)))
    return counted[:3], units


# One of each kind of unit. V1 and V2 of 50 layers run beside tf-slim's and Keras', and wide units are the same, wider.
RUN = ["plain_18", "resnext_50_32x4d", "se_resnet_50", "resnet_v2_18", "plain_cifar_20", "resnet_v1_cifar_20"]


@pytest.mark.parametrize("name", RUN)
def test_named_networks_of_every_family_run_and_their_graph_costs_what_the_closed_form_says(name):
    network = build(name)
    size, classes = ARCHITECTURES[name].image_size, ARCHITECTURES[name].num_classes
    logits = network(images(1, size, size, 3))
    assert logits.shape == (1, 1, 1, classes) and np.isfinite(logits).all() and np.std(logits) > 0
    assert graph_cost(network)[:3] == network.cost() == cost(name)


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name not in RUN])
def test_every_other_named_networks_graph_costs_what_the_closed_form_says(name):
    """The units of a block between its first and its last are alike, so a graph that holds one of them tells what the others
    add; 1202 layers are 90 seconds to build and run. Where the last is one of them too, it is left out."""
    short, more = [], []
    for block in ARCHITECTURES[name].blocks:
        first, *between, last = block.args
        assert len(set(between)) <= 1
        kept = [first, last] if last in between else [*block.args[:2], *block.args[2:][-1:]]
        short.append(block._replace(args=tuple(kept)))
        more.append(len(block.args) - len(kept))
    counted, units = graph_counts(replace(ARCHITECTURES[name], name="net", blocks=tuple(short)))
    added = [sum(n * count for n, count in zip(more, counts, strict=True)) for counts in zip(*units, strict=True)]
    assert tuple(c + a for c, a in zip(counted, added, strict=True)) == cost(name)


# Trainable parameters and MACs. VGG's are torchvision's to the digit. tf-slim's Inception trains no gamma, and V3 has its
# auxiliary classifier here; its AlexNet is the one-tower version of 2014. Inception V4 and the Inception-ResNets are counted
# and run in test_inception.py.
OTHER_COUNTS = {
    "alexnet_v2": (50_303_912, 736_555_776),
    "vgg_16": (138_357_544, 15_470_264_320),
    "vgg_19": (143_667_240, 19_632_062_464),
    "inception_v1": (6_617_624, 1_498_376_192),
    "inception_v3": (27_143_152, 5_718_899_296),
}


@pytest.mark.parametrize("name", ["vgg_16", "vgg_19"])
def test_networks_without_blocks_cost_what_is_published(name):
    """As they do where they are built: cost builds their graph, too."""
    assert cost(name)[:2] == OTHER_COUNTS[name]


@pytest.mark.parametrize("name", ["alexnet_v2", "inception_v1", "inception_v3"])
def test_networks_without_blocks_are_built_counted_and_run(name):
    size = OTHER_NETS[name].image_size
    network = build(name)
    assert network.cost()[:2] == OTHER_COUNTS[name] and network.input_shape == (None, size, size, 3)
    assert network.graph.get_collection("regularization_losses") == []  # built for inference
    logits = network(images(1, size, size, 3))
    assert logits.shape == (1, 1, 1, 1000) and np.isfinite(logits).all() and np.std(logits) > 0
    assert any(key.startswith(("conv1", "Conv2d_1a")) for key in network.end_points(images(1, size, size, 3)))
    with pytest.raises(ValueError, match=f"{name!r} is not a list of Blocks"):
        network.trace()
    with pytest.raises(ValueError, match=f"{name!r} is not a list of Blocks, so it has no units to rewire"):
        network.rewired({})


@pytest.mark.parametrize("name", OTHER_NETS)
def test_what_networks_without_blocks_cannot_be_built_for_is_named(name):
    smallest = OTHER_NETS[name].smallest
    with pytest.raises(
        ValueError, match=f"image_size: {name!r} takes images of {smallest}x{smallest} or more, got {smallest - 1}"
    ):
        build(name, smallest - 1)
    if OTHER_NETS[name].of_tf_slim:
        with pytest.raises(ValueError, match=f"num_classes: {name!r} .* needs a number of classes, got None"):
            cost(name, num_classes=None)


@pytest.mark.parametrize("name", ["alexnet_v2", "vgg_16", "inception_v1", "inception_v3"])
def test_the_smallest_images_are_enough_and_smaller_ones_are_not(name, monkeypatch):
    """Without batch norms, which change no size."""
    net = OTHER_NETS[name]
    module = import_module(net.module)
    scope = getattr(module, net.arg_scope)()
    with slim.arg_scope(scope), slim.arg_scope([slim.conv2d], normalizer_fn=None) as without_norms:
        monkeypatch.setattr(module, net.arg_scope, lambda: without_norms)

    def logits_of(size):
        with tf.Graph().as_default(), quick_building():
            images = tf.compat.v1.placeholder(tf.float32, [None, size, size, 3])
            return other_nets.function(name, 10)(images)[0]

    assert logits_of(net.smallest).shape.as_list() == [None, 1, 1, 10]
    with pytest.raises(ValueError, match="Negative dimension|at least"):
        logits_of(net.smallest - 1)


def test_options_of_blocks_do_not_fit_networks_without_them():
    with pytest.raises(ValueError, match="layout: 'vgg_16' is not a list of Blocks; got 'paper'"):
        build("vgg_16", layout="paper")
    with pytest.raises(ValueError, match="output_stride: 'inception_v3' is not a list of Blocks"):
        build("inception_v3", output_stride=16)


def test_layout_and_shortcut_reach_the_network():
    network = build("resnet_v1_18", 64, 5, shortcut="C", layout="slim")
    assert network.architecture.shortcut == "C" and network.architecture.layout == "slim"
    assert network.cost() == cost("resnet_v1_18", 64, 5, shortcut="C", layout="slim")
    assert sum("shortcut/weights" in variable.name for variable in network.variables) == 8


def test_a_network_is_called_on_arrays_and_tensors_alike(network):
    x = images(2, 32, 32, 3)
    logits = network(x)
    assert logits.shape == (2, 1, 1, 5)
    assert np.array_equal(logits, network(tf.constant(x, tf.float32)))
    assert np.array_equal(network((255 * x).astype(np.uint8)), network((255 * x).astype(np.uint8).astype(np.float64)))
    assert not np.allclose(logits[0], logits[1])


def test_end_points_carry_names_without_the_scope(network):
    end_points = network.end_points(images(1, 32, 32, 3))
    assert end_points["block1"].shape == (1, 4, 4, 8)
    np.testing.assert_allclose(end_points["logits"], network(images(1, 32, 32, 3)), rtol=1e-6)
    np.testing.assert_allclose(np.sum(end_points["predictions"]), 1, rtol=1e-6)


def test_variables_are_tf_slims_in_order_of_creation(network):
    names = [variable.name for variable in network.variables]
    assert names[:2] == ["resnet_v2/conv1/weights:0", "resnet_v2/conv1/biases:0"]
    assert "resnet_v2/block1/unit_1/bottleneck_v2/conv1/BatchNorm/moving_mean:0" in names
    assert {v.name for v in network.trainable_variables} == {name for name in names if "moving" not in name}
    assert sum(np.prod(v.shape) for v in network.trainable_variables) == network.cost().params


def test_the_penalty_is_in_the_graph_only_where_it_is_asked_for(network):
    def penalties(**options):
        with tf.Graph().as_default():
            network_function(network.architecture, **options)(tf.zeros([1, 32, 32, 3]))
            return len(tf.compat.v1.losses.get_regularization_losses())

    convolutions = sum(variable.name.endswith("weights:0") for variable in network.variables)
    assert (penalties(), penalties(weight_decay=0.0)) == (convolutions, 0)
    rewired = network.rewired({"block1": [1, 2]})
    assert network.graph.get_collection("regularization_losses") == []
    assert rewired.graph.get_collection("regularization_losses") == []


def test_the_seed_makes_the_weights(network):
    same, other = build(BLOCKS, 48, 5, seed=0), build(BLOCKS, 32, 5, seed=1)
    assert all(np.array_equal(a, b) for a, b in zip(network.variables, same.variables, strict=True))
    assert not np.array_equal(network.variables[0], other.variables[0])


def test_weights_have_the_variance_of_he_et_al(network):
    """2 / fan_in, which for the 7x7 convolution of 3 channels is 2 / 147; 9,408 weights know it to 1.5 %."""
    assert np.var(network.variables[0]) == pytest.approx(2 / 147, rel=0.06)


def test_building_twice_gives_two_networks(network):
    again = build(BLOCKS, 32, 5)
    again.variables[0].assign(0 * again.variables[0])
    assert not np.array_equal(network(images(1, 32, 32, 3)), again(images(1, 32, 32, 3)))


def test_changed_weights_change_the_output():
    network, x = build(BLOCKS, 32, 5), images(1, 32, 32, 3)
    network.variables[-1].assign([1.0, 2, 3, 4, 5])
    before = network(x)
    network.variables[-1].assign([2.0, 3, 4, 5, 6])
    np.testing.assert_allclose(network(x) - before, np.ones([1, 1, 1, 5]), rtol=1e-5)


def test_any_image_size_and_features():
    network = build(BLOCKS, image_size=None, num_classes=None, global_pool=False, channels_in=1)
    assert network.input_shape == (None, None, None, 1)
    assert network(images(1, 33, 20, 1)).shape == (1, 5, 3, 16)
    for engine in (None, *ENGINES):
        with pytest.raises(ValueError, match=r"images must have a pixel at least, got the shape \[2, 0, 20, 1\]"):
            (network.freeze(engine=engine) if engine else network)(images(2, 0, 20, 1))
    for count in (network.cost, network.trace):
        with pytest.raises(ValueError, match="^network must be built with an image_size to be counted, got one for"):
            count()


@settings(max_examples=5, deadline=None)
@given(
    version=st.sampled_from([1, 2]),
    kinds=st.data(),
    shortcut=st.sampled_from(SHORTCUTS),
    stride=st.integers(2, 3),
    size=st.tuples(st.integers(1, 19), st.integers(1, 19)),
)
def test_without_unread_pixels_it_is_the_same_function(version, kinds, shortcut, stride, size):
    """Of blocks of three kinds, the second and third with a stride."""
    arguments = {"depth": 8, "depth_bottleneck": 4, "groups": 2}
    named = [kind for kind in COUNTED_KINDS if kind.startswith(("bottleneck", "grouped"))]
    three = st.lists(
        st.sampled_from([kind for kind in named if unit_kind(kind).version == version]), min_size=3, max_size=3
    )

    def unit(kind, stride):
        return tuple((arguments | {"stride": stride})[field] for field in unit_kind(kind).shape._fields)

    blocks = [
        Block(f"block{i}", kind, [unit(kind, stride if i else 1), unit(kind, 1)][: 1 + (i == 1)])
        for i, kind in enumerate(kinds.draw(three))
    ]
    net = build(Architecture("net", blocks, None, shortcut, "1x1"), size, 5, channels_in=8)
    randomize({variable.name.split(":")[0]: variable for variable in net.variables})
    lean, x = net.without_unread_pixels(), images(2, *size, 8)
    assert lean.architecture.stride_in == "3x3" and lean.variables == net.variables
    np.testing.assert_allclose(lean(x), net(x), rtol=1e-4, atol=1e-5)
    if max(size) > 1:
        assert lean.cost().macs < net.cost().macs


def test_what_is_frozen_and_exported_in_the_papers_layout_computes_less(tmp_path):
    short = [block._replace(args=block.args[:2]) for block in ARCHITECTURES["resnet_v1_50"].variant("paper").blocks[:2]]
    net = build(Architecture("net", short, stride_in="1x1"), 32)
    randomize({variable.name.split(":")[0]: variable for variable in net.variables})
    x, frozen = images(1, 32, 32, 3), net.freeze()
    np.testing.assert_allclose(frozen(x), net(x), rtol=1e-3, atol=1e-4)
    lean = cost(net.architecture.variant("slim"))
    assert frozen.cost() == lean and net.cost().macs > 1.1 * lean.macs
    net.export_saved_model(tmp_path / "saved")
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    assert graph_cost(loaded.signatures["serving_default"]).macs == lean.macs
    net.export_stablehlo(tmp_path / "hlo", batch_size=1)
    assert json.loads((tmp_path / "hlo" / "arguments.json").read_text())["macs"] == lean.macs


def test_a_network_runs_inside_a_tf_function(network):
    x = tf.constant(images(2, 32, 32, 3), tf.float32)
    np.testing.assert_allclose(tf.function(network)(x), network(x), rtol=1e-5)


def test_a_large_batch_in_slices_gives_the_outputs_of_the_whole(network, monkeypatch):
    x = tf.constant(images(7, 32, 32, 3), tf.float32)
    whole, sizes, run = network(x), [], network.function
    monkeypatch.setattr(engines, "_SLICE_BYTES", 2 * 32 * 32 * 3 * 4)
    monkeypatch.setattr(network, "function", lambda part: sizes.append(part.shape[0]) or run(part))
    np.testing.assert_allclose(network(x), whole, rtol=1e-5)
    assert sorted(sizes) == [1, 2, 2, 2]
    assert network(x[:2]).shape[0] == 2 and sizes[4:] == [2]


@pytest.mark.parametrize("engine", [None, *ENGINES])
def test_a_variable_can_be_the_image(network, engine):
    """As in DeepDream: the gradient reaches it, TensorFlow's as well as Keras', wherever TensorFlow computes."""
    run = network.freeze(engine=engine) if engine else network
    x = images(2, 32, 32, 3).astype(np.float32)
    for variable in (tf.Variable(x), tf.keras.Variable(x)):
        with tf.GradientTape() as tape:
            logits = run(variable)
            loss = tf.reduce_sum(logits[..., 0])
        np.testing.assert_allclose(logits, network(x), rtol=1e-4, atol=1e-5)
        gradient = tape.gradient(loss, variable if isinstance(variable, tf.Variable) else variable.value)
        if engine in ("session", "openvino", "onnxruntime"):
            assert gradient is None
        else:
            step = 1e-2 * gradient / tf.norm(gradient)
            change = tf.reduce_sum((run(x + step) - run(x))[..., 0])
            np.testing.assert_allclose(change, 1e-2 * tf.norm(gradient), rtol=0.1)


@pytest.mark.parametrize("engine", ["session", "openvino", "onnxruntime"])
def test_an_engine_outside_of_tensorflow_says_so_within_a_tf_function(network, engine):
    frozen = network.freeze(engine=engine)
    with pytest.raises(RuntimeError, match=f"engine {engine!r} works on numbers, .* use the engines 'tf' and 'xla'"):
        tf.function(frozen, autograph=False)(images(1, 32, 32, 3))


def test_where_tensorflow_does_not_compute_at_once_a_network_says_so(network):
    refused = pytest.raises(RuntimeError, match="needs TensorFlow's eager mode")
    with tf.Graph().as_default():
        for call in (lambda: build(BLOCKS, 32), lambda: network(images(1, 32, 32, 3)), network.freeze):
            with refused:
                call()
        with refused:
            network.assign({})
    with refused:
        tf.function(lambda: build(BLOCKS, 32), autograph=False)()


def test_after_disable_v2_behavior_too():
    """`graph_mode` is the state that it leaves a program in, with no graph entered."""
    with context.graph_mode(), pytest.raises(RuntimeError, match="build needs TensorFlow's eager mode"):
        build("resnet_v1_cifar_20")


def test_in_a_forked_process_a_network_says_so(network, monkeypatch):
    """TensorFlow would wait there for threads that do not exist."""
    monkeypatch.setattr(tf_slim_compat, "_process", os.getpid() + 1)
    for call in (lambda: build(BLOCKS, 32), lambda: network(images(1, 32, 32, 3))):
        with pytest.raises(RuntimeError, match="cannot go on in a process forked .*'spawn'"):
            call()


def test_a_network_is_what_it_is_whatever_the_arg_scopes_around(network):
    with slim.arg_scope([slim.conv2d], trainable=False, biases_initializer=tf.ones_initializer()):
        same = build(BLOCKS, image_size=32, num_classes=5)
    assert len(same.trainable_variables) == len(network.trainable_variables)
    assert np.array_equal(same(images(1, 32, 32, 3)), network(images(1, 32, 32, 3)))


def test_variables_of_a_distribution_strategy_are_frozen_and_exported(tmp_path):
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        network = build(BLOCKS, image_size=32, num_classes=5)
    x = images(2, 32, 32, 3)
    for precision in ("float32", "bfloat16"):
        np.testing.assert_allclose(
            network.freeze(precision)(x), network(x), atol=0.05 if precision == "bfloat16" else 1e-5
        )
    network.export_stablehlo(tmp_path, 2)
    saved = np.load(tmp_path / "weights.npz")
    assert sum(saved[name].size for name in saved.files) > network.cost().params


def test_a_network_cannot_be_copied(network):
    for copied in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="a Network holds a graph .* `save` keeps its weights"):
            copied(network)


def test_a_callable_unit_works_as_well_as_its_name(network):
    from resnet_lib.resnet_v2 import bottleneck

    same = build([block._replace(unit_fn=bottleneck) for block in BLOCKS], 32, 5)
    assert np.array_equal(same(images(1, 32, 32, 3)), network(images(1, 32, 32, 3)))


def test_bad_images_are_named(network):
    with pytest.raises(ValueError, match=r"images must have the shape \[any, 32, 32, 3\], got \[32, 32, 3\]"):
        network(images(32, 32, 3))
    with pytest.raises(ValueError, match=r"got \[1, 32, 32, 4\]"):
        network(images(1, 32, 32, 4))
    with pytest.raises(ValueError, match=r"got \[1, 32, 31, 3\]"):
        network.end_points(images(1, 32, 31, 3))
    with pytest.raises(ValueError, match="images must hold real numbers, got an array of <U"):
        network(np.full([1, 32, 32, 3], "pixel"))
    for bad, found in (
        (np.zeros([1, 32, 32, 3], complex), "complex128"),
        (tf.zeros([1], tf.complex64), "complex64"),
        (None, "object"),
    ):
        with pytest.raises(ValueError, match=f"images must hold real numbers, got an array of {found}"):
            network(bad)
    for bad in (tf.ragged.constant([[1.0], []]), tf.sparse.from_dense([[1.0]]), np.datetime64("now")):
        with pytest.raises(
            ValueError, match=f"images must be an array or a tensor of real numbers, got a {type(bad).__name__}"
        ):
            network(bad)
    bad = images(3, 32, 32, 3)
    bad[1, 4, 5, 0] = np.nan
    bad[2, 4, 5, 0] = np.inf
    with pytest.raises(ValueError, match="images holds NaN or infinity, in image 1, 2 of the batch"):
        network(bad)


def test_finite_images_whose_sum_overflows_are_no_mistake(network):
    x = np.full([1, 32, 32, 3], 3e38, np.float32)
    assert network(x).shape[0] == 1


def test_bad_descriptions_are_named():
    with pytest.raises(ValueError, match="near are .*'resnet_v2_50'"):
        build("resnet_v2_05")
    with pytest.raises(ValueError, match="image_size must be a positive whole number, got -1"):
        build(BLOCKS, image_size=-1)
    with pytest.raises(ValueError, match="num_classes must be a positive whole number, got 0"):
        build(BLOCKS, num_classes=0)
    with pytest.raises(ValueError, match="cannot be reached"):
        build(BLOCKS, output_stride=16)
    with pytest.raises(ValueError, match="at least one Block"):
        build([])
    with pytest.raises(ValueError, match="unit_fn must be one of"):
        build([Block("block1", "bottleneck_v7", [(8, 2, 1)])])


def test_what_counts_descriptions_says_where_a_network_has_one(network):
    with pytest.raises(
        TypeError, match="architecture must be .*, got <Network .*; a Network has one: network.architecture"
    ):
        cost(network)
    assert cost(network.architecture) == network.cost()


def test_a_network_is_saved_and_loaded(tmp_path, network):
    path = tmp_path / "weights.npz"
    network.save(path)
    other = build(BLOCKS, image_size=32, num_classes=5, seed=1)
    x = images(2, 32, 32, 3)
    assert not np.array_equal(other(x), network(x))
    other.load(path)
    assert np.array_equal(other(x), network(x))


def test_a_file_of_another_network_is_refused_and_changes_nothing(tmp_path, network):
    path = tmp_path / "weights.npz"
    build(BLOCKS, image_size=32, num_classes=7).save(path)
    before = [variable.numpy() for variable in network.variables]
    with pytest.raises(
        ValueError,
        match=r"weights: .*npz has the shape \(1, 1, 16, 7\) for resnet_v2/logits/weights, whose shape is \(1, 1, 16, 5\)",
    ):
        network.load(path)
    shorter = build(BLOCKS[:1], image_size=32, num_classes=None)
    shorter.save(path)
    with pytest.raises(ValueError, match=r"blocks: strides: the weights in .*weights.npz are for .*, got .*"):
        network.load(path)
    np.savez(path, **shorter.values())  # a file that says nothing of its network
    with pytest.raises(ValueError, match=r"weights: .*weights.npz has nothing for resnet_v2/block2/unit_1/"):
        network.load(path)
    assert all(np.array_equal(old, v) for old, v in zip(before, network.variables, strict=True))


def test_values_of_ones_own_are_no_files_any_more(tmp_path, network):
    network.save(tmp_path / "weights.npz")
    network.load(tmp_path / "weights.npz")
    assert network.origin == "resnet_lib, weights.npz" and "weights: resnet_lib, weights.npz>" in repr(network)
    assert network.rewired({"block1": [1]}).origin == network.origin
    network.assign(network.values())
    assert network.origin == "fresh" and network.convention is None


def test_a_full_disk_leaves_the_file_that_was_there(tmp_path, network, monkeypatch):
    path = tmp_path / "weights.npz"
    network.save(path)
    before = path.read_bytes()

    def full(file, **arrays):
        file.write(b"PK begun")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        network.save(path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


REASONS = {
    "cut short": r"weights: .*weights.npz is no whole file of weights \(BadZipFile: ",
    "an array": "weights: .*one.npy is no file of weights, or not a whole one; known are .npz, checkpoints of",
    "a text": "weights: .*weights.npz is no file of weights, or not a whole one; known are .npz, checkpoints of",
    "a checkpoint": "weights: .*model-1.index has nothing for resnet_v2/conv1/weights",
    "damaged": r"weights: .*weights.npz is no whole file of weights \(BadZipFile: ",
    "empty": "weights: .*weights.npz is no file of weights, or not a whole one; known are .npz, checkpoints of",
}


@pytest.mark.parametrize("kind", REASONS)
def test_what_is_no_file_of_weights_is_named(tmp_path, network, kind):
    path = tmp_path / "weights.npz"
    network.save(path)
    whole = path.read_bytes()
    if kind == "an array":
        np.save(tmp_path / "one.npy", np.zeros(3))
        path = tmp_path / "one.npy"
    elif kind == "a checkpoint":
        path = tf.train.Checkpoint(net=network).save(tmp_path / "model") + ".index"
    else:
        damaged = whole[:200] + bytes(50) + whole[250:]
        path.write_bytes({"cut short": whole[:-500], "a text": b"weights", "damaged": damaged, "empty": b""}[kind])
    before = [variable.numpy() for variable in network.variables]
    with pytest.raises(ValueError, match=REASONS[kind]):
        network.load(path)
    assert all(np.array_equal(v, old) for v, old in zip(network.variables, before, strict=True))
    with pytest.raises(FileNotFoundError):
        network.load(tmp_path / "missing.npz")


def test_values_that_are_no_numbers_change_nothing(network):
    values = {variable.name.split(":")[0]: variable.numpy() * 0 for variable in network.variables}
    values["resnet_v2/logits/biases"] = ["a", "b", "c", "d", "e"]
    before = network.variables[0].numpy()
    with pytest.raises(ValueError, match="values has no real numbers for resnet_v2/logits/biases, but <U1"):
        network.assign(values)
    assert np.array_equal(network.variables[0], before)


@pytest.mark.parametrize("number", [np.nan, -np.inf, 1e300])
def test_values_that_are_not_finite_change_nothing(network, number):
    values = {name: value.astype(float) for name, value in network.values().items()}
    values["resnet_v2/logits/biases"][2] = number
    before = network.values()
    with pytest.raises(ValueError, match="^mine holds NaN or infinity in resnet_v2/logits/biases$"):
        network.assign(values, "mine")
    assert all(np.array_equal(value, before[name]) for name, value in network.values().items())


def test_no_file_is_written_that_load_would_refuse(tmp_path):
    network = build(BLOCKS, 32, 5)
    network.variables[-1].assign([1e5, 0, 0, 0, 0])
    network.save(tmp_path / "net.npz")
    network.load(tmp_path / "net.npz")
    for precision, number in (("float16", 1e5), ("float32", np.nan)):
        network.variables[-1].assign([number, 0, 0, 0, 0])
        with pytest.raises(ValueError, match=f"^precision: in {precision}, resnet_v2/logits/biases holds NaN or inf"):
            network.save(tmp_path / "refused.npz", precision)
    assert not (tmp_path / "refused.npz").exists()


THREE = (Block("block1", "basic_v2", [(4, 1)] * 3), Block("block2", "basic_v2", [(6, 2), (6, 1)]))
UNITS = {"block1": [1, 2, 3], "block2": [1, 2]}


@pytest.fixture(scope="module")
def rewirable():
    network = build(Architecture("net", THREE, Root(4, 3, 1, 2)), image_size=8, num_classes=5)
    randomize({variable.name.split(":")[0]: variable for variable in network.variables})
    return network


@pytest.fixture(scope="module")
def pieces(rewirable):
    """The root, each unit (scope of the block, number) and the head of that network, each a function: a piece of its graph."""

    def piece(begin, end):
        tensors = (rewirable.graph.get_tensor_by_name(f"{rewirable.name}/{tensor}:0") for tensor in (begin, end))
        return rewirable._built.prune(*tensors)

    ends = {(block.scope, i): f"{block.scope}/unit_{i}/basic_v2/add" for block in THREE for i in UNITS[block.scope]}
    root, last = "pool1/MaxPool", list(ends.values())[-1]
    end_of_root = rewirable.graph.get_tensor_by_name(f"{rewirable.name}/{root}:0")
    found = {"root": rewirable._built.prune(rewirable._input, end_of_root), "head": piece(last, "logits/BiasAdd")}
    for (key, end), start in zip(ends.items(), [root, *ends.values()], strict=False):
        found[key] = piece(start, end)
    return found


def by_units(pieces, x, order):
    """The logits of a rewired network, from unit to unit."""
    net = pieces["root"](tf.constant(x, tf.float32))
    for scope, numbers in UNITS.items():
        for i in order.get(scope, numbers):
            net = pieces[scope, i](net)
    return pieces["head"](net)


@pytest.mark.parametrize(
    "order",
    [
        {},
        {"block1": [1, 3]},
        {"block1": [3, 1, 2]},
        {"block1": [2, 2, 2, 1]},
        {"block1": [2], "block2": [1]},
        {"block2": [1, 2, 2]},
    ],
)
def test_a_rewired_network_is_its_units_in_that_order(rewirable, pieces, order):
    x = images(2, 8, 8, 3)
    network = rewirable.rewired(order)
    np.testing.assert_allclose(network(x), by_units(pieces, x, order), rtol=1e-4, atol=1e-5)
    assert np.array_equal(network(x), rewirable(x)) == (order == {})
    assert graph_cost(network)[1:3] == network.cost()[1:]
    assert set(map(id, network.variables)) <= set(map(id, rewirable.variables))


def test_an_order_may_be_an_array_or_a_generator(rewirable):
    x = images(1, 8, 8, 3)
    expected = rewirable.rewired({"block1": [3, 1]})(x)
    for order in (np.array([3, 1]), (i for i in (3, 1)), (np.int64(3), 1)):
        assert np.array_equal(rewirable.rewired({"block1": order})(x), expected)


def test_a_rewired_network_shares_the_variables(rewirable):
    x, network = images(2, 8, 8, 3), rewirable.rewired({"block1": [3]})
    before = network(x).numpy()
    beta = next(v for v in rewirable.variables if "postnorm/beta" in v.name)
    beta.assign_add(tf.ones_like(beta))
    assert np.abs(network(x) - before).max() > 1e-3
    beta.assign_sub(tf.ones_like(beta))
    assert network.rewired({"block1": [1, 1]}).cost() == rewirable.rewired({"block1": [3, 3]}).cost()


@pytest.mark.parametrize("order", [[2, 1, 3], [1, 3], [2, 2, 1]])
def test_a_rewired_network_keeps_its_weights_by_the_names_of_its_own_units(rewirable, tmp_path, order):
    x, path, network = images(2, 8, 8, 3), tmp_path / "weights.npz", rewirable.rewired({"block1": order})
    values, logits = network.values(), network(x).numpy()
    network.save(path)
    assert np.array_equal(build(weights.architecture_in(path), weights=path)(x), logits)
    for keep in (lambda: network.assign(values), lambda: network.load(path)):
        for variable in network.variables:
            variable.assign(variable * 2)
        keep()
        assert np.array_equal(network(x), logits)


def test_two_values_for_a_unit_that_is_repeated_are_refused(rewirable, tmp_path):
    path, network = tmp_path / "weights.npz", rewirable.rewired({"block1": [2, 2]})
    before = network.values()
    build(network.architecture, seed=3).save(path)
    first, second = (f"net/block1/unit_{i}/basic_v2/conv1/weights" for i in (1, 2))
    for give in (lambda: network.assign(before | {second: before[second] + 1}), lambda: network.load(path)):
        with pytest.raises(ValueError, match=f"has two values for one variable, under {first} and under {second}"):
            give()
    assert all(np.array_equal(before[name], value) for name, value in network.values().items())


def test_an_order_that_does_not_fit_is_named(rewirable):
    for order, message in {
        ("block3", (1,)): r"order: block must be one of \['block1', 'block2'\], got 'block3'",
        ("block1", (1, 4)): r"order: 'block1' has the units 1 to 3 and needs one at least, got \[1, 4\]",
        ("block1", ()): r"order: 'block1' has the units 1 to 3 and needs one at least, got \[\]",
        (
            "block2",
            (2,),
        ): r"does not fit: .*block2/unit_2/basic_v2/preact/gamma would need the shape \(4,\) and has .*\(6,\)",
    }.items():
        with pytest.raises(ValueError, match=message):
            rewirable.rewired(dict([order]))
    for order, message in (
        ([1, 2], "order must be a dict, .*, got"),
        ({"block1": 2}, "order: 'block1' must be a list of numbers"),
    ):
        with pytest.raises(TypeError, match=message):
            rewirable.rewired(order)


def test_names_with_parts_are_never_mistaken():
    """Each block is rewired by itself, and counted where it stands."""
    blocks = [Block(scope, "basic_v2", [(4, 1)] * 2) for scope in ("stage/1", "stage/11", "unit_2/unit_1")]
    net = build(Architecture("zoo/net", tuple(blocks), Root(4, 3, 1, 1)), 8, 3)
    randomize({variable.name.split(":")[0]: variable for variable in net.variables})
    x = images(2, 8, 8, 3)
    assert {block.scope for block in blocks} < net.end_points(x).keys()
    rewired = [net.rewired({block.scope: [2, 1]}) for block in blocks]
    assert len({network(x).numpy().tobytes() for network in rewired}) == len(blocks)
    assert np.array_equal(rewired[1].rewired({"stage/11": [2, 1]})(x), net(x))
    assert [row.name for row in explore(net.architecture).rows] == [
        "root",
        *(block.scope for block in blocks),
        "classifier",
    ]
    assert net.cost() == explore(net.architecture).cost == tuple(graph_cost(net)[:3])


def test_recurrent_blocks_share_nothing_whatever_they_are_called():
    net = build([Block(scope, "recurrent", [(4, 1)] * 3) for scope in ("unit_1", "unit_2")], 8, 3)
    shared = {variable.name for variable in net.variables if "/shared/" in variable.name and "weights" in variable.name}
    assert {name.split("/")[1] for name in shared} == {"unit_1", "unit_2"} and len(shared) == 4
