import io
import json
import os
import pickle
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from experiments import leaky
from resnet_lib import Architecture, Block, Root, build, checkpoints, cifar_architecture, training
from resnet_lib.data import digits
from resnet_lib.network import network_function
from resnet_lib.tf_slim_compat import tf
from resnet_lib.training import Epoch, History, Recipe, train
from resnet_lib.training_graph import TrainingGraph
from resnet_lib.units import BasicUnit, UnitKind
from resnet_lib.weights import architecture_in

SMALL = digits(num_train=200)._replace(test_images=digits().test_images[:50], test_labels=digits().test_labels[:50])
TINY = Architecture(
    "tiny", (Block("b", "basic_v1", ((8, 1), (16, 2))),), Root(8, 3, 1, 1), image_size=8, num_classes=10
)
QUICK = Recipe(epochs=3, batch_size=50)


@pytest.fixture(scope="module")
def unbroken():
    return train(TINY, SMALL, QUICK, seed=3, threads=1)


@pytest.fixture(scope="module")
def graph():
    """For tests that load weights, or to which any will do."""
    return training._graph(TINY, QUICK, SMALL, seed=0, threads=None)


@pytest.fixture(scope="module")
def checkpoint_bytes(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "run.npz"
    train(TINY, SMALL, QUICK, seed=3, threads=1, checkpoint=path)
    return path.read_bytes()


def test_a_run_gives_one_record_an_epoch_and_learns(unbroken):
    assert [epoch.epoch for epoch in unbroken.epochs] == [1, 2, 3] and unbroken.error is None
    learned = train(TINY, SMALL, replace(QUICK, epochs=12), seed=3).epochs
    assert learned[-1].train_error < 0.05 < learned[0].train_error
    assert learned[-1].train_loss < learned[0].train_loss and learned[-1].test_error < 0.5
    assert all(epoch.gradient_norm > epoch.first_gradient_norm > 0 for epoch in learned)


def test_the_seed_makes_the_run(unbroken):
    assert train(TINY, SMALL, QUICK, seed=3, threads=1) == unbroken
    other = train(TINY, SMALL, QUICK, seed=4, threads=1)
    assert other != unbroken
    assert not np.array_equal(other.weights["tiny/conv1/weights"], unbroken.weights["tiny/conv1/weights"])
    for threads in (2, None):  # on small images an operation has one thread, so no sum depends on their number
        assert train(TINY, SMALL, QUICK, seed=3, threads=threads) == unbroken


@pytest.mark.parametrize(
    ("batch_size", "expected"),
    [(200, [200]), (101, [200]), (100, [100] * 2), (60, [67, 67, 66]), (13, [14] * 5 + [13] * 10)],
)
def test_batches_are_equal_to_one_image_and_none_is_smaller_than_was_asked_for(batch_size, expected, monkeypatch):
    sizes = []
    monkeypatch.setattr(training, "_augmented", lambda images, *_: sizes.append(len(images)) or images)
    session = SimpleNamespace(run=lambda *_: [1.0, 1.0, 1.0])  # a loss and two norms
    graph = SimpleNamespace(session=session, images="images", labels="labels", learning_rate="rate", step="step")
    training._run_epoch(graph, SMALL, Recipe(batch_size=batch_size), epoch=0, seed=0)
    assert sizes == expected


def test_the_learning_rate_is_the_papers():
    recipe = Recipe(epochs=8, learning_rate=0.1, warm_up=1)
    rates = [recipe.learning_rate_at(epoch) for epoch in range(8)]
    np.testing.assert_allclose(rates, [0.01, 0.1, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001])


def test_one_step_is_momentum_sgd_on_the_mean_cross_entropy_with_weight_decay():
    """From the same weights, the step that TensorFlow's gradients of a second graph, written out here, prescribe."""
    recipe = Recipe(epochs=1, batch_size=200, learning_rate=0.5, weight_decay=0.01)
    graph = training._graph(TINY, recipe, SMALL, seed=0, threads=None)
    names = [variable.name for variable in graph.variables]
    feed = {graph.images: SMALL.train_images, graph.labels: SMALL.train_labels, graph.learning_rate: 0.5}
    with graph.session.graph.as_default():
        logits = graph.session.graph.get_tensor_by_name("tiny/logits/BiasAdd:0")[:, 0, 0]
        picked = tf.reduce_sum(tf.nn.log_softmax(logits) * tf.one_hot(graph.labels, 10), 1)
        trained = [v for v in graph.variables if v in tf.compat.v1.trainable_variables()]
        squares = [tf.reduce_sum(v**2) for v in trained if "weights" in v.name]
        gradients = tf.gradients(-tf.reduce_mean(picked) + 0.01 / 2 * tf.add_n(squares), trained)
    expected = dict(zip([v.name for v in trained], graph.session.run(gradients, feed), strict=True))
    before = dict(zip(names, graph.values(), strict=True))
    for momentum in (0, 0.9):  # the second step, from where the first one ended, carries nine tenths of the first
        graph.session.run(graph.step, feed)
        after = dict(zip(names, graph.values(), strict=True))
        if not momentum:
            for name, gradient in expected.items():
                np.testing.assert_allclose(after[name], before[name] - 0.5 * gradient, rtol=1e-4, atol=1e-5)
            first = after
    slots = {name: after[name.replace(":0", "/Momentum:0")] for name in expected}
    for name, slot in slots.items():
        np.testing.assert_allclose(after[name], first[name] - 0.5 * slot, rtol=1e-4, atol=1e-5)


def halved(gradients, variables):
    assert [g.shape for g in gradients] == [v.shape for v in variables]
    return [gradient / 2 for gradient in gradients]


def test_the_optimizer_takes_the_changed_gradients_and_the_record_has_those_of_the_loss(tmp_path, unbroken):
    start = Recipe(epochs=1, batch_size=200, momentum=0)
    half_the_rate = train(TINY, SMALL, replace(start, learning_rate=0.05), seed=3, threads=1)
    path = tmp_path / "run.npz"
    changed = train(TINY, SMALL, start, seed=3, threads=1, checkpoint=path, change_gradients=halved)
    for name, value in half_the_rate.weights.items():
        np.testing.assert_allclose(changed.weights[name], value, rtol=1e-5, atol=1e-6)
    assert changed.epochs[0].gradient_norm == half_the_rate.epochs[0].gradient_norm
    with pytest.raises(ValueError, match="another run"):
        train(TINY, SMALL, start, seed=3, threads=1, checkpoint=path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda gradients, variables: gradients[1:], "a list of 20 gradients, got 19"),
        (lambda gradients, variables: None, "a list of 20 gradients, got None"),
        ("clip", "must be a function"),
        (partial(halved), "must be a function, whose name is its own"),
    ],
)
def test_a_change_of_gradients_that_is_none_is_refused(change, message):
    with pytest.raises((ValueError, TypeError), match=f"change_gradients .*{message}"):
        train(TINY, SMALL, QUICK, change_gradients=change)


