"""`tf` and `slim`: tf-slim 1.1.0 on today's TensorFlow, quicker to build, and nothing on the screen while it loads.

This is the one place that knows how the last release of tf-slim is made to work. Everything else says
`from resnet_lib.tf_slim_compat import slim, tf`.

What importing this module changes for the whole process:
- The environment variables TF_CPP_MIN_LOG_LEVEL and TF_OVERRIDE_GLOBAL_THREADPOOL are "1", unless they were set before.
- Python's garbage collector does not look through what was there by the end of the import (`gc.freeze`).
- TensorFlow has not loaded JAX, which it does for one way into TFLite (`TFLiteConverter.experimental_from_jax`) and which
  takes a second. That way is closed, unless JAX was imported before; JAX itself can be imported as ever.
- TensorFlow has looked for GPUs. While it loads, what it always says when it starts is held back from the screen.
- `tf_keras.legacy_tf_layers.normalization` can be imported again. TensorFlow looks for tf-slim's batch norm there, but the
  package tf-keras has it at `tf_keras.src.legacy_tf_layers.normalization` (google-research/tf-slim#24,
  keras-team/keras#18839).
- tf-slim finds out by identity whether a variable is in a collection already. Its own way fails inside functions.
- TensorFlow's logger drops notices that tf-slim, tf-keras, tf2onnx, the profiler or TensorFlow itself call old functions, and
  one warning is filtered out: "`layer.apply` is deprecated". No user can mend either.

Nothing else is changed: TensorFlow's and Keras' own functions stay as they are, but for the time spent in `quick_building`.
"""

import contextlib
import gc
import importlib
import os
import re
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import NamedTuple

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


@contextlib.contextmanager
def _as_if_not_installed(package):
    """Within it the package cannot be imported, unless it was before."""
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None
    try:
        yield
    finally:
        del sys.modules[package]


@contextlib.contextmanager
def _without_garbage_collection():
    """Loading makes 700,000 objects that stay. The garbage collector would look through all of them time and again, and once
    more when the process ends: a third of the time of a process that only loads. It rests within this, and then counts all that
    is there as permanent."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()


def _says_something_new(record):
    """False for the notices that old functions are called by tf-slim, tf-keras, tf2onnx or the profiler, or by TensorFlow's
    own one that tf2onnx calls: no user can mend that."""
    # "From <path>:<line> (<module>): ...", as TensorFlow's deprecations begin
    caller = record.getMessage().split(": ", 1)[0]
    callers = "tf_slim|tf_keras|tf2onnx|tensorflow.python.profiler|python/framework/convert_to_constants"
    return not re.match(f"From .*({callers})", caller)


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


def _mend_collections(layers):
    """tf-slim asks `variable in collection`, which TensorFlow 2 answers with a tensor inside a function: Inception's batch
    norms end there. This asks for the same object."""
    partitioned_variable = layers.tf_variables.PartitionedVariable

    def add_to_collections(variable, collections_set, collections_name):
        collections = collections_set.get(collections_name) if isinstance(collections_set, dict) else collections_set
        parts = list(variable) if isinstance(variable, partitioned_variable) else [variable]
        for collection in collections or []:
            for part in parts:
                if not any(part is known for known in tf.compat.v1.get_collection(collection)):
                    tf.compat.v1.add_to_collection(collection, part)

    layers._add_variable_to_collections = add_to_collections


def _load():
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")  # from here on: warnings and errors, no C++ INFO lines
    # A session has a pool of as many threads as it asks for, not that of whatever ran first: one thread, one result.
    os.environ.setdefault("TF_OVERRIDE_GLOBAL_THREADPOOL", "1")
    with _without_start_up_noise(), _as_if_not_installed("jax"):
        import tensorflow as tf

        tf.config.list_physical_devices()  # looks for a GPU now, so that its complaint is held back too
    _register_batch_norm()
    tf.get_logger().addFilter(_says_something_new)
    warnings.filterwarnings("ignore", message="`layer.apply` is deprecated", category=UserWarning)
    import tf_slim as slim

    _mend_collections(importlib.import_module("tf_slim.layers.layers"))
    return tf, slim


with _without_garbage_collection():
    tf, slim = _load()


def _answer_at_once_in_a_plain_graph(ask):
    """Without this, every variable that a tf-slim layer makes in a tf.Graph is compared with all variables before it, and for
    each of those `executing_eagerly_outside_functions` enters the graph anew to find out that the answer is no: a time that
    grows with the square of the depth."""

    def executing_eagerly_outside_functions():
        in_a_function = getattr(tf.compat.v1.get_default_graph(), "building_function", True)
        plain_graph = not tf.executing_eagerly() and not in_a_function
        return False if plain_graph else ask()

    return executing_eagerly_outside_functions


def _swap_classes_once(swap):
    """Keras' legacy layers choose between their classes for graphs and for eager mode whenever a layer is made, and set the
    bases of the class even if these stay: Python then forgets what it had looked up on any layer's class."""

    def swap_class(cls, v2_cls, v1_cls, use_v2):
        wrong = v1_cls if use_v2 else v2_cls
        stays = not any(wrong in known.__bases__ for known in cls.__mro__ if known is not v1_cls)
        return cls if stays and cls is not wrong else swap(cls, v2_cls, v1_cls, use_v2)

    return swap_class


