"""How long a forward pass takes: measured, with every sample kept and the conditions in the same record.

A fair timing calls the network before it starts the clock, waits for the result, and reports the median. Notebook 08
explains why. The clock can be passed in, so the counting is tested without waiting.
"""

from __future__ import annotations

import functools
import math
import os
import time
from bisect import insort
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path

import numpy as np
from tqdm import tqdm, trange

from .checks import file_path, instance_of, list_of, positive_int, real_number, whole_number
from .engines import ENGINES, UNFROZEN
from .network import Frozen, Network
from .records import OtherColumns, Records, now, processor, usable_cores, versions
from .roofline import Device
from .tf_slim_compat import tf

Clock = Callable[[], float]


@dataclass(frozen=True)
class Timing:
    """One measurement. Times are those of one batch, in milliseconds; tflops counts 2 FLOPs a MAC, in 10^12 a second.

    share_of_matmul is tflops over matmul_tflops, what this device reaches in one large matrix product. precision is the
    one that ran; device tells apart processors of one marketing name. What was not measured is None; `error` says why a
    run gave no time. engine is one of engines.ENGINES, or "unfrozen" for a network as `build` gives it.
    """

    network: str
    batch_size: int | None = None
    image_size: str | None = None
    first_call_ms: float | None = None
    median_ms: float | None = None
    p10_ms: float | None = None
    p90_ms: float | None = None
    images_per_s: float | None = None
    tflops: float | None = None
    matmul_tflops: float | None = None
    share_of_matmul: float | None = None
    error: str | None = None
    engine: str = UNFROZEN
    precision: str = "float32"
    device: str = ""
    threads: int | None = None
    versions: str = ""
    date: str = ""
    samples_ms: tuple[float, ...] = ()


COLUMNS = tuple(field.name for field in fields(Timing))


def _conditions(engine=UNFROZEN):
    """What a time belongs to: device, threads, versions (the engine's package before TensorFlow) and date."""
    package = ENGINES[engine].package if engine in ENGINES else None
    known = {"versions": versions(*filter(None, [package, "tensorflow"])), "date": now()}
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
        return {"device": name, "threads": None, **known}
    threads = tf.config.threading.get_intra_op_parallelism_threads() or usable_cores()
    return {"device": processor(), "threads": threads, **known}


def _statistics(samples_ms, batch_size, macs):
    p10, median, p90 = (float(p) for p in np.percentile(samples_ms, [10, 50, 90]))
    record = {"median_ms": median, "p10_ms": p10, "p90_ms": p90, "samples_ms": tuple(samples_ms)}
    if batch_size:
        record["images_per_s"] = batch_size / (median / 1e3)
    if batch_size and macs:
        record["tflops"] = 2 * macs * batch_size / (median / 1e3) / 1e12
    return record


def median_spread(samples_ms: Sequence[float]) -> float:
    """How sure the median is: half the width of the interval between the samples of the ranks n/2 - sqrt(n)/2 and n/2 +
    sqrt(n)/2, over the median. It holds the median of endless sampling about two times out of three, whatever the distribution
    (David and Nagaraja 2003, *Order Statistics*, section 7.1). Infinite for fewer than five samples."""
    return _spread(sorted(real_number("samples_ms", sample) for sample in list_of("times", "samples_ms", samples_ms)))


