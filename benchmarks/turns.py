"""Engines that take turns, A B C A B C ..., each in a process of its own: a slow moment of the machine hits all alike."""

import multiprocessing
import re
import resource
import statistics
import time
from pathlib import Path
from typing import NamedTuple


class Row(NamedTuple):
    """times: of every run that was counted, in seconds; peak_memory: of the engine's process so far, in GiB; failed: why it
    gave no time, else None."""

    engine: str
    case: tuple
    times: list
    peak_memory: float | None
    failed: str | None


def _peak_memory():
    """In GiB. Linux keeps it for this process alone in VmHWM; ru_maxrss begins at what the parent had when it made us."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _serve(connection, prepare):
    def answer(work):
        try:
            connection.send((work(), None))
        except Exception as error:  # a missing library, no memory: a reason to report, not to stop
            connection.send((None, f"{type(error).__name__}: {error}".splitlines()[0]))

    def seconds():
        start = time.perf_counter()
        runs[0](*case)
        return time.perf_counter() - start

    runs = []
    answer(lambda: runs.append(prepare()))
    while (case := connection.recv()) is not None:
        answer(lambda: (seconds(), _peak_memory()))


class _Engine:
    """A process that prepares, then runs on demand; failed: why it runs no more."""

    def __init__(self, prepare):
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, prepare), daemon=True)
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

    def run(self, case):
        """(seconds, peak memory), or None."""
        if not self.failed:
            self._connection.send(case)
            return self._answer()

    def stop(self):
        if not self.failed:
            self._connection.send(None)
        self._process.join()


def race(engines, rounds, cases=((),)):
    """Times every engine in every case: list of Row, case by case.

    engines: name -> function without arguments that prepares, in the engine's own process, the function to be timed, which
    is called with the arguments of a case. The first round of a case warms up and is not counted. An engine that fails is
    not run again.
    """
    running, rows = {name: _Engine(prepare) for name, prepare in engines.items()}, []
    for case in cases:
        measured = {name: [] for name in running}
        for _ in range(1 + rounds):
            for name, engine in running.items():
                measured[name].append(engine.run(case))
        for name, engine in running.items():
            times, peaks = zip(*measured[name][1:], strict=True) if not engine.failed else ([], [None])
            rows.append(Row(name, case, list(times), peaks[-1], engine.failed))
    for engine in running.values():
        engine.stop()
    return rows


def show(rows, first, unit="s", per_second=None):
    """Prints the median time of each row of one case, its ratio to the `first` engine's round by round, and the peak memory;
    or why it has no time. per_second: how many `unit`s one run does; None prints seconds."""
    ours = next((row.times for row in rows if row.engine == first), [])
    for row in rows:
        if row.failed:
            print(f"{row.engine:30s}{row.failed}")
            continue
        ratios = [theirs / our for theirs, our in zip(row.times, ours, strict=False)] or [float("nan")]
        seconds = [statistics.median(row.times), min(row.times), max(row.times)]
        middle, *ends = (per_second / t if per_second else t for t in seconds)
        print(
            f"{row.engine:30s}{middle:8.3f} {unit} ({min(ends):.3f} to {max(ends):.3f})   time / ours "
            f"{statistics.median(ratios):.2f}   peak memory {row.peak_memory:.2f} GiB"
        )
