"""The steps of `experiments.causes` do what their names say, and a run of it is one row."""

from dataclasses import replace

import numpy as np
import pytest

from experiments import causes
from resnet_lib.records import Records
from resnet_lib.tf_slim_compat import tf
from resnet_lib.training import Recipe


def changed(remedy, *values):
    """The gradients that a remedy makes of two: of a layer's weights, which are (3, 4) long, and of a batch norm's scale."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        weights = tf.compat.v1.Variable([3.0, 4.0], name="net/conv1/weights")
        gamma = tf.compat.v1.Variable([1.0], name="net/conv1/BatchNorm/gamma")
        session.run(tf.compat.v1.global_variables_initializer())
        return session.run(causes.REMEDIES[remedy]([*map(tf.constant, values)], [weights, gamma]))


def test_clipping_scales_all_gradients_by_one_number_where_they_are_long():
    weights, gamma = changed("clipped", [0.0, 30.0], [40.0])
    np.testing.assert_allclose([*weights, *gamma], [0, 6, 8], rtol=1e-6)
    weights, gamma = changed("clipped", [0.0, 3.0], [4.0])
    np.testing.assert_allclose([*weights, *gamma], [0, 3, 4], rtol=1e-6)


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e6])
def test_a_layerwise_step_is_a_share_of_the_weights_however_long_the_gradient(size):
    weights, gamma = changed("layerwise", [0.0, size], [7.0])
    np.testing.assert_allclose(weights, [0, causes.SHARE * 5], rtol=1e-6)
    assert gamma == [7.0]


def test_no_gradient_stays_none():
    weights, _ = changed("layerwise", [0.0, 0.0], [7.0])
    assert np.array_equal(weights, [0, 0])


def test_a_run_is_one_row_and_each_remedy_makes_another_run(tmp_path, monkeypatch):
    recipes = {name: replace(recipe, epochs=6, batch_size=500) for name, recipe in causes.RECIPES.items()}
    monkeypatch.setattr(causes, "RECIPES", recipes)
    monkeypatch.setattr(causes, "LARGEST_NORM", 0.1)  # shorter than the gradients of 8 layers
    path = tmp_path / "causes.csv"
    causes.main(path, layers=8, rates=[0.5], seeds=[3], families=["plain"])
    rows = Records(path, causes.COLUMNS, causes.KEY).rows()
    assert [row["remedy"] for row in rows] == list(causes.REMEDIES)
    assert len({row["train_loss"] for row in rows}) == 4 and {row["error"] for row in rows} == {""}
    assert all(row["train_errors"].count(";") == 5 and float(row["first_epoch_norm"]) > 0 for row in rows)
    monkeypatch.setattr(causes, "run", None)
    causes.main(path, layers=8, rates=[0.5], seeds=[3], families=["plain"])  # nothing is left to do


def test_a_run_that_diverges_is_a_row_that_says_so(monkeypatch):
    monkeypatch.setattr(causes, "RECIPES", {"digits": Recipe(epochs=1, batch_size=500)})
    (row,) = causes.run("digits", "plain", 8, "none", 1e20, 0)
    assert "diverged" in row["error"] and "train_error" not in row and row["train_errors"] == ""
