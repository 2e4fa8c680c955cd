"""The identities of notebook 06 on random networks: what a unit's sum hands on, forward and backward.

Equation numbers are those of He et al. 2016, *Identity Mappings in Deep Residual Networks* (arXiv:1603.05027). Features are
compared to within 1e-5 of their largest element, gradients to within 1e-4; what has to be the same to the last bit is
compared so.
"""

import itertools
from collections import namedtuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments import signals as SIGNALS
from experiments import v1_depth
from resnet_lib import Architecture, Block, Root, build, cost, data, trace
from resnet_lib.network import network_function
from resnet_lib.sweep import FAMILIES, results
from resnet_lib.tf_slim_compat import quick_building, tf
from resnet_lib.training import Recipe, train
from resnet_lib.training_graph import session as session_of_one_thread

THREE = settings(max_examples=3, deadline=None)  # each with eight sets of weights and images, see `pieces`
seeds = st.integers(0, 999)


@st.composite
def networks(draw, ordering, shortcut="A"):
    """A small network of a block of basic units and one of bottlenecks; the second may change the shape. Hypothesis tries the
    first choice of everything first: a stride of 2 and one more channel."""
    depth = draw(st.sampled_from((2, 1, 3)))
    root, blocks = Root(depth, 3, 1, 1), []
    for i, shape in enumerate(draw(st.permutations(("basic", "bottleneck")))):
        depth += draw(st.sampled_from((1, 2, 0))) if i else 0
        strides = [draw(st.sampled_from((2, 3, 1))) if i else 1, *[1] * draw(st.integers(0, 2))]
        middle = (draw(st.integers(1, 3)),) if shape == "bottleneck" else ()
        units = tuple((depth, *middle, stride) for stride in strides)
        blocks.append(Block(f"block{i + 1}", f"{shape}_{ordering}", units))
    return Architecture("net", tuple(blocks), root, shortcut)


# x: what the first unit receives and what each unit puts out; residuals, gates: of each unit; gradients: of a loss, for x;
# direct: the same with residuals and gates held constant; detours: what equation 5 says the residuals add to direct.
Pieces = namedtuple("Pieces", "x residuals gates gradients direct detours units")


def pieces(net, seed, with_detours=False):
    """Eight networks of one description, in training mode on random images: a list of Pieces.

    Weights, batch norms, biases and images are random, and so is the gradient of the loss for the logits.
    """
    random = np.random.default_rng(seed)
    units = [unit for block in net.blocks for unit in block.args]
    with tf.Graph().as_default() as graph, quick_building(), session_of_one_thread(graph) as session:
        tf.compat.v1.set_random_seed(seed)
        images = tf.compat.v1.placeholder(tf.float32, (3, 5, 5, 2))
        logits, end_points = network_function(net.variant(num_classes=3), seed=seed)(images, is_training=True)
        upstream = tf.compat.v1.placeholder(tf.float32, logits.shape)
        loss = tf.reduce_sum(logits * upstream)
        x, residuals, gates = SIGNALS.unit_tensors(net, end_points)
        gradients = tf.gradients(loss, x)
        direct = tf.gradients(loss, x, stop_gradients=residuals + gates)
        detours = []
        for start in range(len(units)) if with_detours else ():
            total = tf.zeros_like(x[start])
            for unit, residual in zip(units[start:], residuals[start:], strict=True):
                total = shortcut(total, unit) + residual
            detours.append(tf.gradients(total, x[start], grad_ys=gradients[-1])[0])
        session.run(tf.compat.v1.global_variables_initializer())
        variables, made = tf.compat.v1.trainable_variables(), []
        for _ in range(8):
            values = {}
            for variable in variables:
                spread = np.sqrt(2 / max(1, np.prod(variable.shape[:-1])))
                weights = random.normal(0, spread, variable.shape)
                other = random.uniform(0.3, 1.5, variable.shape)
                values[variable.initializer.inputs[1]] = weights if variable.op.name.endswith("/weights") else other
            session.run([variable.initializer for variable in variables], values)
            feed = {tensor: random.standard_normal(tensor.shape) for tensor in (images, upstream)}
            made.append(Pieces(*session.run([x, residuals, gates, gradients, direct, detours], feed), units))
    return made


