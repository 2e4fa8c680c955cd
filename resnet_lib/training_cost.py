"""What one step of training costs, in closed form: multiply-adds and memory. Pure Python; derived in notebook 05.

A step goes forward and back. Back, every convolution computes two things, the gradient for its weights and that for its input,
and each takes as many multiply-adds as the forward pass: a step is three forward passes, less the gradient for the images.
Memory: weights, a gradient and a momentum for each, and what the way back will read of the forward pass. That is what every
convolution, batch normalization, ReLU and max pooling needs for its gradient; `tf.gradients` reads the same tensors, which
tests hold equal.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .accounting import Layer, total, trace
from .architectures import Architecture, get_architecture
from .blocks import Block
from .checks import positive_int


class TrainingMemory(NamedTuple):
    """Bytes that a step of training must hold at once. Workspace and what a framework adds are not among them."""

    weights: int
    gradients: int
    momentum: int
    activations: int  # kept from the way forward for the way back, for the whole batch

    @property
    def total(self) -> int:
        """All of it."""
        return sum(self)


def training_macs(architecture: str | Architecture | list[Block], **changes: Any) -> int:
    """Multiply-adds of a step of training, for one image: three times those of the forward pass, less the gradient for the
    images, which nobody needs. Arguments are those of `accounting.trace`."""
    convolutions = [layer for layer in trace(architecture, **changes) if layer.kind == "conv"]
    return 3 * sum(layer.macs for layer in convolutions) - convolutions[0].macs


def kept_activations(architecture: str | Architecture | list[Block], **changes: Any) -> int:
    """How many numbers of the forward pass the backward pass will read, for one image. Arguments are those of `trace`."""
    net = get_architecture(architecture, **changes)
    layers = trace(net)
    names = {layer.name for layer in layers}
    before = layers[0]  # what a convolution reads: shortcuts stand beside the path
    kept = 0
    for layer in layers:
        kept += _kept(layer, before, net.version, f"{layer.name}/BatchNorm" in names)
        if "/shortcut" not in layer.name:
            before = layer
    return kept


def _kept(layer: Layer, before: Layer, version: int, normalized: bool) -> int:
    """What of this layer is read again: its output, its ReLU's, or the copy that it made of its input."""
    if layer.kind == "conv":
        read = normalized or layer.name == "conv1"  # by the max pooling, or by the first unit's BN
        return _copied(layer, before) + (layer.outputs if read else 0)
    if layer.kind == "batch_norm":
        return (
            0 if "/shortcut" in layer.name else layer.outputs
        )  # its ReLU's output; of the last one, that after the sum
    if layer.kind == "add":
        return layer.outputs if version == 2 else 0  # V2 normalizes the sum; V1 needs only its ReLU's output
    if layer.kind in ("max_pool", "global_pool"):
        return layer.outputs
    return 0


def _copied(layer: Layer, before: Layer) -> int:
    """What a convolution that strides reads in place of its input: `conv2d_same` pads it, or picks the pixels of a 1x1. The
    first one reads the images, which are kept too."""
    height, width = before.size_out
    if layer.stride > 1 and layer.kernel > 1:
        border = (layer.kernel - 1) * layer.rate
        return (height + border) * (width + border) * before.channels_out
    if layer.stride > 1:
        return layer.size_out[0] * layer.size_out[1] * before.channels_out
    return height * width * before.channels_out if before.kind == "input" else 0


def training_memory(
    architecture: str | Architecture | list[Block],
    batch_size: int = 32,
    bytes_per_number: int = 4,
    **changes: Any,
) -> TrainingMemory:
    """Memory of a step of momentum SGD on a batch: TrainingMemory. changes: as in `accounting.trace`; bytes_per_number: 4 for
    float32. Raises ValueError or TypeError naming the argument at fault."""
    batch_size = positive_int("batch_size", batch_size)
    weights = positive_int("bytes_per_number", bytes_per_number) * total(trace(architecture, **changes)).params
    activations = batch_size * bytes_per_number * kept_activations(architecture, **changes)
    return TrainingMemory(weights, weights, weights, activations)


def largest_batch(architecture: str | Architecture | list[Block], memory: int, **changes: Any) -> int:
    """The largest batch whose step of training fits into so many bytes, 0 if none does. changes: as in `training_memory`."""
    memory = positive_int("memory", memory)
    one = training_memory(architecture, 1, **changes)
    return max(0, memory - (one.total - one.activations)) // one.activations