def test_moving_averages_update_in_training_and_are_used_in_evaluation():
    """The commonest tf-slim mistake is a training step without the update operations."""
    recipe = Recipe(epochs=1, batch_size=200, batch_norm_decay=0.75)
    graph = training._graph(TINY, recipe, SMALL, seed=0, threads=None)
    tensors = {v.name.split(":")[0]: v for v in graph.variables}
    mean, variance = tensors["tiny/conv1/BatchNorm/moving_mean"], tensors["tiny/conv1/BatchNorm/moving_variance"]
    feed = {graph.images: SMALL.train_images, graph.labels: SMALL.train_labels, graph.learning_rate: 0.0}
    written = graph.session.run(graph.session.graph.get_tensor_by_name("tiny/conv1/Conv2D:0"), feed)
    graph.session.run(graph.step, feed)
    by_hand = 0.25 * written.mean(axis=(0, 1, 2))
    np.testing.assert_allclose(graph.session.run(mean), by_hand, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(graph.session.run(variance), 0.75 + 0.25 * written.var(axis=(0, 1, 2)), rtol=1e-3)
    loss, _ = graph.evaluate(SMALL.train_images, SMALL.train_labels)
    one_by_one = [graph.evaluate(SMALL.train_images[i : i + 1], SMALL.train_labels[i : i + 1])[0] for i in range(200)]
    np.testing.assert_allclose(np.mean(one_by_one), loss, rtol=1e-4)  # no image sees the others of its batch
    values = dict(zip(graph.names, graph.values(), strict=True))
    graph.load({name: value + 10 if name.endswith("moving_mean") else value for name, value in values.items()})
    assert graph.evaluate(SMALL.train_images, SMALL.train_labels)[0] != pytest.approx(loss, rel=0.01)


def test_evaluation_covers_every_image_once(graph):
    whole = graph.evaluate(SMALL.train_images, SMALL.train_labels)
    np.testing.assert_allclose(graph.evaluate(SMALL.train_images, SMALL.train_labels, batch_size=33), whole, rtol=1e-5)


def test_an_interrupted_run_ends_with_the_numbers_of_an_unbroken_one(tmp_path, monkeypatch, unbroken):
    path, whole_epoch = tmp_path / "run.npz", training._run_epoch

    def interrupted(graph, data, recipe, epoch, seed, observe):
        if epoch == 1:
            whole_epoch(graph, data, recipe, epoch, seed)  # the weights have moved on when the run is stopped
            raise KeyboardInterrupt
        return whole_epoch(graph, data, recipe, epoch, seed)

    monkeypatch.setattr(training, "_run_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(TINY, SMALL, QUICK, seed=3, threads=1, checkpoint=path)
    monkeypatch.undo()
    assert train(TINY, SMALL, QUICK, seed=3, threads=1, checkpoint=path) == unbroken
    assert train(TINY, SMALL, QUICK, seed=3, threads=1, checkpoint=path) == unbroken  # nothing left to do


def share_of_errors(network, images, labels):
    return np.mean(np.argmax(network(images)[:, 0, 0], axis=1) != labels)


def test_a_run_gives_the_network_that_it_trained(unbroken, tmp_path):
    network = unbroken.network
    assert network is unbroken.network  # built once
    assert network.architecture == replace(TINY, channels_in=1) and network.input_shape == (None, 8, 8, 1)
    last = unbroken.epochs[-1]
    assert share_of_errors(network, SMALL.train_images, SMALL.train_labels) == pytest.approx(last.train_error)
    assert share_of_errors(network, SMALL.test_images, SMALL.test_labels) == pytest.approx(last.test_error)
    network.save(tmp_path / "saved.npz")
    with np.load(tmp_path / "saved.npz") as saved:
        assert {*unbroken.weights, "about"} == {*saved.files}  # no momenta
        assert all(np.array_equal(value, saved[name]) for name, value in unbroken.weights.items())


def test_the_network_is_for_the_images_and_classes_of_the_data():
    wide = SMALL._replace(
        train_images=np.repeat(SMALL.train_images, 2, axis=3)[:, :, :6],
        test_images=np.repeat(SMALL.test_images, 2, axis=3)[:, :, :6],
        train_labels=SMALL.train_labels % 4,
        test_labels=SMALL.test_labels % 4,
        num_classes=4,
    )
    blocks = [Block("b", "bottleneck_v2", [(8, 4, 1)])]
    network = train(blocks, wide, replace(QUICK, epochs=1)).network
    assert network.input_shape == (None, 8, 6, 2) and network(wide.test_images).shape == (50, 1, 1, 4)
    assert network.architecture.image_size == (8, 6)


def test_only_who_asks_for_the_network_waits_for_it(monkeypatch):
    monkeypatch.setattr(training, "build", None)
    history = train(TINY, SMALL, replace(QUICK, epochs=1))
    assert history.weights["tiny/logits/weights"].shape == (1, 1, 16, 10)
    with pytest.raises(TypeError):
        _ = history.network


def test_a_whole_checkpoint_gives_the_network_again(unbroken, checkpoint_bytes, tmp_path, monkeypatch):
    (tmp_path / "run.npz").write_bytes(checkpoint_bytes)
    monkeypatch.setattr(training, "_run_epoch", None)
    again = train(TINY, SMALL, QUICK, seed=3, threads=1, checkpoint=tmp_path / "run.npz")
    assert again == unbroken
    assert again.weights.keys() == unbroken.weights.keys()
    assert all(np.array_equal(again.weights[name], value) for name, value in unbroken.weights.items())
    np.testing.assert_array_equal(again.network(SMALL.test_images), unbroken.network(SMALL.test_images))


def test_a_checkpoint_says_of_which_network_it_is(unbroken, checkpoint_bytes, tmp_path):
    path = tmp_path / "run.npz"
    path.write_bytes(checkpoint_bytes)
    assert architecture_in(path) == unbroken.architecture
    again = build(architecture_in(path), weights=path)
    np.testing.assert_array_equal(again(SMALL.test_images), unbroken.network(SMALL.test_images))
    strides = [Block("b", "basic_v1", [(8, 2), (16, 2)])]  # of which the variables know nothing
    with pytest.raises(ValueError, match="layout: .*run.npz are for 'slim', got None"):
        build(replace(unbroken.architecture, blocks=strides), weights=path)


def test_a_history_can_be_pickled_with_or_without_its_network(unbroken):
    images = SMALL.test_images[:3]
    logits = unbroken.network(images)
    copy = pickle.loads(pickle.dumps(unbroken))
    assert copy == unbroken and "network" not in vars(copy)
    np.testing.assert_array_equal(copy.network(images), logits)


def test_histories_are_equal_by_their_records(unbroken):
    records = list(unbroken.epochs)
    assert History(records) == unbroken
    assert History(records[:2]) != unbroken and History(records, "diverged") != unbroken


def test_a_run_is_known_again_in_another_process_with_a_unit_function_of_ones_own():
    def own(inputs, depth, stride, rate=1):
        raise NotImplementedError

    block = TINY.blocks[0]._replace(unit_fn=UnitKind("own", BasicUnit, 1, options=("shortcut",), builder=own))
    fingerprint = checkpoints.fingerprint(replace(TINY, blocks=(block,)), QUICK, SMALL, 0)
    assert "own" in fingerprint and "0x" not in fingerprint


def test_a_run_is_told_from_one_of_the_same_function_with_another_number():
    """Of a unit function behind tf-slim's decorator, and of a change of the gradients."""

    def clipped(norm, change=halved):
        def clip(gradients, variables, axis=None):
            return [gradient * norm for gradient in change(gradients, variables)]

        return clip

    def run(slope, norm=None):
        net = leaky.architecture("plain", 8, slope)
        return checkpoints.fingerprint(net, QUICK, SMALL, 0, {}, norm and clipped(norm))

    assert run(0.1) == run(0.1) != run(0.5)
    assert len({run(0.1), run(0.1, 1.0), run(0.1, 2.0)}) == 3 and run(0.1, 2.0) == run(0.1, 2.0)
    assert "0x" not in run(0.1, 2.0)
    assert json.loads(checkpoints.fingerprint(TINY, QUICK, SMALL, 0, {}, halved))[0::4] == [repr(TINY), "halved"]


def test_a_run_killed_while_it_writes_a_checkpoint_goes_on_from_the_one_before(tmp_path, monkeypatch, unbroken):
    """A child writes the checkpoint of the last epoch, and is killed before that is in its place."""
    path, save = tmp_path / "run.npz", checkpoints.write

    def save_or_be_killed(path, run, epochs, variables, net):
        if len(epochs) < QUICK.epochs:
            return save(path, run, epochs, variables, net)
        child = os.fork()
        if not child:
            try:
                os.replace = lambda *paths: os.kill(os.getpid(), signal.SIGKILL)
                save(path, run, epochs, variables, net)
            finally:
                os._exit(0)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints, "write", save_or_be_killed)
    with pytest.raises(KeyboardInterrupt):
        train(TINY, SMALL, QUICK, seed=3, threads=1, checkpoint=path)
    monkeypatch.undo()
    with np.load(path) as saved:
        assert len(json.loads(str(saved["about"]))["epochs"]) == QUICK.epochs - 1
    assert train(TINY, SMALL, QUICK, seed=3, threads=1, checkpoint=path) == unbroken


def test_a_checkpoint_of_another_run_is_refused(tmp_path, checkpoint_bytes):
    path = tmp_path / "run.npz"
    path.write_bytes(checkpoint_bytes)
    turned = SMALL._replace(test_labels=SMALL.test_labels[::-1])
    differences = {
        "seed is 3 there and 4 here": {"seed": 4},
        "momentum is 0.9 there and 0.5 here; seed is 3 there and 4 here": {
            "recipe": replace(QUICK, momentum=0.5),
            "seed": 4,
        },
        "the data, or the weights to start from, are others": {"data": turned},
        "the network is another one": {"architecture": replace(TINY, name="other")},
        "a unit function or change_gradients is another one": {"change_gradients": halved},
    }
    for text, other in differences.items():
        with pytest.raises(
            ValueError, match=f"checkpoint: {re.escape(str(path))} belongs to another run: {text}. Name"
        ):
            train(**{"architecture": TINY, "data": SMALL, "recipe": QUICK, "seed": 3, "checkpoint": path, **other})
    assert path.read_bytes() == checkpoint_bytes


def test_a_checkpoint_holds_each_variable_under_its_name(checkpoint_bytes, graph):
    with np.load(io.BytesIO(checkpoint_bytes)) as saved:
        shapes = {name: saved[name].shape for name in saved.files if name != "about"}
        assert shapes == {variable.name.removesuffix(":0"): variable.shape for variable in graph.variables}
        assert shapes["tiny/conv1/weights"] == shapes["tiny/conv1/weights/Momentum"] == (3, 3, 1, 8)
        assert shapes["tiny/conv1/BatchNorm/moving_variance"] == (8,) and shapes["tiny/logits/biases"] == (10,)
        *_, record = json.loads(str(saved["about"]))["epochs"]
        graph.load({name: saved[name] for name in graph.names})
    measured = graph.evaluate(SMALL.train_images, SMALL.train_labels)
    np.testing.assert_allclose(measured, Epoch(*record)[2:4], rtol=1e-5)  # by name, the weights of the run


def test_a_checkpoint_that_cannot_be_written_is_said_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "_run_epoch", None)
    with pytest.raises(OSError, match="no_such_folder"):
        train(TINY, SMALL, QUICK, checkpoint=tmp_path / "no_such_folder" / "run.npz")


