"""The identities of notebook 09 on random networks, and the two scripts in data/ that made its stored results."""

import functools
import itertools
import math
import operator
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slim_networks import images, randomize

from experiments import depth as DEPTH
from experiments import lesions as LESIONS
from resnet_lib import Architecture, Block, Root, build, data
from resnet_lib.highway import LAYERS, LayerWeights, initialize_stack, stack_layers
from resnet_lib.sweep import FAMILIES, results
from resnet_lib.tf_slim_compat import tf

seeds = st.integers(0, 10_000)
twenty = settings(max_examples=20, deadline=None)


# The ensemble: paths


@given(n=st.integers(1, 7), width=st.integers(1, 4), seed=seeds)
@twenty
def test_linear_units_are_a_sum_over_all_subsets(n, width, seed):
    """(1 + F_n) ... (1 + F_1) = sum over all 2^n subsets of their products, in whole numbers; C(n, k) have k factors."""
    units = [F.astype(object) for F in np.random.default_rng(seed).integers(-3, 4, (n, width, width))]
    one = np.eye(width, dtype=int).astype(object)
    network, total, lengths = one, 0 * one, []
    for F in units:
        network = (one + F) @ network
    for subset in itertools.product((0, 1), repeat=n):
        path = one
        for F, through in zip(units, subset, strict=True):
            path = F @ path if through else path
        total, lengths = total + path, [*lengths, sum(subset)]
    assert (network == total).all()
    assert [lengths.count(k) for k in range(n + 1)] == [math.comb(n, k) for k in range(n + 1)]


def tiny(kind, *blocks, shortcut="A"):
    """A small network of basic units: blocks are (number of units, depth, stride)."""
    version = kind.split("_")[1]
    listed = tuple(
        Block(f"block{b}", kind, ((depth, stride), *[(depth, 1)] * (n - 1)))
        for b, (n, depth, stride) in enumerate(blocks, 1)
    )
    return Architecture(f"tiny_{version}", listed, Root(3, 3, 1, 1), shortcut, image_size=6, num_classes=4)


TINY = {
    "v1": tiny("basic_v1", (2, 3, 1), (2, 5, 2)),
    "v2": tiny("basic_v2", (2, 3, 1), (2, 5, 2)),
    "v2, one block": tiny("basic_v2", (4, 3, 1)),
    "plain": tiny("basic_v1", (3, 3, 1), (2, 5, 2), shortcut="none"),
}


@functools.cache
def pair(name):
    """The library's network and the one of experiments/lesions.py, with its switches."""
    network = build(TINY[name], 6, channels_in=2)
    values = {variable.name.split(":")[0]: variable.numpy() for variable in network.variables}
    return network, LESIONS.Lesioned(TINY[name], values, (6, 6, 2), 4)


def random_pair(name, seed):
    network, lesioned = pair(name)
    by_name = {variable.name.split(":")[0]: variable for variable in network.variables}
    randomize(by_name, seed)
    lesioned.values = {name: variable.numpy() for name, variable in by_name.items()}
    lesioned.reorder({})
    return network, lesioned


@pytest.mark.parametrize("name", ["v1", "v2", "v2, one block"])
@given(seed=seeds)
@settings(max_examples=2, deadline=None)
def test_the_gradient_is_the_sum_of_the_gradients_along_all_paths(name, seed):
    """Of real units, V1 and V2, also where they change the shape; the whole gradient is TensorFlow's, of the library's own
    network. Float32: to 1e-4 of the largest gradient along one path."""
    network, lesioned = random_pair(name, seed)
    x, labels = images(2, 6, 6, 2, seed=seed), np.array([1, 3])
    with tf.GradientTape() as tape:
        tape.watch(tensor := tf.constant(x))
        logits = network.forward(tensor)[:, 0, 0]
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
    whole = tape.gradient(loss, tensor).numpy()
    subsets = [[i for i in range(4) if through[i]] for through in itertools.product((0, 1), repeat=4)]
    paths = [lesioned.path_gradient(x, labels, subset) for subset in subsets]
    tolerance = 1e-4 * max(np.abs(path).max() for path in paths)
    np.testing.assert_allclose(sum(paths), whole, rtol=0, atol=tolerance)
    np.testing.assert_allclose(lesioned.path_gradient(x, labels), whole, rtol=0, atol=tolerance)


