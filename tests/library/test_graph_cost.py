"""The two counts, closed form and graph, are equal to the last integer: in every layout here, of named networks in
test_network, of random ones in test_fuzz."""

import pytest
import tf_keras

from experiments.as_built import graph_of
from resnet_lib import Block, build, cost
from resnet_lib.exploration import design
from resnet_lib.graph_cost import graph_cost
from resnet_lib.tf_slim_compat import tf


@pytest.mark.parametrize("layout", ["paper", "v1.5", "slim"])
@pytest.mark.parametrize("kind", ["basic_v1", "bottleneck_v1", "bottleneck_v2"])
def test_closed_form_is_the_graphs_count_for_every_layout(kind, layout):
    """Two units in each block, so that its first and its last are not the same."""
    network = design((2, 2), 8, kind, layout)
    assert graph_cost(graph_of(network))[:3] == cost(network)


def test_counts_of_a_known_graph_by_hand():
    with tf.Graph().as_default() as graph:
        images = tf.compat.v1.placeholder(tf.float32, [None, 6, 5, 4])
        zeros = tf.zeros_initializer()
        kernels = tf.compat.v1.get_variable("kernels", [3, 3, 2, 8], initializer=zeros)  # two groups of two channels
        net = tf.nn.conv2d(images, kernels, 1, "SAME")
        filters = tf.compat.v1.get_variable("filters", [3, 3, 8, 2], initializer=zeros)
        net = tf.nn.depthwise_conv2d(net, filters, [1, 1, 1, 1], "VALID")
        matrix = tf.compat.v1.get_variable("matrix", [192, 10], initializer=zeros)
        tf.nn.relu(tf.reshape(net, [-1, 192]) @ matrix)
    counted = graph_cost(graph)
    assert [(op.type, op.macs) for op in counted.ops] == [
        ("Conv2D", 6 * 5 * 8 * 9 * 2),
        ("DepthwiseConv2dNative", 4 * 3 * 16 * 9),
        ("MatMul", 192 * 10),
    ]
    assert counted.params == 3 * 3 * 2 * 8 + 3 * 3 * 8 * 2 + 1920
    assert counted.activations == 6 * 5 * 8 + 4 * 3 * 16 + 10
    assert counted.uncounted == {"Relu": 1}


def test_a_grouped_convolution_costs_what_its_groups_do():
    with tf.Graph().as_default() as together:
        images = tf.compat.v1.placeholder(tf.float32, [None, 6, 5, 12])
        tf.nn.conv2d(images, tf.ones([3, 3, 3, 8]), 2, "SAME")  # four groups of three channels
    with tf.Graph().as_default() as apart:
        images = tf.compat.v1.placeholder(tf.float32, [None, 6, 5, 12])
        for group in tf.split(images, 4, axis=3):
            tf.nn.conv2d(group, tf.ones([3, 3, 3, 2]), 2, "SAME")
    counted = [graph_cost(graph) for graph in (together, apart)]
    assert counted[0].macs == counted[1].macs == 3 * 3 * (3 * 3 * 3) * 8
    assert counted[0].activations == counted[1].activations == 3 * 3 * 8


def test_a_known_batch_is_counted_whole():
    with tf.Graph().as_default() as graph:
        tf.ones([5, 2, 3]) @ tf.ones([5, 3, 4])
        tf.matmul(tf.ones([3, 2]), tf.ones([3, 4]), transpose_a=True)
    assert [op.macs for op in graph_cost(graph).ops] == [5 * 2 * 3 * 4, 2 * 3 * 4]


def test_functions_within_a_graph_are_counted():
    inner = tf.function(lambda x: x @ tf.ones([5, 7]))
    outer = tf.function(lambda x: inner(x) @ tf.ones([7, 2])).get_concrete_function(tf.TensorSpec([1, 5]))
    assert graph_cost(outer).macs == 35 + 14


def test_keras_resnet50v2_counts_the_same():
    keras = tf.keras.applications.ResNet50V2(weights=None)
    forward = tf.function(lambda x: keras(x, training=False)).get_concrete_function(tf.TensorSpec([None, 224, 224, 3]))
    assert graph_cost(forward)[:3] == cost("resnet_v2_50")


