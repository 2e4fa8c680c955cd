"""How long a forward pass takes: measured, with every sample kept and the conditions in the same record.

A fair timing calls the network before it starts the clock, waits for the result, and reports the median. Notebook 08
explains why. The clock can be passed in, so the counting is tested without waiting.
"""

import csv
import functools
import os
import platform
import time
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path

import numpy as np
from tqdm import trange

from .checks import positive_int
from .tf_slim_compat import tf


@dataclass(frozen=True)
class Timing:
    """One measurement. Times are those of one batch, in milliseconds; tflops counts 2 FLOPs a MAC, in 10^12 a second.

    share_of_matmul is tflops over matmul_tflops, what this device reaches in one large matrix product. What was not
    measured is None; `error` says why a run gave no time.
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
    engine: str = "tf"
    precision: str = "float32"
    device: str = ""
    threads: int | None = None
    versions: str = ""
    date: str = ""
    samples_ms: tuple[float, ...] = ()


def _conditions():
    gpus = tf.config.list_physical_devices("GPU")
    device = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU") if gpus else cpu_name()
    return {
        "device": device,
        "threads": None if gpus else tf.config.threading.get_intra_op_parallelism_threads() or usable_cores(),
        "versions": f"tensorflow {tf.__version__}, python {platform.python_version()}",
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
    }


def cpu_name():
    """As the machine names its processor itself: str."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def usable_cores():
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _statistics(samples_ms, batch_size, macs):
    p10, median, p90 = (float(p) for p in np.percentile(samples_ms, [10, 50, 90]))
    record = {"median_ms": median, "p10_ms": p10, "p90_ms": p90, "samples_ms": tuple(samples_ms)}
    if batch_size:
        record["images_per_s"] = batch_size / (median / 1e3)
    if batch_size and macs:
        record["tflops"] = 2 * macs * batch_size / (median / 1e3) / 1e12
    return record


def _sample_ms(call, clock):
    start = clock()
    call()
    return (clock() - start) * 1e3


@functools.lru_cache
def matmul_tflops(size=2048, repeats=5):
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


def _checked_counts(num_batches, num_steps_burn_in):
    if num_steps_burn_in < 0:
        raise ValueError(f"num_steps_burn_in must be 0 or more, got {num_steps_burn_in}")
    return positive_int("num_batches", num_batches), num_steps_burn_in


def time_tensorflow_run(session, target, info_string, num_batches=100, num_steps_burn_in=10, clock=time.perf_counter):
    """Runs `target` in a Session as the source text does: prints every tenth step, then mean and spread; gives a Timing.

    session: a tf.compat.v1.Session; target: the tensor to compute; info_string: what to call it ("Forward").
    The first `num_steps_burn_in` runs warm up and are not counted. Raises ValueError for num_batches < 1.
    """
    num_batches, num_steps_burn_in = _checked_counts(num_batches, num_steps_burn_in)
    samples, first_call_ms = [], None
    for i in range(num_steps_burn_in + num_batches):
        duration_ms = _sample_ms(lambda: session.run(target), clock)
        first_call_ms = duration_ms if i == 0 else first_call_ms
        if i >= num_steps_burn_in:
            samples.append(duration_ms)
            if not (i - num_steps_burn_in) % 10:
                print(f"{datetime.now()}: step {i - num_steps_burn_in}, duration = {duration_ms / 1e3:.3f}")
    mean, spread = np.mean(samples) / 1e3, np.std(samples) / 1e3
    print(f"{datetime.now()}: {info_string} across {num_batches} steps, {mean:.3f} +/- {spread:.3f} sec / batch")
    batch_size = target.shape[0] if target.shape.rank else None
    return Timing(
        info_string, batch_size, first_call_ms=first_call_ms, engine="session",
        **_statistics(samples, batch_size, None), **_conditions(),
    )  # fmt: skip


