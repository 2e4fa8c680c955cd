"""ResNet V2 in the libraries beside ours, with the weights of a file that `Network.save` wrote: what forward.py times.

Each engine is a function (folder, layers, precision) -> forward pass, NumPy images [batch, 224, 224, 3] -> logits, and
imports its library by itself. folder: holds weights.npz and what `export_onnx` made of it.
"""

import os

import numpy as np

UNITS = {50: (3, 4, 6, 3), 152: (3, 8, 36, 3)}


def _weights(folder):
    with np.load(folder / "weights.npz") as saved:
        return dict(saved)


def tf_slim_session(folder, layers, precision):
    """tf_slim.nets, as the source text runs it; bfloat16 by oneDNN's automatic mixed precision."""
    from resnet_lib.tf_slim_compat import slim, tf  # isort: skip  it makes the next import work
    from tf_slim.nets import resnet_v2  # isort: skip

    weights, graph, config = _weights(folder), tf.Graph(), tf.compat.v1.ConfigProto()
    if precision == "bfloat16":
        config.graph_options.rewrite_options.auto_mixed_precision_onednn_bfloat16 = 1  # on
    with graph.as_default(), slim.arg_scope(resnet_v2.resnet_arg_scope()):
        images = tf.compat.v1.placeholder(tf.float32, [None, 224, 224, 3])
        net, _ = getattr(resnet_v2, f"resnet_v2_{layers}")(images, 1000, is_training=False)
        session = tf.compat.v1.Session(config=config)
        for variable in tf.compat.v1.global_variables():
            variable.load(weights[variable.name.split(":")[0]], session)
    return lambda x: session.run(net, {images: x})


def keras_applications(folder, layers, precision):
    """Keras' ResNetV2 is tf-slim's but for the padding of its first pooling, which gets tf-slim's here."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    weights = _weights(folder)
    if precision == "bfloat16":
        tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    model = getattr(tf.keras.applications, f"ResNet{layers}V2")(weights=None, classifier_activation=None)
    model.get_layer("pool1_pad").padding, model.get_layer("pool1_pool").padding = ((0, 0), (0, 0)), "same"
    for layer in model.layers:
        if layer.weights:
            values = [weights[f"resnet_v2_{layers}/{name}"] for name in _slim_names(layer)]
            layer.set_weights([value.reshape(place.shape) for value, place in zip(values, layer.weights, strict=True)])
    return lambda x: np.asarray(model.predict_on_batch(x), np.float32)


def _slim_names(layer):
    """tf-slim's names of the weights of a layer of keras.applications: "conv2_block1_1_conv" is in block1/unit_1."""
    kind = ["weights", "biases"][: len(layer.weights)]
    norm = ["gamma", "beta", "moving_mean", "moving_variance"]
    whole = {"conv1_conv": ("conv1", kind), "post_bn": ("postnorm", norm), "predictions": ("logits", kind)}
    if layer.name in whole:
        scope, kind = whole[layer.name]
        return [f"{scope}/{name}" for name in kind]
    group, unit, *part = layer.name.removeprefix("conv").replace("block", "").split("_")
    scope = {
        "preact bn": "preact", "0 conv": "shortcut", "1 conv": "conv1", "1 bn": "conv1/BatchNorm",
        "2 conv": "conv2", "2 bn": "conv2/BatchNorm", "3 conv": "conv3",
    }[" ".join(part)]  # fmt: skip
    return [f"block{int(group) - 1}/unit_{unit}/bottleneck_v2/{scope}/{n}" for n in (norm if "bn" in part else kind)]


