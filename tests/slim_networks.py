"""What the tests of V1 and V2 share: slim networks as callables, weights that all matter, images."""

import numpy as np

from experiments.as_built import randomize
from resnet_lib.resnet_utils import resnet_arg_scope
from resnet_lib.tf_slim_compat import quick_building, slim, tf


def wrapped(network, scope_options=None, **options):
    """A slim network as a callable with variables of its own."""

    def build(images):
        with slim.arg_scope(resnet_arg_scope(is_training=False, **(scope_options or {}))):
            return network(images, **options)

    channels = options.pop("channels_in", 3)
    with quick_building():
        return tf.compat.v1.wrap_function(build, [tf.TensorSpec([None, None, None, channels])])


def variables(function):
    return {variable.name.split(":")[0]: variable for variable in function.graph.get_collection("variables")}


def images(*shape, seed=1):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def short_blocks(module, version):
    """Four blocks as a named network has them, with less in them: what changes the depth, what stays, and what strides."""
    block = getattr(module, f"resnet_v{version}_block")
    sizes = [(8, 2, 2), (16, 2, 2), (24, 2, 2), (32, 1, 1)]  # base_depth, num_units, stride
    return [block(f"block{i}", *size) for i, size in enumerate(sizes, 1)]


def assert_equal_outputs(ours, theirs, size):
    """Both hold variables of one naming; with the same weights, every end point is equal to the last bit."""
    mine, upstream = variables(ours), variables(theirs)
    assert {n: v.shape for n, v in mine.items()} == {n: v.shape for n, v in upstream.items()}
    randomize(mine)
    for name, variable in mine.items():
        upstream[name].assign(variable)
    (net, end_points), (their_net, their_end_points) = ours(images(2, size, size, 3)), theirs(images(2, size, size, 3))
    assert list(end_points) == list(their_end_points)
    assert np.abs(net - their_net).max() == 0 and np.abs(net).max() > 0
    assert all(np.abs(end_points[n] - their_end_points[n]).max() == 0 for n in end_points)