@pytest.mark.parametrize("padding", [1, 4])
def test_an_augmented_image_is_one_of_its_windows_or_the_mirror_image_of_one(padding):
    images = np.random.default_rng(0).uniform(1, 2, [400, 5, 6, 3]).astype(np.float32)
    augmented = training._augmented(images, padding, np.random.default_rng(1))
    assert augmented.shape == images.shape and augmented.dtype == np.float32
    padded = np.zeros([400, 5 + 2 * padding, 6 + 2 * padding, 3])
    padded[:, padding:-padding, padding:-padding] = images
    seen = set()
    for image, whole in zip(augmented, padded, strict=True):
        corners = [(y, x) for y in range(2 * padding + 1) for x in range(2 * padding + 1)]
        windows = {(y, x, step): whole[y : y + 5, x : x + 6][:, ::step] for y, x in corners for step in (1, -1)}
        found = [which for which, window in windows.items() if (window == image).all()]
        assert len(found) == 1
        seen.add((found[0], image.tobytes()))
    mirrored = [step == -1 for (_, _, step), _ in seen]
    assert 160 < sum(mirrored) < 240  # of 400, give or take four standard deviations
    assert len({which[:2] for which, _ in seen}) > 0.95 * (2 * padding + 1) ** 2  # and every window turns up
    assert training._augmented(images, 0, None) is images


