"""The command `python -m resnet_lib classify`: its options, and what it prints. `predictions` does the work."""

from __future__ import annotations

import argparse
import contextlib
import sys

from .checks import positive_int


def options(command: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    command.add_argument("photos", nargs="+", metavar="PHOTO", help="files of photographs (JPEG, PNG, ...)")
    command.add_argument(
        "--weights",
        required=True,
        metavar="FILE",
        help='file of weights, or the name of a released one, such as "keras/resnet_v2_50", which is downloaded once',
    )
    command.add_argument("--network", metavar="NAME", help="network of the weights (default: what the file says)")
    command.add_argument("--top", type=int, default=5, metavar="N", help="likeliest classes to print (default: 5)")


def run(args: argparse.Namespace) -> None:
    """Prints the likeliest classes of every photograph. One that cannot be read is a line on stderr, and once the others are
    done, raises SystemExit(1)."""
    from .photos import read_photo
    from .predictions import likeliest, network_with_weights

    positive_int("top", args.top)
    with contextlib.redirect_stdout(sys.stderr):  # where a download shows its progress
        network = network_with_weights(args.weights, args.network)
    unread = 0
    for path in args.photos:
        try:
            photo = read_photo(path, network.input_shape[3])
        except (ValueError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            unread += 1
            continue
        print(f"{path}:")
        for found in likeliest(network, photo, args.top):
            print(f"{found.probability:8.2%}  {found.name}", flush=True)
    if unread:
        sys.exit(1)
