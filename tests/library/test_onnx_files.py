"""An ONNX file holds the network: ONNX's own checker and evaluator say so, and it runs without TensorFlow."""

import subprocess
import sys

import numpy as np
import onnx
import onnx.reference
import pytest
from slim_networks import images
from test_engines import BLOCKS, made

from resnet_lib import Architecture, Block, build, checks, engines, onnx_files


@pytest.fixture(scope="module")
def network():
    return made()


@pytest.fixture(scope="module")
def path(network, tmp_path_factory):
    file = tmp_path_factory.mktemp("onnx") / "net.onnx"
    network.export_onnx(file)
    return file


def error(network, x, logits):
    expected = network(x).numpy()
    assert logits.shape == expected.shape and logits.dtype == np.float32
    return np.abs(logits - expected).max() / np.abs(expected).max()


def test_the_model_gives_the_logits_in_onnx_own_evaluator(network, path):
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    x = images(2, 32, 32, 3).astype(np.float32)
    (logits,) = onnx.reference.ReferenceEvaluator(model).run(None, {"images": x})
    assert error(network, x, logits) < 1e-5


def test_it_has_readable_names_and_no_batch_norm_that_could_be_folded(network, path):
    graph = onnx.load(path).graph
    sides = [[side.dim_param or side.dim_value for side in value.type.tensor_type.shape.dim] for value in graph.input]
    assert graph.name == "net" and sides == [["batch", 32, 32, 3]]
    assert [value.name for value in (*graph.input, *graph.output)] == ["images", "logits"]
    units = {f"net/block{block}/unit_1" for block in (1, 2, 3)}
    assert units <= {"/".join(node.name.split("/")[:3]) for node in graph.node}
    # What is left in V2: before the first convolution of a unit, and before the classifier.
    kinds = [node.op_type for node in graph.node]
    assert kinds.count("BatchNormalization") == 1 + sum(len(block.args) for block in BLOCKS["V2"])


@pytest.mark.parametrize("blocks", BLOCKS)
def test_it_runs_for_batches_of_any_size(blocks, tmp_path):
    net = made(blocks)
    net.export_onnx(tmp_path / "net.onnx")
    loaded = engines.load(tmp_path / "net.onnx")
    assert (loaded.name, loaded.input_shape) == ("net", (None, 32, 32, 3))
    assert repr(loaded) == "<Loaded net, float32, onnxruntime>"
    for batch_size in (1, 5):
        x = images(batch_size, 32, 32, 3)
        assert error(net, x, loaded(x)) < 1e-5


def test_it_runs_without_tensorflow(network, path, tmp_path):
    x = images(2, 32, 32, 3)
    np.save(tmp_path / "x.npy", x)
    program = (
        "import sys, numpy as np; from resnet_lib import engines\n"
        "logits = engines.load(sys.argv[1])(np.load(sys.argv[2])); np.save(sys.argv[3], logits)\n"
        "assert not {'tensorflow', 'tf_slim', 'tf2onnx'} & {*sys.modules}"
    )
    files = [path, tmp_path / "x.npy", tmp_path / "logits.npy"]
    subprocess.run([sys.executable, "-c", program, *map(str, files)], check=True)
    assert error(network, x, np.load(tmp_path / "logits.npy")) < 1e-5


def test_in_the_papers_layout_no_pixel_is_computed_for_nobody(tmp_path):
    blocks = (Block("block1", "bottleneck_v1", [(16, 4, 1)]), Block("block2", "bottleneck_v1", [(32, 8, 2)]))
    net = build(Architecture("net", blocks, None, stride_in="1x1"), 8, 5, channels_in=4)
    net.export_onnx(tmp_path / "net.onnx")
    model = onnx.shape_inference.infer_shapes(onnx.load(tmp_path / "net.onnx"))
    sizes = {value.name: value.type.tensor_type.shape.dim[2].dim_value for value in model.graph.value_info}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    # Only the first 1x1 gives 8x8: what follows it in block 1, its projection and all of block 2 give 4x4.
    assert sorted(sizes[node.output[0]] for node in convolutions if "logits" not in node.name) == [4] * 7 + [8]
    x = images(2, 8, 8, 4)
    assert error(net, x, engines.load(tmp_path / "net.onnx")(x)) < 1e-5


def test_progress_is_shown_where_it_is_asked_for(network, tmp_path, capsys):
    network.export_onnx(tmp_path / "quiet.onnx")
    assert capsys.readouterr() == ("", "")
    network.export_onnx(tmp_path / "loud.onnx", progress=True)
    assert "net: " in capsys.readouterr().err


def test_bad_files_and_images_are_named(path, tmp_path):
    with pytest.raises(FileNotFoundError, match="path must be an ONNX file, but there is none at .*absent.onnx"):
        engines.load(tmp_path / "absent.onnx")
    for name, content in {"text": b"not a model", "short": path.read_bytes()[:1000], "empty": b""}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"path must be an ONNX file, got .*{name}"):
            engines.load(tmp_path / name)
    with pytest.raises(ValueError, match="path must be an ONNX file, got the folder"):
        engines.load(tmp_path)
    with pytest.raises(TypeError, match="^path must be the path of a file, got 3"):
        engines.load(3)


def test_bad_images_are_refused_as_a_network_refuses_them(network, path):
    good = images(3, 32, 32, 3).astype(np.float64)
    not_finite, huge = good.copy(), good.copy()
    not_finite[1, 2, 3, 0], not_finite[2, 0, 0, 0], huge[0, 0, 0, 0] = np.nan, -np.inf, 1e300
    refused = [
        (np.zeros([1, 8, 8, 3]), r"images must have the shape \[any, 32, 32, 3\], got \[1, 8, 8, 3\]"),
        (not_finite, "images holds NaN or infinity, in image 1, 2 of the batch"),
        (huge, "images holds NaN or infinity, in image 0 of the batch"),
        (good * 1j, "images must hold real numbers, got an array of complex128"),
        ("a", "images must hold real numbers, got an array of <U1"),
        ([[1], [1, 2]], "images must be an array .*of real numbers, got a list"),
    ]
    loaded = engines.load(path)
    for bad, message in refused:
        for called in (network, loaded):
            with pytest.raises(ValueError, match=f"^{message}"):
                called(bad)
    assert loaded(good[:0]).shape == (0, *loaded(good).shape[1:])
    loaded.input_shape = (None, None, None, 3)  # as of a network for images of any size
    with pytest.raises(ValueError, match=r"^images must have a pixel at least, got the shape \[1, 0, 8, 3\]"):
        loaded(np.zeros([1, 0, 8, 3]))


@pytest.mark.parametrize("package", ["onnx", "tf2onnx", "onnxruntime"])
def test_what_is_missing_is_named(package, network, path, tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "find_spec", lambda name: None if name == package else True)
    text = r"needs the package .*: pip install 'resnet-lib\[onnxruntime\]'"
    with pytest.raises(ImportError, match=text):
        onnx_files.load(path) if package == "onnxruntime" else network.export_onnx(tmp_path / "net.onnx")
    assert not (tmp_path / "net.onnx").exists()
