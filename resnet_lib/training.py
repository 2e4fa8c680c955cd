"""One compact training loop for slim networks: momentum SGD as He et al. 2015 use it, a record an epoch, stop and resume.

The commonest mistake with tf-slim is to train without running the update operations of batch normalization, so that the
moving averages stay as they began and evaluation fails. Here they run with every step, and every loss and error in a record
is measured in evaluation mode, with the moving averages, on the whole data. Used in notebook 02.
"""

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import joblib
import numpy as np
from tqdm import tqdm

from .architectures import get_architecture
from .checks import positive_int
from .network import network_function
from .tf_slim_compat import tf


@dataclass(frozen=True)
class Recipe:
    """How to train. He et al. 2015, section 4.2, use 0.1, 0.9, 0.0001, batches of 128, and a tenth of the learning rate
    after half and three quarters of the training.

    warm_up: a learning rate of a tenth for so many epochs at first (they need it for 110 layers). batch_norm_decay: 0.997 is
    tf-slim's, for hundreds of thousands of steps; with hundreds, the moving averages would lag behind. augment: zero pixels
    put on each side of a training image before it is cropped at random and, half of the time, mirrored (they use 4 on
    CIFAR-10); 0 leaves the images as they are.
    """

    epochs: int = 15
    batch_size: int = 128
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 0.0001
    warm_up: int = 0
    batch_norm_decay: float = 0.9
    augment: int = 0

    def __post_init__(self):
        positive_int("epochs", self.epochs), positive_int("batch_size", self.batch_size)
        for name in ("learning_rate", "momentum", "weight_decay", "warm_up", "batch_norm_decay"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0 <= value < float("inf"):
                raise ValueError(f"{name} must be a number >= 0, got {value!r}")
        if type(self.augment) is not int or self.augment < 0:
            raise ValueError(f"augment must be a whole number of pixels >= 0, got {self.augment!r}")

    def learning_rate_at(self, epoch):
        """The learning rate of an epoch, counted from 0."""
        tenths = (epoch < self.warm_up) + (epoch >= self.epochs / 2) + (epoch >= 3 * self.epochs / 4)
        return self.learning_rate * 0.1**tenths


class Epoch(NamedTuple):
    """What one epoch of training came to. Errors are shares of wrong answers, from 0 to 1."""

    epoch: int  # from 1
    learning_rate: float
    train_loss: float  # mean cross-entropy, without the weight decay
    train_error: float
    test_error: float
    gradient_norm: float  # of all weights together, mean over the steps
    first_gradient_norm: float  # of the first convolution's weights, mean over the steps


class History(NamedTuple):
    """The records of a run; `error` says why it stopped before its last epoch, and is None when it did not."""

    epochs: list[Epoch]
    error: str | None = None


# An operation on a batch of fewer pixels than this takes well under a millisecond, and cores that share it gain next to
# nothing. There each operation has one thread, and the cores take different ones: the gradient for a layer's weights beside
# that for its input. Measured by benchmarks/training.py.
_SMALL = 2**15


class _Graph:
    """The graph of one run: a training step and an evaluation on shared variables, and a session to run them in."""

    def __init__(self, architecture, recipe, data, seed, threads):
        channels = data.train_images.shape[1:]
        scope_options = {"weight_decay": recipe.weight_decay, "batch_norm_decay": recipe.batch_norm_decay}
        network = network_function(architecture, data.num_classes, seed=seed, **scope_options)
        with tf.Graph().as_default() as graph:
            tf.compat.v1.set_random_seed(seed)  # of dropout; the weights have seeds of their own
            self.images = tf.compat.v1.placeholder(tf.float32, [None, *channels])
            self.labels = tf.compat.v1.placeholder(tf.int32, [None])
            self.learning_rate = tf.compat.v1.placeholder(tf.float32, [])
            loss = tf.reduce_mean(self._cross_entropy(network(self.images, is_training=True)[0]))
            trained = tf.compat.v1.trainable_variables()
            gradients = tf.gradients(loss + tf.compat.v1.losses.get_regularization_loss(), trained)
            optimizer = tf.compat.v1.train.MomentumOptimizer(self.learning_rate, recipe.momentum)
            updates = tf.compat.v1.get_collection(tf.compat.v1.GraphKeys.UPDATE_OPS)  # of the moving averages
            with tf.control_dependencies(updates):
                apply = optimizer.apply_gradients(zip(gradients, trained, strict=True))
            with tf.control_dependencies([apply]):
                self.step = [tf.identity(loss), tf.linalg.global_norm(gradients), tf.norm(gradients[0])]
            logits = tf.reshape(network(self.images)[0], [-1, data.num_classes])
            wrong = tf.not_equal(tf.argmax(logits, 1, output_type=tf.int32), self.labels)
            self.evaluation = [self._cross_entropy(logits), tf.cast(wrong, tf.float32)]
            self.variables = tf.compat.v1.global_variables()
            self.names = [variable.op.name for variable in self.variables]
            self._new_values = [tf.compat.v1.placeholder(v.dtype.base_dtype, v.shape) for v in self.variables]
            self._assign = [v.assign(new) for v, new in zip(self.variables, self._new_values, strict=True)]
            small = recipe.batch_size * channels[0] * channels[1] < _SMALL
            shared = (threads or 0, 1 if threads else 0)  # 0 leaves the number to TensorFlow
            per_operation, operations = (1, threads or joblib.cpu_count()) if small else shared
            self._batches_at_once = max(1, operations)  # in evaluation
            config = tf.compat.v1.ConfigProto(
                intra_op_parallelism_threads=per_operation,
                inter_op_parallelism_threads=operations,
                use_per_session_threads=bool(operations),
            )
            self.session = tf.compat.v1.Session(graph=graph, config=config)
            self.session.run(tf.compat.v1.global_variables_initializer())

    def _cross_entropy(self, logits):
        logits = tf.reshape(logits, [-1, logits.shape[-1]])
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=self.labels, logits=logits)

    def values(self):
        return self.session.run(self.variables)

    def load(self, values):
        self.session.run(self._assign, dict(zip(self._new_values, values, strict=True)))

    def evaluate(self, images, labels, batch_size=250):
        """Mean cross-entropy and share of wrong answers, with the moving averages."""

        def sums(start):
            part = slice(start, start + batch_size)
            results = self.session.run(self.evaluation, {self.images: images[part], self.labels: labels[part]})
            return [np.sum(result, dtype=np.float64) for result in results]

        with ThreadPoolExecutor(self._batches_at_once) as pool:
            return np.sum(list(pool.map(sums, range(0, len(images), batch_size))), axis=0) / len(images)


