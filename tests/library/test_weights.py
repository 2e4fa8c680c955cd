"""Weights of others: the files that the peers themselves write give the logits that the peers themselves compute."""

import gzip
import io
import json
import pickle
import shutil
import tarfile
import zipfile
from functools import cache
from pathlib import Path

import keras
import numpy as np
import pytest
import tf_keras
from safetensors.numpy import load_file, save_file
from tf_slim.nets import resnet_v1, resnet_v2

from experiments.weights_of_peers import SMALL, SMALL_SIZES, images_of, keras_logits, slim_logits
from resnet_lib import ARCHITECTURES, Architecture, Block, Root, Unit, build, weight_files
from resnet_lib.identification import named
from resnet_lib.network import network_function
from resnet_lib.preprocessing import preprocessed
from resnet_lib.tf_slim_compat import quick_building, tf
from resnet_lib.weight_files import Opened, Stored, opened
from resnet_lib.weight_names import CONVENTIONS
from resnet_lib.weights import WeightFile

PEERS = Path(__file__).parent / "peers"
TOLERANCE = 1e-5  # of the largest logit


def relative(found, expected):
    """The largest difference over the largest logit."""
    found, expected = (np.asarray(logits).reshape(len(logits), -1) for logits in (found, expected))
    return np.abs(found - expected).max() / np.abs(expected).max()


def small_blocks(version, layout="last"):
    """The blocks of the small networks, as tf-slim's functions take them too."""
    blocks = []
    for number, (depth, units) in enumerate(zip(SMALL, (1, 2, 1, 1), strict=True), 1):
        strides = [1] * units
        if layout == "last" and number < 4:
            strides[-1] = 2
        if layout == "first" and number > 1:
            strides[0] = 2
        bottleneck = depth // 4 if version == 1 else (8, 8, 16, 16)[number - 1]  # timm rounds it to eights in V2
        blocks.append(Block(f"block{number}", f"bottleneck_v{version}", [(depth, bottleneck, s) for s in strides]))
    return blocks


def small(version, layout="first", **changes):
    """The small network of timm, as an Architecture."""
    root = Root(64 if version == 1 or layout == "last" else 8, 7, 2, 2)  # as tf-slim has it, and timm
    sizes = {"image_size": None, "num_classes": 6}
    return Architecture(f"resnet_v{version}_50", small_blocks(version, layout), root, **sizes, **changes)


# tf-slim


def slim_small(version):
    """(the function of a small network of tf-slim, its arg scope)."""
    module = {1: resnet_v1, 2: resnet_v2}[version]

    def network(images, classes, is_training):
        unit = module.bottleneck
        blocks = [
            module.resnet_utils.Block(block.scope, unit, [Unit(*arguments)._asdict() for arguments in block.args])
            for block in small_blocks(version)
        ]
        function = {1: resnet_v1.resnet_v1, 2: resnet_v2.resnet_v2}[version]
        return function(images, blocks, classes, is_training=is_training, scope=f"resnet_v{version}_50")

    return network, module.resnet_arg_scope


@pytest.mark.parametrize(("version", "size", "background"), [(1, 64, 1), (2, 75, 0)])
def test_a_checkpoint_of_tf_slim_gives_its_logits_with_the_background_or_without(tmp_path, version, size, background):
    path, expected = slim_logits(*slim_small(version), 1001, tmp_path, images_of(size))
    network = build(small(version, "last"), num_classes=1000 + background, weights=path, image_size=size)
    assert relative(network(images_of(size)), expected[..., 1 - background :]) < TOLERANCE
    assert network.class_offset == background and network.convention == CONVENTIONS["tf-slim", version]
    assert repr(network).endswith("weights: tf-slim, model.ckpt>") and network.origin == "tf-slim, model.ckpt"


@pytest.fixture(scope="module")
def slim_checkpoint(tmp_path_factory):
    """(folder, logits of images_of(64)) of a small V2 of tf-slim with six classes."""
    folder = tmp_path_factory.mktemp("slim") / "checkpoint"
    folder.mkdir()
    path, logits = slim_logits(*slim_small(2), 6, folder, images_of(64))
    return path.parent, logits


def packed(folder, archive, names):
    with tarfile.open(archive, "w:gz") as tar:
        for inside, file in names.items():
            tar.add(folder / file, inside)
    return archive