def test_each_epoch_has_crops_of_its_own_and_evaluation_has_none(monkeypatch):
    seen, augmented = [], training._augmented
    monkeypatch.setattr(training, "_augmented", lambda *args: seen.append(augmented(*args)) or seen[-1])
    recipe = replace(QUICK, epochs=2, augment=2, learning_rate=0.0)
    graph = training._graph(TINY, recipe, SMALL, seed=0, threads=1)
    for epoch in (0, 1, 1):
        training._run_epoch(graph, SMALL, recipe, epoch, seed=0)
    first, second, again = (np.concatenate(seen[i : i + 4]) for i in (0, 4, 8))
    assert np.array_equal(second, again) and first.shape == second.shape == SMALL.train_images.shape

    def amounts_of_ink(images):  # whatever the order of the images; a crop cuts some of it off, a mirror image none
        return np.sort(images.sum(axis=(1, 2, 3)))

    assert not np.array_equal(amounts_of_ink(first), amounts_of_ink(second))
    assert not np.array_equal(amounts_of_ink(first), amounts_of_ink(SMALL.train_images))
    del seen[:]
    train(TINY, SMALL, recipe)
    assert [len(batch) for batch in seen] == 2 * 4 * [50]


def test_a_run_with_augmentation_is_another_run_seeded_and_resumable(tmp_path, unbroken):
    recipe, path = replace(QUICK, augment=2), tmp_path / "run.npz"
    whole = train(TINY, SMALL, recipe, seed=3, threads=1)
    assert whole != unbroken
    save = checkpoints.write

    def save_and_stop(path, run, epochs, variables, net):
        save(path, run, epochs, variables, net)
        if len(epochs) == 2:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(checkpoints, "write", save_and_stop)
        train(TINY, SMALL, recipe, seed=3, threads=1, checkpoint=path)
    assert train(TINY, SMALL, recipe, seed=3, threads=1, checkpoint=path) == whole


