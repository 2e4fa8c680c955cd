"""Random networks, on which everything must agree: makes data/fuzz.csv.

    python -m experiments.fuzz [FILE] [--jobs N] [--networks 10000]

A network is made from its number alone (`random_network`): one to six units of any kind that has a closed form, any shortcut,
groups, strides anywhere or in a layout, another layout asked for, roots of any size and pooling, images that are not square,
output strides, classes or none. Some cannot be built, and all who are asked must refuse them for the same reason. Of the
others:

- the closed form counts what the graph counts: parameters, MACs and activations (`accounting.cost`, `graph_cost`);
- op by op it reads and writes what the graph's ops do, and the roofline's bytes are their sum (`traffic`, `roofline`), but for
  the shortcuts of He et al. 2016 that `traffic` refuses;
- of every 50th network: the receptive field is the footprint of a raised input; the network that was saved and read again gives
  the same logits, and so does a SavedModel of it or, in turn, an ONNX file.

The graph is made by `resnet_v1` and `resnet_v2` of the fields as they are drawn, not of the Architecture that checked them.
A row stands for 100 networks:

    first, networks   the numbers of the networks: first, first + 1, ...
    refused           how many cannot be built, and refusals: for which reasons
    mismatches        how many disagree, and reasons: with what, network by network; empty is what is hoped for
    params, macs      sums over the chunk, so that another run can be told apart; activations and bytes likewise
    in_bytes          how many networks the bytes are of
    samples           how many were looked at more closely
    seconds           of processor time
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from experiments.as_built import beyond_the_field, randomize, read_and_written
from experiments.jobs import add_missing, command_line
from resnet_lib import Architecture, Block, Root, build, data, onnx_files, resnet_v1, resnet_v2
from resnet_lib.accounting import Cost, cost
from resnet_lib.architectures import get_architecture
from resnet_lib.blocks import LAYOUTS, ROOT_POOLING
from resnet_lib.convolutions import CONVOLUTIONS
from resnet_lib.graph_cost import graph_cost
from resnet_lib.records import Records, now, processor, versions
from resnet_lib.resnet_utils import resnet_arg_scope
from resnet_lib.roofline import BYTES, predict
from resnet_lib.tf_slim_compat import quick_building, slim, tf
from resnet_lib.traffic import COUNTED_SHORTCUTS, kernels
from resnet_lib.units import COUNTED_KINDS, SHORTCUTS, UNIT_KINDS, unit_kind

KEY = ["first", "networks"]
COUNTS = ["params", "macs", "activations", "bytes"]
COLUMNS = [*KEY, "refused", "refusals", "mismatches", "reasons", *COUNTS, "in_bytes", "samples", "seconds"]
COLUMNS += ["versions", "processor", "date"]
CHUNK = 100
SAMPLED = 50  # every 50th network

# Reasons to refuse a design, and how the message says so.
REFUSALS = {
    "shortcut": "pads channels with zeros and cannot turn",
    "groups": "groups must divide depth_bottleneck",
    "output_stride": "output_stride cannot be reached",
    "layout": "layout: only strides between blocks can be moved",
}


class Drawn(NamedTuple):
    """A network as it was drawn: the fields of an Architecture, and the layout that it is asked for then, None for its own."""

    fields: dict[str, Any]
    layout: str | None

    def described(self) -> Architecture:
        """The Architecture. Raises ValueError where there is none."""
        return get_architecture(Architecture(**self.fields), layout=self.layout)


def random_network(number: int) -> Drawn:
    """The network of that number."""
    random = Random(number)
    shortcut, place = random.choice(SHORTCUTS), random.choice(["anywhere", *LAYOUTS])
    blocks = _random_blocks(random, shortcut, place)
    root = None
    if random.random() < 0.6:
        root = Root(random.randint(1, 6), random.randint(1, 7), random.randint(1, 2), random.randint(1, 3))
    fields = {
        "name": "net",
        "blocks": tuple(blocks),
        "root": root,
        "shortcut": shortcut,
        "stride_in": random.choice(["1x1", "3x3"]) if place == "anywhere" else LAYOUTS[place][1],
        "image_size": (random.randint(1, 40), random.randint(1, 40)),
        "num_classes": random.choice([None, 1, 7]),
        "channels_in": random.randint(1, 4),
        "global_pool": random.random() < 0.6,
        "output_stride": _random_output_stride(random, root, blocks),
        "root_pooling": random.choice(ROOT_POOLING),
        "batch_norm_epsilon": random.choice([1e-5, 1e-3]),
    }
    return Drawn(fields, random.choice([None, None, None, *LAYOUTS]))


def _random_blocks(random: Random, shortcut: str, place: str) -> list[Block]:
    """One to six units in one to three blocks, of kinds of one version; strides stand anywhere or in the place of a layout."""
    version = random.choice([1, 2])
    kinds = [kind for kind in COUNTED_KINDS if unit_kind(kind).version == version]
    kinds += ["basic_v2_first"] if version == 2 else []
    sizes = random.choice([(1,), (1,), (2,), (1, 1), (3,), (1, 2), (2, 1), (1, 1, 1), (2, 2, 2)])
    widens_only = shortcut not in ("B", "C", "none")
    blocks, depth = [], 0
    for number, size in enumerate(sizes):
        kind, units = random.choice(kinds), []
        for i in range(size):
            narrowest = max(depth, 4) if widens_only and random.random() < 0.95 else 1
            depth = random.randint(narrowest, narrowest + 8)
            placed = (number > 0 and i == 0) if place != "slim" else (number + 1 < len(sizes) and i + 1 == size)
            strides = [1, 1, 2, 3] if place == "anywhere" else [2] if placed else [1]
            units.append(_random_unit(random, kind, depth, random.choice(strides)))
        blocks.append(Block(random.choice([f"block{number}", f"stage/{number}"]), kind, units))
    return blocks


def _random_unit(random: Random, kind: str, depth: int, stride: int) -> dict[str, int]:
    groups = random.randint(1, 3)
    numbers = {
        "depth": depth,
        "depth_bottleneck": groups * random.randint(1, 3) + (random.random() < 0.05),
        "stride": stride,
        "groups": groups,
        "depth_squeeze": random.randint(1, 3),
    }
    return {field: numbers[field] for field in UNIT_KINDS[kind].shape._fields}


def _random_output_stride(random: Random, root: Root | None, blocks: list[Block]) -> int | None:
    """Mostly one of those on the way, now and then another number."""
    reached = [root.stride * root.pool_stride if root else 1]
    for block in blocks:
        for unit in block.args:
            reached.append(reached[-1] * unit["stride"])
    return random.choice([None, random.randint(1, 12) if random.random() < 0.1 else random.choice(reached)])


def built_graph(drawn: Drawn) -> tf.Graph:
    """The inference graph that `resnet_v1` or `resnet_v2` makes of the fields. Raises ValueError where they refuse."""
    net = dict(drawn.fields)
    if drawn.layout is not None:  # which only an Architecture knows
        described = drawn.described()
        net |= {"blocks": described.blocks, "stride_in": described.stride_in}
    network = resnet_v1.resnet_v1 if unit_kind(net["blocks"][0].unit_fn).version == 1 else resnet_v2.resnet_v2
    passed = ("num_classes", "global_pool", "output_stride", "root", "shortcut", "stride_in", "root_pooling")
    with tf.Graph().as_default() as graph, quick_building():
        images = tf.compat.v1.placeholder(tf.float32, [None, *net["image_size"], net["channels_in"]])
        with (
            slim.arg_scope(resnet_arg_scope(is_training=False, weight_decay=0.0)),
            slim.arg_scope(CONVOLUTIONS, weights_initializer=tf.zeros_initializer()),  # in the fewest ops
        ):
            network(images, net["blocks"], scope=net["name"], **{name: net[name] for name in passed})
    return graph


class Checked(NamedTuple):
    """What became of one network: counts where it was counted, `refused` and `mismatch` in words."""

    counts: dict[str, int] = {}
    refused: str = ""
    mismatch: str = ""


def closed_form(number: int) -> tuple[tuple[Architecture, Cost] | None, str]:
    """((the network of that number, what it costs), "") or (None, the reason for which it is refused)."""

    def counted():
        net = random_network(number).described()
        return net, cost(net)

    return _attempt(counted)


def check(number: int, closely: bool = False) -> Checked:
    """Counts the network of that number both ways; closely: runs it as well."""
    closed, refused = closed_form(number)
    graph, graph_refused = _attempt(lambda: built_graph(random_network(number)))
    if refused or graph_refused:
        if refused in REFUSALS and graph_refused == refused:
            return Checked(refused=refused)
        return Checked(mismatch=f"closed form: {refused or 'no refusal'}; graph: {graph_refused or 'no refusal'}")
    net, expected = closed
    counted = graph_cost(graph)[:3]
    if counted != expected:
        return Checked(mismatch=f"{tuple(expected)} in closed form, {counted} in the graph")
    counts = expected._asdict()
    mismatch = ""
    if net.shortcut in COUNTED_SHORTCUTS:
        counts["bytes"], mismatch = _bytes(net, graph)
    if closely and not mismatch:
        difference, error = _attempt(lambda: run_closely(net, number))
        mismatch = difference or error
    return Checked(counts, mismatch=mismatch)


def _attempt(make: Callable[[], Any]) -> tuple[Any, str]:
    """(what was made, "") or (None, the reason for which it was refused); the error where it is no reason that is known."""
    try:
        return make(), ""
    except Exception as error:  # whatever it is, it goes into the row
        message = f"{type(error).__name__}: {error}"
        known = isinstance(error, ValueError)
    return None, next((reason for reason, words in REFUSALS.items() if known and words in message), message[:200])


def _bytes(net: Architecture, graph: tf.Graph) -> tuple[int, str]:
    """Bytes of a forward pass of one image, without fusion; and what differs, in words."""
    found = sorted((k.kind, sum(k.reads.values()), k.written) for k in kernels(net))
    of_ops = read_and_written(graph)
    if found != of_ops:
        differ = sorted((Counter(found) - Counter(of_ops)) + (Counter(of_ops) - Counter(found)))
        return 0, f"kernels and ops differ in {differ[:4]}"
    weights = sum(variable.shape.num_elements() for variable in graph.get_collection("variables"))
    of_graph = BYTES["float32"] * (weights + sum(read + written for _, read, written in of_ops))
    total = sum(bound.bytes for bound in predict(net, batch_size=1, fused="none").bounds)
    return int(total), "" if total == of_graph else f"{total} bytes in closed form, {of_graph} in the graph"


def sees_otherwise(net: Architecture, number: int) -> str:
    """Where the footprint is not the receptive field, in words; "" for units whose gates see the whole image."""
    if any("se_" in unit_kind(block.unit_fn).name for block in net.blocks):
        return ""
    random = Random(f"size of {number}")
    return beyond_the_field(net, (random.randint(20, 44), random.randint(20, 44)), net.output_stride)


def run_closely(net: Architecture, number: int) -> str:
    """What differs, in words, where the network is run: its footprint, and its logits after it was stored."""
    difference = sees_otherwise(net, number)
    if difference:
        return f"footprint: {difference}"
    network = build(net, seed=number)
    randomize({variable.name.split(":")[0]: variable for variable in network.variables}, number)
    images = np.random.default_rng(number).uniform(-1, 1, [2, *network.input_shape[1:]]).astype(np.float32)
    logits = network(images).numpy()
    close = {"rtol": 1e-3, "atol": 1e-4 * np.abs(logits).max()}
    with TemporaryDirectory() as folder:
        network.save(f"{folder}/net.npz")
        again = build(net, seed=number + 1, weights=f"{folder}/net.npz")(images)
        if not np.array_equal(again, logits):
            return "save and load: other logits"
        if number // SAMPLED % 2:
            network.export_onnx(f"{folder}/net.onnx")
            exported = onnx_files.load(f"{folder}/net.onnx")(images)
        else:
            network.export_saved_model(f"{folder}/net")
            reloaded = tf.saved_model.load(f"{folder}/net")  # owns its variables
            exported = reloaded.forward(images)
        if not np.allclose(exported, logits, **close):
            return f"export: logits differ by {np.abs(exported - logits).max():.3g}"
    return ""


def run(first: int, networks: int, every: int = SAMPLED) -> list[dict[str, Any]]:
    """The networks first, first + 1, ...: their one row."""
    start = time.process_time()
    numbers = range(first, first + networks)
    found = {number: check(number, number % every == 0) for number in numbers}
    refusals = Counter(checked.refused for checked in found.values() if checked.refused)
    reasons = {number: checked.mismatch for number, checked in found.items() if checked.mismatch}
    counted = [checked.counts for checked in found.values() if checked.counts]
    row = {
        "first": first,
        "networks": networks,
        "refused": refusals.total(),
        "refusals": ", ".join(f"{reason} {count}" for reason, count in sorted(refusals.items())),
        "mismatches": len(reasons),
        "reasons": " | ".join(f"{number}: {reason}" for number, reason in reasons.items()),
        **{name: sum(counts.get(name, 0) for counts in counted) for name in COUNTS},
        "in_bytes": sum("bytes" in counts for counts in counted),
        "samples": sum(number % every == 0 and bool(checked.counts) for number, checked in found.items()),
        "seconds": time.process_time() - start,
        "versions": versions("tensorflow", "onnxruntime"),
        "processor": processor(),
        "date": now(),
    }
    return [row]


def main(path: Path = data.DATA / "fuzz.csv", jobs: int = 1, networks: int = 10_000) -> None:
    """Makes the rows that the file lacks."""
    keys: list[Sequence[int]] = [(first, min(CHUNK, networks - first)) for first in range(0, networks, CHUNK)]
    add_missing(Records(path, COLUMNS, KEY), keys, run, jobs)


if __name__ == "__main__":
    parser = command_line("Random networks, counted and run in two ways; chunks that the file lacks.", "fuzz.csv")
    parser.add_argument("--networks", type=int, default=10_000, metavar="N", help="how many (default: 10000)")
    args = parser.parse_args()
    main(args.file, args.jobs, args.networks)
