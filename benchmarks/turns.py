"""Engines that take turns, A B C A B C ..., each in a process of its own: a slow moment of the machine hits all alike."""

import multiprocessing
import resource
import statistics
import time


def _serve(connection, prepare):
    run = prepare()
    connection.send("ready")
    while connection.recv() == "run":
        start = time.perf_counter()
        run()
        connection.send(time.perf_counter() - start)
    connection.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)


def race(engines, rounds, first, unit="s", per_second=None):
    """Prints the median time of each engine, its ratio to the `first` one's round by round, and its peak memory.

    engines: name -> function without arguments that prepares, in the engine's own process, the function to be timed. The
    first round warms up and is not counted. per_second: how many `unit`s one run does; None prints seconds.
    """
    context, connections, times = multiprocessing.get_context("spawn"), {}, {name: [] for name in engines}
    for name, prepare in engines.items():
        connections[name], theirs = context.Pipe()
        context.Process(target=_serve, args=(theirs, prepare), daemon=True).start()
        connections[name].recv()
    for i in range(1 + rounds):
        for name, connection in connections.items():
            connection.send("run")
            seconds = connection.recv()
            if i:
                times[name].append(seconds)
    for name, connection in connections.items():
        connection.send("stop")
        ratios = [theirs / ours for theirs, ours in zip(times[name], times[first], strict=True)]
        seconds = [statistics.median(times[name]), min(times[name]), max(times[name])]
        middle, *ends = (per_second / t if per_second else t for t in seconds)
        print(
            f"{name:20s}{middle:8.3f} {unit} ({min(ends):.3f} to {max(ends):.3f})   time / ours "
            f"{statistics.median(ratios):.2f}   peak memory {connection.recv():.2f} GiB"
        )