@functools.cache
def single_units():
    """A stack of four V2 units without root and classifier, and networks of each of its units alone, on its variables."""
    stack = build(Architecture("stack", TINY["v2, one block"].blocks, None, "A"), 6, num_classes=None, channels_in=3)
    return stack, [stack.rewired({"block1": [i]}) for i in (1, 2, 3, 4)]


@given(seed=seeds)
@settings(max_examples=4, deadline=None)
def test_unravelled_a_network_is_nested_and_no_sum_of_independent_paths(seed):
    """h_n = h_{n-1} + F_n(h_{n-1}), each h_{n-1} unravelled on its own, is the network (float32, 1e-4 of the largest value);
    the sum of all compositions of the F, which linear units are equal to, is not."""
    stack, units = single_units()
    randomize({variable.name.split(":")[0]: variable for variable in stack.variables}, seed)
    x = tf.constant(images(2, 6, 6, 3, seed=seed))

    def residual(i, h):
        return units[i - 1].end_points(h)["block1"] - h

    def unravelled(n, h):
        return h if n == 0 else unravelled(n - 1, h) + residual(n, unravelled(n - 1, h))

    out = stack.end_points(x)["block1"].numpy()
    np.testing.assert_allclose(unravelled(4, x), out, rtol=0, atol=1e-4 * np.abs(out).max())
    independent = 0
    for subset in itertools.product((0, 1), repeat=4):
        h = x
        for i in itertools.compress((1, 2, 3, 4), subset):
            h = residual(i, h)
        independent += h
    assert np.linalg.norm(independent - out) > 0.1 * np.linalg.norm(out)


@functools.cache
def rewired(name, **order):
    """`Network.rewired` on the variables of `pair`, so that it sees what is assigned to them."""
    return pair(name)[0].rewired(order)


@pytest.mark.parametrize("name", ["v1", "v2", "plain"])
@given(seed=seeds)
@settings(max_examples=3, deadline=None)
def test_a_switched_off_unit_is_a_unit_left_out(name, seed):
    """The switches of experiments/lesions.py against `Network.rewired`, and new weights in old units against another order."""
    _, lesioned = random_pair(name, seed)
    first, second = (tuple(range(1, n + 1)) for n in TINY[name].units)
    x = images(3, 6, 6, 2, seed=seed)
    for kept in (
        {"block1": first[:1], "block2": second},
        {"block1": first[1:], "block2": second[:1]},
    ):
        removed = [i for i, (scope, number) in enumerate(lesioned.units) if number not in kept[scope]]
        feed = {lesioned.images: x, lesioned.switches: lesioned._switched(removed, 0)}
        logits = rewired(name, **kept)(x)[:, 0, 0].numpy()
        np.testing.assert_allclose(lesioned.session.run(lesioned.logits, feed), logits, rtol=1e-4, atol=1e-4)

    order = (*first[1:], 1)
    lesioned.reorder({i: number - 1 for i, number in enumerate(order)})
    feed[lesioned.switches] = lesioned._switched([], 0)
    logits = rewired(name, block1=order)(x)[:, 0, 0].numpy()
    np.testing.assert_allclose(lesioned.session.run(lesioned.logits, feed), logits, rtol=1e-4, atol=1e-4)


# The recurrent net: one cell


