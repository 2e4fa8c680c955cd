"""An Architecture as a tf-slim network: a function of images, with weights that a seed makes; and as a callable of its own."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from contextlib import contextmanager
from math import prod
from typing import Any

from . import resnet_v1, resnet_v2
from .architectures import Architecture
from .resnet_utils import resnet_arg_scope
from .tf_slim_compat import check_eager, quick_building, slim, tf


def seeded_weights(seed: int | None) -> Callable:
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


def zero_weights(getter: Callable[..., Any], name: str, *args: Any, **kwargs: Any) -> Any:
    """A custom getter for a network that is about to be given its weights: to draw them would be a third of building it."""
    if name.endswith("/weights"):
        kwargs["initializer"] = tf.compat.v1.zeros_initializer()
    return getter(name, *args, **kwargs)


@contextmanager
def _only_gotten_variables(getter):
    """A custom getter like `getter`. Raises ValueError in the end for a variable that was made past it: no seed draws it, and
    training, which calls a network twice, would evaluate another one."""
    known = {id(variable) for variable in tf.compat.v1.global_variables()}

    def get(*args, **kwargs):
        variable = getter(*args, **kwargs)
        known.add(id(variable))
        return variable

    yield get
    for variable in tf.compat.v1.global_variables():
        if id(variable) not in known:
            raise ValueError(
                f"blocks: a unit makes the variable {variable.name!r} by itself, as layers of Keras do, so that every use of "
                "the network would have another one: take layers of tf_slim, or tf.compat.v1.get_variable"
            )


def network_function(architecture: Architecture, *, seed: int | None = None, **scope_options: Any) -> Callable:
    """An Architecture as a tf-slim network: a function (images, is_training=False) -> (net, end_points).

    seed: of the weights, None leaves them to TensorFlow's; scope_options: of `resnet_arg_scope`. Calls after the first in a
    graph share its variables. Raises ValueError for a unit that makes a variable otherwise than by tf.compat.v1.get_variable.
    """
    scope_options = {"batch_norm_epsilon": architecture.batch_norm_epsilon, **scope_options}
    network = resnet_v1.resnet_v1 if architecture.version == 1 else resnet_v2.resnet_v2

    def function(images, is_training=False):
        scope = tf.compat.v1.get_variable_scope()
        with (
            _only_gotten_variables(seeded_weights(seed)) as getter,
            tf.compat.v1.variable_scope(scope, custom_getter=getter, reuse=tf.compat.v1.AUTO_REUSE),
            slim.arg_scope(resnet_arg_scope(is_training, **scope_options)),
        ):
            return network(
                images,
                architecture.blocks,
                architecture.num_classes,
                global_pool=architecture.global_pool,
                output_stride=architecture.output_stride,
                root=architecture.root,
                scope=architecture.name,
                shortcut=architecture.shortcut,
                stride_in=architecture.stride_in,
                root_pooling=architecture.root_pooling,
            )

    return function


def shared_variables(
    by_name: dict[str, tf.Variable], trained: list[tf.Variable], renamed: dict[str, str], asked: str
) -> tuple[Callable, dict[str, tf.Variable]]:
    """A custom getter that makes no variable but gives those that are there, and which it gave by which name so far.

    renamed: beginning of a name -> the one under which the variable is known; trained: those that are trainable; asked: what an
    error says does not fit, where a variable is not there or has another shape.
    """
    keys = tf.compat.v1.GraphKeys
    trainable = {id(variable) for variable in trained}
    given: dict[str, tf.Variable] = {}

    def get(_getter, name, *args, shape=None, **kwargs):
        place = next((beginning for beginning in renamed if name.startswith(beginning)), "")
        known = renamed.get(place, "") + name.removeprefix(place)
        variable = given[name] = by_name.get(known)
        if variable is None or list(variable.shape) != list(shape):
            there = f"has the shape {tuple(variable.shape)}" if variable is not None else "is not there"
            raise ValueError(f"{asked} does not fit: {known} would need the shape {tuple(shape)} and {there}")
        for key in [keys.GLOBAL_VARIABLES, *([keys.TRAINABLE_VARIABLES] if id(variable) in trainable else [])]:
            if not any(variable is collected for collected in tf.compat.v1.get_collection(key)):
                tf.compat.v1.add_to_collection(key, variable)
        return variable

    return get, given


def wrapped(function: Callable, input_shape: Any, getter: Callable) -> Any:
    """A slim network as a callable of its own graph; getter: a custom getter of its variables. Raises RuntimeError outside of
    eager mode, where the callable would lack values."""
    check_eager("build")

    def network(images):
        scope = tf.compat.v1.get_variable_scope()
        with tf.compat.v1.variable_scope(scope, custom_getter=getter, use_resource=True):
            return function(images)

    with quick_building():
        return tf.compat.v1.wrap_function(network, [tf.TensorSpec(input_shape, tf.float32)])
