"""What a network costs, in closed form: from its description alone, without TensorFlow.

Conventions. One multiply-add is one MAC; FLOPs = 2 x MACs; what He et al. 2015 call FLOPs are MACs. MACs are those of the
convolutions (the classifier is one: a 1x1 convolution), per image; biases, batch normalization, ReLU, pooling and additions
count as none. Parameters are the trainable ones: weights, biases, and gamma and beta of each batch normalization.

`graph_cost` counts the same things a second way, off the TensorFlow graph; tests hold the two equal. Derived in notebook 05.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import groupby
from typing import Any, NamedTuple

from . import other_nets
from .architectures import OWN, Architecture, get_architecture
from .blocks import Block
from .checks import height_and_width
from .layers import Layer, addition, batch_norm, convolution, global_pool, input_layer, pointwise, window
from .other_nets import OTHER_NETS
from .units import AnyUnit, UnitKind, check_identity, unit_kind


class Cost(NamedTuple):
    """Totals for one image: trainable parameters, MACs, and the activations that convolutions write."""

    params: int
    macs: int
    activations: int


# What the shortcuts of He et al. 2016, Fig. 2, multiply the identity and the residual by; g is the gate, a 1x1 convolution
# and a sigmoid.
FACTORS = {
    "scaling": ("0.5", "0.5"),
    "exclusive_gating": ("1 - g", "g"),
    "shortcut_only_gating": ("1 - g", None),
    "dropout": ("dropout", None),
}


def _shortcut(x, preact, unit, shortcut, version, scope):
    """The layers of the shortcut, possibly none (the identity). V2 projects what is pre-activated; V1 normalizes after."""
    name = f"{scope}/shortcut"
    check_identity(shortcut, x.channels_out, unit.depth, scope)
    if shortcut == "C" or (shortcut == "B" and unit.depth != x.channels_out):
        projection = convolution(preact, name, unit.depth, 1, unit.stride, bias=version == 2)
        return [projection] if version == 2 else [projection, batch_norm(projection, f"{name}/BatchNorm")]
    layers = [window(x, name, "max_pool", 1, unit.stride)] if unit.stride > 1 else []
    if unit.depth != x.channels_out:
        layers.append(pointwise((layers or [x])[-1], name, "zero_pad", channels_out=unit.depth))
    if shortcut in FACTORS:
        identity, factor = (layers or [x])[-1], FACTORS[shortcut][0]
        if "g" in factor:
            layers.append(convolution(x, f"{scope}/gate", unit.depth, 1, unit.stride, bias=True))
        layers.append(pointwise(identity, f"{name}/{factor}", "multiply"))
    return layers


def _squeeze(net, depth_squeeze, scope):
    """The gate of a squeeze-and-excitation unit (Hu et al. 2018, equations 2 to 4): mean, two layers, and the product."""
    mean = global_pool(net, f"{scope}/squeeze")
    first = convolution(mean, f"{scope}/squeeze/conv1", depth_squeeze, 1, bias=True)
    second = convolution(first, f"{scope}/squeeze/conv2", net.channels_out, 1, bias=True)
    return [mean, first, second, pointwise(net, f"{scope}/residual/s", "multiply")]


def _residual(start, kind, unit, scope, stride_in, rate, dense):
    """The layers of the residual path: convolutions, the BNs between and after them, and the gate if there is one."""
    layers = []
    net = start
    convolutions = unit.convolutions(stride_in)
    for i, (kernel, channels, stride, groups) in enumerate(convolutions, 1):
        normalized = i < len(convolutions) or "BN" in kind.ordering.last
        # Where no BN follows, not even after the sum, a bias does the work of its beta.
        bias = not normalized and "BN" not in kind.ordering.after
        step = 1 if dense else stride
        net = convolution(net, f"{scope}/conv{i}", channels, kernel, step, rate if kernel > 1 else 1, bias, groups)
        layers.append(net)
        if dense:
            rate *= stride  # what follows reads every stride-th pixel, so its holes are that much wider
        if normalized:
            net = batch_norm(net, f"{scope}/conv{i}/BatchNorm")
            layers.append(net)
    if unit.depth_squeeze:
        layers += _squeeze(net, unit.depth_squeeze, scope)
    return layers


def unit_layers(
    x: Layer,
    kind: str | UnitKind,
    unit: AnyUnit,
    scope: str,
    shortcut: str = "B",
    stride_in: str = "3x3",
    rate: int = 1,
    dense: bool = False,
) -> list[Layer]:
    """The layers of one unit that follows the layer x: list of Layer. The sum is of kind "add"; a plain unit has none.

    BN stands where the kind's Ordering puts it (`units.ORDERINGS`; He et al. 2016, Fig. 4); ReLUs are not layers here.
    dense: the unit does not stride; what follows its stride has holes that much wider instead. rate: of the holes before it.
    """
    kind = unit_kind(kind)
    layers = [batch_norm(x, f"{scope}/preact")] if "BN" in kind.ordering.first else []
    start = (layers or [x])[-1]
    around = []
    if shortcut != "none":
        around = _shortcut(x, start, unit._replace(stride=1) if dense else unit, shortcut, kind.version, scope)
    layers += around
    layers += _residual(start, kind, unit, scope, stride_in, rate, dense)
    net = layers[-1]
    if shortcut in FACTORS and FACTORS[shortcut][1]:
        net = pointwise(net, f"{scope}/residual/{FACTORS[shortcut][1]}", "multiply")
        layers.append(net)
    if shortcut != "none":
        net = addition((around or [x])[-1], net, scope)
        layers.append(net)
    return [*layers, batch_norm(net, f"{scope}/postnorm")] if "BN" in kind.ordering.after else layers


def _placed(net):
    """Yields (block, i, unit, rate, dense). Once the output stride is reached, units keep the resolution and widen the holes
    of their 3x3 (rate) by the strides that they do not take: atrous convolution."""
    output_stride = net.blocks_stride
    current_stride, rate = 1, 1
    for block in net.blocks:
        for i, unit in enumerate(block.args, 1):
            dense = current_stride == output_stride
            yield block, i, unit, rate, dense
            if dense:
                rate *= unit.stride
            else:
                current_stride *= unit.stride


def _root_layers(images, net):
    """The root's convolution, with its BN in V1, and its pooling; nothing where there is no root."""
    if not net.root:
        return
    conv = convolution(images, "conv1", net.root.depth, net.root.kernel_size, net.root.stride, bias=net.version == 2)
    yield conv
    if net.version == 1:
        yield batch_norm(conv, "conv1/BatchNorm")
    if net.root.pool_stride > 1:
        yield window(conv, "pool1", "max_pool", 3, net.root.pool_stride, same=net.root_pooling == "SAME")


