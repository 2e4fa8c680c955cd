"""One compact training loop for slim networks: momentum SGD as in He et al. 2015, a record an epoch, stop and resume.

The commonest mistake with tf-slim is to train without running the update operations of batch normalization, so that the
moving averages stay as they began and evaluation fails. Here they run with every step, and every loss and error in a
record is measured in evaluation mode, with the moving averages, on the whole data. Used in notebook 02.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from inspect import isfunction
from typing import Any

import numpy as np
from tqdm import tqdm

from . import checkpoints
from .architectures import Architecture, Block, get_architecture
from .checkpoints import Epoch
from .checks import MAX_SEED, file_path, positive_int, whole_number
from .data import Dataset, checked
from .network import Network, build, network_function
from .recipe import Recipe, given_recipe
from .training_graph import GradientChange, TrainingGraph


@dataclass(frozen=True)
class History:
    """What a run came to: its records, and the network that it trained. Two are equal whose records and errors are.

    epochs: the records; error: why the run stopped before its last epoch, None when it did not; weights: name of a
    variable, as `Network.save` has it, -> its value at the end; architecture: of the network, for the images and classes
    of the data.
    """

    epochs: list[Epoch]
    error: str | None = None
    weights: dict[str, np.ndarray] = field(default_factory=dict, compare=False, repr=False)
    architecture: Architecture | None = field(default=None, compare=False, repr=False)

    @cached_property
    def network(self) -> Network:
        """The trained network. It is built when it is first asked for, which takes seconds for a deep one. Raises ValueError
        where the run diverged so far that its `weights` hold NaN."""
        network = build(self.architecture)
        network.assign(self.weights, "weights")
        return network

    def __getstate__(self) -> dict[str, Any]:
        """All but the network: a graph cannot be pickled, and is built again from the weights."""
        return {name: value for name, value in self.__dict__.items() if name != "network"}


def _graph(architecture, recipe, data, seed, threads, change_gradients=None):
    penalty = {"weight_decay": recipe.weight_decay, "batch_norm_decay": recipe.batch_norm_decay}
    network = network_function(architecture, seed=seed, **penalty)
    shape = data.train_images.shape[1:]
    return TrainingGraph(network, shape, recipe.batch_size, recipe.momentum, seed, threads, change_gradients)


def train(
    architecture: str | Architecture | list[Block] | Network,
    data: Dataset,
    recipe: Recipe | None = None,
    seed: int = 0,
    checkpoint: str | os.PathLike | None = None,
    threads: int | None = None,
    progress: bool = False,
    observe: Callable[[int, TrainingGraph], None] | None = None,
    change_gradients: GradientChange | None = None,
) -> History:
    """Trains a network on a `data.Dataset`: History, with one Epoch record an epoch, the weights and the network.

    architecture: a name, an Architecture or a list of Blocks; its image size, channels and classes become those of the
    data. Or a Network, with the channels and classes of the data: the run starts from its weights as they are, and leaves them
    so. recipe: a Recipe, None for its defaults; seed: of the weights and of the order of the images: the same seed
    gives the same run, to the last bit on small images or when `threads` is given, up to the rounding of sums in an order
    that varies otherwise. checkpoint: a file that holds the run after each epoch; a call that finds it goes on from there
    and ends as an unbroken run does (but for dropout, which draws anew), and the file of another run is refused. It knows
    a unit function of one's own, and `change_gradients`, by name, defaults and what they close over, as that prints, and not by
    their code.
    threads: of TensorFlow, None for all. progress: show a bar. observe: called with the number of steps taken and the graph,
    before the first step and after each; a run that goes on from a checkpoint begins after those that it has taken.
    change_gradients: a function (gradients, variables) -> gradients, lists in one order, which the optimizer takes in place of
    those of the loss: to clip them, say.
    A loss or a gradient that is no longer finite ends the run; `History.error` says where.
    Raises, before anything is built, what `data.checked` does, ValueError for a batch larger than the training data, a
    seed below 0 and a checkpoint that is damaged or of another run, and TypeError for arguments of other types; then
    OSError when the checkpoint cannot be written.
    """
    recipe = given_recipe(recipe)
    data = checked(data)
    seed = whole_number("seed", seed, most=MAX_SEED)
    threads = threads if threads is None else positive_int("threads", threads)
    checkpoint = checkpoint if checkpoint is None else file_path("checkpoint", checkpoint)
    if observe is not None and not callable(observe):
        raise TypeError(f"observe must be a function or None, got {observe!r}")
    if change_gradients is not None and not isfunction(change_gradients):
        raise TypeError(
            f"change_gradients must be a function, whose name is its own, or None, got {change_gradients!r}"
        )
    architecture, start = _with_start(architecture)
    architecture = _for_data(architecture, recipe, data, start)
    run = checkpoints.fingerprint(architecture, recipe, data, seed, start, change_gradients)
    arrays, epochs = checkpoints.read(checkpoint, run)
    graph = _graph(architecture, recipe, data, seed, threads, change_gradients)

    def keep(epochs):
        if checkpoint:
            variables = dict(zip(graph.names, graph.values(), strict=True))
            checkpoints.write(checkpoint, run, epochs, variables, architecture)

    with graph.session:
        if arrays or start:
            graph.load(arrays or start)
        if not arrays:
            keep(epochs)  # says now, not after an epoch, that it cannot be written
        if observe and not epochs:
            observe(0, graph)
        bar = tqdm(range(len(epochs), recipe.epochs), desc=architecture.name, unit="epoch", disable=not progress)
        error = _run_epochs(graph, data, recipe, seed, epochs, bar, keep, observe)
        return History(epochs, error, graph.weights(), architecture)


def _with_start(architecture):
    """(the description, name -> value of the weights to start from: none unless a Network is given)."""
    if not isinstance(architecture, Network):
        return architecture, {}
    if architecture.architecture is None:
        raise ValueError(f"architecture: {architecture.name!r} is not a list of Blocks, and cannot be trained here")
    return architecture.architecture, architecture.values()


def _for_data(architecture, recipe, data, start):
    number, height, width, channels = data.train_images.shape
    if recipe.batch_size > number:
        raise ValueError(f"batch_size must be at most the {number} training images, got {recipe.batch_size}")
    found = (architecture.channels_in, architecture.num_classes) if start else ()
    if start and found != (channels, data.num_classes):
        raise ValueError(
            f"architecture: a Network must have the {channels} channels and {data.num_classes} classes of the data, got "
            f"{found[0]} and {found[1]}; build(..., num_classes={data.num_classes}, weights=..., fresh_classifier=True) "
            "gives it a classifier for them"
        )
    return get_architecture(architecture, (height, width), data.num_classes, channels_in=channels)


def _run_epochs(graph, data, recipe, seed, epochs, bar, keep, observe):
    """Runs the epochs of the bar, and adds the record of each to `epochs`: None, or why it stopped."""
    for epoch in bar:
        norms, error = _run_epoch(graph, data, recipe, epoch, seed, observe)
        if error:
            return error
        record = _record(graph, data, recipe, epoch, norms)
        epochs.append(record)
        bar.set_postfix(train_error=f"{record.train_error:.3f}", test_error=f"{record.test_error:.3f}")
        keep(epochs)
    return None


def _record(graph, data, recipe, epoch, norms):
    train_loss, train_error = graph.evaluate(data.train_images, data.train_labels)
    _, test_error = graph.evaluate(data.test_images, data.test_labels)
    measured = (recipe.learning_rate_at(epoch), train_loss, train_error, test_error, *norms)
    return Epoch(epoch + 1, *map(float, measured))


def _augmented(images, padding, random):
    """The augmentation of He et al. 2015, section 4.2: a random crop of each image within `padding` zero pixels on each
    side, or its mirror image, left and right exchanged. [batch, height, width, channels], as before; padding 0 changes
    nothing."""
    if not padding:
        return images
    number, height, width, _ = images.shape
    padded = np.pad(images, [(0, 0), (padding, padding), (padding, padding), (0, 0)])
    top, left = random.integers(2 * padding + 1, size=(2, number, 1))
    rows = top + np.arange(height)  # [batch, height]: of each image, the rows of the padded one that it takes
    columns = left + np.arange(width)
    mirrored = random.random(number) < 0.5
    columns[mirrored] = columns[mirrored, ::-1]
    image = np.arange(number)
    return padded[image[:, None, None], rows[:, :, None], columns[:, None, :]]


def _run_epoch(graph, data, recipe, epoch, seed, observe=None):
    """One pass over the training images in an order of its own: (mean gradient norms, None), or (None, why it stopped)."""
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(data.train_images))
    batches = np.array_split(order, len(order) // recipe.batch_size)  # each of batch_size or more
    norms = np.zeros(2)
    for step, batch in enumerate(batches, 1):
        images = _augmented(data.train_images[batch], recipe.augment, random)
        feed = {graph.images: images, graph.labels: data.train_labels[batch]}
        loss, *step_norms = graph.session.run(graph.step, {**feed, graph.learning_rate: recipe.learning_rate_at(epoch)})
        if not np.isfinite([loss, *step_norms]).all():  # some ReLUs turn NaN into 0: then only the gradient tells
            what = f"norm of the gradient is {step_norms[0]}" if np.isfinite(loss) else f"loss is {loss}"
            where = f"epoch {epoch + 1}, step {step}, with a learning rate of {recipe.learning_rate_at(epoch):g}"
            return None, f"diverged: the {what} at {where}"
        norms += step_norms
        if observe:
            observe(epoch * len(batches) + step, graph)
    return norms / len(batches), None
