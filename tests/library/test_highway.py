import numpy as np
import pytest

from resnet_lib import highway
from resnet_lib.data import digits
from resnet_lib.highway import (
    LayerWeights,
    gate_openness,
    gradient_norm,
    highway_layer,
    initialize_stack,
    plain_layer,
    residual_layer,
    stack_layers,
    train_stack,
)
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


DATA = digits(num_train=300)
DATA = DATA._replace(
    test_images=DATA.test_images[:300], test_labels=DATA.test_labels[:300]
)  # of one shape: compiled once


@pytest.fixture
def eagerly():
    """Steps run op by op: for what is said of the numbers alone, as compiling a loop takes longer than running it does."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.mark.parametrize("layer", [plain_layer, highway_layer, residual_layer])
def test_a_short_stack_of_any_layer_trains(layer):
    trained = train_stack(layer, 3, DATA, width=16, epochs=6, learning_rate=0.1, batch_size=20)
    assert [epoch.epoch for epoch in trained.epochs] == [1, 2, 3, 4, 5, 6]
    assert trained.epochs[-1].train_loss < trained.epochs[0].train_loss and trained.epochs[-1].train_error < 0.3
    assert trained.epochs[-1].test_error < 0.5 and trained.first.shape == (300, 16)


def test_training_a_stack_is_momentum_sgd(eagerly):
    """One step of a stack of one plain layer against TensorFlow's own optimizer on the same start."""
    options = {"width": 8, "epochs": 1, "batch_size": 300, "learning_rate": 0.3}
    once, start = train_stack(plain_layer, 1, DATA, **options), initialize_stack(1, 8, 0.0, 0)
    # The classifier begins at zero, so in the first step no gradient reaches the stack; in the second it does.
    np.testing.assert_allclose(once.weights.kernel, start.kernel, atol=1e-7)
    assert once.epochs[0].train_loss == pytest.approx(np.log(10), rel=1e-5)
    twice = train_stack(plain_layer, 1, DATA, **{**options, "epochs": 2})
    assert np.abs(twice.weights.kernel - start.kernel).max() > 1e-4
    assert twice.epochs[0] == once.epochs[0] and twice.epochs[1].train_loss < np.log(10)


def test_the_seed_makes_the_stack(eagerly):
    options = {"width": 8, "epochs": 1, "gate_bias": -1.0}
    first, again, other = (train_stack(highway_layer, 2, DATA, **options, seed=seed).epochs for seed in (0, 0, 1))
    assert first == again != other


def test_gates_begin_where_the_whole_stack_transforms_once(eagerly):
    trained = train_stack(highway_layer, 50, DATA, width=8, epochs=1, learning_rate=0.0)
    np.testing.assert_allclose(trained.weights.gate_bias, -np.log(49), rtol=1e-6)
    openness = gate_openness(trained.first[:20], trained.weights)
    assert openness.shape == (50, 20) and 0.5 < openness.mean(axis=1).sum() < 2
    by_hand = 1 / (1 + np.exp(-(trained.first[:20] @ trained.weights.gate_kernel[0] + trained.weights.gate_bias[0])))
    np.testing.assert_allclose(openness[0], by_hand.mean(axis=1), rtol=1e-4)


def test_a_highway_stack_of_900_layers_learns():
    """Srivastava et al. 2015 train 900 layers; here plain SGD with momentum takes the loss down within two epochs."""
    trained = train_stack(highway_layer, 900, digits(), width=32, epochs=2)
    assert trained.epochs[1].train_loss < trained.epochs[0].train_loss < 2.31 and trained.epochs[1].train_error < 0.6


def test_a_batch_larger_than_the_data_is_named():
    with pytest.raises(ValueError, match="batch_size must be at most the 300 training images, got 301"):
        train_stack(plain_layer, 1, DATA, batch_size=301)
