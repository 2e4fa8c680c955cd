"""Figures shared by the notebooks: one colour for one thing, a text for those who cannot see it, and residual units drawn
from their description. Changes no setting."""

import base64
import html
import io

from .accounting import Layer, unit_layers
from .architectures import SHORTCUTS, UNIT_KINDS, as_unit, unit_kind, unit_ordering
from .checks import height_and_width, one_of, positive_int

# Okabe and Ito's palette, which colour-blind readers can tell apart.
COLORS = {
    "plain": "#7f7f7f",
    "highway": "#e69f00",
    "residual": "#0072b2",
    "shortcut": "#009e73",
    "published": "#cc79a7",
    "accent": "#d55e00",
}


class Picture:
    """A finished figure as Jupyter shows it: a PNG at twice the size, with its alternative text and a caption."""

    def __init__(self, png, alt, width, caption=None):
        self.png, self.alt, self.width, self.caption = png, alt, width, caption

    def _repr_html_(self):
        data = base64.b64encode(self.png).decode()
        caption = f"<figcaption>{html.escape(self.caption)}</figcaption>" if self.caption else ""
        image = f'<img src="data:image/png;base64,{data}" alt="{html.escape(self.alt)}" width="{self.width}">'
        return f"<figure>{image}{caption}</figure>"

    def __repr__(self):
        return self.alt


def show(figure, alt, caption=None):
    """The last line of a cell that draws: the matplotlib figure as a Picture with its alternative text.

    Raises ValueError for an empty alt text: who cannot see the figure should still get its claim.
    """
    if not alt.strip():
        raise ValueError("alt must say what the figure shows, got an empty text")
    import matplotlib.pyplot as plt

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=200, bbox_inches="tight", facecolor="white")
    plt.close(figure)
    png = buffer.getvalue()
    width = int.from_bytes(png[16:20], "big") // 2  # the width in the PNG's header, in pixels
    return Picture(png, alt, width, caption)


def draw_unit(kind, unit, channels_in, size, shortcut="B", stride_in="3x3", ax=None):
    """Draws one residual unit from top to bottom: (axes, text), text being the same in words, for `show(figure, alt=text)`.

    kind: "basic_v1", "bottleneck_v2", ... or the function of that name; unit: its tuple, as in a Block; channels_in, size:
    of what comes in, size one number or (height, width); shortcut, stride_in: as in `Architecture`; ax: matplotlib axes
    of about 2.5 x 4 inches, None makes a figure. Units side by side line up when their axes share y.
    Layers, sizes and channels are those of `accounting.unit_layers`. An arrow carries height x width x channels where
    they change; "/2" is a stride of 2. Raises ValueError or TypeError naming the argument at fault. See notebook 03.
    """
    x, layers, around = _drawn_layers(kind, unit, channels_in, size, shortcut, stride_in)
    if ax is None:
        import matplotlib.pyplot as plt

        ax = plt.figure(figsize=(2.6, 0.38 * (len(layers) + 2)), layout="constrained").subplots()
    color, left, right = COLORS["plain" if shortcut == "none" else "residual"], -2.0, 2.0
    end = _draw_column(ax, 0, 0.5, -1, x, layers, color, both_ends=True)
    _arrow(ax, (0, end), (0, end - 0.6), color)
    text = f"{_shape(x)} in, {_words(layers)}, {_shape(layers[-1])} out"
    if shortcut != "none":
        # A projection sees what the BN and ReLU before the first convolution return; any other shortcut begins at x itself.
        projected = around and around[0].name.endswith("/shortcut") and around[0].kind == "conv"
        before = len(unit_ordering(unit_kind(kind)).first.split()) if projected else 0
        start = -before - 0.5 if before else -0.4
        _draw_shortcut(ax, start, -1 - [layer.kind for layer in layers].index("add"), x, around)
        text, left, right = f"{text}; on the shortcut {_words(around) or 'the identity'}", -0.95, 3.05
    ax.update_datalim([(left, 0.5), (right, end - 0.6)])
    ax.margins(0)
    ax.autoscale_view()
    ax.axis("off")
    return ax, text


