"""What the tests of V1 and V2 share: slim networks as callables, weights that all matter, images."""

import subprocess
import sys
from pathlib import Path

import numpy as np

from experiments.as_built import randomize
from resnet_lib.resnet_utils import resnet_arg_scope
from resnet_lib.tf_slim_compat import quick_building, slim, tf


def wrapped(network, scope_options=None, **options):
    """A slim network as a callable with variables of its own."""

    def build(images):
        with slim.arg_scope(resnet_arg_scope(is_training=False, **(scope_options or {}))):
            return network(images, **options)

    channels = options.pop("channels_in", 3)
    with quick_building():
        return tf.compat.v1.wrap_function(build, [tf.TensorSpec([None, None, None, channels])])


def variables(function):
    return {variable.name.split(":")[0]: variable for variable in function.graph.get_collection("variables")}


def images(*shape, seed=1):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def run_ported_tests(theirs, folder):
    """Runs the tests of a module of tf_slim.nets on ours, with only the import replaced; returns what pytest printed."""
    source = Path(theirs.__file__.replace(".py", "_test.py")).read_text()
    ported = source.replace("from tf_slim.nets import resnet_", "from resnet_lib import resnet_")
    assert ported.count("from resnet_lib import") == 2 and "tf_slim.nets" not in ported
    (folder / "test_ported.py").write_text(ported)
    quickly = (
        "import sys, pytest; from resnet_lib.tf_slim_compat import quick_building\n"
        "with quick_building(): pytest.main(sys.argv[1:])"
    )
    command = [sys.executable, "-c", quickly, "-q", "-p", "no:cacheprovider", str(folder / "test_ported.py")]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder).stdout


def assert_equal_outputs(ours, theirs, size):
    """Both hold variables of one naming; with the same weights, every end point is equal to the last bit."""
    mine, upstream = variables(ours), variables(theirs)
    assert {n: v.shape for n, v in mine.items()} == {n: v.shape for n, v in upstream.items()}
    randomize(mine)
    for name, variable in mine.items():
        upstream[name].assign(variable)
    (net, end_points), (their_net, their_end_points) = ours(images(2, size, size, 3)), theirs(images(2, size, size, 3))
    assert list(end_points) == list(their_end_points)
    assert np.abs(net - their_net).max() == 0 and np.abs(net).max() > 0
    assert all(np.abs(end_points[n] - their_end_points[n]).max() == 0 for n in end_points)
