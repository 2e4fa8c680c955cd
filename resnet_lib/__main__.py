"""python -m resnet_lib list | table | cost NAME | time NAME | sweep CSV | classify PHOTO: what needs no notebook.

A wrong argument, a file that cannot be opened, or a full disk ends in one line. Any other error is a defect of this library
and shows where it happened.
"""

from __future__ import annotations

import argparse
import errno
import itertools
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import ARCHITECTURES, __version__, classify, cost, list_networks
from .architectures import LAYOUTS
from .engines import ENGINES, PRECISIONS, UNFROZEN
from .recipe import Recipe
from .units import SHORTCUTS

if TYPE_CHECKING:
    import pandas as pd

    from .network import Network
    from .timing import Timing

FULL = (errno.ENOSPC, errno.EDQUOT)  # what was in the file is still there, and the same command goes on from it
# The options that change a network; one that was not typed is not among the arguments.
CHANGES = ("image_size", "num_classes", "layout", "shortcut")

# What the fields of a Recipe are.
RECIPE = {
    "epochs": "times that a run goes through the training images",
    "batch_size": "images a step, or more, for an epoch is of equal batches",
    "learning_rate": "of the first half; then a tenth, from three quarters on a hundredth",
    "momentum": "of the gradient descent",
    "weight_decay": "factor of the penalty on large weights",
    "warm_up": "epochs at the start with a tenth of the learning rate",
    "batch_norm_decay": "of the moving averages of the batch norms",
    "augment": "pixels by which training images are shifted, and then mirrored, at random",
}


def image_size(text: str) -> int | tuple[int, int]:
    """One number is a square, "224x299" a height and a width."""
    found = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    if not found:
        raise argparse.ArgumentTypeError(f"must be one whole number or HEIGHTxWIDTH (224 or 224x299), got {text!r}")
    height, width = found.groups()
    return int(height) if width is None else (int(height), int(width))


