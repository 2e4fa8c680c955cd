"""A grid of training runs, family x layers x seed: one CSV row a run, written when it ends; only missing runs are run.

Runs are spread by joblib: over local processes, or, inside `joblib.parallel_config(backend="dask")` with a Dask client,
over a cluster, with nothing else changed. Used by notebook 02; `python -m resnet_lib sweep` does the same without it.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError
from tqdm import tqdm

from . import data
from .architectures import Architecture, cifar_architecture
from .blocks import Block
from .checks import MAX_SEED, file_path, listed, one_of, positive_int, whole_number
from .recipe import Recipe, given_recipe
from .records import Records, now, versions
from .training import Epoch, train
from .units import ORDERINGS, SHORTCUTS, UnitKind

if TYPE_CHECKING:
    import pandas as pd

Family = Callable[[int], Architecture]  # layers -> network


def with_units(family: str, unit_fn: str | Callable | UnitKind = "basic_v1", shortcut: str = "A") -> Family:
    """A family that differs from the CIFAR networks of He et al. 2015 in its units or shortcuts: Family.

    family: the beginning of its networks' names; unit_fn: as of a Block; shortcut: one of `units.SHORTCUTS`, "B" for units
    that do not hear of it.
    """

    def architecture(layers):
        network = cifar_architecture(layers, shortcut=shortcut)
        blocks = tuple(block._replace(unit_fn=unit_fn) for block in network.blocks)
        return replace(network, name=f"{family}_cifar_{layers}", blocks=blocks)

    return architecture


def v2_first(layers: int) -> Architecture:
    """The family "v2" with the first unit of He et al. 2016, Appendix: BN and ReLU stand before its two paths part."""
    network = with_units("v2_first", "basic_v2")(layers)
    block, *later = network.blocks
    first = Block("block0", "basic_v2_first", block.args[:1])
    rest = [block._replace(args=block.args[1:])] if block.args[1:] else []
    return replace(network, blocks=(first, *rest, *later))


def _united(*tables):
    """The tables as one. Raises ValueError for a name that two of them have: one would silently replace the other."""
    names = [name for table in tables for name in table]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"FAMILIES: a name belongs to one family, {twice} belong to two")
    return {name: family for table in tables for name, family in table.items()}


# Family -> the network of 6n + 2 layers; all have the layers and widths of the CIFAR networks of He et al. 2015.
FAMILIES: dict[str, Family] = _united(
    {
        "plain": with_units("plain", shortcut="none"),
        "highway": with_units("highway", "highway", shortcut="B"),  # which its units do not hear of
        "residual": cifar_architecture,
        "recurrent": with_units("recurrent", "recurrent"),
        "v2_first": v2_first,
    },
    {name: with_units(name, f"basic_{name}") for name in ORDERINGS if name != "v1"},
    {name: with_units(f"shortcut_{name}", shortcut=name) for name in SHORTCUTS if name not in ("A", "B", "none")},
)
DATASETS = {"digits": data.digits, "fashion_14": data.fashion_14, "cifar10": data.cifar10}

_RESULTS = [*Epoch._fields[2:], "train_errors", "seconds", "error", "versions", "date"]
MOST_PROCESSES = 1024  # at a time; -1 stands for all cores, as joblib has it
KEY = ["family", "layers", "seed", "dataset", *Recipe.__dataclass_fields__]
COLUMNS = [*KEY, *_RESULTS]


def run(
    family: str,
    layers: int,
    seed: int,
    recipe: Recipe | None = None,
    dataset: str = "digits",
    threads: int | None = 1,
    checkpoint: str | os.PathLike | None = None,
) -> dict[str, Any]:
    """One run of a grid: its row, a dict of COLUMNS. A run that fails gives a row with its `error` and no results.

    Arguments as in `training.train`. Raises TypeError for a recipe that is neither a Recipe nor None.
    """
    started = time.perf_counter()
    recipe = given_recipe(recipe)
    row = {"family": family, "layers": layers, "seed": seed, "dataset": dataset, **asdict(recipe)}
    try:
        history = train(FAMILIES[family](layers), DATASETS[dataset](), recipe, seed, checkpoint, threads)
        row |= _results(history)
    except Exception as error:  # whatever it is, it belongs to this run and not to the others
        row["error"] = f"{type(error).__name__}: {error}"
    row["versions"] = versions("tensorflow")
    row["seconds"] = time.perf_counter() - started
    row["date"] = now()
    return {column: row.get(column) for column in COLUMNS}


def _results(history):
    last = history.epochs[-1]._asdict() if history.epochs else {}
    results = {column: last[column] for column in _RESULTS if column in last}
    results["train_errors"] = ";".join(f"{epoch.train_error:.4f}" for epoch in history.epochs)
    results["error"] = history.error
    return results


def failed(row: Mapping[str, Any]) -> bool:
    """Whether a run ended in an exception. One that diverged has an error as well, and is a result."""
    return row["error"] != "" and not row["error"].startswith("diverged")


def results(path: str | os.PathLike) -> pd.DataFrame:
    """The rows of a sweep: pandas.DataFrame of COLUMNS. Raises ValueError for a file that another version wrote."""
    return Records(file_path("path", path), COLUMNS, KEY).table()


def sweep(
    csv_path: str | os.PathLike,
    families: str | Iterable[str] = ("plain", "highway", "residual"),
    layers: int | Iterable[int] = (20, 56),
    seeds: int | Iterable[int] = (0,),
    recipe: Recipe | None = None,
    dataset: str = "digits",
    n_jobs: int | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Runs what is missing of families x layers x seeds, each with one thread, and adds a row a run: pandas.DataFrame.

    csv_path: made, with its folder, if it is not there; rows of other recipes, datasets and grids stay, and the DataFrame has
    them too, as that of `results` has. families, layers, seeds: of each one or several. n_jobs: processes at a time, as of
    `joblib.Parallel`; None takes what `joblib.parallel_config` says, else one.
    A run that ends in an exception is a row with its error; the next call runs it again, and the new row takes the place
    of that one. A run that diverged is a result, and stays. When a local process is killed, what it ran is run again,
    twice at most.
    Raises ValueError for an unknown family or dataset, layers that are not 6n + 2, a seed below 0, a grid of no runs, and
    a file of another version, TypeError for numbers that are not whole and for another recipe than a Recipe, and OSError
    when the file cannot be written.
    """
    recipe = given_recipe(recipe)
    one_of("dataset", dataset, list(DATASETS))
    keys = [(*one, dataset, *asdict(recipe).values()) for one in _grid(families, layers, seeds)]
    if n_jobs is not None:
        whole_number("n_jobs", n_jobs, least=-MOST_PROCESSES, most=MOST_PROCESSES)
        if n_jobs == 0:
            raise ValueError("n_jobs must be 1 or more, or -1 for all cores, got 0")
    csv_path = file_path("csv_path", csv_path)
    csv_path.parent.mkdir(parents=True, exist_ok=True)
    records = Records(csv_path, COLUMNS, KEY, failed)
    records.append()  # said now, not after the first run, that it cannot be written
    for attempts_left in (2, 1, 0):
        try:
            _run_missing(records, keys, recipe, n_jobs, progress)
            break
        except TerminatedWorkerError:  # a process was killed, by the system for its memory perhaps; the others go on
            if not attempts_left:
                raise
    return records.table()


def _grid(families, layers, seeds):
    """(family, layers, seed) of every run. Raises ValueError for what cannot be built, before anything is run."""
    families = [one_of("family", family, list(FAMILIES)) for family in listed("families", families)]
    layers = [positive_int("layers", number) for number in listed("layers", layers)]
    seeds = [whole_number("seeds", seed, most=MAX_SEED) for seed in listed("seeds", seeds)]
    for family, number in itertools.product(families, layers):
        FAMILIES[family](number)
    return [(family, number, seed) for number, family, seed in itertools.product(layers, families, seeds)]


def _run_missing(records, keys, recipe, n_jobs, progress):
    """Runs what the file lacks, and adds each row to it as soon as its run has ended."""
    missing = [key[:4] for key in records.missing(keys)]
    finished = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered")(
        joblib.delayed(run)(family, number, seed, recipe, dataset) for family, number, seed, dataset in missing
    )
    for row in tqdm(finished, total=len(missing), unit="run", disable=not progress):
        records.append(row)
