"""What a network costs, in closed form: from its description alone, without TensorFlow.

Conventions. One multiply-add is one MAC; FLOPs = 2 x MACs; what He et al. 2015 call FLOPs are MACs. MACs are those of the
convolutions (the classifier is one: a 1x1 convolution), per image; biases, batch normalization, ReLU, pooling and additions
count as none. Parameters are the trainable ones: weights, biases, and gamma and beta of each batch normalization.

`graph_cost` counts the same things a second way, off the TensorFlow graph; tests hold the two equal. Derived in notebook 05.
"""

from typing import NamedTuple

from .architectures import (
    OWN,
    BasicUnit,
    blocks_output_stride,
    check_identity,
    check_reachable,
    get_architecture,
    unit_kind,
    unit_ordering,
)
from .checks import height_and_width, positive_int


class Layer(NamedTuple):
    """One layer: what it is, what comes out of it, and what it costs.

    size_out is (height, width); receptive_field is the side, in input pixels, of the square that one output number
    sees (it may be larger than the image); effective_stride is the distance, in input pixels, between neighbouring
    outputs; effective_padding is how many pixels above and left of the image the square of the first output begins.
    """

    name: str
    kind: str  # "input", "conv", "batch_norm", "max_pool", "zero_pad", "multiply", "add" or "global_pool"
    kernel: int
    stride: int
    rate: int
    size_out: tuple[int, int]
    channels_out: int
    params: int
    macs: int
    receptive_field: int
    effective_stride: int
    effective_padding: tuple[int, int]

    @property
    def outputs(self):
        """How many numbers the layer writes for one image: height x width x channels."""
        return self.size_out[0] * self.size_out[1] * self.channels_out


class Cost(NamedTuple):
    """Totals for one image: trainable parameters, MACs, and the numbers that convolutions write."""

    params: int
    macs: int
    activations: int


