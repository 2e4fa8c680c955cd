"""What the programs that add networks to one file have in common: their command line, and that they run what the file lacks.

Used by `experiments.atlas`, `causes`, `designs`, `fuzz`, `highway_depth`, `highway_gradient`, `inception_pair`,
`inception_scales`, `leaky`, `lesion_costs`, `path_spectrum`, `reach`, `separation`, `short_paths`, `shortcut_strength`,
`splits` and `v1_depth`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import joblib

from resnet_lib import data
from resnet_lib.architectures import Architecture
from resnet_lib.records import Records, now, processor, versions
from resnet_lib.training import Recipe, train

RESULTS = ["train_loss", "train_error", "test_error"]
TRAINED = [*RESULTS, "train_errors", "error", "versions", "processor", "date"]


def add_missing(
    records: Records, keys: Iterable[Sequence], rows_of: Callable[..., list[dict[str, Any]]], jobs: int
) -> None:
    """Adds rows_of(*key), all rows at once, for every key that the file lacks; so many keys at a time, each in its process."""
    parallel = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")
    for rows in parallel(joblib.delayed(rows_of)(*key) for key in records.missing(keys)):
        records.append(*rows)


def trained(
    net: Architecture,
    dataset: data.Dataset,
    recipe: Recipe,
    seed: int,
    change_gradients: Callable[..., list[Any]] | None = None,
) -> dict[str, Any]:
    """The columns TRAINED of a run with one thread: its RESULTS after the last epoch, where there was one, the training error
    after each, why it stopped before its end, and what made it."""
    history = train(net, dataset, recipe, seed, threads=1, change_gradients=change_gradients)
    last = history.epochs[-1]._asdict() if history.epochs else {}
    return {
        **{name: last[name] for name in RESULTS if last},
        "train_errors": ";".join(f"{epoch.train_error:.4f}" for epoch in history.epochs),
        "error": history.error,
        "versions": versions("tensorflow"),
        "processor": processor(),
        "date": now(),
    }


def command_line(description: str, name: str) -> argparse.ArgumentParser:
    """What the programs take: `file`, data/NAME where none is given, and `--jobs`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("file", nargs="?", type=Path, default=data.DATA / name, help=f"default: data/{name}")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at a time (default: 1)")
    return parser
