"""ResNet V2 in the libraries beside ours, with the weights of a file that `Network.save` wrote: what bench_forward times.

Each engine is a function (folder, layers, precision) -> forward pass, NumPy images [batch, 224, 224, 3] -> logits, and
imports its library by itself. folder: holds weights.npz and what `export_onnx` made of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

UNITS = {50: (3, 4, 6, 3), 152: (3, 8, 36, 3)}

Forward = Callable[[np.ndarray], Any]


def check_precision(runs: str, asked: str) -> None:
    """Raises ValueError for an engine that runs in another precision than it was asked for: its time is not the one of the
    row."""
    if runs != asked:
        raise ValueError(f"it runs {runs} when asked for {asked}: this processor has no instructions for {asked}")


def _weights(folder):
    with np.load(folder / "weights.npz") as saved:
        return dict(saved)


def tf_slim_session(folder: Path, layers: int, precision: str) -> Forward:
    """tf_slim.nets, as the source text runs it; bfloat16 by oneDNN's automatic mixed precision."""
    from resnet_lib.tf_slim_compat import slim, tf  # isort: skip  it makes the next import work
    from tf_slim.nets import resnet_v2  # isort: skip

    weights = _weights(folder)
    config = tf.compat.v1.ConfigProto()
    if precision == "bfloat16":
        config.graph_options.rewrite_options.auto_mixed_precision_onednn_bfloat16 = 1  # on
    with tf.Graph().as_default(), slim.arg_scope(resnet_v2.resnet_arg_scope()):
        images = tf.compat.v1.placeholder(tf.float32, [None, 224, 224, 3])
        net, _ = getattr(resnet_v2, f"resnet_v2_{layers}")(images, 1000, is_training=False)
        session = tf.compat.v1.Session(config=config)
        for variable in tf.compat.v1.global_variables():
            variable.load(weights[variable.name.split(":")[0]], session)
    return lambda x: session.run(net, {images: x})


def keras_applications(folder: Path, layers: int, precision: str) -> Forward:
    """Keras' ResNetV2 is tf-slim's but for the padding of its first pooling, which gets tf-slim's here."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    weights = _weights(folder)
    if precision == "bfloat16":
        tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    model = getattr(tf.keras.applications, f"ResNet{layers}V2")(weights=None, classifier_activation=None)
    model.get_layer("pool1_pad").padding = ((0, 0), (0, 0))
    model.get_layer("pool1_pool").padding = "same"
    for layer in model.layers:
        if layer.weights:
            values = [weights[f"resnet_v2_{layers}/{name}"] for name in _slim_names(layer)]
            layer.set_weights([value.reshape(place.shape) for value, place in zip(values, layer.weights, strict=True)])
    return lambda x: np.asarray(model.predict_on_batch(x), np.float32)


_NORM = ["gamma", "beta", "moving_mean", "moving_variance"]
_SCOPES = {  # Keras' name of a layer within its unit -> tf-slim's
    "preact_bn": "preact",
    "0_conv": "shortcut",
    "1_conv": "conv1",
    "1_bn": "conv1/BatchNorm",
    "2_conv": "conv2",
    "2_bn": "conv2/BatchNorm",
    "3_conv": "conv3",
}


def _slim_names(layer):
    """tf-slim's names of the weights of a layer of keras.applications: "conv2_block1_1_conv" is in block1/unit_1."""
    kind = _NORM if layer.name.endswith("bn") else ["weights", "biases"][: len(layer.weights)]
    whole = {"conv1_conv": "conv1", "post_bn": "postnorm", "predictions": "logits"}
    if layer.name in whole:
        scope = whole[layer.name]
    else:
        group, unit, part = layer.name.removeprefix("conv").replace("block", "").split("_", 2)
        scope = f"block{int(group) - 1}/unit_{unit}/bottleneck_v2/{_SCOPES[part]}"
    return [f"{scope}/{name}" for name in kind]


