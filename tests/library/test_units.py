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
    UnitKind,
    build,
    cost,
    orderings,
    resnet_v1,
    resnet_v2,
)
from resnet_lib.accounting import input_layer, unit_layers
from resnet_lib.exploration import design
from resnet_lib.graph_cost import graph_cost
from resnet_lib.highway import highway_unit
from resnet_lib.network import network_function
from resnet_lib.resnet_utils import conv2d_same, resnet_arg_scope, unit_function
from resnet_lib.tf_slim_compat import quick_building, slim, tf
from resnet_lib.units import COUNTED_KINDS, ORDERINGS, SHORTCUTS, UNIT_KINDS, as_unit, unit_kind

EPSILON = 1e-5
NUMBERS = {"depth_bottleneck": 6, "groups": 3, "depth_squeeze": 2}  # of small units


def unit_of(kind, depth, stride):
    """A small unit of that kind."""
    shape = UNIT_KINDS[kind].shape
    return shape(**{"depth": depth, "stride": stride, **{f: n for f, n in NUMBERS.items() if f in shape._fields}})


def built(architecture, seed=0, **options):
    """A network with random batch norms and biases too."""
    network = build(architecture, **{"num_classes": None, "global_pool": False, **options})
    randomize({variable.name.split(":")[0]: variable for variable in network.variables}, seed)
    return network