def shortcut(value, unit):
    """What shortcut A of a unit makes of a value: every stride-th pixel, and zero channels behind its own."""
    return tf.pad(value[:, :: unit.stride, :: unit.stride], [[0, 0]] * 3 + [[0, unit.depth - value.shape[-1]]])


def shortcut_gradient(gradient, unit, x):
    """What comes back through it: the gradient for x, 0 where nothing of x was taken."""
    back = np.zeros_like(x)
    back[:, :: unit.stride, :: unit.stride] = gradient[..., : x.shape[-1]]
    return back


def assert_close(found, expected, tolerance):
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * max(1e-3, np.abs(expected).max()))


def check_sums_and_gradients(p):
    """Equations 4 and 5 from every unit to the last."""
    for start in range(len(p.units)):
        feature = p.x[start]
        for unit, residual in zip(p.units[start:], p.residuals[start:], strict=True):
            feature = shortcut(feature, unit) + residual
        assert_close(p.x[-1], feature, 1e-5)
        direct = p.gradients[-1]
        for unit, x in reversed(list(zip(p.units[start:], p.x[start:-1], strict=True))):
            direct = shortcut_gradient(direct, unit, x)
        assert np.array_equal(p.direct[start], direct)
        assert_close(p.gradients[start], direct + p.detours[start], 1e-4)


@given(net=networks("v2"), seed=seeds)
@THREE
def test_in_v2_features_add_up_and_the_last_gradient_comes_back_whole(net, seed):
    for p in pieces(net, seed, with_detours=True):
        check_sums_and_gradients(p)
        stride = int(np.prod([unit.stride for unit in p.units]))
        skipped = np.ones((5, 5), bool)
        skipped[::stride, ::stride] = False
        assert (p.direct[0][:, skipped] == 0).all()  # only the pixels that the strides take hear from the loss directly


@pytest.mark.parametrize("ordering", ["relu_only_preactivation", "relu_before_addition"])
@given(strategy=st.data(), seed=seeds)
@THREE
def test_so_they_do_wherever_nothing_follows_the_sum(ordering, strategy, seed):
    for p in pieces(strategy.draw(networks(ordering)), seed, with_detours=True):
        check_sums_and_gradients(p)
        if ordering == "relu_before_addition":  # section 4.1: the signal can only increase
            assert all((p.x[i + 1] >= shortcut(p.x[i], unit)).numpy().all() for i, unit in enumerate(p.units))


@given(net=networks("v1"), seed=seeds)
@THREE
def test_in_v1_the_sum_misses_what_the_relus_cut_off(net, seed):
    for p in pieces(net, seed):
        feature = p.x[0]
        for i, unit in enumerate(p.units):
            y = shortcut(p.x[i], unit) + p.residuals[i]
            feature = shortcut(feature, unit) + p.residuals[i] + np.maximum(-y, 0)
            expected = shortcut_gradient(p.direct[i + 1] * (p.x[i + 1] > 0), unit, p.x[i])
            assert np.array_equal(p.direct[i], expected)
        assert_close(p.x[-1], feature, 1e-5)


@pytest.mark.parametrize("ordering", ["v1", "v2"])
@pytest.mark.parametrize("kind", ["scaling", "shortcut_only_gating", "exclusive_gating"])
@given(strategy=st.data(), seed=seeds)
@settings(THREE, max_examples=2)
def test_a_factor_on_the_shortcut_multiplies_feature_and_gradient(kind, ordering, strategy, seed):
    """Equations 6 to 8, with the factor 0.5 or 1 - g, in units with and without a ReLU behind the sum."""
    net = strategy.draw(networks(ordering, kind))
    for p in pieces(net, seed):
        whole = p.direct[-1]
        for i, unit in reversed([*enumerate(p.units)]):
            kept = np.float32(0.5) if kind == "scaling" else 1 - p.gates[i]
            added = {"scaling": 0.5, "shortcut_only_gating": 1, "exclusive_gating": p.gates[i] if p.gates else None}[
                kind
            ]
            y = kept * shortcut(p.x[i], unit) + added * p.residuals[i]
            mask = 1 if ordering == "v2" else p.x[i + 1] > 0
            assert_close(p.x[i + 1], y if ordering == "v2" else np.maximum(y, 0), 1e-5)
            expected = shortcut_gradient(kept * (p.direct[i + 1] * mask), unit, p.x[i])
            assert_close(p.direct[i], expected, 1e-6)
            whole = shortcut_gradient(whole, unit, p.x[i])
        if kind == "scaling" and ordering == "v2":
            assert np.array_equal(p.direct[0], whole * np.float32(0.5) ** len(p.units))


