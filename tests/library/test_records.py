"""Rows survive kills, full disks, torn lines and other writers; processors of one name are told apart."""

import csv
import errno
import itertools
import os
import platform
import re
import signal
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_lib import records
from resnet_lib.records import OtherColumns, Records, named_processor, now, printed, processor, usable_cores, versions

COLUMNS = ["family", "layers", "rate", "error"]
KEY = ["family", "layers", "rate"]
ROWS = [
    {"family": "plain", "layers": 20, "rate": 0.1, "error": None},
    {"family": "highway, gated", "layers": 56, "rate": 0.05, "error": 'a "quoted" reason, in Grüßen'},
    {"family": "residual", "layers": 110, "rate": 1e-05},
]
TEXT = 'family,layers,rate,error\nplain,20,0.1,\n"highway, gated",56,0.05,"a ""quoted"" reason, in Grüßen"\n'


@pytest.fixture
def path(tmp_path):
    return tmp_path / "rows.csv"


@pytest.fixture
def stored(path):
    Records(path, COLUMNS).append(*ROWS[:2])
    return Records(path, COLUMNS, KEY)


def names(folder):
    return {file.name for file in folder.iterdir()}


def test_rows_come_back_as_the_file_prints_them(stored, path):
    assert path.read_text() == TEXT
    assert stored.rows() == list(csv.DictReader(path.open(newline="")))
    assert stored.rows()[0] == {"family": "plain", "layers": "20", "rate": "0.1", "error": ""}
    table = stored.table()
    assert (
        list(table.columns) == COLUMNS
        and list(table.rate) == [0.1, 0.05]
        and table.error.isna().tolist() == [True, False]
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (0.1 + 0.2, "0.3"),
        (1.0, "1"),
        (1 / 3, "0.333333"),
        (1e-7, "1e-07"),
        (np.float32(0.1), "0.1"),
        (np.float64(2.5), "2.5"),
        (float("nan"), "nan"),
        (60_236_904, "60236904"),  # a whole number has all its digits
        (np.int64(1234567), "1234567"),
        ("v2", "v2"),
        ("OOM when\nallocating\r\na tensor", "OOM when allocating a tensor"),  # a row is a line
    ],
)
def test_a_value_is_printed_so(value, text):
    assert printed(value) == text


def test_a_file_that_is_not_there_has_no_rows_and_is_made_with_its_header(path):
    assert Records(path, COLUMNS).rows() == [] and not path.exists()
    with pytest.raises(FileNotFoundError):
        Records(path, COLUMNS).table()
    Records(path, COLUMNS).append()
    assert path.read_text() == "family,layers,rate,error\n" and len(Records(path, COLUMNS).table()) == 0


def test_wherever_the_file_is_cut_the_whole_rows_before_stay_and_the_next_follows_them(stored, path):
    content = path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(content) if byte == ord("\n")]
    for cut in range(len(content) + 1):
        path.write_bytes(content[:cut])
        kept = max(sum(end <= cut for end in ends) - 1, 0)
        assert Records(path, COLUMNS).rows() == [
            {column: printed(row[column]) for column in COLUMNS} for row in ROWS[:kept]
        ]
        Records(path, COLUMNS).append(ROWS[2])
        assert path.read_bytes() == content[: ends[kept]] + b"residual,110,1e-05,\n"


@given(st.lists(st.tuples(*[st.text(st.characters(codec="utf-8"), max_size=8)] * 2), max_size=4), st.integers(0, 10**6))
@settings(max_examples=50, deadline=None)
def test_any_text_survives_on_one_line_and_a_cut_leaves_a_beginning(tmp_path_factory, rows, cut):
    path = tmp_path_factory.mktemp("any") / "rows.csv"
    rows = [{"a": a, "b": b} for a, b in rows]
    there = Records(path, ["a", "b"])
    there.append()
    for row in rows:
        there.append(row)
    expected = [{name: " ".join(text.splitlines()) for name, text in row.items()} for row in rows]
    assert there.rows() == expected
    assert path.read_bytes().count(b"\n") == 1 + len(rows)
    content = path.read_bytes()
    path.write_bytes(content[: cut % (len(content) + 1)])
    kept = there.rows()
    assert kept == expected[: len(kept)]


@pytest.mark.parametrize(
    "content",
    [
        b"family,layers\nplain,8\n",
        b"my notes, without a line end",
        b"\n",
        b"error,rate,layers,family\n",
        b"\x89PNG\r\n\x1a\n\x00",
    ],
)
def test_other_columns_are_refused_and_the_file_is_left_as_it_is(path, content):
    path.write_bytes(content)
    other = Records(path, COLUMNS, KEY)
    message = f"{re.escape(str(path))} has other columns than this version writes, and is left as it is: "
    for refused in (other.rows, other.table, other.append, lambda: other.missing([]), lambda: other.append(ROWS[0])):
        with pytest.raises(OtherColumns, match=message):
            refused()
    assert path.read_bytes() == content and names(path.parent) <= {"rows.csv", "rows.csv.lock"}


