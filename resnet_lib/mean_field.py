"""How large signals and gradients are in a fresh network, from formulas alone: the mean field. Pure Python.

Networks of units of two layers, infinitely wide, with ReLU and large batches; the weights of a layer have the variance
weight_scale^2 * 2 / fan_in, so that a scale of 1 is that of He et al. 2015b (arXiv:1502.01852, equation 10). What a network
does to the mean square of a signal on its way forward, and of a gradient on its way back, is then one factor a layer:

    plain                 forward s^2, backward s^2                             s the weight scale
    plain, batch norm     forward 1, backward pi / (pi - 1) = 1.467             Yang et al. 2019 (arXiv:1902.08129)
    residual              forward and backward 1 + s^4 a unit                   Yang and Schoenholz 2017 (arXiv:1712.08969)
    residual, batch norm  forward x grows by a constant a unit, backward 1 + constant / variance of x, which is polynomial in
                          the number of units                                   De and Smith 2020 (arXiv:2002.10444)
"""

from __future__ import annotations

from math import erf, exp, pi, sqrt
from typing import NamedTuple

from .checks import one_of, real_number, whole_number

SKIPS = ("none", "v1", "v2")

# Of the ReLU of a standard normal: its mean square is 1/2, its squared mean 1 / (2 pi), and so its variance:
_RELU_VARIANCE = (pi - 1) / (2 * pi)


MOST_UNITS = 10**5


class Profile(NamedTuple):
    """Of x_0, what the first unit receives, to x_n, what the last one puts out: two lists of units + 1 numbers."""

    signal: list[float]  # root of the mean square of x_i
    gradient: list[float]  # norm of a gradient for x_i, over its norm for x_n


def profile(units: int, skip: str = "v2", batch_norm: bool = True, weight_scale: float = 1.0) -> Profile:
    """Signal and gradient at every unit of a fresh network of wide layers: Profile.

    skip: "none", "v1", relu(x + F(x)) as in He et al. 2015, or "v2", x + F(x) with BN and ReLU before the convolutions as in
    He et al. 2016; batch_norm: after every convolution, for "v2" before it. x_0 is normal with variance 1, after a ReLU but
    for "v2".
    Raises ValueError naming the argument, also for "v1" without batch norm, where the signal keeps no shape that a formula
    could follow.
    """
    units = whole_number("units", units, 1, MOST_UNITS)
    one_of("skip", skip, SKIPS)
    one_of("batch_norm", batch_norm, (True, False))
    square = real_number("weight_scale", weight_scale) ** 2
    if skip == "v1" and not batch_norm:
        raise ValueError("batch_norm: 'v1' without it has no formula here, got False")
    if skip == "v1":
        steps = _v1(units)
    elif skip == "v2":
        steps = _v2(units, square) if batch_norm else [((1 + square**2) ** i, 1 + square**2) for i in range(units + 1)]
    elif batch_norm:
        steps = [(0.5, _BN_GROWTH**2)] * (units + 1)
    else:
        steps = [(0.5 * square ** (2 * i), square**2) for i in range(units + 1)]
    return _profile(steps)


_BN_GROWTH = pi / (pi - 1)  # of the mean square of a gradient, through ReLU, a layer's weights and its batch norm


def _profile(steps):
    """Of (mean square of x_i, factor of unit i for the mean square of a gradient): the Profile. The last factor is not used."""
    signal = [sqrt(mean_square) for mean_square, _ in steps]
    gradient = [1.0]
    for _, factor in reversed(steps[:-1]):
        gradient.append(gradient[-1] * sqrt(factor))
    return Profile(signal, gradient[::-1])


def _v2(units, square):
    """x + W2 relu(BN(W1 relu(BN(x)))): x grows by the same in every unit, and the way through F divides by its deviation."""
    steps = []
    for i in range(units + 1):
        variance = 1 + i * 2 * square * _RELU_VARIANCE  # over the images; the mean of a channel is taken away by its BN
        steps.append((1 + i * square, 1 + square * _BN_GROWTH / variance))
    return steps


def _v1(units):
    """relu(x + BN(W2 relu(BN(W1 x)))): what is added has variance 1, whatever the weights; the sum is taken for normal."""
    mean, variance, _ = _relu_moments(0.0, 1.0)
    steps = []
    for _ in range(units + 1):
        next_mean, next_variance, passed = _relu_moments(mean, variance + 1)
        steps.append((mean**2 + variance, passed * (1 + _BN_GROWTH / variance)))
        mean, variance = next_mean, next_variance
    return steps


def _relu_moments(mean, variance):
    """Of relu(z), z normal: its mean, its variance, and the share of z above 0."""
    deviation = sqrt(variance)
    z = mean / deviation
    share = (1 + erf(z / sqrt(2))) / 2
    density = exp(-z * z / 2) / sqrt(2 * pi)
    first = mean * share + deviation * density
    second = (mean**2 + variance) * share + mean * deviation * density
    return first, second - first**2, share
