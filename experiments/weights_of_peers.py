"""Weights of other libraries in this one: the same images give the same logits.

    python -m experiments.weights_of_peers [NAME ...]
    python -m experiments.weights_of_peers --stored FOLDER

Needs the extra `bench`. Every peer makes a network of random weights and random statistics of its batch norms, computes logits
and writes its file; `build(..., weights=FILE)` computes them from that. A line a file:

    kind of file, network, image size, the largest difference of a logit over the largest logit

--stored writes what the tests have in the place of PyTorch (tests/library/peers): two small networks of timm with their logits,
and the names and shapes in the files of all of torchvision's and timm's networks here.
"""

from __future__ import annotations

import gzip
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

with suppress(ImportError):
    import torch  # before TensorFlow: the other way round the process crashes

from resnet_lib import build
from resnet_lib.tf_slim_compat import quick_building, slim, tf

Logits = tuple[Path, np.ndarray]  # the file, and what its network gives for the images
Case = tuple[str, str, Callable[[Path, np.ndarray], Logits]]
SIZES = (224, 299)


def random_value(name: str, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    """A value for a variable, by its name in any of the libraries: weights of He et al. 2015, statistics that matter."""
    if len(shape) > 1:
        fan_in = shape[1] * np.prod(shape[2:]) if name.endswith(".weight") else np.prod(shape[:-1])
        return random.normal(0, np.sqrt(2 / fan_in), shape).astype(np.float32)
    if "var" in name:
        return random.uniform(0.5, 1.5, shape).astype(np.float32)
    around = 1.0 if name.endswith(("gamma", ".weight")) else 0.0
    return random.normal(around, 0.2, shape).astype(np.float32)


def slim_logits(network: Callable, arg_scope: Callable, classes: int, path: Path, images: np.ndarray) -> Logits:
    """A checkpoint of tf_slim.nets, by a Saver, and the logits."""
    random = np.random.default_rng(0)
    with tf.Graph().as_default():
        with quick_building(), slim.arg_scope(arg_scope()):
            logits, _ = network(tf.constant(images), classes, is_training=False)
        variables = tf.compat.v1.global_variables()
        with tf.compat.v1.Session() as session:
            for variable in variables:
                variable.load(random_value(variable.op.name, tuple(variable.shape), random), session)
            tf.compat.v1.train.Saver(variables).save(session, str(path / "model.ckpt"))
            return path / "model.ckpt", session.run(logits)


def keras_logits(application: Callable, ending: str, path: Path, images: np.ndarray) -> Logits:
    """A file of keras.applications or tf_keras.applications, and the logits."""
    random = np.random.default_rng(0)
    model = application(weights=None, classifier_activation=None, input_shape=images.shape[1:])
    model.set_weights([random_value(v.name if "/" in v.name else v.path, v.shape, random) for v in model.weights])
    file = path / f"weights{ending}"
    if ending in (".keras", ".model.h5"):
        model.save(file)
    else:
        model.save_weights(file)
    return file, model(images).numpy()


def torch_logits(make: Callable, path: Path, images: np.ndarray) -> Logits:
    """A .safetensors file of torchvision or timm, and the logits."""
    from safetensors.torch import save_file

    random = np.random.default_rng(0)
    model = make().eval()
    state = model.state_dict()
    for name, value in state.items():
        if value.ndim:
            state[name] = torch.from_numpy(random_value(name, tuple(value.shape), random))
    model.load_state_dict(state)
    save_file(state, path / "model.safetensors")
    with torch.no_grad():
        return path / "model.safetensors", model(torch.from_numpy(images.transpose(0, 3, 1, 2))).numpy()


def cases() -> Iterator[Case]:
    """(kind of file, network, what makes its file and logits)."""
    yield from _of_slim()
    yield from _of_keras()
    yield from _of_torch()


def _case(kind, name, function, *args):
    return kind, name, lambda path, images: function(*args, path, images)


def _of_slim():
    from tf_slim.nets import inception_v1, inception_v3, resnet_v1, resnet_v2

    for module, version, layers, classes in [
        *((resnet_v1, 1, layers, 1000) for layers in (50, 101, 152)),
        *((resnet_v2, 2, layers, 1001) for layers in (50, 101, 152, 200)),
        (resnet_v2, 2, 50, 1000),
    ]:
        name = f"resnet_v{version}_{layers}"
        arguments = getattr(module, name), module.resnet_arg_scope, classes
        yield _case(f"tf-slim checkpoint, {classes} classes", name, slim_logits, *arguments)
    for module, name in ((inception_v1, "inception_v1"), (inception_v3, "inception_v3")):
        arguments = getattr(module, name), getattr(module, f"{name}_arg_scope"), 1001
        yield _case("tf-slim checkpoint, 1001 classes", name, slim_logits, *arguments)


def _of_keras():
    import keras
    import tf_keras

    for version, ending in ((1, "{}"), (2, "{}V2")):
        for layers in (50, 101, 152):
            name = f"resnet_v{version}_{layers}"
            for library in (tf_keras, keras):
                endings = {50: (".weights.h5", ".keras", ".model.h5")}.get(layers, ())
                for kind in (".h5", *endings) if library is tf_keras else endings or (".weights.h5",):
                    make = getattr(library.applications, "ResNet" + ending.format(layers))
                    yield _case(f"{library.__name__} {kind}", name, keras_logits, make, kind)


# Name in torchvision -> here; timm's networks of V1 have the same names.
TORCHVISION = {
    **{f"resnet{layers}": f"resnet_v1_{layers}" for layers in (18, 34, 50, 101, 152)},
    "wide_resnet50_2": "wide_resnet_50_2",
    "resnext50_32x4d": "resnext_50_32x4d",
    "resnext101_32x8d": "resnext_101_32x8d",
}
TIMM = {"resnet50": "resnet_v1_50", "resnetv2_50": "resnet_v2_50", "resnetv2_101": "resnet_v2_101"}
SMALL = (16, 32, 48, 64)  # channels of the small networks' blocks, of one, two, one and one units
SMALL_SIZES = (64, 75)


def _of_torch():
    import timm
    import torchvision

    for name, ours in TORCHVISION.items():
        yield _case("torchvision .safetensors", ours, torch_logits, getattr(torchvision.models, name))
    for name, ours in TIMM.items():
        yield _case("timm .safetensors", ours, torch_logits, lambda name=name: timm.create_model(name))


def small_networks() -> dict[str, Callable]:
    """Version -> what makes a network of timm of 17 layers."""
    from timm.layers import BatchNormAct2d, create_conv2d
    from timm.models.resnet import Bottleneck, ResNet
    from timm.models.resnetv2 import ResNetV2

    layers = [1, 2, 1, 1]
    v2 = {"conv_layer": create_conv2d, "norm_layer": BatchNormAct2d, "stem_chs": 8}
    return {
        "v1": lambda: ResNet(Bottleneck, layers, channels=[depth // 4 for depth in SMALL], num_classes=6),
        "v2": lambda: ResNetV2(layers, channels=SMALL, num_classes=6, **v2),
    }


def store(folder: Path) -> None:
    """Writes what the tests have in the place of PyTorch."""
    import timm
    import torchvision

    logits = {}
    for version, make in small_networks().items():
        for size in SMALL_SIZES:
            with tempfile.TemporaryDirectory() as temporary:
                file, logits[f"{version}_{size}"] = torch_logits(make, Path(temporary), images_of(size))
                (folder / f"timm_{version}.safetensors").write_bytes(file.read_bytes())
    np.savez(folder / "timm_logits.npz", **logits)
    makers = {ours: getattr(torchvision.models, name) for name, ours in TORCHVISION.items()}
    makers |= {ours: lambda name=name: timm.create_model(name) for name, ours in TIMM.items() if "v2" in ours}
    names = {
        ours: {key: tuple(value.shape) for key, value in make().state_dict().items()} for ours, make in makers.items()
    }
    (folder / "torch_names.json.gz").write_bytes(gzip.compress(json.dumps(names).encode(), mtime=0))


def images_of(size: int) -> np.ndarray:
    """Two images of noise, [2, size, size, 3]."""
    return np.random.default_rng(1).uniform(-2, 2, (2, size, size, 3)).astype(np.float32)


def difference(kind: str, name: str, make: Callable, size: int) -> float:
    """The largest difference of a logit, over the largest logit."""
    images = images_of(size)
    with tempfile.TemporaryDirectory() as folder:
        file, expected = make(Path(folder), images)
        network = build(name, image_size=size, weights=file)
    expected = expected.reshape(len(images), -1)
    found = network(images).numpy().reshape(expected.shape)
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def main(names: list[str]) -> None:
    for kind, name, make in cases():
        if not names or name in names:
            for size in SIZES:
                print(f"{kind}, {name}, {size}: {difference(kind, name, make, size):.1e}", flush=True)


if __name__ == "__main__":
    store(Path(sys.argv[2])) if sys.argv[1:2] == ["--stored"] else main(sys.argv[1:])