def _given(args: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    """The options among `names` that were typed."""
    return {name: value for name, value in vars(args).items() if name in names}


def _list(args):
    for name in list_networks():
        if name in ARCHITECTURES:
            print(f"{name:<22} {ARCHITECTURES[name].layers:>4} layers {cost(name).params:>12,} parameters")
        else:
            print(f"{name:<22} is not a list of Blocks: `cost` and `table` count its graph")


def _table(args):
    from .tables import cost_table, depth_table

    make_table = cost_table if args.costs else depth_table
    table = make_table(args.names or None, **_given(args, CHANGES))
    print(table.to_string().replace("\\n", " / "))


def _cost(args):
    from .tables import cost_table

    for name, row in cost_table(args.names, **_given(args, CHANGES)).iterrows():
        print(f"{name}: {row.params:,} parameters, {row.macs:,} MACs, {row.activations:,} activations")


def _time(args):
    from .network import build

    for name in args.names:
        network = build(name, **_given(args, CHANGES))
        for engine, precision in _engines(args):
            for line in _times(network, engine, precision, args):
                print(line, flush=True)


def _engines(args) -> Iterator[tuple[str, str]]:
    """Every engine in every precision, but the network that is not frozen once: it computes in float32 only."""
    if {*args.engine} == {UNFROZEN} and "float32" not in args.precision:
        raise ValueError(f"--precision needs an --engine that freezes the network, got {args.precision} and no engine")
    for engine, precision in itertools.product(args.engine, args.precision):
        if engine != UNFROZEN or precision == args.precision[0]:
            yield engine, precision


def _times(network: Network, engine: str, precision: str, args) -> Iterator[str]:
    """One line a batch size. An engine that is not installed is one line and one row with the reason."""
    from .timing import Timing, append_row, time_forward

    try:
        timed = network if engine == UNFROZEN else network.freeze(precision, engine)
    except ImportError as error:
        if args.csv:
            append_row(args.csv, Timing(network.name, error=str(error), engine=engine, precision=precision))
        yield f"{network.name}, {engine}, {precision}: {error}"
        return
    for batch_size in args.batch_size:
        timing = time_forward(timed, batch_size, args.num_batches, csv_path=args.csv, progress=True)
        what = network.name if engine == UNFROZEN else f"{network.name}, {timing.engine}, {timing.precision}"
        yield f"{what}, batch {batch_size}, {timing.device}: {timing.error or _speed(timing)}"


def _speed(timing: Timing) -> str:
    return (
        f"{timing.median_ms:.1f} ms a batch ({_range(timing)}; "
        f"first call {timing.first_call_ms:.1f}), {timing.images_per_s:.1f} images/s, "
        f"{timing.tflops:.3f} TFLOP/s, {timing.share_of_matmul:.0%} of a matrix product"
    )


def _range(timing: Timing) -> str:
    """The 10th and the 90th percentile, of fewer than 30 samples the fastest and the slowest."""
    from .timing import ENOUGH_FOR_PERCENTILES

    number = len(timing.samples_ms)
    if number < ENOUGH_FOR_PERCENTILES:
        return f"{min(timing.samples_ms):.1f} to {max(timing.samples_ms):.1f}, {number} samples"
    return f"p10 {timing.p10_ms:.1f}, p90 {timing.p90_ms:.1f}, {number} samples"


def _sweep(args):
    from .sweep import failed, sweep

    recipe = Recipe(**_given(args, RECIPE))
    table = sweep(args.csv, args.families, args.layers, args.seeds, recipe, args.dataset, args.jobs, progress=True)
    asked = {"family": args.families, "layers": args.layers, "seed": args.seeds, "dataset": [args.dataset]}
    rows = _rows_of(table, asked | {name: [value] for name, value in asdict(recipe).items()})
    errors = rows.groupby(["family", "layers"])[["train_error", "test_error"]].agg(["mean", "std", "count"])
    print(errors.to_string(float_format="{:.3f}".format))
    stopped = rows.dropna(subset="error").to_dict("records")
    for row in stopped:
        print(f"{row['family']}, {row['layers']} layers, seed {row['seed']}: {row['error']}")
    if any(map(failed, stopped)):
        sys.exit(f"error: {sum(map(failed, stopped))} of {len(rows)} runs failed; the same command runs them again")


def _rows_of(table: pd.DataFrame, asked: dict[str, list]) -> pd.DataFrame:
    """The rows with one of the asked values in each of these columns, compared as the file prints them: a file may hold other
    experiments, and a mean over two of them says nothing."""
    from .records import printed

    values = {column: [*map(printed, wanted)] for column, wanted in asked.items()}
    return table[table[[*asked]].map(printed).isin(values).all(axis=1)]


def parser() -> argparse.ArgumentParser:
    """Of the whole command line. `args.run(args)` does what was asked for."""
    top = argparse.ArgumentParser(prog="python -m resnet_lib", description="Residual networks: count, time, train.")
    top.add_argument("--version", action="version", version=f"resnet_lib {__version__}")
    commands = top.add_subparsers(required=True, metavar="command")
    _command(commands, "list", _list, "every network that has a name, with its layers and parameters")
    table = _command(commands, "table", _table, "the depth table, computed")
    _network_options(table, "*", "; without names, the five networks of the paper's table")
    table.add_argument("--costs", action="store_true", help="parameters, MACs and activations instead of layers")
    costs = _command(commands, "cost", _cost, "parameters, MACs and activations of an image")
    _network_options(costs, "+")
    times = _command(commands, "time", _time, "the forward time of a batch")
    _network_options(times, "+")
    _time_options(times)
    sweeps = _command(commands, "sweep", _sweep, "train a grid of family x layers x seed; run what the file lacks")
    _sweep_options(sweeps)
    classifies = _command(
        commands, "classify", classify.run, "what a network with released weights sees in photographs"
    )
    classify.options(classifies)
    return top


def _command(commands, name: str, run: Callable[[argparse.Namespace], None], help: str) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=help, description=f"{help[0].upper()}{help[1:]}.")
    command.set_defaults(run=run)
    return command