def test_a_run_that_diverges_stops_with_a_record():
    history = train(TINY, SMALL, replace(QUICK, learning_rate=1e30), seed=0)
    what = "(loss|norm of the gradient) is (nan|inf)"
    assert re.fullmatch(rf"diverged: the {what} at epoch 1, step \d, with a learning rate of 1e\+30", history.error)
    assert history.epochs == [] and history.weights["tiny/conv1/weights"].shape == (3, 3, 1, 8)
    with pytest.raises(ValueError, match="^weights holds NaN or infinity in tiny/"):
        _ = history.network


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="batch_size must be at most the 200 training images, got 201"):
        train(TINY, SMALL, Recipe(batch_size=201))
    for bad in (
        {"epochs": 0},
        {"batch_size": -1},
        {"learning_rate": -0.1},
        {"momentum": float("nan")},
        {"weight_decay": "x"},
        {"augment": -1},
        {"augment": 1.5},
        {"augment": True},
    ):
        with pytest.raises((ValueError, TypeError), match=next(iter(bad))):
            Recipe(**bad)


@pytest.mark.parametrize(
    ("numpy", "python"),
    [
        ({"learning_rate": np.float32(0.1), "momentum": np.float16(0.5)}, {"learning_rate": 0.1, "momentum": 0.5}),
        ({"epochs": np.int64(2), "batch_size": np.uint8(50)}, {"epochs": 2, "batch_size": 50}),
        ({"warm_up": np.int32(1), "augment": np.int64(4)}, {"warm_up": 1, "augment": 4}),
        ({"weight_decay": np.float64(1e-4), "batch_norm_decay": np.int64(1)}, {"batch_norm_decay": 1}),
        ({"learning_rate": 1}, {"learning_rate": 1.0}),
    ],
)
def test_a_recipe_of_numpy_numbers_is_that_of_python_numbers(numpy, python):
    recipe = Recipe(**numpy)
    assert recipe == Recipe(**python) and json.dumps(vars(recipe)) == json.dumps(vars(Recipe(**python)))
    defaults = vars(Recipe())
    assert all(type(value) is type(defaults[name]) for name, value in vars(recipe).items())


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("epochs", 1.5, TypeError),
        ("batch_size", np.float32(8), TypeError),
        ("warm_up", 0.5, TypeError),
        ("warm_up", -1, ValueError),
        ("augment", None, TypeError),
        ("learning_rate", np.float32("nan"), ValueError),
        ("learning_rate", "0.1", TypeError),
        ("learning_rate", True, TypeError),
        ("weight_decay", float("inf"), ValueError),
        ("momentum", 9, ValueError),
        ("batch_norm_decay", 1.5, ValueError),
    ],
)
def test_a_recipe_of_other_numbers_is_refused(field, value, error):
    with pytest.raises(error, match=f"{field} must be a .*number.*, got {re.escape(repr(value))}"):
        Recipe(**{field: value})


