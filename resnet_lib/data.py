"""What stands in `data/`: photographs, and published numbers with their sources."""

from pathlib import Path

import pandas as pd

DATA = Path(__file__).resolve().parents[1] / "data"


def path(*parts):
    """The path of a file in `data/`. Raises FileNotFoundError that lists what is there instead."""
    file = DATA.joinpath(*parts)
    if not file.exists():
        there = sorted(p.name for p in file.parent.glob("*")) if file.parent.is_dir() else "no such folder"
        raise FileNotFoundError(
            f"data has no {'/'.join(parts)!r}; in {file.parent.name}/ there is: {there}. The folder data/ belongs to a "
            "clone of the repository: install resnet_lib from there with `pip install -e .`"
        )
    return file


def photo(name):
    """A photograph, "china" or "flower", as [224, 224, 3] of uint8."""
    from matplotlib.image import imread

    return imread(path("photos", f"{name}.jpg"))


def published(name):
    """Published numbers as a table: "params_macs", "flop_counters", "forward_timing", "imagenet_accuracy" or "cifar".

    pandas.DataFrame; every row names its source. Raises FileNotFoundError for another name.
    """
    return pd.read_csv(path("published", f"{name}.csv"))
