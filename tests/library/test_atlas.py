"""The atlas of gradients measures what it says, at every layer of every family."""

import runpy

import cloudpickle
import numpy as np
import pytest

from experiments import atlas, probe
from resnet_lib import build, data
from resnet_lib.records import Records
from resnet_lib.tf_slim_compat import tf

SMALL = data.fashion_14()
SMALL = SMALL._replace(
    train_images=SMALL.train_images[:256],
    train_labels=SMALL.train_labels[:256],
    test_images=SMALL.test_images[:32],
    test_labels=SMALL.test_labels[:32],
)


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(atlas.data, "fashion_14", lambda: SMALL)
    monkeypatch.setattr(atlas, "STEPS", (0, 1, 3))
    monkeypatch.setattr(atlas, "PROBED", 16)


@pytest.mark.parametrize("family", [atlas.WITHOUT_BN, "highway", "v2"])  # the others are of their kinds
def test_every_layer_of_every_state_has_a_row(short, family):
    rows = atlas.measured(family, 8, 1)
    assert [(row["steps"], row["layer"]) for row in rows] == [(s, n) for s in (0, 1, 3) for n in range(1, 9)]
    assert all({*row} == {*atlas.COLUMNS} and all(row[name] > 0 for name in atlas.MEASURED) for row in rows)
    fresh, after_one, after_three = (
        [row["weight_norm"] for row in rows if row["steps"] == steps] for steps in (0, 1, 3)
    )
    assert fresh != after_one != after_three


def test_a_network_can_be_measured_in_another_process_when_this_is_the_program(short):
    """joblib sends a program's own functions as code, so that their addresses are not those that tf-slim knows them by."""
    program = runpy.run_path(atlas.__file__, run_name="program")
    program["measured"].__globals__.update(STEPS=(0, 1), PROBED=16)
    sent = cloudpickle.loads(cloudpickle.dumps(program["measured"]))
    rows = sent(atlas.WITHOUT_BN, 8, 1)
    assert [(row["steps"], row["layer"]) for row in rows] == [(s, n) for s in (0, 1) for n in range(1, 9)]


def test_a_run_ends_with_its_last_state(short, monkeypatch):
    seen, train = [], probe.train

    def watched(*args, observe, **options):
        return train(*args, observe=lambda steps, graph: seen.append(steps) or observe(steps, graph), **options)

    monkeypatch.setattr(probe, "train", watched)
    atlas.measured("plain", 8, 1)
    assert seen == [0, 1, 2, 3]


def test_only_what_the_file_lacks_is_measured(short, tmp_path, monkeypatch):
    monkeypatch.setattr(atlas, "LAYERS", (8,))
    monkeypatch.setattr(atlas, "SEEDS", (1,))
    path, done = tmp_path / "atlas.csv", []

    def measured(family, layers, seed):
        done.append(family)
        if family == "v2":
            raise KeyboardInterrupt
        return [{"family": family, "layers": layers, "seed": seed, "steps": 0, "layer": 1}]

    monkeypatch.setattr(atlas, "measured", measured)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            atlas.main(path)
    assert done == [*atlas.FAMILY_NAMES, "v2"]
    assert [row["family"] for row in Records(path, atlas.COLUMNS).rows()] == [*atlas.FAMILY_NAMES[:-1]]


def test_plain_units_without_bn_have_biases_in_its_place_and_else_the_same_weights():
    with_bn, without = (build(atlas.architecture(family, 8, SMALL)) for family in ("plain", "plain_without_bn"))

    def names(network, ends):
        return sorted(
            n.partition("block")[2].replace("basic_v1", "plain_without_bn") for n in network.values() if ends in n
        )

    assert names(with_bn, "/weights") == names(without, "/weights")
    assert [n for n in names(without, "BatchNorm") if n] == [] != [n for n in names(with_bn, "BatchNorm") if n]
    assert len(names(without, "biases")) == 7  # of six convolutions and the classifier
    changed = {n: np.ones_like(v) for n, v in without.values().items() if n.endswith("biases") and "block" in n}
    images, before = SMALL.test_images[:2], without(SMALL.test_images[:2])
    without.assign({**without.values(), **changed})
    assert not np.allclose(without(images), before)


def test_contrast_is_the_mean_squared_distance_of_two_images_over_twice_their_mean_square():
    random = np.random.default_rng(0)
    responses = 1 + random.standard_normal((5, 3, 3, 2)).astype(np.float32)
    pairs = [(a, b) for i, a in enumerate(responses) for b in responses[:i]]
    expected = np.mean([np.sum((a - b) ** 2) for a, b in pairs]) / (2 * np.mean([np.sum(a**2) for a in responses]))
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        assert session.run(probe._contrast(tf.constant(responses))) == pytest.approx(expected, rel=1e-5)


def test_copies_of_one_image_have_no_contrast():
    net = atlas.architecture("plain", 8, SMALL)
    one = probe.Probe(net)
    one.load(build(net, seed=5).values())
    copies, others = np.repeat(SMALL.test_images[:1], 4, axis=0), SMALL.test_images[:4]
    assert one.contrasts(copies) == pytest.approx([0] * 8, abs=1e-4) and min(one.contrasts(others)) > 0.05
