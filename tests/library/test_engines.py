"""A frozen network gives, by every engine, what the network gives, and says which precision runs; an exported network does
so without this library."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from slim_networks import images, randomize

from resnet_lib import Architecture, Block, Root, build, checks, data, engines
from resnet_lib.engines import ENGINES, PRECISIONS, Compiled, Engine, compile_network
from resnet_lib.tf_slim_compat import tf
from resnet_lib.timing import Timing, append_row, time_forward

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
BLOCKS = {
    "V1": (
        Block("block1", "bottleneck_v1", [(16, 4, 1), (16, 4, 2)]),
        Block("block2", "basic_v1", [(24, 1)]),
        Block("block3", "grouped_bottleneck_v1", [(24, 8, 1, 4)]),
    ),
    "V2": (
        Block("block1", "bottleneck_v2", [(16, 4, 1), (16, 4, 2)]),
        Block("block2", "basic_v2", [(24, 1)]),
        Block("block3", "se_bottleneck_v2", [(24, 8, 1, 4)]),
        Block("block4", "recurrent", [(24, 1)] * 2),  # whose units have the same weights
    ),
}
TOLERANCE = {"float32": 1e-5, "bfloat16": 0.05}  # of the largest logit


def made(blocks="V2", image_size=32):
    network = build(Architecture("net", BLOCKS[blocks], Root(8, 3, 1, 2)), image_size, num_classes=7)
    randomize({variable.name.split(":")[0]: variable for variable in network.variables})
    return network


@pytest.fixture(scope="module", params=BLOCKS)
def network(request):
    return made(request.param)


@pytest.fixture(scope="module")
def v2():
    return made()


@pytest.fixture(scope="module")
def v2_in(v2):
    """Engine -> v2, frozen for it. Nothing changes what is frozen."""
    return cache(lambda engine: v2.freeze(engine=engine))


@pytest.fixture(autouse=True)
def nothing_said_yet():
    engines._warn_once.cache_clear()


@pytest.mark.filterwarnings("ignore:engine 'o[^ ]*' was asked for bfloat16")
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("engine", ENGINES)
def test_a_frozen_network_gives_what_the_network_gives(network, engine, precision):
    """To the precision that runs, which it tells: a processor without bfloat16 may compute float32 instead."""
    frozen = network.freeze(precision, engine)
    assert frozen.requested_precision == precision and frozen.precision in (precision, "float32")
    x = images(3, 32, 32, 3)
    expected, got = network(x).numpy(), frozen(x)
    assert got.dtype == tf.float32 and got.shape == expected.shape
    error = np.abs(got - expected).max() / np.abs(expected).max()
    assert error <= TOLERANCE[frozen.precision] and (error > 1e-5) == (frozen.precision == "bfloat16")


class FakeModel:
    """What OpenVINO compiles on a processor with these types: asked for another, it runs float32 and says nothing."""

    def __init__(self, types, hints):
        asked = hints["INFERENCE_PRECISION_HINT"]
        self.runs = asked if asked in types else "f32"

    def get_property(self, name):
        assert name == "INFERENCE_PRECISION_HINT"
        return SimpleNamespace(get_type_name=lambda: self.runs)

    def create_infer_request(self):
        return SimpleNamespace(infer=lambda inputs, share_inputs: [np.full([len(inputs[0]), 1, 1, 7], 5, np.float32)])


def on_a_processor_with(types, monkeypatch):
    openvino = pytest.importorskip("openvino")
    monkeypatch.setattr(openvino.Core, "compile_model", lambda core, model, device, hints: FakeModel(types, hints))


def test_where_the_processor_has_bfloat16_it_runs(v2, monkeypatch, recwarn):
    on_a_processor_with({"f32", "bf16"}, monkeypatch)
    for precision in PRECISIONS:
        frozen = v2.freeze(precision, "openvino")
        assert (frozen.precision, frozen.requested_precision) == (precision, precision)
        assert repr(frozen) == f"<Frozen net, {precision}, openvino>"
        assert np.array_equal(frozen(images(2, 32, 32, 3)), np.full([2, 1, 1, 7], 5))
    assert not recwarn.list


def test_where_the_processor_lacks_bfloat16_it_is_said_once_what_runs(v2, monkeypatch):
    on_a_processor_with({"f32"}, monkeypatch)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        v2.freeze("float32", "openvino")
        assert not said
        frozen = [v2.freeze("bfloat16", "openvino") for _ in range(2)]
    text = "engine 'openvino' was asked for bfloat16 and runs float32: this processor has no instructions for bfloat16"
    assert [(warning.category, str(warning.message)) for warning in said] == [(RuntimeWarning, text)]
    assert said[0].filename == __file__  # it points at the line that asked
    for one in frozen:
        assert (one.precision, one.requested_precision) == ("float32", "bfloat16")
        assert repr(one) == "<Frozen net, float32 (bfloat16 asked for), openvino>"
    timing = time_forward(frozen[0], batch_size=1, num_batches=2)
    assert (timing.precision, timing.error) == ("float32", None)


def test_what_is_said_is_what_the_layers_of_the_compiled_model_say(v2, monkeypatch):
    """On this processor, whichever it is."""
    openvino = pytest.importorskip("openvino")
    compile_model, compiled = openvino.Core.compile_model, []

    def noted(*arguments):
        compiled.append(compile_model(*arguments))
        return compiled[-1]

    monkeypatch.setattr(openvino.Core, "compile_model", noted)
    for precision in PRECISIONS:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            runs = compile_network(v2.function, v2.input_shape, precision, "openvino").precision
        layers = compiled[-1].get_runtime_model().get_ops()
        types = {layer.get_rt_info()["runtimePrecision"].astype(str) for layer in layers}
        assert ("bf16" in types) == (runs == "bfloat16") and len(said) == (runs != precision)


def test_a_frozen_network_is_the_network_as_it_was(network):
    x, frozen = images(2, 32, 32, 3), network.freeze()
    before = frozen(x).numpy()
    weights = network.trainable_variables[0]
    weights.assign(weights * 2)
    assert np.array_equal(frozen(x), before) and np.abs(network(x) - before).max() > 1e-3
    weights.assign(weights / 2)


def test_large_batches_go_through_in_slices(v2, monkeypatch):
    frozen, x = v2.freeze(), images(5, 32, 32, 3)
    whole = frozen(x).numpy()
    monkeypatch.setattr(engines, "_SLICE_BYTES", 2 * 32 * 32 * 3 * 4)
    np.testing.assert_allclose(frozen(x), whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("batch_size", "sizes"), [(0, [0]), (1, [1]), (3, [3]), (4, [2, 2]), (7, [2, 2, 3]), (8, [2, 3, 3])]
)
def test_slices_hold_every_image_once_and_are_as_equal_as_they_can_be(batch_size, sizes, monkeypatch):
    monkeypatch.setattr(engines, "_SLICE_BYTES", 3 * (4 * 2))
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    seen = []

    def forward(x):
        seen.append(len(x))
        return x * 2

    x = tf.constant(images(batch_size, 1, 2, 1))
    np.testing.assert_array_equal(engines.in_slices(forward, x), x * 2)
    assert seen == sizes


def test_an_image_larger_than_a_slice_goes_through_alone(monkeypatch):
    monkeypatch.setattr(engines, "_SLICE_BYTES", 1)
    x = tf.constant(images(2, 2, 2, 1))
    np.testing.assert_array_equal(engines.in_slices(tf.identity, x), x)


def test_a_graphics_card_takes_the_batch_whole(monkeypatch):
    monkeypatch.setattr(engines, "_SLICE_BYTES", 1)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])
    seen = []
    engines.in_slices(lambda x: seen.append(len(x)), tf.constant(images(2, 2, 2, 1)))
    assert seen == [2]


def test_images_of_any_size_stay_possible():
    network = made(image_size=None)
    for engine in ("tf", "session", "openvino", "onnxruntime"):
        frozen = network.freeze(engine=engine)
        for side in (16, 33):
            x = images(1, side, side, 3)
            np.testing.assert_allclose(frozen(x), network(x), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("engine", ENGINES)
def test_no_images_give_no_logits(v2_in, engine):
    for batch_size in (0, 1, 0):
        assert v2_in(engine)(images(batch_size, 32, 32, 3)).shape == (batch_size, 1, 1, 7)


@pytest.mark.parametrize("engine", ENGINES)
def test_threads_may_share_a_frozen_network(v2_in, engine):
    """Each gets the logits of its own image."""
    frozen, start = v2_in(engine), threading.Barrier(4)
    batches = [images(1, 32, 32, 3, seed=seed) for seed in range(4)]
    expected = [frozen(x).numpy() for x in batches]

    def errors(number):
        start.wait()
        return [np.abs(frozen(batches[number]) - expected[number]).max() for _ in range(50)]

    with ThreadPoolExecutor(4) as threads:
        assert np.max(list(threads.map(errors, range(4)))) < 1e-5
    assert np.abs(expected[0] - expected[1]).max() > 1e-3


@pytest.mark.parametrize("engine", ENGINES)
def test_bad_input_is_named(v2_in, engine):
    frozen = v2_in(engine)
    with pytest.raises(ValueError, match=r"images must have the shape \[any, 32, 32, 3\], got \[1, 16, 16, 3\]"):
        frozen(images(1, 16, 16, 3))
    with pytest.raises(ValueError, match="images holds NaN or infinity, in image 1 of the batch"):
        frozen(np.stack([np.zeros([32, 32, 3]), np.full([32, 32, 3], np.nan)]))


def test_unknown_and_missing_engines_are_named(v2, monkeypatch):
    known = re.escape(str([*ENGINES, "auto"]))
    with pytest.raises(ValueError, match=f"engine must be one of {known}, got 'abacus'"):
        v2.freeze(engine="abacus")
    with pytest.raises(ValueError, match=r"precision must be one of \['float32', 'bfloat16'\], got 'float16'"):
        v2.freeze("float16")
    for name in ("openvino", "onnxruntime"):
        monkeypatch.setattr(checks, "find_spec", lambda package, name=name: package != name or None)
        text = f"engine: '{name}' needs the package of that name: pip install 'resnet-lib[{name}]'"
        with pytest.raises(ImportError, match=re.escape(text)):
            v2.freeze(engine=name)
    v2.freeze()  # what comes with TensorFlow is not looked for


@pytest.mark.parametrize(
    ("there", "precision", "flags", "chosen"),
    [
        ({"openvino", "onnxruntime"}, "float32", "avx2, avx512f", "openvino"),
        ({"openvino", "onnxruntime"}, "float32", "avx2", "onnxruntime"),
        ({"openvino"}, "float32", "avx2", "openvino"),
        ({"onnxruntime"}, "float32", "avx2, avx512f", "onnxruntime"),
        ({"openvino", "onnxruntime"}, "bfloat16", "avx2, avx512f, avx512_bf16", "openvino"),
        ({"onnxruntime"}, "bfloat16", "avx2", "tf"),
        (set(), "float32", "", "tf"),
    ],
)
def test_the_engine_that_is_chosen_is_the_fastest_that_is_installed(there, precision, flags, chosen, v2, monkeypatch):
    monkeypatch.setattr(engines, "processor", lambda: f"some processor ({flags})")
    monkeypatch.setattr(engines, "find_spec", lambda package: package in there or None)
    assert engines.fastest_installed(precision) == chosen
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])
    assert engines.fastest_installed(precision) == "tf"
    frozen = v2.freeze(engine="auto")
    assert (frozen.engine, repr(frozen)) == ("tf", "<Frozen net, float32, tf (chosen)>")


@pytest.mark.parametrize("avx512", [True, False])
def test_the_order_of_the_choice_is_that_of_the_stored_times(avx512):
    """Medians of one run, and within a tenth of each other in doubt: those of one engine spread as much."""
    rows = pd.read_csv(data.path("engine_times.csv")).query("network == 'resnet_v2_152' and batch_size == 32")
    rows = rows[(rows["device"].str.contains("avx512f") == avx512) & rows["error"].isna()].set_index("engine")
    for precision, times in rows.groupby("precision")["median_ms"]:
        named = [f"resnet_lib, frozen: {name}" for name in engines.FASTEST_FIRST[precision, avx512]]
        order = [times[name] for name in named if name in times]
        assert (
            len(order) >= 2
            and all(fast < 1.1 * slow for fast, slow in pairwise(order))
            and order[0] <= 1.05 * min(order)
        )


def test_onnx_runtime_says_that_it_computes_in_float32(v2):
    text = "engine 'onnxruntime' was asked for .* and runs .*: ONNX Runtime on a CPU has no instructions for bfloat16"
    with pytest.warns(RuntimeWarning, match=text):
        assert v2.freeze("bfloat16", "onnxruntime").precision == "float32"


def test_a_new_engine_is_a_row(v2, monkeypatch):
    def count(freeze, input_shape, precision):
        weights = freeze(precision).weights
        return Compiled(lambda x: tf.fill([x.shape[0], *input_shape[1:]], len(weights)), precision)

    monkeypatch.setitem(ENGINES, "abacus", Engine(count, "wooden_beads"))
    with pytest.raises(ImportError, match=r"engine: 'abacus' needs the package wooden_beads: .*'resnet-lib\[abacus\]'"):
        v2.freeze(engine="abacus")
    monkeypatch.setitem(ENGINES, "abacus", Engine(count))
    frozen = v2.freeze("bfloat16", "abacus")
    assert repr(frozen) == "<Frozen net, bfloat16, abacus>" and frozen(images(2, 32, 32, 3)).shape == (2, 32, 32, 3)


def test_a_frozen_network_is_timed_like_a_network(v2):
    frozen = v2.freeze("bfloat16", "session")
    timing = time_forward(frozen, batch_size=2, num_batches=3)
    assert (timing.network, timing.engine, timing.precision, timing.error) == ("net", "session", "bfloat16", None)
    assert len(timing.samples_ms) == 3 and frozen.cost() == v2.cost()
    assert repr(frozen) == "<Frozen net, bfloat16, session>"
    assert replace(timing, engine="tf").engine == "tf"


def test_a_row_names_the_version_of_its_engine(v2, monkeypatch):
    monkeypatch.setitem(ENGINES, "session", Engine(ENGINES["session"].compile, "numpy"))
    assert re.match(r"numpy [\d.]+, tensorflow ", time_forward(v2.freeze(engine="session"), 1, num_batches=1).versions)
    assert time_forward(v2, 1, num_batches=1).versions.startswith("tensorflow ")


RUN = """
import sys
import numpy as np
experiments, images, *folders = sys.argv[1:]
sys.path.insert(0, experiments)
from pjrt_forward import load
for folder in folders:
    run, known = load(folder)
    np.save(folder + "/logits.npy", np.asarray(run(np.load(images))))