def torch_model(weights, layers):
    """tf-slim's ResNet V2 in PyTorch, float32 in eval mode: images [batch, 224, 224, 3], channels last, as TensorFlow's are."""
    import torch
    from torch import nn

    def value(*name):
        return torch.from_numpy(weights["/".join((f"resnet_v2_{layers}", *name))])

    def conv(*scope, stride=1):
        kernel = value(*scope, "weights").permute(3, 2, 0, 1)
        bias = f"resnet_v2_{layers}/{'/'.join(scope)}/biases" in weights
        size = kernel.shape[2]
        layer = nn.Conv2d(kernel.shape[1], kernel.shape[0], size, stride, padding=size // 2, bias=bias)
        layer.weight.data = kernel.contiguous()
        if bias:
            layer.bias.data = value(*scope, "biases")
        return layer

    def norm(*scope):
        layer = nn.BatchNorm2d(len(value(*scope, "gamma")), eps=1e-5)
        layer.load_state_dict(
            {
                "weight": value(*scope, "gamma"), "bias": value(*scope, "beta"),
                "running_mean": value(*scope, "moving_mean"), "running_var": value(*scope, "moving_variance"),
            },
            strict=False,
        )  # fmt: skip
        return layer

    class Bottleneck(nn.Module):
        def __init__(self, *scope, stride):
            super().__init__()
            projects = f"resnet_v2_{layers}/{'/'.join(scope)}/shortcut/weights" in weights
            self.stride, self.preact = stride, nn.Sequential(norm(*scope, "preact"), nn.ReLU())
            self.shortcut = conv(*scope, "shortcut", stride=stride) if projects else None
            self.residual = nn.Sequential(
                conv(*scope, "conv1"), norm(*scope, "conv1", "BatchNorm"), nn.ReLU(),
                conv(*scope, "conv2", stride=stride), norm(*scope, "conv2", "BatchNorm"), nn.ReLU(),
                conv(*scope, "conv3"),
            )  # fmt: skip

        def forward(self, x):
            preact = self.preact(x)
            shortcut = x[:, :, :: self.stride, :: self.stride] if self.shortcut is None else self.shortcut(preact)
            return shortcut + self.residual(preact)

    class ResNetV2(nn.Module):
        def __init__(self):
            super().__init__()
            # tf-slim's SAME pooling pads at the lower right only, as ceil_mode does for 112 pixels
            self.root = nn.Sequential(conv("conv1", stride=2), nn.MaxPool2d(3, 2, ceil_mode=True))
            self.units = nn.Sequential(
                *(
                    Bottleneck(f"block{i}", f"unit_{j}", "bottleneck_v2", stride=2 if j == units and i < 4 else 1)
                    for i, units in enumerate(UNITS[layers], start=1)
                    for j in range(1, units + 1)
                )
            )
            self.postnorm = nn.Sequential(norm("postnorm"), nn.ReLU())
            self.logits = conv("logits")

        def forward(self, images):
            x = self.postnorm(self.units(self.root(images.permute(0, 3, 1, 2))))
            return self.logits(x.mean((2, 3), keepdim=True))[:, :, 0, 0]

    return ResNetV2().eval()


def pytorch(folder, layers, precision, compiled=False):
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


def export_onnx(folder, layers):
    """Writes float32.onnx and bfloat16.onnx to the folder: the PyTorch model for batches of any size, float32 outside."""
    import torch

    class Cast(torch.nn.Module):
        def __init__(self, dtype):
            super().__init__()
            self.model, self.dtype = torch_model(_weights(folder), layers).to(dtype), dtype

        def forward(self, images):
            return self.model(images.to(self.dtype)).float()

    for precision in ("float32", "bfloat16"):
        torch.onnx.export(
            Cast(getattr(torch, precision)).eval(), (torch.zeros(2, 224, 224, 3),), folder / f"{precision}.onnx",
            dynamo=True, dynamic_shapes={"images": {0: torch.export.Dim("batch")}}, verbose=False,
        )  # fmt: skip


def onnx_runtime(folder, layers, precision):
    """ONNX Runtime on the CPU, from the ONNX export."""
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / f"{precision}.onnx", providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {"images": x})[0]


def openvino_from_onnx(folder, layers, precision):
    """OpenVINO, from the float32 ONNX export; it converts to bfloat16 itself."""
    import openvino

    core = openvino.Core()
    model = core.read_model(folder / "float32.onnx")
    hints = {
        "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = core.compile_model(model, "CPU", hints)
    return lambda x: compiled(x)[0]
