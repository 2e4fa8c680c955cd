"""Plain, Highway and residual layers, fully connected, with one signature: layer(x, weights, activation) -> y.

    plain     y = H(x)
    Highway   y = H(x) * T(x) + x * (1 - T(x))      Srivastava et al. 2015 (arXiv:1505.00387), equation 3
    residual  y = H(x) + x                          He et al. 2015 (arXiv:1512.03385), equation 1

with H(x) = activation(x W_H + b_H) and the transform gate T(x) = sigmoid(x W_T + b_T). All three keep the width, so they
stack to any depth. Notebook 01 derives them. `highway_unit` is the convolutional Highway layer, two to a unit, for networks
of Blocks; notebook 02 trains it beside plain and residual units.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from tqdm import trange

from .checks import positive_int
from .convolutions import conv2d_same
from .tf_slim_compat import slim, tf
from .units import registered


class LayerWeights(NamedTuple):
    """Weights of one layer, or with a leading axis of a whole stack; only the Highway layer reads the gate's."""

    kernel: tf.Tensor  # [width, width]
    bias: tf.Tensor  # [width]
    gate_kernel: tf.Tensor  # [width, width]
    gate_bias: tf.Tensor  # [width]


def transform_gate(x: tf.Tensor, weights: LayerWeights) -> tf.Tensor:
    """T(x) = sigmoid(x W_T + b_T), between 0 (carry x) and 1 (transform it): [batch, width] -> [batch, width]."""
    return tf.sigmoid(x @ weights.gate_kernel + weights.gate_bias)


def plain_layer(x: tf.Tensor, weights: LayerWeights, activation: Callable = tf.tanh) -> tf.Tensor:
    """H(x) = activation(x W_H + b_H): [batch, width] -> [batch, width]."""
    return activation(x @ weights.kernel + weights.bias)


def highway_layer(x: tf.Tensor, weights: LayerWeights, activation: Callable = tf.tanh) -> tf.Tensor:
    """H(x) * T(x) + x * (1 - T(x)): [batch, width] -> [batch, width]."""
    gate = transform_gate(x, weights)
    return plain_layer(x, weights, activation) * gate + x * (1 - gate)


def residual_layer(x: tf.Tensor, weights: LayerWeights, activation: Callable = tf.tanh) -> tf.Tensor:
    """H(x) + x: [batch, width] -> [batch, width]."""
    return plain_layer(x, weights, activation) + x


LAYERS = {"plain": plain_layer, "highway": highway_layer, "residual": residual_layer}


def initialize_stack(num_layers: int, width: int, gate_bias: float = -2.0, seed: int = 0) -> LayerWeights:
    """Weights of `num_layers` layers: LayerWeights of arrays with a leading axis of that length, float32.

    Kernels are normal with variance 1 / width (LeCun), biases zero; gate_bias < 0 lets a Highway layer carry its input
    at first (Srivastava et al. 2015, section 2.2). Raises ValueError for num_layers or width < 1.
    """
    num_layers = positive_int("num_layers", num_layers)
    width = positive_int("width", width)
    random = np.random.default_rng(seed)

    def kernels():
        return (random.standard_normal((num_layers, width, width)) / np.sqrt(width)).astype(np.float32)

    zeros = np.zeros((num_layers, width), np.float32)
    return LayerWeights(kernels(), zeros, kernels(), zeros + np.float32(gate_bias))


def stack_layers(layer: Callable, x: tf.Tensor, weights: LayerWeights, activation: Callable = tf.tanh) -> tf.Tensor:
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


def gradient_norm(
    layer: Callable, weights: LayerWeights, batch_size: int = 64, activation: Callable = tf.tanh, seed: int = 0
) -> float:
    """How a gradient fares on its way back through a stack: |dE/dx| / |dE/dy| for random x and a random dE/dy: float.

    1 means that it arrives as large as it left; 0 that nothing arrives.
    """
    width = weights.kernel.shape[-1]
    x, upstream = tf.random.stateless_normal([2, batch_size, width], seed=(seed, 0))
    gradient = _input_gradient(layer, activation)(x, upstream, LayerWeights(*(tf.cast(w, tf.float32) for w in weights)))
    # In float64, for the squares of very small and very large float32 numbers leave the range of float32.
    return float(np.linalg.norm(np.float64(gradient)) / np.linalg.norm(np.float64(upstream)))


@slim.add_arg_scope
def highway_unit(
    inputs: tf.Tensor,
    depth: int,
    stride: int,
    rate: int = 1,
    gate_bias: float = -3.0,
    outputs_collections: Any = None,
    scope: str | None = None,
) -> tf.Tensor:
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


UNIT_FNS = registered({"highway": highway_unit})


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