@given(net=networks("v2", "dropout"), seed=seeds)
@THREE
def test_dropout_keeps_x_or_nothing_and_so_does_its_gradient(net, seed):
    for p in pieces(net, seed):
        for i, unit in enumerate(p.units):
            identity, passed = shortcut(p.x[i], unit), p.x[i + 1] - p.residuals[i]
            off = np.minimum(np.abs(passed), np.abs(passed - identity))
            assert_close(off, np.zeros_like(off), 1e-5 * max(1e3, 1e3 * np.abs(p.x[i + 1]).max()))
            whole = shortcut_gradient(p.direct[i + 1], unit, p.x[i])
            assert ((p.direct[i] == 0) | (p.direct[i] == whole)).all()


@given(factors=st.lists(st.floats(-2, 2), min_size=1, max_size=6), width=st.integers(1, 4), seed=seeds)
@settings(max_examples=100, deadline=None)
def test_of_linear_units_the_paths_add_up_to_the_derivative(factors, width, seed):
    """Equation 8: the product of (factor + W) is the sum over all paths, of which one has no W, the product of the factors."""
    weights = np.random.default_rng(seed).standard_normal((len(factors), width, width))
    derivative = np.eye(width)
    for factor, w in zip(factors, weights, strict=True):
        derivative = (factor * np.eye(width) + w) @ derivative
    paths = {}
    for path in itertools.product((False, True), repeat=len(factors)):
        term = np.eye(width)
        for through, factor, w in zip(path, factors, weights, strict=True):
            term = w @ term if through else factor * term
        paths[path] = term
    assert len(paths) == 2 ** len(factors)
    np.testing.assert_allclose(paths[(False,) * len(factors)], np.prod(factors) * np.eye(width), atol=1e-12)
    np.testing.assert_allclose(sum(paths.values()), derivative, rtol=1e-9, atol=1e-9)


def test_signals_of_a_checkpoint_are_those_of_the_network_that_loads_it(tmp_path):
    digits, net = data.digits(200), FAMILIES["v2"](8)
    train(net, digits, Recipe(epochs=1, learning_rate=0.05), seed=3, checkpoint=tmp_path / "net.npz", threads=1)
    images, labels = digits.test_images[:20], digits.test_labels[:20]
    x, _, _ = SIGNALS.signals(net, images, labels, weights=tmp_path / "net.npz", is_training=False)
    network = build(net, image_size=8, channels_in=1)
    fresh = network.end_points(images)["block3"].numpy()
    network.load(tmp_path / "net.npz")
    assert_close(x[-1], network.end_points(images)["block3"], 1e-4)
    assert np.abs(x[-1] - fresh).max() > 0.1


def test_the_stored_signals_are_complete_and_can_be_made_again():
    stored = pd.read_csv(data.path("signals.csv"))
    fresh, trained = SIGNALS.VARIANTS, SIGNALS.TRAINED
    runs = {(family, 56, seed, "fresh") for family in fresh for seed in range(5)}
    runs |= {(family, 56, seed, "trained") for family in trained for seed in range(5)}
    groups = stored.groupby(["family", "layers", "seed", "state"])
    assert set(groups.groups) == runs and (groups["unit"].apply(list).map(len) == 28).all()
    made = SIGNALS.measure("residual", 56, 0, "fresh")
    assert list(made.columns) == list(stored.columns)
    there = groups.get_group(("residual", 56, 0, "fresh"))
    for column in made.columns[5:]:
        np.testing.assert_allclose(there[column], made[column], rtol=0.02, atol=1e-3)


# What the chapter says of the stored numbers

