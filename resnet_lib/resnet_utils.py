"""What every residual network needs: Block, subsample, conv2d_same, stack_blocks_dense, resnet_arg_scope, and the parts
that V1 and V2 share.

A drop-in replacement for `tf_slim.nets.resnet_utils`, which can be called the way the source text does as well: tuples
in `Block.args`, `is_training` in the arg scope. Taken apart piece by piece in notebook 07.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from math import ceil
from typing import Any

import numpy as np

from .architectures import ARCHITECTURES, Architecture
from .blocks import ROOT_POOLING, Block, Root, blocks_output_stride, check_reachable
from .checks import one_of
from .convolutions import CONVOLUTIONS, conv2d_same, subsample
from .tf_slim_compat import quick_functions, slim, tf
from .units import OPTIONS, Unit, UnitKind, kind_of_function, registered_functions, unit_arguments, unit_kind

__all__ = ["Block", "conv2d_same", "resnet_arg_scope", "stack_blocks_dense", "subsample"]


def unit_function(unit_fn: str | UnitKind | Callable) -> tuple[Callable, UnitKind | None]:
    """The function that makes a unit, and its kind; None for a function that this library does not know.

    Raises ValueError for a name that is not a kind.
    """
    if callable(unit_fn):
        return unit_fn, kind_of_function(unit_fn)
    kind = unit_kind(unit_fn)
    if callable(kind.builder):
        return kind.builder, kind
    return import_module(f".{kind.builder}", __package__).UNIT_FNS[kind.name], kind


def _heard_options(function, kind, options):
    """The options that a unit takes. Raises ValueError for one that it would not hear of, other than the default."""
    if kind is not None:
        return {name: value for name, value in options.items() if name in kind.options}
    for name, value in options.items():
        if value != OPTIONS[name]:
            raise ValueError(
                f"{name}: {value!r} cannot reach {function!r}, which is not a unit of this library; describe it with a "
                "units.UnitKind that has the option"
            )
    return {}


def blocks_stride(
    blocks: Sequence[Block], output_stride: int | None, root: Root | None, unit_options: dict[str, str]
) -> int | None:
    """The output stride that the blocks must reach for the network's. Raises what `stack_blocks_dense` would: asked before the
    network's scope is entered, it leaves that name to a corrected call."""
    strides = [unit["stride"] for *_, units in _stacked_units(blocks, unit_options) for unit in units]
    return blocks_output_stride(output_stride, root, strides)


def _stacked_units(blocks, unit_options):
    """[(block, unit function, its kind or None, arguments of each unit)]; raises ValueError where malformed."""
    stacked = []
    for block in blocks:
        function, kind = unit_function(block.unit_fn)
        options = _heard_options(function, kind, unit_options)
        shape = kind.shape if kind else Unit
        where = f"Block {block.scope!r}, unit"
        units = [{**unit_arguments(arg, shape, f"{where} {i}"), **options} for i, arg in enumerate(block.args, 1)]
        stacked.append((block, function, kind, units))
    if not stacked or not all(units for *_, units in stacked):
        raise ValueError(f"blocks must hold at least one Block, each of at least one unit, got {blocks!r}")
    return stacked


