"""What a network costs, in closed form: from its description alone, without TensorFlow.

Conventions. One multiply-add is one MAC; FLOPs = 2 x MACs; what He et al. 2015 call FLOPs are MACs. MACs are those of the
convolutions (the classifier is one: a 1x1 convolution), per image; biases, batch normalization, ReLU, pooling and additions
count as none. Parameters are the trainable ones: weights, biases, and gamma and beta of each batch normalization.

`graph_cost` counts the same things a second way, off the TensorFlow graph; tests hold the two equal. Derived in notebook 05.
"""

from typing import NamedTuple

from .architectures import (
    blocks_output_stride,
    check_reachable,
    get_architecture,
    height_and_width,
    positive_int,
    unit_kind,
)


class Layer(NamedTuple):
    """One layer: what it is, what comes out of it, and what it costs.

    size_out is (height, width); receptive_field is the side, in input pixels, of the square that one output number
    sees (it may be larger than the image); effective_stride is the distance, in input pixels, between neighbouring outputs.
    """

    name: str
    kind: str  # "input", "conv", "batch_norm", "max_pool", "add" or "global_pool"
    kernel: int
    stride: int
    rate: int
    size_out: tuple[int, int]
    channels_out: int
    params: int
    macs: int
    receptive_field: int
    effective_stride: int

    @property
    def outputs(self):
        """How many numbers the layer writes for one image: height x width x channels."""
        return self.size_out[0] * self.size_out[1] * self.channels_out


class Cost(NamedTuple):
    """Totals for one image: trainable parameters, MACs, and the numbers that convolutions write."""

    params: int
    macs: int
    activations: int


def _window(x, name, kind, kernel, stride, rate=1, **changed):
    """A layer that slides a kernel x kernel window over x: ceil(size / stride) positions a side, SAME-like padding."""
    return x._replace(
        name=name,
        kind=kind,
        kernel=kernel,
        stride=stride,
        rate=rate,
        size_out=(-(-x.size_out[0] // stride), -(-x.size_out[1] // stride)),
        receptive_field=x.receptive_field + (kernel - 1) * rate * x.effective_stride,
        effective_stride=x.effective_stride * stride,
        **{"params": 0, "macs": 0, **changed},
    )


def _conv(x, name, channels, kernel, stride=1, rate=1, bias=False):
    weights = kernel * kernel * x.channels_out * channels
    y = _window(x, name, "conv", kernel, stride, rate, channels_out=channels, params=weights + bias * channels)
    return y._replace(macs=weights * y.size_out[0] * y.size_out[1])


def _batch_norm(x, name):
    return x._replace(name=name, kind="batch_norm", kernel=1, stride=1, rate=1, params=2 * x.channels_out, macs=0)


def _add(shortcut, residual, name):
    field = max(shortcut.receptive_field, residual.receptive_field)
    return shortcut._replace(name=name, kind="add", kernel=1, stride=1, rate=1, params=0, macs=0, receptive_field=field)


def _global_pool(x, name):
    """Averages over the image, and so sees (size - 1) steps further; the longer side counts."""
    longer = max(x.size_out)
    return x._replace(
        name=name, kind="global_pool", kernel=longer, stride=1, rate=1, size_out=(1, 1), params=0, macs=0,
        receptive_field=x.receptive_field + (longer - 1) * x.effective_stride,
    )  # fmt: skip


def _bottleneck_v2(x, unit, rate, scope):
    """The layers of one pre-activation unit (He et al. 2016, Fig. 1b): BN-ReLU before each weight layer."""
    preact = _batch_norm(x, f"{scope}/preact")
    layers = [preact]
    shortcut = x
    if unit.depth != x.channels_out:
        shortcut = _conv(preact, f"{scope}/shortcut", unit.depth, 1, unit.stride, bias=True)
        layers.append(shortcut)
    elif unit.stride > 1:
        shortcut = _window(x, f"{scope}/shortcut", "max_pool", 1, unit.stride)
        layers.append(shortcut)
    conv1 = _conv(preact, f"{scope}/conv1", unit.depth_bottleneck, 1)
    norm1 = _batch_norm(conv1, f"{scope}/conv1/BatchNorm")
    conv2 = _conv(norm1, f"{scope}/conv2", unit.depth_bottleneck, 3, unit.stride, rate)
    norm2 = _batch_norm(conv2, f"{scope}/conv2/BatchNorm")
    conv3 = _conv(norm2, f"{scope}/conv3", unit.depth, 1, bias=True)
    return [*layers, conv1, norm1, conv2, norm2, conv3, _add(shortcut, conv3, scope)]


_UNIT_LAYERS = {"bottleneck_v2": _bottleneck_v2}


def _placed(blocks, output_stride):
    """Yields (block, i, unit, rate) with the stride each unit really takes. Once `output_stride` is reached, units keep
    the resolution (stride 1) and widen the holes of their 3x3 (rate) instead: atrous convolution."""
    check_reachable(output_stride, [unit.stride for block in blocks for unit in block.args])
    current_stride, rate = 1, 1
    for block in blocks:
        for i, unit in enumerate(block.args, 1):
            if current_stride == output_stride:
                yield block, i, unit._replace(stride=1), rate
                rate *= unit.stride
            else:
                yield block, i, unit, 1
                current_stride *= unit.stride


def trace(architecture, image_size=224, num_classes=1000, channels_in=3, global_pool=True, output_stride=None):
    """The layers of a network in order, each with its size, parameters, MACs and receptive field: list of Layer.

    architecture: a name, an Architecture or a list of Blocks; image_size: one number or (height, width);
    num_classes: None leaves the classifier out; global_pool, output_stride: as in `resnet_v2.resnet_v2`. Names are
    those of the graph below the network's own scope ("block1/unit_1/bottleneck_v2/conv1").
    Raises ValueError or TypeError naming the argument at fault.
    """
    net = get_architecture(architecture)
    size, channels_in = height_and_width(image_size), positive_int("channels_in", channels_in)
    layers = [Layer("images", "input", 1, 1, 1, size, channels_in, 0, 0, 1, 1)]
    blocks_stride = blocks_output_stride(output_stride, net.include_root_block)
    if net.include_root_block:
        layers.append(_conv(layers[-1], "conv1", 64, 7, stride=2, bias=True))
        layers.append(_window(layers[-1], "pool1", "max_pool", 3, stride=2))
    for block, i, unit, rate in _placed(net.blocks, blocks_stride):
        kind = unit_kind(block.unit_fn)
        layers += _UNIT_LAYERS[kind](layers[-1], unit, rate, f"{block.scope}/unit_{i}/{kind}")
    layers.append(_batch_norm(layers[-1], "postnorm"))
    if global_pool:
        layers.append(_global_pool(layers[-1], "pool5"))
    if num_classes is not None:
        layers.append(_conv(layers[-1], "logits", positive_int("num_classes", num_classes), 1, bias=True))
    return layers


def cost(architecture, image_size=224, num_classes=1000, **options):
    """Trainable parameters, MACs and activations of a network, per image: Cost. Arguments are those of `trace`."""
    layers = trace(architecture, image_size, num_classes, **options)
    return Cost(
        params=sum(layer.params for layer in layers),
        macs=sum(layer.macs for layer in layers),
        activations=sum(layer.outputs for layer in layers if layer.kind == "conv"),
    )