def convolve(x, weights, stride=1):
    """A convolution written out: at each position, a window of x times the weights. Pads (k - 1) // 2 zeros before."""
    k, _, depth, _ = weights.shape
    before = (k - 1) // 2
    groups = x.shape[-1] // depth  # where a filter sees fewer channels than there are, the channels are in groups
    x = np.pad(x, [(0, 0), (before, k - 1 - before), (before, k - 1 - before), (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(x, (k, k), axis=(1, 2))[:, ::stride, ::stride]
    parts = zip(np.split(windows, groups, axis=3), np.split(weights, groups, axis=3), strict=True)
    return np.concatenate([np.einsum("bhwcij,ijcd->bhwd", part, filters) for part, filters in parts], axis=-1)


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

    basic = isinstance(unit, BasicUnit)
    ordering = next(name for name in FIGURE_4 if kind.removesuffix("_first").endswith(f"_{name}"))
    strides = [unit.stride, 1] if basic else [1, unit.stride, 1]
    if not basic and stride_in == "1x1":
        strides = [unit.stride, 1, 1]
    recipe = FIGURE_4[ordering].replace("*", "" if basic else "r c n" if ordering != "v2" else "n r c").split()
    split = relu(norm(x, "preact")) if kind.endswith("_first") else x  # where the two paths part
    padded = np.pad(split[:, :: unit.stride, :: unit.stride], [(0, 0)] * 3 + [(0, max(unit.depth - x.shape[-1], 0))])
    preactivated = {"v2": lambda: relu(norm(x, "preact")), "relu_only_preactivation": lambda: relu(x)}.get(ordering)

    def projected():
        if preactivated:
            return conv(preactivated(), "shortcut", unit.stride)
        return norm(conv(x, "shortcut", unit.stride), "shortcut/BatchNorm")

    def gate():
        return 1 / (1 + np.exp(-conv(split, "gate", unit.stride)))

    def excitation(net):  # Hu et al. 2018, equations 2 to 4
        z = net.mean(axis=(1, 2), keepdims=True)
        return 1 / (1 + np.exp(-conv(relu(conv(z, "squeeze/conv1", 1)), "squeeze/conv2", 1)))

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
            net, where = around + factor * (net * excitation(net) if kind.startswith("se_") else net), "postnorm"
    assert done == len(strides)
    return net


INPUT = input_layer("x", (7, 8), 6)
KINDS_AND_STRIDES = [
    (kind, way)
    for kind in COUNTED_KINDS
    for way in (("3x3",) if UNIT_KINDS[kind].shape is BasicUnit else ("1x1", "3x3"))
]
# The gate of squeeze-and-excitation sees the mean of the image, which is another one where the features are dense, and
# belongs to no square of the input.
LOCAL_KINDS = [kind for kind in COUNTED_KINDS if not kind.startswith("se_")]
# The units that are written out meet every shortcut, and so do three that `orderings.make_unit` makes. Groups, gates and the
# place of the stride belong to the residual path, which a shortcut does not see: three shortcuts are enough for the others.
WRITTEN_OUT = ("basic_v1", "bottleneck_v1", "basic_v2", "bottleneck_v2")
EVERY_SHORTCUT = (*WRITTEN_OUT, "basic_bn_after_addition", "basic_relu_only_preactivation", "basic_v2_first")
EVERY_KIND = [
    (kind, way)
    for kind, way in [*KINDS_AND_STRIDES, ("basic_v2_first", "3x3")]
    if kind.startswith(("basic", "bottleneck")) or kind.endswith(("_v1", "_v2", "bn_after_addition"))
]


def cases(kind, stride_in):
    """(depth, stride, shortcut) of the units to look at: stride and depth change each alone, and both."""
    if kind not in EVERY_SHORTCUT or stride_in == "1x1":
        return [(9, 2, "B"), (6, 2, "none"), (9, 1, "exclusive_gating")]
    changed = [(9, 2, shortcut) for shortcut in SHORTCUTS]
    kept = [(6, 1, shortcut) for shortcut in (SHORTCUTS if kind in WRITTEN_OUT else ("B", "C"))]
    return [*changed, *kept, *((depth, stride, cut) for depth, stride in ((6, 2), (9, 1)) for cut in "AB")]


@pytest.mark.parametrize(("kind", "stride_in"), EVERY_KIND)
def test_a_unit_is_what_the_papers_draw_and_costs_what_the_closed_form_says(kind, stride_in):
    units = {
        f"depth_{depth}_stride_{stride}_{shortcut}": (unit_of(kind, depth, stride), shortcut)
        for depth, stride, shortcut in cases(kind, stride_in)
    }
    unit_fn, _ = unit_function(kind)

    def network(inputs):
        with slim.arg_scope(resnet_arg_scope(is_training=False)):
            return [
                unit_fn(inputs, **unit._asdict(), shortcut=shortcut, stride_in=stride_in, scope=scope)
                for scope, (unit, shortcut) in units.items()
            ]

    with quick_building():
        function = tf.compat.v1.wrap_function(network, [tf.TensorSpec([None, 7, 8, 6])])
    randomize(variables(function))
    values = {name: np.float64(variable) for name, variable in variables(function).items()}
    x = images(2, 7, 8, 6)
    counted = graph_cost(function)
    outputs = dict(zip(units, function(x), strict=True))
    layers = [layer for unit, cut in units.values() for layer in unit_layers(INPUT, kind, unit, "unit", cut, stride_in)]
    assert counted.params == sum(layer.params for layer in layers)
    assert counted.macs == sum(layer.macs for layer in layers)
    assert counted.activations == sum(layer.outputs for layer in layers if layer.kind == "conv")
    for scope, (unit, shortcut) in units.items():
        mine = {n.removeprefix(f"{scope}/"): value for n, value in values.items() if n.startswith(f"{scope}/")}
        by_hand = unit_by_hand(x, mine, kind, unit, shortcut, stride_in)
        np.testing.assert_allclose(outputs[scope], by_hand, rtol=2e-4, atol=2e-5, err_msg=scope)


@pytest.mark.parametrize("kind", [kind for kind in COUNTED_KINDS if kind.startswith(("basic", "bottleneck"))])
def test_the_table_of_orderings_makes_v1_and_v2_too(kind):
    """`orderings.make_unit` reads all five off one table: where a unit is also written out, the two are one."""

    def network(inputs):
        args = unit_of(kind, 9, 2)._asdict()
        with slim.arg_scope(resnet_arg_scope(is_training=False)):
            mine = orderings.make_unit(kind)(inputs, **args, scope="unit")
            with tf.compat.v1.variable_scope(tf.compat.v1.get_variable_scope(), reuse=True):
                return mine, unit_function(kind)[0](inputs, **args, scope="unit")

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
        layout: built(design((2, 2), 8, kind, layout), image_size=(64, 48))(x).numpy()
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
def small_networks(draw, max_stride=2, kinds=COUNTED_KINDS):
    kind, shortcut = draw(st.sampled_from(kinds)), draw(st.sampled_from(SHORTCUTS))
    units, depth = [], 4
    for _ in range(draw(st.integers(1, 4))):
        depth, stride = depth + draw(st.integers(0, 2)), draw(st.integers(1, max_stride))
        units.append(unit_of(kind, depth, stride))
    root = draw(st.sampled_from([None, Root(4, draw(st.integers(1, 3)) * 2 - 1, draw(st.integers(1, 2)), 1)]))
    return Architecture("net", (Block("b", kind, tuple(units)),), root, shortcut, draw(st.sampled_from(["1x1", "3x3"])))


def reachable_strides(architecture):
    """The output strides that a network has after its root, after its first unit, and so on to its own."""
    root = architecture.root.stride * architecture.root.pool_stride if architecture.root else 1
    return list(itertools.accumulate((unit.stride for unit in architecture.blocks[0].args), operator.mul, initial=root))


def assert_dense_features_subsampled_are_the_nominal_ones(architecture, reached, size):
    """output_stride: atrous convolution computes the same features, only at more positions."""
    net = replace(architecture, num_classes=None, global_pool=False)

    def both(inputs):  # on the same variables
        return [network_function(net)(inputs)[0], network_function(replace(net, output_stride=reached))(inputs)[0]]

    with quick_building():
        function = tf.compat.v1.wrap_function(both, [tf.TensorSpec([None, size, size, 4])])
    randomize(variables(function))
    coarse, dense = function(images(1, size, size, 4))
    factor = reachable_strides(architecture)[-1] // reached
    np.testing.assert_allclose(dense[:, ::factor, ::factor], coarse, rtol=1e-3, atol=1e-4)
    assert np.abs(coarse).max() > 0


@pytest.mark.parametrize(("kind", "stride_in"), [pair for pair in KINDS_AND_STRIDES if pair[0] in LOCAL_KINDS])
def test_every_kind_of_unit_makes_dense_features(kind, stride_in):
    """The second unit comes after a stride and has one; more of them in a row are in the random networks below."""
    units = tuple(unit_of(kind, 6, stride) for stride in (2, 3))
    architecture = Architecture("net", (Block("b", kind, units),), None, stride_in=stride_in)
    assert_dense_features_subsampled_are_the_nominal_ones(architecture, 1, size=17)


@given(architecture=small_networks(kinds=LOCAL_KINDS), data=st.data())
@settings(max_examples=10, deadline=None)
def test_dense_features_of_random_networks(architecture, data):
    reached = data.draw(st.sampled_from(reachable_strides(architecture)))
    assert_dense_features_subsampled_are_the_nominal_ones(architecture, reached, data.draw(st.integers(5, 20)))


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


def test_the_table_of_kinds_is_whole():
    """Every kind is found by its name, by itself and by its function, and has a builder; a row is a value."""
    for name, kind in UNIT_KINDS.items():
        function, found = unit_function(name)
        assert kind.name == name and unit_kind(name) is unit_kind(kind) is unit_kind(function) is found is kind
        assert callable(function) and kind.version == (kind.ordering.version if kind.ordering else kind.version)
    assert len(COUNTED_KINDS) == 4 * len(ORDERINGS) and {*UNIT_KINDS} - {*COUNTED_KINDS} == {
        "basic_v2_first",
        "highway",
        "recurrent",
    }


@pytest.mark.parametrize("name", ["highway", "recurrent"])
def test_a_kind_without_a_closed_form_is_built_and_counted_from_its_graph(name):
    blocks = [Block("b", name, [(4, 1), (8, 2)])]
    network = build(blocks, 8, 3)
    assert network.cost() == tuple(graph_cost(network)[:3]) and network.cost().macs > 0
    with pytest.raises(ValueError, match=f"units of kind '{name}' .Block 'b'. have no closed form; build the network"):
        cost(blocks, 8)


def test_groups_must_divide_the_channels():
    assert as_unit((8, 4, 1, 2), UNIT_KINDS["grouped_bottleneck_v1"].shape).groups == 2
    with pytest.raises(ValueError, match="Block 'b', unit 1: groups must divide depth_bottleneck, got 3 groups of 4"):
        build([Block("b", "grouped_bottleneck_v1", [(8, 4, 1, 3)])])
    with (
        tf.Graph().as_default(),
        pytest.raises(ValueError, match="groups must divide depth_bottleneck, got 3 groups of 4"),
    ):
        resnet_v1.resnet_v1(tf.zeros([1, 8, 8, 3]), [Block("b", "grouped_bottleneck_v1", [(8, 4, 1, 3)])])


@pytest.mark.parametrize(("stride", "rate"), [(1, 1), (2, 1), (1, 2)])
def test_a_convolution_in_groups_and_its_gradient_are_those_of_its_parts(stride, rate):
    x = images(2, 7, 8, 6)

    def network(inputs):
        return conv2d_same(inputs, 9, 3, stride, rate=rate, groups=3, scope="conv")

    function = tf.compat.v1.wrap_function(network, [tf.TensorSpec([None, 7, 8, 6])])
    randomize(variables(function))
    weights, biases = (variables(function)[f"conv/{name}"] for name in ("weights", "biases"))
    inputs = tf.constant(x)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(inputs)
        y = function(inputs)
        padded = tf.pad(inputs, [[0, 0], [rate, rate], [rate, rate], [0, 0]])
        holes = tf.pad(weights[:, None, :, None], [[0, 0], [0, rate - 1], [0, 0], [0, rate - 1], [0, 0], [0, 0]])
        wide = tf.reshape(holes, [3 * rate, 3 * rate, 2, 9])[: 2 * rate + 1, : 2 * rate + 1]
        parts = zip(tf.split(padded, 3, axis=3), tf.split(wide, 3, axis=3), strict=True)
        by_hand = tf.concat([tf.nn.conv2d(a, w, stride, "VALID") for a, w in parts], axis=3)
        by_hand = tf.nn.relu(by_hand + biases)
        upstream = tf.constant(images(*y.shape, seed=2))
        losses = [tf.reduce_sum(upstream * one) for one in (y, by_hand)]
    np.testing.assert_allclose(y, by_hand, rtol=1e-4, atol=1e-5)
    for source in (inputs, weights, biases):
        ours, theirs = (tape.gradient(loss, source) for loss in losses)
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
        assert np.abs(ours).max() > 0


def test_every_output_of_a_squeeze_and_excitation_unit_sees_the_whole_image():
    network = built([Block("b", "se_bottleneck_v1", [(6, 6, 1, 2)])], image_size=24, channels_in=6)
    x = images(1, 24, 24, 6)
    before, after = network(x).numpy(), network(np.where(np.arange(24)[:, None, None] == 0, x + 9, x)).numpy()
    assert (np.abs(after - before).max(axis=(0, 2, 3)) > 0).all()


def doubled(inputs, depth, stride, rate=1, scope=None):
    """A unit of somebody else, of V1: one convolution."""
    return 2 * slim.conv2d(inputs, depth, [3, 3], stride=stride, rate=rate, scope="theirs")


def test_a_unit_of_somebody_else_is_described_and_not_guessed():
    blocks = [Block("b", UnitKind("doubled", BasicUnit, 1, builder=doubled), [(4, 2)])]
    network = build(blocks, 8, 3)
    assert network.architecture.version == 1 and network.name == "resnet_v1"
    assert any("b/unit_1/theirs/weights" in variable.name for variable in network.variables)
    assert network.cost() == tuple(graph_cost(network)[:3])
    for unit_fn in (doubled, lambda *a, **k: resnet_v2.bottleneck(*a, **k)):
        with pytest.raises(
            ValueError, match="unit_fn must be one of .*or a units.UnitKind that says what another function"
        ):
            build([Block("b", unit_fn, [(4, 2, 1)])], 8)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ({"depth": 5}, r"depth 4 at stride 2, got \(None, 4, 4, 5\)"),
        ({"stride": 1}, r"must turn \(None, 7, 7, 64\) into depth 4 at stride 2, got \(None, 7, 7, 4\)"),
        (None, "must return a tensor, got None"),
    ],
)
def test_a_unit_that_does_not_make_what_its_arguments_say_is_named(made, expected):
    """With an odd side, and where features stay dense with a stride of 1."""

    def unit(inputs, depth, stride, rate=1):
        return made and doubled(inputs, **{"depth": depth, "stride": stride, "rate": rate, **made})

    def network(builder, **options):
        return build([Block("b", UnitKind("theirs", BasicUnit, 1, builder=builder), [(4, 2)])], 28, 3, **options)

    with pytest.raises(
        (TypeError, ValueError), match=f"Block 'b', unit 1, of kind 'theirs': the function .*{expected}"
    ):
        network(unit)
    nominal, dense = (network(doubled, output_stride=stride) for stride in (8, 4))
    assert [net.end_points(images(1, 28, 28, 3))["b"].shape[1] for net in (nominal, dense)] == [4, 7]


def with_keras(inputs, depth, stride, rate=1):
    return tf.keras.layers.BatchNormalization()(doubled(inputs, depth, stride, rate))


def with_a_variable(inputs, depth, stride, rate=1):
    return doubled(inputs, depth, stride, rate) * tf.Variable(lambda: tf.ones([depth]), name="by_itself")


def with_get_variable(inputs, depth, stride, rate=1):
    return doubled(inputs, depth, stride, rate) * tf.compat.v1.get_variable("scale", [depth])


@pytest.mark.parametrize(("unit", "variable"), [(with_keras, "batch_norm.*/gamma"), (with_a_variable, "by_itself")])
def test_a_unit_that_makes_variables_by_itself_is_refused(unit, variable):
    """The seed would not draw them, the moving averages of Keras would stay as they began, and a second call had others."""

    def net(builder):
        return Architecture(
            "net", [Block("b", UnitKind("own", BasicUnit, 1, builder=builder), [(64, 1)])], image_size=8
        )

    expected = f"blocks: a unit makes the variable 'net/b/unit_1/{variable}:0' by itself, as layers of Keras do"
    with pytest.raises(ValueError, match=expected):
        build(net(unit))
    with tf.Graph().as_default(), pytest.raises(ValueError, match=expected):  # as training calls it
        network_function(net(unit))(tf.zeros([1, 8, 8, 3]))
    twice = build(net(with_get_variable)).rewired({"b": [1, 1]})
    assert [variable.name for variable in twice.variables].count("net/b/unit_1/scale:0") == 1


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"name": None}, "name must be a name for variables: .*, got None"),
        ({"name": "my unit"}, "name must be a name for variables: .*, got 'my unit'"),
        ({"shape": "BasicUnit"}, "shape must be a class as BasicUnit .* with depth and stride, got 'BasicUnit'"),
        ({"shape": (8, 1)}, r"shape must be a class .*, got \(8, 1\)"),
        ({"shape": Block}, "shape must be a class .* depth and stride, got <class 'resnet_lib.blocks.Block'>"),
        ({"version": 3}, r"version must be one of \[1, 2\], got 3"),
        ({"ordering": "v2"}, "ordering must be an Ordering or None, got 'v2'"),
        ({"options": ("foo",)}, r"options must be one of \['shortcut', 'stride_in', 'dilation'\], got 'foo'"),
        ({"options": "shortcut"}, "options must be a list of names, got 'shortcut'"),
        ({"builder": ""}, "builder must be a function that makes a unit, or one of .*'highway'.*, got ''"),
        ({"builder": 7}, "builder must be a function that makes a unit, or one of .*, got 7"),
        ({"builder": ["a"]}, "builder must be a function that makes a unit, or one of .*, got "),
    ],
)
def test_what_makes_no_kind_of_unit_is_named(change, expected):
    right = {"name": "doubled", "shape": BasicUnit, "version": 1, "builder": doubled}
    assert UnitKind(**right, options=["shortcut"]).options == ("shortcut",)
    with pytest.raises((TypeError, ValueError), match=expected):
        UnitKind(**{**right, **change})


