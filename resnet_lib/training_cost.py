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
from .checks import one_of, positive_int
from .units import ORDERINGS, SHORTCUTS_OF_2015, SqueezeUnit, unit_kind


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
    """How many numbers of the forward pass the backward pass will read, for one image. Arguments are those of `trace`.

    For units of V1 and V2 with the shortcuts of He et al. 2015 or none. Raises ValueError for other orderings, for squeeze-and-
    excitation, gates and dropout, and for an output_stride, for which this has no closed form.
    """
    net = get_architecture(architecture, **changes)
    _check(net)
    layers = trace(net)
    names = {layer.name for layer in layers}
    sums = net.shortcut != "none"
    before = layers[0]  # what a convolution reads: shortcuts stand beside the path
    kept = 0
    for layer in layers:
        kept += _copied(layer, before) + _read_again(layer, net.version, sums, f"{layer.name}/BatchNorm" in names)
        if not layer.on_shortcut:
            before = layer
    return kept


def _check(net: Architecture) -> None:
    for block in net.blocks:
        kind = unit_kind(block.unit_fn)
        known = kind.ordering and kind.ordering._replace(shared=False) in (ORDERINGS["v1"], ORDERINGS["v2"])
        if not known or kind.shape is SqueezeUnit:
            raise ValueError(
                f"what training keeps has a closed form for units of V1 and V2 alone, got kind {kind.name!r}"
            )
    one_of("shortcut", net.shortcut, SHORTCUTS_OF_2015)
    if net.output_stride is not None:
        raise ValueError(f"output_stride: what training keeps has no closed form with one, got {net.output_stride}")


def _read_again(layer: Layer, version: int, sums: bool, normalized: bool) -> int:
    """Of what this layer and the ReLU after it write: what the backward pass reads. sums: whether units end with one."""
    if layer.kind == "conv":
        # By its BN; by the max pooling or the first BN after the root; by the next unit's BN, in V2 without sums.
        by_batch_norm = normalized or layer.name == "conv1" or (version == 2 and not sums and layer.name != "logits")
        return layer.outputs if by_batch_norm else 0
    if layer.kind == "batch_norm" and not layer.on_shortcut:
        return layer.outputs  # of its ReLU; in V1, for the last BN of a unit, of the ReLU after the sum
    if layer.kind == "add" and version == 2:
        return layer.outputs  # V2 normalizes the sum; V1 needs only its ReLU's output
    return layer.outputs if layer.kind in ("max_pool", "global_pool") else 0


def _copied(layer: Layer, before: Layer) -> int:
    """What a convolution that strides reads in place of its input: `conv2d_same` pads it, or picks the pixels of a 1x1. The
    first one reads the images, which are kept too."""
    if layer.kind != "conv":
        return 0
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