def _network_options(command: argparse.ArgumentParser, number: str, none: str = "") -> None:
    listed = f"networks that `python -m resnet_lib list` prints{none}"
    command.add_argument("names", nargs=number, metavar="NAME", help=listed)

    def option(name, help, **kind):
        command.add_argument(name, default=argparse.SUPPRESS, help=f"{help} (default: the network's own)", **kind)

    option("--image-size", "224, or 224x299 for height x width", type=image_size, metavar="SIZE")
    option("--num-classes", "that the classifier tells apart", type=int, metavar="N")
    option("--layout", "where the strides stand", choices=LAYOUTS)
    option("--shortcut", "kind of shortcut", choices=SHORTCUTS)


def _many(command: argparse.ArgumentParser, option: str, default: list, help: str, **kind: Any) -> None:
    """An option that takes one value or more."""
    shown = " ".join(map(str, default))
    command.add_argument(option, nargs="+", default=default, help=f"{help} (default: {shown})", **kind)


def _time_options(command: argparse.ArgumentParser) -> None:
    _many(command, "--batch-size", [32], "images at a time, one number or more", type=int, metavar="N")
    enough = "batches to time (default: until the median is sure to 1 %%, or a minute is over)"
    command.add_argument("--num-batches", type=int, default=None, metavar="N", help=enough)
    engines = [UNFROZEN, *ENGINES, "auto"]
    _many(command, "--engine", [UNFROZEN], "one or more; all but unfrozen freeze the network", choices=engines)
    _many(command, "--precision", ["float32"], "one or more, of a frozen network", choices=PRECISIONS)
    command.add_argument("--csv", metavar="FILE", help="append one row a measurement to this file")


def _sweep_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("csv", metavar="CSV", help="file to which one row a run is appended")
    _many(command, "--families", ["plain", "highway", "residual"], "families of networks", metavar="NAME")
    _many(command, "--layers", [20, 56], "6n + 2 each", type=int, metavar="N")
    _many(command, "--seeds", [0], "of the weights and of the order of the images", type=int, metavar="N")
    command.add_argument(
        "--dataset", default="digits", metavar="NAME", help="digits, fashion_14 or cifar10 (default: digits)"
    )
    command.add_argument("--jobs", type=int, metavar="N", help="runs at a time (default: 1)")
    for name, default in asdict(Recipe()).items():
        option = name.replace("_", "-")
        help = f"{RECIPE[name]} (default: {default:g})"
        command.add_argument(f"--{option}", type=type(default), default=argparse.SUPPRESS, metavar="N", help=help)


def _where(error: Exception) -> traceback.FrameSummary:
    """The line that raised an error; if that was a function without lines, written in C, the line that called it."""
    return traceback.extract_tb(error.__traceback__)[-1]


def _is_for_the_user(error: Exception) -> bool:
    """Whether its message says what the user can mend: a `raise` of this package, a file that cannot be opened, a full disk."""
    if isinstance(error, OSError) and (error.filename is not None or error.errno in FULL):
        return True
    last = _where(error)
    return Path(last.filename).parent == Path(__file__).parent and (last.line or "").startswith("raise ")


def _flush() -> None:
    """Leaves nothing for Python to write when it ends: it would complain that the reader of our output has ended before us."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command; `arguments` are those of the process unless they are given. Raises SystemExit for a wrong one."""
    try:
        args = parser().parse_args(arguments)
        args.run(args)
    except BrokenPipeError as error:
        if Path(_where(error).filename).parent != Path(__file__).parent:  # no `print` of ours
            raise
        sys.exit(141)  # as a shell says of a program whose reader has ended, such as `head`
    except (ValueError, OSError, ImportError) as error:
        if not _is_for_the_user(error):
            raise
        sys.exit(f"error: {error}")
    finally:
        _flush()


if __name__ == "__main__":
    main()
