"""Inception V4, Inception-ResNet V1 and V2 against published counts, Keras' Inception-ResNet V2, plain TensorFlow and NumPy.

Once, by hand: facenet's own V1 and V2 have the same variables in the same order, and with the same weights every end point
of both is equal to the last bit.
"""

import re
from functools import cache
from math import prod

import numpy as np
import pytest
from slim_networks import images, randomize, variables

from resnet_lib import build, inception, inception_modules
from resnet_lib.data import published
from resnet_lib.graph_cost import graph_cost
from resnet_lib.inception import inception_arg_scope, inception_module, residual_module
from resnet_lib.other_nets import OTHER_NETS
from resnet_lib.tf_slim_compat import quick_building, slim, tf

NETWORKS = {
    "inception_v4": inception.inception_v4,
    "inception_resnet_v1": inception.inception_resnet_v1,
    "inception_resnet_v2": inception.inception_resnet_v2,
}
each_network = pytest.mark.parametrize("name", NETWORKS)


def wrapped(function, shape=(None, None, None, 3), training_scope=False, **options):
    """A network or module as a callable with variables of its own."""

    def build(inputs):
        with slim.arg_scope(inception_arg_scope(is_training=training_scope, weight_decay=0.0)):
            return function(inputs, **options)

    with quick_building():
        return tf.compat.v1.wrap_function(build, [tf.TensorSpec(shape)])


@cache
def whole(name):
    """At 299 pixels, with 1000 classes and the auxiliary head. Its weights are whatever the last test has left."""
    return wrapped(NETWORKS[name], (None, 299, 299, 3), num_classes=1000, create_aux_logits=True)


def graph_and_end_points(name):
    return whole(name).graph, whole(name).structured_outputs[1]


def values_at(name, end_point, pictures):
    """One end point of the whole network, and nothing that it does not need."""
    function = whole(name)
    return function.prune(function.inputs[0], function.structured_outputs[1][end_point])(tf.constant(pictures))


@pytest.fixture
def skeletons(monkeypatch):
    """What keeps the size is left out, so that networks are built in a moment. Returns the residual modules called for."""
    modules = []

    def identity(net, branches, scale, activation_fn, scope):
        modules.append((scope, scale, activation_fn))
        return net

    monkeypatch.setattr(inception_modules, "residual_module", identity)
    for table in ("INCEPTION_A", "INCEPTION_B", "INCEPTION_C"):
        monkeypatch.setattr(inception, table, ("1x1 8",))
    return modules


# Parameters, MACs and activations: of the network, and of its auxiliary head.
COUNTS = {
    "inception_v4": ((42_648_232, 12_253_974_624, 15_090_184), (3_358_568, 6_502_400, 4_968)),
    "inception_resnet_v1": ((24_342_808, 6_308_597_856, 13_298_488), (3_342_184, 6_092_800, 4_968)),
    "inception_resnet_v2": ((55_813_192, 13_155_794_016, 25_059_976), (3_366_760, 6_707_200, 4_968)),
}


@pytest.mark.parametrize(("name", "modules"), [("inception_v4", 0), ("inception_resnet_v2", 40)])
def test_only_the_residual_network_adds_feature_maps(name, modules):
    """As chapter 10 says."""
    operations = graph_and_end_points(name)[0].get_operations()
    added = [op for op in operations if op.type.startswith("Add") and op.outputs[0].shape.as_list()[:1] == [None]]
    assert len(added) == modules and all(op.outputs[0].shape.rank == 4 for op in added)


def params(name, selected):
    found = graph_and_end_points(name)[0].get_collection(tf.compat.v1.GraphKeys.TRAINABLE_VARIABLES)
    return sum(prod(variable.shape) for variable in found if selected(variable.name))


@each_network
def test_counts(name):
    cost = graph_cost(graph_and_end_points(name)[0])
    head = [op for op in cost.ops if "/AuxLogits/" in op.name]
    macs, activations = sum(op.macs for op in head), sum(op.activations for op in head)
    assert COUNTS[name][1] == (params(name, lambda variable: "/AuxLogits/" in variable), macs, activations)
    assert COUNTS[name][0] == (cost.params - COUNTS[name][1][0], cost.macs - macs, cost.activations - activations)