@given(name=st.sampled_from(sorted(LAYERS)), steps=st.integers(1, 9), width=st.integers(1, 6), seed=seeds)
@twenty
def test_a_stack_that_shares_its_weights_is_a_cell_unrolled_in_time(name, steps, width, seed):
    """h <- carry * h + transform * g(h) with one set of weights: plain 0 and 1, Highway 1 - T and T, residual 1 and 1. Fed the
    sequence x, 0, 0, ... from state 0, with no biases. Float32: 1e-4."""
    w = LayerWeights(*(part[0] for part in initialize_stack(1, width, seed=seed)))
    x = images(3, width, seed=seed)
    h = np.zeros_like(x)
    for signal in [x, *[np.zeros_like(x)] * steps]:
        gate = 1 / (1 + np.exp(-(h @ w.gate_kernel + w.gate_bias)))
        carry, transform = {"plain": (0, 1), "highway": (1 - gate, gate), "residual": (1, 1)}[name]
        h = carry * h + transform * np.tanh(h @ w.kernel) + signal
    shared = LayerWeights(*(tf.constant(np.repeat(part[None], steps, axis=0)) for part in w))
    np.testing.assert_allclose(stack_layers(LAYERS[name], tf.constant(x), shared), h, rtol=1e-4, atol=1e-4)


# The power of depth: pieces, counted exactly


def knots(layers, low=Fraction(0), high=Fraction(1)):
    """The exact knots (x, y) of a ReLU network of one input on an interval, layers a list of (kernel [in][out], bias [out]) in
    whole numbers or Fractions, the last one without ReLU: between two neighbours it is linear."""
    points = [(low, [low]), (high, [high])]
    for depth, (kernel, bias) in enumerate(layers, 1):
        columns = list(zip(*kernel, bias, strict=True))
        points = [(x, [b + sum(map(operator.mul, h, column)) for *column, b in columns]) for x, h in points]
        if depth == len(layers):
            break
        finer = points[:1]
        for (x0, h0), (x1, h1) in itertools.pairwise(points):
            crossings = {a / (a - b) for a, b in zip(h0, h1, strict=True) if a * b < 0}
            for t in sorted(crossings):
                finer.append((x0 + t * (x1 - x0), [a + t * (b - a) for a, b in zip(h0, h1, strict=True)]))
            finer.append((x1, h1))
        points = [(x, [max(value, 0) for value in h]) for x, h in finer]
    return [(x, h[0]) for x, h in points]


def slopes(points):
    """The slopes of the pieces, neighbours of one slope made one piece."""
    each = [(y1 - y0) / (x1 - x0) for (x0, y0), (x1, y1) in itertools.pairwise(points)]
    return [slope for slope, _ in itertools.groupby(each)]


def sawtooth(k):
    """k hidden layers of two units: the tent map k times."""
    first, again = ([[1, 1]], [0, Fraction(-1, 2)]), ([[2, 2], [-4, -4]], [0, Fraction(-1, 2)])
    return [first, *[again] * (k - 1), ([[2], [-4]], [0])]


@pytest.mark.parametrize("k", range(1, 11))
def test_k_layers_of_two_units_make_two_to_the_k_pieces(k):
    points = knots(sawtooth(k))
    found = slopes(points)
    assert found == [(-1) ** i * 2**k for i in range(2**k)]
    assert sum(up > 0 > down for up, down in itertools.pairwise(found)) == 2 ** (k - 1)  # teeth
    assert {y for _, y in points} == {0, 1}


@given(k=st.integers(1, 7), x=st.fractions(0, 1, max_denominator=1000))
@twenty
def test_one_hidden_layer_of_two_to_the_k_units_is_the_same_function(k, x):
    slope, shallow, deep = 2**k, 0, x
    for j in range(2**k):
        shallow += (slope if j == 0 else (-1) ** j * 2 * slope) * max(x - Fraction(j, 2**k), 0)
    for _ in range(k):
        deep = 2 * max(deep, 0) - 4 * max(deep - Fraction(1, 2), 0)
    assert shallow == deep


@st.composite
def integer_networks(draw):
    widths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=3))
    numbers = st.integers(-6, 6).map(lambda n: Fraction(n, 2))
    layers = []
    for a, b in itertools.pairwise([1, *widths, 1]):
        row = st.lists(numbers, min_size=b, max_size=b)
        layers.append((draw(st.lists(row, min_size=a, max_size=a)), draw(row)))
    return widths, layers


