"""Files of weights, of every kind that people have, opened alike: name of an array -> its shape, and how to read it.

Nothing is read before it is asked for, so that a file of another network, or a very large one, is refused by the shapes that it
promises. No file is unpickled: a pickle can run any program. What the names mean, `weights` knows.
"""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

MOST_BYTES = 4 * 2**30  # of a checkpoint in an archive; tf-slim's largest has 0.5 GiB
PICKLE = (
    "is a pickle, which could run any program while it is read. Where you trust it, PyTorch turns it into a file that this "
    "library takes: safetensors.torch.save_file(torch.load(PATH, weights_only=True), 'weights.safetensors')"
)


KINDS = ".npz, checkpoints of TensorFlow (also in a .tar.gz), Keras' .h5, .weights.h5 and .keras, .safetensors"
_END_OF_TABLE = bytes.fromhex("57fb808b247547db")  # of a checkpoint in TensorFlow's old format of one file


class Stored(NamedTuple):
    """An array in a file: its shape, and the function that reads it."""

    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]


class Opened(NamedTuple):
    """path: as it was given; kind: "npz", "checkpoint", "keras" or "safetensors"; arrays: by the names that the file has."""

    path: Path
    kind: str
    arrays: dict[str, Stored]


@contextmanager
def opened(path: str | os.PathLike) -> Iterator[Opened]:
    """A file of weights: Opened, for as long as the context lasts.

    path: an .npz file of NumPy; a checkpoint of TensorFlow, as the prefix of its files, one of them, a folder (its latest) or a
    .tar.gz that holds one; a Keras file, .h5, .weights.h5 or .keras; or a .safetensors file.
    Raises FileNotFoundError where there is nothing, and ValueError, naming the file, for a pickle, a file of another kind and
    one that is damaged, also while its arrays are read.
    """
    path = Path(path)
    with ExitStack() as stack:
        with _named_errors(path):
            kind, arrays = _open(path, stack)
        yield Opened(path, kind, {name: Stored(shape, _guarded(path, read)) for name, (shape, read) in arrays.items()})


def _guarded(path, read):
    def guarded():
        with _named_errors(path):
            return read()

    return guarded


@contextmanager
def _named_errors(path):
    """Whatever is wrong with a file becomes one ValueError that names it; what the system says of its name stays OSError."""
    try:
        yield
    except Exception as error:  # NumPy, h5py, zipfile, zlib, safetensors and TensorFlow have each their own
        of_the_system = isinstance(error, OSError) and error.filename is not None
        if str(error).startswith("weights: ") or of_the_system or isinstance(error, MemoryError):
            raise
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"weights: {path} is no whole file of weights ({type(error).__name__}: {reason})") from error


