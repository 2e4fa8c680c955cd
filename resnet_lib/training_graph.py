"""The graph of a training run: a step of momentum SGD and an evaluation, on shared variables, and their session."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np

from .tf_slim_compat import quick_building, tf

# (gradients, variables) -> the gradients that the optimizer takes in their place, in the same order
GradientChange = Callable[[list[tf.Tensor], list[tf.Variable]], list[tf.Tensor]]

# An operation on a batch of fewer pixels than this takes well under a millisecond, and cores that share it gain next to
# nothing. There each operation has one thread, and the cores take different ones: the gradient for a layer's weights
# beside that for its input. Measured by experiments/bench_training.py.
_SMALL = 2**15


def thread_numbers(pixels: int, threads: int | None) -> tuple[int, int]:
    """(threads of one operation, operations at a time) for batches of so many pixels; 0 leaves it to TensorFlow."""
    if pixels < _SMALL:
        return 1, threads or joblib.cpu_count()
    return (threads, 1) if threads else (0, 0)


def session(graph: tf.Graph, per_operation: int = 1, operations: int = 1) -> tf.compat.v1.Session:
    """A session with threads of its own; unless more are asked for, one, which gives the same result every time."""
    config = tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=per_operation,
        inter_op_parallelism_threads=operations,
        use_per_session_threads=operations > 0,
    )
    return tf.compat.v1.Session(graph=graph, config=config)


class TrainingGraph:
    """What `training.train` runs.

    network: as `network.network_function` makes it, a function (images, is_training) -> (logits, end_points), called
    twice here, on one set of variables. variables, names: of the network and of the optimizer, in order of creation.
    """

    def __init__(
        self,
        network: Callable,
        image_shape: Sequence[int],
        batch_size: int,
        momentum: float,
        seed: int,
        threads: int | None,
        change_gradients: GradientChange | None = None,
    ):
        height, width, _ = image_shape
        per_operation, operations = thread_numbers(batch_size * height * width, threads)
        self._batches_at_once = max(1, operations)  # in evaluation
        with tf.Graph().as_default() as graph, quick_building():
            tf.compat.v1.set_random_seed(seed)  # of dropout; the weights have seeds of their own
            self.images = tf.compat.v1.placeholder(tf.float32, [None, *image_shape])
            self.labels = tf.compat.v1.placeholder(tf.int32, [None])
            self.learning_rate = tf.compat.v1.placeholder(tf.float32, [])
            self.step = self._training_step(network, momentum, change_gradients)
            self.evaluation = self._evaluation(network)
            self.variables = tf.compat.v1.global_variables()
            self.names = [variable.op.name for variable in self.variables]
            self.session = session(graph, per_operation, operations)
            self.session.run(tf.compat.v1.global_variables_initializer())

    def _training_step(self, network, momentum, change_gradients):
        """The loss before the step, the norm of all gradients, and that of the first weights' gradient, as they are before
        they are changed."""
        logits, _ = network(self.images, is_training=True)
        self._of_network = tf.compat.v1.global_variables()
        loss = tf.reduce_mean(self._cross_entropy(logits))
        trained = tf.compat.v1.trainable_variables()
        gradients = tf.gradients(loss + tf.compat.v1.losses.get_regularization_loss(), trained)
        optimizer = tf.compat.v1.train.MomentumOptimizer(self.learning_rate, momentum)
        # Without these the moving averages of the batch norms would stay as they began.
        updates = tf.compat.v1.get_collection(tf.compat.v1.GraphKeys.UPDATE_OPS)
        taken = change_gradients(gradients, trained) if change_gradients else gradients
        if not isinstance(taken, list | tuple) or len(taken) != len(trained):
            found = len(taken) if isinstance(taken, list | tuple) else repr(taken)
            raise ValueError(f"change_gradients must give a list of {len(trained)} gradients, got {found}")
        with tf.control_dependencies(updates):
            apply = optimizer.apply_gradients(zip(taken, trained, strict=True))
        with tf.control_dependencies([apply]):  # whoever asks for the loss takes the step
            return [tf.identity(loss), tf.linalg.global_norm(gradients), tf.norm(gradients[0])]

    def _evaluation(self, network):
        """For each image its cross-entropy, and 1 where the answer is wrong, with the moving averages."""
        logits, _ = network(self.images)
        answers = tf.argmax(_flat(logits), 1, output_type=tf.int32)
        return [self._cross_entropy(logits), tf.cast(tf.not_equal(answers, self.labels), tf.float32)]

    def _cross_entropy(self, logits):
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=self.labels, logits=_flat(logits))

    def values(self) -> list[np.ndarray]:
        """Of all `variables`, in their order."""
        return self.session.run(self.variables)

    def load(self, values: Mapping[str, np.ndarray]) -> None:
        """Gives the `variables` that it names these values."""
        initializers = [self.variables[self.names.index(name)].initializer for name in values]
        # An initializer assigns its second input. To feed that takes no operation of its own for each variable.
        feed = {assign.inputs[1]: value for assign, value in zip(initializers, values.values(), strict=True)}
        self.session.run(initializers, feed)

    def weights(self) -> dict[str, np.ndarray]:
        """Name -> array of the network's variables, which the optimizer's are not among."""
        names = [variable.op.name for variable in self._of_network]
        return dict(zip(names, self.session.run(self._of_network), strict=True))

    def evaluate(self, images: np.ndarray, labels: np.ndarray, batch_size: int = 250) -> np.ndarray:
        """[mean cross-entropy, share of wrong answers], with the moving averages."""

        def sums(start):
            part = slice(start, start + batch_size)
            results = self.session.run(self.evaluation, {self.images: images[part], self.labels: labels[part]})
            return [np.sum(result, dtype=np.float64) for result in results]

        with ThreadPoolExecutor(self._batches_at_once) as pool:
            return np.sum(list(pool.map(sums, range(0, len(images), batch_size))), axis=0) / len(images)


def _flat(logits):
    """[batch, 1, 1, classes] -> [batch, classes]."""
    return tf.reshape(logits, [-1, logits.shape[-1]])
