"""Your own residual network: what it is and what it costs, at once, from its description alone. No TensorFlow.

`explore` answers for any network of Blocks, `design` makes one from a few numbers, and `explorer` puts sliders before the
two. Used in notebook 11.
"""

import base64
import html
from itertools import groupby
from typing import NamedTuple

import pandas as pd

from .accounting import Cost, cost, trace
from .architectures import (
    IMAGENET_ROOT,
    LAYOUTS,
    OWN,
    SHORTCUTS,
    UNIT_KINDS,
    Architecture,
    get_architecture,
    staged_blocks,
)
from .checks import one_of, positive_int
from .figures import COLORS


def design(units=(3, 4, 6, 3), base_depth=64, unit="bottleneck_v2", layout="v1.5", shortcut="B", root=IMAGENET_ROOT,
           image_size=224, num_classes=1000, name=None):  # fmt: skip
    """A network of blocks, each at half the resolution and with twice the depth of the one before: Architecture.

    units: of each block; a block of 0 units is left out, and halves nothing. base_depth: channels of a basic unit of the
    first block, a quarter of a bottleneck's. unit: one of `architectures.UNIT_KINDS`; layout, shortcut: of LAYOUTS and
    SHORTCUTS there; root: a Root or None. name: None makes one from the rest.
    Raises ValueError or TypeError naming the argument at fault, also when no block has a unit.
    """
    one_of("unit", unit, UNIT_KINDS), one_of("layout", layout, LAYOUTS), one_of("shortcut", shortcut, SHORTCUTS)
    base_depth = positive_int("base_depth", base_depth)
    units_of = [positive_int("units", n) for n in units if n != 0]
    if not units_of:
        raise ValueError(f"units: one block at least needs a unit, got {tuple(units)}")
    depths = [base_depth * 2**i for i in range(len(units_of))]
    blocks = staged_blocks(unit, units_of, depths, layout)
    name = name or f"{unit}_{'_'.join(map(str, units_of))}"
    return Architecture(name, blocks, root, shortcut, LAYOUTS[layout][1], image_size, num_classes)


class Exploration(NamedTuple):
    """What `explore` found. Shown in a notebook as text, table and picture, which stay readable without a kernel.

    stages: pandas.DataFrame, one row a stage (the root, each block, the classifier): size and depth of what it writes, units,
    params, macs, activations, receptive_field in pixels of the input, share_of_macs.
    """

    architecture: Architecture
    cost: Cost
    stages: pd.DataFrame

    def __repr__(self):
        return self.summary()

    def code(self):
        """The Blocks as they are typed, units of one kind in a row counted: text."""
        lines = []
        for block in self.architecture.blocks:
            runs = [(tuple(unit), len(list(run))) for unit, run in groupby(block.args)]
            runs = [f"[{unit}] * {times}" if times > 1 else f"[{unit}]" for unit, times in runs]
            kind = getattr(block.unit_fn, "kind", block.unit_fn)
            lines.append(f'    Block("{block.scope}", "{kind}", {" + ".join(runs)}),')
        return "\n".join(["[", *lines, "]"])

    def summary(self):
        """Layers, parameters, MACs and memory in a sentence."""
        net, (params, macs, activations) = self.architecture, self.cost
        return (
            f"{net.name}: {net.layers} layers, {params:,} parameters ({4 * params / 1e6:.1f} MB in float32), {macs:,} MACs "
            f"and {activations:,} numbers written by convolutions for an image"
        )

    def _repr_html_(self):
        table = self.stages.style.format({"share_of_macs": "{:.1%}", **dict.fromkeys(_COUNTS, "{:,}")}).to_html()
        svg, alt = picture(self)
        image = f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"
        picture_html = f'<img src="{image}" alt="{html.escape(alt)}" width="{_WIDTH}">'
        return f"<p>{html.escape(self.summary())}</p>{picture_html}{table}<pre>{html.escape(self.code())}</pre>"


_COUNTS = ["params", "macs", "activations", "receptive_field"]