@cache
def in_old_format(folder):
    """The same checkpoint as one file, as tf-slim's released ones are."""
    to = folder.parent / "old" / "old.ckpt"
    to.parent.mkdir()
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        reader = tf.train.load_checkpoint(str(folder / "model.ckpt"))
        for name in reader.get_variable_to_shape_map():
            tf.compat.v1.get_variable(name, initializer=reader.get_tensor(name))
        tf.compat.v1.get_variable("global_step", initializer=np.int64(3))
        tf.compat.v1.get_variable(
            "resnet_v2_50/conv1/weights/Momentum", initializer=np.zeros((7, 7, 3, 64), np.float32)
        )
        tf.compat.v1.get_variable("resnet_v2_50/mean_rgb", initializer=np.zeros(3, np.float32))
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.train.Saver(write_version=1).save(session, str(to), write_meta_graph=False)
    return to


FILES = ["model.ckpt.index", "model.ckpt.data-00000-of-00001"]
WAYS = {  # to name a checkpoint
    "prefix": lambda folder, tmp: folder / "model.ckpt",
    "index": lambda folder, tmp: folder / "model.ckpt.index",
    "data": lambda folder, tmp: folder / "model.ckpt.data-00000-of-00001",
    "folder": lambda folder, tmp: folder,
    "archive": lambda folder, tmp: packed(folder, tmp / "net.tar.gz", {f"a/{name}": name for name in FILES}),
    "absolute": lambda folder, tmp: packed(folder, tmp / "net.tar.gz", {f"/etc/../{name}": name for name in FILES}),
    "old format": lambda folder, tmp: in_old_format(folder),
    "old in a folder": lambda folder, tmp: in_old_format(folder).parent,
    "old archive": lambda folder, tmp: packed(in_old_format(folder).parent, tmp / "o.tgz", {"old.ckpt": "old.ckpt"}),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_checkpoint_is_found_however_it_is_named(tmp_path, slim_checkpoint, way, network_v2):
    folder, logits = slim_checkpoint
    network_v2.assign({name: np.zeros_like(value) for name, value in network_v2.values().items()})
    network_v2.load(WAYS[way](folder, tmp_path))
    assert relative(network_v2(images_of(64)), logits) < TOLERANCE


@pytest.fixture(scope="module")
def network_v2():
    return build(small(2, "last"))


@pytest.mark.parametrize("root", ["InceptionV4", "inception_v4", "mine"])
def test_a_network_that_is_no_list_of_blocks_is_found_under_its_scope(root):
    """tf-slim calls it otherwise; a head that helped its training, an optimizer and the background are left out."""
    logits = np.random.default_rng(0).normal(size=(8, 1001)).astype(np.float32)
    arrays = {
        f"{root}/Logits/Logits/weights": Stored((8, 1001), lambda: logits),
        f"{root}/Logits/Logits/weights/Momentum": zeros("", (8, 1001)),
        f"{root}/AuxLogits/Aux_logits/weights": zeros("", (4, 1001)),
        "global_step": zeros("", ()),
    }
    file = WeightFile(Opened(Path("net.ckpt"), "checkpoint", arrays), "inception_v4", None)
    assert file.num_classes == 1001 and file.fitting_classes(1000, False) == 1000
    assert file.convention.preprocessing == "inception" and file.convention.image_size == 299
    (value,) = file.values({"inception_v4/Logits/Logits/weights": (8, 1000)}).values()
    assert np.array_equal(value, logits[:, 1:])


# Keras

KERAS_FILES = {  # library -> endings of the files that it writes; ".model.h5" is a whole model in the legacy format
    tf_keras: (".h5", ".weights.h5", ".keras", ".model.h5"),
    keras: (".weights.h5", ".keras", ".model.h5"),
}


@pytest.fixture(scope="module")
def network_50(request):
    """Version -> a network of 50 layers as Keras has it, for images of any size."""

    @cache
    def network(version):
        layout, epsilon, pooling = CONVENTIONS["Keras", version][1:4]
        options = {"layout": layout, "batch_norm_epsilon": epsilon, "root_pooling": pooling}
        return build(f"resnet_v{version}_50", image_size=None, **options)

    return network


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("library", KERAS_FILES, ids=lambda library: library.__name__)
def test_keras_files_of_every_format_give_its_logits(tmp_path, network_50, library, version):
    """Each library and each version at both sizes; the further formats of each library from one version."""
    application = getattr(library.applications, {1: "ResNet50", 2: "ResNet50V2"}[version])
    first, *others = KERAS_FILES[library]
    even = (library is tf_keras) == (version == 1)
    size = 224 if even else 299
    made = []

    def model(**options):
        made.append(application(**options))
        return made[-1]

    network = network_50(version)
    path, expected = keras_logits(model, first, tmp_path, images_of(size))
    network.load(path)
    assert relative(network(images_of(size)), expected) < TOLERANCE
    assert network.convention == CONVENTIONS["Keras", version] and network.class_offset == 0
    assert made[-1].get_layer("conv2_block1_1_bn").epsilon == network.architecture.batch_norm_epsilon
    assert named(path) == f"resnet_v{version}_50"
    values = network.values()
    for ending in others if even else ():
        path = tmp_path / f"again{ending}"
        made[-1].save(path) if ending in (".keras", ".model.h5") else made[-1].save_weights(path)
        with opened(path) as file:
            again = WeightFile(file, network.name, network.architecture).values({n: v.shape for n, v in values.items()})
        assert all(np.array_equal(again[name], value) for name, value in values.items())
        assert named(path) == f"resnet_v{version}_50"


# PyTorch: what it wrote is stored, see experiments/weights_of_peers.py


@pytest.mark.parametrize("version", [1, 2])
def test_files_of_timm_give_its_logits(version):
    path = PEERS / f"timm_v{version}.safetensors"
    network = build(small(version), weights=path)
    with np.load(PEERS / "timm_logits.npz") as logits:
        for size in SMALL_SIZES:
            assert relative(network(images_of(size)), logits[f"v{version}_{size}"]) < TOLERANCE
    assert network.convention == CONVENTIONS[("torchvision", 1) if version == 1 else ("timm", 2)]
    assert network.class_offset is None  # six classes are not ImageNet's


TORCH_NAMES = json.loads(gzip.decompress((PEERS / "torch_names.json.gz").read_bytes()))


@cache
def variable_shapes(name):
    """Name -> shape of the variables of a named network, whatever its layout, without making their values."""
    architecture = ARCHITECTURES[name]
    with tf.Graph().as_default(), quick_building():
        network_function(architecture)(tf.compat.v1.placeholder(tf.float32, [None, 64, 64, 3]))
        return {variable.op.name: tuple(variable.shape) for variable in tf.compat.v1.global_variables()}


def zeros(name, shape):
    return Stored(tuple(shape), lambda: np.broadcast_to(np.float32(0), shape))


@pytest.mark.parametrize("name", ["resnet_v1_18", "resnext_50_32x4d", "wide_resnet_50_2", "resnet_v2_50"])
def test_every_array_of_a_pytorch_network_has_its_variable(name):
    arrays = {key: zeros(key, shape) for key, shape in TORCH_NAMES[name].items()}
    architecture = ARCHITECTURES[name].variant(layout="v1.5")
    wanted = variable_shapes(name)
    values = WeightFile(Opened(Path("peer"), "safetensors", arrays), name, architecture).values(wanted)
    assert {key: value.shape for key, value in values.items()} == wanted


@pytest.mark.parametrize("name", TORCH_NAMES)
def test_the_network_of_a_pytorch_file_is_known(tmp_path, name):
    """By the names and shapes; the numbers of parameters agree as well."""
    shapes = {key: shape for key, shape in TORCH_NAMES[name].items() if "num_batches" not in key}
    header = {key: {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]} for key, shape in shapes.items()}
    end = 0
    for entry in header.values():
        entry["data_offsets"] = [end, end := end + 4 * int(np.prod(entry["shape"]))]
    text = json.dumps(header).encode()
    path = tmp_path / "model.safetensors"
    with open(path, "wb") as file:  # sparse: no disk is taken
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)
    assert named(path) == name


