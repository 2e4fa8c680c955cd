"""Rows of a CSV file that survive whatever happens to their writer, and what belongs in each: date, versions, device.

No TensorFlow. `timing`, `sweep` and the programs in `experiments/` keep their results so.
"""

from __future__ import annotations

import csv
import errno
import io
import os
import platform
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib import metadata
from numbers import Integral, Real
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any, BinaryIO

from filelock import FileLock

if TYPE_CHECKING:
    import pandas as pd


class OtherColumns(ValueError):
    """A file has other columns than its reader knows; `found` lists them."""

    def __init__(self, path: Path, found: list[str], columns: list[str]):
        self.found = found
        super().__init__(
            f"{path} has other columns than this version writes, and is left as it is: {','.join(found)!r}, "
            f"not {','.join(columns)!r}"
        )


class Records:
    """The rows of a CSV file with a header of `columns`, added in groups that are there wholly or not at all.

    key: the columns that say what a row is a result of, such as family, layers and seed. Rows whose key the file has
    already are not added again. Keys are compared as the file prints them.
    failed: says of a row, given as `rows` has it, that what it stands for failed. Its key is missing, and a row that is
    added under its key takes its place.
    Raises OSError where the path is something else than a file.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        columns: Iterable[str],
        key: Iterable[str] = (),
        failed: Callable[[Mapping[str, str]], bool] = lambda row: False,
    ):
        self.path = Path(path).resolve()  # a link stays a link: what it points to is replaced
        self.columns = list(columns)
        self.key = list(key)
        self.failed = failed
        if self.path.exists() and not self.path.is_file():  # a folder, or a device, which must never be replaced
            raise OSError(errno.EINVAL, "not a regular file", str(self.path))

    def rows(self) -> list[dict[str, str]]:
        """The whole rows, as text by column; none where there is no file. A last row that is cut short is left out.

        Raises ValueError, naming the file, for other columns and for a row that does not fit them.
        """
        return self._parsed(self._whole())

    def table(self) -> pd.DataFrame:
        """The whole rows: pandas.DataFrame. Raises what `rows` does, and FileNotFoundError where there is no file."""
        import pandas as pd

        self.path.stat()
        whole = self._whole()
        self._parsed(whole)
        return pd.read_csv(io.BytesIO(whole))

    def missing(self, keys: Iterable[Sequence[Any]]) -> list[Sequence[Any]]:
        """Those of the keys, each a value for every column of `key`, that no row has, failed ones aside: in their order,
        each once."""
        done = self._keys(self._counted(self.rows()))
        wanted = {tuple(map(printed, key)): key for key in keys}
        return [key for text, key in wanted.items() if text not in done]

    def append(self, *rows: Mapping[str, Any]) -> None:
        """Adds the rows as one group, but for those whose key the file has, and drops the failed rows that had their keys,
        all in one step. The fields of missing columns stay empty.

        Without rows it makes sure that the file is there and can be written. Raises what `rows` does, ValueError for a
        column that the file does not have, and OSError when it cannot be written; then the file stays as it was.
        """
        self.path.parent.stat()  # raises FileNotFoundError; the lock would make the folder
        with FileLock(f"{self.path}.lock"):
            whole = self._whole()
            there = self._parsed(whole)
            done = self._keys(self._counted(there))
            new = [row for row in rows if not self.key or self._key_of(row) not in done]
            line_end = "\r\n" if whole.partition(b"\n")[0].endswith(b"\r") else "\n"
            kept = self._without_failed(there, self._keys(new))
            if len(kept) < len(there):
                whole = self._bytes([self._header(), *kept], line_end)
            with replacing(self.path) as file:
                file.write(whole + self._bytes(new, line_end))

    def _header(self):
        return dict(zip(self.columns, self.columns, strict=True))

    def _whole(self) -> bytes:
        """The file up to the end of its last whole row; of a file that is yet to be begun, the header."""
        header = self._bytes([self._header()], "\n")
        content = self.path.read_bytes() if self.path.exists() else b""
        if header.startswith(content):  # nothing, or a header that was cut short
            return header
        end = content.rfind(b"\n") + 1
        return content[:end] or content  # without a line end it is nothing that was written here: `_parsed` refuses it

    def _parsed(self, whole):
        limit = csv.field_size_limit(2**31 - 1)  # a long timing has many samples
        try:
            reader = csv.reader(io.StringIO(whole.decode(errors="replace"), newline=""))
            lines = [fields for fields in reader if fields]  # there may be empty lines
        finally:
            csv.field_size_limit(limit)
        if lines[:1] != [self.columns]:
            raise OtherColumns(self.path, lines[0] if lines else [], self.columns)
        for number, fields in enumerate(lines):
            if len(fields) != len(self.columns):
                raise ValueError(f"{self.path}: row {number} has {len(fields)} fields, not {len(self.columns)}")
        return [dict(zip(self.columns, fields, strict=True)) for fields in lines[1:]]

    def _key_of(self, row):
        return tuple(printed(row.get(column)) for column in self.key)

    def _keys(self, rows):
        return {self._key_of(row) for row in rows}

    def _counted(self, rows):
        return [row for row in rows if not self.failed(row)]

    def _without_failed(self, rows, keys):
        """The rows but for failed ones of these keys. (Without a key, rows have nothing to do with each other.)"""
        return [row for row in rows if not (self.key and self._key_of(row) in keys and self.failed(row))]

    def _bytes(self, rows, line_end):
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self.columns, lineterminator=line_end)
        writer.writerows({column: printed(value) for column, value in row.items()} for row in rows)
        return text.getvalue().encode()


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """A file to write that takes the place of `path`, in one step, when it is whole: a process that is killed before
    that leaves the old file. Raises OSError where it cannot be written or the old one is protected."""
    path = Path(path).resolve()
    beside = path.with_name(f"{path.name}.{token_hex(4)}")  # its own, for threads may share the path
    try:
        with open(beside, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            open(path, "r+b").close()  # fails for a protected file, which `os.replace` would not heed
            shutil.copymode(path, beside)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def printed(value: Any) -> str:
    """A value as it stands in a file, on one line: six digits of a number with a fraction, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, Real) and not isinstance(value, Integral):
        return f"{value:.6g}"
    return " ".join(str(value).splitlines())


