"""`tf` and `slim`: tf-slim 1.1.0 on today's TensorFlow, and nothing on the screen while it loads.

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
    return tf, slim


tf, slim = _load()
