"""The formulas of the mean field against random networks of finite width, written in NumPy with their own backpropagation."""

import numpy as np
import pytest

from resnet_lib.mean_field import profile

WIDTH = 200
BATCH = 200


def normalize(z):
    """Batch norm over the first axis: (normalized, its backward pass)."""
    deviation = z.std(axis=0)
    normal = (z - z.mean(axis=0)) / deviation

    def back(g):
        return (g - g.mean(axis=0) - normal * (g * normal).mean(axis=0)) / deviation

    return normal, back


def unchanged(z):
    return z, lambda g: g


def unit(x, skip, batch_norm, scale, random):
    """One unit: (what it puts out, its backward pass)."""
    norm = normalize if batch_norm else unchanged
    first, second = scale * random.normal(size=(2, WIDTH, WIDTH)) * np.sqrt(2 / WIDTH)
    if skip == "v2":
        a, back_a = norm(x)
        b, back_b = norm(np.maximum(a, 0) @ first)

        def back(g):
            inner = back_b((g @ second.T) * (b > 0))
            return g + back_a((inner @ first.T) * (a > 0))

        return x + np.maximum(b, 0) @ second, back
    a, back_a = norm(x @ first)
    b, back_b = norm(np.maximum(a, 0) @ second)
    total = b + x * (skip == "v1")

    def back(g):
        g = g * (total > 0)
        return back_a((back_b(g) @ second.T) * (a > 0)) @ first.T + g * (skip == "v1")

    return np.maximum(total, 0), back


def measured(units, skip, batch_norm, scale, seed):
    """Signal and gradient as a Profile has them, of one random network."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(BATCH, WIDTH))
    x = x if skip == "v2" else np.maximum(x, 0)
    signal, backs = [np.sqrt(np.mean(x**2))], []
    for _ in range(units):
        x, back = unit(x, skip, batch_norm, scale, random)
        signal.append(np.sqrt(np.mean(x**2)))
        backs.append(back)
    gradient = [random.normal(size=x.shape)]
    for back in reversed(backs):
        gradient.append(back(gradient[-1]))
    norms = np.array([np.linalg.norm(g) for g in gradient[::-1]])
    return np.array(signal), norms / norms[-1]


CASES = [
    ("none", False, 1.0),
    ("none", False, 0.8),
    ("none", True, 1.0),
    ("none", True, 3.0),
    ("v1", True, 1.0),
    ("v2", True, 1.0),
]
CASES += [("v1", True, 0.3), ("v2", True, 0.5), ("v2", False, 0.7), ("v2", False, 1.0)]


@pytest.mark.parametrize(("skip", "batch_norm", "scale"), CASES)
def test_random_networks_do_what_the_formulas_say(skip, batch_norm, scale):
    units = 12
    found = [measured(units, skip, batch_norm, scale, seed) for seed in range(3)]
    signal, gradient = np.exp(np.mean(np.log(found), axis=0))
    expected = profile(units, skip, batch_norm, scale)
    # A factor a unit: 3 % of difference in each of twelve units are 40 %.
    np.testing.assert_allclose(np.log(signal), np.log(expected.signal), atol=0.15 if batch_norm else 0.35)
    np.testing.assert_allclose(np.log(gradient), np.log(expected.gradient), atol=0.35)


def test_with_batch_norm_a_plain_gradient_explodes_and_a_residual_one_does_not():
    plain, v1, v2 = (profile(54, skip).gradient[0] for skip in ("none", "v1", "v2"))
    assert plain == pytest.approx((np.pi / (np.pi - 1)) ** 54) and plain > 1e8
    assert v2 < v1 < 1000


def test_twice_the_units_multiply_a_plain_gradient_by_itself_and_a_residual_one_by_a_constant():
    for units in (50, 100):
        assert profile(2 * units, "none").gradient[0] == pytest.approx(profile(units, "none").gradient[0] ** 2)
        assert profile(2 * units).gradient[0] < 2.3 * profile(units).gradient[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": 0}, "units must be"),
        ({"units": 3, "skip": "v3"}, "skip must be"),
        ({"units": 3, "weight_scale": "big"}, "weight_scale must be"),
        ({"units": 3, "skip": "v1", "batch_norm": False}, "batch_norm: 'v1' without it"),
    ],
)
def test_what_has_no_formula_is_refused(arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        profile(**arguments)