def now() -> str:
    """The date and time, to the second, with the zone: "2026-11-28T18:05:00+00:00"."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def versions(*packages: str) -> str:
    """The installed versions, and Python's: "tensorflow 2.21.0, python 3.11.7"."""
    return ", ".join([*map(_version, packages), f"python {platform.python_version()}"])


def _version(package):
    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return f"{package} missing"


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# Of /proc/cpuinfo: the numbers of a microarchitecture, as the file calls them and as they are called here, and the
# instructions that decide how fast a network runs. On x86 first, then on ARM.
_NUMBERS = {"cpu family": "family", "model": "model", "CPU implementer": "implementer", "CPU part": "part"}
_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_tile", "sve", "bf16")


def processor() -> str:
    """This machine's processor, with what tells apart two microarchitectures of one marketing name:
    "AMD EPYC (family 25, model 1; avx2)". Where there is no /proc/cpuinfo, what Python's `platform` says."""
    try:
        name = named_processor(Path("/proc/cpuinfo").read_text())
    except OSError:
        name = ""
    return name or platform.processor() or platform.machine()


def named_processor(cpuinfo: str) -> str:
    """The same, from the text of a /proc/cpuinfo; of several processors the first one. "" where it names none."""
    lines = (line.partition(":") for line in cpuinfo.split("\n\n")[0].splitlines())
    fields = {name.strip(): value.strip() for name, _, value in lines}
    name = fields.get("model name", "ARM" if "CPU part" in fields else "")
    known = fields.get("flags", fields.get("Features", "")).split()
    numbers = ", ".join(f"{word} {fields[field]}" for field, word in _NUMBERS.items() if field in fields)
    flags = ", ".join(flag.removesuffix("_tile") for flag in _FLAGS if flag in known)
    details = "; ".join(filter(None, [numbers, flags]))
    return f"{name} ({details})" if name and details else name