def test_a_row_that_does_not_fit_is_refused_by_number(stored, path):
    broken = TEXT + "plain,20,0.1\n" + "plain,20,0.2,\n"
    path.write_text(broken)
    for refused in (stored.rows, stored.table, lambda: stored.append(ROWS[2])):
        with pytest.raises(ValueError, match=r"rows.csv: row 3 has 3 fields, not 4"):
            refused()
    assert path.read_text() == broken
    with pytest.raises(ValueError, match="'eror'"):
        Records(path.with_name("new.csv"), COLUMNS).append({"family": "plain", "eror": "typo"})
    assert not path.with_name("new.csv").exists()


def test_what_the_file_has_under_a_key_is_not_added_again(stored):
    stored.append({"family": "plain", "layers": 20, "rate": 0.1 + 1e-12, "error": "again"}, ROWS[2])
    assert [row["family"] for row in stored.rows()] == ["plain", "highway, gated", "residual"]
    stored.append({"family": "plain", "layers": 20, "rate": 0.100001})
    assert len(stored.rows()) == 4
    Records(stored.path, COLUMNS).append(ROWS[0])  # without a key a measurement may be repeated
    assert len(stored.rows()) == 5


def test_a_group_of_rows_may_have_one_key_and_is_there_once(path):
    there = Records(path, ["network", "unit", "norm"], key=["network"])
    group = [{"network": "v2", "unit": unit, "norm": 0.5} for unit in range(3)]
    for _ in range(2):
        there.append(*group)
        assert [row["unit"] for row in there.rows()] == ["0", "1", "2"]


def test_missing_keys_keep_their_order_and_are_named_once(stored):
    keys = [("v2", 8, 1.0), ("plain", 20, 0.1), ("v2", 8, 1), ("highway, gated", 56, 0.05), ("v1", 8, 1)]
    assert [tuple(map(printed, key)) for key in stored.missing(keys)] == [("v2", "8", "1"), ("v1", "8", "1")]
    seeds = Records(stored.path.with_name("seeds.csv"), ["seed"], ["seed"])
    seeds.append({"seed": 10_000_001})
    assert seeds.missing([(10_000_001,), (10_000_002,)]) == [(10_000_002,)]  # beyond six digits


RUNS = ["seed", "result", "error"]


@pytest.fixture
def runs(path):
    """Two runs with a result, two that failed; "none" is an error that is a result."""
    there = Records(path, RUNS, ["seed"], failed=lambda row: row["error"] not in ("", "none"))
    rows = [(0, 0.5, ""), (1, None, "out, of memory"), (2, 0.25, "none"), (3, None, 'a "late" fail')]
    there.append(*(dict(zip(RUNS, row, strict=True)) for row in rows))
    return there


def test_what_failed_is_missing_and_its_next_row_takes_its_place(runs, path):
    seeds = [(seed,) for seed in range(5)]
    assert runs.missing(seeds) == [(1,), (3,), (4,)]
    runs.append({"seed": 2, "result": 9}, {"seed": 1, "error": "again"}, {"seed": 4, "result": 1})
    assert path.read_text() == 'seed,result,error\n0,0.5,\n2,0.25,none\n3,,"a ""late"" fail"\n1,,again\n4,1,\n'
    runs.append({"seed": 1, "result": 0.75})
    runs.append({"seed": 1, "error": "too late"})  # of another writer: what has a result keeps it
    assert [row["result"] for row in runs.rows() if row["seed"] == "1"] == ["0.75"]
    assert runs.missing(seeds) == [(3,)] and Records(path, RUNS, ["seed"]).missing(seeds) == []
    runs.append()
    Records(path, RUNS, failed=runs.failed).append({"seed": 3, "error": "without a key"})
    assert len(runs.rows()) == 6  # what failed is kept until a row of its key is there
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    runs.append({"seed": 3, "result": 1})
    assert path.read_bytes().endswith(b"2,0.25,none\r\n4,1,\r\n1,0.75,\r\n3,1,\r\n")


