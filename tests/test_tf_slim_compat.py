import os
import subprocess
import sys

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
