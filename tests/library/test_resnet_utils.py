import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_lib.resnet_utils import Block, conv2d_same, resnet_arg_scope, stack_blocks_dense, subsample
from resnet_lib.resnet_v2 import bottleneck
from resnet_lib.tf_slim_compat import slim, tf


def run(make, seed=0):
    """Builds tensors in a graph of their own and returns their values."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.set_random_seed(seed)
        tensors = make()
        session.run(tf.compat.v1.global_variables_initializer())
        return session.run(tensors)


@given(size=st.integers(1, 9), factor=st.integers(1, 4))
@settings(max_examples=20, deadline=None)
def test_subsample_keeps_every_factor_th_pixel(size, factor):
    images = np.arange(size * size, dtype=np.float32).reshape(1, size, size, 1)
    assert np.array_equal(run(lambda: subsample(tf.constant(images), factor)), images[:, ::factor, ::factor])


@given(
    size=st.integers(1, 12),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 3),
    rate=st.integers(1, 2),
    seed=st.integers(0, 9),
)
@settings(max_examples=25, deadline=None)
def test_conv2d_same_is_convolution_then_subsampling(size, kernel, stride, rate, seed):
    images = np.random.default_rng(seed).normal(size=(2, size, size, 3)).astype(np.float32)
    if stride > 1:
        rate = 1  # TensorFlow takes either a stride or a rate

    def both():
        ours = conv2d_same(images, 4, kernel, stride, rate, scope="conv")
        tf.compat.v1.get_variable_scope().reuse_variables()
        dense = slim.conv2d(images, 4, kernel, stride=1, rate=rate, padding="SAME", scope="conv")
        return ours, subsample(dense, stride)

    ours, subsampled = run(both)
    np.testing.assert_allclose(ours, subsampled, rtol=1e-4, atol=1e-5)


def test_strided_same_of_tensorflow_samples_other_pixels_on_even_sizes():
    images = np.random.default_rng(0).normal(size=(1, 4, 4, 1)).astype(np.float32)

    def both():
        ours = conv2d_same(images, 1, 3, 2, scope="conv")
        tf.compat.v1.get_variable_scope().reuse_variables()
        return ours, slim.conv2d(images, 1, 3, stride=2, padding="SAME", scope="conv")

    ours, theirs = run(both)
    assert ours.shape == theirs.shape and np.abs(ours - theirs).max() > 0.1


def test_tuples_and_dicts_stack_to_the_same_network():
    tuples = [Block("block1", bottleneck, [(8, 2, 1)] * 2 + [(8, 2, 2)])]
    dicts = [tuples[0]._replace(args=[{"depth": d, "depth_bottleneck": b, "stride": s} for d, b, s in tuples[0].args])]
    images = np.random.default_rng(0).normal(size=(1, 9, 9, 3)).astype(np.float32)

    def net(blocks):
        with slim.arg_scope(resnet_arg_scope(is_training=False)):
            return stack_blocks_dense(tf.constant(images), blocks)

    assert np.array_equal(run(lambda: net(tuples)), run(lambda: net(dicts)))


def batch_norm_modes(**network_options):
    """Whether each batch norm of a small network normalizes with the batch, given an arg scope and the network's say."""
    from resnet_lib.resnet_v2 import resnet_v2

    scope_options = {k: network_options.pop(k) for k in ("scope_is_training",) if k in network_options}
    with tf.Graph().as_default() as graph:
        with slim.arg_scope(resnet_arg_scope(is_training=scope_options.get("scope_is_training", True))):
            resnet_v2(tf.zeros([1, 8, 8, 3]), [Block("block1", bottleneck, [(8, 2, 1)])], **network_options)
        return {op.get_attr("is_training") for op in graph.get_operations() if op.type == "FusedBatchNormV3"}


def test_is_training_comes_from_the_arg_scope_unless_the_network_says_otherwise():
    assert batch_norm_modes() == {True}
    assert batch_norm_modes(scope_is_training=False) == {False}
    assert batch_norm_modes(scope_is_training=True, is_training=False) == {False}
    assert batch_norm_modes(scope_is_training=False, is_training=True) == {True}


def test_arg_scope_defaults_are_the_source_texts():
    with tf.Graph().as_default() as graph:
        with slim.arg_scope(resnet_arg_scope()):
            slim.conv2d(tf.zeros([1, 4, 4, 3]), 2, 3)
        names = {variable.op.name for variable in tf.compat.v1.global_variables()}
        losses = tf.compat.v1.losses.get_regularization_losses()
        epsilon = next(op for op in graph.get_operations() if op.type == "FusedBatchNormV3").get_attr("epsilon")
    assert names == {
        "Conv/weights",
        *(f"Conv/BatchNorm/{n}" for n in ("beta", "gamma", "moving_mean", "moving_variance")),
    }
    assert epsilon == pytest.approx(1e-5)
    weight_decay = [op for op in losses[0].graph.get_operations() if op.name.endswith("l2_regularizer/scale")]
    with tf.compat.v1.Session(graph=graph) as session:
        assert session.run(weight_decay[0].outputs[0]) == pytest.approx(0.001)


def test_unreachable_strides_and_malformed_blocks_are_named():
    blocks = [Block("block1", bottleneck, [(8, 2, 2), (8, 2, 3)])]
    with tf.Graph().as_default():
        net = tf.zeros([1, 8, 8, 3])
        with pytest.raises(
            ValueError, match=r"The target output_stride cannot be reached: .* one of \[1, 2, 6\], .* got 3"
        ):
            stack_blocks_dense(net, blocks, output_stride=3)
        with pytest.raises(ValueError, match="Block 'block1', unit 1: expected .*depth_bottleneck"):
            stack_blocks_dense(net, [Block("block1", bottleneck, [(8, 2)])])
        with pytest.raises(ValueError, match="unit 2: stride must be a positive whole number, got -2"):
            stack_blocks_dense(net, [Block("block1", bottleneck, [(8, 2, 1), (8, 2, -2)])])
        with pytest.raises(TypeError, match="unit 1: depth must be a positive whole number, got '8'"):
            stack_blocks_dense(net, [Block("block1", bottleneck, [{"depth": "8", "depth_bottleneck": 2}])])
        with pytest.raises(ValueError, match="at least one Block"):
            stack_blocks_dense(net, [])
        with pytest.raises(ValueError, match="at least one Block"):
            stack_blocks_dense(net, [Block("block1", bottleneck, [])])
