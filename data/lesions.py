"""The lesion study of notebook 09, after Veit et al. 2016 (arXiv:1605.06431): makes lesions.csv beside this file.

    python data/lesions.py

About a quarter of an hour on one core. Networks that are in the file are not trained again, so a run that was interrupted
goes on. Each is trained on the digits with the recipe of notebook 02, then measured whole and with its lesions. A row:

    family, layers, seed   the network: "residual" (V1) and "v2", shortcut A, or "plain"
    lesion                 "none"; "remove": units that keep the shape left out; "shortcut": the residual of one unit that
                           changes the shape left out, its shortcut kept; "swap": pairs of units of one block that keep the
                           shape exchanged; "path": no lesion, the gradient along one path; "gradient": along all of them
    number                 of units or of swaps; of a path, its length: the residuals that the gradient passes through
    draw                   0, 1, ... for the random choices of one number; of gradients, the number of the batch
    units                  what was chosen, from 0 for the first unit of the network: "3 7", or "3-7 2-5" for swaps
    train_error            share of wrong answers on the 1,500 training images, for one unit left out or none
    test_error             share of wrong answers on the 297 test images
    gradient_norm          of the mean loss of 50 training images, for these images
"""

import csv
import itertools
import os
import re
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from resnet_lib import data, resnet_v1, resnet_v2
from resnet_lib.architectures import BasicUnit
from resnet_lib.network import network_function
from resnet_lib.resnet_utils import subsample
from resnet_lib.sweep import FAMILIES
from resnet_lib.tf_slim_compat import slim, tf
from resnet_lib.training import Recipe, train

COLUMNS = "family layers seed lesion number draw units train_error test_error gradient_norm".split()
RECIPE = Recipe(epochs=15, learning_rate=0.05, warm_up=2)
NETWORKS = [("residual", 20), ("plain", 20), ("residual", 56), ("v2", 56)]
SEEDS = range(5)
REMOVED = {20: (2, 3, 4, 5, 6), 56: (2, 3, 5, 8, 12, 16, 20)}
SWAPS = {20: (1, 2, 4, 8), 56: (1, 2, 4, 8, 16)}
DRAWS, PATH_DRAWS = 6, 10


def joined(unit_fn, shortcut, join, numbers):
    """A unit function: `join(i, out, identity)` of what unit i returns and of what its shortcut alone would.

    A plain unit has no shortcut: where it keeps the shape, its input takes that place; where it does not, nothing is joined.
    """

    @slim.add_arg_scope
    def unit(inputs, depth, stride, rate=1, outputs_collections=None, scope=None):
        i, depth_in = next(numbers), inputs.shape[-1]
        out = unit_fn(inputs, depth, stride, rate, shortcut=shortcut)
        if shortcut == "none" and (stride, depth_in) != (1, depth):
            return out
        return join(i, out, tf.pad(subsample(inputs, stride), [[0, 0], [0, 0], [0, 0], [0, depth - depth_in]]))

    unit.unit_type = BasicUnit
    return unit


class Lesioned:
    """A network of basic units with switches, in a graph and a session of its own.

    architecture: of `sweep.FAMILIES`, with shortcut "A" or "none"; values: of its variables, by name.
    """

    def __init__(self, architecture, values, image_shape=(8, 8, 1), num_classes=10):
        self.architecture, self.values = architecture, values
        self.units = [(block.scope, j) for block in architecture.blocks for j in range(1, len(block.args) + 1)]
        with tf.Graph().as_default() as graph:
            self.images = tf.compat.v1.placeholder(tf.float32, [None, *image_shape])
            self.labels = tf.compat.v1.placeholder(tf.int32, [None])
            self.switches = tf.compat.v1.placeholder(tf.float32, [len(self.units)])
            self.logits, along = (self._logits(join, num_classes) for join in (self._without, self._along))
            wrong = tf.not_equal(tf.argmax(self.logits, 1, output_type=tf.int32), self.labels)
            self.wrong = tf.reduce_sum(tf.cast(wrong, tf.float32))
            loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=self.labels, logits=along)
            self.gradient = tf.gradients(tf.reduce_mean(loss), self.images)[0]
            self.variables = {v.op.name: v for v in tf.compat.v1.global_variables()}
            self._new = {name: tf.compat.v1.placeholder(tf.float32, v.shape) for name, v in self.variables.items()}
            self._assign = [v.assign(self._new[name]) for name, v in self.variables.items()]
            config = tf.compat.v1.ConfigProto(
                intra_op_parallelism_threads=1, inter_op_parallelism_threads=1, use_per_session_threads=True
            )
            self.session = tf.compat.v1.Session(graph=graph, config=config)
        self.reorder({})

    def _logits(self, join, num_classes):
        """The logits of the network whose units are joined so."""
        fns = {**resnet_v1.UNIT_FNS, **resnet_v2.UNIT_FNS}
        numbers, blocks = itertools.count(), []
        for block in self.architecture.blocks:
            unit_fn = joined(fns[block.unit_fn], self.architecture.shortcut, join, numbers)
            unit_fn.version = self.architecture.version
            blocks.append(block._replace(unit_fn=unit_fn))
        net, _ = network_function(replace(self.architecture, blocks=tuple(blocks)), num_classes)(self.images)
        return tf.reshape(net, [-1, num_classes])

    def _without(self, i, out, identity):
        """Switch 1: the unit as it is; 0: its shortcut alone. Where an input is never negative, as behind V1's ReLU, this is
        leaving out the residual: relu(x + 0) = x."""
        return self.switches[i] * out + (1 - self.switches[i]) * identity

    def _along(self, i, out, identity):
        """The unit as it is, but the gradient goes through the residual (switch 1), the shortcut (0) or both (2)."""
        if self.architecture.version == 1:  # the ReLU behind the sum passes the gradient where the sum is positive
            identity = identity * tf.cast(out > 0, tf.float32)
        residual, switch = out - identity, self.switches[i]
        path = tf.minimum(switch, 1) * residual + tf.abs(1 - switch) * identity
        return path + tf.stop_gradient(out - path)

    def reorder(self, order):
        """Puts other units' weights into units: order is unit -> the unit whose weights it gets, by their numbers."""
        source = {self.units[i]: self.units[j] for i, j in order.items()}

        def value(name):
            place = re.search(r"/([^/]+)/unit_(\d+)/", name)
            scope, number = (place[1], int(place[2])) if place else (None, 0)
            ours = source.get((scope, number), (scope, number))
            return self.values[name.replace(f"/unit_{number}/", f"/unit_{ours[1]}/", 1)]

        self.session.run(self._assign, {new: value(name) for name, new in self._new.items()})

    def _switched(self, numbers, to):
        switches = np.full(len(self.units), 1 - to, np.float32)
        switches[list(numbers)] = to
        return switches

    def error(self, images, labels, removed=(), batch_size=300):
        """Share of wrong answers without the units of these numbers."""
        wrong, switches = 0, self._switched(removed, 0)
        for start in range(0, len(images), batch_size):
            part = slice(start, start + batch_size)
            feed = {self.images: images[part], self.labels: labels[part], self.switches: switches}
            wrong += int(self.session.run(self.wrong, feed))
        return wrong / len(images)

    def path_gradient(self, images, labels, units=None):
        """The gradient of the mean loss for the images along the path through these units' residuals; None: along all paths."""
        switches = np.full(len(self.units), 2, np.float32) if units is None else self._switched(units, 1)
        return self.session.run(self.gradient, {self.images: images, self.labels: labels, self.switches: switches})