# Each convention alone


def test_each_convention_alone_makes_another_function(tmp_path):
    """Ten tolerances at least, with batch norms whose variances are as small as the epsilon matters for."""
    values = load_file(PEERS / "timm_v2.safetensors")
    for key, value in values.items():
        if key.endswith("running_var"):
            values[key] = np.full_like(value, 1e-6)
        elif key.endswith(("norm1.weight", "norm2.weight", "norm3.weight", "norm.weight")):
            values[key] = value / 300  # so that the signal stays as large as it was
    save_file(values, tmp_path / "small.safetensors")
    network = build(small(2), image_size=64, weights=tmp_path / "small.safetensors")
    weights, images = network.values(), images_of(64)
    right = network(images)
    for change in (
        {"root_pooling": "zeros"},
        {"root_pooling": "SAME"},
        {"batch_norm_epsilon": 1.001e-5},
        {"layout": "slim"},
        {"layout": "paper"},
    ):
        other = build(network.architecture.variant(**change))
        other.assign(weights)
        assert relative(other(images), right) > 10 * TOLERANCE, change
    photos = np.random.default_rng(2).integers(0, 256, (2, 80, 80, 3)).astype(np.uint8)
    seen = {name: network(preprocessed(photos, name, 64, 64)) for name in ("vgg", "caffe", "tf", "inception", "timm")}
    assert np.array_equal(network(network.preprocess(photos)), seen["timm"])
    assert all(relative(seen[name], seen["timm"]) > 10 * TOLERANCE for name in seen if name != "timm")


