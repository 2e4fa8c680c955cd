"""The lesion study of notebook 09, after Veit et al. 2016 (arXiv:1605.06431): makes data/lesions.csv.

    python -m experiments.lesions [FILE]

About a quarter of an hour on one core. Networks that are in the file are not trained again, so a run that was interrupted
goes on. Each is trained on the digits with the recipe of notebook 02, then measured whole and with its lesions. A row:

    family, layers, seed   the network: "residual" (V1) and "v2", shortcut A, or "plain"
    lesion                 "none"; "remove": units that keep the shape left out; "shortcut": the residual of one unit that
                           changes the shape left out, its shortcut kept; "swap": pairs of units of one block that keep
                           the shape exchanged; "path": no lesion, the gradient along one path; "gradient": along all
    number                 of units or of swaps; of a path, its length: the residuals that the gradient passes through
    draw                   0, 1, ... for the random choices of one number; of gradients, the number of the batch
    units                  what was chosen, from 0 for the first unit of the network: "3 7", or "3-7 2-5" for swaps
    train_error            share of wrong answers on the 1,500 training images, for one unit left out or none
    test_error             share of wrong answers on the 297 test images
    gradient_norm          of the mean loss of 50 training images, for these images
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from resnet_lib import data
from resnet_lib.architectures import Architecture, get_architecture
from resnet_lib.network import network_function
from resnet_lib.records import Records
from resnet_lib.resnet_utils import subsample, unit_function
from resnet_lib.sweep import FAMILIES
from resnet_lib.tf_slim_compat import quick_building, slim, tf
from resnet_lib.training import Recipe, train
from resnet_lib.training_graph import session
from resnet_lib.units import BasicUnit, UnitKind

KEY = ("family", "layers", "seed")
COLUMNS = (*KEY, "lesion", "number", "draw", "units", "train_error", "test_error", "gradient_norm")
RECIPE = Recipe(epochs=15, learning_rate=0.05, warm_up=2)
NETWORKS = [("residual", 20), ("plain", 20), ("residual", 56), ("v2", 56)]
SEEDS = range(5)
REMOVED = {20: (2, 3, 4, 5, 6), 56: (2, 3, 5, 8, 12, 16, 20)}
SWAPS = {20: (1, 2, 4, 8), 56: (1, 2, 4, 8, 16)}
DRAWS = 6
PATH_DRAWS = 10
PATH_IMAGES = 50
BATCH_SIZE = 300  # in evaluation

Rows = Iterator[dict[str, Any]]


def joined(unit_fn: Callable, join: Callable, numbers: Iterator[int]) -> Callable:
    """A unit function: `join(i, out, identity)` of what unit i returns and of what its shortcut alone would.

    A plain unit has no shortcut: where it keeps the shape, its input takes that place; where it does not, nothing is
    joined.
    """

    @slim.add_arg_scope
    def unit(inputs, depth, stride, rate=1, outputs_collections=None, scope=None, shortcut="A"):
        i = next(numbers)
        depth_in = inputs.shape[-1]
        out = unit_fn(inputs, depth, stride, rate, shortcut=shortcut)
        if shortcut == "none" and (stride, depth_in) != (1, depth):
            return out
        identity = tf.pad(subsample(inputs, stride), [[0, 0], [0, 0], [0, 0], [0, depth - depth_in]])
        return join(i, out, identity)

    return unit


class Lesioned:
    """A network of basic units with switches, in a graph and a session of its own.

    One graph for all lesions: `Network.rewired` would build a new one for each of the hundreds. architecture: of
    `sweep.FAMILIES`, with shortcut "A" or "none"; values: of its variables, by name, as `History.weights` has them.
    """

    def __init__(
        self,
        architecture: Architecture,
        values: Mapping[str, np.ndarray],
        image_shape: Sequence[int] = (8, 8, 1),
        num_classes: int = 10,
    ):
        height, width, channels = image_shape
        self.architecture = get_architecture(architecture, (height, width), num_classes, channels_in=channels)
        self.values = values
        blocks = self.architecture.blocks
        self.units = [(block.scope, number) for block in blocks for number in range(1, len(block.args) + 1)]
        with tf.Graph().as_default() as graph, quick_building():
            self.images = tf.compat.v1.placeholder(tf.float32, [None, *image_shape])
            self.labels = tf.compat.v1.placeholder(tf.int32, [None])
            self.switches = tf.compat.v1.placeholder(tf.float32, [len(self.units)])
            self.logits = self._logits(self._without)
            wrong = tf.not_equal(tf.argmax(self.logits, 1, output_type=tf.int32), self.labels)
            self.wrong = tf.reduce_sum(tf.cast(wrong, tf.float32))
            self._make_assignable()
            self.session = session(graph)
        self.reorder({})

    @cached_property
    def _gradient(self):
        """In a second network on the same variables, which only those pay for who follow paths."""
        with self.session.graph.as_default(), quick_building():
            logits = self._logits(self._along)
            loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=self.labels, logits=logits)
            return tf.gradients(tf.reduce_mean(loss), self.images)[0]

    def _make_assignable(self):
        variables = tf.compat.v1.global_variables()
        self._new = {v.op.name: tf.compat.v1.placeholder(tf.float32, v.shape) for v in variables}
        self._assign = [v.assign(self._new[v.op.name]) for v in variables]

    def _logits(self, join):
        """The logits of the network whose units are joined so."""
        numbers = itertools.count()
        blocks = []
        for block in self.architecture.blocks:
            function, kind = unit_function(block.unit_fn)
            unit = joined(function, join, numbers)
            kind = UnitKind(kind.name, BasicUnit, kind.version, options=("shortcut",), builder=unit)
            blocks.append(block._replace(unit_fn=kind))
        net, _ = network_function(replace(self.architecture, blocks=tuple(blocks)))(self.images)
        return tf.reshape(net, [-1, self.architecture.num_classes])

    def _without(self, i, out, identity):
        """Switch 1: the unit as it is; 0: its shortcut alone. Where an input is never negative, as after V1's ReLU, this is
        leaving out the residual: relu(x + 0) = x."""
        return self.switches[i] * out + (1 - self.switches[i]) * identity

    def _along(self, i, out, identity):
        """The unit as it is, but the gradient goes through the residual (switch 1), the shortcut (0) or both (2)."""
        if self.architecture.version == 1:  # the ReLU after the sum passes the gradient where the sum is positive
            identity = identity * tf.cast(out > 0, tf.float32)
        residual = out - identity
        switch = self.switches[i]
        path = tf.minimum(switch, 1) * residual + tf.abs(1 - switch) * identity
        return path + tf.stop_gradient(out - path)  # the value of `out`, the gradient of `path`

    def reorder(self, order: Mapping[int, int]) -> None:
        """Puts other units' weights into units: order is unit -> the unit whose weights it gets, by their numbers."""
        sources = {self._scope(i): self._scope(j) for i, j in order.items()}
        feed = {}
        for name, new in self._new.items():
            scope = next((scope for scope in sources if name.startswith(scope)), "")
            feed[new] = self.values[sources.get(scope, "") + name.removeprefix(scope)]
        self.session.run(self._assign, feed)

    def _scope(self, i):
        block, number = self.units[i]
        return f"{self.architecture.name}/{block}/unit_{number}/"

    def _switched(self, numbers, to):
        switches = np.full(len(self.units), 1 - to, np.float32)
        switches[list(numbers)] = to
        return switches

    def error(self, images: np.ndarray, labels: np.ndarray, removed: Iterable[int] = ()) -> float:
        """Share of wrong answers without the units of these numbers."""
        switches = self._switched(removed, 0)
        parts = [slice(start, start + BATCH_SIZE) for start in range(0, len(images), BATCH_SIZE)]
        feeds = [{self.images: images[p], self.labels: labels[p], self.switches: switches} for p in parts]
        return sum(int(self.session.run(self.wrong, feed)) for feed in feeds) / len(images)

    def path_gradient(self, images: np.ndarray, labels: np.ndarray, units: Iterable[int] | None = None) -> np.ndarray:
        """The gradient of the mean loss for the images along the path through these units' residuals; None: along all
        paths."""
        switches = np.full(len(self.units), 2, np.float32) if units is None else self._switched(units, 1)
        return self.session.run(self._gradient, {self.images: images, self.labels: labels, self.switches: switches})


