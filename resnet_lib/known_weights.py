"""The files of released weights that have a name here: where each is from, downloaded once, its hash checked.

`data/published/pretrained_weights.csv` is the table; `data.published("pretrained_weights")` has all of its columns.
"""

from __future__ import annotations

import csv
import difflib
import hashlib
import os
from functools import cache
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

from . import data_files
from .records import replacing


class KnownFile(NamedTuple):
    """A file of released weights: a row of the table.

    name: what to type, "keras/resnet_v2_50"; family: who has released it, "tf-slim", "keras" or "timm"; architecture: this
    library's name of the network, "resnet_v2_50"; file: its base name; where: its URL; hash_kind, hash: as published, "md5"
    and hexadecimal digits, both "" where none is.
    """

    name: str
    family: str
    architecture: str
    file: str
    where: str
    hash_kind: str
    hash: str

    @property
    def cached(self) -> Path:
        """Where `fetch` keeps it, whether it is there or not. Every file has a folder of its own, for names recur."""
        return data_files.keras_folder() / "resnet_lib" / self.name / self.file


@cache
def known() -> dict[str, KnownFile]:
    """Every KnownFile by its name, in the order of the table."""
    with open(data_files.path("published", "pretrained_weights.csv"), newline="") as table:
        files = [KnownFile(*(row[column] for column in KnownFile._fields)) for row in csv.DictReader(table)]
    return {file.name: file for file in files}


def known_file(name: str) -> KnownFile:
    """The KnownFile of that name. Raises ValueError, with the names that are near, for another one."""
    if not isinstance(name, str) or name not in known():
        near = difflib.get_close_matches(str(name), known(), n=3, cutoff=0.0)
        raise ValueError(
            f"no file of weights is called {name!r}; near are {', '.join(map(repr, near))}; "
            "resnet_lib.known_weights.known() has all"
        )
    return known()[name]


def fetch(name: str) -> Path:
    """The file of that name in Keras' folder (`KnownFile.cached`), downloaded if it is not there yet: its path.

    Its hash is checked each time: the published one, or where none is, the SHA-256 that the first call has written beside it
    (`<file>.sha256`, as `sha256sum --check` reads it). A download takes the file's place only when it is whole and right.
    Raises ValueError for an unknown name and, with both hashes, for a file that is another one; ConnectionError, saying what
    to download and where to put it, when it cannot be downloaded; OSError when it cannot be read or written.
    """
    wanted = known_file(name)
    path = wanted.cached
    if path.exists():
        _check_or_note(wanted, path, str(path), "delete it, and the next call downloads it again")
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if not path.exists():  # while this process waited, another may have downloaded it
            _download(wanted)
    return path


def check_hash(path: str | os.PathLike) -> None:
    """Checks a file that is named like a known one with a published hash, wherever it lies; of another name it does nothing.

    Raises ValueError, with both hashes, when the file is another one, OSError when it cannot be read, or is none but the name
    of a KnownFile, and TypeError for what is no path.
    """
    try:
        path = Path(path)
    except TypeError:
        raise TypeError(f"weights must be the path of a file, got {path!r}") from None
    if path.as_posix() in known() and not (path.exists() or Path(f"{path}.index").exists()):
        fetched = f"known_weights.fetch({path.as_posix()!r})"
        raise FileNotFoundError(2, f"no such file of weights; {fetched} downloads the one of that name", str(path))
    for wanted in known().values():
        if wanted.hash and wanted.file == path.name and path.is_file():
            _check(path, wanted.hash_kind, wanted.hash, str(path), f"download it again from {wanted.where}")


def _download(wanted: KnownFile) -> None:
    """Puts the file into its place, when it is whole and right; else nothing of it is left behind."""
    part = wanted.cached.with_name(f"{wanted.file}.part")
    part.unlink(missing_ok=True)  # of a process that was killed: Keras would take it for the file
    try:
        _get(wanted, part)
        _check_or_note(wanted, part, f"what came from {wanted.where}", "it was not kept")
        os.replace(part, wanted.cached)
    finally:
        part.unlink(missing_ok=True)


def _get(wanted, path):
    from .tf_slim_compat import tf

    try:
        tf.keras.utils.get_file(path.name, wanted.where, cache_subdir=str(path.parent))
    except Exception as error:  # a plain Exception for no network
        raise ConnectionError(
            f"{wanted.name} could not be downloaded ({error}): where there is a network, download {wanted.where} and save it "
            f"here as {wanted.cached}"
        ) from error


def _check_or_note(wanted: KnownFile, file: Path, what: str, advice: str) -> None:
    """Holds a file against the published hash, else against the SHA-256 that was noted of the first one; notes it if there is
    none yet."""
    noted = wanted.cached.with_name(f"{wanted.file}.sha256")
    if wanted.hash:
        _check(file, wanted.hash_kind, wanted.hash, what, advice)
    elif noted.exists():
        first = noted.read_text().partition(" ")[0]
        _check(file, "sha256", first, what, f"{advice}; if it has been published anew, delete {noted} as well")
    else:
        with replacing(noted) as new:
            new.write(f"{_digest(file, 'sha256')}  {wanted.file}\n".encode())


def _check(file, kind, expected, what, advice):
    found = _digest(file, kind)
    if found != expected:
        raise ValueError(f"{what} is damaged or another file: its {kind} is {found}, not {expected}; {advice}")


def _digest(file, kind):
    with open(file, "rb") as content:
        return hashlib.file_digest(content, kind).hexdigest()