assert "tensorflow" not in sys.modules and "resnet_lib" not in sys.modules
"""


def test_stablehlo_runs_in_jax_alone(tmp_path, v2):
    x = images(2, 32, 32, 3)
    expected = v2(x).numpy()
    folders = {precision: tmp_path / "new" / precision for precision in PRECISIONS}
    for precision, folder in folders.items():
        v2.export_stablehlo(folder, batch_size=2, precision=precision)
    np.save(tmp_path / "x.npy", x)
    command = [sys.executable, "-c", RUN, EXPERIMENTS, tmp_path / "x.npy", *folders.values()]
    subprocess.run(list(map(str, command)), check=True)
    for precision, folder in folders.items():
        got = np.load(folder / "logits.npy")
        assert got.dtype == np.float32 and got.shape == expected.shape
        error = np.abs(got - expected).max() / np.abs(expected).max()
        assert error <= TOLERANCE[precision] and (error > 1e-5) == (precision == "bfloat16")


def test_the_benchmark_times_it_with_and_without_its_weights_and_goes_on_without_a_peer(tmp_path, v2):
    v2.export_stablehlo(tmp_path / "whole", batch_size=2)
    shutil.copytree(tmp_path / "whole", tmp_path / "weightless")
    (tmp_path / "weightless" / "weights.npz").unlink()
    (tmp_path / "hides").mkdir()
    (tmp_path / "hides" / "timm.py").write_text("raise ModuleNotFoundError('No module named timm')")
    env = os.environ | {"PYTHONPATH": str(tmp_path / "hides")}
    command = [
        sys.executable,
        EXPERIMENTS / "pjrt_forward.py",
        tmp_path / "whole",
        tmp_path / "weightless",
        *("--timm", "resnetv2_50"),
        *("--rounds", "2"),
        *("--csv", tmp_path / "times.csv"),
    ]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, env=env).stdout
    line = r"net +stablehlo, cpu +float32 +batch +2 +[\d.]+ ms .* [\d.]+ images/s +[\d.]+ TFLOP/s"
    assert len(re.findall(line, printed)) == 2
    assert printed.count("resnetv2_50 float32 batch 2: ModuleNotFoundError: No module named timm") == 2
    append_row(tmp_path / "times.csv", Timing("ours"))  # which refuses other columns
    first, second, ours = pd.read_csv(tmp_path / "times.csv").itertuples()
    assert (first.network, first.batch_size, first.image_size, ours.network) == ("net", 2, "32x32", "ours")
    assert np.isclose(first.median_ms, np.median([float(ms) for ms in first.samples_ms.split(";")]), rtol=1e-3)
    assert np.isclose(first.tflops, 2 * v2.cost().macs * first.images_per_s / 1e12, rtol=1e-3)
    assert first.engine == second.engine == "stablehlo, cpu" and first.versions.startswith("jax ")


def test_the_arguments_are_those_of_the_network(tmp_path, v2):
    net = v2
    net.export_stablehlo(tmp_path, batch_size=3, precision="bfloat16")
    known = json.loads((tmp_path / "arguments.json").read_text())
    first, *weights = known["arguments"]
    assert first == {"name": "images", "shape": [3, 32, 32, 3], "dtype": "float32"}
    expected = {"network": "net", "batch_size": 3, "precision": "bfloat16", "macs": net.cost().macs}
    assert {key: known[key] for key in expected} == expected
    with np.load(tmp_path / "weights.npz") as saved:
        assert {weight["name"]: tuple(weight["shape"]) for weight in weights} == {k: saved[k].shape for k in saved}
    kernels = [weight for weight in weights if len(weight["shape"]) == 4]
    assert {kernel["dtype"] for kernel in kernels} == {"bfloat16"} and len(kernels) == 21  # shared ones at every use


def test_a_saved_model_gives_the_same(tmp_path, network):
    """V1 has convolutions in groups, whose gradient is the library's own."""
    net = network
    net.export_saved_model(tmp_path / "saved")
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    for batch_size in (1, 3):
        x = tf.constant(images(batch_size, 32, 32, 3), tf.float32)
        np.testing.assert_array_equal(loaded.forward(x), net(x))
        np.testing.assert_array_equal(loaded.signatures["serving_default"](images=x)["logits"], net(x))


def test_bad_arguments_are_named(tmp_path, v2):
    with pytest.raises(ValueError, match="batch_size must be a positive whole number, got 0"):
        v2.export_stablehlo(tmp_path, batch_size=0)
    with pytest.raises(ValueError, match=r"precision must be one of \['float32', 'bfloat16'\], got 'half'"):
        v2.export_stablehlo(tmp_path, precision="half")
    with pytest.raises(ValueError, match="network must be built with an image_size to be exported"):
        made(image_size=None).export_stablehlo(tmp_path)
    assert not list(tmp_path.iterdir())