# What is refused


@pytest.fixture(scope="module")
def small_file(slim_checkpoint, network_v2):
    """A file of this library beside the checkpoint of tf-slim."""
    path = slim_checkpoint[0].parent / "small.npz"
    network_v2.save(path)
    return path


def test_what_a_file_of_ones_own_says_is_kept(tmp_path):
    """`save` writes what belongs to the weights, and `load` refuses a network that differs in it."""
    network = build(small(2), weights=PEERS / "timm_v2.safetensors")
    network.save(tmp_path / "mine.npz")
    again = build(small(2), weights=tmp_path / "mine.npz")
    assert again.convention == network.convention and again.origin == "timm, mine.npz"
    assert again.architecture.root_pooling == "symmetric"
    assert all(np.array_equal(value, again.values()[name]) for name, value in network.values().items())
    for change, expected in (
        ({"root_pooling": "SAME"}, "root_pooling: the weights in .*mine.npz are for 'symmetric', got 'SAME'"),
        ({"root_pooling": "symmetric", "batch_norm_epsilon": 1e-3}, "batch_norm_epsilon: .* are for 1e-05, got 0.001"),
        ({"root_pooling": "symmetric", "layout": "slim"}, "layout: .* are for 'v1.5', got 'slim'"),
    ):
        with opened(tmp_path / "mine.npz") as file, pytest.raises(ValueError, match=expected):
            WeightFile(file, network.name, small(2)).check(small(2).variant(**change))
    slim = build(small(2).variant(layout="slim", root_pooling="symmetric"))
    with pytest.raises(ValueError, match="layout: .* are for 'v1.5', got 'slim'"):
        slim.load(tmp_path / "mine.npz")
    with pytest.raises(ValueError, match="layout: .* are for 'v1.5', got 'slim'"):
        build(small(2).variant(layout="slim"), weights=tmp_path / "mine.npz")
    half = tmp_path / "half.npz"
    network.save(half, precision="float16")
    assert half.stat().st_size < 0.6 * (tmp_path / "mine.npz").stat().st_size
    again.load(half)
    assert relative(again(images_of(64)), network(images_of(64))) < 0.01


ODD = Architecture(  # its strides have no layout
    "odd",
    [Block("b", "bottleneck_v1", [(8, 2, 1), (8, 2, 2), (8, 2, 1)])],
    Root(8, 3, 1, 1),
    "A",
    image_size=8,
    num_classes=3,
)


@pytest.fixture(scope="module")
def odd_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("odd") / "odd.npz"
    build(ODD).save(path)
    return path


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"shortcut": "none"}, "shortcut: the weights in .*odd.npz are for 'A', got 'none'; .*architecture_in.* 'odd'"),
        ({"shortcut": "scaling"}, "shortcut: .* are for 'A', got 'scaling'"),
        ({"root": Root(8, 3, 2, 1)}, r"root: strides: .* are for \(1, 1\), got \(2, 1\)"),
        ({"stride_in": "1x1"}, "stride_in: .* are for '3x3', got '1x1'"),
        (
            {"blocks": [Block("b", "bottleneck_v1", [(8, 2, 1), (8, 2, 3), (8, 2, 1)])]},
            r"blocks: strides: .* are for \(\(1, 2, 1\),\), got \(\(1, 3, 1\),\)",
        ),
    ],
)
def test_a_network_whose_variables_alone_are_those_of_the_file_is_refused(odd_file, change, expected):
    with opened(odd_file) as file, pytest.raises(ValueError, match=expected):
        WeightFile(file, "odd", ODD).check(ODD.variant(**change))


