"""What a forward pass must take at least on a device: its roofline (Williams et al. 2009, doi:10.1145/1498765.1498785).

A kernel computes, and it moves numbers between memory and processor. Neither can be faster than the device, so its time is at
least max(FLOPs / peak, bytes / bandwidth), and kernels run one after the other. Pure Python, no TensorFlow; what is read and
written is that of `traffic`. Derived and measured in notebook 08.
"""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any, NamedTuple

from .architectures import Architecture, get_architecture
from .blocks import Block
from .checks import height_and_width, instance_of, one_of, positive_int, real_number
from .traffic import Kernel, kernels

# Bytes of a number in memory. TensorFloat-32 is float32 there; only the multipliers round it.
BYTES = {"float32": 4, "tensorfloat32": 4, "bfloat16": 2, "float16": 2, "int8": 1}


class Device(NamedTuple):
    """What a device can do at most: tflops, 10^12 dense floating-point operations a second by precision; tb_per_s, 10^12 bytes
    a second to and from its memory; cache_mb, 10^6 bytes of its last-level cache; source: where that is said."""

    name: str
    tflops: Mapping[str, float]
    tb_per_s: float
    cache_mb: float
    source: str


_HOPPER = {"float32": 66.9, "tensorfloat32": 494.7, "bfloat16": 989.4, "float16": 989.4, "int8": 1978.9}
_ADA = {"float32": 82.6, "tensorfloat32": 82.6, "bfloat16": 165.2, "float16": 165.2, "int8": 660.6}
_AMPERE = {"float32": 19.5, "tensorfloat32": 156.0, "bfloat16": 312.0, "float16": 312.0, "int8": 624.0}
# Zen 4: two fused multiply-adds of 256 bits a cycle and core are 32 operations in float32, and twice as many in bfloat16; 8
# cores at their base clock of 3.3 GHz; two channels of DDR5-5600.
_ZEN_4 = {"float32": 8 * 3.3e9 * 32 / 1e12, "bfloat16": 8 * 3.3e9 * 64 / 1e12}
DEVICES = {
    device.name: device
    for device in (
        Device(
            "H200", _HOPPER, 4.8, 50, "NVIDIA H200 SXM; jax-ml/scaling-book, gpus.md; processor and cache of the H100"
        ),
        Device("H100", _HOPPER, 3.35, 50, "NVIDIA H100 SXM5; data sheet, half of what it states with sparsity"),
        Device("A100", _AMPERE, 2.039, 40, "NVIDIA A100 SXM4 80 GB; data sheet"),
        Device("V100", {"float32": 15.7, "float16": 125.0}, 0.9, 6, "NVIDIA Tesla V100 SXM2; data sheet"),
        Device("RTX 4090", _ADA, 1.008, 72, "NVIDIA GeForce RTX 4090; Ada architecture whitepaper, sums in float32"),
        Device("laptop", _ZEN_4, 2 * 8 * 5.6e9 / 1e12, 16, "AMD Ryzen 7 7840U; peaks worked out from its base clock"),
    )
}


class Bound(NamedTuple):
    """The bound of one kernel, for the whole batch: FLOPs and bytes, and the seconds that each of them takes at least."""

    kernel: Kernel
    flops: int
    bytes: int
    compute_s: float
    memory_s: float

    @property
    def seconds(self) -> float:
        """At least this long, where computing and moving overlap entirely."""
        return max(self.compute_s, self.memory_s)

    @property
    def limit(self) -> str:
        """What it waits for: "compute" or "memory"."""
        return "compute" if self.compute_s >= self.memory_s else "memory"


class Prediction(NamedTuple):
    """What `predict` found. memory: bytes that weights and the activations alive at once take at least."""

    network: str
    device: Device
    batch_size: int
    precision: str
    fused: str
    bounds: list[Bound]
    memory: int

    @property
    def seconds(self) -> float:
        """The bound of a batch: the sum of its kernels'."""
        return sum(bound.seconds for bound in self.bounds)

    @property
    def seconds_without_overlap(self) -> float:
        """The pessimistic figure: each kernel first moves and then computes, both at full speed."""
        return sum(bound.compute_s + bound.memory_s for bound in self.bounds)

    @property
    def images_per_s(self) -> float:
        """No engine that fuses as `fused` says can be faster on this device."""
        return self.batch_size / self.seconds

    def seconds_of(self, scope: str) -> float:
        """The bound of "root", of "classifier", of a block ("block1") or of a unit ("block1/unit_2"), for a batch. Raises
        ValueError for a scope that is none of the network's."""
        if scope in ("root", "classifier"):  # a Block may be called "root/1"; what a network lacks takes no time
            return sum(bound.seconds for bound in self.bounds if bound.kernel.group == scope)
        inside = [bound.seconds for bound in self.bounds if f"{bound.kernel.group}/".startswith(f"{scope}/")]
        if not inside:
            raise ValueError(
                f"scope must be 'root', 'classifier' or that of a block or a unit of {self.network}, got {scope!r}"
            )
        return sum(inside)

    @property
    def memory_bound_share(self) -> float:
        """How much of `seconds` is spent in kernels that wait for memory."""
        return sum(bound.seconds for bound in self.bounds if bound.limit == "memory") / self.seconds

    def __repr__(self) -> str:
        return (
            f"<Prediction {self.network} on {self.device.name}, batch {self.batch_size}, {self.precision}, "
            f"fused: {self.fused}; at least {1e3 * self.seconds:.3g} ms, at most {self.images_per_s:,.0f} images/s>"
        )


