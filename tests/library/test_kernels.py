"""What TensorFlow's two sets of CPU kernels do differently. Which one is the default depends on the processor."""

import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import json
import numpy as np
from resnet_lib import Architecture, Block, build, data
from resnet_lib.blocks import Root
from resnet_lib.training import Recipe, train

found = {}
none = np.zeros([0, 8, 8, 1], np.float32)
for kind in ("basic_v1", "basic_v2"):
    units = Block("block1", kind, ((8, 1), (16, 2)))
    network = build(Architecture("net", (units,), root=Root(8, 3, 2, 2)), 8, num_classes=7, channels_in=1)
    runs = {"network": network, "tf": network.freeze(), "session": network.freeze(engine="session")}
    shapes = {name: list(run(none).shape) for name, run in runs.items()}
    shapes["block1"] = list(network.end_points(none)["block1"].shape)
    recipe = Recipe(epochs=1, batch_size=500, learning_rate=1e20)
    found[kind] = {"shapes": shapes, "error": train(network.architecture, data.digits(), recipe, threads=1).error}
print(json.dumps(found))
"""


@pytest.mark.parametrize("with_onednn", ["0", "1"])
def test_an_empty_batch_and_a_diverging_run_are_the_same_with_both(with_onednn):
    """oneDNN's kernels lose the shape of an empty batch, and its ReLU turns NaN into 0, so that the loss stays finite."""
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": with_onednn}
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr
    for found in json.loads(run.stdout).values():
        logits = [0, 1, 1, 7]
        assert found["shapes"] == {"network": logits, "tf": logits, "session": logits, "block1": [0, 1, 1, 16]}
        assert found["error"].startswith("diverged: ")
