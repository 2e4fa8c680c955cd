"""Units of every kind, shortcut and stride layout, against second ways of saying what they are."""

import itertools
import operator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slim_networks import images, randomize, variables

from resnet_lib import (
    ARCHITECTURES,
    Architecture,
    BasicUnit,
    Block,
    Root,
    Unit,
    build,
    orderings,
    resnet_v1,
    resnet_v2,
    trace,
)
from resnet_lib.accounting import unit_layers
from resnet_lib.architectures import SHORTCUTS, UNIT_KINDS
from resnet_lib.exploration import design
from resnet_lib.graph_cost import graph_cost
from resnet_lib.resnet_utils import resnet_arg_scope
from resnet_lib.tf_slim_compat import slim, tf

UNIT_FNS = {**resnet_v1.UNIT_FNS, **resnet_v2.UNIT_FNS, **orderings.UNIT_FNS}
EPSILON = 1e-5


def built(architecture, seed=0, **options):
    """A network with random batch norms and biases too."""
    network = build(architecture, **{"num_classes": None, "global_pool": False, **options})
    randomize({variable.name.split(":")[0]: variable for variable in network.variables}, seed)
    return network


def convolve(x, weights, stride=1):
    """A convolution written out: at each position, a window of x times the weights. Pads (k - 1) // 2 zeros before."""
    k = weights.shape[0]
    before = (k - 1) // 2
    x = np.pad(x, [(0, 0), (before, k - 1 - before), (before, k - 1 - before), (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(x, (k, k), axis=(1, 2))[:, ::stride, ::stride]
    return np.einsum("bhwcij,ijcd->bhwd", windows, weights)


# He et al. 2016, Fig. 4, told as recipes: "c" is a convolution, "n" BN, "r" ReLU, "+" the sum. * repeats what lies between.
FIGURE_4 = {
    "v1": "c n * r c n + r",
    "bn_after_addition": "c n * r c + n r",
    "relu_before_addition": "c n * r c n r +",
    "relu_only_preactivation": "r c n * r c n +",
    "v2": "n r c * n r c +",
}


def unit_by_hand(x, values, kind, unit, shortcut, stride_in):
    """What He et al. 2015 and 2016 draw, in NumPy, from the variables of the unit at inference."""

    def norm(x, scope):
        gamma, beta, mean, variance = (
            values[f"{scope}/{n}"] for n in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return gamma * (x - mean) / np.sqrt(variance + EPSILON) + beta

    def conv(x, name, stride):
        y = convolve(x, values[f"{name}/weights"], stride)
        return y + values[f"{name}/biases"] if f"{name}/biases" in values else y

    def relu(x):
        return np.maximum(x, 0)

    size, ordering = kind.split("_", 1)
    strides = [unit.stride, 1] if size == "basic" else [1, unit.stride, 1]
    if size == "bottleneck" and stride_in == "1x1":
        strides = [unit.stride, 1, 1]
    recipe = (
        FIGURE_4[ordering].replace("*", "" if size == "basic" else "r c n" if ordering != "v2" else "n r c").split()
    )
    padded = np.pad(x[:, :: unit.stride, :: unit.stride], [(0, 0)] * 3 + [(0, max(unit.depth - x.shape[-1], 0))])
    preactivated = {"v2": lambda: relu(norm(x, "preact")), "relu_only_preactivation": lambda: relu(x)}.get(ordering)

    def projected():
        if preactivated:
            return conv(preactivated(), "shortcut", unit.stride)
        return norm(conv(x, "shortcut", unit.stride), "shortcut/BatchNorm")

    def gate():
        return 1 / (1 + np.exp(-conv(x, "gate", unit.stride)))

    # He et al. 2015, section 3.3, and He et al. 2016, section 3.1: (what joins the sum, what the residual is multiplied by)
    around, factor = {
        "A": lambda: (padded, 1),
        "B": lambda: (projected() if unit.depth != x.shape[-1] else padded, 1),
        "C": lambda: (projected(), 1),
        "none": lambda: (0, 1),
        "scaling": lambda: (padded / 2, 0.5),
        "exclusive_gating": lambda: ((1 - gate()) * padded, gate()),
        "shortcut_only_gating": lambda: ((1 - gate()) * padded, 1),
        "dropout": lambda: (padded / 2, 1),
    }[shortcut]()
    net, done, where = x, 0, "preact"
    for step in recipe:
        if step == "c":
            net, where = conv(net, f"conv{done + 1}", strides[done]), f"conv{done + 1}/BatchNorm"
            done += 1
        elif step == "n":
            net = norm(net, where)
        elif step == "r":
            net = relu(net)
        else:
            net, where = around + factor * net, "postnorm"
    assert done == len(strides)
    return net


INPUT = trace([Block("b", "basic_v1", [(6, 1)])], (7, 8), channels_in=6)[0]
KINDS_AND_STRIDES = [(kind, way) for kind in UNIT_KINDS for way in ("1x1", "3x3")[kind.startswith("basic") :]]


@pytest.mark.parametrize("shortcut", SHORTCUTS)
@pytest.mark.parametrize(("kind", "stride_in"), KINDS_AND_STRIDES)
def test_a_unit_is_what_the_papers_draw_and_costs_what_the_closed_form_says(kind, stride_in, shortcut):
    units = [(Unit(d, 3, s) if UNIT_KINDS[kind] is Unit else BasicUnit(d, s)) for d in (6, 9) for s in (1, 2)]

    def network(inputs):
        with slim.arg_scope(resnet_arg_scope(is_training=False)):
            options = {"shortcut": shortcut, "stride_in": stride_in}
            return [UNIT_FNS[kind](inputs, **u._asdict(), **options, scope=f"unit{i}") for i, u in enumerate(units)]

    function = tf.compat.v1.wrap_function(network, [tf.TensorSpec([None, 7, 8, 6])])
    randomize(variables(function))
    values = {name: np.float64(variable) for name, variable in variables(function).items()}
    x = images(2, 7, 8, 6)
    layers = [layer for unit in units for layer in unit_layers(INPUT, kind, unit, "unit", shortcut, stride_in)]
    counted = graph_cost(function)
    assert counted.params == sum(layer.params for layer in layers)
    assert counted.macs == sum(layer.macs for layer in layers)
    assert counted.activations == sum(layer.outputs for layer in layers if layer.kind == "conv")
    for i, (unit, y) in enumerate(zip(units, function(x), strict=True)):
        mine = {n.removeprefix(f"unit{i}/"): value for n, value in values.items() if n.startswith(f"unit{i}/")}
        by_hand = unit_by_hand(x, mine, kind, unit, shortcut, stride_in)
        np.testing.assert_allclose(y, by_hand, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("kind", UNIT_KINDS)
def test_the_table_of_orderings_makes_v1_and_v2_too(kind):
    """`orderings.make_unit` reads all five off one table: where a unit is also written out, the two are one."""

    def network(inputs):
        args = (UNIT_KINDS[kind](9, *((3, 2) if UNIT_KINDS[kind] is Unit else (2,))))._asdict()
        with slim.arg_scope(resnet_arg_scope(is_training=False)):
            mine = orderings.make_unit(kind)(inputs, **args, scope="unit")
            with tf.compat.v1.variable_scope(tf.compat.v1.get_variable_scope(), reuse=True):
                return mine, UNIT_FNS[kind](inputs, **args, scope="unit")

    function = tf.compat.v1.wrap_function(network, [tf.TensorSpec([None, 7, 8, 6])])
    randomize(variables(function))
    mine, written_out = function(images(2, 7, 8, 6))
    assert np.array_equal(mine, written_out) and np.abs(mine).max() > 0


def trained_unit(shortcut, x):
    """A V1 unit in training mode whose residual is 0 (its last gamma is): what is left is the shortcut, behind a ReLU."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session, slim.arg_scope(resnet_arg_scope(is_training=True)):
        y = resnet_v1.basic(tf.constant(x), 6, 1, shortcut=shortcut, scope="unit")
        session.run(tf.compat.v1.global_variables_initializer())
        gamma = next(v for v in tf.compat.v1.global_variables() if "conv2/BatchNorm/gamma" in v.name)
        session.run(gamma.assign(tf.zeros_like(gamma)))
        return session.run(y)


def test_dropout_on_the_shortcut_drops_half_of_it_in_training():
    x = np.abs(images(4, 16, 16, 6)) + 0.1
    y = trained_unit("dropout", x)
    kept = y > 0
    np.testing.assert_array_equal(y, np.where(kept, x, 0))
    assert abs(kept.mean() - 0.5) < 5 * 0.5 / np.sqrt(x.size)


def test_gates_begin_nearly_shut():
    """A gate of 0.0025 on the residual, so that the shortcut carries 99.75 % (bias -6; weights average out)."""
    x = np.ones([1, 3, 3, 6], np.float32) * 1e-6
    np.testing.assert_allclose(trained_unit("shortcut_only_gating", x), x * (1 - 1 / (1 + np.exp(6))), rtol=1e-4)


@pytest.mark.parametrize("kind", ["bottleneck_v1", "bottleneck_v2"])
def test_the_papers_layout_and_slims_are_one_function(kind):
    """A strided 1x1 reads every other pixel; slim does not compute the pixels that it would leave out. v1.5 is another."""
    x = images(2, 64, 48, 3)
    outputs = {
        layout: built(design((2, 3, 2), 8, kind, layout), image_size=(64, 48))(x).numpy()
        for layout in ("paper", "slim", "v1.5")
    }
    scale = np.abs(outputs["paper"]).max()
    assert np.abs(outputs["paper"] - outputs["slim"]).max() <= 1e-6 * scale
    assert np.abs(outputs["paper"] - outputs["v1.5"]).max() > 1e-2 * scale


@pytest.mark.parametrize("kind", ["basic_v1", "bottleneck_v1", "bottleneck_v2"])
def test_no_1x1_convolution_strides(kind):
    """TensorFlow 2.21's gradient for its weights overruns memory on CPUs; the pixels it would read are taken first."""
    operations = build(design((1, 2, 2), 8, kind, "paper"), 64).graph.get_operations()
    strided = [op for op in operations if op.type == "Conv2D" and op.get_attr("strides")[1] > 1]
    assert strided and all(op.inputs[1].shape[0] > 1 for op in strided)


def test_a_plain_network_is_a_residual_one_without_the_sum():
    plain, residual = build("plain_cifar_20"), build("resnet_v1_cifar_20", shortcut="none")
    x = images(2, 32, 32, 3)
    assert [v.name.split("/", 1)[1] for v in plain.variables] == [v.name.split("/", 1)[1] for v in residual.variables]
    for mine, other in zip(plain.variables, residual.variables, strict=True):
        mine.assign(other)
    np.testing.assert_allclose(plain(x), residual(x), rtol=1e-5)
    sums = [op for op in build("plain_18").graph.get_operations() if op.name.endswith("basic_v1/add")]
    assert all("Const" in [tensor.op.type for tensor in op.inputs] for op in sums)  # 0 + residual


@st.composite
def small_networks(draw, max_stride=2):
    kind, shortcut = draw(st.sampled_from(list(UNIT_KINDS))), draw(st.sampled_from(SHORTCUTS))
    units, depth = [], 4
    for _ in range(draw(st.integers(1, 4))):
        depth, stride = depth + draw(st.integers(0, 2)), draw(st.integers(1, max_stride))
        units.append(Unit(depth, 3, stride) if UNIT_KINDS[kind] is Unit else BasicUnit(depth, stride))
    root = draw(st.sampled_from([None, Root(4, draw(st.integers(1, 3)) * 2 - 1, draw(st.integers(1, 2)), 1)]))
    return Architecture("net", (Block("b", kind, tuple(units)),), root, shortcut, draw(st.sampled_from(["1x1", "3x3"])))


def reachable_strides(architecture):
    """The output strides that a network has after its root, after its first unit, and so on to its own."""
    root = architecture.root.stride * architecture.root.pool_stride if architecture.root else 1
    return list(itertools.accumulate((unit.stride for unit in architecture.blocks[0].args), operator.mul, initial=root))


def assert_dense_features_subsampled_are_the_nominal_ones(architecture, reached, size):
    """output_stride: atrous convolution computes the same features, only at more positions."""
    coarse = built(architecture, image_size=size, channels_in=4)
    dense = built(architecture, image_size=size, channels_in=4, output_stride=reached)
    x, factor = images(1, size, size, 4), reachable_strides(architecture)[-1] // reached
    np.testing.assert_allclose(dense(x)[:, ::factor, ::factor], coarse(x), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("kind", "stride_in"), KINDS_AND_STRIDES)
def test_every_kind_of_unit_makes_dense_features(kind, stride_in):
    units = tuple(Unit(6, 3, s) if UNIT_KINDS[kind] is Unit else BasicUnit(6, s) for s in (2, 3, 1))
    architecture = Architecture("net", (Block("b", kind, units),), None, stride_in=stride_in)
    assert_dense_features_subsampled_are_the_nominal_ones(architecture, 1, size=17)


@given(architecture=small_networks(), data=st.data())
@settings(max_examples=10, deadline=None)
def test_dense_features_of_random_networks(architecture, data):
    reached = data.draw(st.sampled_from(reachable_strides(architecture)))
    assert_dense_features_subsampled_are_the_nominal_ones(architecture, reached, data.draw(st.integers(5, 20)))


def footprint(network, size):
    """Which input rows, and which input columns, each output position depends on: two boolean arrays [input, output].

    Every weight is positive and equal within its layer, so raising one row or column of the input raises all that sees it.
    """
    for variable in network.trainable_variables:
        if "/gate/" in variable.name:  # half open, whatever comes in: a gate that shuts would hide what passes it
            variable.assign(tf.zeros_like(variable))
        elif variable.name.endswith("weights:0"):
            variable.assign(tf.ones_like(variable) / np.prod(variable.shape[:-1]))
    height, width = size
    raised = np.ones([1 + height + width, height, width, 1], np.float32)
    for row in range(height):
        raised[1 + row, row] += 1000
    for column in range(width):
        raised[1 + height + column, :, column] += 1000
    outputs = network(raised).numpy().sum(axis=-1)
    changed = outputs[1:] > outputs[0] * (1 + 1e-5)
    return changed[:height, :, 0], changed[height:, 0, :]


@given(architecture=small_networks(), pooled=st.booleans(), height=st.integers(20, 44), data=st.data())
@settings(max_examples=30, deadline=None)
def test_receptive_field_stride_and_padding_are_the_footprint_of_a_raised_input(architecture, pooled, height, data):
    if pooled:
        architecture = replace(architecture, root=Root(4, 3, 2, 2))
    size = (height, height + data.draw(st.integers(0, 3)))
    options = {"image_size": size, "channels_in": 1, "num_classes": None, "global_pool": False}
    options["output_stride"] = data.draw(st.sampled_from([None, *reachable_strides(architecture)]))
    last = trace(architecture, **options)[-1]
    for axis, sees in enumerate(footprint(build(architecture, **options), size)):
        assert sees.shape == (size[axis], last.size_out[axis])
        for position, column in enumerate(sees.T):
            begin = position * last.effective_stride - last.effective_padding[axis]
            end = begin + last.receptive_field - 1
            seen = np.flatnonzero(column)
            if 0 <= begin and end < size[axis]:
                assert (seen[0], seen[-1]) == (begin, end)
            else:  # cut off by the border, and a strided 1x1 leaves holes in it
                assert begin <= seen[0] and seen[-1] <= end


def test_a_shortcut_that_cannot_match_is_named():
    blocks = [Block("b", "bottleneck_v2", [(80, 2, 1), (72, 2, 1)])]
    with pytest.raises(
        ValueError, match="b/unit_2/bottleneck_v2: shortcut 'A' pads .* cannot turn 80 channels into 72; use 'B'"
    ):
        build(blocks, 32, shortcut="A")
    with pytest.raises(ValueError, match=r"shortcut must be one of \['A', 'B', 'C', 'none', .*\], got 'b'"):
        build("resnet_v1_18", shortcut="b")
    with tf.Graph().as_default():
        for unit in (resnet_v1.bottleneck, resnet_v2.bottleneck):
            with pytest.raises(ValueError, match=r"stride_in must be one of \['1x1', '3x3'\], got '5x5'"):
                unit(tf.zeros([1, 8, 8, 4]), 8, 2, 1, stride_in="5x5")
            with pytest.raises(ValueError, match="shortcut must be one of .*, got None"):
                unit(tf.zeros([1, 8, 8, 4]), 8, 2, 1, shortcut=None)
    assert ARCHITECTURES["resnet_v1_18"].shortcut == "B"