def keeping(architecture: Architecture) -> list[int]:
    """The numbers of the units that keep the shape; the first one does, for the root has the depth of its block."""
    units = [unit for block in architecture.blocks for unit in block.args]
    later = [i for i in range(1, len(units)) if units[i].stride == 1 and units[i].depth == units[i - 1].depth]
    return [0, *later]


def _row(lesion, number, draw, units, **measured):
    return {"lesion": lesion, "number": number, "draw": draw, "units": " ".join(map(str, units)), **measured}


def _errors(network, digits, removed=()):
    """Test errors of all lesions; training errors, which cost five times as much, of one unit at most."""
    errors = {"test_error": network.error(digits.test_images, digits.test_labels, removed)}
    if len(removed) < 2:
        errors["train_error"] = network.error(digits.train_images, digits.train_labels, removed)
    return errors


def removals(network: Lesioned, digits: data.Dataset, random: np.random.Generator, counts: Sequence[int]) -> Rows:
    """The network whole, without each unit, and DRAWS times without so many units as each of the counts."""
    yield _row("none", 0, 0, [], **_errors(network, digits))
    kept = keeping(network.architecture)
    for draw, i in enumerate(kept):
        yield _row("remove", 1, draw, [i], **_errors(network, digits, [i]))
    if network.architecture.shortcut != "none":
        changing = [i for i in range(len(network.units)) if i not in kept]
        for draw, i in enumerate(changing):
            yield _row("shortcut", 1, draw, [i], **_errors(network, digits, [i]))
    for number, draw in itertools.product(counts, range(DRAWS)):
        removed = sorted(random.choice(kept, number, replace=False))
        yield _row("remove", number, draw, removed, **_errors(network, digits, removed))