PUBLISHED_FAIL = 99  # "fail" in the paper's tables is more than 20 %


def direct_gradient_left():
    """Of the ten units, fresh: what 25 of them that keep the shape leave of the direct gradient; medians of the seeds."""
    stored = pd.read_csv(data.path("signals.csv")).query("state == 'fresh' and family != 'v2_first'")
    norm = stored.pivot_table("shortcut_norm", ["family", "seed"], "unit")
    steps = (norm.shift(1, axis=1) / norm).drop(columns=[0, 10, 19])
    return steps.fillna(0).prod(axis=1).groupby("family").median()


def trained_56():
    return results(data.path("variants.csv")).query("layers == 56").groupby("family")


def test_who_loses_the_direct_gradient_learns_worst_and_two_units_are_not_as_predicted():
    left, errors = direct_gradient_left(), trained_56()["train_error"]
    clean = ["relu_before_addition", "relu_only_preactivation", "v2"]
    assert (left[clean] == 1).all() and (left[["scaling", "dropout"]] < 0.5**25).all()
    lost = left.index[left < 0.05]
    assert set(lost) == {"scaling", "dropout", "bn_after_addition", "C"} and (errors.mean()[lost] > 0.03).all()
    kept = left.index[left > 0.05].drop(["exclusive_gating", "relu_before_addition"])
    assert (errors.max()[kept] == 0).all() and set(kept) == {
        "residual",
        "v2",
        "relu_only_preactivation",
        "shortcut_only_gating",
    }
    assert 0.4 < left["exclusive_gating"] and errors.min()["exclusive_gating"] > errors.max()["C"]
    assert 0.2 < left["residual"] < 0.4
    assert 0 < errors.mean()["relu_before_addition"] < 0.005


def test_the_digits_rank_the_ten_units_nearly_as_the_paper_does():
    published = data.published("cifar").set_index("model")["error_pct_unless_noted"]
    names = {
        "residual": "original unit",
        "bn_after_addition": "BN after addition",
        "relu_before_addition": "ReLU before addition",
        "relu_only_preactivation": "ReLU-only pre-activation",
        "v2": "full pre-activation",
        "scaling": "constant scaling 0.5, F x0.5",
        "exclusive_gating": "exclusive gating bg -6",
        "shortcut_only_gating": "shortcut-only gating bg -6",
        "C": "1x1 conv shortcut",
        "dropout": "dropout 0.5 shortcut",
    }
    paper = pd.Series({k: float(published[f"R110 {v}"].replace("fail", str(PUBLISHED_FAIL))) for k, v in names.items()})
    ranks = pd.DataFrame(
        {"paper": paper, "digits": trained_56()["train_error"].mean(), "left": -direct_gradient_left()}
    )
    correlation = ranks.loc[[*names]].corr("spearman")["paper"]
    assert correlation["digits"] > 0.85 and 0.5 < correlation["left"] < 0.85
    more = [name for name in names if cost(FAMILIES[name](56)).params > 1.05 * cost(FAMILIES["residual"](56)).params]
    assert len(more) == 3 and (paper[more] > paper["residual"]).all()


def test_signals_of_v1_and_v2_by_depth():
    stored = pd.read_csv(data.path("signals.csv"))
    variance = stored.query("family == 'v2' and state == 'fresh'").groupby("unit")["feature_std"].mean() ** 2
    steps = variance.loc[:9].diff().dropna()
    assert steps.min() > 0.5 * steps.mean() and steps.max() < 1.6 * steps.mean()
    cut = stored.query("family == 'residual'").pivot_table("cut_off", ["state", "seed"], "unit")
    more = cut.loc["trained"] - cut.loc["fresh"]
    assert (more.loc[:, 4:] > 0).all().all() and cut.loc["trained"].loc[:, 1:].min().min() > 0.15
    size = stored.pivot_table("gradient_norm", ["family", "state", "seed"], "unit")
    for family in ("residual", "v2"):
        growth = size.loc[family, "fresh"]
        assert ((growth[0] / growth[3]) > 3).all() and ((growth[24] / growth[27]).median()) < 1.5