class _Stack:
    """A dense layer that brings the pixels to `width`, the stack, and a dense layer that gives the classes; one step of SGD
    with momentum. The layers run in one compiled loop over their stacked weights, so 900 of them are built in seconds."""

    def __init__(self, layer, begin, learning_rate, momentum):
        """begin: what the parameters begin with: kernel and bias at the entrance, LayerWeights, kernel and bias at the end."""
        self.layer = layer
        self.parameters = [tf.Variable(value, dtype=tf.float32) for value in begin]
        self.velocities = [tf.Variable(tf.zeros_like(parameter)) for parameter in self.parameters]
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.logits = tf.function(self._logits, jit_compile=True)
        self.step = tf.function(self._step, jit_compile=True)

    @property
    def weights(self):
        return LayerWeights(*self.parameters[2:6])

    def first(self, x):
        """What the stack receives."""
        return tf.tanh(x @ self.parameters[0] + self.parameters[1])

    def _logits(self, x):
        return stack_layers(self.layer, self.first(x), self.weights) @ self.parameters[6] + self.parameters[7]

    def _step(self, x, labels):
        with tf.GradientTape() as tape:
            each = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=self._logits(x))
            loss = tf.reduce_mean(each)
        gradients = tape.gradient(loss, self.parameters, unconnected_gradients="zero")  # a plain layer has no gate
        for parameter, velocity, gradient in zip(self.parameters, self.velocities, gradients, strict=True):
            velocity.assign(self.momentum * velocity + gradient)
            parameter.assign_sub(self.learning_rate * velocity)
        return loss

    def error(self, images, labels):
        """Share of wrong answers."""
        return float(np.mean(np.argmax(self.logits(images.reshape(len(images), -1)), axis=1) != labels))


def train_stack(
    layer: Callable,
    num_layers: int,
    data: Any,
    width: int = 32,
    gate_bias: float | None = None,
    epochs: int = 10,
    learning_rate: float = 0.05,
    momentum: float = 0.9,
    batch_size: int = 100,
    seed: int = 0,
    progress: bool = False,
) -> TrainedStack:
    """Trains a fully connected stack of up to a thousand layers by plain SGD with momentum: TrainedStack.

    A dense layer brings the pixels to `width`, the stack follows, and a dense layer gives the classes. data: a
    `data.Dataset`; gate_bias: where the transform gates begin, None for -ln(num_layers - 1), so that the whole stack
    transforms its input about once (notebook 01). Raises ValueError for a batch larger than the training data.
    """
    num_layers = positive_int("num_layers", num_layers)
    batch_size = positive_int("batch_size", batch_size)
    inputs = data.train_images.reshape(len(data.train_images), -1)
    if batch_size > len(inputs):
        raise ValueError(f"batch_size must be at most the {len(inputs)} training images, got {batch_size}")
    gate_bias = -np.log(max(num_layers - 1, 1)) if gate_bias is None else gate_bias
    entrance = np.random.default_rng(seed).standard_normal((inputs.shape[1], width)) / np.sqrt(inputs.shape[1])
    layers = initialize_stack(num_layers, width, gate_bias, seed)
    classes = data.num_classes
    begin = [entrance, np.zeros(width), *layers, np.zeros((width, classes)), np.zeros(classes)]
    stack = _Stack(layer, begin, learning_rate, momentum)
    records = []
    for epoch in trange(epochs, desc=f"{num_layers} layers", unit="epoch", disable=not progress):
        order = np.random.default_rng([seed, epoch]).permutation(len(inputs))
        batches = order[: len(order) // batch_size * batch_size].reshape(-1, batch_size)  # of one shape: compiled once
        losses = [float(stack.step(inputs[batch], data.train_labels[batch])) for batch in batches]
        train_error = stack.error(data.train_images, data.train_labels)
        test_error = stack.error(data.test_images, data.test_labels)
        records.append(StackEpoch(epoch + 1, float(np.mean(losses)), train_error, test_error))
    return TrainedStack(records, stack.first(inputs).numpy(), LayerWeights(*(part.numpy() for part in stack.weights)))


def gate_openness(first: np.ndarray, weights: LayerWeights) -> np.ndarray:
    """How far each transform gate of a Highway stack opens, and for which input: [layers, batch], mean of T(x) over the
    width. first: [batch, width], what the first layer receives; weights: LayerWeights with a leading axis."""

    def one_layer(state, layer_weights):
        x, _ = state
        return highway_layer(x, layer_weights), tf.reduce_mean(transform_gate(x, layer_weights), axis=1)

    first = tf.constant(first)
    return tf.scan(one_layer, weights, initializer=(first, tf.zeros(len(first))))[1].numpy()
