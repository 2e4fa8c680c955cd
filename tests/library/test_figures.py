import re
import struct
from collections import Counter
from itertools import combinations, product

import matplotlib
import matplotlib.pyplot as plt
import pytest

from resnet_lib import Architecture, Block, figures, trace
from resnet_lib.units import COUNTED_KINDS, SHORTCUTS, BasicUnit, Unit, unit_kind


def test_a_picture_carries_its_alt_text_and_twice_the_pixels():
    before = dict(matplotlib.rcParams)
    figure, axes = plt.subplots(figsize=(4, 2))
    axes.imshow([[i * j % 7 for i in range(60)] for j in range(90)], aspect="auto")
    picture = figures.show(figure, alt='a "line"', caption="rising & rising")
    pixels = struct.unpack(">I", picture.image[16:20])[0]
    page = picture._repr_html_()
    assert picture.kind == "image/png" and f"data:{picture.kind};base64," in page
    assert 'alt="a &quot;line&quot;"' in page and "<figcaption>rising &amp; rising</figcaption>" in page
    assert f'width="{pixels // 2}"' in page and pixels > 600
    assert not plt.fignum_exists(figure.number)
    assert dict(matplotlib.rcParams) == before


def drawn_line(points=2):
    """The Picture of a line through so many points."""
    figure, axes = plt.subplots(figsize=(4, 2))
    axes.plot([i * i % 101 for i in range(points)])
    axes.set(title="a claim", xticks=[], yticks=[])
    return figures.show(figure, alt="a line")


def test_a_picture_of_few_marks_is_an_svg_whose_text_stays_text():
    picture = drawn_line()
    assert picture.kind == "image/svg+xml" and b">a claim</text>" in picture.image
    assert picture.width == drawn_line(points=20_000).width  # that of the PNG
    assert picture.image == drawn_line().image  # the same each time it is drawn
    assert drawn_line(points=20_000).kind == "image/png"


def test_a_picture_needs_an_alt_text():
    with pytest.raises(ValueError, match="alt must say"):
        figures.show(plt.figure(), alt=" ")


def unit_of(kind, depth, stride):
    """A unit of 16 channels in its bottleneck, in 4 groups or squeezed to 4 where the kind has these."""
    arguments = {"depth": depth, "depth_bottleneck": 16, "stride": stride, "groups": 4, "depth_squeeze": 4}
    shape = unit_kind(kind).shape
    return shape(*(arguments[field] for field in shape._fields))


def drawn(kind, depth=64, stride=1, channels_in=64, **options):
    """(axes, the texts drawn on them from top to bottom, the drawing in words) of a unit at 112x108 positions."""
    axes, words = figures.draw_unit(kind, unit_of(kind, depth, stride), channels_in, (112, 108), **options)
    plt.close(axes.figure)
    texts = [text for text in axes.texts if text.get_text()]  # arrows are texts without words
    return axes, [text.get_text() for text in sorted(texts, key=lambda text: -text.get_position()[1])], words


def traced(kind, depth, stride, shortcut):
    """The layers of the same unit as a network of its own, as `trace` lists them."""
    net = Architecture("net", (Block("block", kind, (unit_of(kind, depth, stride),)),), root=None, shortcut=shortcut)
    layers = trace(net, image_size=(112, 108), num_classes=None, channels_in=64, global_pool=False)
    return [layer for layer in layers if layer.name != "postnorm"]


def every_unit():
    """(kind, depth, stride, shortcut): every shortcut at every size, beside a short path with nothing before it and a long one
    that begins with BN; of the other kinds those that differ in what stands on the shortcut, where the most of it does."""
    sizes = [(64, 1), (128, 3), (64, 2), (128, 1)]
    for kind in COUNTED_KINDS:
        if kind in ("basic_v1", "bottleneck_v2"):
            yield from product([kind], sizes, SHORTCUTS)
        elif kind in ("bottleneck_v1", "basic_v2"):
            yield from product([kind], sizes[:1], ("A", "B", "none"))
            yield from product([kind], sizes[1:2], SHORTCUTS)
        elif unit_kind(kind).shape in (BasicUnit, Unit):
            yield from product([kind], sizes[1:2], ("B", "none", "exclusive_gating", "dropout"))
        else:
            yield from product([kind], sizes[:1], ("B", "none"))
            yield from product([kind], sizes[1:2], ("B", "exclusive_gating"))