def test_keras_resnet50_counts_the_same_but_for_its_biases():
    """Keras' V1 strides as the paper does, and has a bias before each batch norm: one for each of its channels."""
    keras = tf.keras.applications.ResNet50(weights=None)
    forward = tf.function(lambda x: keras(x, training=False)).get_concrete_function(tf.TensorSpec([None, 224, 224, 3]))
    counted, ours = graph_cost(forward), cost("resnet_v1_50", layout="paper")
    assert counted[1:3] == ours[1:3] and counted.params - ours.params == 26_560


def test_unknown_sizes_are_refused():
    with tf.Graph().as_default() as graph:
        tf.nn.conv2d(
            tf.compat.v1.placeholder(tf.float32, [1, None, None, 3]), tf.ones([1, 1, 3, 2]), 1, "SAME", name="conv"
        )
    with pytest.raises(ValueError, match="conv writes .*: counting needs every size but the batch's"):
        graph_cost(graph)


def traced(function, *shapes):
    return tf.function(function).get_concrete_function(*(tf.TensorSpec(shape) for shape in shapes))


def keras_function(keras, layers, shape):
    model = keras.Sequential([keras.layers.Input(shape), *layers(keras.layers)])
    return traced(lambda x: model(x, training=False), [None, *shape]), model


def product(x, depth):
    return x @ tf.ones([x.shape[-1], depth])


def deep(x, depth):
    """A product in a function in a function ..."""
    inner = tf.function(lambda x: deep(x, depth - 1) if depth > 1 else product(x, 5))
    return tf.nn.elu(inner(x))


# A function of [any, 8, 5], the MACs of its products and what is listed besides.
WITH_FUNCTIONS = {
    "two deep": (lambda x: deep(x, 2), [8 * 25], {"Elu": 2}),
    "three deep, twice": (lambda x: deep(x, 3) + deep(x, 3), [8 * 25] * 2, {"AddV2": 1, "Elu": 6}),
    "cond": (
        lambda x: tf.cond(tf.size(x) > 9, lambda: product(x, 7), lambda: product(product(x, 2), 7)),
        [8 * 10, 8 * 14, 8 * 35],
        {"StatelessIf": 1},
    ),
    "case": (
        lambda x: tf.switch_case(tf.size(x), [lambda: product(x, 7), lambda: tf.nn.selu(product(x, 7))]),
        [8 * 35] * 2,
        {"Selu": 1, "StatelessCase": 1},
    ),
    "while_loop, then a product": (
        lambda x: product(tf.while_loop(lambda x: tf.size(x) > 9, lambda x: [product(x, 5)], [x])[0], 7),
        [8 * 25, 8 * 35],
        {"StatelessWhile": 1},
    ),
    "map_fn": (lambda x: tf.map_fn(lambda x: product(x, 7), x), [8 * 35], {"StatelessWhile": 1}),
    "a loop in a function": (
        lambda x: tf.function(lambda x: tf.map_fn(lambda x: deep(x, 1), x))(x),
        [8 * 25],
        {"Elu": 1, "StatelessWhile": 1},
    ),
    "data set": (
        lambda x: tf.data.Dataset.from_tensors(x[0]).map(lambda x: product(x, 7)).reduce(0.0, lambda old, x: old),
        [8 * 35],
        {"MapDataset": 1, "ReduceDataset": 1, "TensorDataset": 1},
    ),
}


@pytest.mark.parametrize("name", WITH_FUNCTIONS)
def test_what_stands_in_functions_is_counted_and_loops_and_branches_are_named(name):
    function, macs, others = WITH_FUNCTIONS[name]
    counted = graph_cost(traced(function, [None, 8, 5]))
    assert sorted(op.macs for op in counted.ops) == macs and counted.uncounted == others


def test_a_function_that_calls_itself_is_named():
    graph_def = traced(lambda x: deep(x, 1), [3, 5]).graph.as_graph_def()
    (function,) = graph_def.library.function
    argument, again = function.signature.input_arg[0].name, function.node_def.add(name="again", op="StatelessIf")
    again.input[:] = [argument, argument]
    again.attr["Tcond"].type = tf.float32.as_datatype_enum
    for key in ("Tin", "Tout"):
        again.attr[key].list.type.append(tf.float32.as_datatype_enum)
    for key in ("then_branch", "else_branch"):
        again.attr[key].func.name = function.signature.name
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(graph_def, name="")
    counted = graph_cost(graph)
    assert counted.macs == 3 * 25 and counted.uncounted == {"Elu": 1, "StatelessIf": 1}