def measured(family, layers, seed, folder):
    """The rows of one network: trained, then measured with every lesion."""
    digits, architecture = data.digits(), FAMILIES[family](layers)
    checkpoint = Path(folder) / f"{family}_{layers}_{seed}.npz"
    train(architecture, digits, RECIPE, seed, checkpoint, threads=1)
    with np.load(checkpoint) as saved:
        network = Lesioned(architecture, {name: saved[name] for name in saved.files})
    random = np.random.default_rng([layers, seed])
    shapes = [unit for block in architecture.blocks for unit in block.args]
    keeping = [i for i, unit in enumerate(shapes) if i == 0 or (unit.stride == 1 and unit.depth == shapes[i - 1].depth)]
    changing = [i for i in range(len(shapes)) if i not in keeping]

    def row(lesion, number, draw, units, errors=(None, None), norm=None):
        return (family, layers, seed, lesion, number, draw, units, *errors, norm)

    def errors(removed=()):
        train_error = network.error(digits.train_images, digits.train_labels, removed) if len(removed) < 2 else None
        return train_error, network.error(digits.test_images, digits.test_labels, removed)

    yield row("none", 0, 0, "", errors())
    for draw, i in enumerate(keeping):
        yield row("remove", 1, draw, str(i), errors([i]))
    if architecture.shortcut != "none":
        for draw, i in enumerate(changing):
            yield row("shortcut", 1, draw, str(i), errors([i]))
    for number, draw in itertools.product(REMOVED[layers], range(DRAWS)):
        removed = sorted(random.choice(keeping, number, replace=False))
        yield row("remove", number, draw, " ".join(map(str, removed)), errors(removed))
    pairs = [(i, j) for i, j in itertools.combinations(keeping, 2) if network.units[i][0] == network.units[j][0]]
    for number, draw in itertools.product(SWAPS[layers], range(DRAWS)):
        swaps = [pairs[p] for p in random.integers(len(pairs), size=number)]
        order = list(range(len(shapes)))
        for i, j in swaps:
            order[i], order[j] = order[j], order[i]
        network.reorder(dict(enumerate(order)))
        test_error = network.error(digits.test_images, digits.test_labels)
        yield row("swap", number, draw, " ".join(f"{i}-{j}" for i, j in swaps), (None, test_error))
    network.reorder({})
    if architecture.shortcut != "none":
        batches = [random.choice(len(digits.train_images), 50, replace=False) for _ in range(PATH_DRAWS)]
        for length, draw in itertools.product([None, *range(len(shapes) + 1)], range(PATH_DRAWS)):
            units = None if length is None else sorted(random.choice(len(shapes), length, replace=False))
            images, labels = digits.train_images[batches[draw]], digits.train_labels[batches[draw]]
            norm = float(np.linalg.norm(network.path_gradient(images, labels, units)))
            if units is None:
                yield row("gradient", len(shapes), draw, "", norm=norm)
            else:
                yield row("path", length, draw, " ".join(map(str, units)), norm=norm)


def main(path):
    rows = list(csv.DictReader(path.open())) if path.exists() else []
    done = {(row["family"], int(row["layers"]), int(row["seed"])) for row in rows}
    for seed, (family, layers) in itertools.product(SEEDS, NETWORKS):
        if (family, layers, seed) in done:
            continue
        with tempfile.TemporaryDirectory() as folder:
            new = list(measured(family, layers, seed, folder))
        beside = path.with_name(f"{path.name}.{os.getpid()}")  # a whole file takes the place of a whole file
        with beside.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(row.values() for row in rows)
            writer.writerows([f"{v:.6g}" if isinstance(v, float) else v for v in row] for row in new)
        os.replace(beside, path)
        rows = list(csv.DictReader(path.open()))
        print(family, layers, seed, "done", flush=True)


if __name__ == "__main__":
    main(Path(__file__).with_suffix(".csv"))
