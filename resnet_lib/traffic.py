"""What a forward pass reads and writes, op by op: in closed form, from a network's description alone.

Pure Python, no TensorFlow. `accounting.trace` lists layers; here stands what each of them reads, with the ReLUs, which are no
layers there. All counts are numbers for one image, weights apart; `roofline` turns them into bytes and times. Tests hold what
is read and written without fusion equal to what the TensorFlow graph says of its ops.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from .accounting import by_unit, trace
from .architectures import Architecture, get_architecture
from .blocks import Block
from .checks import one_of
from .layers import Layer
from .units import SHORTCUTS_OF_2015, UnitKind

FUSED = ("none", "batch_norm", "sum", "unit")
COUNTED_SHORTCUTS = SHORTCUTS_OF_2015


class Kernel(NamedTuple):
    """One op, or several that run as one.

    group: the scope of its unit, "root" or "classifier"; weights: how many numbers it holds; reads: tensor -> how many numbers
    of it for one image; writes: the name of what it writes, written: how many numbers for one image.
    """

    name: str
    kind: str  # that of `layers.Layer`, "relu" or "sigmoid"
    group: str
    macs: int
    weights: int
    reads: Mapping[str, int]
    writes: str
    written: int

    @property
    def moved(self) -> int:
        """Numbers read and written for one image, without weights."""
        return sum(self.reads.values()) + self.written


def kernels(architecture: str | Architecture | list[Block], fused: str = "none", **changes: Any) -> list[Kernel]:
    """The kernels of a forward pass in order, of which the first reads "images". changes: as in `accounting.trace`.

    fused: "none", each op by itself, where padding and biases belong to their convolution; "batch_norm", batch norms and ReLUs
    are applied where a number is written or read anyway; "sum", the last convolution of a unit adds the shortcut to what it
    writes, and subsampling and padding with zeros cost nothing; "unit", a whole unit runs as one and what is within it never
    reaches memory, nor what is between the root and its pooling. Whatever the convolution, a pixel is read once.
    Raises ValueError for another one, for the shortcuts of He et al. 2016 (section 3.1), for units without an ordering, and
    what `accounting.trace` does.
    """
    one_of("fused", fused, FUSED)
    net = get_architecture(architecture, **changes)
    one_of("shortcut", net.shortcut, COUNTED_SHORTCUTS)
    single = _Flow(net).kernels
    if fused == "none":
        return single
    merged = _without(single, ("batch_norm", "relu", "sigmoid"))
    if fused == "batch_norm":
        return merged
    merged = _with_sums(_without(merged, ("subsample", "zero_pad")))
    return merged if fused == "sum" else _by_group(merged)


class _Value(NamedTuple):
    """What a layer puts out: the name of the tensor, and the layer, which knows its shape."""

    tensor: str
    layer: Layer


class _Flow:
    """Follows an image through a network; `kernels`: one for each op."""

    def __init__(self, net: Architecture):
        self.kernels: list[Kernel] = []
        images, *layers = trace(net)
        x = _Value("images", images)
        self._group = "root"
        for unit, own in by_unit(net, layers):
            if unit:
                self._group = unit.scope
                x = self._unit(x, own, unit.kind)
            else:
                self._group = "classifier" if self._group != "root" else "root"
                x = self._straight(x, own)

    def _straight(self, x, layers):
        """The root, or the end: each layer reads the one before, and a ReLU follows a batch norm."""
        for layer in layers:
            x = self._add(layer, x)
            if layer.kind == "batch_norm":
                x = self._pointwise("relu", x)
        return x

    def _unit(self, x: _Value, layers: list[Layer], kind: UnitKind) -> _Value:
        first, last, after, _ = kind.ordering
        scope = self._group
        start = self._add(layers.pop(0), x) if "BN" in first else x
        if "ReLU" in first:
            start = self._pointwise("relu", start)
        shortcut, net, gate = x, start, None
        convolutions = sum(layer.kind == "conv" and layer.name.startswith(f"{scope}/conv") for layer in layers)
        for layer in layers:
            part = layer.name[len(scope) + 1 :]  # nothing of the sum, whose name is the scope
            if part.startswith("shortcut"):
                shortcut = self._add(layer, start if layer.kind == "conv" else shortcut)
            elif part.startswith("squeeze"):
                gate = self._gate(layer, net if gate is None else gate)
            elif layer.kind == "multiply":
                net = self._add(layer, net, gate)
            elif layer.kind == "add":
                net = self._add(layer, shortcut, net)
            else:
                net = self._add(layer, net)
                if layer.kind == "batch_norm" and part.startswith("conv"):
                    is_last = part == f"conv{convolutions}/BatchNorm"
                    net = self._pointwise("relu", net) if not is_last or "ReLU" in last else net
        return self._pointwise("relu", net) if "ReLU" in after else net

    def _gate(self, layer, x):
        """A layer of the gate of a squeeze-and-excitation unit, with what follows it."""
        x = self._add(layer, x)
        return self._pointwise("sigmoid" if layer.name.endswith("conv2") else "relu", x) if layer.kind == "conv" else x

    def _add(self, layer: Layer, *inputs: _Value) -> _Value:
        kind = "subsample" if layer.kind == "max_pool" and layer.kernel == 1 else layer.kind
        # A batch norm holds gamma, beta, mean and variance; the last two are no trainable parameters.
        weights = 2 * layer.params if kind == "batch_norm" else layer.params
        reads = {x.tensor: _numbers_read(layer, x.layer) for x in inputs}
        name = f"{layer.name}/{kind}" if kind in ("subsample", "zero_pad") else layer.name
        self.kernels.append(Kernel(name, kind, self._group, layer.macs, weights, reads, name, layer.outputs))
        return _Value(name, layer)

    def _pointwise(self, kind: str, x: _Value) -> _Value:
        name, numbers = f"{x.tensor}/{kind}", x.layer.outputs
        self.kernels.append(Kernel(name, kind, self._group, 0, 0, {x.tensor: numbers}, name, numbers))
        return _Value(name, x.layer)


def _numbers_read(layer: Layer, x: Layer) -> int:
    """How many numbers of x a layer needs: where its window is smaller than its stride, not all of them."""
    if layer.kind not in ("conv", "max_pool"):
        return x.outputs
    height, width = (min(size, layer.kernel * out) for size, out in zip(x.size_out, layer.size_out, strict=True))
    return height * width * x.channels_out


def _without(kernels: list[Kernel], kinds: tuple[str, ...]) -> list[Kernel]:
    """The others, which do the work of these as they read and write."""
    readers = Counter(tensor for kernel in kernels for tensor in kernel.reads)
    kept: dict[str, Kernel] = {}  # by what they write
    # Of what is not written any more: what is read instead, and how much at most.
    source: dict[str, tuple[str, int]] = {}
    waiting: Counter[str] = Counter()  # weights for the first that reads the images
    for kernel in kernels:
        reads = {}
        for tensor, numbers in kernel.reads.items():
            name, most = source.get(tensor, (tensor, numbers))
            reads[name] = max(reads.get(name, 0), min(numbers, most))
        if kernel.kind not in kinds:
            weights = kernel.weights + sum(waiting.pop(name, 0) for name in reads)
            kept[kernel.writes] = kernel._replace(reads=reads, weights=weights)
            continue
        ((name, numbers),) = reads.items()
        source[kernel.writes] = name, numbers
        if not kernel.weights:
            continue
        (read,) = kernel.reads
        folded = name in kept and kept[name].kind == "conv" and readers[read] == 1
        # Into the weights before it, and a bias is left; else a factor and a term are.
        weights = kernel.weights // 4 if folded else kernel.weights // 2
        if name in kept:
            kept[name] = kept[name]._replace(weights=kept[name].weights + weights)
        else:
            waiting[name] += weights
    return list(kept.values())


def _with_sums(kernels: list[Kernel]) -> list[Kernel]:
    """Sums are made by what computes the residual."""
    kept: dict[str, Kernel] = {}
    for kernel in kernels:
        if kernel.kind == "add":
            *_, residual = kernel.reads
            last = kept.pop(residual)
            reads = {**last.reads, **{name: n for name, n in kernel.reads.items() if name != residual}}
            kernel = last._replace(reads=reads, writes=kernel.writes, written=kernel.written)
        kept[kernel.writes] = kernel
    return list(kept.values())


def _by_group(kernels: list[Kernel]) -> list[Kernel]:
    """One for each group: it reads what comes from outside, and writes what leaves."""
    groups: dict[str, list[Kernel]] = {}
    for kernel in kernels:
        groups.setdefault(kernel.group, []).append(kernel)
    merged = []
    for name, own in groups.items():
        inside = {kernel.writes for kernel in own}
        reads: dict[str, int] = {}
        for tensor, numbers in ((t, n) for kernel in own for t, n in kernel.reads.items() if t not in inside):
            reads[tensor] = max(reads.get(tensor, 0), numbers)
        macs, weights = sum(kernel.macs for kernel in own), sum(kernel.weights for kernel in own)
        merged.append(Kernel(name, "unit", name, macs, weights, reads, own[-1].writes, own[-1].written))
    return merged
