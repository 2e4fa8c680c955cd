"""What does this printed number count? A panel for `count_conventions.which_count`.

The standard library is all that this needs, so it runs in a browser as it is. `count_panel` is the panel, and
`panels.jupyter(count_panel())` shows it in JupyterLab. Used in notebook 05.
"""

from __future__ import annotations

import html

from .architectures import ARCHITECTURES
from .checks import one_of
from .count_conventions import Reading, which_count
from .panels import Choice, Panel, Slider, Text, in_words, table


def count_page(printed: str, network: str = "resnet_v1_50", image_size: int = 224, batch_size: int = 1) -> str:
    """The page of the panel, an HTML text: what the number most likely counts, in a sentence, and all readings as a table.
    Arguments and errors are those of `which_count`."""
    readings = which_count(printed, network, image_size, batch_size=batch_size)
    best, *others = readings
    what = f"{best.convention} of the layout {best.layout}, shortcut {best.shortcut}"
    if best.fits:
        again = (
            f"; {len(others)} other readings give these digits as well"
            if others
            else "; nothing else gives these digits"
        )
        said = f"<b>{html.escape(what)}</b>: {best.operations:,.0f}, {best.fits}{again}"
    else:
        said = f"no convention here gives these digits; the nearest is {html.escape(what)}, off by {best.off:+.2%}"
    return f"<p>{html.escape(printed.strip())} for {network}: {said}.</p>{_table(readings)}"


def _table(readings: list[Reading]) -> str:
    rows = []
    for reading in readings:
        how = reading.fits or f"{reading.off:+.2%}"
        exactly = f"{reading.operations:,.0f}"
        rows.append((reading.convention, reading.layout, reading.shortcut, exactly, how, reading.tools))
    return table(("counts", "layout", "shortcut", "exactly", "", "printed so by"), rows)


def count_panel(printed: str = "4.11 GFLOPs", network: str = "resnet_v1_50") -> Panel:
    """Controls for the arguments of `count_page`, and the page: Panel. Arguments: where the controls stand at first. Raises
    ValueError for a network that is not made of Blocks."""
    controls = (
        Text("printed", "printed", printed, rows=1),
        Choice("network", "network", (*ARCHITECTURES,), one_of("network", network, ARCHITECTURES)),
        Slider("image_size", "image size", 1, 512, 224),
        Slider("batch_size", "images", 1, 256, 1),
    )

    return Panel(controls, in_words(count_page))
