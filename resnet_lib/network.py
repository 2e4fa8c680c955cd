"""From a description to something that runs: `build(...)` gives a `Network`, which is called on images.

Built once with `tf.compat.v1.wrap_function`, a tf-slim network works in eager mode and keeps its variables. Every Network has
a graph of its own, so building twice in one process never clashes.
"""

import re
import zlib
from dataclasses import replace
from functools import cached_property
from importlib import import_module
from math import prod

import numpy as np

from . import orderings, resnet_v1, resnet_v2
from .accounting import Cost, cost, trace
from .architectures import OTHER_NETS, OWN, UNIT_KINDS, get_architecture
from .checks import height_and_width, one_of, positive_int
from .exporting import export_saved_model, export_stablehlo
from .freezing import Frozen, checked_images, in_slices, shape_text
from .graph_cost import graph_cost
from .resnet_utils import callable_blocks, resnet_arg_scope
from .tf_slim_compat import slim, tf

_UNIT_FNS = {**resnet_v1.UNIT_FNS, **resnet_v2.UNIT_FNS, **orderings.UNIT_FNS}


class Network:
    """A network with weights: `network(images)` gives the logits, `network.end_points(images)` every named tensor.

    name: the variable scope; architecture: the description, None for one of `architectures.OTHER_NETS`; input_shape: of the
    images, (None, height, width, channels), None where any will do; graph: the TensorFlow graph; variables,
    trainable_variables: lists of tf.Variable in order of creation, named as tf-slim names them.
    """

    def __init__(self, name, architecture, function, options):
        self.name = name
        self.architecture = architecture
        self._options = options
        self.graph = function.graph
        keys = tf.compat.v1.GraphKeys
        self.variables = self.graph.get_collection(keys.GLOBAL_VARIABLES)
        self.trainable_variables = self.graph.get_collection(keys.TRAINABLE_VARIABLES)
        self._by_name = {_plain_name(variable): variable for variable in self.variables}
        self._function = function  # owns the variables
        self._input = function.inputs[0]
        self._net, self._end_point_tensors = function.structured_outputs

    @property
    def input_shape(self):
        return tuple(self._input.shape)

    @cached_property
    def _forward(self):
        """Asks for the net alone, so no end point is kept in memory."""
        return self._function.prune(self._input, self._net)

    @cached_property
    def _all_end_points(self):
        return self._function.prune(self._input, self._end_point_tensors)

    def __call__(self, images):
        """[batch, height, width, channels] -> logits [batch, 1, 1, num_classes] (or features), as `resnet_v2` returns them.

        images: a NumPy array or a tensor of any real type. Raises ValueError for another shape and for NaN or infinity.
        """
        return self.forward(checked_images(images, self._input.shape))

    def forward(self, images):
        """`network(images)` without its checks, for a float32 tensor that is known to fit."""
        return in_slices(self._forward, images)

    def freeze(self, precision="float32", engine="tf"):
        """This network for inference only, as it is now: a `freezing.Frozen`, called like the network.

        Later changes of this network do not reach it, and batch norms are folded into the convolutions before them where that
        is exact. precision: "float32" (equal to rounding, about 1e-6 of the largest logit) or "bfloat16" (to about 1e-2),
        which a processor with such instructions computes twice as fast (benchmarks/forward.py). engine: "tf", "xla",
        "openvino" (extra of that name) or "session", the source text's way. Raises ValueError for another one and ImportError
        for an engine that is missing.
        """
        return Frozen(self, precision, engine)

    def export_stablehlo(self, path, batch_size=32, precision="float32"):
        """Writes the network, frozen, for machines without TensorFlow: see `exporting.export_stablehlo`."""
        export_stablehlo(self, path, batch_size, precision)

    def export_saved_model(self, path):
        """Writes the network for TensorFlow without this library: see `exporting.export_saved_model`."""
        export_saved_model(self, path)

    def end_points(self, images):
        """Every named tensor of the network for these images: dict of name -> tensor, without the network's scope:
        "block1/unit_1/bottleneck_v2/conv1", "block1", ..., "predictions". Raises what calling the network raises."""
        values = self._all_end_points(checked_images(images, self._input.shape))
        return {name.removeprefix(self.name + "/"): value for name, value in values.items()}

    def save(self, path):
        """Writes every variable to a file of NumPy's .npz format, under its name without the ":0"."""
        with open(path, "wb") as file:
            np.savez(file, **{_plain_name(variable): variable.numpy() for variable in self.variables})

    def load(self, path):
        """Takes the value of every variable from a file that `save` or, as a checkpoint, `training.train` has written.

        Raises ValueError when a variable is not there or has another shape, before any is changed.
        """
        with np.load(path) as saved:
            values = [saved[name] if name in saved.files else None for name in map(_plain_name, self.variables)]
        for variable, value in zip(self.variables, values, strict=True):
            if value is None or value.shape != tuple(variable.shape):
                found = "nothing of that name" if value is None else f"the shape {value.shape}"
                raise ValueError(
                    f"path: {_plain_name(variable)} has the shape {tuple(variable.shape)}, {path} has {found}"
                )
        for variable, value in zip(self.variables, values, strict=True):
            variable.assign(value)

    def rewired(self, order):
        """The network with units left out, repeated or in another order: a Network on the same variables.

        order: scope of a block -> the numbers of its units in the order of the new network; {"block1": [1, 2, 4]} leaves out
        the third. Other blocks stay. Raises ValueError for a block or a number that is not there, for an empty list, and
        where a unit does not fit what the new network hands it.
        """
        if self.architecture is None:
            raise ValueError(f"{self.name!r} is no list of Blocks, so it has no units to rewire")
        scopes = {block.scope: block for block in self.architecture.blocks}
        for scope, numbers in order.items():
            units = scopes[one_of("order: block", scope, list(scopes))].args
            if not numbers or not set(numbers) <= {*range(1, len(units) + 1)}:
                raise ValueError(
                    f"order: {scope!r} has the units 1 to {len(units)} and needs one at least, got {numbers!r}"
                )
        blocks = tuple(
            block._replace(args=tuple(block.args[i - 1] for i in order[scope])) if scope in order else block
            for scope, block in scopes.items()
        )
        architecture, handed_out = replace(self.architecture, blocks=blocks), {}
        options = {name: self._options[name] for name in _FUNCTION_OPTIONS}
        function = network_function(architecture, **options, weight_decay=0.0)
        function = _wrapped(function, self._input.shape, self._shared_getter(order, handed_out))
        network = Network(self.name, architecture, function, self._options)
        network._by_name = handed_out  # a variable keeps the name of the unit that it was made for
        return network

    def _shared_getter(self, order, handed_out):
        """A custom getter that gives unit i + 1 of a new network the variables of this network's unit order[block][i], and
        notes in `handed_out` which variable went by which name."""
        keys, trainable = tf.compat.v1.GraphKeys, [id(variable) for variable in self.trainable_variables]

        def get(_getter, name, *args, shape=None, **kwargs):
            place = re.match(rf"{self.name}/([^/]+)/unit_(\d+)/", name)
            block, number = place.groups() if place else ("", "")
            old = order[block][int(number) - 1] if block in order else number
            ours = name.replace(f"/unit_{number}/", f"/unit_{old}/", 1)
            variable = handed_out[name] = self._by_name.get(ours)
            if variable is None or list(variable.shape) != list(shape):
                there = f"has the shape {tuple(variable.shape)}" if variable is not None else "is not there"
                raise ValueError(f"order: {order} does not fit: {ours} would need the shape {tuple(shape)} and {there}")
            for key in [keys.GLOBAL_VARIABLES, *([keys.TRAINABLE_VARIABLES] if id(variable) in trainable else [])]:
                if not any(variable is known for known in tf.compat.v1.get_collection(key)):
                    tf.compat.v1.add_to_collection(key, variable)
            return variable

        return get

    def trace(self):
        """The layers of this very network: `accounting.trace` with the arguments it was built with. Raises ValueError for a
        network that is no list of Blocks."""
        return trace(self.architecture or self.name, **self._options)

    def cost(self):
        """What this very network costs: `accounting.cost` with the arguments it was built with, or where its units or the whole
        of it have no closed form, the count of its graph."""
        blocks = self.architecture.blocks if self.architecture else ()
        closed = blocks and all(getattr(block.unit_fn, "kind", block.unit_fn) in UNIT_KINDS for block in blocks)
        return cost(self.architecture, **self._options) if closed else Cost(*graph_cost(self)[:3])

    def widest(self):
        """How many numbers the widest convolution writes for one image."""
        return max(op.activations for op in graph_cost(self).ops)

    def __repr__(self):
        return f"<Network {self.name}: {shape_text(self._input.shape)} -> {shape_text(self._net.shape)}>"


