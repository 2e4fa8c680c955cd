"""An exported network gives, without this library, what the network gives."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from slim_networks import images, randomize

from resnet_lib import Architecture, Block, Root, build
from resnet_lib.tf_slim_compat import tf
from resnet_lib.timing import Timing, append_row

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
BLOCKS = (Block("block1", "bottleneck_v2", [(16, 4, 1), (16, 4, 2)]), Block("block2", "basic_v2", [(24, 1)]))


def network(image_size=32):
    made = build(Architecture("net", BLOCKS, Root(8, 3, 1, 2)), image_size, num_classes=7)
    randomize({variable.name.split(":")[0]: variable for variable in made.variables})
    return made


RUN = """
import sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from pjrt_forward import load
run, known = load(sys.argv[2])
np.save(sys.argv[4], np.asarray(run(np.load(sys.argv[3]))))
assert "tensorflow" not in sys.modules and "resnet_lib" not in sys.modules
"""


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-5), ("bfloat16", 0.05)])
def test_stablehlo_runs_in_jax_alone(precision, tolerance, tmp_path):
    net, x = network(), images(2, 32, 32, 3)
    net.export_stablehlo(tmp_path / "new" / "export", batch_size=2, precision=precision)
    np.save(tmp_path / "x.npy", x)
    files = [BENCHMARKS, tmp_path / "new" / "export", tmp_path / "x.npy", tmp_path / "logits.npy"]
    subprocess.run([sys.executable, "-c", RUN, *map(str, files)], check=True)
    expected, got = net(x).numpy(), np.load(tmp_path / "logits.npy")
    assert got.dtype == np.float32 and got.shape == expected.shape
    error = np.abs(got - expected).max() / np.abs(expected).max()
    assert error <= tolerance and (error > 1e-5) == (precision == "bfloat16")


def test_the_benchmark_times_it_with_and_without_its_weights(tmp_path):
    network().export_stablehlo(tmp_path, batch_size=2)
    command = [
        sys.executable,
        BENCHMARKS / "pjrt_forward.py",
        tmp_path,
        "--rounds",
        "2",
        "--csv",
        tmp_path / "times.csv",
    ]
    for _ in range(2):
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        assert re.search(
            r"net +stablehlo, cpu +float32 +batch +2 +[\d.]+ ms .* [\d.]+ images/s +[\d.]+ TFLOP/s", printed
        )
        (tmp_path / "weights.npz").unlink(missing_ok=True)
    append_row(tmp_path / "times.csv", Timing("ours"))  # which refuses other columns
    first, second, ours = pd.read_csv(tmp_path / "times.csv").itertuples()
    assert (first.network, first.batch_size, first.image_size, ours.network) == ("net", 2, "32x32", "ours")
    assert np.isclose(first.median_ms, np.median([float(ms) for ms in first.samples_ms.split(";")]), rtol=1e-3)
    assert np.isclose(first.tflops, 2 * network().cost().macs * first.images_per_s / 1e12, rtol=1e-3)
    assert first.engine == "stablehlo, cpu" and first.versions.startswith("jax ")


def test_the_benchmark_goes_on_without_a_peer(tmp_path):
    network().export_stablehlo(tmp_path, batch_size=2)
    (tmp_path / "hides").mkdir()
    (tmp_path / "hides" / "timm.py").write_text("raise ModuleNotFoundError('No module named timm')")
    command = [sys.executable, BENCHMARKS / "pjrt_forward.py", tmp_path, "--rounds", "1", "--timm", "resnetv2_50"]
    env = os.environ | {"PYTHONPATH": str(tmp_path / "hides")}
    printed = subprocess.run(command, check=True, capture_output=True, text=True, env=env).stdout
    assert printed.count("resnetv2_50 float32 batch 2: ModuleNotFoundError: No module named timm") == 2
    assert re.search(r"net +stablehlo, cpu +float32 +batch +2 +[\d.]+ ms", printed)


def test_the_arguments_are_those_of_the_network(tmp_path):
    net = network()
    net.export_stablehlo(tmp_path, batch_size=3, precision="bfloat16")
    known = json.loads((tmp_path / "arguments.json").read_text())
    first, *weights = known["arguments"]
    assert first == {"name": "images", "shape": [3, 32, 32, 3], "dtype": "float32"}
    assert [known[key] for key in ("network", "batch_size", "precision", "macs")] == [
        "net", 3, "bfloat16", net.cost().macs
    ]  # fmt: skip
    with np.load(tmp_path / "weights.npz") as saved:
        assert {weight["name"]: tuple(weight["shape"]) for weight in weights} == {k: saved[k].shape for k in saved}
    kernels = [weight for weight in weights if len(weight["shape"]) == 4]
    assert {kernel["dtype"] for kernel in kernels} == {"bfloat16"} and len(kernels) == 12


def test_a_saved_model_gives_the_same(tmp_path):
    net = network()
    net.export_saved_model(tmp_path / "saved")
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    for batch_size in (1, 3):
        x = tf.constant(images(batch_size, 32, 32, 3), tf.float32)
        np.testing.assert_array_equal(loaded.forward(x), net(x))
        np.testing.assert_array_equal(loaded.signatures["serving_default"](images=x)["logits"], net(x))


def test_bad_arguments_are_named(tmp_path):
    with pytest.raises(ValueError, match="batch_size must be a positive whole number, got 0"):
        network().export_stablehlo(tmp_path, batch_size=0)
    with pytest.raises(ValueError, match=r"precision must be one of \['float32', 'bfloat16'\], got 'half'"):
        network().export_stablehlo(tmp_path, precision="half")
    with pytest.raises(ValueError, match="network must be built with an image_size to be exported"):
        network(None).export_stablehlo(tmp_path)
    assert not list(tmp_path.iterdir())
