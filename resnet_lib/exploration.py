"""Your own residual network: what it is and what it costs, at once, from its description alone. No TensorFlow.

`explore` answers for any network of Blocks, `design` makes one from a few numbers, `explorer_panel` puts controls before the
two, and `explorer` shows that panel in JupyterLab. But for the DataFrame of an Exploration and for JupyterLab, the standard
library is all that this needs, so it runs in a browser as it is. Used in notebook 11.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from .accounting import Cost, by_unit, total, trace
from .architectures import Architecture, get_architecture
from .block_text import written_blocks
from .blocks import IMAGENET_ROOT, LAYOUTS, Block, Root, staged_blocks
from .checks import OWN, list_of, one_of, positive_int, whole_number
from .figures import Picture
from .layers import Layer
from .network_picture import WIDTH, picture
from .panels import Choice, Panel, Slider, in_words, jupyter
from .roofline import BYTES, DEVICES, Device, Prediction, predict
from .traffic import COUNTED_SHORTCUTS
from .units import COUNTED_KINDS, SHORTCUTS

if TYPE_CHECKING:
    import ipywidgets
    import pandas


def design(
    units: Sequence[int] = (3, 4, 6, 3),
    base_depth: int = 64,
    unit: str = "bottleneck_v2",
    layout: str = "v1.5",
    shortcut: str = "B",
    root: Root | None = IMAGENET_ROOT,
    image_size: int | tuple[int, int] = 224,
    num_classes: int | None = 1000,
    name: str | None = None,
) -> Architecture:
    """A network of blocks, each at half the resolution and with twice the depth of the one before: Architecture.

    units: of each block; a block of 0 units is left out, and halves nothing. base_depth: channels of a basic unit of the
    first block, a quarter of a bottleneck's. unit: one of `units.COUNTED_KINDS`; layout: one of `blocks.LAYOUTS`;
    shortcut: one of `units.SHORTCUTS`; root: a Root or None. name: None makes one from the rest.
    Raises ValueError or TypeError naming the argument at fault, also when no block has a unit.
    """
    one_of("unit", unit, COUNTED_KINDS)
    one_of("shortcut", shortcut, SHORTCUTS)
    _, stride_in = LAYOUTS[one_of("layout", layout, LAYOUTS)]
    base_depth = positive_int("base_depth", base_depth)
    units_of = [whole_number("units", n) for n in list_of("whole numbers", "units", units)]
    if not any(units_of):
        raise ValueError(f"units: one block at least needs a unit, got {tuple(units_of)}")
    units_of = [n for n in units_of if n]
    depths = [base_depth * 2**i for i in range(len(units_of))]
    blocks = staged_blocks(unit, units_of, depths, layout)
    if name is None:
        name = f"{unit}_{'_'.join(map(str, units_of))}"
    return Architecture(name, blocks, root, shortcut, stride_in, image_size, num_classes)


class Stage(NamedTuple):
    """The root, a block or the classifier: what it writes, how many units it has, and what it costs.

    size: (height, width); receptive_field: in pixels of the input; least_ms: of a batch on the device that was named, the
    bound of `roofline.predict`.
    """

    name: str
    size: tuple[int, int]
    depth: int
    units: int
    params: int
    macs: int
    activations: int
    receptive_field: int
    share_of_macs: float
    least_ms: float | None = None

    def texts(self) -> list[str]:
        """The fields as the table prints them."""
        shown = [self.name, _sides(self.size), str(self.depth), str(self.units)]
        counts = (self.params, self.macs, self.activations, self.receptive_field)
        least_ms = [] if self.least_ms is None else [f"{self.least_ms:.3g}"]
        return [*shown, *map(in_digits, counts), f"{self.share_of_macs:.1%}", *least_ms]


def in_digits(number: int) -> str:
    """A whole number as it is printed: all its digits, or, beyond fifteen, two. A receptive field doubles with each stride."""
    return f"{number:,}" if number < 10**15 else f"{Decimal(number):.1e}"


def _sides(size: tuple[int, int]) -> str:
    return "{}x{}".format(*size)


@lru_cache(maxsize=2)  # a page shows it and offers it as a file
def _picture(net: Architecture) -> tuple[str, str]:
    return picture(net, trace(net))


class Exploration(NamedTuple):
    """What `explore` found: rows holds one Stage for the root, each block and the classifier; prediction: what a forward pass
    must take on the device, if one was named. Shown in a notebook as text, picture and table, which stay readable without a
    kernel."""

    architecture: Architecture
    cost: Cost
    rows: list[Stage]
    prediction: Prediction | None = None

    def __repr__(self) -> str:
        return self.summary()

    @property
    def stages(self) -> pandas.DataFrame:
        """The rows as a pandas.DataFrame with the stages' names for its index."""
        import pandas

        rows = [row._replace(size=_sides(row.size)) for row in self.rows]
        table = pandas.DataFrame(rows, columns=_COLUMNS).set_index("stage")
        return table.drop(columns=[] if self.prediction else ["least_ms"])

    def code(self) -> str:
        """The Blocks as they are typed, units of one kind in a row counted."""
        return written_blocks(self.architecture.blocks)

    def summary(self) -> str:
        """Layers, parameters, MACs and memory in a sentence; of a device, what it needs there in another."""
        net = self.architecture
        params, macs, activations = self.cost
        costs = (
            f"{net.name}: {net.layers} layers, {params:,} parameters ({4 * params / 1e6:.1f} MB in float32), {macs:,} MACs "
            f"and {activations:,} numbers written by convolutions for an image"
        )
        return f"{costs}. {_on_device(self.prediction)}" if self.prediction else costs

    def _repr_html_(self) -> str:
        code = f"<pre>{html.escape(self.code())}</pre>"
        return f"<p>{html.escape(self.summary())}</p>{self.image()}{self.table()}{code}"

    def image(self) -> str:
        """The picture as an HTML text, with the same in words."""
        svg, alt = self.picture()
        return Picture(svg.encode(), alt, WIDTH).html()

    def picture(self) -> tuple[str, str]:
        """The network from left to right as (SVG text, the same in words), see `network_picture`."""
        return _picture(self.architecture)

    def table(self) -> str:
        """The rows as an HTML table."""
        columns = _COLUMNS[: len(self.rows[0].texts())]
        lines = ["".join(f'<th scope="col">{column}</th>' for column in columns)]
        for row in self.rows:
            name, *cells = (html.escape(text) for text in row.texts())
            lines.append(f'<th scope="row">{name}</th>' + "".join(f"<td>{cell}</td>" for cell in cells))
        head, *body = (f"<tr>{line}</tr>" for line in lines)
        return f"<table><thead>{head}</thead><tbody>{''.join(body)}</tbody></table>"