def test_v2_50_has_four_norms_less_than_convolutions():
    for name, expected in (("resnet_v1_50", (53, 53)), ("resnet_v2_50", (53, 49))):
        kinds = [layer.kind for layer in trace(name) if not layer.name.endswith("logits")]
        assert (kinds.count("conv"), kinds.count("batch_norm")) == expected


def never_again_at_zero(units, walks=200_000):
    """The reflected walk of the chapter, in another way: each walk's own steps at once, and their running sums."""
    random = np.random.default_rng(1)
    steps = np.concatenate([random.normal(0, np.sqrt(2), (1, walks)), random.standard_normal((units - 1, walks))])
    sums = np.cumsum(steps, axis=0)
    reflected = sums - np.minimum(np.minimum.accumulate(sums, axis=0), 0)  # Skorokhod's reflection
    return np.mean((reflected[1:] > 0).all(axis=0))


def test_what_survives_in_a_fresh_v1_is_a_random_walk_and_no_constant_share():
    stored = pd.read_csv(data.path("v1_depth.csv")).query("family == 'v1'")
    measured = stored.groupby("layers")[["survived_1", "survived_2", "survived_3"]].mean().mean(axis=1)
    assert len(measured) >= 4
    blocks = stored.set_index("layers")[["survived_1", "survived_2", "survived_3"]]
    for layers, value in measured.items():
        units = (layers - 2) // 9
        walk = never_again_at_zero(units)
        assert value == pytest.approx(walk, rel=0.1)
        farthest = abs(blocks.loc[layers] / walk - 1).max(axis=None)
        assert farthest < (0.03 if layers <= 110 else 1 / 6)
    assert set(measured.index) >= {20, 56, 110, 326, 1001}
    assert measured[326] > 5 * 0.902**35 and measured[1001] > 1000 * 0.902**110


def test_v1_breaks_at_326_layers_by_seed_and_at_1001_with_every_seed():
    """Predictions 2 to 4 of `experiments.v1_depth`, of which the first is refuted, and the pairs of losses and test errors."""
    stored = pd.read_csv(data.path("v1_depth.csv"))
    assert stored["error"].isna().all()
    runs = stored.groupby(["layers", "family"]).size().unstack()
    assert {layers: {*of_both} for layers, of_both in runs.T.items()} == {n: {k} for n, k in v1_depth.SEEDS.items()}
    errors = stored.pivot_table("train_error", "layers", "family")
    assert 0.17 < errors.loc[326, "v1"] - errors.loc[326, "v2"] < 0.19
    assert (errors["v2"] <= 0.01).all() and (errors["v1"].loc[:110] < 0.005).all()
    v1 = stored.query("family == 'v1'").set_index(["layers", "seed"])
    assert (v1["train_error"][326] < 0.02).tolist() == [True, False, False, True, True]
    assert v1["train_error"][1001].min() > 0.2
    fresh = v1.loc[326]
    assert fresh["direct"].max() / fresh["direct"].min() < 8 / 7
    fails = fresh["train_error"] > 0.02
    assert fresh["gradient"][~fails].min() < fresh["gradient"][fails].min()
    assert fresh["gradient"][fails].max() < fresh["gradient"][~fails].max()
    v2 = stored.query("family == 'v2'").set_index(["layers", "seed"])
    assert v2["direct"][1001].mean() < v1["direct"][110].mean() < v1["direct"][56].min()
    assert v1["direct"].groupby("layers").mean().is_monotonic_decreasing
    bank = pd.read_csv(data.path("bank_epochs.csv")).query("epoch == 10 and images == 10000 and family != 'plain'")
    bank = bank.assign(family=bank["family"].replace("residual", "v1"))
    losses = {"digits": stored.pivot_table("train_loss", "layers", "family")}
    tests = {"digits": stored.pivot_table("test_error", "layers", "family")}
    losses["pictures"] = bank.query("part == 'train'").pivot_table("loss", "layers", "family")
    tests["pictures"] = bank.query("part == 'test'").pivot_table("error", "layers", "family")
    higher_loss = {(task, n) for task, table in losses.items() for n in table.index[table["v2"] > table["v1"]]}
    lower_error = {(task, n) for task, table in tests.items() for n in table.index[table["v2"] < table["v1"]]}
    assert higher_loss == {(task, n) for task in ("digits", "pictures") for n in (20, 56)}
    assert higher_loss & lower_error == {("digits", 56), ("pictures", 56), ("pictures", 20)}
    assert len(higher_loss | lower_error) == 8
    at_20 = tests["pictures"].loc[20]
    assert 0.0002 < at_20["v1"] - at_20["v2"] < 0.00025
    assert 0 < tests["pictures"].loc[56, "v1"] - tests["pictures"].loc[56, "v2"] < 0.001
    means = stored.pivot_table(["direct", "gradient"], "layers", "family")
    grown = means["gradient"].loc[326] / means["gradient"].loc[20]
    assert 9_000 < grown["v1"] < 12_000 and 1_000 < grown["v2"] < 2_000
    assert tests["digits"].loc[1001, "v2"] / tests["digits"].loc[20, "v2"] == pytest.approx(2, abs=0.1)
    of_110 = bank.query("part == 'train' and layers == 110").set_index("family")["error"]
    assert of_110["v1"] > 3 * of_110["v2"]


