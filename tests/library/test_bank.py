"""The bank of trained networks: each run is measured as it should be, whatever interrupts it."""

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

from experiments import bank
from experiments.probe import Probe
from resnet_lib import build, data
from resnet_lib.architectures import get_architecture
from resnet_lib.records import Records
from resnet_lib.sweep import FAMILIES
from resnet_lib.tf_slim_compat import tf
from resnet_lib.training import Recipe

WHOLE = data.fashion_14()
SMALL = WHOLE._replace(
    train_images=WHOLE.train_images[:320],
    train_labels=WHOLE.train_labels[:320],
    test_images=WHOLE.test_images[:96],
    test_labels=WHOLE.test_labels[:96],
)
RECIPE = Recipe(epochs=2, batch_size=64, learning_rate=0.05)  # ten steps

probe_of = cache(Probe)  # one for each network: it is told the weights before it measures


@pytest.fixture(scope="module", autouse=True)
def small():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bank.data, "fashion_14", lambda: SMALL)
        patch.setattr(bank, "EVALUATED", 64)
        patch.setattr(bank, "PROBED", 32)
        patch.setattr(bank, "Probe", probe_of)
        yield


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """Family -> the folder of a run from beginning to end; each runs once."""

    @cache
    def run(family):
        folder = tmp_path_factory.mktemp(family)
        bank.Run(family, 8, 1, folder, RECIPE, folder / "weights").go()
        return folder

    return run


def tables(folder):
    return {name: pd.read_csv(folder / f"{name}.csv") for name in bank.GROUPS}


@pytest.mark.parametrize("family", ["plain", "v2"])
def test_a_run_leaves_the_rows_of_every_state(unbroken, family):
    found = tables(unbroken(family))
    epochs = found["bank_epochs"]
    assert epochs.groupby(["epoch", "images"]).size().to_dict() == {
        (0, 64): 4,
        (1, 64): 4,
        (2, 64): 4,
        (1, 320): 2,
        (2, 320): 2,
    }
    assert [*found["bank_layers"].groupby("steps").layer.apply(list)] == [[*range(1, 9)]] * 3  # before, after 1 and 10
    units = found["bank_units"]
    assert [*units.groupby("steps").unit.apply(list)] == [[0, 1, 2, 3]] * 3 and [*units.steps.unique()] == [0, 1, 10]
    last = units[units.steps == 10].removed_error
    assert units.residual_ratio.isna().sum() == (12 if family == "plain" else 3)  # the input of the first unit has none
    assert (
        last[last.index[0]]
        == epochs.query("epoch == 2 and images == 64 and part == 'test' and mode == 'evaluation'").error.item()
    )
    assert last.isna().sum() == (2 if family == "plain" else 0) and units[units.steps < 10].removed_error.isna().all()
    assert {column: [*table[column].unique()] for table in found.values() for column in bank.KEY} == {
        "family": [family],
        "layers": [8],
        "seed": [1],
    }


def test_an_interrupted_run_leaves_the_rows_of_an_unbroken_one(unbroken, tmp_path, monkeypatch):
    """Before its first checkpoint, and after it."""
    observe, stops = bank.Run.observe, [3, 7]

    def stopped(self, steps, graph):
        observe(self, steps, graph)
        if stops and steps == stops[0]:
            stops.pop(0)
            raise KeyboardInterrupt

    monkeypatch.setattr(bank.Run, "observe", stopped)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            bank.Run("v2", 8, 1, tmp_path, RECIPE, tmp_path / "weights").go()
    bank.Run("v2", 8, 1, tmp_path, RECIPE, tmp_path / "weights").go()
    for name in bank.GROUPS:
        lines = [(folder / f"{name}.csv").read_text().splitlines() for folder in (unbroken("v2"), tmp_path)]
        assert sorted(lines[0]) == sorted(lines[1])


def test_a_run_that_diverges_is_a_result_and_is_not_run_again(tmp_path, monkeypatch):
    monkeypatch.setattr(bank, "RECIPE", replace(RECIPE, learning_rate=1e38))
    monkeypatch.setattr(bank, "WEIGHTS", tmp_path / "weights")
    monkeypatch.setattr(bank, "FAMILY_NAMES", ("plain",))
    monkeypatch.setattr(bank, "SEEDS", {8: 1})
    started = []
    run = bank.Run

    def counted(*args):
        started.append(args)
        return run(*args[:4], bank.RECIPE, bank.WEIGHTS)

    monkeypatch.setattr(bank, "Run", counted)
    bank.main(tmp_path)
    bank.main(tmp_path)
    (row,) = Records(tmp_path / "bank_runs.csv", bank.COLUMNS["bank_runs"]).rows()
    assert row["error"].startswith("diverged: the ") and len(started) == 1
    assert tables(tmp_path)["bank_units"].steps.max() < 10