def grids(size):
    """The sides of the feature maps on the way down."""
    for kernel, stride in ((3, 2), (3, 1), (3, 2), (3, 1), (3, 2), (3, 2), (3, 2)):
        size = (size - kernel) // stride + 1
        yield size


def trunk_macs(name, size):
    """MACs up to the pooling for images of another size: those at 299, by the areas of the feature maps."""
    graph, _ = graph_and_end_points(name)
    side = dict(zip(grids(299), grids(size), strict=True))
    ops = [op for op in graph_cost(graph).ops if "Logits/" not in op.name]
    heights = [graph.get_operation_by_name(op.name).outputs[0].shape[1] for op in ops]
    return sum(op.macs * side[height] ** 2 / height**2 for op, height in zip(ops, heights, strict=True))


ROWS = [row for row in published("params_macs").itertuples() if row.model in NETWORKS]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.model}, {row.variant}, {row.input_size}")
def test_published_counts(row):
    """tf-slim's rows have the auxiliary head, and no gamma in batch norms, as here. The others leave the head out and train
    gamma, one for each beta. Their MACs add up to 0.5 % for batch norm and pooling."""
    (count, macs, activations), head = COUNTS[row.model]
    gammas = params(row.model, lambda variable: variable.endswith("beta:0") and "/AuxLogits/" not in variable)
    if row.variant == "TF-SLIM":
        assert int(row.params) == count + head[0]
        assert float(row.gmacs) * 1e9 == pytest.approx(macs + head[1], rel=1e-3)
    elif row.variant.startswith("imgclsmob"):
        if row.model == "inception_resnet_v1":  # the head of a face network: 1792 -> 512, batch norm, -> 1000
            count += (1792 * 512 + 2 * 512 + 513 * 1000) - 1793 * 1000
        assert int(row.params) == count + gammas
        assert float(row.gmacs) * 1e9 == pytest.approx(macs, rel=5e-3)
    elif row.variant.startswith("timm"):
        assert row.params == f"{(count + gammas) / 1e6:.2f}M"
        assert float(row.gmacs) * 1e9 == pytest.approx(macs, rel=3e-3)
        assert row.act_or_feat.startswith(f"{activations / 1e6:.2f} M")
    elif row.variant.startswith("Keras"):  # with the moving means and variances, as many as two betas
        assert row.params == f"{(count + 2 * gammas) / 1e6:.1f}M"
    elif row.variant.startswith("TF-SLIM up to"):  # other sizes, no classifier
        assert float(row.gmacs) * 1e9 == pytest.approx(trunk_macs(row.model, int(row.input_size)), rel=3e-3)
    elif row.variant == "OMZ" and row.model == "inception_v4":
        assert row.params == f"{count / 1e6:.3f}M"
        assert float(row.gmacs) * 1e9 == pytest.approx(macs, rel=5e-3)
    else:  # 30.2 million parameters: against every other source, as the row's note says
        assert row.variant == "OMZ" and "DISAGREES" in row.note


STEM = {"Conv2d_1a_3x3": (149, 32), "Conv2d_2a_3x3": (147, 32), "Conv2d_2b_3x3": (147, 64)}
RESNET_STEM = {**STEM, "MaxPool_3a_3x3": (73, 64), "Conv2d_3b_1x1": (73, 80), "Conv2d_4a_3x3": (71, 192)}


def numbered(name, count, *shape):
    return {f"{name}_{i}": shape for i in range(1, count + 1)}


def heads(depth):
    return {"AuxLogits": (1, 1000), "global_pool": (1, depth), "Logits": (1, 1000), "Predictions": (1, 1000)}