def test_the_sweeps_do_not_decide_whether_v2_regularizes():
    """Basic units on the digits, five seeds: V2 has the higher loss at every depth, and the lower error at two of four."""
    v1, v2 = (results(data.path(f"{name}.csv")) for name in ("degradation", "variants"))
    v1, v2 = (
        rows[rows["family"] == family].groupby("layers")[["train_loss", "test_error"]].mean().loc[[8, 20, 32, 56]]
        for rows, family in ((v1, "residual"), (v2, "v2"))
    )
    assert (v2["train_loss"] > v1["train_loss"]).all()
    assert (v2["test_error"] < v1["test_error"]).tolist() == [True, False, True, False]


def test_gates_and_scales_of_other_strengths_train_as_predicted():
    """Predictions 1 to 4 of `experiments.shortcut_strength`."""
    errors = pd.read_csv(data.path("shortcut_strength.csv")).groupby(["kind", "strength"])["train_error"].mean()
    known = trained_56()["train_error"].mean()
    assert abs(errors["scaling", 0.5] - known["scaling"]) < 0.1
    exclusive, shortcut_only = errors["exclusive_gating"], errors["shortcut_only_gating"]
    assert exclusive[-3.0] < 0.1 < 0.2 < known["exclusive_gating"] and min(exclusive[0.0], exclusive[-10.0]) > 0.2
    assert shortcut_only[0.0] > 0.1 and max(shortcut_only[-3.0], shortcut_only[-10.0]) < 0.02


def test_an_activated_first_unit_changes_neither_the_errors_nor_the_steep_gradient():
    """Prediction 5 of `experiments.v1_depth`: half of it is refuted."""
    errors = trained_56()[["train_error", "test_error"]].mean()
    assert (abs(errors.loc["v2"] - errors.loc["v2_first"]) < 0.02).all()
    fresh = pd.read_csv(data.path("signals.csv")).query("state == 'fresh'")
    size = fresh.pivot_table("gradient_norm", ["family", "seed"], "unit")
    ratio = (size[0] / size[1]).groupby("family").median()
    assert ratio["v2_first"] > 2 and ratio["v2"] == pytest.approx(3.0, abs=0.1)


def test_the_walk_gives_what_survives_where_a_block_begins_with_an_identity():
    """The last block of 56 layers with shortcut A: 16 of its 64 channels have 20 steps behind them, 16 have 10, 32 have one."""
    random, survivors = np.random.default_rng(2), 0
    for steps, channels in ((20, 16), (10, 16), (1, 32)):
        sums = np.cumsum(random.standard_normal((steps + 8, 100_000)), axis=0)
        reflected = sums - np.minimum(np.minimum.accumulate(sums, axis=0), 0)
        survivors += channels / 64 * np.mean((reflected[steps:] > 0).all(axis=0))
    stored = pd.read_csv(data.path("signals.csv")).query("family == 'residual' and state == 'fresh' and unit == 19")
    assert stored["reached"].mean() == pytest.approx(survivors, abs=0.02)