@given(network=integer_networks(), x=st.fractions(-3, 3, max_denominator=100))
@settings(max_examples=100, deadline=None)
def test_pieces_are_bounded_by_widths(network, x):
    """One hidden layer of w units: w + 1 pieces at most. Each further layer multiplies: a unit adds at most one knot to each
    piece of what comes in. And the knots are those of the function that the network computes."""
    widths, layers = network
    points = knots(layers, Fraction(-3), Fraction(3))
    assert len(slopes(points)) <= math.prod(width + 1 for width in widths)
    h = [x]
    for depth, (kernel, bias) in enumerate(layers, 1):
        h = [b + sum(v * row[j] for v, row in zip(h, kernel, strict=True)) for j, b in enumerate(bias)]
        h = h if depth == len(layers) else [max(value, 0) for value in h]
    (x0, y0), (x1, y1) = next((a, b) for a, b in itertools.pairwise(points) if a[0] <= x <= b[0])
    assert h[0] == y0 + (x - x0) * (y1 - y0) / (x1 - x0)


@given(k=st.integers(1, 10), x=st.fractions(0, 1, max_denominator=1000))
@twenty
def test_the_sawtooth_is_a_residual_and_recurrent_network_too(k, x):
    """x + F(x), F(x) = relu(x) - 4 relu(x - 1/2), one F for all steps: the tent map. Its slope is a sum over 2^k paths."""
    deep, residual, slopes_of_f = x, x, []
    for _ in range(k):
        slopes_of_f.append((residual > 0) - 4 * (residual > Fraction(1, 2)))
        residual += max(residual, 0) - 4 * max(residual - Fraction(1, 2), 0)
        deep = min(2 * deep, 2 - 2 * deep)
    assert deep == residual
    paths = (math.prod(itertools.compress(slopes_of_f, s)) for s in itertools.product((0, 1), repeat=k))
    assert sum(paths) == math.prod(1 + slope for slope in slopes_of_f)


# The scripts and what they stored


@pytest.mark.parametrize("dimension", [1, 2, 4, 8, 16])
def test_networks_of_one_and_of_two_hidden_layers_are_of_one_size(dimension):
    deep, wide = DEPTH.equal_widths(dimension)
    assert (len(deep), len(wide)) == (2, 1)
    assert DEPTH.params(dimension, wide) == pytest.approx(DEPTH.params(dimension, deep), rel=0.01)
    weights = [(np.ones((a, b)), np.ones(b)) for a, b in itertools.pairwise([dimension, *deep, 1])]
    assert sum(part.size for layer in weights for part in layer) == DEPTH.params(dimension, deep)


def test_points_have_all_radii_and_the_targets_are_what_they_say():
    x = DEPTH.points(4000, 8, np.random.default_rng(0))
    radius = np.linalg.norm(x, axis=1)
    assert np.abs(np.quantile(radius, [0.25, 0.5, 0.75]) - [0.25, 0.5, 0.75]).max() < 0.05
    np.testing.assert_allclose(DEPTH.TARGETS["radial"](x), np.sin(5 * np.pi * radius), atol=1e-4)
    y = np.linspace(0, 1, 17, dtype=np.float32)
    np.testing.assert_allclose(DEPTH.sawtooth(y), [0, 0.5, 1, 0.5] * 4 + [0], atol=1e-6)


def test_a_fit_learns_and_is_repeatable():
    fit = functools.partial(DEPTH.fit, "sawtooth", 1, (64,), 0.03, steps=400)
    error, weights = fit(0)
    assert error < 0.9 and fit(0)[0] == pytest.approx(error, rel=0.05)
    assert [kernel.shape for kernel, _ in weights] == [(1, 64), (64, 1)]


