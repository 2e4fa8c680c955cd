"""Plain, Highway and residual layers, fully connected, with one signature: layer(x, weights, activation) -> y.

    plain     y = H(x)
    Highway   y = H(x) * T(x) + x * (1 - T(x))      Srivastava et al. 2015 (arXiv:1505.00387), equation 3
    residual  y = H(x) + x                          He et al. 2015 (arXiv:1512.03385), equation 1

with H(x) = activation(x W_H + b_H) and the transform gate T(x) = sigmoid(x W_T + b_T). All three keep the width, so they
stack to any depth. Notebook 01 derives them. `highway_unit` is the convolutional Highway layer, two to a unit, for networks
of Blocks; notebook 02 trains it beside plain and residual units.
"""

import functools
from typing import NamedTuple

import numpy as np
from tqdm import trange

from .architectures import BasicUnit
from .checks import positive_int
from .resnet_utils import conv2d_same
from .tf_slim_compat import slim, tf


class LayerWeights(NamedTuple):
    """Weights of one layer, or with a leading axis of a whole stack; only the Highway layer reads the gate's."""

    kernel: tf.Tensor  # [width, width]
    bias: tf.Tensor  # [width]
    gate_kernel: tf.Tensor  # [width, width]
    gate_bias: tf.Tensor  # [width]


def transform_gate(x, weights):
    """T(x) = sigmoid(x W_T + b_T), between 0 (carry x) and 1 (transform it): [batch, width] -> [batch, width]."""
    return tf.sigmoid(x @ weights.gate_kernel + weights.gate_bias)


def plain_layer(x, weights, activation=tf.tanh):
    """H(x) = activation(x W_H + b_H): [batch, width] -> [batch, width]."""
    return activation(x @ weights.kernel + weights.bias)


def highway_layer(x, weights, activation=tf.tanh):
    """H(x) * T(x) + x * (1 - T(x)): [batch, width] -> [batch, width]."""
    gate = transform_gate(x, weights)
    return plain_layer(x, weights, activation) * gate + x * (1 - gate)


def residual_layer(x, weights, activation=tf.tanh):
    """H(x) + x: [batch, width] -> [batch, width]."""
    return plain_layer(x, weights, activation) + x


LAYERS = {"plain": plain_layer, "highway": highway_layer, "residual": residual_layer}


def initialize_stack(num_layers, width, gate_bias=-2.0, seed=0):
    """Weights of `num_layers` layers: LayerWeights of arrays with a leading axis of that length, float32.

    Kernels are normal with variance 1 / width (LeCun), biases zero; gate_bias < 0 lets a Highway layer carry its input
    at first (Srivastava et al. 2015, section 2.2). Raises ValueError for num_layers or width < 1.
    """
    num_layers, width = positive_int("num_layers", num_layers), positive_int("width", width)
    random = np.random.default_rng(seed)

    def kernels():
        return (random.standard_normal((num_layers, width, width)) / np.sqrt(width)).astype(np.float32)

    zeros = np.zeros((num_layers, width), np.float32)
    return LayerWeights(kernels(), zeros, kernels(), zeros + np.float32(gate_bias))


def stack_layers(layer, x, weights, activation=tf.tanh):
    """Applies `layer` once for each row of the stacked weights: [batch, width] -> [batch, width]. One loop in the graph,
    however deep the stack, so that a thousand layers build as fast as one."""
    return tf.foldl(lambda y, one: layer(y, one, activation), weights, initializer=x)


@functools.lru_cache
def _input_gradient(layer, activation):
    """dE/dx from x, dE/dy and the weights of a stack, compiled once for all depths, widths and batches."""

    def gradient(x, upstream, weights):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = stack_layers(layer, x, weights, activation)
        return tape.gradient(y, x, output_gradients=upstream)

    def any_of_rank(rank):
        return tf.TensorSpec([None] * rank, tf.float32)

    weights = LayerWeights(*map(any_of_rank, (3, 2, 3, 2)))
    return tf.function(gradient, input_signature=[any_of_rank(2), any_of_rank(2), weights])


def gradient_norm(layer, weights, batch_size=64, activation=tf.tanh, seed=0):
    """How a gradient fares on its way back through a stack: |dE/dx| / |dE/dy| for random x and a random dE/dy: float.

    1 means that it arrives as large as it left; 0 that nothing arrives.
    """
    width = weights.kernel.shape[-1]
    x, upstream = tf.random.stateless_normal([2, batch_size, width], seed=(seed, 0))
    gradient = _input_gradient(layer, activation)(x, upstream, LayerWeights(*(tf.cast(w, tf.float32) for w in weights)))
    # In float64, for the squares of very small and very large float32 numbers leave the range of float32.
    return float(np.linalg.norm(np.float64(gradient)) / np.linalg.norm(np.float64(upstream)))