_FUNCTION_OPTIONS = ("num_classes", "global_pool", "output_stride")


def _plain_name(variable):
    return variable.name.split(":")[0]


def _wrapped(function, input_shape, getter=None):
    """A slim network as a callable of its own graph; getter: a custom getter of its variables."""

    def network(images):
        with tf.compat.v1.variable_scope(tf.compat.v1.get_variable_scope(), custom_getter=getter):
            return function(images)

    return tf.compat.v1.wrap_function(network, [tf.TensorSpec(input_shape, tf.float32)])


def seeded_weights(seed):
    """Makes the first value of every `weights` from the seed and the variable's name, so that a network's weights depend
    on nothing else that ran before; None changes nothing. The distribution is that of the arg scope's initializer (He et
    al. 2015, arXiv:1502.01852, equation 10): a normal of variance 2 / fan_in, cut off at 2 deviations and widened to make
    up for it."""

    def get(getter, name, *args, **kwargs):
        if seed is not None and name.endswith("/weights"):
            stream = (seed, zlib.crc32(name.encode()))

            def initializer(shape, dtype=tf.float32, partition_info=None):
                stddev = (1.3 * 2 / prod(shape[:-1])) ** 0.5
                return tf.random.stateless_truncated_normal(shape, stream, stddev=stddev, dtype=dtype)

            kwargs["initializer"] = initializer
        return getter(name, *args, **kwargs)

    return get