def test_the_stored_fits_are_the_whole_grid():
    rows = pd.read_csv(data.path("depth.csv"))
    assert list(rows.columns) == list(DEPTH.COLUMNS)
    expected = {
        (target, dimension, "-".join(map(str, widths)), rate, seed)
        for target, dimension, widths in DEPTH.grid()
        for rate in DEPTH.LEARNING_RATES
        for seed in DEPTH.SEEDS
    }
    found = list(rows[["target", "dimension", "widths", "learning_rate", "seed"]].itertuples(index=False, name=None))
    assert set(found) == expected and len(found) == len(expected)


def test_the_stored_lesions_are_the_whole_study():
    rows = pd.read_csv(data.path("lesions.csv"))
    assert list(rows.columns) == list(LESIONS.COLUMNS)
    networks = {(family, layers, seed) for family, layers in LESIONS.NETWORKS for seed in LESIONS.SEEDS}
    assert set(rows[["family", "layers", "seed"]].itertuples(index=False, name=None)) == networks
    for (family, layers, _), group in rows.groupby(["family", "layers", "seed"]):
        units, residual = (layers - 2) // 2, family != "plain"
        counts = group["lesion"].value_counts()
        assert counts["none"] == 1 and counts["swap"] == LESIONS.DRAWS * len(LESIONS.SWAPS[layers])
        assert counts["remove"] == units - 2 + LESIONS.DRAWS * len(LESIONS.REMOVED[layers])
        assert counts.get("shortcut", 0) == 2 * residual
        assert counts.get("path", 0) == LESIONS.PATH_DRAWS * (units + 1) * residual
        lengths = group.loc[group["lesion"] == "path", "number"]
        assert not residual or set(lengths) == set(range(units + 1))


def test_the_networks_of_the_lesion_study_are_those_of_notebook_02():
    """The same recipe, seeds and threads as data/degradation.csv: training from the same start ends at the same errors."""
    whole = pd.read_csv(data.path("lesions.csv")).query("lesion == 'none'").set_index(["family", "layers", "seed"])
    sweep = pd.read_csv(data.path("degradation.csv")).set_index(["family", "layers", "seed"])
    both = whole.join(sweep, how="inner", lsuffix="_whole")
    assert len(both) == 15
    assert (both["train_error_whole"] - both["train_error"]).abs().max() < 0.005
    assert (both["test_error_whole"] - both["test_error"]).abs().max() < 0.03


# What the chapter says of the stored numbers


def test_short_paths_are_rare_and_the_gradient_comes_along_them():
    """54 units, as Veit et al. 2016 have them: 0.45 % of the paths have the lengths 5 to 17."""
    counts = [math.comb(54, k) for k in range(55)]
    assert round(100 * sum(counts[5:18]) / 2**54, 2) == 0.45
    assert sum(counts[18:37]) / 2**54 > 0.99 and sum(counts[:5]) / 2**54 < 1e-9


@functools.cache
def spectra():
    """Of every network and state of data/path_spectrum.csv: what the chapter's table has, and more."""
    rows = pd.read_csv(data.path("path_spectrum.csv"))
    found = []
    for key, one in rows.groupby(["family", "state", "seed"]):
        norm = one["norm"] / one["gradient_norm"]
        mean = (one["length"] * one["share"]).sum()
        squares = norm**2 / (norm**2).sum()
        variance = ((one["length"] - mean) ** 2 * one["share"]).sum()
        binomial = mean * (1 - mean / one["length"].max())
        off = (one["share"] - squares).abs().max()
        found.append((*key, mean, norm.sum(), (norm**2).sum(), off, one["share"].min(), variance / binomial))
        assert one["share"].sum() == pytest.approx(1, abs=1e-4)
        assert (one["paths"] == [math.comb(len(one) - 1, k) for k in one["length"]]).all()
    columns = ["family", "state", "seed", "mean", "norms", "squares", "off", "least", "narrow"]
    return pd.DataFrame(found, columns=columns).set_index(["family", "state"])