def _on_device(found: Prediction) -> str:
    """The prediction in a sentence."""
    return (
        f"On {found.device.name}, batch {found.batch_size}, {found.precision}: at least {1e3 * found.seconds:.3g} ms, so at "
        f"most {found.images_per_s:,.0f} images/s, and {found.memory / 1e6:,.0f} MB of memory without training"
    )


_COLUMNS = ["stage", *Stage._fields[1:]]


def explore(
    architecture: str | Architecture | Sequence[Block] = "resnet_v2_50",
    image_size: int | tuple[int, int] | str = OWN,
    num_classes: int | str | None = OWN,
    device: str | Device | None = None,
    batch_size: int = 32,
    precision: str = "float32",
    **changes: Any,
) -> Exploration:
    """What a network is and costs, stage by stage: Exploration. Arguments and errors as in `accounting.trace`.

    device: also what a forward pass of such a batch must take there, as `roofline.predict` says, with its errors.
    """
    net = get_architecture(architecture, image_size, num_classes, **changes)
    layers = trace(net)
    cost = total(layers)
    prediction = None if device is None else predict(net, device, batch_size, precision)
    rows = []
    for name, units, own in _stages(net, layers):
        counted = total(own)
        last = own[-1]
        written = (last.size_out, last.channels_out, units)
        least_ms = 1e3 * prediction.seconds_of(name) if prediction else None
        rows.append(Stage(name, *written, *counted, last.receptive_field, counted.macs / cost.macs, least_ms))
    return Exploration(net, cost, rows, prediction)


def _stages(net: Architecture, layers: Sequence[Layer]) -> list[tuple[str, int, list[Layer]]]:
    """(name, number of units, layers) of the root, of each block and of the classifier with the BN before it.

    What is not within a unit stands before all blocks or after them, whatever the blocks are called.
    """
    stages = []
    for number, run in groupby(by_unit(net, layers), lambda placed: None if placed[0] is None else placed[0].block):
        block = None if number is None else net.blocks[number]
        name = block.scope if block else "classifier" if stages else "root"
        stages.append((name, len(block.args) if block else 0, [layer for _, own in run for layer in own]))
    return stages


def explorer_panel(
    units: Sequence[int] = (3, 4, 6, 3),
    base_depth: int = 64,
    unit: str = "bottleneck_v2",
    layout: str = "v1.5",
    shortcut: str = "B",
    image_size: int = 224,
    device: str = "H200",
    batch_size: int = 32,
    precision: str = "float32",
) -> Panel:
    """Controls for the arguments of `design`, and the page that `explore` makes of them: Panel. Arguments: where the controls
    stand at first. Raises ValueError for an unknown unit, layout, shortcut, device or precision."""
    counts = tuple(Slider(f"units_{i}", f"units {i}", 0, max(48, n), n) for i, n in enumerate(units, 1))
    others = (
        Slider("base_depth", "base depth", 1, max(128, base_depth), base_depth),
        Slider("image_size", "image size", 1, max(512, image_size), image_size),
        Choice("unit", "unit", COUNTED_KINDS, one_of("unit", unit, COUNTED_KINDS)),
        Choice("layout", "layout", tuple(LAYOUTS), one_of("layout", layout, LAYOUTS)),
        Choice("shortcut", "shortcut", SHORTCUTS, one_of("shortcut", shortcut, SHORTCUTS)),
        Choice("device", "device", (*DEVICES,), one_of("device", device, DEVICES)),
        Choice("precision", "precision", (*BYTES,), one_of("precision", precision, BYTES)),
        Slider("batch_size", "batch size", 1, max(512, batch_size), batch_size),
    )

    def show(device: str, precision: str, batch_size: int, **values: int | str) -> str:
        chosen = [values.pop(control.name) for control in counts]
        net = design(chosen, **values)
        predicted = net.shortcut in COUNTED_SHORTCUTS  # of the others only the costs are known
        on_device = device if predicted else None
        return explore(net, device=on_device, batch_size=batch_size, precision=precision)._repr_html_()

    return Panel((*counts, *others), in_words(show))


def explorer(**start: Any) -> ipywidgets.VBox:
    """The panel of `design` and `explore` in JupyterLab. start: where the controls stand at first, as in `explorer_panel`.
    The same without a kernel: `explore(design(...))`."""
    return jupyter(explorer_panel(**start))
