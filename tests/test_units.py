"""Units of every kind, shortcut and stride layout, against second ways of saying what they are."""

import itertools
import operator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slim_networks import images, randomize, variables

from resnet_lib import ARCHITECTURES, Architecture, BasicUnit, Block, Root, Unit, build, resnet_v1, resnet_v2, trace
from resnet_lib.architectures import SHORTCUTS, UNIT_KINDS
from resnet_lib.resnet_utils import resnet_arg_scope
from resnet_lib.tf_slim_compat import slim, tf

UNIT_FNS = {**resnet_v1.UNIT_FNS, **resnet_v2.UNIT_FNS}
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


def unit_by_hand(x, values, kind, unit, shortcut, stride_in):
    """What He et al. 2015 (V1) and 2016 (V2) draw, in NumPy, from the variables of the unit."""

    def norm(x, scope):
        gamma, beta, mean, variance = (
            values[f"{scope}/{n}"] for n in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return gamma * (x - mean) / np.sqrt(variance + EPSILON) + beta

    def conv(x, name, stride):
        y = convolve(x, values[f"{name}/weights"], stride)
        return y + values[f"{name}/biases"] if f"{name}/biases" in values else norm(y, f"{name}/BatchNorm")

    def relu(x):
        return np.maximum(x, 0)

    v2 = kind.endswith("v2")
    start = relu(norm(x, "preact")) if v2 else x
    strides = [unit.stride, 1] if kind.startswith("basic") else [1, unit.stride, 1]
    if kind.startswith("bottleneck") and stride_in == "1x1":
        strides = [unit.stride, 1, 1]
    net = start
    for i, stride in enumerate(strides, 1):
        net = conv(net, f"conv{i}", stride)
        net = net if i == len(strides) else relu(net)
    if shortcut == "none":
        around = 0
    elif shortcut == "C" or (shortcut == "B" and unit.depth != x.shape[-1]):
        around = conv(start, "shortcut", unit.stride)
    else:
        around = np.pad(x[:, :: unit.stride, :: unit.stride], [(0, 0)] * 3 + [(0, unit.depth - x.shape[-1])])
    return around + net if v2 else relu(around + net)


@pytest.mark.parametrize("stride_in", ["1x1", "3x3"])
@pytest.mark.parametrize("shortcut", SHORTCUTS)
@pytest.mark.parametrize("kind", UNIT_KINDS)
@pytest.mark.parametrize(("depth", "stride"), [(6, 1), (6, 2), (9, 1), (9, 2)])
def test_a_unit_is_what_the_papers_draw(kind, shortcut, stride_in, depth, stride):
    unit = Unit(depth, 3, stride) if UNIT_KINDS[kind] is Unit else BasicUnit(depth, stride)

    def network(inputs):
        with slim.arg_scope(resnet_arg_scope(is_training=False)):
            return UNIT_FNS[kind](inputs, **unit._asdict(), shortcut=shortcut, stride_in=stride_in, scope="unit")

    function = tf.compat.v1.wrap_function(network, [tf.TensorSpec([None, 7, 8, 6])])
    randomize(variables(function))
    values = {name.removeprefix("unit/"): np.float64(variable) for name, variable in variables(function).items()}
    x = images(2, 7, 8, 6)
    np.testing.assert_allclose(
        function(x), unit_by_hand(x, values, kind, unit, shortcut, stride_in), rtol=2e-4, atol=2e-5
    )


@pytest.mark.parametrize("name", ["resnet_v1_50", "resnet_v2_50"])
def test_the_papers_layout_and_slims_are_one_function(name):
    """A strided 1x1 reads every other pixel; slim does not compute the pixels that it would leave out. v1.5 is another."""
    x = images(2, 64, 48, 3)
    outputs = {
        layout: built(name, image_size=(64, 48), layout=layout)(x).numpy() for layout in ("paper", "slim", "v1.5")
    }
    scale = np.abs(outputs["paper"]).max()
    assert np.abs(outputs["paper"] - outputs["slim"]).max() <= 1e-6 * scale
    assert np.abs(outputs["paper"] - outputs["v1.5"]).max() > 1e-2 * scale


@pytest.mark.parametrize("name", ["resnet_v1_18", "resnet_v1_50", "resnet_v2_50"])
def test_no_1x1_convolution_strides(name):
    """TensorFlow 2.21's gradient for its weights overruns memory on CPUs; the pixels it would read are taken first."""
    operations = build(name, 64, layout="paper").graph.get_operations()
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
    version, shortcut = draw(st.sampled_from([1, 2])), draw(st.sampled_from(SHORTCUTS))
    kind = draw(st.sampled_from([f"basic_v{version}", f"bottleneck_v{version}"]))
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


@given(architecture=small_networks(), data=st.data())
@settings(max_examples=25, deadline=None)
def test_dense_features_subsampled_are_the_nominal_ones(architecture, data):
    """output_stride: atrous convolution computes the same features, only at more positions."""
    *_, nominal = reachable_strides(architecture)
    reached = data.draw(st.sampled_from(reachable_strides(architecture)))
    size = data.draw(st.integers(5, 20))
    coarse = built(architecture, image_size=size, channels_in=4)
    dense = built(architecture, image_size=size, channels_in=4, output_stride=reached)
    x, factor = images(1, size, size, 4), nominal // reached
    np.testing.assert_allclose(dense(x)[:, ::factor, ::factor], coarse(x), rtol=1e-3, atol=1e-4)


def footprint(network, size):
    """Which input rows, and which input columns, each output position depends on: two boolean arrays [input, output].

    Every weight is positive and equal within its layer, so raising one row or column of the input raises all that sees it.
    """
    for variable in network.trainable_variables:
        if variable.name.endswith("weights:0"):
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
    with pytest.raises(ValueError, match=r"shortcut must be one of \['A', 'B', 'C', 'none'\], got 'b'"):
        build("resnet_v1_18", shortcut="b")
    with tf.Graph().as_default():
        for unit in (resnet_v1.bottleneck, resnet_v2.bottleneck):
            with pytest.raises(ValueError, match=r"stride_in must be one of \['1x1', '3x3'\], got '5x5'"):
                unit(tf.zeros([1, 8, 8, 4]), 8, 2, 1, stride_in="5x5")
            with pytest.raises(ValueError, match="shortcut must be one of .*, got None"):
                unit(tf.zeros([1, 8, 8, 4]), 8, 2, 1, shortcut=None)
    assert ARCHITECTURES["resnet_v1_18"].shortcut == "B"
