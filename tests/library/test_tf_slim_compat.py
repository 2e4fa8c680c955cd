import gc
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from importlib import import_module

import pytest

from resnet_lib import tf_slim_compat
from resnet_lib.resnet_utils import Block, resnet_arg_scope, stack_blocks_dense
from resnet_lib.resnet_v2 import bottleneck, resnet_v2
from resnet_lib.tf_slim_compat import quick_building, slim, tf


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


def test_a_first_run_prints_nothing_but_what_it_is_asked_for_in_training_mode_either():
    program = (
        "import resnet_lib, numpy as np\n"
        "network = resnet_lib.build([('block1', 'bottleneck_v2', [(8, 2, 2)])], image_size=16, num_classes=3)\n"
        "print(network(np.zeros([1, 16, 16, 3])).shape)\n"
        "from resnet_lib.tf_slim_compat import slim, tf\n"
        "with tf.Graph().as_default():\n"
        "    slim.batch_norm(tf.ones([1, 2, 2, 3]), is_training=True)\n"
        "import sys\n"
        "print('jax' in sys.modules)\n"  # TensorFlow would have loaded it
        "import jax\n"
        "print(jax.numpy.ones(1))"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert run.stdout == "(1, 1, 1, 3)\nFalse\n[1.]\n"
    assert run.stderr == ""


def test_only_the_known_start_up_lines_are_held_back(capfd):
    with tf_slim_compat._without_start_up_noise():
        os.write(2, b"I0000 cudart_stub.cc:31] Could not find cuda drivers\nE0000 something really went wrong\n")
    assert capfd.readouterr().err == "E0000 something really went wrong\n"


@pytest.mark.parametrize("was_on", [True, False])
def test_garbage_is_not_collected_while_tensorflow_loads_and_then_as_before(was_on, monkeypatch):
    """Of what was loaded nothing is looked through again; what is made later is garbage like any other."""
    frozen, seen = [], []
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(gc.isenabled()))
    try:
        (gc.enable if was_on else gc.disable)()
        with pytest.raises(ImportError), tf_slim_compat._without_garbage_collection():
            seen.append(gc.isenabled())
            raise ImportError
        seen.append(gc.isenabled())
    finally:
        gc.enable()
    assert seen == [False, was_on] and frozen == [False]
    assert gc.get_freeze_count() > 100_000


def test_a_variable_stands_once_in_its_collection_also_when_it_is_shared():
    """Inception's arg scope keeps its moving averages in a collection; inside a function that used to fail."""

    def network(images):
        for _ in range(2):
            options = {"scope": "norm", "reuse": tf.compat.v1.AUTO_REUSE, "is_training": False}
            images = slim.batch_norm(images, variables_collections={"moving_mean": ["means"]}, **options)
        return images

    graph = tf.compat.v1.wrap_function(network, [tf.TensorSpec([None, 4, 4, 3])]).graph
    assert [variable.name for variable in graph.get_collection("means")] == ["norm/moving_mean:0"]


def test_of_a_variable_in_parts_every_part_stands_in_its_collection():
    with tf.Graph().as_default() as graph:
        with tf.compat.v1.variable_scope("net", partitioner=tf.compat.v1.fixed_size_partitioner(2)):
            slim.fully_connected(tf.ones([1, 4]), 3, variables_collections=["parts"], biases_initializer=None)
        names = [variable.op.name for variable in graph.get_collection("parts")]
    assert names == [f"net/fully_connected/weights/part_{i}" for i in range(2)]


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


SLOW = [
    ("tensorflow.python.framework.ops", "executing_eagerly_outside_functions"),
    ("tensorflow.python.ops.resource_variable_ops", "_variable_handle_from_shape_and_dtype"),
    ("tensorflow.python.keras.utils.version_utils", "swap_class"),
    ("tf_keras.src.utils.version_utils", "swap_class"),
]


def slow_functions():
    return [getattr(import_module(module), name) for module, name in SLOW]


OWN = slow_functions()