@pytest.mark.parametrize(
    "change",
    [
        {"name": "mine", "image_size": (9, 7), "num_classes": 5, "channels_in": 1},  # the shapes have to fit besides
        {"output_stride": 1, "global_pool": False, "num_classes": None},  # the same features at more positions
        {"shortcut": "B"},  # here the same function
    ],
)
def test_the_same_function_of_other_sizes_is_taken(odd_file, change):
    with opened(odd_file) as file:
        WeightFile(file, "odd", ODD).check(ODD.variant(**change))


def test_a_plain_network_takes_no_file_of_a_residual_one_and_a_rewired_one_none_of_another_order(tmp_path, odd_file):
    with pytest.raises(ValueError, match=r"blocks: strides: .* are for \(\(1, 2, 1\),\), got \(\(2, 1, 1\),\)"):
        build(ODD).rewired({"b": [2, 1, 3]}).load(odd_file)
    plain = build(ODD.variant(shortcut="none"))
    before = plain.values()
    with pytest.raises(ValueError, match="shortcut: .* are for 'A', got 'none'"):
        plain.load(odd_file)
    assert all(np.array_equal(before[name], value) for name, value in plain.values().items())
    about = json.dumps({"convention": None, "architecture": None})
    plain.load(altered(odd_file, tmp_path / "silent.npz", lambda arrays: arrays.update(about=about)))
    about = json.dumps({"convention": {"source": "resnet_lib", "batch_norm_epsilon": 0.0}})
    with pytest.raises(ValueError, match="batch_norm_epsilon: .* are for 0.0, got 1e-05"):
        plain.load(altered(odd_file, tmp_path / "odd.npz", lambda arrays: arrays.update(about=about)))
    about = json.dumps({"architecture": {"blocks": 3}})
    with pytest.raises(ValueError, match="weights: .*odd.npz says in 'about' what this library does not write"):
        plain.load(altered(odd_file, tmp_path / "odd.npz", lambda arrays: arrays.update(about=about)))


def test_a_named_network_is_built_for_the_images_that_a_file_of_ones_own_says(tmp_path):
    name, path = "resnet_v1_cifar_20", tmp_path / "digits.npz"
    build(name, image_size=(8, 9), channels_in=1).save(path)
    assert build(name, weights=path).input_shape == (None, 8, 9, 1)
    assert build(name, image_size=None, weights=path).input_shape == (None, None, None, 1)
    with pytest.raises(
        ValueError, match=r"has the shape \(3, 3, 1, 16\) for .*conv1/weights, whose shape is \(3, 3, 3, 16\)"
    ):
        build(name, channels_in=3, weights=path)


def altered(path, to, change):
    """An .npz file after `change` of the dict of its arrays."""
    with np.load(path) as saved:
        arrays = dict(saved)
    change(arrays)
    np.savez(to, **arrays)
    return to


GAMMA = "resnet_v2_50/postnorm/gamma"
UNIT = "resnet_v2_50/block4/unit_1/bottleneck_v2/conv3/weights"


def bad_zip(folder, name, *members):
    with zipfile.ZipFile(folder / name, "w") as archive:
        for member in members:
            archive.writestr(member, b"anything")
    return folder / name


def written(path, content):
    path.write_bytes(content)
    return path


def of_zeros(path, size=2**30):
    with open(path, "wb") as file:
        file.truncate(size)  # sparse
    return path