@quick_functions()  # a deep network in a graph of one's own takes half the time
@slim.add_arg_scope
def stack_blocks_dense(
    net: tf.Tensor,
    blocks: Iterable[Block],
    output_stride: int | None = None,
    outputs_collections: Any = None,
    unit_options: dict[str, str] | None = None,
) -> tf.Tensor:
    """Stacks the units of all blocks on `net`, each under the scope `block/unit_i`.

    output_stride: the ratio of input to output resolution to stop striding at. Units beyond it take stride 1 and
    multiply the rate of their atrous 3x3 instead, so that the features stay dense (Chen et al. 2016, arXiv:1606.00915).
    It must be a product of the units' strides from the start: with strides 1, 2, 1, 3, 4 that is 1, 2, 6 or 24.
    outputs_collections: the graph collection that receives the output of every block. unit_options: shortcut and stride_in
    of every unit. Raises ValueError for an output_stride out of reach, an empty list of blocks, a malformed unit, an option
    that a unit does not take, and a unit of a `units.UnitKind` that returns another depth or stride than its arguments say.
    """
    stacked = _stacked_units(list(blocks), unit_options or {})
    check_reachable(output_stride, [unit["stride"] for *_, units in stacked for unit in units])
    current_stride, rate = 1, 1
    for block, unit_fn, kind, units in stacked:
        with tf.compat.v1.variable_scope(block.scope, "block", [net]) as scope:
            for i, unit in enumerate(units, 1):
                inputs, stride = net, unit["stride"]
                with tf.compat.v1.variable_scope(f"unit_{i}", values=[net]):
                    if current_stride == output_stride:
                        # What follows the stride within the unit, as in this library's own units, widens by it at once.
                        dilation = {"dilation": stride} if kind and "dilation" in kind.options else {}
                        net = unit_fn(net, rate=rate, **{**unit, "stride": 1}, **dilation)
                        rate *= stride
                        stride = 1
                    else:
                        net = unit_fn(net, rate=1, **unit)
                        current_stride *= stride
                if kind:
                    _check_output(
                        f"Block {block.scope!r}, unit {i}, of kind {kind.name!r}", net, inputs, unit["depth"], stride
                    )
            net = slim.utils.collect_named_outputs(outputs_collections, scope.name, net)
    return net


def _check_output(where, net, inputs, depth, stride):
    """Raises ValueError or TypeError where a unit has not made what its arguments say."""
    if not tf.is_tensor(net):
        raise TypeError(f"{where}: the function must return a tensor, got {net!r}")
    height, width = (side and ceil(side / stride) for side in inputs.shape[1:3])
    if not net.shape.is_compatible_with([None, height, width, depth]):
        raise ValueError(
            f"{where}: the function must turn {inputs.shape} into depth {depth} at stride {stride}, got {net.shape}"
        )


def resnet_arg_scope(
    is_training: bool = True,
    weight_decay: float = 0.001,
    batch_norm_decay: float = 0.997,
    batch_norm_epsilon: float = 1e-5,
    batch_norm_scale: bool = True,
) -> dict:
    """Defaults of every layer in a ResNet: L2, He initialization, batch norm and ReLU after each convolution, SAME pooling.

    weight_decay is 0.001 as in the source text; He et al. (2015, section 3.4) and tf-slim use 0.0001. is_training comes
    first, as in the source text; tf-slim's own `resnet_arg_scope` does not have it, so pass the others by name. Raises
    TypeError for an is_training that is neither True, False nor a tensor, such as the weight_decay of a call of tf-slim's.
    """
    if not isinstance(is_training, bool | np.bool_) and not tf.is_tensor(is_training):
        raise TypeError(
            f"is_training must be True or False, got {is_training!r}; it comes first here, where tf-slim has weight_decay: "
            "write resnet_arg_scope(weight_decay=...)"
        )
    batch_norm = {
        "decay": batch_norm_decay,
        "epsilon": batch_norm_epsilon,
        "scale": batch_norm_scale,
        "updates_collections": tf.compat.v1.GraphKeys.UPDATE_OPS,
    }
    with (
        slim.arg_scope(
            CONVOLUTIONS,
            weights_regularizer=slim.l2_regularizer(weight_decay) if weight_decay else None,
            weights_initializer=slim.variance_scaling_initializer(),
            activation_fn=tf.nn.relu,
            normalizer_fn=slim.batch_norm,
            normalizer_params=batch_norm,
        ),
        # is_training stands here alone, not in normalizer_params: there, it would win over the network's own is_training.
        slim.arg_scope([slim.batch_norm], is_training=is_training, **batch_norm),
        slim.arg_scope([slim.dropout], is_training=is_training),
        slim.arg_scope([slim.max_pool2d], padding="SAME") as scope,
    ):
        return scope


def as_images(inputs: Any) -> tf.Tensor:
    """`inputs` as a tensor: what is none, such as an array, becomes one of float32. Raises ValueError when it is not of rank 4
    with a known number of channels."""
    inputs = tf.convert_to_tensor(inputs, None if hasattr(inputs, "get_shape") else tf.float32)
    shape = inputs.get_shape()
    if shape.rank != 4 or shape[3] is None:
        raise ValueError(f"inputs must be [batch, height, width, channels] with the channels known, got {shape}")
    return inputs