def test_a_run_of_numpy_numbers_and_its_checkpoint_are_those_of_python_numbers(tmp_path, unbroken):
    path = tmp_path / "run.npz"
    recipe = Recipe(epochs=np.int8(3), batch_size=np.int64(50), learning_rate=np.float32(0.1))
    data = SMALL._replace(num_classes=np.int64(10))
    assert train(TINY, data, recipe, seed=np.int64(3), threads=np.int64(1), checkpoint=path) == unbroken
    assert train(TINY, SMALL, QUICK, seed=3, threads=1, checkpoint=path) == unbroken


@pytest.mark.parametrize(
    ("argument", "value", "error"),
    [
        ("seed", -1, ValueError),
        ("seed", 2**63, ValueError),
        ("seed", 0.0, TypeError),
        ("seed", True, TypeError),
        ("seed", None, TypeError),
        ("threads", 0, ValueError),
        ("threads", 1.5, TypeError),
        ("recipe", {"epochs": 1}, TypeError),
        ("recipe", 0, TypeError),
        ("recipe", Recipe, TypeError),
    ],
)
def test_a_run_of_other_arguments_is_refused_before_anything_is_built(argument, value, error, monkeypatch):
    monkeypatch.setattr(training, "_graph", None)
    with pytest.raises(error, match=f"{argument} must be a .*, got {re.escape(repr(value))}"):
        train(TINY, SMALL, **{argument: value})


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("train_images", SMALL.train_images * np.nan, "must be finite .*, got nan in image 0"),
        ("test_images", np.full_like(SMALL.test_images, np.inf), "must be finite .*, got inf in image 0"),
        ("test_images", SMALL.test_images[:0], r"must be .* one image or more, got the shape \[0, 8, 8, 1\]"),
        ("test_labels", SMALL.test_labels + 1, "must be from 0 to 9, got 10 for image"),
    ],
)
def test_data_is_checked_before_anything_is_built(part, value, message, monkeypatch):
    monkeypatch.setattr(training, "_graph", None)
    with pytest.raises(ValueError, match=f"{part} {message}"):
        train(TINY, SMALL._replace(**{part: value}), QUICK)


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


