"""One layer of a network: what it is, what comes out of it, what it costs; and how each kind of layer follows another.

Pure Python, no TensorFlow. Conventions and totals: see `accounting`.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Layer(NamedTuple):
    """One layer: what it is, what comes out of it, and what it costs.

    size_out is (height, width); receptive_field is the side, in input pixels, of the square that one output number
    sees (it may be larger than the image); effective_stride is the distance, in input pixels, between neighbouring
    outputs; effective_padding is how many pixels above and left of the image the square of the first output begins.
    The gate of a squeeze-and-excitation unit sees the whole image, by its mean; the receptive field leaves that out.
    """

    name: str
    # "input", "conv", "batch_norm", "max_pool", "zero_pad", "multiply", "add" or "global_pool"; in the drawing of a unit "relu"
    # and "sigmoid" too.
    kind: str
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
    groups: int = 1  # of channels; a convolution's filters see those of one group

    @property
    def outputs(self) -> int:
        """How many numbers the layer writes for one image: height x width x channels."""
        return self.size_out[0] * self.size_out[1] * self.channels_out

    @property
    def on_shortcut(self) -> bool:
        """Whether it stands on the shortcut of a unit, beside the residual path. Only the end of its name says so: a Block may
        have any name, such as "stage/shortcut"."""
        around, _, last = self.name.rpartition("/")
        place = around if self.kind == "multiply" or last == "BatchNorm" else self.name
        return self.kind != "add" and place.endswith("/shortcut")

    @property
    def label(self) -> str:
        """The layer in a few words, as a picture has room for: "3x3 conv 64 /2", "BN", "+"."""
        stride = f" /{self.stride}" if self.stride > 1 else ""
        if self.kind == "conv":
            groups = f", {self.groups} groups" if self.groups > 1 else ""
            gate = "g: " if self.name.endswith("/gate") else ""
            return f"{gate}{self.kernel}x{self.kernel} conv {self.channels_out}{stride}{groups}"
        if self.kind == "multiply":
            factor = self.name.rsplit("/", 1)[1]
            return factor if factor == "dropout" else f"times {factor}"
        if self.kind == "max_pool":  # of a window of one pixel there is no maximum
            return f"{self.kernel}x{self.kernel} max pool{stride}" if self.kernel > 1 else f"subsample{stride}"
        words = {"batch_norm": "BN", "relu": "ReLU", "add": "+", "global_pool": "mean"}
        words["zero_pad"] = f"zeros to {self.channels_out}"
        return words.get(self.kind, self.kind)


def input_layer(name: str, size: tuple[int, int], channels: int) -> Layer:
    """What stands before the first layer: the images, or what comes into a unit."""
    return Layer(name, "input", 1, 1, 1, size, channels, 0, 0, 1, 1, (0, 0))


def _ceil_div(a, b):
    return (a + b - 1) // b


def _same_padding(size, kernel, stride):
    """Zeros that TensorFlow's SAME puts before the image: none at a stride of 2 over an even size."""
    return max((_ceil_div(size, stride) - 1) * stride + kernel - size, 0) // 2


def window(
    x: Layer, name: str, kind: str, kernel: int, stride: int, rate: int = 1, same: bool = False, **changed: Any
) -> Layer:
    """A layer that slides a kernel x kernel window over x: ceil(size / stride) positions a side. same: it is padded as
    TensorFlow's SAME does, and else alike on all sides."""
    if same:
        before = [_same_padding(size, kernel, stride) for size in x.size_out]
    else:  # as conv2d_same pads, whatever the stride
        before = [(kernel - 1) * rate // 2] * 2
    height, width = x.size_out
    top, left = x.effective_padding
    return x._replace(
        name=name,
        kind=kind,
        kernel=kernel,
        stride=stride,
        rate=rate,
        size_out=(_ceil_div(height, stride), _ceil_div(width, stride)),
        receptive_field=x.receptive_field + (kernel - 1) * rate * x.effective_stride,
        effective_stride=x.effective_stride * stride,
        effective_padding=(top + before[0] * x.effective_stride, left + before[1] * x.effective_stride),
        **{"params": 0, "macs": 0, "groups": 1, **changed},
    )


def convolution(
    x: Layer, name: str, channels: int, kernel: int, stride: int = 1, rate: int = 1, bias: bool = False, groups: int = 1
) -> Layer:
    """A convolution as `conv2d_same` pads it; each filter sees the channels of its group."""
    weights = kernel * kernel * (x.channels_out // groups) * channels
    params = weights + (channels if bias else 0)
    y = window(x, name, "conv", kernel, stride, rate, channels_out=channels, params=params, groups=groups)
    return y._replace(macs=weights * y.size_out[0] * y.size_out[1])


def pointwise(x: Layer, name: str, kind: str, **changed: Any) -> Layer:
    """A layer that works on every number, or every pixel, by itself."""
    plain = {"params": 0, "macs": 0, "groups": 1}
    return x._replace(name=name, kind=kind, kernel=1, stride=1, rate=1, **{**plain, **changed})


def batch_norm(x: Layer, name: str) -> Layer:
    """Batch normalization: gamma and beta for each channel."""
    return pointwise(x, name, "batch_norm", params=2 * x.channels_out)


def addition(shortcut: Layer, residual: Layer, name: str) -> Layer:
    """The sum sees what the wider-sighted of the two sees; both squares have one centre."""
    wider = max(residual, shortcut, key=lambda layer: layer.receptive_field)
    return pointwise(wider, name, "add")


def global_pool(x: Layer, name: str) -> Layer:
    """Averages over the image, and so sees (size - 1) steps further; the longer side counts."""
    longer = max(x.size_out)
    seen = x.receptive_field + (longer - 1) * x.effective_stride
    pooled = pointwise(x, name, "global_pool", size_out=(1, 1), receptive_field=seen)
    return pooled._replace(kernel=longer)