def test_importing_the_library_leaves_tensorflows_functions_as_they_are():
    """What they were before, in the same process: TensorFlow can be imported without tf-slim."""
    program = f"""
from importlib import import_module
slow = lambda: [getattr(import_module(module), name) for module, name in {SLOW}]
own = slow()
import resnet_lib.network, resnet_lib.training
print([now is before for now, before in zip(slow(), own, strict=True)])
resnet_lib.build([("block1", "bottleneck_v2", [(8, 2, 2)])], image_size=16, num_classes=3)
print([now is before for now, before in zip(slow(), own, strict=True)])
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.stdout.split("\n") == ["[True, True, True, True]"] * 2 + [""], run.stderr


def test_within_and_only_within_the_context_tensorflows_functions_are_quick():
    assert slow_functions() == OWN
    with quick_building():
        quick = slow_functions()
        assert not any(now is own for now, own in zip(quick, OWN, strict=True))
        with quick_building():
            assert slow_functions() == quick
        assert slow_functions() == quick
    assert slow_functions() == OWN


def test_units_are_stacked_quickly_in_a_graph_of_ones_own_as_well():
    seen = []

    def unit(inputs, depth, depth_bottleneck, stride, rate):
        seen.extend(slow_functions())
        return inputs

    with tf.Graph().as_default():
        stack_blocks_dense(tf.ones([1, 4, 4, 3]), [Block("block1", unit, [(3, 3, 1)])])
    assert len(seen) == len(OWN) and not set(seen) & set(OWN)
    assert slow_functions() == OWN


def test_an_error_within_the_context_restores_them_too():
    with pytest.raises(KeyError, match="broken"), quick_building(), quick_building():
        raise KeyError("broken")
    assert slow_functions() == OWN


def test_one_thread_builds_at_a_time_without_the_arg_scopes_around_it():
    """tf-slim keeps the arg scopes of all threads in one list."""
    inside, most = [], []

    def build(number):
        with quick_building(), slim.arg_scope([slim.conv2d], stride=number):
            inside.append(number)
            time.sleep(0.02)  # in which the others would come in
            most.append((len(inside), slim.current_arg_scope()))
            inside.remove(number)

    with slim.arg_scope([slim.batch_norm], decay=0.5), ThreadPoolExecutor(4) as threads:
        list(threads.map(build, range(8)))
    assert [number for number, _ in most] == [1] * 8
    assert sorted(options["stride"] for _, scope in most for options in scope.values()) == [*range(8)]
    assert slow_functions() == OWN


def test_threads_that_enter_at_once_leave_nothing_behind(monkeypatch):
    """Also when one comes while another is still putting the quick functions in place."""
    start = threading.Barrier(4)

    def slowly(own):
        time.sleep(0.05)
        return tf_slim_compat._swap_classes_once(own)

    *first, swapped, last = tf_slim_compat._SLOW
    monkeypatch.setattr(tf_slim_compat, "_SLOW", [*first, (*swapped[:2], slowly), last])

    def enter_and_leave(_):
        start.wait()
        for _ in range(3):
            with quick_building():
                if set(slow_functions()) & set(OWN):
                    return "slow within"

    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(enter_and_leave, range(4))) == {None}
    assert slow_functions() == OWN


def test_what_somebody_else_has_put_there_meanwhile_stays():
    from tensorflow.python.framework import ops

    def theirs():
        return OWN[0]()

    with quick_building():
        ops.executing_eagerly_outside_functions = theirs
    found = slow_functions()
    ops.executing_eagerly_outside_functions = OWN[0]
    assert found == [theirs, *OWN[1:]]


@pytest.mark.parametrize(
    "moved", [("tensorflow.python.moved", "swap_class"), ("tensorflow.python.framework.ops", "gone")]
)
def test_a_private_function_that_has_moved_costs_the_speed_only(moved, monkeypatch):
    others = tf_slim_compat._SLOW[1:]
    monkeypatch.setattr(tf_slim_compat, "_SLOW", [(*moved, tf_slim_compat._swap_classes_once), *others])
    with quick_building():
        assert [now is own for now, own in zip(slow_functions(), OWN, strict=True)] == [True, False, False, False]
        with tf.Graph().as_default():
            assert slim.conv2d(tf.ones([1, 4, 4, 3]), 2, 3, normalizer_fn=slim.batch_norm).shape == [1, 4, 4, 2]
    assert slow_functions() == OWN


def test_the_quick_answer_is_tensorflows_own():
    """tf.compat.v1 has the function as TensorFlow wrote it."""
    from tensorflow.python.framework import ops

    own = everywhere(tf.compat.v1.executing_eagerly_outside_functions)
    with quick_building():
        assert ops.executing_eagerly_outside_functions is not tf.compat.v1.executing_eagerly_outside_functions
        assert everywhere(lambda: ops.executing_eagerly_outside_functions()) == own
    assert len(own) == 9 and own["eager"] and own["function"] and not own["graph"] and not own["function in a graph"]


def test_in_a_plain_graph_nothing_is_entered_to_answer(monkeypatch):
    from tensorflow.python.framework import ops

    monkeypatch.setattr(ops, "_get_outer_context_and_inner_device_stack", None)
    with tf.Graph().as_default(), quick_building():
        assert not ops.executing_eagerly_outside_functions()


def test_a_graph_that_does_not_say_where_it_is_gets_tensorflows_answer(monkeypatch):
    from tensorflow.python.framework import ops

    with quick_building(), tf.Graph().as_default():
        monkeypatch.setattr(tf.compat.v1, "get_default_graph", object)
        assert not ops.executing_eagerly_outside_functions()
        monkeypatch.setattr(ops, "_get_outer_context_and_inner_device_stack", None)
        with pytest.raises(TypeError):  # TensorFlow's own was asked
            ops.executing_eagerly_outside_functions()


def test_in_eager_mode_and_only_there_handles_are_named_alike_and_variables_are_not(monkeypatch):
    from tensorflow.python.ops import gen_resource_variable_ops

    named, make = [], gen_resource_variable_ops.var_handle_op
    monkeypatch.setattr(
        gen_resource_variable_ops,
        "var_handle_op",
        lambda **options: named.append(options["debug_name"]) or make(**options),
    )
    with quick_building():
        variables = [tf.Variable(1.0, name=name) for name in ("a", "b")]
        with tf.Graph().as_default():
            variables += [tf.compat.v1.get_variable(name, [], use_resource=True) for name in ("c", "d")]
    assert [variable.name for variable in variables] == ["a:0", "b:0", "c:0", "d:0"]
    assert named == ["variable", "variable", "c/", "d/"]
    variables[0].assign(2.0)
    assert (variables[0].numpy(), variables[1].numpy()) == (2, 1)


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

    with quick_building():
        for in_graph in (False, True, True, False, False, True):
            with tf.Graph().as_default() if in_graph else nullcontext():
                assert isinstance(Layer(), v1.Layer) is in_graph
    assert len(changes) == 1 + 3


@pytest.mark.parametrize("keras", ["tensorflow.python.keras", "tf_keras.src"])
def test_a_layers_class_changes_in_all_its_bases(keras):
    """Also when the first of them has changed already, for itself."""
    layers, v1 = import_module(f"{keras}.engine.base_layer"), import_module(f"{keras}.engine.base_layer_v1")

    class First(layers.Layer):
        pass

    class Second(layers.Layer):
        pass

    class Both(First, Second):
        pass

    with quick_building():
        with tf.Graph().as_default():
            First()
            assert First.__bases__ == (v1.Layer,) and Second.__bases__ == (layers.Layer,)
            Both()
            assert First.__bases__ == Second.__bases__ == (v1.Layer,)
        Second()
        Both()
        assert First.__bases__ == Second.__bases__ == (layers.Layer,)


def test_a_graph_built_quickly_is_the_same_to_the_last_node(monkeypatch):
    """In inference and in training, in a graph and in a function."""

    def network(training):
        with slim.arg_scope(resnet_arg_scope(is_training=training)):
            return resnet_v2(tf.ones([2, 16, 16, 3]), [Block("block1", bottleneck, [(8, 2, 2)] * 2)], 3)[0]

    def plain(training):
        with tf.Graph().as_default() as graph:
            tf.compat.v1.train.GradientDescentOptimizer(0.1).minimize(tf.reduce_sum(network(training)))
        return graph

    def in_function(training):
        return tf.compat.v1.wrap_function(lambda: network(training), []).graph

    def contents(graph):
        names = [variable.name for variable in graph.get_collection("variables")]
        return names, graph.as_graph_def().SerializeToString(deterministic=True)

    for make in (plain, in_function):
        for training in (False, True):
            with monkeypatch.context() as unchanged:
                unchanged.setattr(tf_slim_compat, "_SLOW", [])
                slow = contents(make(training))
            with quick_building():
                assert contents(make(training)) == slow