END_POINTS = {
    "inception_v4": {
        **STEM,
        "Mixed_3a": (73, 160),
        "Mixed_4a": (71, 192),
        **{f"Mixed_5{letter}": (35, 384) for letter in "abcde"},
        **{f"Mixed_6{letter}": (17, 1024) for letter in "abcdefgh"},
        **{f"Mixed_7{letter}": (8, 1536) for letter in "abcd"},
        **heads(1536),
    },
    "inception_resnet_v1": {
        **RESNET_STEM,
        "Conv2d_4b_3x3": (35, 256),
        **numbered("block35", 5, 35, 256),
        "Mixed_6a": (17, 896),
        **numbered("block17", 10, 17, 896),
        "PreAuxLogits": (17, 896),
        "Mixed_7a": (8, 1792),
        **numbered("block8", 5, 8, 1792),
        "Block8": (8, 1792),
        **heads(1792),
    },
    "inception_resnet_v2": {
        **RESNET_STEM,
        "MaxPool_5a_3x3": (35, 192),
        "Mixed_5b": (35, 320),
        **numbered("block35", 10, 35, 320),
        "Mixed_6a": (17, 1088),
        **numbered("block17", 20, 17, 1088),
        "PreAuxLogits": (17, 1088),
        "Mixed_7a": (8, 2080),
        **numbered("block8", 9, 8, 2080),
        "Block8": (8, 2080),
        "Conv2d_7b_1x1": (8, 1536),
        **heads(1536),
    },
}


@each_network
def test_end_points_and_their_shapes(name):
    end_points = graph_and_end_points(name)[1]
    flat = end_points["PreLogitsFlatten"].shape.as_list()
    shapes = {key: tensor.shape.as_list() for key, tensor in end_points.items() if key != "PreLogitsFlatten"}
    assert list(shapes) == list(END_POINTS[name]) and flat == [None, END_POINTS[name]["global_pool"][1]]
    assert shapes == {key: [None, size, size, depth] for key, (size, depth) in END_POINTS[name].items()}


CHECKPOINT_VARIABLES = {
    "inception_v4": {
        "InceptionV4/Mixed_3a/Branch_1/Conv2d_0a_3x3/weights": [3, 3, 64, 96],
        "InceptionV4/Mixed_5b/Branch_0/Conv2d_0a_1x1/BatchNorm/moving_variance": [96],
        "InceptionV4/Mixed_6b/Branch_2/Conv2d_0e_1x7/weights": [1, 7, 224, 256],
        "InceptionV4/Mixed_7d/Branch_2/Conv2d_0e_3x1/BatchNorm/beta": [256],
        "InceptionV4/AuxLogits/Conv2d_2a/weights": [5, 5, 128, 768],
        "InceptionV4/AuxLogits/Aux_logits/weights": [768, 1000],
        "InceptionV4/Logits/Logits/weights": [1536, 1000],
    },
    "inception_resnet_v1": {
        "InceptionResnetV1/Conv2d_4b_3x3/weights": [3, 3, 192, 256],
        "InceptionResnetV1/Repeat_1/block17_10/Branch_1/Conv2d_0c_7x1/weights": [7, 1, 128, 128],
        "InceptionResnetV1/Block8/Conv2d_1x1/biases": [1792],
    },
    "inception_resnet_v2": {
        "InceptionResnetV2/Mixed_5b/Branch_0/Conv2d_1x1/weights": [1, 1, 192, 96],
        "InceptionResnetV2/Repeat/block35_1/Branch_0/Conv2d_1x1/weights": [1, 1, 320, 32],
        "InceptionResnetV2/Repeat/block35_10/Conv2d_1x1/weights": [1, 1, 128, 320],
        "InceptionResnetV2/Repeat_2/block8_9/Branch_1/Conv2d_0c_3x1/weights": [3, 1, 224, 256],
        "InceptionResnetV2/Mixed_7a/Branch_2/Conv2d_1a_3x3/weights": [3, 3, 288, 320],
        "InceptionResnetV2/AuxLogits/Conv2d_2a_5x5/weights": [5, 5, 128, 768],
        "InceptionResnetV2/AuxLogits/Logits/biases": [1000],
        "InceptionResnetV2/Logits/Logits/weights": [1536, 1000],
    },
}


@each_network
def test_variables_have_the_names_of_the_published_weights(name):
    found = graph_and_end_points(name)[0].get_collection(tf.compat.v1.GraphKeys.GLOBAL_VARIABLES)
    shapes = {variable.name.split(":")[0]: variable.shape.as_list() for variable in found}
    assert CHECKPOINT_VARIABLES[name].items() <= shapes.items()
    assert not any("gamma" in variable for variable in shapes)