def _counted_kind(block: Block) -> UnitKind:
    kind = unit_kind(block.unit_fn)
    if kind.ordering is None:
        raise ValueError(
            f"units of kind {kind.name!r} (Block {block.scope!r}) have no closed form; build the network and count its "
            "graph: build(...).cost()"
        )
    return kind


def trace(
    architecture: str | Architecture | list[Block],
    image_size: int | tuple[int, int] | str = OWN,
    num_classes: int | str | None = OWN,
    **changes: Any,
) -> list[Layer]:
    """The layers of a network in order, each with its size, parameters, MACs and receptive field: list of Layer.

    architecture: a name, an Architecture or a list of Blocks; image_size: one number or (height, width);
    num_classes: None leaves the classifier out. "own" is what the network was designed for: 224 and 1000, for the CIFAR
    networks 32 and 10. changes: channels_in, global_pool, output_stride, layout (which named network has which: `cost`),
    shortcut, as in `architectures.get_architecture`. Names are those of the graph below the network's own scope
    ("block1/unit_1/bottleneck_v2/conv1"). Raises ValueError or TypeError naming the argument at fault.
    """
    return list(_layers(get_architecture(architecture, image_size, num_classes, **changes)))


@lru_cache(maxsize=16)
def _layers(net: Architecture) -> tuple[Layer, ...]:
    """The layers of `trace`, kept for who asks again: a page asks for costs, memory and time, all of one network."""
    layers = [input_layer("images", height_and_width(net.image_size), net.channels_in)]
    layers += _root_layers(layers[0], net)
    for block, i, unit, rate, dense in _placed(net):
        kind = _counted_kind(block)
        scope = f"{block.scope}/unit_{i}/{kind.name}"
        layers += unit_layers(layers[-1], kind, unit, scope, net.shortcut, net.stride_in, rate, dense)
    if net.version == 2:
        layers.append(batch_norm(layers[-1], "postnorm"))
    if net.global_pool:
        layers.append(global_pool(layers[-1], "pool5"))
    if net.num_classes is not None:
        layers.append(convolution(layers[-1], "logits", net.num_classes, 1, bias=True))
    return tuple(layers)


def cost(
    architecture: str | Architecture | list[Block],
    image_size: int | tuple[int, int] | str = OWN,
    num_classes: int | str | None = OWN,
    **changes: Any,
) -> Cost:
    """Trainable parameters, MACs and activations of a network, per image: Cost. Arguments are those of `trace`.

    A named network has the stride layout of its source: ResNet V1 and V2 of 50 to 200 layers "slim", ResNeXt and the wide one
    "v1.5", the others "paper". Compare them in one: layout="paper" gives resnet_v1_50 11 % more MACs.

    A network of `other_nets.OTHER_NETS` ("vgg_16", ...) has no closed form: its graph is built and counted, which loads
    TensorFlow.
    """
    if isinstance(architecture, str) and architecture in OTHER_NETS:
        return Cost(*other_nets.count(architecture, image_size, num_classes, **changes))
    return total(trace(architecture, image_size, num_classes, **changes))


class PlacedUnit(NamedTuple):
    """A unit of a network: the scope that its layers' names begin with, its kind, and the number of its block, from 0."""

    scope: str
    kind: UnitKind
    block: int


def by_unit(net: Architecture, layers: list[Layer]) -> list[tuple[PlacedUnit | None, list[Layer]]]:
    """The layers of `trace`, unit by unit, in order; None for what stands before all units or after them."""
    kinds = [unit_kind(block.unit_fn) for block in net.blocks]
    units = [
        PlacedUnit(f"{block.scope}/unit_{i}/{kind.name}", kind, number)
        for number, (block, kind) in enumerate(zip(net.blocks, kinds, strict=True))
        for i in range(1, len(block.args) + 1)
    ]
    of_scope = {unit.scope: unit for unit in units}

    def unit_around(layer):
        scope = layer.name
        while scope and scope not in of_scope:
            scope, _, _ = scope.rpartition("/")
        return of_scope.get(scope)

    return [(unit, list(own)) for unit, own in groupby(layers, unit_around)]


def total(layers: list[Layer]) -> Cost:
    """What a list of layers costs together."""
    return Cost(
        params=sum(layer.params for layer in layers),
        macs=sum(layer.macs for layer in layers),
        activations=sum(layer.outputs for layer in layers if layer.kind == "conv"),
    )
