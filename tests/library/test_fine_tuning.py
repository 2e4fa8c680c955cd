"""Training that starts from the weights of a Network, and an observer of its steps."""

from dataclasses import replace

import numpy as np
import pytest

from resnet_lib import Architecture, Block, Root, build, data
from resnet_lib.training import Recipe, train

TINY = Architecture(
    "tiny", [Block("block1", "basic_v2", [(8, 1), (8, 1)])], Root(8, 3, 1, 1), "A", image_size=8, num_classes=10
)
DIGITS = data.digits()
HALF = DIGITS._replace(train_images=DIGITS.train_images[:600], train_labels=DIGITS.train_labels[:600])
LOW = DIGITS._replace(
    train_images=HALF.train_images, train_labels=HALF.train_labels // 2, test_labels=DIGITS.test_labels // 2
)
RECIPE = Recipe(epochs=2, batch_size=50, learning_rate=0.05)


@pytest.fixture(scope="module")
def trained():
    return train(TINY, HALF, replace(RECIPE, epochs=6), threads=1)


def test_a_run_starts_from_the_weights_of_a_network_and_leaves_them(trained):
    network = trained.network
    before, seen = network.values(), []
    still = replace(RECIPE, epochs=1, learning_rate=0.0)
    history = train(network, HALF, still, threads=1, observe=lambda steps, graph: seen.append((steps, graph.weights())))
    assert [steps for steps, _ in seen] == [*range(13)] and all(
        np.array_equal(seen[0][1][n], v) for n, v in before.items()
    )
    moved = [name for name, value in history.weights.items() if not np.array_equal(value, before[name])]
    assert moved and all("moving_" in name for name in moved)  # at a learning rate of 0 only the statistics move
    train(network, HALF, RECIPE, threads=1)
    assert all(np.array_equal(value, before[name]) for name, value in network.values().items())


def test_a_new_classifier_learns_faster_on_trained_features_than_on_fresh_ones(trained, tmp_path):
    """Transfer: five classes, pairs of digits, with the features of ten; one epoch."""
    path = tmp_path / "ten.npz"
    trained.network.save(path)
    network = build(replace(TINY, channels_in=1), num_classes=5, weights=path, fresh_classifier=True)
    data_of_five = LOW._replace(num_classes=5)
    recipe = replace(RECIPE, epochs=1)
    transferred = train(network, data_of_five, recipe, threads=1).epochs[-1]
    from_scratch = train(TINY, data_of_five, recipe, threads=1).epochs[-1]
    assert transferred.test_error < from_scratch.test_error - 0.1


def test_a_run_from_given_weights_resumes_and_is_another_run(trained, tmp_path):
    path = tmp_path / "run.npz"
    whole = train(trained.network, HALF, RECIPE, seed=5, threads=1)
    stop = KeyboardInterrupt()

    def stopped(steps, graph):
        if steps == 15:
            raise stop

    with pytest.raises(KeyboardInterrupt):
        train(trained.network, HALF, RECIPE, 5, path, threads=1, observe=stopped)
    seen = []
    resumed = train(trained.network, HALF, RECIPE, 5, path, threads=1, observe=lambda steps, graph: seen.append(steps))
    assert resumed == whole and seen == [*range(13, 25)]
    with pytest.raises(ValueError, match="belongs to another run"):
        train(TINY, HALF, RECIPE, 5, path, threads=1)


def test_a_network_that_does_not_fit_the_data_is_refused(trained):
    message = r"a Network must have the 1 channels and 5 classes of the data, got 1 and 10; .*num_classes=5, .*fresh_classifier"
    with pytest.raises(ValueError, match=message):
        train(trained.network, LOW._replace(num_classes=5), RECIPE)
    with pytest.raises(ValueError, match="architecture: 'alexnet_v2' is not a list of Blocks"):
        train(build("alexnet_v2", num_classes=10), HALF, RECIPE)