def test_inception_resnet_v2_is_that_of_keras():
    """Equal but for their layers' names. Keras has no auxiliary head, no dropout and no L2; in training its batch norms' decay
    is 0.99 to slim's 0.9997. Convolutions without a name are numbered in order of creation, which is slim's."""
    name = "inception_resnet_v2"
    keras = tf.keras.applications.InceptionResNetV2(weights=None, classifier_activation=None)
    by_name = {key: value for key, value in variables(whole(name)).items() if "/AuxLogits/" not in key}
    randomize(by_name)

    def in_order(prefix):
        named = [layer for layer in keras.layers if re.fullmatch(rf"{prefix}(_\d+)?", layer.name)]
        return iter(
            sorted(named, key=lambda layer: int((re.findall(r"\d+$", layer.name.removeprefix(prefix)) or [0])[0]))
        )

    convolutions, norms, leaves = in_order("conv2d"), in_order("batch_normalization"), {}
    for key, variable in by_name.items():
        scope, leaf = key.removeprefix("InceptionResnetV2/").replace("/BatchNorm", "").rsplit("/", 1)
        leaves.setdefault(scope, {})[leaf] = variable
    for scope, weights in leaves.items():
        if scope == "Logits/Logits":
            conv, norm = keras.get_layer("predictions"), None
        elif scope == "Conv2d_7b_1x1":
            conv, norm = keras.get_layer("conv_7b"), keras.get_layer("conv_7b_bn")
        elif "biases" in weights:  # Repeat/block35_1/Conv2d_1x1, Block8/Conv2d_1x1
            block = scope.split("/")[-2].replace("Block8", "block8_10")
            conv, norm = keras.get_layer(f"{block}_conv"), None
        else:
            conv, norm = next(convolutions), next(norms)
        conv.set_weights([weights[leaf] for leaf in ("weights", "biases") if leaf in weights])
        if norm:
            norm.set_weights([weights[leaf] for leaf in ("beta", "moving_mean", "moving_variance")])
    assert next(convolutions, None) is next(norms, None) is None
    assert keras.count_params() == sum(prod(variable.shape) for variable in by_name.values())
    assert sum(prod(weight.shape) for weight in keras.trainable_weights) == COUNTS[name][0][0]

    pictures = images(1, 299, 299, 3)
    logits, expected = values_at(name, "Logits", pictures)[:, 0, 0], keras(pictures, training=False).numpy()
    assert np.abs(logits - expected).max() < 1e-4 * np.abs(expected).max() and np.std(expected) > 0.01


def plain_inception_v4(x, weights):
    """The features of Inception V4 in plain TensorFlow, box by box; `weights` gives each convolution's kernel, beta, mean and
    variance in turn."""

    def conv(x, height, width, depth, stride=1, padding="SAME"):
        kernel, beta, mean, variance = next(weights)
        assert kernel.shape == (height, width, x.shape[3], depth)
        return tf.nn.relu((tf.nn.conv2d(x, kernel, stride, padding) - mean) / tf.sqrt(variance + 0.001) + beta)

    def down(x, depth):
        return conv(x, 3, 3, depth, 2, "VALID")

    def average(x):  # over the pixels that exist
        return tf.nn.avg_pool2d(x, 3, 1, "SAME")

    def pool(x):
        return tf.nn.max_pool2d(x, 3, 2, "VALID")

    def cat(*branches):
        return tf.concat(branches, 3)

    x = conv(conv(down(x, 32), 3, 3, 32, 1, "VALID"), 3, 3, 64)
    x = cat(pool(x), down(x, 96))
    short = conv(conv(x, 1, 1, 64), 3, 3, 96, 1, "VALID")
    long = conv(conv(conv(x, 1, 1, 64), 1, 7, 64), 7, 1, 64)
    x = cat(short, conv(long, 3, 3, 96, 1, "VALID"))
    x = cat(down(x, 192), pool(x))
    for _ in range(4):
        one, two = conv(x, 1, 1, 96), conv(conv(x, 1, 1, 64), 3, 3, 96)
        three = conv(conv(conv(x, 1, 1, 64), 3, 3, 96), 3, 3, 96)
        x = cat(one, two, three, conv(average(x), 1, 1, 96))
    x = cat(down(x, 384), down(conv(conv(x, 1, 1, 192), 3, 3, 224), 256), pool(x))
    for _ in range(7):
        one, two = conv(x, 1, 1, 384), conv(conv(conv(x, 1, 1, 192), 1, 7, 224), 7, 1, 256)
        three = conv(conv(conv(x, 1, 1, 192), 7, 1, 192), 1, 7, 224)
        three = conv(conv(three, 7, 1, 224), 1, 7, 256)
        x = cat(one, two, three, conv(average(x), 1, 1, 128))
    one = down(conv(x, 1, 1, 192), 192)
    x = cat(one, down(conv(conv(conv(x, 1, 1, 256), 1, 7, 256), 7, 1, 320), 320), pool(x))
    for _ in range(3):
        one, two = conv(x, 1, 1, 256), conv(x, 1, 1, 384)
        two = cat(conv(two, 1, 3, 256), conv(two, 3, 1, 256))
        three = conv(conv(conv(x, 1, 1, 384), 3, 1, 448), 1, 3, 512)
        three = cat(conv(three, 1, 3, 256), conv(three, 3, 1, 256))
        x = cat(one, two, three, conv(average(x), 1, 1, 256))
    return tf.reduce_mean(x, [1, 2])


