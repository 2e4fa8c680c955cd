"""Networks that are not lists of Blocks: tf-slim's AlexNet, VGG and Inception, and this library's Inception-ResNets.

They have no closed form. `cost` builds the graph of one and counts it; `network.build` makes it a Network. Nothing here
loads TensorFlow before it has to.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

from .checks import OWN, height_and_width, own, positive_int


class OtherNet(NamedTuple):
    """module: the one that has the network under its name; arg_scope: of its layers, there; image_size: it is made for;
    smallest: below it, nothing is left for its last layers."""

    module: str
    arg_scope: str
    image_size: int
    smallest: int

    @property
    def of_tf_slim(self) -> bool:
        return self.module.startswith("tf_slim")


OTHER_NETS = {
    "alexnet_v2": OtherNet("tf_slim.nets.alexnet", "alexnet_v2_arg_scope", 224, 195),
    "vgg_16": OtherNet("tf_slim.nets.vgg", "vgg_arg_scope", 224, 224),
    "vgg_19": OtherNet("tf_slim.nets.vgg", "vgg_arg_scope", 224, 224),
    "inception_v1": OtherNet("tf_slim.nets.inception_v1", "inception_v1_arg_scope", 224, 193),
    "inception_v3": OtherNet("tf_slim.nets.inception_v3", "inception_v3_arg_scope", 299, 107),
    "inception_v4": OtherNet("resnet_lib.inception", "inception_arg_scope", 299, 75),
    "inception_resnet_v1": OtherNet("resnet_lib.inception", "inception_arg_scope", 299, 75),
    "inception_resnet_v2": OtherNet("resnet_lib.inception", "inception_arg_scope", 299, 75),
}


def function(name: str, num_classes: int | None) -> Callable[[Any], tuple[Any, dict[str, Any]]]:
    """One of OTHER_NETS for inference: a function images -> (net, end_points), with the logits of rank 4."""
    from .tf_slim_compat import slim

    net = OTHER_NETS[name]
    module = import_module(net.module)
    rank_4 = {"spatial_squeeze": False} if net.of_tf_slim else {}  # ours are of rank 4 anyway

    def network(images):
        with (
            slim.arg_scope(getattr(module, net.arg_scope)()),
            slim.arg_scope([slim.conv2d, slim.fully_connected], weights_regularizer=None),  # a penalty is for training
        ):
            return getattr(module, name)(images, num_classes, is_training=False, scope=name, **rank_4)

    return network


def count(name: str, image_size: Any = OWN, num_classes: Any = OWN, channels_in: int = 3, **changes: Any) -> tuple:
    """(trainable parameters, MACs, activations) of one of OTHER_NETS, from its graph, without making any weights."""
    from .graph_cost import graph_cost
    from .tf_slim_compat import quick_building, tf

    size, classes, channels = check_options(name, image_size, num_classes, channels_in, **changes)
    with tf.Graph().as_default() as graph, quick_building():
        images = tf.compat.v1.placeholder(tf.float32, [None, *height_and_width(size), channels])
        function(name, classes)(images)
    return graph_cost(graph)[:3]


def check_options(
    name: str, image_size: Any = OWN, num_classes: Any = OWN, channels_in: int = 3, **changes: Any
) -> tuple[Any, int | None, int]:
    """(image_size, num_classes, channels_in), its own where they are not named. image_size may be None, for any.

    Raises ValueError or TypeError for a wrong value, and for an option that only lists of Blocks have.
    """
    for option, value in changes.items():
        if value is not None and value is not True:
            raise ValueError(f"{option}: {name!r} is not a list of Blocks; got {value!r}")
    net = OTHER_NETS[name]
    size = net.image_size if own(image_size) else image_size
    classes = 1000 if own(num_classes) else num_classes
    if size is not None and min(height_and_width(size)) < net.smallest:
        raise ValueError(f"image_size: {name!r} takes images of {net.smallest}x{net.smallest} or more, got {size!r}")
    if classes is not None:
        classes = positive_int("num_classes", classes)
    elif net.of_tf_slim:
        raise ValueError(
            f"num_classes: {name!r} is tf-slim's, which needs a number of classes, got None; "
            "`Network.end_points` gives its features"
        )
    return size, classes, positive_int("channels_in", channels_in)
