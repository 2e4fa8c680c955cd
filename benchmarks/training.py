"""python benchmarks/training.py [--layers 56] [--batch-size 128] [--rounds 7]: training steps per second beside the peers.

One run is an epoch over 1,500 digits of 8x8 pixels: the residual network of 6n + 2 layers with shortcut A, momentum SGD and
weight decay, in resnet_lib, in Keras (`Model.fit`), and where it is installed in PyTorch.
"""

import argparse
from functools import partial

from turns import race, show


def whole_batches(batch_size):
    """The training digits that fill whole batches, so that every engine's step is of the same size."""
    from resnet_lib import data

    digits = data.digits()
    keep = len(digits.train_images) // batch_size * batch_size
    return digits._replace(train_images=digits.train_images[:keep], train_labels=digits.train_labels[:keep])


def resnet_lib_epoch(layers, batch_size):
    from resnet_lib import cifar_architecture, training

    digits, recipe = whole_batches(batch_size), training.Recipe(batch_size=batch_size)
    graph = training._Graph(cifar_architecture(layers), recipe, digits, seed=0, threads=None)
    return lambda: training._run_epoch(graph, digits, recipe, epoch=0, seed=0)


def keras_epoch(layers, batch_size):
    from resnet_lib.tf_slim_compat import tf

    keras, decay = tf.keras, tf.keras.regularizers.L2(0.00005)

    def conv_norm(x, depth, stride=1):
        options = {"padding": "same", "use_bias": False, "kernel_regularizer": decay}
        return keras.layers.BatchNormalization(momentum=0.9)(keras.layers.Conv2D(depth, 3, stride, **options)(x))

    def unit(x, depth, stride):
        net = conv_norm(keras.layers.ReLU()(conv_norm(x, depth, stride)), depth)
        if depth != x.shape[-1]:
            padding = [[0, 0], [0, 0], [0, 0], [0, depth - x.shape[-1]]]
            x = keras.layers.Lambda(lambda y: tf.pad(y[:, ::stride, ::stride], padding))(x)
        return keras.layers.ReLU()(x + net)

    images = keras.Input([8, 8, 1])
    net = keras.layers.ReLU()(conv_norm(images, 16))
    for i, depth in enumerate((16, 32, 64)):
        for j in range((layers - 2) // 6):
            net = unit(net, depth, stride=2 if i and not j else 1)
    net = keras.layers.Dense(10, kernel_regularizer=decay)(keras.layers.GlobalAveragePooling2D()(net))
    model, digits = keras.Model(images, net), whole_batches(batch_size)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss)
    return lambda: model.fit(digits.train_images, digits.train_labels, batch_size, verbose=0)


def torch_epoch(layers, batch_size):
    import torch
    from torch import nn
    from torch.nn import functional

    class Unit(nn.Module):
        def __init__(self, depth_in, depth, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(depth_in, depth, 3, stride, 1, bias=False)
            self.conv2 = nn.Conv2d(depth, depth, 3, 1, 1, bias=False)
            self.norm1, self.norm2, self.stride = nn.BatchNorm2d(depth), nn.BatchNorm2d(depth), stride

        def forward(self, x):
            net = self.norm2(self.conv2(functional.relu(self.norm1(self.conv1(x)))))
            missing = net.shape[1] - x.shape[1]
            x = functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, missing)) if missing else x
            return functional.relu(x + net)

    n, units, depth_in = (layers - 2) // 6, [], 16
    for i, depth in enumerate((16, 32, 64)):
        for j in range(n):
            units.append(Unit(depth_in, depth, 2 if i and not j else 1))
            depth_in = depth
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)]
    root = [nn.Conv2d(1, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    model, digits = nn.Sequential(*root, *units, *head).to(memory_format=torch.channels_last), whole_batches(batch_size)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=0.0001)
    images = torch.from_numpy(digits.train_images.transpose(0, 3, 1, 2)).to(memory_format=torch.channels_last)
    labels = torch.from_numpy(digits.train_labels).long()

    def epoch():
        for batch in torch.randperm(len(images)).split(batch_size):
            optimizer.zero_grad()
            functional.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()

    return epoch


ENGINES = {"resnet_lib": resnet_lib_epoch, "keras fit": keras_epoch, "torch eager": torch_epoch}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--layers", type=int, default=56)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    engines = {name: partial(prepare, args.layers, args.batch_size) for name, prepare in ENGINES.items()}
    print(f"{args.layers} layers on 8x8 digits, batch {args.batch_size}, median of {args.rounds} epochs")
    show(race(engines, args.rounds), first="resnet_lib", unit="steps/s", per_second=1500 // args.batch_size)


if __name__ == "__main__":
    main()
