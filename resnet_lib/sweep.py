"""A grid of training runs, family x layers x seed: one CSV row a run, written when it ends, and only the missing ones are run.

Runs are spread by joblib: over local processes, or, inside `joblib.parallel_config(backend="dask")` with a Dask client, over
a cluster, with nothing else changed. Used by notebook 02; `python -m resnet_lib sweep` is the same without a notebook.
"""

import csv
import io
import itertools
import os
import platform
import time
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path

import joblib
import pandas as pd
from filelock import FileLock
from joblib.externals.loky.process_executor import TerminatedWorkerError
from tqdm import tqdm

from . import data
from .architectures import ORDERINGS, SHORTCUTS, cifar_architecture
from .checks import one_of
from .highway import highway_unit
from .orderings import recurrent_unit
from .tf_slim_compat import tf
from .training import Epoch, Recipe, train


def _with_units(family, unit_fn="basic_v1", shortcut="A"):
    """A family that differs from the CIFAR networks of He et al. 2015 in its units or shortcuts."""

    def architecture(layers):
        network = cifar_architecture(layers, shortcut=shortcut)
        blocks = tuple(block._replace(unit_fn=unit_fn) for block in network.blocks)
        return replace(network, name=f"{family}_cifar_{layers}", blocks=blocks)

    return architecture


# Family -> the network of 6n + 2 layers; all have the layers and widths of the CIFAR networks of He et al. 2015.
FAMILIES = {
    "plain": _with_units("plain", shortcut="none"),
    "highway": _with_units("highway", highway_unit, shortcut="none"),
    "residual": cifar_architecture,
    "recurrent": _with_units("recurrent", recurrent_unit),
    **{name: _with_units(name, f"basic_{name}") for name in ORDERINGS if name != "v1"},
    **{name: _with_units(f"shortcut_{name}", shortcut=name) for name in SHORTCUTS if name not in ("A", "B", "none")},
}
DATASETS = {"digits": data.digits, "cifar10": data.cifar10}

_RESULTS = [*Epoch._fields[2:], "train_errors", "seconds", "error", "versions", "date"]
KEY = ["family", "layers", "seed", "dataset", *Recipe.__dataclass_fields__]
COLUMNS = [*KEY, *_RESULTS]


def run(family, layers, seed, recipe=None, dataset="digits", threads=1, checkpoint=None):
    """One run of a grid: its row, as a dict of COLUMNS. A run that fails gives a row with its `error` and no results."""
    started, recipe = time.perf_counter(), recipe or Recipe()
    row = {"family": family, "layers": layers, "seed": seed, "dataset": dataset, **asdict(recipe)}
    try:
        history = train(FAMILIES[family](layers), DATASETS[dataset](), recipe, seed, checkpoint, threads)
        if history.epochs:
            last = history.epochs[-1]._asdict()
            row |= {column: last[column] for column in _RESULTS if column in last}
        row["train_errors"] = ";".join(f"{epoch.train_error:.4f}" for epoch in history.epochs)
        row["error"] = history.error
    except Exception as error:  # whatever it is, it belongs to this run and not to the others
        row["error"] = f"{type(error).__name__}: {error}"
    row["versions"] = f"tensorflow {tf.__version__}, python {platform.python_version()}"
    row["seconds"] = time.perf_counter() - started
    row["date"] = datetime.now().astimezone().isoformat(timespec="seconds")
    return {column: row.get(column) for column in COLUMNS}


def _line(values):
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(f"{v:.6g}" if isinstance(v, float) else v for v in values)
    return text.getvalue()


def _key(row):
    """What makes two rows the same run. Numbers are compared as the file prints them."""
    return tuple(f"{float(row[c]):.6g}" if c not in ("family", "dataset") else row[c] for c in KEY)


def _rows(content, path):
    """The whole rows in the bytes of a file: list of dicts. Raises ValueError, naming the file, when it has other columns."""
    header = _line(COLUMNS)
    text = content.decode()
    if not text.startswith(header) and not header.startswith(text):
        found = text.partition("\n")[0]
        raise ValueError(
            f"{path} has other columns than this version writes, and is left as it is: {found!r}, not {header!r}"
        )
    return list(csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1])))


@contextmanager
def _locked(path):
    """Holds the file for this writer alone: yields (file, its rows). A last line that a killed writer left unfinished is
    cut off first, and a new file gets its header."""
    with FileLock(f"{path}.lock"), open(path, "a+b") as file:
        file.seek(0)
        content = file.read()
        rows = _rows(content, path)
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            file.truncate(whole)
        if not whole:
            file.write(_line(COLUMNS).encode())
        yield file, rows
        file.flush()
        os.fsync(file.fileno())


def _append(path, row):
    """Adds a row in one write, unless another writer has added the same run meanwhile."""
    with _locked(path) as (file, rows):
        if _key(row) not in map(_key, rows):
            file.write(_line(row.values()).encode())


def results(path):
    """The rows of a sweep: pandas.DataFrame of COLUMNS. Raises ValueError for a file that another version has written."""
    content = Path(path).read_bytes()
    _rows(content, path)
    return pd.read_csv(io.BytesIO(content[: content.rfind(b"\n") + 1]))


def sweep(csv_path, families=("plain", "highway", "residual"), layers=(20, 56), seeds=(0,), recipe=None, dataset="digits",
          n_jobs=None, progress=False):  # fmt: skip
    """Runs what is missing of families x layers x seeds, each with one thread, and appends a row a run: pandas.DataFrame.

    csv_path: made if it is not there; rows of other recipes and grids stay. n_jobs: processes at a time, as of
    `joblib.Parallel`; None takes what `joblib.parallel_config` says, else one. A failed run is a row with its error; when a
    local process is killed, what it ran is run again, twice at most.
    Raises ValueError for an unknown family or dataset, layers that are not 6n + 2, and a file of another version, and
    OSError when the file cannot be written.
    """
    path, recipe = Path(csv_path), recipe or Recipe()
    one_of("dataset", dataset, DATASETS)
    for family, number in itertools.product(families, layers):
        FAMILIES[one_of("family", family, FAMILIES)](number)
    grid = [(family, number, seed) for number in layers for family in families for seed in seeds]
    known = {"dataset": dataset, **asdict(recipe)}
    for attempts_left in (2, 1, 0):
        with _locked(path) as (_, rows):
            done = set(map(_key, rows))
        missing = [one for one in grid if _key({**dict(zip(KEY, one, strict=False)), **known}) not in done]
        finished = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered")(
            joblib.delayed(run)(*one, recipe, dataset) for one in missing
        )
        try:
            for row in tqdm(finished, total=len(missing), unit="run", disable=not progress):
                _append(path, row)
            break
        except TerminatedWorkerError:  # a process was killed, by the system for its memory perhaps; the others go on
            if not attempts_left:
                raise
    return results(path)