BAD = {  # what is wrong -> (what makes the file from a good one, the error)
    "a missing variable": (
        lambda good, folder: altered(good, folder / "w.npz", lambda arrays: arrays.pop(GAMMA)),
        f"w.npz has nothing for {GAMMA}",
    ),
    "a variable more": (
        lambda good, folder: altered(
            good, folder / "w.npz", lambda a: a.update({UNIT.replace("unit_1", "unit_2"): a[UNIT]})
        ),
        "w.npz holds 1 arrays more than resnet_v2_50 has variables: it is of another network; the first is '.*block4/unit_2",
    ),
    "NaN": (
        lambda good, folder: altered(good, folder / "w.npz", lambda a: a[GAMMA].fill(np.nan)),
        f"w.npz holds NaN or infinity in '{GAMMA}'",
    ),
    "infinity": (
        lambda good, folder: altered(good, folder / "w.npz", lambda a: a[UNIT].__setitem__((0, 0, 3, 3), -np.inf)),
        f"w.npz holds NaN or infinity in '{UNIT}'",
    ),
    "another shape": (
        lambda good, folder: altered(good, folder / "w.npz", lambda a: a.update({GAMMA: a[GAMMA][:-1]})),
        rf"w.npz has the shape \(63,\) for {GAMMA}, whose shape is \(64,\)",
    ),
    "whole numbers": (
        lambda good, folder: altered(good, folder / "w.npz", lambda a: a.update({GAMMA: np.ones(64, int)})),
        f"w.npz has no real numbers for '{GAMMA}', but int64",
    ),
    "objects": (
        lambda good, folder: altered(good, folder / "w.npz", lambda a: a.update({GAMMA: np.array([None] * 64)})),
        "w.npz is no whole file of weights .ValueError: Object arrays cannot be loaded",
    ),
    "a huge promise": (
        lambda good, folder: promising(folder / "w.npz"),
        r"w.npz has the shape \(1000000, 1000000\) for resnet_v2_50/conv1/weights",
    ),
    "nonsense about": (
        lambda good, folder: altered(good, folder / "w.npz", lambda a: a.update(about=np.array("{"))),
        "w.npz says in 'about' what this library does not write",
    ),
    "cut short": (lambda good, folder: written(folder / "w.npz", good.read_bytes()[:-300]), "w.npz is no whole file"),
    "empty": (lambda good, folder: written(folder / "w.h5", b""), "w.h5 is no file of weights, or not a whole one"),
    "a text": (lambda good, folder: written(folder / "w.h5", b"weights\n" * 9), "w.h5 is no file of weights"),
    "zeros": (lambda good, folder: of_zeros(folder / "w.safetensors"), "w.safetensors is no file of weights"),
    "zeros in an archive": (
        lambda good, folder: packed(folder, folder / "w.tar.gz", {"a.ckpt": of_zeros(folder / "zeros", 2**24).name}),
        "w.tar.gz is no whole file of weights",
    ),
    "an archive without a checkpoint": (
        lambda good, folder: packed(folder, folder / "w.tar.gz", {"a.txt": written(folder / "t", b"x").name}),
        "w.tar.gz holds no checkpoint",
    ),
    "a zip of something else": (
        lambda good, folder: bad_zip(folder, "w.zip", "/etc/passwd", "../../up"),
        "w.zip has nothing for resnet_v2_50/conv1/weights",
    ),
    "PyTorch's zip": (
        lambda good, folder: bad_zip(folder, "w.pth", "archive/data.pkl", "archive/data/0"),
        "w.pth is a pickle, .* safetensors.torch.save_file",
    ),
    "a pickle": (
        lambda good, folder: written(folder / "w.pt", pickle.dumps({GAMMA: 1})),
        "w.pt is a pickle, which could run any program",
    ),
    "HDF5 cut short": (
        lambda good, folder: written(folder / "w.h5", b"\x89HDF\r\n\x1a\n" + bytes(100)),
        "w.h5 is no whole file of weights",
    ),
    "safetensors cut short": (
        lambda good, folder: written(folder / "w.safetensors", (PEERS / "timm_v2.safetensors").read_bytes()[:-10]),
        "w.safetensors is no whole file of weights",
    ),
    "a checkpoint without its data": (
        lambda good, folder: without_data(good.parent / "checkpoint", folder),
        "is no whole file of weights",
    ),
    "a folder of nothing": (
        lambda good, folder: folder,
        "must hold one checkpoint, or say which is the latest; found: none",
    ),
}


