"""The module is the library's own, with and without the addition alone; every epoch gets its row."""

from dataclasses import replace

import numpy as np
import pytest

from experiments import inception_pair
from resnet_lib import build, data
from resnet_lib.inception import residual_module
from resnet_lib.network import seeded_weights
from resnet_lib.records import Records
from resnet_lib.resnet_utils import resnet_arg_scope
from resnet_lib.tf_slim_compat import slim, tf

X = np.random.default_rng(0).normal(size=(2, 5, 5, 32)).astype(np.float32)


def module(shortcut):
    builder = inception_pair.module_kind().builder

    def network(x):
        getter = seeded_weights(3)
        with tf.compat.v1.variable_scope("", custom_getter=getter), slim.arg_scope(resnet_arg_scope(False)):
            return builder(x, 32, 1, scope="module", shortcut=shortcut)

    return tf.compat.v1.wrap_function(network, [tf.TensorSpec(X.shape)])


def values(function):
    return [variable.numpy() for variable in function.graph.get_collection("variables")]


def test_with_the_shortcut_it_is_the_residual_module_of_the_library():
    ours = module("A")

    def network(x):
        with slim.arg_scope(resnet_arg_scope(False)):
            return residual_module(x, inception_pair.BRANCHES, scope="module")

    theirs = tf.compat.v1.wrap_function(network, [tf.TensorSpec(X.shape)])
    for variable, value in zip(theirs.graph.get_collection("variables"), values(ours), strict=True):
        variable.assign(value)
    assert np.allclose(ours(X), theirs(X), atol=1e-5)
    assert not np.allclose(ours(X), module("none")(X), atol=0.1)


@pytest.mark.parametrize("modules", [1, 3])
def test_the_pair_has_equal_cost_and_differs_in_its_additions_alone(modules):
    nets = [build(inception_pair.architecture(shortcut, modules), seed=1) for shortcut in ("with", "without")]
    with_shortcut, without = (net.cost() for net in nets)
    assert with_shortcut[:2] == without[:2]
    assert all(np.array_equal(a, b) for a, b in zip(*(net.values().values() for net in nets), strict=True))
    images = data.fashion_14().test_images[:4]
    assert not np.allclose(nets[0](images), nets[1](images), atol=1e-2)


def test_every_epoch_has_its_row_and_what_is_there_is_not_run_again(tmp_path, monkeypatch):
    monkeypatch.setattr(inception_pair, "RECIPE", replace(inception_pair.RECIPE, epochs=2))
    monkeypatch.setattr(inception_pair, "MODULES", (1,))
    monkeypatch.setattr(inception_pair, "SEEDS", {1: (2,)})
    monkeypatch.setattr(inception_pair, "TRAINED", 300)
    monkeypatch.setattr(inception_pair, "TESTED", 200)
    path = tmp_path / "rows.csv"
    inception_pair.main(path)
    rows = Records(path, inception_pair.COLUMNS).rows()
    assert [(row["shortcut"], row["epoch"]) for row in rows] == [(s, e) for s in ("with", "without") for e in "12"]
    assert rows[1]["train_loss"] != rows[3]["train_loss"] and not rows[1]["error"]
    monkeypatch.setattr(inception_pair, "run", None)
    inception_pair.main(path)


def test_a_run_that_diverges_leaves_a_row_that_says_so(monkeypatch):
    monkeypatch.setattr(inception_pair, "RECIPE", replace(inception_pair.RECIPE, epochs=1, learning_rate=1e30))
    monkeypatch.setattr(inception_pair, "TRAINED", 300)
    *_, last = inception_pair.run("with", 1, 0)
    assert last["error"].startswith("diverged") and last["epoch"] == 1