def _spread(ordered: Sequence[float]) -> float:
    """`median_spread` of samples in ascending order. It looks at four of them, so that it can be asked after each sample."""
    number = len(ordered)
    if number < 5:
        return math.inf
    low = math.floor((number - math.sqrt(number)) / 2)
    high = math.ceil((number + math.sqrt(number)) / 2) - 1
    median = (ordered[(number - 1) // 2] + ordered[number // 2]) / 2
    return (ordered[high] - ordered[low]) / 2 / median


SURE = 0.01  # spread of the median at which `time_forward` has seen enough
ENOUGH_FOR_PERCENTILES = 30  # samples: with fewer, the 90th percentile is little more than the slowest


def _samples_ms(call, num_batches, seconds, clock, progress, name):
    """`num_batches` samples; for None as many as make the median sure, or as fit into so many seconds."""
    if num_batches is not None:
        steps = trange(num_batches, desc=name, unit="batch", disable=not progress, leave=False)
        return [_sample_ms(call, clock) for _ in steps]
    samples: list[float] = []
    ordered: list[float] = []  # the same in ascending order
    total = 0.0
    with tqdm(desc=name, unit="batch", disable=not progress, leave=False) as steps:
        while _spread(ordered) > SURE and (not samples or total < seconds * 1e3):
            samples.append(_sample_ms(call, clock))
            insort(ordered, samples[-1])
            total += samples[-1]
            steps.update()
    return samples


def _sample_ms(call, clock):
    start = clock()
    call()
    return (clock() - start) * 1e3


@functools.lru_cache
def matmul_tflops(size: int = 2048, repeats: int = 5) -> float:
    """What this device reaches in a float32 matrix product of size x size, in TFLOP/s: the best of `repeats` runs.

    On a CPU the better of TensorFlow's product and NumPy's, for either library may be the faster on a given machine.
    """
    a = tf.random.stateless_uniform([size, size], seed=(0, 1))
    matrix = a.numpy()
    products = [lambda: tf.reduce_sum(a @ a).numpy()]  # a number brought to the host, so that a GPU has really finished
    if not tf.config.list_physical_devices("GPU"):
        products.append(lambda: matrix @ matrix)
    for product in products:
        product()
    best_ms = min(_sample_ms(product, time.perf_counter) for product in products for _ in range(repeats))
    return 2 * size**3 / (best_ms / 1e3) / 1e12


@functools.lru_cache
def this_machine(seconds: float = 1.0) -> Device:
    """The device that TensorFlow uses here as `roofline.Device`, measured in float32: for about so many seconds each, the best
    run of a product of large matrices, of a 3x3 convolution and of copying memory. The larger of the first two rates is its
    peak.

    On a CPU NumPy copies, on every core that this process may use; the cache is what Linux says of the last level, else 0.
    Raises ValueError or TypeError for `seconds` that are no number >= 0.
    """
    seconds = real_number("seconds", seconds)
    images = tf.random.stateless_uniform([16, 28, 28, 256], seed=(0, 2))
    filters = tf.random.stateless_uniform([3, 3, 256, 256], seed=(0, 3))
    convolve = tf.function(lambda: tf.nn.conv2d(images, filters, 1, "SAME")[0, 0, 0])
    operations = 2 * 16 * 28 * 28 * 9 * 256 * 256
    tflops = max(matmul_tflops(), operations / _best_seconds(lambda: convolve().numpy(), seconds) / 1e12)
    gpus = tf.config.list_physical_devices("GPU")
    copied, copy = _copying_on_gpu() if gpus else _copying()
    tb_per_s = copied / _best_seconds(copy, seconds) / 1e12
    cache = Path("/sys/devices/system/cpu/cpu0/cache/index3/size")
    cache_mb = int(cache.read_text().rstrip("K\n")) * 1024 / 1e6 if cache.exists() and not gpus else 0
    return Device(
        _conditions()["device"], {"float32": tflops}, tb_per_s, cache_mb, f"measured with {versions('tensorflow')}"
    )


def _best_seconds(call, seconds):
    call()
    end = time.perf_counter() + seconds
    best = _sample_ms(call, time.perf_counter)
    while time.perf_counter() < end:
        best = min(best, _sample_ms(call, time.perf_counter))
    return best / 1e3


def _copying(size=2**26):
    """(bytes moved in a call, call): every core copies `size` bytes into memory that is there already."""
    cores = usable_cores()
    pairs = [(np.ones(size // 8), np.ones(size // 8)) for _ in range(cores)]
    pool = ThreadPoolExecutor(cores)  # NumPy copies without Python's lock
    return 2 * size * cores, lambda: [*pool.map(lambda pair: np.copyto(*pair), pairs)]


def _copying_on_gpu(numbers=2**28):
    x = tf.zeros([numbers])
    add = tf.function(lambda: x + 1)
    return 2 * 4 * numbers, lambda: add()[0].numpy()


MOST_STEPS = 10**6


def _checked_counts(num_batches, num_steps_burn_in):
    num_steps_burn_in = whole_number("num_steps_burn_in", num_steps_burn_in, most=MOST_STEPS)
    return None if num_batches is None else whole_number("num_batches", num_batches, 1, MOST_STEPS), num_steps_burn_in


def time_tensorflow_run(
    session: tf.compat.v1.Session,
    target: tf.Tensor,
    info_string: str,
    num_batches: int = 100,
    num_steps_burn_in: int = 10,
    clock: Clock = time.perf_counter,
) -> Timing:
    """Runs `target` in a Session as the source text does: prints every tenth step, then mean and spread: Timing.

    session: a tf.compat.v1.Session; target: the tensor to compute; info_string: what to call it ("Forward").
    The first `num_steps_burn_in` runs warm up and are not counted. Raises ValueError for num_batches < 1.
    """
    num_batches, num_steps_burn_in = _checked_counts(num_batches, num_steps_burn_in)
    durations_ms = []
    for i in range(-num_steps_burn_in, num_batches):
        durations_ms.append(_sample_ms(lambda: session.run(target), clock))
        if i >= 0 and i % 10 == 0:
            print(f"{datetime.now()}: step {i}, duration = {durations_ms[-1] / 1e3:.3f}")
    samples_ms = durations_ms[num_steps_burn_in:]
    mean = np.mean(samples_ms) / 1e3
    spread = np.std(samples_ms) / 1e3
    print(f"{datetime.now()}: {info_string} across {num_batches} steps, {mean:.3f} +/- {spread:.3f} sec / batch")
    batch_size = target.shape[0] if target.shape.rank else None
    measured = _statistics(samples_ms, batch_size, macs=None)
    measured |= {"first_call_ms": durations_ms[0], "engine": "session"}
    return Timing(info_string, batch_size, **measured, **_conditions())


def time_forward(
    network: Network | Frozen,
    batch_size: int = 32,
    num_batches: int | None = 10,
    num_steps_burn_in: int = 2,
    csv_path: str | os.PathLike | None = None,
    clock: Clock = time.perf_counter,
    progress: bool = False,
    seconds: float = 60,
) -> Timing:
    """Times the forward pass of a `Network`, or of a frozen one, on one batch of random images: Timing.

    The first call is reported apart; then `num_steps_burn_in` calls warm up and `num_batches` are counted; None counts until
    `median_spread` is below 1 %, or until the samples take so many `seconds`.
    csv_path: a file to which the record is added as one row, at once. A batch that does not fit in memory gives a
    Timing whose `error` says so. Raises ValueError for batch_size or num_batches < 1, and for a csv_path that holds
    other columns or cannot be written.
    """
    instance_of("network", network, Network | Frozen, "a Network or a frozen one")
    batch_size = positive_int("batch_size", batch_size)
    csv_path = None if csv_path is None else file_path("csv_path", csv_path)
    num_batches, num_steps_burn_in = _checked_counts(num_batches, num_steps_burn_in)
    _, height, width, _ = network.input_shape
    if height is None or width is None:
        raise ValueError("network must be built with an image_size to be timed, got one for images of any size")
    if csv_path is not None:
        _append(csv_path)  # refused now, before anything is timed
    how = (num_batches, num_steps_burn_in, clock, progress, real_number("seconds", seconds))
    measured = _measure_or_say_why_not(network, batch_size, *how)
    if isinstance(network, Frozen):
        measured |= {"engine": network.engine, "precision": network.precision}
    timing = Timing(
        network.name, batch_size, f"{height}x{width}", **measured, **_conditions(measured.get("engine", UNFROZEN))
    )
    if csv_path is not None:
        append_row(csv_path, timing)
    return timing


def _measure_or_say_why_not(network, batch_size, *how):
    try:
        _check_memory(network, batch_size)
        return _measure(network, batch_size, *how)
    except (tf.errors.ResourceExhaustedError, MemoryError) as error:
        return {"error": f"out of memory: {str(error).splitlines()[0]}"}


def _measure(network, batch_size, num_batches, num_steps_burn_in, clock, progress, seconds):
    images = tf.random.stateless_uniform([batch_size, *network.input_shape[1:]], seed=(0, 0))

    def forward():
        network.forward(images).numpy()  # .numpy() waits until the result is there

    first_call_ms = _sample_ms(forward, clock)
    for _ in range(num_steps_burn_in):
        forward()
    samples_ms = _samples_ms(forward, num_batches, seconds, clock, progress, network.name)
    record = _statistics(samples_ms, batch_size, network.cost().macs)
    record["first_call_ms"] = first_call_ms
    record["matmul_tflops"] = matmul_tflops()
    record["share_of_matmul"] = record["tflops"] / record["matmul_tflops"]
    return record


def _check_memory(network, batch_size):
    """Raises MemoryError when even the widest single layer of the batch is larger than this machine's memory: left to
    run, the operating system would kill the whole process."""
    if tf.config.list_physical_devices("GPU") or not hasattr(os, "sysconf"):
        return
    needed = 4 * network.widest() * batch_size
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        raise MemoryError(f"one layer alone needs {needed / 2**30:.0f} GiB, this machine has {there / 2**30:.0f} GiB")


def append_row(path: str | os.PathLike, timing: Timing) -> None:
    """Appends a Timing to a CSV file, which is made if it is not there.

    Raises ValueError when the file holds other columns, and is left as it is, or when it cannot be written.
    """
    row = asdict(instance_of("timing", timing, Timing, "a Timing"))
    path = file_path("path", path)
    row["samples_ms"] = ";".join(f"{sample:.3f}" for sample in timing.samples_ms)
    _append(path, row)


def _append(path, *rows):
    try:
        Records(path, COLUMNS).append(*rows)
    except OSError as error:
        raise ValueError(f"csv_path: cannot write {str(path)!r}: {error.strerror}") from error
    except OtherColumns as error:
        raise ValueError(
            f"csv_path: {str(path)!r} has other columns than a Timing: {error.found}; give a new file"
        ) from error
