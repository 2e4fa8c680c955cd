"""python -m resnet_lib table | cost NAME | time NAME | sweep CSV: tables, timings and training runs without a notebook."""

import argparse
import itertools
import sys

from . import ARCHITECTURES
from .architectures import ENGINES, LAYOUTS, OTHER_NETS, OWN, PRECISIONS, SHORTCUTS


def number_or_own(text):
    return text if text == OWN else int(text)


def _table(args):
    from .tables import cost_table, depth_table

    make_table = cost_table if args.costs else depth_table
    table = make_table(args.names or None, args.image_size, layout=args.layout, shortcut=args.shortcut)
    print(table.to_string().replace("\\n", " / "))


def _cost(args):
    from .tables import cost_table

    options = {"layout": args.layout, "shortcut": args.shortcut}
    for name, row in cost_table(args.names, args.image_size, args.num_classes, **options).iterrows():
        print(f"{name}: {row.params:,} parameters, {row.macs:,} MACs, {row.activations:,} activations")


def _time(args):
    from .network import build
    from .timing import Timing, append_row, time_forward

    for name in args.names:
        network = build(name, args.image_size, layout=args.layout, shortcut=args.shortcut)
        for engine, precision in itertools.product(args.engine, args.precision):
            label = name if engine == "unfrozen" else f"{name}, {engine}, {precision}"
            try:
                timed = network.freeze(precision, engine) if engine != "unfrozen" else network
            except ImportError as error:
                if args.csv:
                    append_row(args.csv, Timing(name, error=str(error), engine=engine, precision=precision))
                print(f"{label}: {error}")
                continue
            for batch_size in args.batch_size:
                timing = time_forward(timed, batch_size, args.num_batches, csv_path=args.csv, progress=True)
                print(f"{label}, batch {batch_size}, {timing.device}: " + (timing.error or (
                    f"{timing.median_ms:.1f} ms a batch (p10 {timing.p10_ms:.1f}, p90 {timing.p90_ms:.1f}; "
                    f"first call {timing.first_call_ms:.1f}), {timing.images_per_s:.1f} images/s, "
                    f"{timing.tflops:.3f} TFLOP/s, {timing.share_of_matmul:.0%} of a matrix product"
                )), flush=True)  # fmt: skip


def _sweep(args):
    from .sweep import sweep
    from .training import Recipe

    recipe = Recipe(**{name: getattr(args, name) for name in _RECIPE if getattr(args, name) is not None})
    table = sweep(args.csv, args.families, args.layers, args.seeds, recipe, args.dataset, args.jobs, progress=True)
    errors = table.groupby(["family", "layers"])[["train_error", "test_error"]].agg(["mean", "std", "count"])
    print(errors.to_string(float_format="{:.3f}".format))


_RECIPE = {"epochs": int, "batch_size": int, "learning_rate": float, "momentum": float, "weight_decay": float,
           "warm_up": int, "batch_norm_decay": float, "augment": int}  # fmt: skip


def parser():
    top = argparse.ArgumentParser(prog="python -m resnet_lib", description="Residual networks: tables, costs, timings.")
    commands = top.add_subparsers(required=True, metavar="command")
    known = f"one or more of {', '.join([*ARCHITECTURES, *OTHER_NETS])}"

    def command(name, run, help, nargs):
        sub = commands.add_parser(name, help=help)
        sub.add_argument("names", nargs=nargs, metavar="NAME", help=known)
        sub.add_argument(
            "--image-size",
            type=number_or_own,
            default=OWN,
            help="side of the square image (default: the network's own)",
        )
        sub.add_argument("--layout", choices=LAYOUTS, help="stride layout (default: the network's own)")
        sub.add_argument("--shortcut", choices=SHORTCUTS, help="kind of shortcut (default: the network's own)")
        sub.set_defaults(run=run)
        return sub

    table = command("table", _table, "the depth table, computed", "*")
    table.add_argument("--costs", action="store_true", help="parameters, MACs and activations instead of layers")
    counts = command("cost", _cost, "parameters, MACs and activations of an image", "+")
    counts.add_argument("--num-classes", type=number_or_own, default=OWN)
    times = command("time", _time, "the forward time of a batch", "+")
    times.add_argument("--batch-size", type=int, nargs="+", default=[32], help="one or more (default 32)")
    times.add_argument("--num-batches", type=int, default=10, help="batches to time (default 10)")
    times.add_argument("--engine", nargs="+", choices=["unfrozen", *ENGINES], default=["unfrozen"], help="one or more")
    times.add_argument("--precision", nargs="+", choices=PRECISIONS, default=["float32"], help="of a frozen network")
    times.add_argument("--csv", help="append one row a measurement to this file")
    sweeps = commands.add_parser("sweep", help="train a grid of family x layers x seed; runs what the file lacks")
    sweeps.add_argument("csv", help="one row a run is appended to this file")
    sweeps.add_argument("--families", nargs="+", default=["plain", "highway", "residual"], help="(default: all three)")
    sweeps.add_argument("--layers", type=int, nargs="+", default=[20, 56], help="6n + 2 each (default: 20 56)")
    sweeps.add_argument("--seeds", type=int, nargs="+", default=[0])
    sweeps.add_argument("--dataset", default="digits")
    sweeps.add_argument("--jobs", type=int, help="processes at a time (default 1)")
    for name, number in _RECIPE.items():
        sweeps.add_argument(f"--{name.replace('_', '-')}", type=number)
    sweeps.set_defaults(run=_sweep)
    return top


def main(arguments=None):
    args = parser().parse_args(arguments)
    try:
        args.run(args)
    except (ValueError, TypeError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
