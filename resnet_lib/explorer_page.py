"""A network as a text of Blocks, explored: a panel that reads the text, counts it, and sets it beside a design that was pinned.

The standard library is all that this needs, so it runs in a browser as it is: it is the page Explorer of the web book.
`text_panel` is the panel, and `panels.jupyter(text_panel())` shows it in JupyterLab.
"""

from __future__ import annotations

import base64
import html
import json
from functools import cache, lru_cache, partial
from typing import Any, NamedTuple

from .accounting import cost, trace
from .architectures import ARCHITECTURES, Architecture
from .block_text import read_blocks, written_blocks
from .blocks import CIFAR_ROOT, IMAGENET_ROOT, LAYOUTS
from .checks import one_of
from .descriptions import described
from .exploration import Exploration, explore, in_digits
from .panels import Choice, Panel, Pin, Preset, Slider, Step, Text, in_words, table
from .roofline import BYTES, DEVICES
from .traffic import COUNTED_SHORTCUTS
from .training_cost import training_memory
from .units import SHORTCUTS, STRIDE_IN
from .widths import with_cost

ROOTS = {"ImageNet": IMAGENET_ROOT, "CIFAR": CIFAR_ROOT, "none": None}
AS_TYPED = "as typed"
_DESIGN = ("blocks", "root", "shortcut", "stride_in", "layout", "image_size", "num_classes")


class Figure(NamedTuple):
    """One number of a network: what it is, the number or None where there is none, and how it is printed."""

    name: str
    value: float | None
    form: str = ",.0f"

    def text(self) -> str:
        if self.value is None:
            return "not known"
        return format(self.value, self.form) if isinstance(self.value, float) else in_digits(self.value)


def design_of(
    blocks: str, root: str, shortcut: str, stride_in: str, layout: str, image_size: int, num_classes: int
) -> Architecture:
    """The network that the controls describe: Architecture. Raises ValueError or TypeError naming what is wrong."""
    first = ROOTS[one_of("root", root, ROOTS)]
    net = Architecture("design", read_blocks(blocks), first, shortcut, stride_in, image_size, num_classes)
    return net.variant(layout=None if layout == AS_TYPED else layout)


def explorer_page(
    device: str = "H200", precision: str = "float32", batch_size: int = 32, pinned: str = "", **design: Any
) -> str:
    """The page, an HTML text: a design in a sentence, in numbers, as a picture, block by block and layer by layer, and as files
    to save. Beside its numbers stand those of the design that was pinned, if any, and the difference.

    design: the arguments of `design_of`; pinned: these and the first three, as JSON. Raises ValueError or TypeError naming the
    argument at fault.
    """
    found, figures = _explored(device, precision, batch_size, **design)
    other = _explored(**_pinned(pinned)) if pinned else None
    settings = f"{device}, {precision}, batch {batch_size}"
    heads = ["this design", f"pinned{_other_settings(pinned, settings)}", "difference"] if other else ["this design"]
    page = [
        f"<p>{html.escape(found.summary())}.{_why_no_time(found, device, precision)}</p>"
        f"{_figures(figures, other and other[1], heads)}{found.image()}"
    ]
    if other:
        page.append(f"<p>Pinned:</p>{other[0].image()}")
    return "".join(
        [*page, found.table(), _layers(found.architecture), _code(found.architecture), _files(found, figures)]
    )


@lru_cache(maxsize=4)  # the pinned design stays while the other changes
def _explored(
    device: str = "H200", precision: str = "float32", batch_size: int = 32, **design: Any
) -> tuple[Exploration, list[Figure]]:
    net = design_of(**design)
    on_device = DEVICES[one_of("device", device, DEVICES)]
    predicted = net.shortcut in COUNTED_SHORTCUTS and precision in on_device.tflops
    found = explore(net, device=on_device if predicted else None, batch_size=batch_size, precision=precision)
    last_block = [row for row in found.rows if row.units][-1]
    prediction = found.prediction
    memory = _training_memory(net, batch_size)
    return found, [
        Figure("layers", net.layers),
        Figure("units", sum(net.units)),
        *(Figure(name, value) for name, value in zip(("parameters", "MACs", "activations"), found.cost, strict=True)),
        Figure("receptive field (pixels)", last_block.receptive_field),
        Figure("memory of a training step (MB)", memory and memory / 1e6),
        Figure("least time of a batch (ms)", prediction and prediction.seconds * 1e3, ",.3f"),
        Figure("most images/s", prediction and prediction.images_per_s),
    ]


def _training_memory(net: Architecture, batch_size: int) -> int | None:
    """Bytes, or None where what training keeps has no closed form."""
    try:
        return training_memory(net, batch_size).total
    except ValueError:
        return None


def _pinned(text: str) -> dict[str, Any]:
    """The values that were pinned. Raises ValueError where the text holds anything else."""
    try:
        values = json.loads(text)
    except (RecursionError, ValueError):
        values = None
    names = {*presets()["resnet_v1_50"], "device", "precision", "batch_size"}
    known = isinstance(values, dict) and values.keys() == names
    if not known or not all(isinstance(value, int | str) for value in values.values()):
        raise ValueError("pinned: this is no design that was pinned here; pin one again")
    return values


def _other_settings(pinned: str, settings: str) -> str:
    """What a design was pinned with, where that is not what the controls say now."""
    values = _pinned(pinned)
    own = f"{values['device']}, {values['precision']}, batch {values['batch_size']}"
    return "" if own == settings else f": {own}"


