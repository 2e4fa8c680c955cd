"""Training steps per second beside the peers: python -m experiments.bench_training [--layers 56] [--batch-size 128]
[--rounds 7].

One run is an epoch over 1,500 digits of 8x8 pixels: the residual network of 6n + 2 layers with shortcut A, momentum SGD and
weight decay, in resnet_lib, in Keras (`Model.fit`), and where it is installed in PyTorch.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from .turns import race, show

if TYPE_CHECKING:
    from resnet_lib.data import Dataset

DEPTHS = (16, 32, 64)  # of the three blocks


def whole_batches(batch_size: int) -> Dataset:
    """The training digits that fill whole batches, so that every engine's step is of the same size."""
    from resnet_lib import data

    digits = data.digits()
    keep = len(digits.train_images) // batch_size * batch_size
    return digits._replace(train_images=digits.train_images[:keep], train_labels=digits.train_labels[:keep])


def units(layers: int) -> Iterator[tuple[int, int, int]]:
    """(depth in, depth, stride) of every unit: each block but the first begins with a stride of 2."""
    depth_in = DEPTHS[0]
    for depth in DEPTHS:
        for _ in range((layers - 2) // 6):
            yield depth_in, depth, 1 if depth == depth_in else 2
            depth_in = depth


def resnet_lib_epoch(layers: int, batch_size: int) -> Callable[[], object]:
    from resnet_lib import cifar_architecture, training

    digits = whole_batches(batch_size)
    recipe = training.Recipe(batch_size=batch_size)
    graph = training._graph(cifar_architecture(layers), recipe, digits, seed=0, threads=None)
    return lambda: training._run_epoch(graph, digits, recipe, epoch=0, seed=0)


def keras_epoch(layers: int, batch_size: int) -> Callable[[], object]:
    from resnet_lib.tf_slim_compat import tf

    digits = whole_batches(batch_size)
    model = _keras_model(tf, layers)
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf.keras.optimizers.SGD(0.1, momentum=0.9), loss)
    return lambda: model.fit(digits.train_images, digits.train_labels, batch_size, verbose=0)


def _keras_model(tf, layers):
    keras = tf.keras
    decay = keras.regularizers.L2(0.00005)

    def conv_norm(x, depth, stride=1):
        options = {"padding": "same", "use_bias": False, "kernel_regularizer": decay}
        return keras.layers.BatchNormalization(momentum=0.9)(keras.layers.Conv2D(depth, 3, stride, **options)(x))

    def shortcut(x, depth, stride):
        if depth == x.shape[-1]:
            return x
        padding = [[0, 0], [0, 0], [0, 0], [0, depth - x.shape[-1]]]
        return keras.layers.Lambda(lambda y: tf.pad(y[:, ::stride, ::stride], padding))(x)

    images = keras.Input([8, 8, 1])
    net = keras.layers.ReLU()(conv_norm(images, DEPTHS[0]))
    for _, depth, stride in units(layers):
        residual = conv_norm(keras.layers.ReLU()(conv_norm(net, depth, stride)), depth)
        net = keras.layers.ReLU()(shortcut(net, depth, stride) + residual)
    features = keras.layers.GlobalAveragePooling2D()(net)
    return keras.Model(images, keras.layers.Dense(10, kernel_regularizer=decay)(features))


def torch_epoch(layers: int, batch_size: int) -> Callable[[], object]:
    import torch
    from torch.nn import functional

    digits = whole_batches(batch_size)
    model = _torch_model(layers).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=0.0001)
    images = torch.from_numpy(digits.train_images.transpose(0, 3, 1, 2)).to(memory_format=torch.channels_last)
    labels = torch.from_numpy(digits.train_labels).long()

    def epoch():
        for batch in torch.randperm(len(images)).split(batch_size):
            optimizer.zero_grad()
            functional.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()

    return epoch


def _torch_model(layers):
    from torch import nn
    from torch.nn import functional

    class Unit(nn.Module):
        def __init__(self, depth_in, depth, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(depth_in, depth, 3, stride, 1, bias=False)
            self.norm1 = nn.BatchNorm2d(depth)
            self.conv2 = nn.Conv2d(depth, depth, 3, 1, 1, bias=False)
            self.norm2 = nn.BatchNorm2d(depth)
            self.stride = stride

        def forward(self, x):
            net = self.norm2(self.conv2(functional.relu(self.norm1(self.conv1(x)))))
            missing = net.shape[1] - x.shape[1]
            if missing:
                x = functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, missing))
            return functional.relu(x + net)

    root = [nn.Conv2d(1, DEPTHS[0], 3, 1, 1, bias=False), nn.BatchNorm2d(DEPTHS[0]), nn.ReLU()]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(DEPTHS[-1], 10)]
    return nn.Sequential(*root, *(Unit(*unit) for unit in units(layers)), *head)


ENGINES = {"resnet_lib": resnet_lib_epoch, "keras fit": keras_epoch, "torch eager": torch_epoch}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.bench_training")
    parser.add_argument("--layers", type=int, default=56, metavar="N", help="6n + 2 (default 56)")
    parser.add_argument("--batch-size", type=int, default=128, metavar="N", help="images a step (default 128)")
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="epochs that are counted (default 7)")
    args = parser.parse_args()
    engines = {name: partial(prepare, args.layers, args.batch_size) for name, prepare in ENGINES.items()}
    print(f"{args.layers} layers on 8x8 digits, batch {args.batch_size}, median of {args.rounds} epochs")
    show(race(engines, args.rounds), first="resnet_lib", unit="steps/s", per_second=1500 // args.batch_size)


if __name__ == "__main__":
    main()