def test_what_the_probe_measures_is_what_its_names_say():
    """Held against what must be so: batch norms in training mode, and a unit whose residual is silent."""
    net = get_architecture(FAMILIES["v2"](8), 14, 10, channels_in=1)
    probe, values = probe_of(net), build(net, seed=3).values()
    images, labels = SMALL.train_images[:32], SMALL.train_labels[:32]
    probe.load(values)
    layers, units = probe.measure(images, labels)
    weights = [np.linalg.norm(value) for name, value in values.items() if name.endswith("/weights")]
    assert [row["layer"] for row in layers] == [*range(1, 9)] and [row["unit"] for row in units] == [0, 1, 2, 3]
    np.testing.assert_allclose([row["weight_norm"] for row in layers], weights, rtol=1e-5)
    # With gamma 1 and beta 0, what is normalized has the standard deviation 1: the first layer of every unit.
    np.testing.assert_allclose([row["response_std"] for row in layers[1:-1:2]], 1, atol=2e-3)
    silent = f"{net.name}/block1/unit_1/basic_v2/conv2/"
    probe.load({name: np.zeros_like(value) if name.startswith(silent) else value for name, value in values.items()})
    changed_layers, changed = probe.measure(images, labels)
    assert changed[1]["residual_ratio"] == changed_layers[2]["response_std"] == 0 < units[1]["residual_ratio"]
    for quantity in ("feature_std", "gradient_norm"):  # the unit hands on what it gets, both ways
        assert changed[1][quantity] == pytest.approx(changed[0][quantity], rel=1e-5) != units[1][quantity]
    assert changed_layers[1]["weight_gradient_norm"] == 0 < layers[1]["weight_gradient_norm"]


def test_the_gradients_of_the_probe_are_differences_of_its_loss():
    net = get_architecture(FAMILIES["v2"](8), 14, 10, channels_in=1)
    probe, values = probe_of(net), build(net, seed=3).values()
    images, labels = SMALL.train_images[:32], SMALL.train_labels[:32]
    last = f"{net.name}/logits/weights"
    losses = []
    probe.load(values)
    norm = probe.measure(images, labels)[0][-1]["weight_gradient_norm"]
    direction = np.random.default_rng(0).normal(size=(30, *values[last].shape)).astype(np.float32)
    for step in direction:
        step *= 1e-2 / np.linalg.norm(step)
        slopes = []
        for sign in (1, -1):
            probe.load({**values, last: values[last] + sign * step})
            slopes.append(probe.evaluate(images, labels, 32)[0])
        losses.append((slopes[0] - slopes[1]) / 2e-2)
    # A random direction sees the gradient's norm over the square root of the number of weights, on average.
    assert np.sqrt(np.mean(np.square(losses)) * values[last].size) == pytest.approx(norm, rel=0.4)


def test_both_modes_differ_by_the_statistics_alone():
    """A probe evaluates each batch as a network in training mode does, and leaves the moving averages alone."""
    net = get_architecture(FAMILIES["plain"](8), 14, 10, channels_in=1)
    probe, network = probe_of(net), build(net, seed=3)
    probe.load(network.values())
    images, labels = SMALL.test_images[:64], SMALL.test_labels[:64]
    loss, error = probe.evaluate(images, labels, 32)
    assert (loss, error) == probe.evaluate(images, labels, 32)  # nothing moved
    parts = [probe.evaluate(images[i : i + 32], labels[i : i + 32], 32) for i in (0, 32)]
    assert (loss, error) == pytest.approx(tuple(np.mean(parts, axis=0)))
    evaluated = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, network(images)[:, 0, 0])
    assert abs(loss - float(tf.reduce_mean(evaluated))) > 0.01  # the fresh network's moving averages are 0 and 1


def test_what_is_stored_is_whole():
    runs = {
        (family, layers, seed) for layers, n in bank.SEEDS.items() for family in bank.FAMILY_NAMES for seed in range(n)
    }
    for name in bank.COLUMNS:
        rows = pd.read_csv(data.path(f"{name}.csv"))
        assert {*rows[list(bank.KEY)].itertuples(index=False, name=None)} == runs
    assert rows["error"].isna().all() and len(rows) == len(runs) == 21