def swaps(network: Lesioned, digits: data.Dataset, random: np.random.Generator, counts: Sequence[int]) -> Rows:
    """DRAWS times with so many pairs of units exchanged, one after the other, as each of the counts."""
    kept = keeping(network.architecture)
    pairs = [(i, j) for i, j in itertools.combinations(kept, 2) if network.units[i][0] == network.units[j][0]]
    for number, draw in itertools.product(counts, range(DRAWS)):
        chosen = [pairs[p] for p in random.integers(len(pairs), size=number)]
        order = list(range(len(network.units)))
        for i, j in chosen:
            order[i], order[j] = order[j], order[i]
        network.reorder(dict(enumerate(order)))
        test_error = network.error(digits.test_images, digits.test_labels)
        yield _row("swap", number, draw, [f"{i}-{j}" for i, j in chosen], test_error=test_error)
    network.reorder({})


def gradients(network: Lesioned, digits: data.Dataset, random: np.random.Generator) -> Rows:
    """The whole gradient for PATH_DRAWS batches, and for each batch the one along a path of every length."""
    number = len(network.units)
    batches = [random.choice(len(digits.train_images), PATH_IMAGES, replace=False) for _ in range(PATH_DRAWS)]

    def norm(draw, units=None):
        images = digits.train_images[batches[draw]]
        return float(np.linalg.norm(network.path_gradient(images, digits.train_labels[batches[draw]], units)))

    for draw in range(PATH_DRAWS):
        yield _row("gradient", number, draw, [], gradient_norm=norm(draw))
    for length, draw in itertools.product(range(number + 1), range(PATH_DRAWS)):
        units = sorted(random.choice(number, length, replace=False))
        yield _row("path", length, draw, units, gradient_norm=norm(draw, units))


def measured(family: str, layers: int, seed: int) -> list[dict[str, Any]]:
    """The rows of one network: trained, then measured with every lesion."""
    digits = data.digits()
    architecture = FAMILIES[family](layers)
    network = Lesioned(architecture, train(architecture, digits, RECIPE, seed, threads=1).weights)
    random = np.random.default_rng([layers, seed])
    rows = [*removals(network, digits, random, REMOVED[layers]), *swaps(network, digits, random, SWAPS[layers])]
    if architecture.shortcut != "none":
        rows += gradients(network, digits, random)
    return [{"family": family, "layers": layers, "seed": seed, **row} for row in rows]


def main(path: Path = data.DATA / "lesions.csv") -> None:
    """Makes the rows that the file lacks."""
    records = Records(path, COLUMNS, KEY)
    jobs = [(family, layers, seed) for seed, (family, layers) in itertools.product(SEEDS, NETWORKS)]
    for job in records.missing(jobs):
        records.append(*measured(*job))
        print(*job, "done", flush=True)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