def explore(architecture="resnet_v2_50", image_size=OWN, num_classes=OWN, layout=None, shortcut=None, channels_in=3):
    """What a network is and costs, stage by stage: Exploration. Arguments and errors as in `accounting.trace`."""
    net = get_architecture(architecture, layout, shortcut)
    options = {"image_size": image_size, "num_classes": num_classes, "channels_in": channels_in}
    scopes = [block.scope for block in net.blocks]
    rows, total = [], cost(net, **options)

    def stage(layer):
        """Root, a block's scope, or the classifier with the BN before it."""
        first = layer.name.split("/")[0]
        return first if first in scopes else "root" if first in ("images", "conv1", "pool1") else "classifier"

    for name, run in groupby(trace(net, **options), stage):
        layers = list(run)
        counted = [sum(layer.params for layer in layers), sum(layer.macs for layer in layers)]
        activations = sum(layer.outputs for layer in layers if layer.kind == "conv")
        units = len(net.blocks[scopes.index(name)].args) if name in scopes else 0
        last = layers[-1]
        size = "{}x{}".format(*last.size_out)
        seen = [last.channels_out, units, *counted, activations, last.receptive_field, counted[1] / max(total.macs, 1)]
        rows.append([name, size, *seen])
    columns = ["stage", "size", "depth", "units", *_COUNTS, "share_of_macs"]
    return Exploration(net, total, pd.DataFrame(rows, columns=columns).set_index("stage"))


_WIDTH, _HEIGHT = 760, 190


def picture(exploration):
    """The network from left to right as (SVG text, the same in words): one bar a unit, the taller the larger what it writes,
    the darker the more MACs its stage's units have."""
    stages = exploration.stages[exploration.stages["units"] > 0]
    per_unit = stages["macs"] / stages["units"]
    sides = stages["size"].str.split("x").map(lambda size: max(map(int, size)))
    step = min(36, (_WIDTH - 20 * len(stages)) / stages["units"].sum())
    x, parts, words = 0.0, [], []
    for name, row in stages.iterrows():
        height = 14 + 96 * sides[name] / max(sides.max(), 1)
        shade = 0.2 + 0.8 * per_unit[name] / max(per_unit.max(), 1)
        for i in range(row["units"]):
            parts.append(
                f'<rect x="{x + i * step:.1f}" y="{125 - height:.1f}" width="{max(step - 2, step * 0.7):.1f}" '
                f'height="{height:.1f}" fill="{COLORS["residual"]}" fill-opacity="{shade:.2f}"/>'
            )
        labels = [name, f"{row['units']} units", f"{row['size']}x{row['depth']}", f"{row['share_of_macs']:.0%} of MACs"]
        for i, label in enumerate(labels):
            parts.append(f'<text x="{x:.1f}" y="{141 + 14 * i}">{html.escape(label)}</text>')
        words.append(", ".join(labels))
        x += max(row["units"] * step, 100) + 14
    width = max(x, _WIDTH)
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {_HEIGHT}" font-family="sans-serif" '
        f'font-size="11.5">{"".join(parts)}</svg>'
    )
    return svg, f"{exploration.architecture.name}, a bar for each unit: {'; '.join(words)}"


def explorer(**start):
    """Sliders before `design` and `explore`, for JupyterLab: an ipywidgets.VBox whose last child shows the Exploration.

    start: arguments of `design` to begin with, of units, base_depth, unit, layout, shortcut, image_size. The same without
    a kernel: `explore(design(...))`.
    """
    import ipywidgets as widgets

    start = {"units": (3, 4, 6, 3), "base_depth": 64, "unit": "bottleneck_v2", "layout": "v1.5", "shortcut": "B",
             "image_size": 224, **start}  # fmt: skip
    sliders = [widgets.IntSlider(n, 0, 48, description=f"units {i}") for i, n in enumerate(start["units"], 1)]
    controls = {
        "base_depth": widgets.IntSlider(start["base_depth"], 1, 128, description="base depth"),
        "image_size": widgets.IntSlider(start["image_size"], 1, 512, description="image size"),
        "unit": widgets.Dropdown(options=list(UNIT_KINDS), value=start["unit"], description="unit"),
        "layout": widgets.Dropdown(options=list(LAYOUTS), value=start["layout"], description="layout"),
        "shortcut": widgets.Dropdown(options=list(SHORTCUTS), value=start["shortcut"], description="shortcut"),
    }
    page = widgets.HTML()
    page.add_class("jp-RenderedHTMLCommon")  # the look of JupyterLab's own tables

    def show(_=None):
        values = {name: control.value for name, control in controls.items()}
        try:
            page.value = explore(design(tuple(slider.value for slider in sliders), **values))._repr_html_()
        except ValueError as error:
            page.value = f"<p><b>{html.escape(str(error))}</b></p>"

    for control in (*sliders, *controls.values()):
        control.observe(show, "value")
    show()
    return widgets.VBox([widgets.HBox([widgets.VBox(sliders), widgets.VBox(list(controls.values()))]), page])
