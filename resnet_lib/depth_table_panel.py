"""The depth table of He et al. 2015, to be edited: a panel of one column, with its name, its price and the paper's digits.

The standard library is all that this needs, so it runs in a browser as it is. `depth_table_panel` is the panel, and
`panels.jupyter(depth_table_panel())` shows it in JupyterLab. Used in notebook 04.
"""

from __future__ import annotations

from collections.abc import Sequence

from .architectures import ARCHITECTURES, Architecture
from .blocks import LAYOUTS
from .checks import one_of
from .count_conventions import how_it_fits
from .exploration import Exploration, design, explore
from .panels import Choice, Panel, Slider, table
from .units import printed_layers

UNITS = ("basic_v1", "bottleneck_v1", "basic_v2", "bottleneck_v2")
SHORTCUTS = ("A", "B", "C")

# The last row of Table 1 of He et al. 2015, billions of multiply-adds: (kind of unit, units) -> as it is printed
PRINTED = {
    ("basic", (2, 2, 2, 2)): "1.8",
    ("basic", (3, 4, 6, 3)): "3.6",
    ("bottleneck", (3, 4, 6, 3)): "3.8",
    ("bottleneck", (3, 4, 23, 3)): "7.6",
    ("bottleneck", (3, 8, 36, 3)): "11.3",
}


def depth_table_page(
    units: Sequence[int] = (3, 4, 6, 3),
    unit: str = "bottleneck_v1",
    layout: str = "paper",
    shortcut: str = "B",
    image_size: int = 224,
) -> str:
    """The page of the panel, an HTML text: the column of a network in the depth table, what it is called and costs, and
    whether the digits that Table 1 prints for it fit. Arguments and errors are those of `exploration.design`."""
    net = design(units, unit=unit, layout=layout, shortcut=shortcut, image_size=image_size)
    found = explore(net)
    seen = found.rows[-2].receptive_field
    total = (
        f"<b>{net.layers} layers</b>, {_called(net)}: {found.cost.params:,} parameters, {found.cost.macs:,} MACs; "
        f"a number at the end of the last block sees {seen} x {seen} pixels"
    )
    return f"<p>{total}.{_beside_the_paper(net, found)}</p>{_table(found)}"


def _called(net: Architecture) -> str:
    """The named residual network of these units, whatever its strides and shortcuts."""
    kind = net.blocks[0].unit_fn
    for name, other in ARCHITECTURES.items():
        if other.shortcut != "none" and other.blocks[0].unit_fn == kind and _units(other) == _units(net):
            return f"the units of {name}"
    return "a network without a name"


def _units(net: Architecture) -> list[tuple[int, ...]]:
    """The units of every block, without their strides."""
    return [unit[:-1] for block in net.blocks for unit in block.args]


def _beside_the_paper(net: Architecture, found: Exploration) -> str:
    shape = net.blocks[0].unit_fn.rpartition("_")[0]
    printed = PRINTED.get((shape, net.units))
    if printed is None or found.architecture.image_size != 224:
        return ""
    said = f" Table 1 prints {printed} billion:"
    fits = how_it_fits(printed, found.cost.macs)
    if fits:
        return f"{said} that is {found.cost.macs / 1e9:.3f}, {fits}."
    return f"{said} <b>that is not {found.cost.macs / 1e9:.3f}</b>; another layout or shortcut fits."


def _table(found: Exploration) -> str:
    """A row for the root, each block and the classifier."""
    blocks = {block.scope: block for block in found.architecture.blocks}
    rows = []
    for row in found.rows:
        block = blocks.get(row.name)
        what = "\n".join([*printed_layers(block.args[0]), f"x {len(block.args)}"]) if block else ""
        size = f"{row.size[0]}x{row.size[1]}, {row.depth} channels"
        rows.append((row.name, what, size, f"{row.params:,}", f"{row.macs:,}"))
    return table(("stage", "units", "hands on", "parameters", "MACs"), rows)


def depth_table_panel(
    units: Sequence[int] = (3, 4, 6, 3), unit: str = "bottleneck_v1", layout: str = "paper", shortcut: str = "B"
) -> Panel:
    """Controls for the arguments of `depth_table_page`, and the page: Panel. Arguments: where the controls stand at first.
    Raises ValueError for an unknown unit, layout or shortcut."""
    counts = tuple(Slider(f"units_{i}", f"units {i}", 1, max(48, n), n) for i, n in enumerate(units, 1))
    others = (
        Choice("unit", "unit", UNITS, one_of("unit", unit, UNITS)),
        Choice("layout", "layout", tuple(LAYOUTS), one_of("layout", layout, LAYOUTS)),
        Choice("shortcut", "shortcut", SHORTCUTS, one_of("shortcut", shortcut, SHORTCUTS)),
        Slider("image_size", "image size", 32, 512, 224),
    )

    def show(**values: int | str) -> str:
        chosen = [values.pop(control.name) for control in counts]
        return depth_table_page(chosen, **values)

    return Panel((*counts, *others), show)