# One op of two inputs, [any or a number, ...] each, and its MACs.
ONE_OP = {
    "Conv": ([None, 8, 6, 4], [3, 3, 2, 6], {"strides": [1, 1, 1, 1], "padding": "SAME", "groups": 2}, 48 * 9 * 2 * 6),
    "Conv3D": ([None, 4, 8, 6, 2], [3, 3, 3, 2, 5], {"strides": [1] * 5, "padding": "SAME"}, 4 * 48 * 27 * 2 * 5),
    "BatchMatMul": ([None, 3, 4], [None, 3, 5], {"adj_x": True}, 60),
    "BatchMatMulV2": ([None, 6, 3, 4], [4, 5], {}, 6 * 60),
    "BatchMatMulV3": ([None, 3, 4], [None, 4, 5], {"Tout": tf.float32}, 60),
    "Einsum ...ij,jk->...ik": ([None, 2, 3, 4], [4, 5], {}, 2 * 60),
    "Einsum bij,hkj->bhik": ([None, 3, 4], [2, 6, 4], {}, 2 * 3 * 6 * 4),
}


@pytest.mark.parametrize("name", ONE_OP)
def test_every_product_has_its_count(name):
    first, second, options, macs = ONE_OP[name]
    op, _, equation = name.partition(" ")

    def function(x, y):
        if equation:
            return tf.raw_ops.Einsum(inputs=[x, y], equation=equation)
        names = ("input", "filter") if op.startswith("Conv") else ("x", "y")
        return getattr(tf.raw_ops, op)(**dict(zip(names, (x, y), strict=True)), **options)

    counted = graph_cost(traced(function, first, second))
    assert [(op.type, op.macs) for op in counted.ops] == [(op, macs)] and counted.uncounted == {}


@pytest.mark.parametrize("convolution", [tf.nn.conv2d, tf.nn.depthwise_conv2d])
def test_a_gradient_of_a_convolution_costs_what_the_convolution_does(convolution):
    with tf.Graph().as_default() as graph:
        images = tf.compat.v1.placeholder(tf.float32, [None, 8, 6, 4])
        filters = tf.ones([3, 3, 4, 2])
        written = convolution(images, filters, [1, 2, 2, 1], "SAME")
        tf.gradients(written, [images, filters])
    counted = graph_cost(graph)
    assert [op.macs for op in counted.ops] == [4 * 3 * 9 * 4 * 2] * 3
    assert [op.activations for op in counted.ops[1:]] != [counted.ops[0].activations] * 2


def test_all_other_arithmetic_is_named_and_what_moves_numbers_or_is_constant_is_not():
    def function(x):
        x = tf.transpose(tf.reshape(tf.pad(x, [[0, 0], [1, 1]]), [-1, 2, 5]), [0, 2, 1]) * (tf.ones([1]) + 1)
        x = tf.nn.leaky_relu(tf.sqrt(tf.reduce_max(x, axis=1)))
        return tf.argmax(tf.raw_ops.Einsum(inputs=[x], equation="ij->i")), x > 1, tf.size(x) // 2

    counted = graph_cost(traced(function, [None, 8]))
    assert counted.uncounted == {
        "ArgMax": 1, "Einsum": 1, "Greater": 1, "LeakyRelu": 1, "Max": 1, "Mul": 1, "Sqrt": 1,
    }  # fmt: skip


@pytest.mark.parametrize("placeholder", ["placeholder", "placeholder_with_default", "iterator"])
def test_rows_folded_into_the_batch_are_counted_for_one_image(placeholder):
    with tf.Graph().as_default() as graph:
        if placeholder == "placeholder":
            images = tf.compat.v1.placeholder(tf.float32, [None, 8, 6, 5])
        elif placeholder == "iterator":
            dataset = tf.data.Dataset.from_tensor_slices(tf.ones([9, 8, 6, 5])).batch(2)
            images = tf.compat.v1.data.make_one_shot_iterator(dataset).get_next()
        else:
            images = tf.compat.v1.placeholder_with_default(tf.ones([3, 8, 6, 5]), [None, 8, 6, 5])
        rows = tf.reshape(images, [-1, 5]) @ tf.ones([5, 7])
        tf.reshape(rows, [-1, 8 * 6 * 7]) @ tf.ones([8 * 6 * 7, 3])
    counted = graph_cost(graph)
    assert [(op.activations, op.macs) for op in counted.ops] == [(48 * 7, 48 * 35), (3, 48 * 21)]