def predict(
    architecture: str | Architecture | list[Block],
    device: str | Device = "H200",
    batch_size: int = 32,
    precision: str = "float32",
    fused: str = "sum",
    in_cache: bool = False,
    **changes: Any,
) -> Prediction:
    """The least time of a forward pass: Prediction.

    device: one of DEVICES or a Device, such as `timing.this_machine()`; precision: one of BYTES that it has a peak for; fused:
    one of `traffic.FUSED`, what runs as one kernel; in_cache: whether what fits into the device's cache is kept there, so that
    only a tensor, or the weights together, larger than it go through memory. False takes memory for all, as a roofline is
    usually drawn; then it is no lower bound where much fits. changes: as in `accounting.trace`. FLOPs are 2 x MACs, so all but
    convolutions compute in no time.
    Raises ValueError or TypeError naming the argument at fault.
    """
    device = _checked_device(device)
    one_of("precision", precision, device.tflops)
    one_of("precision", precision, BYTES)
    one_of("in_cache", in_cache, (True, False))
    batch_size = positive_int("batch_size", batch_size)
    net = get_architecture(architecture, **changes)
    run = kernels(net, fused)
    number = BYTES[precision]
    cache = device.cache_mb * 1e6 if in_cache else 0
    sizes = _sizes(run, net)
    weights = number * sum(kernel.weights for kernel in run)
    bounds = []
    for kernel in run:
        flops = 2 * kernel.macs * batch_size
        through_memory = [n for tensor, n in kernel.reads.items() if number * batch_size * sizes[tensor] > cache]
        through_memory += [kernel.written] if number * batch_size * kernel.written > cache else []
        moved = number * (batch_size * sum(through_memory) + (kernel.weights if weights > cache else 0))
        compute_s, memory_s = flops / (device.tflops[precision] * 1e12), moved / (device.tb_per_s * 1e12)
        bounds.append(Bound(kernel, flops, moved, compute_s, memory_s))
    memory = weights + number * batch_size * _most_alive(run, sizes)
    return Prediction(net.name, device, batch_size, precision, fused, bounds, memory)


def _checked_device(device):
    """The Device of a name, or itself. Raises ValueError or TypeError naming the field that cannot be computed with."""
    if not isinstance(device, Device):
        try:
            return DEVICES[one_of("device", device, DEVICES)]
        except ValueError as error:
            raise ValueError(f"{error}; or give a Device, such as timing.this_machine()") from None
    instance_of("device.tflops", device.tflops, Mapping, "a dict, precision -> 10^12 operations a second")
    speeds = {f"device.tflops[{precision!r}]": speed for precision, speed in device.tflops.items()}
    for name, speed in {**speeds, "device.tb_per_s": device.tb_per_s}.items():
        if real_number(name, speed) == 0:
            raise ValueError(f"{name} must be more than 0, got {speed!r}")
    if not (isinstance(device.cache_mb, Real) and device.cache_mb >= 0):  # infinity keeps all in the cache
        raise ValueError(f"device.cache_mb must be a number >= 0, got {device.cache_mb!r}")
    return device


def _sizes(run: list[Kernel], net: Architecture) -> dict[str, int]:
    """Tensor -> its numbers for one image."""
    return {"images": _images(net)} | {kernel.writes: kernel.written for kernel in run}


def _images(net):
    height, width = height_and_width(net.image_size)
    return height * width * net.channels_in


def _most_alive(run: list[Kernel], sizes: Mapping[str, int]) -> int:
    """The most numbers of one image that must be held at once: what is written and will still be read."""
    last_read = {tensor: i for i, kernel in enumerate(run) for tensor in kernel.reads}
    alive = {"images"}
    most = 0
    for i, kernel in enumerate(run):
        alive.add(kernel.writes)
        most = max(most, sum(sizes[tensor] for tensor in alive))
        alive -= {tensor for tensor in alive if last_read.get(tensor, i) <= i}
    return most
