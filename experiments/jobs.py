"""What the programs that add networks to one file have in common: their command line, and that they run what the file lacks.

Used by `experiments.atlas`, `causes`, `highway_depth`, `leaky`, `lesion_costs`, `path_spectrum`, `reach` and `separation`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import joblib

from resnet_lib import data
from resnet_lib.records import Records


def add_missing(
    records: Records, keys: Iterable[Sequence], rows_of: Callable[..., list[dict[str, Any]]], jobs: int
) -> None:
    """Adds rows_of(*key), all rows at once, for every key that the file lacks; so many keys at a time, each in its process."""
    parallel = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")
    for rows in parallel(joblib.delayed(rows_of)(*key) for key in records.missing(keys)):
        records.append(*rows)


def command_line(description: str, name: str) -> argparse.ArgumentParser:
    """What the programs take: `file`, data/NAME where none is given, and `--jobs`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("file", nargs="?", type=Path, default=data.DATA / name, help=f"default: data/{name}")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at a time (default: 1)")
    return parser