class _TorchLayers:
    """Layers of PyTorch with tf-slim's weights: name -> array, below `scope`."""

    def __init__(self, weights, scope):
        self._weights = {name.removeprefix(f"{scope}/"): value for name, value in weights.items()}

    def __contains__(self, name):
        return name in self._weights

    def _value(self, name):
        import torch

        return torch.from_numpy(self._weights[name])

    def conv(self, scope, stride=1):
        from torch import nn

        kernel = self._value(f"{scope}/weights").permute(3, 2, 0, 1)
        bias = f"{scope}/biases" in self
        channels, channels_in, size, _ = kernel.shape
        layer = nn.Conv2d(channels_in, channels, size, stride, padding=size // 2, bias=bias)
        layer.weight.data = kernel.contiguous()
        if bias:
            layer.bias.data = self._value(f"{scope}/biases")
        return layer

    def norm(self, scope):
        from torch import nn

        theirs = ["weight", "bias", "running_mean", "running_var"]
        values = {name: self._value(f"{scope}/{ours}") for name, ours in zip(theirs, _NORM, strict=True)}
        layer = nn.BatchNorm2d(len(values["weight"]), eps=1e-5)
        layer.load_state_dict(values, strict=False)
        return layer


def _torch_bottleneck(layers, scope, stride):
    """One unit of ResNet V2, as a module."""
    from torch import nn

    class Bottleneck(nn.Module):
        def __init__(self):
            super().__init__()
            self.stride = stride
            self.preact = nn.Sequential(layers.norm(f"{scope}/preact"), nn.ReLU())
            projects = f"{scope}/shortcut/weights" in layers
            self.shortcut = layers.conv(f"{scope}/shortcut", stride) if projects else None
            self.residual = nn.Sequential(
                layers.conv(f"{scope}/conv1"),
                layers.norm(f"{scope}/conv1/BatchNorm"),
                nn.ReLU(),
                layers.conv(f"{scope}/conv2", stride),
                layers.norm(f"{scope}/conv2/BatchNorm"),
                nn.ReLU(),
                layers.conv(f"{scope}/conv3"),
            )

        def forward(self, x):
            preact = self.preact(x)
            shortcut = x[:, :, :: self.stride, :: self.stride] if self.shortcut is None else self.shortcut(preact)
            return shortcut + self.residual(preact)

    return Bottleneck()


def torch_model(weights: dict[str, np.ndarray], layers: int) -> Any:
    """tf-slim's ResNet V2 in PyTorch, float32 in eval mode: images [batch, 224, 224, 3], channels last, as TensorFlow's."""
    from torch import nn

    slim = _TorchLayers(weights, f"resnet_v2_{layers}")

    def units():
        for i, number in enumerate(UNITS[layers], start=1):
            for j in range(1, number + 1):
                stride = 2 if j == number and i < 4 else 1
                yield _torch_bottleneck(slim, f"block{i}/unit_{j}/bottleneck_v2", stride)

    class ResNetV2(nn.Module):
        def __init__(self):
            super().__init__()
            # tf-slim's SAME pooling pads at the lower right only, as ceil_mode does for 112 pixels
            self.root = nn.Sequential(slim.conv("conv1", stride=2), nn.MaxPool2d(3, 2, ceil_mode=True))
            self.units = nn.Sequential(*units())
            self.postnorm = nn.Sequential(slim.norm("postnorm"), nn.ReLU())
            self.logits = slim.conv("logits")

        def forward(self, images):
            x = self.postnorm(self.units(self.root(images.permute(0, 3, 1, 2))))
            return self.logits(x.mean((2, 3), keepdim=True))[:, :, 0, 0]

    return ResNetV2().eval()


def pytorch(folder: Path, layers: int, precision: str, compiled: bool = False) -> Forward:
    """Eager or through torch.compile, which with `freezing` folds the batch norms."""
    import torch

    dtype = getattr(torch, precision)
    model = torch_model(_weights(folder), layers).to(dtype, memory_format=torch.channels_last)
    if compiled:
        from torch._inductor import config

        config.freezing = True
        model = torch.compile(model, dynamic=False)

    def forward(images):
        with torch.no_grad():
            return model(torch.from_numpy(images).to(dtype)).float().numpy()

    return forward


def export_onnx(folder: Path, layers: int) -> None:
    """Writes float32.onnx and bfloat16.onnx to the folder: the PyTorch model for batches of any size, float32 outside."""
    import torch

    class Cast(torch.nn.Module):
        def __init__(self, dtype):
            super().__init__()
            self.model = torch_model(_weights(folder), layers).to(dtype)
            self.dtype = dtype

        def forward(self, images):
            return self.model(images.to(self.dtype)).float()

    images = torch.zeros(2, 224, 224, 3)
    options = {"dynamo": True, "dynamic_shapes": {"images": {0: torch.export.Dim("batch")}}, "verbose": False}
    for precision in ("float32", "bfloat16"):
        model = Cast(getattr(torch, precision)).eval()
        torch.onnx.export(model, (images,), folder / f"{precision}.onnx", **options)


def onnx_runtime(folder: Path, layers: int, precision: str) -> Forward:
    """ONNX Runtime on the CPU, from the ONNX export."""
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / f"{precision}.onnx", providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {"images": x})[0]


def openvino_from_onnx(folder: Path, layers: int, precision: str) -> Forward:
    """OpenVINO, from the float32 ONNX export; it converts to bfloat16 itself, where the processor has it."""
    import openvino

    core = openvino.Core()
    model = core.read_model(folder / "float32.onnx")
    theirs = {"float32": "f32", "bfloat16": "bf16"}[precision]
    hints = {"INFERENCE_PRECISION_HINT": theirs, "PERFORMANCE_HINT": "LATENCY"}
    compiled = core.compile_model(model, "CPU", hints)
    check_precision(compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name(), theirs)
    return lambda x: compiled(x)[0]