def promising(path):
    """An .npz file whose one array would take eight terabytes."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**6)})
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("conv1/weights", "postnorm/gamma"):
            archive.writestr(f"resnet_v2_50/{name}.npy", header.getvalue())
    return path


def without_data(checkpoint, folder):
    shutil.copy(checkpoint / "model.ckpt.index", folder)
    return folder / "model.ckpt"


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_file_is_named_and_changes_nothing(tmp_path, small_file, network_v2, bad):
    make, expected = BAD[bad]
    path = make(small_file, tmp_path)
    before = network_v2.values()
    with pytest.raises(ValueError, match=f"^weights: .*{expected}"):
        network_v2.load(path)
    assert all(np.array_equal(before[name], value) for name, value in network_v2.values().items())


def test_an_archive_of_more_than_a_network_needs_is_not_unpacked(tmp_path, slim_checkpoint, network_v2, monkeypatch):
    archive = packed(slim_checkpoint[0], tmp_path / "net.tar.gz", {name: name for name in FILES})
    monkeypatch.setattr(weight_files, "MOST_BYTES", 10_000)
    with pytest.raises(ValueError, match="^weights: .*net.tar.gz holds more than 10,000 bytes of checkpoints"):
        network_v2.load(archive)


def test_numbers_that_numpy_does_not_have_are_named(tmp_path):
    header = {"stem.conv.weight": {"dtype": "BF16", "shape": [4], "data_offsets": [0, 8]}}
    text = json.dumps(header).encode()
    path = written(tmp_path / "w.safetensors", len(text).to_bytes(8, "little") + text + bytes(8))
    with (
        opened(path) as file,
        pytest.raises(ValueError, match="^weights: .*safetensors holds BF16 in 'stem.conv.weight'"),
    ):
        file.arrays["stem.conv.weight"].read()


def test_a_file_that_is_missing_is_an_error_of_the_system(tmp_path, network_v2):
    with pytest.raises(FileNotFoundError, match="nothing.ckpt"):
        network_v2.load(tmp_path / "nothing.ckpt")


def test_weights_of_another_network_are_refused(tmp_path):
    deeper = {  # the variables of resnet_v2_101
        name.replace("v2_50", "v2_101").replace("unit_6", f"unit_{unit}"): shape
        for name, shape in variable_shapes("resnet_v2_50").items()
        for unit in (range(6, 24) if "block3/unit_6" in name else (6,))
    }
    for name, wanted, peer, expected in (
        ("resnet_v2_101", deeper, "resnet_v2_50", "has nothing for resnet_v2_101/block3/unit_7"),
        ("resnet_v1_18", variable_shapes("resnet_v1_18"), "resnet_v1_50", "weights"),
        (
            "resnet_v1_18",
            variable_shapes("resnet_v1_18"),
            "resnet_v1_34",
            "holds 80 arrays more than resnet_v1_18 has ",
        ),
    ):
        arrays = {key: zeros(key, shape) for key, shape in TORCH_NAMES[peer].items()}
        with pytest.raises(ValueError, match=expected):
            WeightFile(Opened(Path("peer"), "safetensors", arrays), name, ARCHITECTURES[name]).values(wanted)


# Other classes


def test_a_classifier_for_other_classes_stays_fresh():
    path = PEERS / "timm_v1.safetensors"
    with pytest.raises(
        ValueError, match="num_classes: the weights in .* have 6 classes, got 5; fresh_classifier=True leaves"
    ):
        build(small(1), num_classes=5, weights=path)
    with pytest.raises(ValueError, match="fresh_classifier: without weights all layers are fresh"):
        build(small(1), fresh_classifier=True)
    network = build(small(1), num_classes=5, weights=path, fresh_classifier=True, seed=4)
    whole, fresh = build(small(1), weights=path).values(), build(small(1), num_classes=5, seed=4).values()
    for name, value in network.values().items():
        assert np.array_equal(value, (fresh if "/logits/" in name else whole)[name])
    assert network.convention.classes is None and network.convention.preprocessing == "torchvision"
    features = build(small(1), num_classes=None, weights=path)
    assert features(images_of(64)).shape == (2, 1, 1, 64)


def test_no_weights_are_drawn_where_a_file_has_them_all(monkeypatch):
    """Of ResNet V2-152 they would be 60 million."""
    path, drawn = PEERS / "timm_v1.safetensors", []
    own = tf.random.stateless_truncated_normal
    monkeypatch.setattr(
        tf.random,
        "stateless_truncated_normal",
        lambda shape, *a, **k: drawn.append(tuple(shape)) or own(shape, *a, **k),
    )
    from_file = build(small(1), weights=path)
    assert not drawn and all(value.any() for name, value in from_file.values().items() if name.endswith("/weights"))
    build(small(1), num_classes=5, weights=path, fresh_classifier=True)
    assert (1, 1, 64, 5) in drawn