def network_function(architecture, num_classes=None, global_pool=True, output_stride=None, seed=None, **scope_options):
    """An Architecture as a tf-slim network: a function (images, is_training=False) -> (net, end_points).

    seed: of the weights, None leaves them to TensorFlow's; scope_options: of `resnet_arg_scope`. Calls after the first in a
    graph share its variables.
    """
    network = resnet_v1.resnet_v1 if architecture.version == 1 else resnet_v2.resnet_v2
    blocks = callable_blocks(architecture, _UNIT_FNS)

    def function(images, is_training=False):
        scope = tf.compat.v1.get_variable_scope()
        with (
            tf.compat.v1.variable_scope(scope, custom_getter=seeded_weights(seed), reuse=tf.compat.v1.AUTO_REUSE),
            slim.arg_scope(resnet_arg_scope(is_training=is_training, **scope_options)),
        ):
            return network(
                images, blocks, num_classes, global_pool=global_pool, output_stride=output_stride,
                include_root_block=architecture.root is not None, root=architecture.root, scope=architecture.name,
                shortcut=architecture.shortcut, stride_in=architecture.stride_in,
            )  # fmt: skip

    return function


def _other_net(name, num_classes, seed=None):
    """One of OTHER_NETS as a function images -> (net, end_points), with the logits of rank 4."""
    module_name, arg_scope, _ = OTHER_NETS[name]
    module = import_module(module_name)
    rank_4 = {"spatial_squeeze": False} if module_name.startswith("tf_slim") else {}  # ours are of rank 4 anyway

    def function(images):
        scope = tf.compat.v1.get_variable_scope()
        with (
            tf.compat.v1.variable_scope(scope, custom_getter=seeded_weights(seed)),
            slim.arg_scope(getattr(module, arg_scope)()),
            slim.arg_scope([slim.conv2d, slim.fully_connected], weights_regularizer=None),  # a penalty is for training
        ):
            return getattr(module, name)(images, num_classes, is_training=False, scope=name, **rank_4)

    return function


def other_net_cost(name, image_size=OWN, num_classes=OWN):
    """What one of OTHER_NETS costs, counted from its graph without making any weights: Cost."""
    height, width = height_and_width(OTHER_NETS[name][-1] if image_size == OWN else image_size)
    with tf.Graph().as_default() as graph:
        images = tf.compat.v1.placeholder(tf.float32, [None, height, width, 3])
        _other_net(name, 1000 if num_classes == OWN else num_classes)(images)
    return Cost(*graph_cost(graph)[:3])


def build(architecture, image_size=OWN, num_classes=OWN, seed=0, channels_in=3, global_pool=True, output_stride=None,
          layout=None, shortcut=None):  # fmt: skip
    """Builds a network for inference, with freshly initialized weights: Network.

    architecture: a name, an Architecture or a list of Blocks; image_size: one number, (height, width), or None for any;
    num_classes: None returns features; "own" is what the network was designed for; seed: of the weights (the same seed
    gives the same weights); channels_in: of the images; global_pool, output_stride: as in `resnet_v2.resnet_v2`;
    layout, shortcut: as in `accounting.trace`.
    The names of `architectures.OTHER_NETS` ("vgg_16", ...) build networks that are no lists of Blocks. They take image_size,
    num_classes, seed and channels_in only.
    Raises ValueError or TypeError naming the argument at fault.
    """
    options = {"global_pool": global_pool, "output_stride": output_stride, "layout": layout, "shortcut": shortcut}
    no_blocks = isinstance(architecture, str) and architecture in OTHER_NETS
    if no_blocks:
        name, own_size, own_classes = architecture, OTHER_NETS[architecture][-1], 1000
        unknown = [option for option, value in options.items() if value not in (None, True)]
        if unknown:
            raise ValueError(f"{unknown[0]}: {name!r} is no list of Blocks; got {options[unknown[0]]!r}")
        options = {}
    else:
        architecture = get_architecture(architecture, options.pop("layout"), options.pop("shortcut"))
        name, own_size, own_classes = architecture.name, architecture.image_size, architecture.num_classes
    image_size = own_size if image_size == OWN else image_size
    num_classes = own_classes if num_classes == OWN else num_classes
    height, width = (None, None) if image_size is None else height_and_width(image_size)
    channels_in = positive_int("channels_in", channels_in)
    if num_classes is not None:
        num_classes = positive_int("num_classes", num_classes)
    if no_blocks:
        network = _other_net(name, num_classes, seed)
    else:
        network = network_function(architecture, num_classes, global_pool, output_stride, seed, weight_decay=0.0)
    function = _wrapped(network, [None, height, width, channels_in])
    options = {"image_size": image_size, "num_classes": num_classes, "channels_in": channels_in, **options}
    return Network(name, None if no_blocks else architecture, function, options)