@pytest.mark.parametrize("family", ["residual", "v2"])
def test_the_predictions_about_the_spectrum_of_56_layers(family):
    fresh, trained, batch = (spectra().loc[(family, state)] for state in ("fresh", "trained", "trained, batch"))
    assert len(fresh) == len(trained) == len(batch) == 5
    assert fresh["off"].max() < 0.05 and fresh["least"].min() > -0.02
    assert 5 < fresh["mean"].median() < 8.5 and fresh["norms"].between(2, 4).all()
    low, high, sampled = {"residual": (3, 6.5, 6.5), "v2": (4, 8, 8.3)}[family]
    assert low < trained["mean"].median() < high and trained["mean"].max() < sampled
    assert fresh["mean"].median() - batch["mean"].median() > 0.5
    assert trained["norms"].max() < 2 and trained["least"].min() > -0.02
    assert trained["narrow"].median() < 1


def test_trained_v2_has_longer_paths_than_v1():
    means = spectra().xs("trained", level="state").set_index("seed", append=True)["mean"]
    assert (means["v2"] > means["residual"]).sum() >= 4


def test_sampled_paths_seemed_to_cancel_much_more():
    """The norms of single paths, of data/lesions.csv, sum to many times the gradient: what cancels has one length."""
    rows = pd.read_csv(data.path("lesions.csv")).query("layers == 56")
    norms = rows[rows["lesion"] == "path"].groupby(["family", "seed", "number"])["gradient_norm"].mean().unstack()
    whole = rows[rows["lesion"] == "gradient"].groupby(["family", "seed"])["gradient_norm"].mean()
    ratio = ((norms * [math.comb(27, k) for k in norms.columns]).sum(axis=1) / whole).groupby("family")
    assert dict(ratio.median().round()) == {"residual": 31, "v2": 176}
    assert ratio.min()["residual"] > 20 and ratio.min()["v2"] > 100


def test_nine_units_have_long_paths_and_longer_ones_when_trained():
    means = spectra().loc["fashion_resnet_v2_20"].set_index("seed", append=True)["mean"]
    assert means.min() > 4.5  # against the prediction
    assert means["trained, batch", 0] > means["fresh"].max()


@functools.cache
def lesion_costs():
    rows = pd.read_csv(data.path("lesion_costs.csv"))
    rows["test_error"] *= 100
    return rows


def test_lesions_have_two_populations_and_v1_and_v2_are_alike():
    rows = lesion_costs()
    means = rows[rows["lesion"].isin(["spare", "hit"])].groupby(["lesion", "number", "family"])["test_error"].mean()
    means = means.unstack("family").drop(12, level="number")
    assert (means.loc["hit"] - means.loc["spare"]).min().min() > 25
    apart = (means["residual"] - means["v2"]).abs()
    assert apart["spare"].max() < 3
    assert list(apart["hit"][apart["hit"] >= 10].index) == [5, 8]  # against the prediction


def test_what_a_unit_changes_tells_the_first_one_from_all_others():
    rows = lesion_costs()
    alone = rows[rows["lesion"] == "remove"].astype({"units": int})
    alone["ratio"] = alone["residual_norm"] / alone["state_norm"]
    whole = rows[rows["lesion"] == "none"].set_index(["family", "seed"])["test_loss"].rename("whole")
    alone = alone.join(whole, on=["family", "seed"])
    alone["cost"] = alone["test_loss"] - alone["whole"]
    found = []
    for (family, _), one in alone.groupby(["family", "seed"]):
        assert one["ratio"].iloc[0] > 1 > one["ratio"].iloc[1:].max() and one["cost"].idxmax() == one.index[0]
        later = one[one["units"] > 3]
        assert len(one) == 25 and len(later) == 21 and 0.2 < later["ratio"].median() < 0.3
        pairs = [(one, "ratio"), (later, "ratio"), (later.assign(units=-later["units"]), "units")]
        found.append((family, *(part["cost"].corr(part[by], "spearman") for part, by in pairs)))
    found = pd.DataFrame(found, columns=["family", "all", "later", "place"]).set_index("family")
    assert (found.loc["residual", "later"] < 0).sum() == 2 and found.loc["v2", "later"].min() > 0.7
    median = found.groupby("family").median()
    assert 0.5 < median.loc["residual", "all"] < 0.7 < median.loc["v2", "all"]
    assert median.loc["residual", "later"] >= 0.4 and median.loc["v2", "later"] >= 0.4
    assert abs(median["later"] - median["place"]).max() < 0.02
    later_v1 = alone[(alone["family"] == "residual") & (alone["units"] > 3)]
    assert (later_v1["cost"] < 0).mean() > 0.5


