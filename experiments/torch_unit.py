"""The PyTorch that notebook 07 prints, beside the library: the same weights give the same outputs (`make bench`).

    python -m experiments.torch_unit

Needs the extra `bench`. The text of the unit is read out of the notebook, so what a reader copies is what is checked: a
unit that projects, one that hands x on and one that subsamples it, each with the weights and statistics of the library's
unit; Conv2d(padding=k // 2) against `conv2d_same` for odd kernels; and the names that the notebook gives to the weights. A line
for each says the largest difference over the largest output; raises AssertionError where one is not rounding.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

with suppress(ImportError):
    import torch  # before TensorFlow: the other way round the process crashes

from resnet_lib import Architecture, Block, build
from resnet_lib.resnet_utils import conv2d_same
from resnet_lib.tf_slim_compat import slim, tf

NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks" / "07_resnet_v2_piece_by_piece.ipynb"
KIND = "bottleneck_v2"
CASES = [(16, (32, 4, 2)), (16, (32, 4, 1)), (16, (16, 4, 1)), (16, (16, 4, 2))]  # channels in, unit
SIZES = (7, 8)
TOLERANCE = 1e-5

_NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
_CONV = {"weight": "weights", "bias": "biases"}


def printed_unit() -> str:
    """The one block of Python in the notebook's text that defines a module."""
    blocks = [block for text in _texts() for block in re.findall(r"^```python\n(.*?)^```", text, flags=re.M | re.S)]
    (unit,) = [block for block in blocks if "nn.Module" in block]
    return unit


def _texts() -> list[str]:
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]


def printed_names() -> dict[str, str]:
    """Layer of PyTorch -> scope of tf-slim, from the notebook's table of names."""
    (table,) = [text for text in _texts() if "| tf-slim | PyTorch, above |" in text]
    rows = re.findall(r"^\| `([\w/]+)` \| `([\w.]+)` \|", table, flags=re.M)
    return {theirs: ours for ours, theirs in rows}


def torch_state(values: dict[str, np.ndarray], names: dict[str, str]) -> dict[str, np.ndarray]:
    """tf-slim's variables of a unit, by their names in its scope, as PyTorch's module has them: kernels turned from [height,
    width, in, out] to [out, in, height, width]."""
    state = {}
    for theirs, ours in names.items():
        for leaf, name in (_NORM if f"{ours}/gamma" in values else _CONV).items():
            value = values.get(f"{ours}/{name}")
            if value is not None:
                state[f"{theirs}.{leaf}"] = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value
    return state


def library_unit(channels_in: int, unit: tuple[int, int, int], size: int) -> tuple[Any, dict[str, np.ndarray]]:
    """A network of one unit whose batch norms have something to say, and its variables by their names in the unit's scope."""
    net = Architecture("net", (Block("block1", KIND, (unit,)),), None)
    network = build(net, size, num_classes=None, channels_in=channels_in, global_pool=False)
    random = np.random.default_rng(0)
    for variable in network.variables:
        if len(variable.shape) == 1:
            variable.assign(random.uniform(0.5, 1.5, variable.shape).astype(np.float32))
    scope = f"unit_1/{KIND}/"
    inside = {v.name.split(scope)[1].split(":")[0]: v.numpy() for v in network.variables if scope in v.name}
    return network, inside


def unit_difference(make: Any, channels_in: int, unit: tuple[int, int, int], size: int) -> float:
    """The largest difference of the printed unit's outputs from the library's, over the largest output."""
    network, values = library_unit(channels_in, unit, size)
    images = np.random.default_rng(1).normal(size=(2, size, size, channels_in)).astype(np.float32)
    expected = network.end_points(images)[f"block1/unit_1/{KIND}"].numpy()
    module = make(channels_in, *unit).eval()
    state = torch_state(values, printed_names())
    missing = {name for name in module.state_dict() if "num_batches" not in name} ^ state.keys()
    assert not missing, f"names that one of the two does not have: {sorted(missing)}"
    tensors = {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in state.items()}
    module.load_state_dict(tensors, strict=False)
    with torch.no_grad():
        found = module(torch.from_numpy(images.transpose(0, 3, 1, 2))).numpy().transpose(0, 2, 3, 1)
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def padding_agrees(kernel: int, stride: int, size: int) -> bool:
    """Whether Conv2d(padding=kernel // 2) computes what `conv2d_same` does, up to rounding."""
    random = np.random.default_rng(2)
    image, weights = (random.normal(size=(n, n)).astype(np.float32) for n in (size, kernel))
    with slim.arg_scope([slim.conv2d], weights_initializer=tf.constant_initializer(weights), activation_fn=None):
        ours = conv2d_same(image[None, :, :, None], 1, kernel, stride)[0, :, :, 0].numpy()
    layer = torch.nn.Conv2d(1, 1, kernel, stride, padding=kernel // 2, bias=False)
    layer.weight.data = torch.from_numpy(weights)[None, None]
    with torch.no_grad():
        theirs = layer(torch.from_numpy(image)[None, None])[0, 0].numpy()
    return ours.shape == theirs.shape and bool(np.allclose(ours, theirs, atol=1e-4))


def main() -> None:
    namespace: dict[str, Any] = {}
    exec(compile(printed_unit(), NOTEBOOK.name, "exec"), namespace)
    for channels_in, unit in CASES:
        for size in SIZES:
            found = unit_difference(namespace["Bottleneck"], channels_in, unit, size)
            print(f"PyTorch's unit {unit} on {channels_in} channels, {size}x{size}: {found:.1e}", flush=True)
            assert found < TOLERANCE, "the unit that notebook 07 prints is not the library's"
    grid = [(kernel, stride, size) for kernel in range(1, 8) for stride in (2, 3) for size in range(6, 10)]
    agreeing = {kernel for kernel, *where in grid if padding_agrees(kernel, *where)}
    print(f"padding=k//2 is conv2d_same for the kernels {sorted(agreeing)}")
    assert all(padding_agrees(*where) == (where[0] % 2 == 1) for where in grid), (
        "padding=k//2 is not what notebook 07 says"
    )
    fresh = torch.nn.Conv2d(64, 64, 3).weight
    print(f"a fresh Conv2d has {fresh.var().item() * 576:.2f} / fan_in as the variance of its weights")
    assert abs(fresh.var().item() * 576 - 1 / 3) < 0.02


if __name__ == "__main__":
    main()