def _same_padding(size, kernel, stride):
    """Zeros that TensorFlow's SAME puts before the image: none at a stride of 2 over an even size."""
    return max((-(-size // stride) - 1) * stride + kernel - size, 0) // 2


def _window(x, name, kind, kernel, stride, rate=1, **changed):
    """A layer that slides a kernel x kernel window over x: ceil(size / stride) positions a side."""
    if kind == "max_pool":
        before = [_same_padding(size, kernel, stride) for size in x.size_out]
    else:  # as conv2d_same pads, whatever the stride
        before = [(kernel - 1) * rate // 2] * 2
    return x._replace(
        name=name,
        kind=kind,
        kernel=kernel,
        stride=stride,
        rate=rate,
        size_out=(-(-x.size_out[0] // stride), -(-x.size_out[1] // stride)),
        receptive_field=x.receptive_field + (kernel - 1) * rate * x.effective_stride,
        effective_stride=x.effective_stride * stride,
        effective_padding=tuple(
            sum_before + pixels * x.effective_stride
            for sum_before, pixels in zip(x.effective_padding, before, strict=True)
        ),
        **{"params": 0, "macs": 0, **changed},
    )


def _conv(x, name, channels, kernel, stride=1, rate=1, bias=False):
    weights = kernel * kernel * x.channels_out * channels
    y = _window(x, name, "conv", kernel, stride, rate, channels_out=channels, params=weights + bias * channels)
    return y._replace(macs=weights * y.size_out[0] * y.size_out[1])


def _pointwise(x, name, kind, **changed):
    """A layer that works on every number, or every pixel, by itself."""
    return x._replace(name=name, kind=kind, kernel=1, stride=1, rate=1, **{"params": 0, "macs": 0, **changed})


def _batch_norm(x, name):
    return _pointwise(x, name, "batch_norm", params=2 * x.channels_out)


def _add(shortcut, residual, name):
    """The sum sees what the wider-sighted of the two sees; both squares have one centre."""
    wider = max(residual, shortcut, key=lambda layer: layer.receptive_field)
    return _pointwise(wider, name, "add")


def _global_pool(x, name):
    """Averages over the image, and so sees (size - 1) steps further; the longer side counts."""
    longer = max(x.size_out)
    return x._replace(
        name=name, kind="global_pool", kernel=longer, stride=1, rate=1, size_out=(1, 1), params=0, macs=0,
        receptive_field=x.receptive_field + (longer - 1) * x.effective_stride,
    )  # fmt: skip


def unit_convolutions(unit, stride_in="3x3"):
    """The convolutions on the residual path of a unit: list of (kernel, channels, stride)."""
    if isinstance(unit, BasicUnit):
        return [(3, unit.depth, unit.stride), (3, unit.depth, 1)]
    first, middle = (unit.stride, 1) if stride_in == "1x1" else (1, unit.stride)
    return [(1, unit.depth_bottleneck, first), (3, unit.depth_bottleneck, middle), (1, unit.depth, 1)]


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
        projection = _conv(preact, name, unit.depth, 1, unit.stride, bias=version == 2)
        return [projection] if version == 2 else [projection, _batch_norm(projection, f"{name}/BatchNorm")]
    layers = [_window(x, name, "max_pool", 1, unit.stride)] if unit.stride > 1 else []
    if unit.depth != x.channels_out:
        layers.append(_pointwise((layers or [x])[-1], name, "zero_pad", channels_out=unit.depth))
    if shortcut in FACTORS:
        identity, factor = (layers or [x])[-1], FACTORS[shortcut][0]
        layers += [_conv(x, f"{scope}/gate", unit.depth, 1, unit.stride, bias=True)] if "g" in factor else []
        layers.append(_pointwise(identity, f"{name}/{factor}", "multiply"))
    return layers


def unit_layers(x, kind, unit, scope, shortcut="B", stride_in="3x3", rate=1, dilation=1):
    """The layers of one unit that follows the layer x: list of Layer. The sum is of kind "add"; a plain unit has none.

    BN stands where the kind's Ordering puts it (`architectures.ORDERINGS`; He et al. 2016, Fig. 4); ReLUs are no layers.
    rate: of the 3x3 that strides, or would stride; dilation: the stride it would have, which widens what follows.
    """
    ordering = unit_ordering(kind)
    version = 2 if ordering.first else 1
    layers = [_batch_norm(x, f"{scope}/preact")] if "BN" in ordering.first else []
    start = (layers or [x])[-1]
    around = [] if shortcut == "none" else _shortcut(x, start, unit, shortcut, version, scope)
    layers += around
    net, convolutions, rates = start, unit_convolutions(unit, stride_in), [rate]
    for i, (kernel, channels, stride) in enumerate(convolutions, 1):
        normalized = i < len(convolutions) or "BN" in ordering.last
        # Where no BN follows, not even behind the sum, a bias does the work of its beta.
        bias = not normalized and "BN" not in ordering.after
        strided = i == (2 if kind.startswith("bottleneck") and stride_in == "3x3" else 1)
        net = _conv(net, f"{scope}/conv{i}", channels, kernel, stride, rates[-1] if kernel > 1 else 1, bias=bias)
        layers.append(net)
        if strided:
            rates.append(rate * dilation)
        if normalized:
            net = _batch_norm(net, f"{scope}/conv{i}/BatchNorm")
            layers.append(net)
    if shortcut in FACTORS and FACTORS[shortcut][1]:
        net = _pointwise(net, f"{scope}/residual/{FACTORS[shortcut][1]}", "multiply")
        layers.append(net)
    if shortcut != "none":
        net = _add((around or [x])[-1], net, scope)
        layers.append(net)
    return [*layers, _batch_norm(net, f"{scope}/postnorm")] if "BN" in ordering.after else layers


def _placed(blocks, output_stride):
    """Yields (block, i, unit, rate, dilation) with the stride each unit really takes. Once `output_stride` is reached,
    units keep the resolution (stride 1) and widen the holes of their 3x3 (rate) instead: atrous convolution."""
    check_reachable(output_stride, [unit.stride for block in blocks for unit in block.args])
    current_stride, rate = 1, 1
    for block in blocks:
        for i, unit in enumerate(block.args, 1):
            if current_stride == output_stride:
                yield block, i, unit._replace(stride=1), rate, unit.stride
                rate *= unit.stride
            else:
                yield block, i, unit, 1, 1
                current_stride *= unit.stride


def trace(architecture, image_size=OWN, num_classes=OWN, channels_in=3, global_pool=True, output_stride=None, layout=None,
          shortcut=None):  # fmt: skip
    """The layers of a network in order, each with its size, parameters, MACs and receptive field: list of Layer.

    architecture: a name, an Architecture or a list of Blocks; image_size: one number or (height, width);
    num_classes: None leaves the classifier out. "own" is what the network was designed for: 224 and 1000, for the CIFAR
    networks 32 and 10. global_pool, output_stride: as in `resnet_v2.resnet_v2`. layout: "paper", "v1.5" or "slim",
    shortcut: one of `architectures.SHORTCUTS`; None takes the network's own. Names are those of the graph below the network's
    own scope ("block1/unit_1/bottleneck_v2/conv1").
    Raises ValueError or TypeError naming the argument at fault.
    """
    net = get_architecture(architecture, layout, shortcut)
    size = height_and_width(net.image_size if image_size == OWN else image_size)
    channels_in = positive_int("channels_in", channels_in)
    layers = [Layer("images", "input", 1, 1, 1, size, channels_in, 0, 0, 1, 1, (0, 0))]
    blocks_stride = blocks_output_stride(output_stride, net.root)
    if net.root:
        layers.append(
            _conv(layers[-1], "conv1", net.root.depth, net.root.kernel_size, net.root.stride, bias=net.version == 2)
        )
        if net.version == 1:
            layers.append(_batch_norm(layers[-1], "conv1/BatchNorm"))
        if net.root.pool_stride > 1:
            layers.append(_window(layers[-1], "pool1", "max_pool", 3, net.root.pool_stride))
    for block, i, unit, rate, dilation in _placed(net.blocks, blocks_stride):
        kind = unit_kind(block.unit_fn)
        scope = f"{block.scope}/unit_{i}/{kind}"
        layers += unit_layers(layers[-1], kind, unit, scope, net.shortcut, net.stride_in, rate, dilation)
    if net.version == 2:
        layers.append(_batch_norm(layers[-1], "postnorm"))
    if global_pool:
        layers.append(_global_pool(layers[-1], "pool5"))
    if num_classes is not None:
        num_classes = positive_int("num_classes", net.num_classes if num_classes == OWN else num_classes)
        layers.append(_conv(layers[-1], "logits", num_classes, 1, bias=True))
    return layers


def cost(architecture, image_size=OWN, num_classes=OWN, **options):
    """Trainable parameters, MACs and activations of a network, per image: Cost. Arguments are those of `trace`."""
    layers = trace(architecture, image_size, num_classes, **options)
    return Cost(
        params=sum(layer.params for layer in layers),
        macs=sum(layer.macs for layer in layers),
        activations=sum(layer.outputs for layer in layers if layer.kind == "conv"),
    )