def test_an_option_that_cannot_reach_a_unit_is_refused():
    with pytest.raises(ValueError, match="shortcut: units of kind 'highway' do not take it, got 'C'"):
        build([Block("b", highway_unit, [(4, 1)])], 8, shortcut="C")
    with pytest.raises(ValueError, match="shortcut: units of kind 'doubled' do not take it, got 'none'"):
        build([Block("b", UnitKind("doubled", BasicUnit, 1, builder=doubled), [(4, 1)])], 8, shortcut="none")
    with tf.Graph().as_default(), slim.arg_scope(resnet_arg_scope(is_training=False)):
        block, x = Block("b", lambda *a, **k: resnet_v2.bottleneck(*a, **k), [(4, 2, 1)]), tf.zeros([1, 8, 8, 3])
        with pytest.raises(ValueError, match="shortcut: 'none' cannot reach <function"):
            resnet_v2.resnet_v2(x, [block], shortcut="none")
        _, end_points = resnet_v2.resnet_v2(x, [block])
        assert (
            "resnet_v2/b/unit_1/bottleneck_v2/conv1" in end_points and "resnet_v2/b/unit_1/bottleneck_v2" in end_points
        )


@pytest.mark.parametrize("shortcut", ["A", "C"])
def test_a_recurrent_unit_gets_the_shortcut_that_the_network_says(shortcut):
    network = build([Block("b", "recurrent", [(64, 1), (72, 2)])], 8, 3, shortcut=shortcut)
    projections = sum(variable.name.endswith("shortcut/weights:0") for variable in network.variables)
    assert projections == (2 if shortcut == "C" else 0) and network.architecture.shortcut == shortcut