def _why_no_time(found: Exploration, device: str, precision: str) -> str:
    if found.prediction:
        return ""
    net = found.architecture
    if net.shortcut not in COUNTED_SHORTCUTS:
        return f" What a shortcut of {net.shortcut} moves is not counted here, so no time is known."
    return f" The data sheet of the {device} has no {precision}, so no time is known."


def _figures(figures: list[Figure], other: list[Figure] | None, names: list[str]) -> str:
    """The numbers as a table, with those of the pinned design and the differences where there is one."""
    rows = [[figure.name, figure.text()] for figure in figures]
    if other:
        for row, figure, its in zip(rows, figures, other, strict=True):
            row += [its.text(), _difference(figure, its)]
    return table(["", *names], rows, look="figures")


def _difference(figure: Figure, other: Figure) -> str:
    if figure.value is None or other.value is None:
        return ""
    change = figure.value - other.value
    return f"{format(change, f'+{figure.form}')} ({change / other.value:+.1%})" if change else "none"


def _code(net: Architecture) -> str:
    """The design as Python to be copied."""
    root = "None" if net.root is None else repr(net.root)
    text = (
        "from resnet_lib import Architecture, Block, Root, explore\n\n"
        f"blocks = {written_blocks(net.blocks)}\n"
        f'design = Architecture("design", blocks, {root}, {net.shortcut!r}, {net.stride_in!r}, {net.image_size}, '
        f"{net.num_classes})\n"
        "explore(design)"
    )
    return f"<details><summary>This design in Python</summary><pre>{html.escape(text)}</pre></details>"


def _layers(net: Architecture) -> str:
    """The layers that cost anything, a row each."""
    heads = ("layer", "", "out", "parameters", "MACs", "receptive field")
    rows = []
    for layer in trace(net):
        if layer.params or layer.macs:
            size = "{}x{}x{}".format(*layer.size_out, layer.channels_out)
            costs = (f"{layer.params:,}", f"{layer.macs:,}")
            rows.append((layer.name, layer.label, size, *costs, in_digits(layer.receptive_field)))
    return f"<details><summary>Layer by layer</summary>{table(heads, rows, look=None)}</details>"


def _files(found: Exploration, figures: list[Figure]) -> str:
    """The design and its numbers, and its picture, as files to save."""
    numbers = {figure.name: _rounded(figure.value) for figure in figures}
    design = {"design": described(found.architecture), "numbers": numbers}
    files = {
        "design.json": ("application/json", json.dumps(design, indent=1)),
        "design.svg": ("image/svg+xml", found.picture()[0]),
    }
    links = [
        f'<a download="{name}" href="data:{kind};base64,{base64.b64encode(text.encode()).decode()}">{name}</a>'
        for name, (kind, text) in files.items()
    ]
    return f'<p class="live-files">Save {" ".join(links)}</p>'


def _rounded(value: float | None) -> float | None:
    """To ten digits, which are the same on every machine."""
    return float(f"{value:.10g}") if isinstance(value, float) else value


def matched(quantity: str, pinned: str, **values: Any) -> dict[str, str]:
    """The Blocks of a design, made wider or narrower until it has as many MACs or parameters as the design that was pinned.
    quantity: as of `widths.with_cost`; other arguments and errors as of `explorer_page`, and ValueError where no width has so
    many."""
    other = {name: value for name, value in _pinned(pinned).items() if name in _DESIGN}
    net = design_of(**{name: value for name, value in values.items() if name in _DESIGN})
    found = with_cost(net, quantity, getattr(cost(design_of(**other)), quantity))
    return {"blocks": written_blocks(found.blocks), "layout": AS_TYPED}


@cache
def presets() -> dict[str, dict[str, int | str]]:
    """Name of a network -> the values of the controls that describe it."""
    names = {root: name for name, root in ROOTS.items()}
    return {
        name: {
            "blocks": written_blocks(net.blocks),
            "root": names[net.root],
            "shortcut": net.shortcut,
            "stride_in": net.stride_in,
            "layout": AS_TYPED,
            "image_size": net.image_size,
            "num_classes": net.num_classes,
        }
        for name, net in ARCHITECTURES.items()
    }


def text_panel(network: str = "resnet_v1_50", device: str = "H200") -> Panel:
    """Controls for the arguments of `explorer_page`, and the page: Panel. network: the one that they describe at first.
    Raises ValueError for an unknown network or device."""
    start = presets()[one_of("network", network, presets())]
    controls = (
        Preset("network", "network", presets()),
        Text("blocks", "Blocks", start["blocks"]),
        Choice("root", "root", (*ROOTS,), start["root"]),
        Choice("shortcut", "shortcut", SHORTCUTS, start["shortcut"]),
        Choice("stride_in", "stride in", STRIDE_IN, start["stride_in"]),
        Choice("layout", "layout", (AS_TYPED, *LAYOUTS), start["layout"]),
        Slider("image_size", "image size", 1, 512, start["image_size"]),
        Slider("num_classes", "classes", 1, 1000, start["num_classes"]),
        Choice("device", "device", (*DEVICES,), one_of("device", device, DEVICES)),
        Choice("precision", "precision", (*BYTES,), "float32"),
        Slider("batch_size", "batch size", 1, 512, 32),
        Pin("pinned", "pin this design"),
        Step("match_macs", "match the pinned MACs", "pinned"),
        Step("match_params", "match the pinned parameters", "pinned"),
    )

    steps = {"match_macs": partial(matched, "macs"), "match_params": partial(matched, "params")}
    return Panel(controls, in_words(explorer_page), steps)
