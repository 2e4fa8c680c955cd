"""Where `data/` is, and its tables: published numbers with their sources, and the names of ImageNet's classes."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

DATA = Path(__file__).resolve().parents[1] / "data"


def path(*parts: str) -> Path:
    """The path of a file in `data/`. Raises FileNotFoundError that lists what is there instead."""
    file = DATA.joinpath(*parts)
    if not file.exists():
        there = sorted(p.name for p in file.parent.glob("*")) if file.parent.is_dir() else "no such folder"
        raise FileNotFoundError(
            f"data has no {'/'.join(parts)!r}; in {file.parent.name}/ there is: {there}. The folder data/ belongs to a "
            "clone of the repository: install resnet_lib from there with `pip install -e .`"
        )
    return file


def keras_folder() -> Path:
    """The folder in which Keras keeps what it has downloaded: that of the environment variable KERAS_HOME, or ~/.keras."""
    return Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()


def published(name: str) -> pd.DataFrame:
    """Published numbers as a table: "params_macs", "flop_counters", "forward_timing", "imagenet_accuracy", "cifar" or
    "pretrained_weights" (files of weights: see `known_weights`).

    pandas.DataFrame; every row names its source. Raises FileNotFoundError for another name.
    """
    import pandas as pd

    return pd.read_csv(path("published", f"{name}.csv"))


def imagenet_classes() -> list[str]:
    """The names of the 1,000 classes of ImageNet (ILSVRC 2012), each another one, in the order in which networks number them:
    by WordNet identifier. Weights with 1,001 classes have the background before these."""
    with open(path("imagenet_classes.csv"), newline="") as file:
        return [row["name"] for row in csv.DictReader(file)]