def _open(path, stack) -> tuple[str, dict[str, Stored]]:
    """(kind, arrays) by what the file is; its ending decides nothing where its first bytes say it."""
    if path.is_dir():
        return "checkpoint", _checkpoint(_in_folder(path))
    if not path.exists():
        return "checkpoint", _checkpoint(_existing_prefix(path))
    start, end = _both_ends(path)
    if start.startswith(b"\x89HDF\r\n\x1a\n"):
        return "keras", _hdf5(path, stack)
    if start.startswith(b"PK"):
        return _zip(path, stack)
    if start.startswith(b"\x1f\x8b"):
        return "checkpoint", _checkpoint(_unpacked(path, stack))
    if start.startswith((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")):
        raise ValueError(f"weights: {path} {PICKLE}")
    if start[8:] == b"{":
        return "safetensors", _safetensors(path, stack)
    prefix = _existing_prefix(path)
    if prefix == str(path) and end != _END_OF_TABLE:
        raise ValueError(f"weights: {path} is no file of weights, or not a whole one; known are {KINDS}")
    return "checkpoint", _checkpoint(prefix)


def _both_ends(path):
    """The first 9 and the last 8 bytes of a file, which tell most kinds apart."""
    with open(path, "rb") as file:
        start = file.read(9)
        file.seek(max(0, path.stat().st_size - 8))
        return start, file.read(8)


def _zip(path, stack):
    """An .npz file, or Keras' zip archive. PyTorch's is one too, around a pickle."""
    archive = stack.enter_context(zipfile.ZipFile(path))
    names = archive.namelist()
    if "model.weights.h5" in names:
        return "keras", _hdf5(_unzipped(archive, "model.weights.h5", stack), stack)
    if any(name.endswith("data.pkl") for name in names):
        raise ValueError(f"weights: {path} {PICKLE}")
    members = {name.removesuffix(".npy"): name for name in names if name.endswith(".npy")}
    return "npz", {name: _npy(archive, member) for name, member in members.items()}


def _unzipped(archive, member, stack):
    """A file of a zip archive, in a temporary folder: HDF5 is read here and there, which a zip does not allow."""
    size = archive.getinfo(member).file_size
    if size > MOST_BYTES:
        raise ValueError(f"weights: {archive.filename} holds {member} of {size:,} bytes, more than {MOST_BYTES:,}")
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    with archive.open(member) as source, open(folder / "weights.h5", "wb") as target:
        shutil.copyfileobj(source, target)
    return folder / "weights.h5"


def _npy(archive, member):
    def read():
        with archive.open(member) as file:
            return np.lib.format.read_array(file, allow_pickle=False)

    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        return Stored(header(file)[0], read)


def _hdf5(file, stack):
    """The arrays of a Keras file as "layer/kernel", "layer/gamma", ..., whichever of Keras' formats it has."""
    import h5py

    content = stack.enter_context(h5py.File(file, "r"))
    whole = content.get("model_weights", content)  # a whole model in the legacy format
    layers = whole.get("layers", whole)
    arrays = {}
    for name, layer in layers.items():
        for key, dataset in _datasets(name, layer, h5py):
            arrays[key] = Stored(dataset.shape, lambda dataset=dataset: dataset[()])
    return arrays


_NUMBERED = {1: ["kernel"], 2: ["kernel", "bias"], 4: ["gamma", "beta", "moving_mean", "moving_variance"]}


def _datasets(name, layer, h5py) -> Iterator[tuple[str, Any]]:
    """("layer/what", dataset): the legacy format writes the names of variables, the newer ones number them from 0."""
    if "vars" in layer:
        variables = layer["vars"]
        layer_name = variables.attrs.get("name", name)  # that tf_keras does not write: "conv2d_3" then stays
        for what, (_, dataset) in zip(_NUMBERED.get(len(variables), []), sorted(variables.items()), strict=False):
            yield f"{layer_name}/{what}", dataset
        return
    found = []
    layer.visititems(lambda path, item: found.append((path, item)) if isinstance(item, h5py.Dataset) else None)
    for path, dataset in found:
        yield f"{name}/{path.rpartition('/')[2].removesuffix(':0')}", dataset


def _safetensors(path, stack):
    from safetensors import safe_open

    file = stack.enter_context(safe_open(path, framework="np"))

    def read(name, dtype):
        if dtype.startswith(("BF", "F8")):  # which NumPy does not have
            raise ValueError(f"weights: {path} holds {dtype} in {name!r}, not float16 to float64: write it as float32")
        return file.get_tensor(name)

    parts = {name: file.get_slice(name) for name in file.keys()}
    return {
        name: Stored(tuple(part.get_shape()), partial(read, name, part.get_dtype())) for name, part in parts.items()
    }


def _checkpoint(prefix):
    from .tf_slim_compat import tf

    reader = tf.train.load_checkpoint(str(prefix))
    shapes = reader.get_variable_to_shape_map()
    return {name: Stored(tuple(shape), lambda name=name: reader.get_tensor(name)) for name, shape in shapes.items()}


def _existing_prefix(path):
    """The prefix of a checkpoint from its name or that of one of its files; the old format has one file, without an ending."""
    name = str(path)
    for prefix in (name, name.removesuffix(".index"), name.partition(".data-0")[0]):
        if Path(f"{prefix}.index").exists():
            return prefix
    if not path.exists():
        raise FileNotFoundError(2, "no such file of weights", name)
    return name


def _in_folder(folder):
    """The latest checkpoint of a folder, or its only one. Raises ValueError where that is not clear."""
    from .tf_slim_compat import tf

    latest = tf.train.latest_checkpoint(str(folder))
    if latest:
        return latest
    prefixes = sorted(
        {str(file).removesuffix(".index") for ending in ("*.index", "*.ckpt") for file in folder.glob(ending)}
    )
    if len(prefixes) != 1:
        found = ", ".join(Path(prefix).name for prefix in prefixes) or "none"
        raise ValueError(
            f"weights: the folder {folder} must hold one checkpoint, or say which is the latest; found: {found}"
        )
    return prefixes[0]


def _unpacked(path, stack):
    """The checkpoint in a .tar.gz, unpacked into a temporary folder: its files alone, under their last names."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    with tarfile.open(path, "r:gz") as archive:
        left = MOST_BYTES
        for member in archive:
            name = Path(member.name).name
            if not member.isfile() or ".ckpt" not in name:
                continue
            left -= member.size
            if left < 0:
                raise ValueError(f"weights: {path} holds more than {MOST_BYTES:,} bytes of checkpoints")
            with archive.extractfile(member) as source, open(folder / name, "wb") as target:
                shutil.copyfileobj(source, target)
    if not any(folder.iterdir()):
        raise ValueError(f"weights: {path} holds no checkpoint: no file in it has .ckpt in its name")
    return _in_folder(folder)
