"""Engines that take turns, A B C A B C ..., each in a process of its own: a slow moment of the machine hits all alike."""

import multiprocessing
import resource
import statistics
import time


def _serve(connection, prepare):
    def tried(work, *arguments):
        try:
            connection.send((work(*arguments), None))
        except Exception as error:  # a missing library, no memory: a reason to report, not to stop
            connection.send((None, (f"{type(error).__name__}: {error}".strip().splitlines() or ["?"])[0]))

    runs = []

    def seconds(task):
        start = time.perf_counter()
        runs[0](task)
        return time.perf_counter() - start

    tried(lambda: runs.append(prepare()))
    while (task := connection.recv()) != "stop":
        tried(seconds, task)
    connection.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)


class _Engine:
    """A process that prepares, then runs tasks on demand. failed: why it can no more, None while it can."""

    def __init__(self, prepare):
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, prepare), daemon=True)
        self._process.start()
        theirs.close()  # so that the end of the process is the end of the pipe
        self.failed = None
        _, self.failed = self._answer()

    def _answer(self):
        try:
            return self._connection.recv()
        except EOFError:
            self._process.join()
            self.failed = f"the process ended with code {self._process.exitcode} (-9: no memory left)"
            return None, self.failed

    def run(self, task):
        """(seconds, why not): one of the two is None."""
        if self.failed:
            return None, self.failed
        self._connection.send(task)
        return self._answer()

    def stop(self):
        """Peak memory in GiB; None where it failed."""
        if self.failed:
            return None
        self._connection.send("stop")
        peak = self._connection.recv()
        self._process.join()
        return peak


def take_turns(engines, tasks, rounds):
    """Runs every task by every engine, `rounds` times and once before to warm up: (times, reasons, peaks).

    engines: name -> function without arguments, called in a process of its own, that prepares and gives the function
    `run(task)` to be timed. times, reasons: (engine, task) -> seconds of every counted run, or why there are none;
    peaks: engine -> GiB.
    """
    running = {name: _Engine(prepare) for name, prepare in engines.items()}
    times, reasons = {(name, task): [] for task in tasks for name in running}, {}
    for i in range(1 + rounds):
        for (name, task), seconds in times.items():
            if (name, task) not in reasons:
                took, reason = running[name].run(task)
                if reason:
                    reasons[name, task] = reason
                elif i:
                    seconds.append(took)
    return times, reasons, {name: engine.stop() for name, engine in running.items()}


def race(engines, rounds, first, unit="s", per_second=None):
    """Prints the median time of each engine, its ratio to the `first` one's round by round, and its peak memory.

    engines: as `take_turns` takes them, for one task. per_second: how many `unit`s one run does; None prints seconds.
    """
    times, reasons, peaks = take_turns(engines, [None], rounds)
    for name in engines:
        if (name, None) in reasons:
            print(f"{name:20s}{reasons[name, None]}")
            continue
        ratios = [theirs / ours for theirs, ours in zip(times[name, None], times[first, None], strict=False)]
        seconds = [statistics.median(times[name, None]), min(times[name, None]), max(times[name, None])]
        middle, *ends = (per_second / t if per_second else t for t in seconds)
        ratio = f"{statistics.median(ratios):.2f}" if ratios else "-"
        print(
            f"{name:20s}{middle:8.3f} {unit} ({min(ends):.3f} to {max(ends):.3f})   time / ours {ratio}"
            f"   peak memory {peaks[name]:.2f} GiB"
        )
