"""Forward, the units are the library's own; backward, a path through k residuals counts q^k; every run gets its row."""

import numpy as np
import pytest

from experiments import jobs, short_paths
from experiments.path_spectrum import gradient_parts
from experiments.short_paths import TRAININGS, Training
from resnet_lib import build, data
from resnet_lib.records import Records
from resnet_lib.sweep import FAMILIES
from resnet_lib.tf_slim_compat import slim, tf
from resnet_lib.training import Recipe, train

DIGITS = data.digits()
IMAGES, LABELS = DIGITS.test_images[:16], DIGITS.test_labels[:16]
SHORT = Recipe(epochs=1, batch_size=500, learning_rate=0.05)


def network(training, seed=3):
    return build(short_paths.architecture(training, 14), 8, num_classes=10, channels_in=1, seed=seed)


@pytest.mark.parametrize("training", ["backward 0", "backward 1/4", "whole", "classifier only"])
def test_forward_it_is_v2(training):
    ours = network(TRAININGS[training])
    theirs = build(FAMILIES["v2"](14), 8, num_classes=10, channels_in=1, seed=4)
    theirs.assign(dict(zip(theirs.values(), ours.values().values(), strict=True)))
    assert np.array_equal(ours(IMAGES), theirs(IMAGES))


@pytest.mark.parametrize("q", [0, 1 / 2])
def test_backward_a_path_through_k_residuals_counts_q_to_the_k(q):
    weights = network(Training()).values()
    parts, _ = gradient_parts(short_paths.architecture(Training(), 14), IMAGES, LABELS, weights=weights)
    _, gradient = gradient_parts(short_paths.architecture(Training(backward=q), 14), IMAGES, LABELS, weights=weights)
    expected = sum(q**k * part for k, part in enumerate(parts))
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    assert not np.allclose(expected, sum(parts), rtol=0, atol=0.1 * np.abs(expected).max())


def test_a_unit_is_kept_for_the_whole_batch_or_not_at_all_and_in_evaluation_it_counts_its_probability():
    residual = np.random.default_rng(0).normal(size=(3, 2, 2, 4)).astype(np.float32)
    found = {}
    for is_training in (True, False):
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            tf.compat.v1.set_random_seed(1)
            with slim.arg_scope([slim.dropout], is_training=is_training):
                result = short_paths.kept(tf.constant(residual), 0.4)
            found[is_training] = np.array([session.run(result) for _ in range(400)])
    np.testing.assert_allclose(found[False], np.broadcast_to(0.4 * residual, (400, *residual.shape)), rtol=1e-6)
    took_part = np.array([np.allclose(values, residual, rtol=1e-6) for values in found[True]])
    assert not found[True][~took_part].any()
    assert abs(took_part.mean() - 0.4) < 0.1  # four standard deviations


def test_the_probability_falls_linearly_to_that_of_the_last_unit(monkeypatch):
    kept = []
    monkeypatch.setattr(short_paths, "kept", lambda residual, probability: kept.append(probability) or residual)
    network(TRAININGS["stochastic depth"])
    np.testing.assert_allclose(kept, 1 - np.arange(1, 7) / 12)
    kept.clear()
    network(TRAININGS["23 of 54 units"])
    np.testing.assert_allclose(kept, 6 * [23 / 54])


def test_the_control_changes_the_last_batch_norm_and_the_classifier_only(monkeypatch):
    monkeypatch.setattr(short_paths, "LAYERS", 8)
    monkeypatch.setattr(short_paths, "RECIPE", SHORT)
    runs = []
    monkeypatch.setattr(jobs, "train", lambda *args, **options: runs.append(train(*args, **options)) or runs[-1])
    short_paths.run("classifier only", 2)
    fresh, trained = build(runs[0].architecture, seed=2).values(), runs[0].weights
    changed = {name.split("/")[-2] for name in fresh if "moving" not in name and np.any(fresh[name] != trained[name])}
    assert changed == {"postnorm", "logits"}


def test_every_training_is_a_run_of_its_own_and_what_is_there_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(short_paths, "RECIPE", SHORT)
    monkeypatch.setattr(short_paths, "SEEDS", (1,))
    some = {name: TRAININGS[name] for name in ("whole", "backward 0", "stochastic depth", "classifier only")}
    monkeypatch.setattr(short_paths, "TRAININGS", some)
    monkeypatch.setattr(short_paths, "LAYERS", 8)
    path = tmp_path / "short_paths.csv"
    short_paths.main(path)
    rows = Records(path, short_paths.COLUMNS, short_paths.KEY).rows()
    assert [row["training"] for row in rows] == list(some) and {row["error"] for row in rows} == {""}
    assert len({row["train_loss"] for row in rows}) == 4
    monkeypatch.setattr(short_paths, "run", None)
    short_paths.main(path)