EVERY_UNIT = [
    pytest.param(kind, depth, stride, shortcut, id=f"{kind}-{depth}-{stride}-{shortcut}")
    for kind, (depth, stride), shortcut in every_unit()
]


def label(layer):
    """What a box says, from the fields of a layer."""
    by = f" /{layer.stride}" if layer.stride > 1 else ""
    if layer.kind == "conv":
        gate = "g: " if layer.name.endswith("gate") else ""
        groups = f", {layer.groups} groups" if layer.groups > 1 else ""
        return f"{gate}{layer.kernel}x{layer.kernel} conv {layer.channels_out}{by}{groups}"
    if layer.kind == "multiply":
        factor = layer.name.split("/")[-1]
        return factor if factor == "dropout" else f"times {factor}"
    fixed = {"batch_norm": "BN", "add": "+", "global_pool": "mean"}
    return (
        fixed.get(layer.kind)
        or {"max_pool": f"subsample{by}", "zero_pad": f"zeros to {layer.channels_out}"}[layer.kind]
    )


@pytest.mark.parametrize("kind, depth, stride, shortcut", EVERY_UNIT)
def test_a_drawn_unit_is_that_of_the_trace_and_nothing_overlaps(kind, depth, stride, shortcut):
    """One drawing, looked at three times."""
    axes, texts, words = drawn(kind, depth, stride, shortcut=shortcut)
    check_layers_and_shapes(texts, words, kind, depth, stride, shortcut)
    check_projections(axes, texts, kind, depth, stride, shortcut)
    check_overlaps(axes)


def check_layers_and_shapes(texts, words, kind, depth, stride, shortcut):
    layers = traced(kind, depth, stride, shortcut)
    expected = Counter(label(layer) for layer in layers[1:])
    shapes = ["{}x{}x{}".format(*layer.size_out, layer.channels_out) for layer in layers]
    boxes = Counter(text for text in texts if not re.fullmatch(r"\d+x\d+x\d+|ReLU|sigmoid|identity", text))
    assert boxes == expected
    assert set(texts) - set(boxes) - {"ReLU", "sigmoid", "identity"} == set(shapes)
    assert ("sigmoid" in texts) == ("times s" in texts) == ("; s is made by mean, 1x1 conv 4, ReLU, 1x1 conv" in words)
    assert ("sigmoid" in texts) == kind.startswith("se_")
    assert texts[0] == shapes[0] and texts[-1] == shapes[-1]
    assert words.startswith(f"{shapes[0]} in, ") and f"{shapes[-1]} out" in words
    kept = depth == 64 and stride == 1 and shortcut in ("A", "B")
    assert ("identity" in texts) == ("the identity" in words) == kept


def check_projections(axes, texts, kind, depth, stride, shortcut):
    """They stand where channels change, or everywhere."""
    tinted = [box.get_facecolor()[:3] for box in axes.patches if box.get_alpha()]
    gated = shortcut.endswith("gating")
    kind = unit_kind(kind)
    unit = unit_of(kind, depth, stride)
    in_squeeze = 2 if unit.depth_squeeze else 0
    projections = [color for color in tinted if color == matplotlib.colors.to_rgb(figures.COLORS["shortcut"])]
    projected = shortcut == "C" or (shortcut == "B" and depth != 64)
    assert len(projections) == projected + gated
    assert len(tinted) - len(projections) == len(unit.convolutions()) + in_squeeze
    assert ("+" in texts) == (shortcut != "none")
    # A projection sees what is pre-activated: it branches off below the BN and ReLU before the convolution, all else above.
    below = -len(kind.ordering.first.split()) - 0.4 if projected else -0.4
    levels = [line for line in axes.lines if len(line.get_ydata()) == 2 and len({*line.get_ydata()}) == 1]
    branches = [line.get_ydata()[0] for line in levels if line.get_xdata()[0] == 0 < line.get_xdata()[1]]
    assert len(branches) == (shortcut != "none") and all(below - 0.2 < y <= below for y in branches)
    assert len(levels) - len(branches) == (unit.depth_squeeze is not None) + gated