def test_a_killed_writer_leaves_what_failed_or_the_row_in_its_place(runs, path, monkeypatch):
    before, replace = path.read_bytes(), os.replace
    monkeypatch.setattr(os, "replace", lambda *files: os.kill(os.getpid(), signal.SIGKILL))
    assert in_a_child(lambda: runs.append({"seed": 1, "result": 1})) == signal.SIGKILL and path.read_bytes() == before
    monkeypatch.setattr(os, "replace", lambda *files: [replace(*files), os.kill(os.getpid(), signal.SIGKILL)])
    assert in_a_child(lambda: runs.append({"seed": 1, "result": 1})) == signal.SIGKILL
    assert [row["seed"] for row in runs.rows()] == ["0", "2", "3", "1"] and runs.rows()[-1]["error"] == ""


def test_a_full_disk_leaves_the_old_file(stored, path, monkeypatch):
    def full(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        stored.append(ROWS[2])
    assert path.read_text() == TEXT and names(path.parent) == {"rows.csv", "rows.csv.lock"}


def in_a_child(work):
    """Runs `work` in a forked process: the signal that ended it, 0 for none."""
    child = os.fork()
    if not child:
        try:
            work()
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1] & 0x7F


@pytest.mark.parametrize("moment", ["half of it is written", "it is written", "it has taken the place"])
def test_a_killed_writer_leaves_a_group_wholly_or_not_at_all(stored, path, monkeypatch, moment):
    fsync, replace = os.fsync, os.replace

    def kill():
        os.kill(os.getpid(), signal.SIGKILL)

    def torn_fsync(file):
        os.ftruncate(file, os.fstat(file).st_size - 10)
        kill()

    def killed_replace(*files):
        if moment == "it has taken the place":
            replace(*files)
        kill()

    def write():
        if moment == "half of it is written":
            os.fsync = torn_fsync
        else:
            os.replace = killed_replace
        stored.append(ROWS[2], {"family": "v2", "layers": 20, "rate": 0.1})

    assert in_a_child(write) == signal.SIGKILL
    assert os.fsync is fsync
    assert len(stored.rows()) == (4 if moment == "it has taken the place" else 2)
    stored.append(ROWS[2])  # and the lock of a killed writer is free
    assert [row["family"] for row in stored.rows()].count("residual") == 1
    assert path.read_text().startswith(TEXT)


def test_writers_wait_for_one_another(path):
    def write(first):
        there = Records(path, ["i"], ["i"])
        for i in range(first, first + 20):
            there.append({"i": i})

    children = []
    for first in (0, 10, 20):
        children.append(os.fork())
        if not children[-1]:
            try:
                write(first)
            finally:
                os._exit(0)
    for child in children:
        os.waitpid(child, 0)
    assert sorted(int(row["i"]) for row in Records(path, ["i"]).rows()) == list(range(40))


