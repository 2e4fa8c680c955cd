"""A network taken apart while it trains: what each of its layers puts out, and the gradient that reaches it.

Used by `experiments.atlas`, `bank`, `highway_gradient`, `leaky`, `reach` and `separation`. One graph for all states of a
network's weights. Batch norms are in training mode here, so that a fresh network is normalized too, and its moving averages
do not change.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from experiments.signals import unit_tensors
from resnet_lib.architectures import Architecture
from resnet_lib.data import Dataset
from resnet_lib.network import network_function
from resnet_lib.tf_slim_compat import quick_building, tf
from resnet_lib.training import Recipe, train
from resnet_lib.training_graph import TrainingGraph, session

Rows = list[dict[str, Any]]
Weights = Mapping[str, np.ndarray]


class _Enough(Exception):
    """The last state has been seen."""


def watch(
    network: Architecture, dataset: Dataset, recipe: Recipe, seed: int, steps: Collection[int]
) -> list[tuple[int, Weights]]:
    """Trains until the last of these steps; (step, all variables by name, as `Probe.load` takes them) after each of them.

    Step 0 is the fresh network. A run whose loss is no longer a finite number ends there, and its later states are missing.
    """
    states = []

    def observe(step: int, graph: TrainingGraph) -> None:
        if step in steps:
            states.append((step, graph.weights()))
        if step == max(steps):
            raise _Enough

    try:
        train(network, dataset, recipe, seed, threads=1, observe=observe)
    except _Enough:
        pass
    return states


class Probe:
    """architecture: for the images that it will see, [height, width, channels] and classes; begins with a convolution."""

    def __init__(self, architecture: Architecture):
        height, width = np.broadcast_to(architecture.image_size, 2)
        with tf.Graph().as_default() as graph, quick_building():
            self._images = tf.compat.v1.placeholder(tf.float32, [None, height, width, architecture.channels_in])
            self._labels = tf.compat.v1.placeholder(tf.int32, [None])
            net, end_points = network_function(architecture)(self._images, is_training=True)
            logits = tf.reshape(net, [-1, architecture.num_classes])
            self._losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=self._labels, logits=logits)
            answers = tf.argmax(logits, 1, output_type=tf.int32)
            self._wrong = tf.cast(tf.not_equal(answers, self._labels), tf.float32)
            names = [v.op.name for v in tf.compat.v1.trainable_variables() if v.op.name.endswith("/weights")]
            self._names = [name.removesuffix("/weights") for name in names if "/gate" not in name]
            self._responses = [_before_relu(end_points[name]) for name in self._names]
            self._contrasts = [_contrast(response) for response in self._responses]
            self._x, self._residuals, _ = unit_tensors(architecture, end_points)
            self._initializers = {v.op.name: v.initializer for v in tf.compat.v1.global_variables()}
            self._session = session(graph)

    def _gradients(self, places):
        """Of the mean cross-entropy for these tensors or variables."""
        with self._session.graph.as_default(), quick_building():
            return tf.gradients(tf.reduce_mean(self._losses), places)

    @cached_property
    def _weights(self):
        named = {v.op.name: v for v in self._session.graph.get_collection("trainable_variables")}
        return [named[f"{name}/weights"] for name in self._names]

    @cached_property
    def _weight_gradients(self):
        return dict(zip([v.op.name for v in self._weights], self._gradients(self._weights), strict=True))

    @cached_property
    def _layers(self):
        """For every layer with weights, from the first to the classifier: name of a quantity -> tensor. Gates are left out."""
        weights, responses = self._weights, self._responses
        gradients = zip(self._gradients(responses), self._weight_gradients.values(), strict=True)
        with self._session.graph.as_default():
            return [
                {
                    "response_std": tf.math.reduce_std(response),
                    "gradient_norm": tf.norm(gradient),
                    "weight_norm": tf.norm(weight),
                    "weight_gradient_norm": tf.norm(weight_gradient),
                }
                for response, weight, (gradient, weight_gradient) in zip(responses, weights, gradients, strict=True)
            ]

    @cached_property
    def _units(self):
        """For what the first unit receives and for every unit: name of a quantity -> tensor."""
        x, gradients = self._x, self._gradients(self._x)
        with self._session.graph.as_default():
            rows = [
                {"feature_std": tf.math.reduce_std(part), "gradient_norm": tf.norm(gradient)}
                for part, gradient in zip(x, gradients, strict=True)
            ]
            for i, residual in enumerate(self._residuals):
                rows[i + 1]["residual_ratio"] = tf.norm(residual) / tf.norm(x[i])
        return rows

    def load(self, values: Weights) -> None:
        """Gives every variable of the network its value, by name, as `History.weights` has them."""
        feed = {initializer.inputs[1]: values[name] for name, initializer in self._initializers.items()}
        self._session.run(list(self._initializers.values()), feed)

    def measure(self, images: np.ndarray, labels: np.ndarray) -> tuple[Rows, Rows]:
        """The quantities of every layer, from 1, and of every unit, from 0 for what the first one receives, for one batch.

        Of a layer: response_std, the standard deviation of what it puts out, after its batch norm if one follows and before
        a ReLU (He et al. 2015, Fig. 7); gradient_norm, of the mean cross-entropy for that; weight_norm; and
        weight_gradient_norm, of the gradient for its weights. Of a unit: feature_std and gradient_norm of x_i, what it puts
        out; residual_ratio, |F(x)| / |x|.
        """
        layers, units = self._session.run([self._layers, self._units], self._feed(images, labels))
        return (
            [{"layer": i, **row} for i, row in enumerate(layers, 1)],
            [{"unit": i, **row} for i, row in enumerate(units)],
        )

    def weight_gradients(self, images: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
        """Name of each layer's weights -> gradient of the mean cross-entropy of one batch."""
        return self._session.run(self._weight_gradients, self._feed(images, labels))

    def responses(self, images: np.ndarray) -> list[np.ndarray]:
        """What each layer puts out for a batch before its ReLU, from the first: [batch, height, width, depth]."""
        return self._session.run(self._responses, {self._images: images})

    def contrasts(self, images: np.ndarray) -> list[float]:
        """Of every layer, from the first to the classifier, how different it makes the images of a batch: the mean squared
        distance of two images' responses over twice their mean square. 0: all the same; 1: unrelated."""
        return [float(value) for value in self._session.run(self._contrasts, {self._images: images})]

    def evaluate(self, images: np.ndarray, labels: np.ndarray, batch_size: int) -> tuple[float, float]:
        """(mean cross-entropy, share of wrong answers), each batch normalized by its own statistics; the last, smaller part
        of a batch is left out."""
        results = [
            self._session.run([self._losses, self._wrong], feed) for feed in self._batches(images, labels, batch_size)
        ]
        loss, error = np.mean(results, axis=(0, 2), dtype=np.float64)
        return float(loss), float(error)

    def _batches(self, images, labels, batch_size) -> Iterator[dict]:
        for start in range(0, len(images) - batch_size + 1, batch_size):
            part = slice(start, start + batch_size)
            yield self._feed(images[part], labels[part])

    def _feed(self, images, labels):
        return {self._images: images, self._labels: labels}


def _contrast(response):
    differences = tf.reduce_sum(tf.math.reduce_variance(response, axis=0))
    number = tf.cast(tf.shape(response)[0], tf.float32)
    return differences * number / (number - 1) / tf.reduce_sum(tf.reduce_mean(response**2, axis=0))


def _before_relu(tensor):
    """What a layer puts out before its ReLU, if it ends with one."""
    op = tensor.op
    while op.type == "Identity":
        op = op.inputs[0].op
    return op.inputs[0] if op.type == "Relu" else tensor