def _drawn_layers(kind, unit, channels_in, size, shortcut, stride_in):
    """(the Layer that comes in, the Layers from there to the end with their ReLUs, the Layers on the shortcut)."""
    kind, channels_in = unit_kind(kind), positive_int("channels_in", channels_in)
    x = Layer("x", "input", 1, 1, 1, height_and_width(size), channels_in, 0, 0, 1, 1, (0, 0))
    shortcut, stride_in = one_of("shortcut", shortcut, SHORTCUTS), one_of("stride_in", stride_in, ("1x1", "3x3"))
    layers = unit_layers(x, kind, as_unit(unit, UNIT_KINDS[kind]), kind, shortcut, stride_in)
    around = [layer for layer in layers if layer.name.startswith((f"{kind}/shortcut", f"{kind}/gate"))]
    path, ordering = [layer for layer in layers if layer not in around], unit_ordering(kind)
    last_norm = [layer for layer in path if layer.kind == "batch_norm"][-1] if "ReLU" in ordering.last else None
    activated = [x._replace(kind="relu")] if ordering.first == "ReLU" else []
    for layer, following in zip(path, [*path[1:], None], strict=True):
        activated.append(layer)
        if layer is last_norm or (following and (layer.kind, following.kind) == ("batch_norm", "conv")):
            activated.append(layer._replace(kind="relu"))
    activated += [path[-1]._replace(kind="relu")] if "ReLU" in ordering.after else []
    return x, activated, around


def _label(layer):
    stride = f" /{layer.stride}" if layer.stride > 1 else ""
    convolution = f"{layer.kernel}x{layer.kernel} conv {layer.channels_out}{stride}"
    if layer.kind == "multiply":
        factor = layer.name.rsplit("/", 1)[1]
        return factor if factor == "dropout" else f"times {factor}"
    names = {"batch_norm": "BN", "relu": "ReLU", "add": "+", "max_pool": f"subsample{stride}"}
    convolution = f"g: {convolution}" if layer.name.endswith("/gate") else convolution
    return {"conv": convolution, "zero_pad": f"zeros to {layer.channels_out}", **names}[layer.kind]


def _words(layers):
    return ", ".join(_label(layer).replace("+", "sum") for layer in layers)


def _shape(layer):
    return "x".join(map(str, (*layer.size_out, layer.channels_out)))


def _arrow(ax, start, end, color, gap=0):
    """From start to end, in data coordinates, stopping `gap` points before the end."""
    arrow = {"arrowstyle": "-|>", "color": color, "shrinkA": 0, "shrinkB": gap, "mutation_scale": 9, "lw": 1.2}
    ax.annotate("", end, start, arrowprops=arrow)


def _draw_column(ax, center, start, first_row, before, layers, color, both_ends=False):
    """Boxes (convolutions tinted, a sum round) one below the other and an arrow into each, which carries the shape where
    it changes; with `both_ends`, the first arrow and what follows carry it anyway. Returns where the last box ends."""
    from matplotlib.patches import Rectangle

    for i, layer in enumerate(layers):
        y = first_row - i
        _arrow(ax, (center, start), (center, y + 0.27), color)
        if i == 0 and both_ends:
            ax.text(center + 0.07, 0.05, _shape(before), va="center", fontsize=7.5)
        if layer.kind == "add":
            ax.plot(center, y, "o", ms=14, mfc="white", mec=color)
        else:
            ax.add_patch(Rectangle((center - 0.9, y - 0.27), 1.8, 0.54, fc="white", ec=color))
            ax.add_patch(Rectangle((center - 0.9, y - 0.27), 1.8, 0.54, fc=color, alpha=0.25 * (layer.kind == "conv")))
        ax.text(center, y, _label(layer), ha="center", va="center_baseline", fontsize=8)
        if _shape(layer) != _shape(before) or (both_ends and layer is layers[-1]):
            ax.text(center + 0.07, y - 0.5, _shape(layer), va="center", fontsize=7.5)
        start, before = y - 0.27, layer
    return start


def _draw_shortcut(ax, start, end, x, around):
    """The path beside the layers, from row `start` to the sum in row `end`."""
    column, color, middle = 2.1, COLORS["shortcut"], (start + end) / 2
    ax.plot([0, column], [start, start], color=color, lw=1.2, zorder=1)
    last = _draw_column(ax, column, start, middle + (len(around) - 1) / 2, x, around, color)
    ax.plot([column, column], [last, end], color=color, lw=1.2, zorder=1)
    _arrow(ax, (column, end), (0, end), color, gap=8)
    if not around:
        ax.text(column, middle, "identity", ha="center", va="center", fontsize=8, color=color, bbox={"color": "white"})
