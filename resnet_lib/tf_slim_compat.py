"""`tf` and `slim`: tf-slim 1.1.0 on today's TensorFlow, quicker to build, and nothing on the screen while it loads.

This is the one place that knows how the last release of tf-slim is made to work. Everything else says
`from resnet_lib.tf_slim_compat import slim, tf`.

tf-slim's batch norm is looked up by TensorFlow at `tf_keras.legacy_tf_layers.normalization`, a name that the
`tf-keras` package no longer has; the same module stands at `tf_keras.src.legacy_tf_layers.normalization`. Registering
it under the old name is all that is missing (google-research/tf-slim#24, keras-team/keras#18839).
"""

import contextlib
import importlib
import os
import re
import sys
import tempfile
import warnings

# What a CPU-only TensorFlow writes to stderr when it starts. Anything else it writes is passed on.
_START_UP_NOISE = re.compile(
    rb"absl::InitializeLog|cudart_stub|cuda_platform\.cc.*cuInit|cpu_feature_guard|TF_ENABLE_ONEDNN_OPTS"
    rb"|To enable the following instructions|computation_placer|Unable to register cu\w+ factory"
)


@contextlib.contextmanager
def _without_start_up_noise():
    """Holds back file descriptor 2 (C++ writes there, past `sys.stderr`) and passes on all but the known lines."""
    try:
        stderr = os.dup(2)
    except OSError:  # no stderr at all, as under pythonw
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            held.seek(0)
            for line in held:
                if not _START_UP_NOISE.search(line):
                    os.write(stderr, line)
            os.close(stderr)


def _says_something_new(record):
    """False for the notices that old functions are called by tf-slim, tf-keras or the profiler: no user can mend that."""
    # "From <path>:<line> (<module>): ...", as TensorFlow's deprecations begin
    caller = record.getMessage().split(": ", 1)[0]
    return not re.match(r"From .*(tf_slim|tf_keras|tensorflow.python.profiler)", caller)


def _register_batch_norm(find_module=importlib.import_module):
    """Puts tf-keras' legacy batch norm where TensorFlow looks for it. Raises ImportError when tf-keras is missing."""
    old_name = "tf_keras.legacy_tf_layers.normalization"
    for name in (old_name, "tf_keras.src.legacy_tf_layers.normalization"):
        try:
            sys.modules[old_name] = find_module(name)
            return
        except ImportError:
            continue
    raise ImportError(
        "tf-slim's batch normalization needs the package tf-keras, in the version of your TensorFlow: "
        "pip install tf-keras"
    )


def _add_to_collections(variable, collections_set, collections_name):
    """tf-slim's own asks `variable in collection`, which TensorFlow 2 answers by a tensor inside a function: Inception's
    batch norms end there. This asks for the same object."""
    collections = collections_set.get(collections_name) if isinstance(collections_set, dict) else collections_set
    for collection in collections or []:
        if not any(variable is known for known in tf.compat.v1.get_collection(collection)):
            tf.compat.v1.add_to_collection(collection, variable)


def _answer_at_once_in_a_plain_graph(ops, tf):
    """Without this, every variable that a tf-slim layer makes in a tf.Graph is compared with all variables before it, and for
    each of those `executing_eagerly_outside_functions` enters the graph anew to find out that the answer is no: a time that
    grows with the square of the depth."""
    ask = ops.executing_eagerly_outside_functions

    def executing_eagerly_outside_functions():
        plain_graph = not tf.executing_eagerly() and not ops.get_default_graph().building_function
        return False if plain_graph else ask()

    ops.executing_eagerly_outside_functions = executing_eagerly_outside_functions


def _swap_classes_once(version_utils):
    """Keras' legacy layers choose between their classes for graphs and for eager mode whenever a layer is made, and set the
    bases of the class even if these stay: Python then forgets what it had looked up on any layer's class."""
    swap = version_utils.swap_class

    def swap_class(cls, v2_cls, v1_cls, use_v2):
        done = cls not in (v1_cls, v2_cls) and issubclass(cls, v1_cls) != use_v2
        return cls if done else swap(cls, v2_cls, v1_cls, use_v2)

    version_utils.swap_class = swap_class


def _load():
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")  # from here on: warnings and errors, no C++ INFO lines
    # A session has a pool of as many threads as it asks for, not that of whatever ran first: one thread, one result.
    os.environ.setdefault("TF_OVERRIDE_GLOBAL_THREADPOOL", "1")
    with _without_start_up_noise():
        import tensorflow as tf

        tf.config.list_physical_devices()  # looks for a GPU now, so that its complaint is held back too
    _register_batch_norm()
    tf.get_logger().addFilter(_says_something_new)
    warnings.filterwarnings("ignore", message="`layer.apply` is deprecated", category=UserWarning)
    import tf_slim as slim

    importlib.import_module("tf_slim.layers.layers")._add_variable_to_collections = _add_to_collections
    _answer_at_once_in_a_plain_graph(importlib.import_module("tensorflow.python.framework.ops"), tf)
    for keras in ("tensorflow.python.keras", "tf_keras.src"):  # of slim's convolutions, and of its batch norm
        _swap_classes_once(importlib.import_module(f"{keras}.utils.version_utils"))
    return tf, slim


tf, slim = _load()
