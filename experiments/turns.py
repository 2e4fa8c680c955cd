"""Engines that take turns, A B C A B C ..., each in a process of its own: a slow moment of the machine hits all alike."""

from __future__ import annotations

import multiprocessing
import os
import re
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm


class Row(NamedTuple):
    """times: of every run that was counted, in seconds; peak_memory: of the engine's process so far, in GiB; failed: why it
    gave no time, else None."""

    engine: str
    case: tuple
    times: list[float]
    peak_memory: float | None
    failed: str | None


def _peak_memory():
    """In GiB. Linux keeps it for this process alone in VmHWM; ru_maxrss begins at what the parent had when it made us."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def reason(error: Exception) -> str:
    """One line for a table: a missing library or no memory is a reason to report, not to stop."""
    return f"{type(error).__name__}: {error}".splitlines()[0]


def hushed(log: str, function: Callable, *args: object) -> None:
    """What a process of its own does: it calls the function, and all that it says goes to the file `log`.

    Libraries in C++ write to the file descriptors 1 and 2 themselves, so these are what is led away.
    """
    file = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.stdout.reconfigure(line_buffering=True)  # so that what a process said before it was killed is there
    function(*args)


def _serve(connection: Connection, prepare: Callable[[], Callable], clock: Callable[[], float]) -> None:
    """What an engine's process does: it prepares, then runs each case that it is sent, and sends (answer, None) or
    (None, reason) for each."""

    def answer(work):
        try:
            connection.send((work(), None))
        except Exception as error:
            connection.send((None, reason(error)))

    def timed(case):
        start = clock()
        runs[0](*case)
        return clock() - start, _peak_memory()

    runs = []
    answer(lambda: runs.append(prepare()))
    for case in iter(connection.recv, None):
        answer(lambda case=case: timed(case))


class _Engine:
    """A process that prepares, then runs on demand; failed: why it runs no more."""

    def __init__(self, prepare, clock):
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._log = tempfile.NamedTemporaryFile()
        arguments = (self._log.name, _serve, theirs, prepare, clock)
        self._process = context.Process(target=hushed, args=arguments, daemon=True)
        self._process.start()
        theirs.close()  # so that the end of the process is the end of the pipe
        self.failed = None
        self._answer()

    def _answer(self):
        try:
            answer, self.failed = self._connection.recv()
            if self.failed:
                self._process.terminate()
            return answer
        except EOFError:
            self._process.join()
            self.failed = f"the process ended with code {self._process.exitcode} (-9: no memory left)"
            said = self._log.read().decode(errors="replace").split("\n")
            said = " / ".join(line.strip() for line in said if line.strip())
            self.failed += f", and had said: {said[-200:]}" if said else ""

    def run(self, case):
        """(seconds, peak memory), or None."""
        if not self.failed:
            self._connection.send(case)
            return self._answer()

    def stop(self):
        if not self.failed:
            self._connection.send(None)
        self._process.join()


def race(
    engines: Mapping[str, Callable[[], Callable]],
    rounds: int,
    cases: Sequence[tuple] = ((),),
    clock: Callable[[], float] = time.perf_counter,
) -> list[Row]:
    """Times every engine in every case: list of Row, case by case.

    engines: name -> function without arguments that prepares, in the engine's own process, the function to be timed, which
    is called with the arguments of a case. The first round of a case warms up and is not counted. An engine that fails is
    not run again. clock: what the times are read from, in the engine's process.
    """
    running = {name: _Engine(prepare, clock) for name, prepare in engines.items()}
    with tqdm(total=len(cases) * (1 + rounds) * len(engines), unit="run", leave=False, disable=None) as bar:
        rows = [row for case in cases for row in _rows(running, rounds, case, bar)]
    for engine in running.values():
        engine.stop()
    return rows


def _rows(running, rounds, case, bar):
    measured = {name: [] for name in running}
    for _ in range(1 + rounds):
        for name, engine in running.items():
            bar.set_description(" ".join([name, *map(str, case)]))
            measured[name].append(engine.run(case))
            bar.update()
    for name, engine in running.items():
        counted = [] if engine.failed else measured[name][1:]
        times = [seconds for seconds, _ in counted]
        yield Row(name, case, times, counted[-1][1] if counted else None, engine.failed)


def show(rows: Sequence[Row], first: str, unit: str = "s", per_second: float | None = None) -> None:
    """Prints the median time of each row of one case, its ratio to the `first` engine's round by round, and the peak memory;
    or why it has no time. per_second: how many `unit`s one run does; None prints seconds."""
    ours = next((row.times for row in rows if row.engine == first), [])
    for row in rows:
        if row.failed:
            print(f"{row.engine:30s}{row.failed}")
            continue
        ratios = [theirs / our for theirs, our in zip(row.times, ours, strict=False)] or [float("nan")]
        spread = [statistics.median(row.times), min(row.times), max(row.times)]
        middle, *ends = [per_second / seconds if per_second else seconds for seconds in spread]
        print(
            f"{row.engine:30s}{middle:8.3f} {unit} ({min(ends):.3f} to {max(ends):.3f})   time / ours "
            f"{statistics.median(ratios):.2f}   peak memory {row.peak_memory:.2f} GiB"
        )