def _fingerprint(architecture, recipe, data, seed):
    """What a run depends on, as text: two runs with the same are the same run."""
    content = hashlib.sha256()
    for array in data[1:5]:
        content.update(np.ascontiguousarray(array))
    return json.dumps([repr(architecture), asdict(recipe), content.hexdigest()[:16], seed])


def _save(path, fingerprint, history, graph):
    """Writes a checkpoint beside the old one, then puts it in its place in one step: there is always a whole one.

    An .npz file: each variable under its name ("net/conv1/weights", ".../weights/Momentum"), the records under "about".
    """
    beside = path.with_name(path.name + f".{os.getpid()}")
    with open(beside, "wb") as file:
        arrays = dict(zip(graph.names, graph.values(), strict=True))
        np.savez(file, about=np.array(json.dumps({"run": fingerprint, "epochs": history})), **arrays)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def _load(path, fingerprint, graph):
    """Puts the weights of a checkpoint into the graph: the records up to there."""
    with np.load(path) as saved:
        about = json.loads(str(saved["about"]))
        if about["run"] != fingerprint:
            raise ValueError(
                f"checkpoint: {path} belongs to another run, {about['run']}; this one is {fingerprint}. Name another file"
            )
        graph.load([saved[name] for name in graph.names])
        return [Epoch(*epoch) for epoch in about["epochs"]]