def check_overlaps(axes):
    """No text covers another one, and each stands wholly within its box."""
    axes.figure.draw_without_rendering()
    extents = [text.get_window_extent() for text in axes.texts if text.get_text()]
    assert not [pair for pair in combinations(extents, 2) if pair[0].overlaps(pair[1])]
    for box in axes.patches:
        box = box.get_window_extent()
        for text in (text for text in extents if text.overlaps(box)):
            assert box.x0 < text.x0 and text.x1 < box.x1 and box.y0 < text.y0 and text.y1 < box.y1


def test_a_drawn_unit_activates_where_its_version_says():
    """He et al. 2015, Fig. 5 right, and He et al. 2016, Fig. 1(b); a plain unit of V1 keeps its last ReLU."""
    v1 = ["1x1 conv 16", "BN", "ReLU", "3x3 conv 16", "BN", "ReLU", "1x1 conv 64", "BN", "sum", "ReLU"]
    v2 = ["BN", "ReLU", "1x1 conv 16", "BN", "ReLU", "3x3 conv 16", "BN", "ReLU", "1x1 conv 64", "sum"]
    plain = ["3x3 conv 64", "BN", "ReLU", "3x3 conv 64", "BN", "ReLU"]
    ends = "112x108x64 in, {}, 112x108x64 out{}"
    assert drawn("bottleneck_v1")[2] == ends.format(", ".join(v1), "; on the shortcut the identity")
    assert drawn("bottleneck_v2")[2] == ends.format(", ".join(v2), "; on the shortcut the identity")
    assert drawn("basic_v1", shortcut="none")[2] == ends.format(", ".join(plain), "")
    # He et al. 2016, Fig. 4 (b) to (d)
    conv, between = "3x3 conv 64", "3x3 conv 64, BN, ReLU, 3x3 conv 64"
    for kind, layers in {
        "basic_bn_after_addition": f"{between}, sum, BN, ReLU",
        "basic_relu_before_addition": f"{between}, BN, ReLU, sum",
        "basic_relu_only_preactivation": f"ReLU, {between}, BN, sum",
    }.items():
        assert layers.count(conv) == 2
        assert drawn(kind)[2] == ends.format(layers, "; on the shortcut the identity")
    groups = ", ".join(v1).replace("3x3 conv 16", "3x3 conv 16, 4 groups")
    assert drawn("grouped_bottleneck_v1")[2] == ends.format(groups, "; on the shortcut the identity")
    # Hu et al. 2018, Fig. 3: after the last BN, before the sum
    gate = "; on the shortcut the identity; s is made by mean, 1x1 conv 4, ReLU, 1x1 conv 64, sigmoid"
    assert drawn("se_bottleneck_v1")[2] == ends.format(", ".join(v1).replace("sum", "times s, sum"), gate)
    gates = "; on the shortcut g: 1x1 conv 64, times 1 - g"
    assert drawn("basic_v1", shortcut="exclusive_gating")[2] == ends.format(f"{between}, BN, times g, sum, ReLU", gates)


@pytest.mark.parametrize("shortcut", ["exclusive_gating", "shortcut_only_gating"])
@pytest.mark.parametrize("stride", [1, 2])
def test_the_gate_of_a_shortcut_stands_beside_it_and_ends_in_its_product(shortcut, stride):
    """g is made of the x that comes in, and not of what is left on the shortcut."""
    axes, _, _ = drawn("basic_v1", 64, stride, shortcut=shortcut)
    at = {text.get_text(): text.get_position() for text in axes.texts}
    gate, product = next(at[text] for text in at if text.startswith("g: ")), at["times 1 - g"]
    assert gate[0] > product[0] > 0 and gate[1] > product[1]
    column = [line for line in axes.lines if {*line.get_xdata()} == {gate[0]}]
    level = [line for line in axes.lines if line.get_xdata()[0] == product[0] and line.get_xdata()[-1] == gate[0]]
    assert [line.get_ydata()[0] for line in level] == [-0.4] and len(column) == 1