def test_inception_v4_is_that_of_plain_tensorflow():
    trunk = {key: value for key, value in variables(whole("inception_v4")).items() if "Logits/" not in key}
    randomize(trunk)
    for key, variable in trunk.items():
        if "weights" in key:  # as many layers would forget what came in, and a wrong pooling on the way with it
            variable.assign(np.sqrt(2) * variable)
    weights = iter(zip(*[iter(trunk.values())] * 4, strict=True))
    pictures = images(1, 299, 299, 3)
    expected = plain_inception_v4(pictures, weights).numpy()
    assert next(weights, None) is None
    features = values_at("inception_v4", "global_pool", pictures)
    assert features.shape == (1, 1, 1, 1536)
    assert np.abs(features[:, 0, 0] - expected).max() < 1e-4 * expected.max() and np.std(expected) > 0.01


def test_a_residual_module_adds_what_numpy_adds():
    """x + scale * up, up being the branches' channels times the matrix of the 1x1 convolution, plus its bias."""
    branches, x = ("1x1 3", "1x1 2, 3x3 5"), images(2, 6, 5, 4)
    module = wrapped(residual_module, (None, None, None, 4), branches=branches, scale=0.3, scope="m")
    mixed = wrapped(inception_module, (None, None, None, 4), branches=branches, scope="m")
    randomize(variables(module))
    for name, variable in variables(mixed).items():
        variable.assign(variables(module)[name])
    matrix, bias = (variables(module)[f"m/Conv2d_1x1/{leaf}"].numpy() for leaf in ("weights", "biases"))
    total = x + 0.3 * (mixed(x).numpy() @ matrix[0, 0] + bias)
    assert (total < 0).any() and np.abs(module(x) - np.maximum(total, 0)).max() < 1e-6
    linear = wrapped(
        residual_module, (None, None, None, 4), branches=branches, scale=0.3, activation_fn=None, scope="m"
    )
    for name, variable in variables(linear).items():
        variable.assign(variables(module)[name])
    assert np.abs(linear(x) - total).max() < 1e-6


@pytest.mark.parametrize("branches", [inception.RESNET_V1_A, inception.RESNET_V2_B, inception.RESNET_V2_C])
def test_scale_0_is_the_identity_up_to_the_activation(branches):
    x = images(2, 5, 6, 4)
    for activation_fn, expected in ((tf.nn.relu, np.maximum(x, 0)), (None, x)):
        module = wrapped(residual_module, x.shape, branches=branches, scale=0, activation_fn=activation_fn)
        randomize(variables(module))
        assert (module(x).numpy() == expected).all()
    module = wrapped(residual_module, x.shape, branches=branches)
    randomize(variables(module))
    assert np.abs(module(x) - np.maximum(x, 0)).max() > 0.1


