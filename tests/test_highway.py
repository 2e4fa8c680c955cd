import numpy as np
import pytest

from resnet_lib import highway
from resnet_lib.highway import LayerWeights, gradient_norm, initialize_stack, stack_layers
from resnet_lib.tf_slim_compat import tf


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)


@pytest.fixture
def weights():
    random = np.random.default_rng(1)
    return LayerWeights(*(random.normal(size=s).astype(np.float32) for s in [(6, 6), (6,), (6, 6), (6,)]))


def test_the_three_formulas(x, weights):
    h = np.tanh(x @ weights.kernel + weights.bias)
    t = 1 / (1 + np.exp(-(x @ weights.gate_kernel + weights.gate_bias)))
    np.testing.assert_allclose(highway.plain_layer(x, weights), h, rtol=1e-5)
    np.testing.assert_allclose(highway.highway_layer(x, weights), h * t + x * (1 - t), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(highway.residual_layer(x, weights), x + h, rtol=1e-4, atol=1e-6)


def test_a_gate_at_its_limits_carries_or_transforms(x, weights):
    closed = highway.highway_layer(x, weights._replace(gate_bias=np.full(6, -200, np.float32)))
    opened = highway.highway_layer(x, weights._replace(gate_bias=np.full(6, 200, np.float32)))
    np.testing.assert_array_equal(closed, x)
    np.testing.assert_allclose(opened, highway.plain_layer(x, weights), rtol=1e-6)


@pytest.mark.parametrize("layer", highway.LAYERS.values(), ids=highway.LAYERS)
def test_a_stack_is_its_layers_one_after_another(x, layer):
    stacked = initialize_stack(7, 6)
    y = x
    for i in range(7):
        y = layer(y, LayerWeights(*(w[i] for w in stacked)), tf.nn.relu)
    np.testing.assert_allclose(stack_layers(layer, x, stacked, tf.nn.relu), y, rtol=1e-5)


def test_initial_weights():
    stacked = initialize_stack(50, 40, gate_bias=-3, seed=5)
    assert [w.shape for w in stacked] == [(50, 40, 40), (50, 40), (50, 40, 40), (50, 40)]
    assert np.std(stacked.kernel) == pytest.approx(40**-0.5, rel=0.02)
    assert np.all(stacked.gate_bias == -3) and np.all(stacked.bias == 0)
    assert np.array_equal(stacked.kernel, initialize_stack(50, 40, seed=5).kernel)
    assert not np.array_equal(stacked.kernel, stacked.gate_kernel)


def test_gradient_norm_agrees_with_the_product_of_jacobians():
    """A linear residual stack: dE/dx = dE/dy times the product of (I + W_i) transposed."""
    stacked, seed = initialize_stack(3, 5), 2
    _, upstream = tf.random.stateless_normal([2, 64, 5], seed=(seed, 0)).numpy()
    expected = upstream
    for kernel in stacked.kernel[::-1]:
        expected = expected @ (np.eye(5) + kernel).T
    ratio = np.linalg.norm(expected) / np.linalg.norm(upstream)
    assert gradient_norm(highway.residual_layer, stacked, activation=tf.identity, seed=seed) == pytest.approx(
        ratio, rel=1e-4
    )


def test_a_closed_gate_carries_the_gradient_through_a_thousand_layers():
    stacked = initialize_stack(1000, 10, gate_bias=-30)
    assert gradient_norm(highway.highway_layer, stacked) == pytest.approx(1, rel=1e-3)
    assert gradient_norm(highway.plain_layer, stacked) < 1e-3


def test_bad_sizes_are_named():
    with pytest.raises(ValueError, match="num_layers must be a positive whole number, got 0"):
        initialize_stack(0, 5)
    with pytest.raises(TypeError, match="width must be a positive whole number, got 2.5"):
        initialize_stack(1, 2.5)