@slim.add_arg_scope
def highway_unit(inputs, depth, stride, rate=1, gate_bias=-3.0, outputs_collections=None, scope=None):
    """Two convolutional Highway layers, y = H(x) * T(x) + x * (1 - T(x)), H a 3x3 convolution with BN and ReLU and T the
    sigmoid of a 3x3 convolution with a bias that begins at `gate_bias`.

    A layer that changes the shape is plain, H(x) alone, the strategy of Srivastava et al. 2015 (arXiv:1507.06228, section
    2.1). End points "gate1" and "gate2" are T(x), where there is a gate.
    [batch, height, width, channels] -> [batch, ceil(height / stride), ceil(width / stride), depth].
    """
    with tf.compat.v1.variable_scope(scope, "highway", [inputs]) as sc:
        net = inputs
        for i, step in enumerate((stride, 1), 1):
            transformed = conv2d_same(net, depth, 3, step, rate=rate, scope=f"conv{i}")
            if step == 1 and slim.utils.last_dimension(net.get_shape(), min_rank=4) == depth:
                bias = tf.constant_initializer(gate_bias)
                options = {"activation_fn": tf.sigmoid, "normalizer_fn": None, "biases_initializer": bias}
                gate = slim.conv2d(net, depth, [3, 3], rate=rate, **options, scope=f"gate{i}")
                net = transformed * gate + net * (1 - gate)
            else:
                net = transformed
        return slim.utils.collect_named_outputs(outputs_collections, sc.name, net)


highway_unit.unit_type, highway_unit.version = BasicUnit, 1


class StackEpoch(NamedTuple):
    """What one epoch of `train_stack` came to; errors are shares of wrong answers, from 0 to 1, after the epoch."""

    epoch: int  # from 1
    train_loss: float  # mean cross-entropy over the epoch's steps
    train_error: float
    test_error: float


class TrainedStack(NamedTuple):
    epochs: list[StackEpoch]
    first: np.ndarray  # [images, width]: what the stack receives for each training image
    weights: LayerWeights  # of the trained stack, stacked


def train_stack(layer, num_layers, data, width=32, gate_bias=None, epochs=10, learning_rate=0.05, momentum=0.9,
                batch_size=100, seed=0, progress=False):  # fmt: skip
    """Trains a fully connected stack of up to a thousand layers by plain SGD with momentum: TrainedStack.

    A dense layer brings the pixels to `width`, the stack follows, and a dense layer gives the classes. data: a
    `data.Dataset`; gate_bias: where the transform gates begin, None for -ln(num_layers - 1), so that the whole stack
    transforms its input about once (notebook 01). The layers run in one compiled loop over their stacked weights, so a
    step of 900 layers is built in seconds. Raises ValueError for a batch larger than the training data.
    """
    num_layers, batch_size = positive_int("num_layers", num_layers), positive_int("batch_size", batch_size)
    inputs, labels = data.train_images.reshape(len(data.train_images), -1), data.train_labels
    if batch_size > len(inputs):
        raise ValueError(f"batch_size must be at most the {len(inputs)} training images, got {batch_size}")
    gate_bias = -np.log(max(num_layers - 1, 1)) if gate_bias is None else gate_bias
    random = np.random.default_rng(seed)
    entrance = random.standard_normal((inputs.shape[1], width)) / np.sqrt(inputs.shape[1])
    begin = [entrance, np.zeros(width), *initialize_stack(num_layers, width, gate_bias, seed)]
    begin += [np.zeros((width, data.num_classes)), np.zeros(data.num_classes)]
    parameters = [tf.Variable(value, dtype=tf.float32) for value in begin]
    velocities = [tf.Variable(tf.zeros_like(parameter)) for parameter in parameters]

    def first(x):
        return tf.tanh(x @ parameters[0] + parameters[1])

    @tf.function(jit_compile=True)
    def logits(x):
        return stack_layers(layer, first(x), LayerWeights(*parameters[2:6])) @ parameters[6] + parameters[7]

    @tf.function(jit_compile=True)
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits(x)))
        gradients = tape.gradient(loss, parameters, unconnected_gradients="zero")  # a plain layer has no gate
        for parameter, velocity, gradient in zip(parameters, velocities, gradients, strict=True):
            velocity.assign(momentum * velocity + gradient)
            parameter.assign_sub(learning_rate * velocity)
        return loss

    def error(images, truth):
        return float(np.mean(np.argmax(logits(images.reshape(len(images), -1)), axis=1) != truth))

    records = []
    for epoch in trange(epochs, desc=f"{num_layers} layers", unit="epoch", disable=not progress):
        order = np.random.default_rng([seed, epoch]).permutation(len(inputs))
        batches = order[: len(order) // batch_size * batch_size].reshape(-1, batch_size)  # of one shape: compiled once
        losses = [float(step(inputs[batch], labels[batch])) for batch in batches]
        errors = error(data.train_images, labels), error(data.test_images, data.test_labels)
        records.append(StackEpoch(epoch + 1, float(np.mean(losses)), *errors))
    return TrainedStack(records, first(inputs).numpy(), LayerWeights(*(p.numpy() for p in parameters[2:6])))


def gate_openness(first, weights):
    """How far each transform gate of a Highway stack opens, and for which input: [layers, batch], mean of T(x) over the
    width. first: [batch, width], what the first layer receives; weights: LayerWeights with a leading axis."""

    def one_layer(state, layer_weights):
        x, _ = state
        return highway_layer(x, layer_weights), tf.reduce_mean(transform_gate(x, layer_weights), axis=1)

    first = tf.constant(first)
    return tf.scan(one_layer, weights, initializer=(first, tf.zeros(len(first))))[1].numpy()
