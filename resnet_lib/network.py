"""From a description to something that runs: `build(...)` gives a `Network`, which is called on images.

Built once with `tf.compat.v1.wrap_function`, a tf-slim network works in eager mode, keeps its variables, and builds about
twice as fast as in a Session. Every Network has a graph of its own, so building twice in one process never clashes.
"""

import zlib
from math import prod

import numpy as np

from .accounting import cost, trace
from .architectures import get_architecture, height_and_width, positive_int
from .resnet_v2 import callable_blocks, resnet_arg_scope, resnet_v2
from .tf_slim_compat import slim, tf

# On a CPU, images of a larger batch go through in slices of at most this many bytes: 8 images of 224x224x3. The caches then
# hold more of what one layer writes and the next one reads, and memory holds less. Measured by benchmarks/forward.py.
_SLICE_BYTES = 8 * 224 * 224 * 3 * 4


class Network:
    """A network with weights: `network(images)` gives the logits, `network.end_points(images)` every named tensor.

    architecture: the description; input_shape: of the images, (None, height, width, channels), None where any will do;
    graph: the TensorFlow graph; variables, trainable_variables: lists of tf.Variable in order of creation, named as
    tf-slim names them.
    """

    def __init__(self, architecture, function, options):
        self.architecture = architecture
        self._options = options
        self.graph = function.graph
        keys = tf.compat.v1.GraphKeys
        self.variables = self.graph.get_collection(keys.GLOBAL_VARIABLES)
        self.trainable_variables = self.graph.get_collection(keys.TRAINABLE_VARIABLES)
        self._function = function  # owns the variables
        self._input = function.inputs[0]
        net, self._end_point_tensors = function.structured_outputs
        self._forward = function.prune(self._input, net)  # asks for the net alone, so no end point is kept in memory
        self._all_end_points = None

    @property
    def input_shape(self):
        return tuple(self._input.shape)

    def __call__(self, images):
        """[batch, height, width, channels] -> logits [batch, 1, 1, num_classes] (or features), as `resnet_v2` returns them.

        images: a NumPy array or a tensor of any real type. Raises ValueError for another shape and for NaN or infinity.
        """
        return self.forward(self._checked(images))

    def forward(self, images):
        """`network(images)` without its checks, for a float32 tensor that is known to fit."""
        batch_size = images.shape[0]
        limit = max(1, _SLICE_BYTES // (4 * prod(images.shape[1:]))) if tf.executing_eagerly() else None
        if limit is None or batch_size <= limit or tf.config.list_physical_devices("GPU"):
            return self._forward(images)
        slices = np.array_split(np.arange(batch_size), -(-batch_size // limit))
        return tf.concat([self._forward(images[part[0] : part[-1] + 1]) for part in slices], axis=0)

    def end_points(self, images):
        """Every named tensor of the network for these images: dict of name -> tensor, without the network's scope:
        "block1/unit_1/bottleneck_v2/conv1", "block1", ..., "predictions". Raises what calling the network raises."""
        if self._all_end_points is None:
            self._all_end_points = self._function.prune(self._input, self._end_point_tensors)
        scope = self.architecture.name + "/"
        values = self._all_end_points(self._checked(images))
        return {name.removeprefix(scope): value for name, value in values.items()}

    def _checked(self, images):
        if not tf.is_tensor(images):
            images = np.asarray(images)
            if images.dtype.kind not in "fiub":
                raise ValueError(f"images must hold real numbers, got an array of {images.dtype}")
        images = tf.cast(images, tf.float32)
        if not self._input.shape.is_compatible_with(images.shape):
            raise ValueError(f"images must have the shape {_shape(self._input)}, got {_shape(images)}")
        if tf.executing_eagerly():
            finite = tf.math.is_finite(images)
            if not tf.reduce_all(finite):
                which = np.unique(np.argwhere(~finite.numpy())[:, 0])
                raise ValueError(f"images holds NaN or infinity, in image {', '.join(map(str, which))} of the batch")
        return images

    def trace(self):
        """The layers of this very network: `accounting.trace` with the arguments it was built with."""
        return trace(self.architecture, **self._options)

    def cost(self):
        """What this very network costs, in closed form: `accounting.cost` with the arguments it was built with."""
        return cost(self.architecture, **self._options)

    def __repr__(self):
        return f"<Network {self.architecture.name}: {_shape(self._input)} -> {_shape(self._forward.outputs[0])}>"


def _shape(tensor):
    return "[" + ", ".join("any" if side is None else str(side) for side in tensor.shape) + "]"


def _seeded_getter(seed):
    """Makes the first value of every `weights` from the seed and the variable's name, so that a network's weights depend
    on nothing else that ran before. The distribution is that of the arg scope's initializer (He et al. 2015,
    arXiv:1502.01852, equation 10): a normal of variance 2 / fan_in, cut off at 2 deviations and widened to make up for it."""

    def get(getter, name, *args, **kwargs):
        if name.endswith("/weights"):
            stream = (seed, zlib.crc32(name.encode()))

            def initializer(shape, dtype=tf.float32, partition_info=None):
                stddev = (1.3 * 2 / prod(shape[:-1])) ** 0.5
                return tf.random.stateless_truncated_normal(shape, stream, stddev=stddev, dtype=dtype)

            kwargs["initializer"] = initializer
        return getter(name, *args, **kwargs)

    return get


def build(architecture, image_size=224, num_classes=1000, seed=0, channels_in=3, global_pool=True, output_stride=None):
    """Builds a network for inference, with freshly initialized weights: Network.

    architecture: a name, an Architecture or a list of Blocks; image_size: one number, (height, width), or None for any;
    num_classes: None returns features; seed: of the weights (the same seed gives the same weights); channels_in: of the
    images; global_pool, output_stride: as in `resnet_v2.resnet_v2`.
    Raises ValueError or TypeError naming the argument at fault.
    """
    architecture = get_architecture(architecture)
    height, width = (None, None) if image_size is None else height_and_width(image_size)
    channels_in = positive_int("channels_in", channels_in)
    if num_classes is not None:
        num_classes = positive_int("num_classes", num_classes)

    def network(images):
        scope = tf.compat.v1.get_variable_scope()
        with (
            tf.compat.v1.variable_scope(scope, custom_getter=_seeded_getter(seed)),
            slim.arg_scope(resnet_arg_scope(is_training=False)),
        ):
            return resnet_v2(
                images,
                callable_blocks(architecture),
                num_classes,
                global_pool=global_pool,
                output_stride=output_stride,
                include_root_block=architecture.include_root_block,
                scope=architecture.name,
            )

    signature = [tf.TensorSpec([None, height, width, channels_in], tf.float32)]
    options = {
        "image_size": image_size,
        "num_classes": num_classes,
        "channels_in": channels_in,
        "global_pool": global_pool,
        "output_stride": output_stride,
    }
    return Network(architecture, tf.compat.v1.wrap_function(network, signature), options)