@contextmanager
def network_scope(
    default_name: str,
    blocks: Sequence[Block],
    inputs: tf.Tensor,
    is_training: bool | None,
    reuse: bool | None,
    scope: str | None,
) -> Iterator[str]:
    """The variable scope of a network; every convolution, unit and block in it is collected. Yields the collection's name.

    is_training: of the batch norms and of dropout, None takes what the arg scope says.
    """
    functions = {unit_function(block.unit_fn)[0] for block in blocks} | {*registered_functions()}
    collecting = [function for function in functions if slim.has_arg_scope(function)]
    training = {} if is_training is None else {"is_training": is_training}
    with tf.compat.v1.variable_scope(scope, default_name, [inputs], reuse=reuse) as sc:
        collection = sc.original_name_scope + "_end_points"
        with (
            slim.arg_scope([*CONVOLUTIONS, stack_blocks_dense, *collecting], outputs_collections=collection),
            slim.arg_scope([slim.batch_norm, slim.dropout], **training),
        ):
            yield collection


_FILL = {"zeros": 0.0, "symmetric": tf.float32.min}  # what pads the input of the root's pooling on all sides


def root_block(net: tf.Tensor, root: Root | None, pooling: str = "SAME") -> tf.Tensor:
    """What stands before the first block, for a `Root` or None: its convolution, and its 3x3 max pooling if it has one, whose
    input is padded as `pooling` says, one of `blocks.ROOT_POOLING`."""
    one_of("root_pooling", pooling, ROOT_POOLING)
    if root is None:
        return net
    net = conv2d_same(net, root.depth, root.kernel_size, stride=root.stride, scope="conv1")
    if root.pool_stride == 1:
        return net
    if pooling != "SAME":
        net = tf.pad(net, [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=_FILL[pooling])
    padding = "SAME" if pooling == "SAME" else "VALID"
    return slim.max_pool2d(net, [3, 3], stride=root.pool_stride, padding=padding, scope="pool1")


def classifier(
    net: tf.Tensor, num_classes: int | None, global_pool: bool, collection: str
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """What stands after the last block: pooling, logits as a 1x1 convolution, softmax. Returns (net, end_points)."""
    if global_pool:
        net = tf.reduce_mean(net, [1, 2], name="pool5", keepdims=True)
    if num_classes is not None:
        net = slim.conv2d(net, num_classes, [1, 1], activation_fn=None, normalizer_fn=None, scope="logits")
    end_points = slim.utils.convert_collection_to_dict(collection)
    if num_classes is not None:
        end_points["predictions"] = slim.softmax(net, scope="predictions")
    return net, end_points


def slim_block(scope: str, unit_fn: Callable, base_depth: int, num_units: int, stride: int) -> Block:
    """A Block as tf-slim lays it out, in its dict form: depths of 4 * base_depth, the stride in the *last* unit."""
    strides = [1] * (num_units - 1) + [stride]
    return Block(scope, unit_fn, [Unit(4 * base_depth, base_depth, stride)._asdict() for stride in strides])


def named_network(name: str, network: Callable) -> Callable:
    """The function of a named network, called as tf-slim's: `resnet_v2_50(inputs, num_classes, ...)`."""
    architecture: Architecture = ARCHITECTURES[name]

    def named(inputs, num_classes=None, is_training=None, global_pool=True, output_stride=None, reuse=None, scope=name):
        return network(
            inputs,
            architecture.blocks,
            num_classes,
            is_training,
            global_pool,
            output_stride,
            reuse=reuse,
            scope=scope,
            root=architecture.root,
            shortcut=architecture.shortcut,
            stride_in=architecture.stride_in,
        )

    named.__name__ = named.__qualname__ = name
    named.__module__ = network.__module__  # where pickle finds it
    named.__doc__ = (
        f"ResNet V{architecture.version} of {architecture.layers} layers, units {architecture.units}, stride layout "
        f"{architecture.layout!r}, shortcut {architecture.shortcut!r}: see `resnet_v{architecture.version}`."
    )
    named.default_image_size = architecture.image_size
    return named