@pytest.mark.parametrize(
    ("name", "modules", "scale", "scales"),
    [
        ("inception_resnet_v1", (5, 10, 5), {}, (0.17, 0.10, 0.20)),
        ("inception_resnet_v1", (5, 10, 5), {"scale": 0.3}, (0.3, 0.3, 0.3)),
        ("inception_resnet_v2", (10, 20, 9), {}, (0.17, 0.10, 0.20)),
        ("inception_resnet_v2", (10, 20, 9), {"scale": (0.1, 0.2, 1)}, (0.1, 0.2, 1.0)),
    ],
)
def test_each_kind_of_module_has_its_scale_and_the_last_has_none(name, modules, scale, scales, skeletons):
    wrapped(NETWORKS[name], **scale)
    kinds = zip(("Repeat/block35", "Repeat_1/block17", "Repeat_2/block8"), modules, scales, strict=True)
    expected = [(f"{scope}_{i}", factor, tf.nn.relu) for scope, n, factor in kinds for i in range(1, n + 1)]
    assert skeletons == [*expected, ("Block8", 1.0, None)]


def test_a_module_is_its_table():
    module = wrapped(inception_module, (None, 9, 9, 4), branches=inception.INCEPTION_C, scope="Mixed_7b")
    assert module.structured_outputs.shape.as_list() == [None, 9, 9, 1536]
    weights = [name.split("/", 1)[1] for name in variables(module) if name.endswith("weights")]
    assert weights == [
        f"Branch_{box}/weights"
        for box in (
            "0/Conv2d_0a_1x1",
            "1/Conv2d_0a_1x1",
            "1/Conv2d_0b_1x3",
            "1/Conv2d_0c_3x1",
            "2/Conv2d_0a_1x1",
            "2/Conv2d_0b_3x1",
            "2/Conv2d_0c_1x3",
            "2/Conv2d_0d_1x3",
            "2/Conv2d_0e_3x1",
            "3/Conv2d_0b_1x1",
        )
    ]
    reduction = wrapped(inception_module, (None, 9, 8, 4), branches=inception.REDUCTION_V2_B)
    assert reduction.structured_outputs.shape.as_list() == [None, 4, 3, 384 + 288 + 320 + 4]


LAST = {"inception_v4": "Mixed_7d", "inception_resnet_v1": "Block8", "inception_resnet_v2": "Conv2d_7b_1x1"}


@each_network
@pytest.mark.parametrize(("auxiliary", "least"), [(False, 75), (True, 107)])
def test_the_smallest_image_is_as_small_as_the_convolutions_allow(name, auxiliary, least, skeletons, monkeypatch):
    def build(height, width):  # batch norms and penalties change no size
        plain = slim.arg_scope([slim.conv2d, slim.fully_connected], normalizer_fn=None, weights_regularizer=None)
        with tf.Graph().as_default(), quick_building(), slim.arg_scope(inception_arg_scope()), plain:
            return NETWORKS[name](tf.zeros([1, height, width, 3]), 5, create_aux_logits=auxiliary)[1]

    end_points = build(least, least)
    assert end_points[LAST[name]].shape[1:3] == ([2, 2] if auxiliary else [1, 1])
    what = " for create_aux_logits" if auxiliary else ""
    for height, width in ((least - 1, 299), (299, least - 1)):
        message = rf"inputs must be at least {least}x{least}{what}, got \(1, {height}, {width}, 3\)"
        with pytest.raises(ValueError, match=message):
            build(height, width)
    monkeypatch.setattr(inception, "MIN_SIZE", 0)
    monkeypatch.setattr(inception, "MIN_SIZE_AUX", 0)
    with pytest.raises(ValueError, match="[Nn]egative dimension"):
        build(least - 1, least)


@each_network
def test_a_network_is_built_by_its_name_and_for_images_of_any_size(name, skeletons):
    assert OTHER_NETS[name].image_size == 299
    network = build(name, image_size=None, num_classes=5)
    assert network.name == name and network.input_shape == (None, None, None, 3)
    assert network.function.output_shapes.as_list() == [None, 1, 1, 5]
    assert not any("AuxLogits" in variable.name for variable in network.variables)
    for shape in ((2, 75, 130, 3), (1, 91, 107, 3)):
        logits, end_points = network(images(*shape)), network.end_points(images(*shape))
        assert logits.shape == (shape[0], 1, 1, 5) and np.isfinite(logits).all() and np.std(logits) > 0
        assert {"Conv2d_1a_3x3", "Predictions"} <= set(end_points)
        assert np.abs(tf.reduce_sum(end_points["Predictions"], -1) - 1).max() < 1e-6


