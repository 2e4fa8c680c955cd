import os
import subprocess
import sys
from contextlib import nullcontext
from importlib import import_module

import pytest

from resnet_lib import tf_slim_compat
from resnet_lib.tf_slim_compat import slim, tf


def test_batch_norm_of_tf_slim_runs():
    with tf.Graph().as_default():
        y = slim.batch_norm(tf.ones([2, 4, 4, 3]), is_training=False)
        assert y.shape == [2, 4, 4, 3]


def test_missing_tf_keras_says_what_to_install():
    def nothing_there(name):
        raise ImportError(f"No module named {name!r}")

    with pytest.raises(ImportError, match="pip install tf-keras"):
        tf_slim_compat._register_batch_norm(nothing_there)


def test_notices_of_tf_slims_own_age_are_dropped_and_a_users_are_kept(caplog):
    logger = tf.get_logger()
    logger.propagate, before = True, logger.propagate
    logger.warning("From %s: %s is deprecated", "/site-packages/tf_keras/src/base.py:1 (call)", "colocate_with")
    logger.warning("From %s: %s is deprecated", "/home/somebody/train.py:1 (main)", "colocate_with")
    logger.propagate = before
    assert [record.getMessage()[:20] for record in caplog.records] == ["From /home/somebody/"]


def test_a_network_in_training_mode_prints_nothing_either():
    program = (
        "from resnet_lib.tf_slim_compat import slim, tf\n"
        "with tf.Graph().as_default():\n"
        "    slim.batch_norm(tf.ones([1, 2, 2, 3]), is_training=True)"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stderr == ""


def test_a_first_run_prints_nothing_but_what_it_is_asked_for():
    program = (
        "import resnet_lib, numpy as np\n"
        "network = resnet_lib.build([('block1', 'bottleneck_v2', [(8, 2, 2)])], image_size=16, num_classes=3)\n"
        "print(network(np.zeros([1, 16, 16, 3])).shape)"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert run.stdout == "(1, 1, 1, 3)\n"
    assert run.stderr == ""


def test_only_the_known_start_up_lines_are_held_back(capfd):
    with tf_slim_compat._without_start_up_noise():
        os.write(2, b"I0000 cudart_stub.cc:31] Could not find cuda drivers\nE0000 something really went wrong\n")
    assert capfd.readouterr().err == "E0000 something really went wrong\n"


def test_a_variable_stands_once_in_its_collection_also_when_it_is_shared():
    """Inception's arg scope keeps its moving averages in a collection; inside a function that used to fail."""

    def network(images):
        for _ in range(2):
            options = {"scope": "norm", "reuse": tf.compat.v1.AUTO_REUSE, "is_training": False}
            images = slim.batch_norm(images, variables_collections={"moving_mean": ["means"]}, **options)
        return images

    graph = tf.compat.v1.wrap_function(network, [tf.TensorSpec([None, 4, 4, 3])]).graph
    assert [variable.name for variable in graph.get_collection("means")] == ["norm/moving_mean:0"]


def everywhere(ask):
    """What `ask()` says in eager mode, in a graph, in both kinds of function, and where one of these stands in another."""
    heard = {}

    def note(where):
        heard[where] = ask()

    def in_graph(name):
        with tf.Graph().as_default():
            note(name)
            with tf.init_scope():
                note(f"{name}, init_scope")

    def in_function():
        note("function")
        in_graph("graph in a function")
        with tf.init_scope():
            note("function, init_scope")

    note("eager")
    in_graph("graph")
    tf.function(in_function).get_concrete_function()
    tf.compat.v1.wrap_function(lambda: note("wrapped function"), [])
    with tf.Graph().as_default():
        tf.function(lambda: note("function in a graph")).get_concrete_function()
    return heard


def test_the_quick_answer_is_tensorflows_own():
    """tf.compat.v1 has the function as TensorFlow wrote it."""
    from tensorflow.python.framework import ops

    assert ops.executing_eagerly_outside_functions is not tf.compat.v1.executing_eagerly_outside_functions
    own = everywhere(tf.compat.v1.executing_eagerly_outside_functions)
    assert everywhere(lambda: ops.executing_eagerly_outside_functions()) == own
    assert len(own) == 9 and own["eager"] and own["function"] and not own["graph"] and not own["function in a graph"]


def test_in_a_plain_graph_nothing_is_entered_to_answer(monkeypatch):
    from tensorflow.python.framework import ops

    monkeypatch.setattr(ops, "_get_outer_context_and_inner_device_stack", None)
    with tf.Graph().as_default():
        assert not ops.executing_eagerly_outside_functions()


@pytest.mark.parametrize("keras", ["tensorflow.python.keras", "tf_keras.src"])
def test_a_layers_class_changes_with_the_mode_and_only_then(keras):
    layers, v1 = import_module(f"{keras}.engine.base_layer"), import_module(f"{keras}.engine.base_layer_v1")
    changes = []

    class Noted(type(layers.Layer)):
        def mro(cls):  # Python asks whenever the bases of a class are set
            changes.append(cls)
            return super().mro()

    class Layer(layers.Layer, metaclass=Noted):
        pass

    for in_graph in (False, True, True, False, False, True):
        with tf.Graph().as_default() if in_graph else nullcontext():
            assert isinstance(Layer(), v1.Layer) is in_graph
    assert len(changes) == 1 + 3