def time_forward(
    network, batch_size=32, num_batches=10, num_steps_burn_in=2, csv_path=None, clock=time.perf_counter, progress=False
):
    """Times the forward pass of a `Network`, or of a frozen one, on one batch of random images: Timing.

    The first call is reported apart; then `num_steps_burn_in` calls warm up and `num_batches` are counted. csv_path: append
    the record there as one row, at once. A batch that does not fit in memory gives a Timing whose `error` says so.
    Raises ValueError for batch_size or num_batches < 1, and for a csv_path that holds other columns or cannot be written.
    """
    batch_size = positive_int("batch_size", batch_size)
    num_batches, num_steps_burn_in = _checked_counts(num_batches, num_steps_burn_in)
    _, height, width, _ = network.input_shape
    if height is None or width is None:
        raise ValueError("network must be built with an image_size to be timed, got one for images of any size")
    if csv_path is not None:
        _check_csv(csv_path)
    known = {"network": network.name, "batch_size": batch_size, "image_size": f"{height}x{width}"}
    known |= {name: getattr(network, name) for name in ("engine", "precision") if hasattr(network, name)}
    try:
        _check_memory(network, batch_size)
        measured = _measure(network, batch_size, num_batches, num_steps_burn_in, clock, progress)
    except (tf.errors.ResourceExhaustedError, MemoryError) as error:
        measured = {"error": f"out of memory: {str(error).splitlines()[0]}"}
    timing = Timing(**known, **measured, **_conditions())
    if csv_path is not None:
        append_row(csv_path, timing)
    return timing


def _measure(network, batch_size, num_batches, num_steps_burn_in, clock, progress):
    images = tf.random.stateless_uniform([batch_size, *network.input_shape[1:]], seed=(0, 0))

    def forward():
        network.forward(images).numpy()  # .numpy() waits until the result is there

    first_call_ms = _sample_ms(forward, clock)
    for _ in range(num_steps_burn_in):
        forward()
    steps = trange(num_batches, desc=network.name, unit="batch", disable=not progress, leave=False)
    samples = [_sample_ms(forward, clock) for _ in steps]
    macs = network.cost().macs
    record = _statistics(samples, batch_size, macs)
    rate = matmul_tflops()
    return {"first_call_ms": first_call_ms, "matmul_tflops": rate, "share_of_matmul": record["tflops"] / rate, **record}


def _check_memory(network, batch_size):
    """Raises MemoryError when even the widest single layer of the batch is larger than this machine's memory: left to run,
    the operating system would kill the whole process."""
    if tf.config.list_physical_devices("GPU") or not hasattr(os, "sysconf"):
        return
    needed, there = 4 * network.widest() * batch_size, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        raise MemoryError(f"one layer alone needs {needed / 2**30:.0f} GiB, this machine has {there / 2**30:.0f} GiB")


_COLUMNS = [field.name for field in fields(Timing)]


def _check_csv(path):
    """Raises ValueError when `path` cannot take a row: another header, or not writable. Done before anything is timed."""
    try:
        with open(path, "a+", newline="") as file:
            file.seek(0)
            header = next(csv.reader(file), None)
    except OSError as error:
        raise ValueError(f"csv_path: cannot write {path!r}: {error.strerror}") from error
    if header not in (None, _COLUMNS):
        raise ValueError(f"csv_path: {path!r} has other columns than a Timing: {header}; give a new file")


def append_row(path, timing):
    """Appends a Timing to a CSV file, with the header first if the file is new, in a single write."""
    _check_csv(path)
    row = asdict(timing)
    row["samples_ms"] = ";".join(f"{sample:.3f}" for sample in timing.samples_ms)
    with open(path, "a", newline="") as file:
        writer = csv.DictWriter(file, _COLUMNS)
        if file.tell() == 0:
            writer.writeheader()
        writer.writerow({name: f"{v:.6g}" if isinstance(v, float) else v for name, v in row.items()})