def test_dropout_and_batch_statistics_in_training_only(skeletons):
    x = images(2, 75, 75, 3)
    for in_scope, in_call, training in ((True, False, False), (False, None, False), (False, True, True)):
        function = wrapped(
            inception.inception_resnet_v1, x.shape, in_scope, num_classes=5, is_training=in_call, dropout_keep_prob=0.5
        )
        end_points = function(x)[1]
        pooled, flat = end_points["global_pool"][:, 0, 0].numpy(), end_points["PreLogitsFlatten"].numpy()
        kept = np.isclose(flat, 2 * pooled) & (pooled > 0)
        assert 0.4 < kept[pooled > 0].mean() < 0.6 if training else (flat == pooled).all()
        norm = [op for op in function.graph.get_operations() if op.type == "FusedBatchNormV3"][0]
        assert norm.get_attr("is_training") == training


def test_reuse_shares_variables_and_features_need_no_classifier(skeletons):
    with tf.Graph().as_default(), quick_building(), slim.arg_scope(inception_arg_scope()):
        x = tf.zeros([1, 75, 75, 3])
        net, end_points = inception.inception_resnet_v1(x, scope="net", create_aux_logits=True)
        assert net is end_points["global_pool"] and "AuxLogits" not in end_points and "Logits" not in end_points
        before = tf.compat.v1.global_variables()
        inception.inception_resnet_v1(x, scope="net", reuse=True)
        assert len(tf.compat.v1.global_variables()) == len(before) > 50
        with pytest.raises(ValueError, match="already exists"):
            inception.inception_resnet_v1(x, scope="net")


def test_the_arg_scope_sets_gamma_and_weight_decay():
    """L2 of every kernel and matrix, the classifier's too, and of nothing else: half the decay times the sum of squares."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        with slim.arg_scope(inception_arg_scope(weight_decay=0.5, batch_norm_scale=True)):
            residual_module(tf.zeros([1, 5, 5, 4]), ("1x1 3",), scope="m")
            slim.fully_connected(tf.zeros([1, 4]), 2, scope="classifier")
        trained = tf.compat.v1.trainable_variables()
        session.run(tf.compat.v1.global_variables_initializer())
        losses = session.run(tf.compat.v1.losses.get_regularization_losses())
        values = session.run(trained)
    leaves = [variable.name.rsplit("/", 1)[1] for variable in trained]
    assert sorted(leaves) == ["beta:0", "biases:0", "biases:0", "gamma:0", *3 * ["weights:0"]]
    weights = [value for leaf, value in zip(leaves, values, strict=True) if leaf == "weights:0"]
    np.testing.assert_allclose(losses, [0.5 / 2 * np.sum(value**2) for value in weights], rtol=1e-5)


def test_bad_input_is_named(skeletons):
    with tf.Graph().as_default():
        x, unknown = tf.zeros([1, 299, 299, 3]), tf.compat.v1.placeholder(tf.float32, [None, None, 299, 3])
        for network in NETWORKS.values():
            with pytest.raises(ValueError, match=r"inputs must be \[batch, height, width, channels\].*got \(299, 3\)"):
                network(x[0, 0])
            with pytest.raises(ValueError, match="inputs must have a known height and width for create_aux_logits"):
                network(unknown, 5, create_aux_logits=True)
            with pytest.raises(ValueError, match="num_classes must be a positive whole number, got 0"):
                network(x, 0)
            with pytest.raises(TypeError, match="num_classes must be a positive whole number, got 2.5"):
                network(x, 2.5)
        for box in ("3x3", "3 96", "3x3 96 V/3", "3x3 96 /2", "3x3 median"):
            with pytest.raises(ValueError, match=f'a box reads like "1x7 224", .*, got {box!r}'):
                inception_module(x, ("1x1 2", f"1x1 3, {box}"))
        for scale in ((0.1, 0.2), "large", None, float("nan"), [[0.1] * 3] * 3):
            with pytest.raises(ValueError, match="scale must be one number or three, for the A, B and C modules, got"):
                inception.inception_resnet_v2(x, scale=scale)