def test_a_batch_that_cannot_be_one_image_is_refused():
    function = traced(lambda x: product(tf.reshape(x, [-1, 10]), 3), [None, 5])
    with pytest.raises(ValueError, match="the graph does not take a batch of one image; give it a batch size: "):
        graph_cost(function)
    assert graph_cost(traced(lambda x: product(tf.reshape(x, [-1, 10]), 3), [4, 5])).macs == 2 * 30


def test_a_sequence_of_unknown_length_is_refused():
    with pytest.raises(ValueError, match="writes .*: counting needs every size but the batch's"):
        graph_cost(traced(lambda x: tf.tensordot(tf.map_fn(tf.nn.relu, x), tf.ones([5, 7]), 1), [None, None, 5]))


@pytest.mark.parametrize("output_stride", [None, 1])
def test_an_atrous_convolution_writes_what_comes_after_it(output_stride):
    with tf.Graph().as_default() as graph:
        images = tf.compat.v1.placeholder(tf.float32, [None, 7, 5, 4])
        net = tf.nn.atrous_conv2d(images, tf.ones([3, 3, 4, 6]), 2, "SAME")
        if output_stride:  # then something that is counted reads it
            tf.nn.conv2d(net, tf.ones([1, 1, 6, 2]), 1, "SAME")
    counted = graph_cost(graph).ops[0]
    assert (counted.type, counted.activations, counted.macs) == ("Conv2D", 7 * 5 * 6, 7 * 5 * 6 * 36)


# Layers, the shape of an image, and the parameters and MACs of the model.
LAYERS = {
    "Dense of rank 4": (lambda k: [k.Dense(7)], (8, 6, 5), 42, 48 * 35),
    "Conv2DTranspose": (lambda k: [k.Conv2DTranspose(7, 3, 2, "same")], (8, 6, 5), 9 * 35 + 7, 48 * 9 * 35),
    "SeparableConv2D": (
        lambda k: [k.SeparableConv2D(7, 3, padding="same")],
        (8, 6, 5),
        45 + 35 + 7,
        48 * (45 + 35),
    ),
    "Conv1D": (lambda k: [k.Conv1D(7, 3, padding="same", dilation_rate=2)], (8, 5), 3 * 35 + 7, 8 * 3 * 35),
    "LSTM": (  # outside of the loop Keras builds the first step once more, to know its shape
        lambda k: [k.LSTM(7, return_sequences=True), k.Dense(3)],
        (6, 5),
        12 * 28 + 28 + 24,
        2 * 12 * 28 + 6 * 21,
    ),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("keras", [tf.keras, tf_keras], ids=["keras", "tf_keras"])
def test_layers_of_keras(name, keras):
    layers, shape, params, macs = LAYERS[name]
    assert graph_cost(keras_function(keras, layers, shape)[0])[:2] == (params, macs)


@pytest.mark.parametrize("keras", [tf.keras, tf_keras], ids=["keras", "tf_keras"])
def test_attention_is_counted(keras):
    attention = keras.layers.MultiHeadAttention(num_heads=2, key_dim=4)
    counted = graph_cost(traced(lambda x: attention(x, x), [None, 6, 8]))
    assert counted.params == 4 * (8 * 8 + 8)
    assert counted.macs == 4 * 6 * 8 * 8 + 2 * 2 * 6 * 6 * 4  # four projections; two heads of scores and sums
    assert counted.uncounted["Softmax"] == 1


def test_a_reloaded_model_costs_what_it_did(tmp_path):
    network = build([Block("b", "grouped_bottleneck_v2", [(8, 4, 2, 2)] * 2)], 8, 3)
    network.export_saved_model(tmp_path)
    reloaded = tf.saved_model.load(tmp_path)  # it owns the variables
    assert graph_cost(reloaded.signatures["serving_default"])[:3] == network.cost()


@pytest.mark.parametrize("keras", [tf.keras, tf_keras], ids=["keras", "tf_keras"])
def test_a_reloaded_keras_model_costs_what_it_did(tmp_path, keras):
    def layers(k):
        return [k.TimeDistributed(k.Conv2D(7, 3)), k.Reshape((4, -1)), k.LSTM(6, return_sequences=True), k.Dense(3)]

    function, model = keras_function(keras, layers, (4, 8, 6, 5))
    tf.saved_model.save(model, str(tmp_path))
    reloaded = tf.saved_model.load(str(tmp_path))
    counted, before = graph_cost(reloaded.signatures["serving_default"]), graph_cost(function)
    assert counted[:3] == before[:3] and counted.params == model.count_params()
    assert counted.uncounted == before.uncounted