@pytest.mark.parametrize(
    ("ordering", "scaled"), [("v1", "BN"), ("v2", "1x1 conv 64"), ("relu_before_addition", "ReLU")]
)
def test_the_gate_is_drawn_beside_the_residual_that_it_scales(ordering, scaled):
    """It leaves the path after the layer before the product, stands between the two, and ends with an arrow to the product."""
    axes, _, _ = drawn(f"se_bottleneck_{ordering}")
    boxes = [text for text in axes.texts if text.get_ha() == "center"]
    path = [text for text in boxes if text.get_position()[0] == 0]
    product_at = [text.get_text() for text in path].index("times s")
    before, times_s = path[product_at - 1 : product_at + 1]
    (_, above), (_, below) = before.get_position(), times_s.get_position()
    gate = [text for text in boxes if text.get_position()[0] < 0]
    assert before.get_text() == scaled
    assert [text.get_text() for text in gate] == ["mean", "1x1 conv 4", "ReLU", "1x1 conv 64", "sigmoid"]
    assert above > gate[0].get_position()[1] and gate[-1].get_position()[1] > below
    (level,) = (line.get_ydata() for line in axes.lines if line.get_xdata()[0] == 0 > line.get_xdata()[-1])
    assert set(level) == {above - 0.4}
    ends = [arrow.xy for arrow in axes.texts if not arrow.get_text() and arrow.xy[0] < 0]
    assert ends[-1] == (-0.9, below)


def test_a_unit_is_drawn_on_given_axes_and_says_what_it_cannot_draw():
    figure, axes = plt.subplots(1, 2, sharey=True)
    figures.draw_unit("bottleneck_v1", (256, 64, 2), 256, 56, stride_in="1x1", ax=axes[0])
    assert figures.draw_unit("basic_v1", (64, 1), 64, 56, ax=axes[1])[0] is axes[1]
    plt.close(figure)
    assert "1x1 conv 64 /2" in [text.get_text() for text in axes[0].texts]
    bottom, top = axes[0].get_ylim()  # shared: the shorter unit, drawn last, cuts nothing off the longer one
    assert all(bottom < text.get_position()[1] < top for text in axes[0].texts if text.get_text())
    for wrong, message in [
        ({"kind": "basic_v3"}, "unit_fn must be one of"),
        ({"unit": (64, 64, 1)}, "expected"),
        ({"shortcut": "D"}, "shortcut must be one of"),
        ({"stride_in": "5x5"}, "stride_in must be one of"),
        ({"channels_in": 0}, "channels_in must be"),
        ({"size": (1, 2, 3)}, "image_size must be"),
        ({"channels_in": 128, "shortcut": "A"}, "cannot turn 128 channels into 64"),
    ]:
        with pytest.raises(ValueError, match=message):
            figures.draw_unit(**{"kind": "basic_v1", "unit": (64, 1), "channels_in": 64, "size": 56, **wrong})


def test_the_common_style_is_set_when_a_chapter_asks_and_names_what_it_sets():
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        before = dict(matplotlib.rcParams)
        figures.use_style()
        changed = {name for name, value in matplotlib.rcParams.items() if value != before[name]}
        assert changed <= {*figures.STYLE} and {"axes.spines.top", "axes.titlelocation"} <= changed


def test_a_layer_is_drawn_with_its_formula():
    for kind, words, marks in [
        ("plain", "y = H(x)", "H x y"),
        ("highway", "y = H(x) T(x) + x (1 - T(x))", "+ H T x y × × (1−T)"),
        ("residual", "y = F(x) + x", "+ F x y"),
    ]:
        axes, text = figures.draw_layer(kind)
        plt.close(axes.figure)
        assert text == words
        assert " ".join(sorted(mark.get_text() for mark in axes.texts if mark.get_text())) == marks
        colors = {line.get_color() for line in axes.lines}
        assert colors == {figures.COLORS[kind]} | ({figures.COLORS["shortcut"]} if kind != "plain" else set())
    with pytest.raises(ValueError, match="kind must be one of .*, got 'dense'"):
        figures.draw_layer("dense")


def box_widths(axes):
    """(at its top, at its bottom) of every box that is drawn, in data coordinates; a band that an identity is counts too."""
    corners = [patch.get_xy()[:4, 0] for patch in axes.patches if patch.get_alpha() is None or patch.get_alpha()]
    return {(round(right - left, 3), round(low_right - low_left, 3)) for left, right, low_right, low_left in corners}