def _name_all_handles_alike(make):
    """In eager mode a variable's handle has its name as well, for texts of errors alone. TensorFlow makes the op of a handle
    ready anew for every name: a quarter of the time that it takes to build a network."""

    def variable_handle_from_shape_and_dtype(shape, dtype, shared_name, name, graph_mode, initial_value=None):
        name = name if graph_mode else "variable"
        return make(shape, dtype, shared_name, name, graph_mode, initial_value)

    return variable_handle_from_shape_and_dtype


# Private functions of TensorFlow that cost much time: module, name, and what makes the quick form of TensorFlow's own.
_SLOW = [
    ("tensorflow.python.framework.ops", "executing_eagerly_outside_functions", _answer_at_once_in_a_plain_graph),
    ("tensorflow.python.ops.resource_variable_ops", "_variable_handle_from_shape_and_dtype", _name_all_handles_alike),
    ("tensorflow.python.keras.utils.version_utils", "swap_class", _swap_classes_once),  # for slim's convolutions
    ("tf_keras.src.utils.version_utils", "swap_class", _swap_classes_once),  # for its batch norm
]


class _Patch(NamedTuple):
    module: ModuleType
    name: str
    own: Callable
    quick: Callable


_lock = threading.RLock()
_builds = 0  # how many `quick_building` are entered, one within the other
_patches: list[_Patch] = []  # what stands while there is one
_process: int | None = None  # the process in which TensorFlow has worked for this library


def _patch():
    """Puts the quick functions in place. One that has moved in another TensorFlow is left out: it costs time, no more."""
    for module_name, name, make_quick in _SLOW:
        try:
            module = importlib.import_module(module_name)
            own = getattr(module, name)
        except (ImportError, AttributeError):
            continue
        patch = _Patch(module, name, own, make_quick(own))
        setattr(module, name, patch.quick)
        _patches.append(patch)


def _restore():
    for patch in _patches:
        if getattr(patch.module, patch.name) is patch.quick:  # else somebody has wrapped it, and their wrapper stays
            setattr(patch.module, patch.name, patch.own)
    _patches.clear()


@contextlib.contextmanager
def quick_building() -> Iterator[None]:
    """`quick_functions` for a whole network, built without the arg scopes around it: tf-slim keeps these in one list for all
    threads, so that another's batch norms would come in."""
    check_process()
    with _lock, slim.arg_scope({}), quick_functions():
        yield


@contextlib.contextmanager
def quick_functions() -> Iterator[None]:
    """Within it networks are built faster, and the same networks: slow functions of TensorFlow give their answers sooner.

    One thread builds at a time. It may be entered within itself. With the last one left, TensorFlow is as it was.
    """
    global _builds
    with _lock:
        if _builds == 0:
            _patch()
        _builds += 1
        try:
            yield
        finally:
            _builds -= 1
            if _builds == 0:
                _restore()


def check_process() -> None:
    """Raises RuntimeError in a process that was forked from one in which networks were built: TensorFlow's threads are not
    there, and it would wait for them for ever."""
    global _process
    _process = _process or os.getpid()
    if _process != os.getpid():
        raise RuntimeError(
            "TensorFlow cannot go on in a process forked from one that has built a network: start processes by "
            "multiprocessing.get_context('spawn'), and build or load the network there"
        )


def check_eager(what: str) -> None:
    """Raises RuntimeError where TensorFlow does not compute at once."""
    if not tf.executing_eagerly():
        raise RuntimeError(
            f"{what} needs TensorFlow's eager mode: not within a tf.Graph or a tf.function, nor after "
            "disable_eager_execution or disable_v2_behavior; there, tf-slim functions such as resnet_v2_50 and "
            "slim_function.network_function make networks"
        )