def test_a_link_stays_a_link(stored, path, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "link.csv"
    link.symlink_to(path)
    Records(link, COLUMNS).append(ROWS[2])
    assert link.is_symlink() and len(stored.rows()) == 3 and names(link.parent) == {"link.csv"}  # one lock for both


def test_any_file_is_replaced_whole_through_its_link(path, tmp_path):
    path.write_bytes(b"old")
    link = tmp_path / "link"
    link.symlink_to(path)
    with records.replacing(str(link)) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert link.is_symlink() and path.read_bytes() == b"new"
    with pytest.raises(KeyError), records.replacing(path) as file:
        file.write(b"half")
        raise KeyError
    assert path.read_bytes() == b"new" and names(tmp_path) == {"rows.csv", "link"}


def test_two_who_write_to_one_path_at_once_share_no_file(path, tmp_path):
    with records.replacing(path) as first:
        first.write(b"the first")
        with records.replacing(path) as second:
            second.write(b"the second")
        assert path.read_bytes() == b"the second"
    assert path.read_bytes() == b"the first" and names(tmp_path) == {"rows.csv"}


def test_line_ends_and_permissions_of_a_file_are_kept(stored, path):
    path.write_bytes(TEXT.replace("\n", "\r\n").encode())
    path.chmod(0o640)
    stored.append(ROWS[2])
    assert path.read_bytes() == (TEXT + "residual,110,1e-05,\n").replace("\n", "\r\n").encode()
    assert len(stored.rows()) == 3 and path.stat().st_mode & 0o777 == 0o640


def test_a_folder_and_a_device_are_refused_and_a_folder_is_not_made(tmp_path):
    for other in (tmp_path, os.devnull):
        with pytest.raises(OSError, match="not a regular file"):
            Records(other, COLUMNS)
    with pytest.raises(FileNotFoundError):
        Records(tmp_path / "new" / "rows.csv", COLUMNS).append(ROWS[0])
    assert names(tmp_path) == set()


def test_a_protected_file_is_not_replaced(stored, path, monkeypatch):
    def protected(file, mode="r", *args, **kwargs):  # what the system does, but not for root
        if "+" in mode:
            raise PermissionError(errno.EACCES, "Permission denied", str(file))
        return open(file, mode, *args, **kwargs)

    monkeypatch.setattr(records, "open", protected, raising=False)
    with pytest.raises(PermissionError):
        stored.append(ROWS[2])
    assert path.read_text() == TEXT and names(path.parent) == {"rows.csv", "rows.csv.lock"}


def test_a_row_may_hold_very_many_samples(path):
    limit = csv.field_size_limit()
    samples = ";".join(["123.456"] * 50_000)
    there = Records(path, ["samples"])
    there.append({"samples": samples})
    assert there.rows() == [{"samples": samples}] and csv.field_size_limit() == limit


def test_date_and_versions_say_what_is_needed():
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", now())
    assert datetime.fromisoformat(now()).tzinfo is not None
    python = platform.python_version()
    assert versions("numpy") == f"numpy {np.__version__}, python {python}"
    assert versions() == f"python {python}"
    assert versions("numpy", "no-such-package") == f"numpy {np.__version__}, no-such-package missing, python {python}"
    assert 1 <= usable_cores() <= os.cpu_count()


# Lines of /proc/cpuinfo, tabs as the kernel sets them.
def x86(family, model, name, flags):
    return (
        f"processor\t: 0\nvendor_id\t: x\ncpu family\t: {family}\nmodel\t\t: {model}\nmodel name\t: {name}\nstepping\t: 1\n"
        f"flags\t\t: fpu vme {flags} fsrm\nbugs\t\t: spectre_v1\n\nprocessor\t: 1\nmodel name\t: another\n\n"
    )


ARM = """processor\t: 0
BogoMIPS\t: 243.75
Features\t: fp asimd aes sve asimddp bf16 i8mm
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x1
CPU part\t: 0xd40
CPU revision\t: 1

"""
PROCESSORS = {
    "Zen 3": (
        x86(25, 1, "AMD EPYC", "avx avx2 bmi2"),
        "AMD EPYC (family 25, model 1; avx2)",
    ),
    "Zen 4": (
        x86(25, 17, "AMD EPYC", "avx avx2 avx512f avx512dq avx512_bf16 avx512_vnni"),
        "AMD EPYC (family 25, model 17; avx2, avx512f, avx512_bf16)",
    ),
    "Skylake-SP, no bfloat16": (
        x86(6, 85, "Intel(R) Xeon(R) CPU @ 2.00GHz", "avx2 avx512f avx512cd"),
        "Intel(R) Xeon(R) CPU @ 2.00GHz (family 6, model 85; avx2, avx512f)",
    ),
    "Sapphire Rapids": (
        x86(6, 143, "Intel(R) Xeon(R) Platinum 8481C", "avx2 avx512f avx512_bf16 amx_bf16 amx_tile amx_int8"),
        "Intel(R) Xeon(R) Platinum 8481C (family 6, model 143; avx2, avx512f, avx512_bf16, amx)",
    ),
    "without any of the flags": (
        x86(6, 42, "Old", "sse4_2 avx"),
        "Old (family 6, model 42)",
    ),
    "ARM": (ARM, "ARM (implementer 0x41, part 0xd40; sve, bf16)"),
    "ARM, plain": (ARM.replace("sve asimddp bf16 ", ""), "ARM (implementer 0x41, part 0xd40)"),
    "empty": ("", ""),
    "something else": ("cpu\t\t: POWER9\nrevision\t: 2.3\n", ""),
}


@pytest.mark.parametrize("name", PROCESSORS)
def test_a_processor_is_named_with_what_tells_it_apart(name):
    cpuinfo, expected = PROCESSORS[name]
    assert named_processor(cpuinfo) == expected


def test_no_two_processors_have_one_name():
    found = [expected for _, expected in PROCESSORS.values() if expected]
    assert len(set(found)) == len(found)
    for first, second in itertools.combinations(["avx2", "avx512f", "avx512_bf16", "amx_tile"], 2):
        assert named_processor(x86(25, 1, "AMD EPYC", first)) != named_processor(x86(25, 1, "AMD EPYC", second))


def test_where_there_is_no_cpuinfo_python_is_asked(monkeypatch):
    assert processor()
    monkeypatch.setattr(records.Path, "read_text", lambda path: PROCESSORS["Zen 3"][0])
    assert processor() == "AMD EPYC (family 25, model 1; avx2)"

    def missing(path):
        raise FileNotFoundError(path)

    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    for read in (missing, lambda path: ""):
        monkeypatch.setattr(records.Path, "read_text", read)
        monkeypatch.setattr(platform, "processor", lambda: "its processor")
        assert processor() == "its processor"
        monkeypatch.setattr(platform, "processor", lambda: "")
        assert processor() == "arm64"