def train(architecture, data, recipe=None, seed=0, checkpoint=None, threads=None, progress=False):
    """Trains a network on a `data.Dataset`: History, one Epoch record an epoch.

    architecture: a name, an Architecture or a list of Blocks; recipe: a Recipe, None for its defaults; seed: of the weights
    and of the order of the images: the same seed gives the same run, to the last bit on small images or when `threads` is
    given, up to the rounding of sums in an order that varies otherwise. checkpoint: a file that holds the run after each
    epoch; a call that finds it goes on from there and ends as an unbroken run does (but for dropout, which draws anew), and
    the file of another run is refused.
    threads: of TensorFlow, None for all. progress: show a bar.
    A loss that is no longer a finite number ends the run; `History.error` says where.
    Raises ValueError for a batch larger than the training data, and OSError when the checkpoint cannot be written.
    """
    architecture, recipe = get_architecture(architecture), recipe or Recipe()
    if recipe.batch_size > len(data.train_images):
        raise ValueError(
            f"batch_size must be at most the {len(data.train_images)} training images, got {recipe.batch_size}"
        )
    graph = _Graph(architecture, recipe, data, seed, threads)
    checkpoint = checkpoint and Path(checkpoint)
    fingerprint, history = _fingerprint(architecture, recipe, data, seed), []
    with graph.session:
        if checkpoint and checkpoint.exists():
            history = _load(checkpoint, fingerprint, graph)
        elif checkpoint:  # says now, not after an epoch, that it cannot be written
            _save(checkpoint, fingerprint, history, graph)
        bar = tqdm(range(len(history), recipe.epochs), desc=architecture.name, unit="epoch", disable=not progress)
        for epoch in bar:
            norms, error = _run_epoch(graph, data, recipe, epoch, seed)
            if error:
                return History(history, error)
            train_loss, train_error = graph.evaluate(data.train_images, data.train_labels)
            _, test_error = graph.evaluate(data.test_images, data.test_labels)
            measured = (recipe.learning_rate_at(epoch), train_loss, train_error, test_error, *norms)
            history.append(Epoch(epoch + 1, *map(float, measured)))
            bar.set_postfix(train_error=f"{train_error:.3f}", test_error=f"{test_error:.3f}")
            if checkpoint:
                _save(checkpoint, fingerprint, history, graph)
    return History(history)


def _augmented(images, padding, random):
    """The augmentation of He et al. 2015, section 4.2: a random crop of each image within `padding` zero pixels on each
    side, or its mirror image, left and right exchanged. [batch, height, width, channels], as before; padding 0 changes nothing.
    """
    if not padding:
        return images
    number, height, width, _ = images.shape
    padded = np.pad(images, [(0, 0), (padding, padding), (padding, padding), (0, 0)])
    top, left = random.integers(2 * padding + 1, size=(2, number, 1))
    rows, columns = top + np.arange(height), left + np.arange(width)
    mirrored = random.random(number) < 0.5
    columns[mirrored] = columns[mirrored, ::-1]
    return padded[np.arange(number)[:, None, None], rows[:, :, None], columns[:, None, :]]


def _run_epoch(graph, data, recipe, epoch, seed):
    """One pass over the training images in an order of its own: (mean gradient norms, None), or (None, why it stopped)."""
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(data.train_images))
    batches = np.array_split(order, len(order) // recipe.batch_size)  # of batch_size or a little more, none left over
    norms = np.zeros(2)
    for step, batch in enumerate(batches, 1):
        images = _augmented(data.train_images[batch], recipe.augment, random)
        feed = {graph.images: images, graph.labels: data.train_labels[batch]}
        loss, *step_norms = graph.session.run(graph.step, {**feed, graph.learning_rate: recipe.learning_rate_at(epoch)})
        if not np.isfinite(loss):
            return None, (
                f"diverged: the loss is {loss} at epoch {epoch + 1}, step {step}, with a learning rate of "
                f"{recipe.learning_rate_at(epoch):g}"
            )
        norms += step_norms
    return norms / len(batches), None