def test_a_residual_network_needs_its_first_units_and_a_plain_one_all():
    rows = pd.read_csv(data.path("lesions.csv"))
    single = rows[rows["lesion"] == "remove"].query("number == 1").astype({"units": int})
    mean = 100 * single.groupby(["family", "layers", "units"])["test_error"].mean()
    whole = 100 * rows[rows["lesion"] == "none"].groupby(["family", "layers"])["test_error"].mean()
    assert mean["plain", 20].min() > 85
    for network in (("residual", 20), ("residual", 56), ("v2", 56)):
        assert mean[network].idxmax() == 0 and mean[network][0] - whole[network] > 40
    assert (mean["residual", 56].loc[4:] - whole["residual", 56]).max() < 1.5
    assert (mean["v2", 56].loc[4:] - whole["v2", 56]).max() < 3


def test_shared_weights_do_as_well_on_the_digits():
    rows = pd.read_csv(data.path("variants.csv"))
    rows = rows[rows["family"].isin(["v2", "recurrent"]) & (rows["augment"] == 0) & (rows["layers"] <= 56)]
    assert len(rows) == 40 and rows["error"].isna().all()
    of_test = rows.groupby(["layers", "family"])["test_error"].agg(["mean", "min", "max"]).unstack("family")
    low, high = of_test["min"], of_test["max"]
    assert ((low["recurrent"] <= high["v2"]) & (low["v2"] <= high["recurrent"])).all()
    assert (of_test["mean"]["v2"] - of_test["mean"]["recurrent"]).abs().max() < 0.01
    loss = rows.groupby(["layers", "family"])["train_loss"].mean().unstack("family")
    assert list(loss["recurrent"] > 1.1 * loss["v2"]) == [False, False, False, True]


def test_on_pictures_shared_weights_cost_training_error_at_56_layers_and_hardly_any_at_20():
    shared = results(data.path("shared_weights.csv"))
    assert sorted(zip(shared["layers"], shared["seed"], strict=True)) == [
        (n, seed) for n in (20, 56) for seed in range(3)
    ]
    assert shared["error"].isna().all() and {*shared["dataset"]} == {"fashion_14"}
    own = pd.read_csv(data.path("bank_epochs.csv"))
    own = own[(own["family"] == "v2") & (own["layers"] <= 56) & (own["epoch"] == 10) & (own["images"] == 10000)]
    own = own.pivot(index=["layers", "seed"], columns="part", values="error")
    assert len(own) == len(shared)
    shared = shared.set_index(["layers", "seed"])[["train_error", "test_error"]].set_axis(["train", "test"], axis=1)
    dearer = (shared - own).groupby("layers").mean()
    assert dearer["train"][56] >= 0.02 and dearer["test"].max() < 0.015  # as predicted
    assert 0.005 <= dearer["train"][20] < 0.02  # neither predicted nor refuted
    assert shared["train"][56].min() > shared["train"][20].max()
    assert own["train"][56].mean() < own["train"][20].mean()


def test_narrow_layers_do_not_find_their_teeth():
    rows = pd.read_csv(data.path("depth.csv"))
    teeth = rows[rows["target"] == "sawtooth"]
    narrow = teeth[teeth["widths"] == "2-2-2"]["error"]
    assert len(narrow) == 15 and (narrow > 0.99).sum() == 14 and round(narrow.min(), 2) == 0.93
    best = teeth.groupby(["widths", "learning_rate"])["error"].mean().groupby("widths").min()
    assert best["8"] > 0.8 and best["64"] < 0.001
    assert 0.1 < best["8-8-8"] < 0.3  # against the prediction of 0.1 or less, and not refuted
    assert teeth[teeth["widths"] == "8-8-8"]["error"].min() < 1e-4
    sizes = teeth.groupby("widths")["params"].first()
    assert dict(sizes) == {"2-2-2": 19, "8": 25, "8-8-8": 169, "64": 193}