DAMAGE = {  # what became of a checkpoint, from its bytes and the weights in it
    "cut": lambda whole, weights: whole[:-40],
    "empty": lambda whole, weights: b"",
    "text": lambda whole, weights: b"notes",
    "overwritten": lambda whole, weights: whole[:900] + bytes(99) + whole[999:],
    "weights alone": lambda whole, weights: npz(**weights),  # as `Network.save` writes them
    "other records": lambda whole, weights: npz(about=json.dumps({"run": 3})),
    "one array": lambda whole, weights: pickle.dumps(np.zeros(3)),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_file_that_is_no_whole_checkpoint_is_named_and_left_as_it_is(
    damage, tmp_path, monkeypatch, unbroken, checkpoint_bytes
):
    path, content = tmp_path / "run.npz", DAMAGE[damage](checkpoint_bytes, unbroken.weights)
    path.write_bytes(content)
    monkeypatch.setattr(training, "_graph", None)
    with pytest.raises(
        ValueError, match=f"checkpoint: {re.escape(str(path))} is no checkpoint of `train`, or not a whole"
    ):
        train(TINY, SMALL, QUICK, seed=3, threads=1, checkpoint=path)
    assert path.read_bytes() == content


def test_graphs_of_several_threads_are_built_one_at_a_time():
    """tf-slim's argument scopes are one stack for all threads: one would take another's batch norm for its own."""
    network, inside, seen = network_function(replace(TINY, channels_in=1)), [], []

    def slow_network(images, is_training=False):
        inside.append(is_training)
        time.sleep(0.1)
        seen.append(len(inside))
        inside.pop()
        return network(images, is_training)

    with ThreadPoolExecutor(2) as pool:
        graphs = pool.map(lambda seed: TrainingGraph(slow_network, [8, 8, 1], 50, 0.9, seed, 1), range(2))
        shapes = [{v.name: v.shape for v in graph.variables} for graph in graphs]
    assert seen == 2 * [1, 1] and shapes[0] == shapes[1]


def test_deeper_networks_train_too():
    history = train(cifar_architecture(14), SMALL, Recipe(epochs=1, batch_size=100), threads=2)
    assert isinstance(history.epochs[0], Epoch) and np.isfinite(history.epochs[0]).all()
