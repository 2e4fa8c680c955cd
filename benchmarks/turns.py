"""Engines that take turns, A B C A B C ..., each in a process of its own: a slow moment of the machine hits all alike."""

import multiprocessing
import resource
import statistics
import time


def _serve(connection, prepare):
    def answer(work):
        try:
            connection.send((work(), None))
        except Exception as error:  # a missing library, no memory: a reason to report, not to stop
            connection.send((None, f"{type(error).__name__}: {error}".splitlines()[0]))

    def seconds():
        start = time.perf_counter()
        runs[0]()
        return time.perf_counter() - start

    runs = []
    answer(lambda: runs.append(prepare()))
    while connection.recv() == "run":
        answer(seconds)
    connection.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)


class _Engine:
    """A process that prepares, then runs on demand: times, of every run that was counted; failed: why it runs no more."""

    def __init__(self, prepare):
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, prepare), daemon=True)
        self._process.start()
        theirs.close()  # so that the end of the process is the end of the pipe
        self.times, self.failed = [], None
        self._answer()

    def _answer(self):
        try:
            seconds, self.failed = self._connection.recv()
            if self.failed:
                self._process.terminate()
            return seconds
        except EOFError:
            self._process.join()
            self.failed = f"the process ended with code {self._process.exitcode} (-9: no memory left)"

    def run(self, counted):
        if not self.failed:
            self._connection.send("run")
            seconds = self._answer()
            if counted and not self.failed:
                self.times.append(seconds)

    def peak_memory(self):
        """In GiB; ends the process."""
        self._connection.send("stop")
        return self._connection.recv()


def race(engines, rounds, first, unit="s", per_second=None):
    """Prints the median time of each engine, its ratio to the `first` one's round by round, and its peak memory; or why an
    engine cannot run.

    engines: name -> function without arguments that prepares, in the engine's own process, the function to be timed. The
    first round warms up and is not counted. per_second: how many `unit`s one run does; None prints seconds.
    """
    running = {name: _Engine(prepare) for name, prepare in engines.items()}
    for i in range(1 + rounds):
        for engine in running.values():
            engine.run(counted=i > 0)
    for name, engine in running.items():
        if engine.failed:
            print(f"{name:20s}{engine.failed}")
            continue
        ratios = [theirs / ours for theirs, ours in zip(engine.times, running[first].times, strict=False)]
        seconds = [statistics.median(engine.times), min(engine.times), max(engine.times)]
        middle, *ends = (per_second / t if per_second else t for t in seconds)
        print(
            f"{name:20s}{middle:8.3f} {unit} ({min(ends):.3f} to {max(ends):.3f})   time / ours "
            f"{statistics.median(ratios or [float('nan')]):.2f}   peak memory {engine.peak_memory():.2f} GiB"
        )