def test_the_ridge_is_as_much_a_matter_of_depth_as_the_spheres():
    rows = pd.read_csv(data.path("depth.csv")).query("target != 'sawtooth' and params < 10_000")
    rates = rows.groupby(["target", "hidden_layers", "dimension", "learning_rate"])["error"].mean()
    best = rates.groupby(["target", "hidden_layers", "dimension"]).min().unstack("hidden_layers")
    assert (best[2] < best[1]).all()
    x = DEPTH.points(10_000, 8, np.random.default_rng(0))
    ridge, kinks = DEPTH.TARGETS["ridge"](x).numpy(), np.linspace(-1, 1, 139)
    dots = DEPTH.TARGETS["ridge"](np.stack([kinks] + [0 * kinks] * 7, axis=1)).numpy()
    by_hand = np.mean((np.interp(x[:, 0], kinks, dots) - ridge) ** 2) / ridge.var()
    assert by_hand < 0.002 < 0.5 < best[1]["ridge", 8]


def test_the_networks_of_512_teeth_have_61_and_3073_parameters():
    assert DEPTH.params(1, (2,) * 10) == 4 + 9 * 6 + 3 == 61
    assert DEPTH.params(1, (1024,)) == 3 * 1024 + 1 == 3073


def test_on_pictures_the_median_unit_is_worth_little_and_the_first_one_much():
    """Prediction 5 of `experiments.bank`, over the seeds that are there."""
    units = pd.read_csv(data.path("bank_units.csv")).dropna(subset="removed_error")
    errors = units.pivot(index="unit", columns=["family", "layers", "seed"], values="removed_error")
    rises = (errors - errors.loc[0]).stack("seed")
    median, first = {}, rises.loc[1].min()
    for family, layers in rises:
        kept = [unit + 1 for unit in LESIONS.keeping(FAMILIES[family](layers))]
        median[family, layers] = rises.loc[kept, (family, layers)].median()
    assert [round(100 * median[family, 20]) for family in ("residual", "v2")] == [6, 17]
    assert max(median["residual", 110], median["v2", 110]) < 0.02 < 0.2 < min(median["plain", 20], median["plain", 56])
    for family in ("residual", "v2"):
        assert 0.05 < median[family, 20] < 0.25 < min(first[family, 20], first[family, 56])
    assert [round(100 * median[family, 56], 1) for family in ("residual", "v2")] == [0.5, 1.1]


def test_less_of_the_longer_paths_fits_as_well_and_generalizes_worse():
    rows = pd.read_csv(data.path("short_paths.csv"))
    assert rows["error"].isna().all() and (rows.groupby("training").size() == 5).all()
    train, test = (100 * rows.groupby("training")[column].median() for column in ("train_error", "test_error"))
    more = test - test["whole"]
    backward = ["whole", "backward 1/2", "backward 1/4", "backward 0"]
    assert test[backward].is_monotonic_increasing and (train[backward] < 1).all()
    assert 9 < more["backward 0"] < 10 and round(more["backward 1/2"]) == 3
    assert 5 < train["23 of 54 units"] < 15 and round(more["23 of 54 units"]) == 10
    assert 0.5 < more["stochastic depth"] < 1.5 and train["classifier only"] > 20
    loss = rows.groupby("training")["train_loss"].median().round(3)
    assert (loss["backward 0"], loss["whole"]) == (0.054, 0.003)


def test_the_paths_of_length_zero_carry_less_than_a_thousandth():
    spectrum = pd.read_csv(data.path("path_spectrum.csv"))
    shares = spectrum[(spectrum["family"] == "v2") & (spectrum["layers"] == 56) & (spectrum["length"] == 0)]["share"]
    assert len(shares) == 15 and shares.between(0, 0.001).all()