def test_boxes_are_as_wide_as_the_channels_that_come_in_and_go_out():
    axes, _ = figures.draw_unit("bottleneck_v1", (256, 64, 1), 256, 56, half=1)
    plt.close(axes.figure)
    assert box_widths(axes) == {(2, 0.5), (0.5, 0.5), (0.5, 2), (2, 2)}
    axes, _ = figures.draw_unit("basic_v1", (64, 1), 64, 56, half=1, widest=256)
    plt.close(axes.figure)
    assert box_widths(axes) == {(0.5, 0.5)}
    with pytest.raises(ValueError, match="widest must be a positive whole number, got 0"):
        figures.draw_unit("basic_v1", (64, 1), 64, 56, widest=0)


def test_units_side_by_side_are_at_one_scale():
    figure, _ = figures.draw_units({"narrow": ("basic_v1", (64, 1), 64, 56), "wide": ("basic_v1", (256, 1), 256, 56)})
    plt.close(figure)
    narrow, wide = sorted(box_widths(figure.axes[0]))
    assert wide == (4 * narrow[0],) * 2


PAIR = {"two": ("basic_v1", (64, 1), 64, 56), "three": ("bottleneck_v1", (256, 64, 1), 256, 56)}
PROJECTING = {"A": ("basic_v1", (128, 2), 64, 56, "A"), "V2": ("bottleneck_v2", (512, 128, 2), 256, 56, "B", "1x1")}
ODD = {
    "gate": ("se_bottleneck_v1", (256, 64, 1, 16), 256, 56),
    "groups": ("grouped_bottleneck_v2", (256, 128, 1, 32), 256, 56, "C"),
    "plain": ("bottleneck_v1", (256, 16, 1), 256, 56, "none"),
}


@pytest.mark.parametrize("units", [PAIR, PROJECTING, ODD])
@pytest.mark.parametrize("rows", [1, 2])
def test_nothing_overlaps_in_units_side_by_side(units, rows):
    figure, words = figures.draw_units(units, rows)
    (axes,) = figure.axes
    figure.draw_without_rendering()
    extents = [text.get_window_extent() for text in axes.texts if text.get_text()]
    assert not [pair for pair in combinations(extents, 2) if pair[0].overlaps(pair[1])]
    drawing = axes.get_window_extent()
    assert all(drawing.x0 <= text.x0 and text.x1 <= drawing.x1 for text in extents)
    assert all(drawing.y0 <= text.y0 and text.y1 <= drawing.y1 for text in extents)
    for title, unit in units.items():
        assert title in [text.get_text() for text in axes.texts]
        assert f"{title}: {unit[3]}x{unit[3]}x{unit[2]} in, " in words
    plt.close(figure)


@pytest.mark.parametrize(("units", "rows", "message"), [({}, 1, "units must hold"), (PAIR, 0, "rows must be")])
def test_no_units_and_no_rows_are_refused(units, rows, message):
    with pytest.raises(ValueError, match=message):
        figures.draw_units(units, rows)


def test_convolutions_say_how_many_weights_they_have():
    for units in (PAIR, PROJECTING, ODD):
        for unit in units.values():
            axes, words = figures.draw_unit(*unit, weights=True)
            plt.close(axes.figure)
            net = Architecture("net", (Block("block", unit[0], (unit[1],)),), None, *unit[4:])
            layers = trace(net, image_size=unit[3], num_classes=None, channels_in=unit[2], global_pool=False)
            expected = [
                layer.kernel**2 * reads // layer.groups * layer.channels_out
                for layer, reads in zip(layers, reading(layers), strict=True)
                if layer.kind == "conv"
            ]
            found = [int(text.get_text()[:-8].replace(",", "")) for text in axes.texts if "weights" in text.get_text()]
            assert sorted(found) == sorted(expected) and words.count(" weights)") == len(expected)


def reading(layers):
    """How many channels each layer reads: those of the unit's input on the shortcut and at the start of the path."""
    before = layers[0].channels_out
    for layer in layers:
        starts = layer.name.endswith(("/shortcut", "/conv1")) and "squeeze" not in layer.name
        yield layers[0].channels_out if starts else before
        before = layer.channels_out
