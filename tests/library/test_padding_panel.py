"""Where windows stand under three rules of padding: against the layers themselves, and what the panel says of it."""

import base64
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_lib.padding_panel import RULES, padding_page, padding_panel, shift, windows
from resnet_lib.resnet_utils import conv2d_same, subsample
from resnet_lib.tf_slim_compat import slim, tf

SVG = "{http://www.w3.org/2000/svg}"


def each_tap(kernel):
    """Filters [kernel, kernel, 1, kernel]: the t-th adds up column t of its window."""
    filters = np.zeros((kernel, kernel, 1, kernel), np.float32)
    for tap in range(kernel):
        filters[:, tap, 0, tap] = 1
    return filters


def layer(rule, images, stride, kernel):
    """The layer that a rule belongs to, as the library, TensorFlow and PyTorch have it; [height, width, taps]."""
    filters = each_tap(kernel)
    if rule == "conv2d_same":
        with slim.arg_scope([slim.conv2d], weights_initializer=tf.constant_initializer(filters), activation_fn=None):
            return conv2d_same(images, kernel, kernel, stride)[0].numpy()
    if rule == "SAME":
        return tf.nn.conv2d(images, filters, stride, "SAME")[0].numpy()
    side = [kernel // 2, kernel // 2]
    return tf.nn.conv2d(tf.pad(images, [[0, 0], side, side, [0, 0]]), filters, stride, "VALID")[0].numpy()


def expected(rule, size, stride, kernel):
    """The same from the windows: rows of a window within the image, times the pixels 1, 2, ... under each tap, 0 outside."""
    begins = np.array(windows(rule, size, stride, kernel).begins)
    pixels = begins[:, None] + np.arange(kernel)
    inside = (pixels >= 0) & (pixels < size)
    return inside.sum(1)[:, None, None] * np.where(inside, pixels + 1, 0)[None]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("kernel", range(1, 8))
def test_the_windows_are_those_of_the_layer(rule, kernel):
    for size in range(1, 11):
        image = np.tile(np.arange(1, size + 1, dtype=np.float32), (size, 1))[None, :, :, None]
        for stride in range(1, 5):
            found = layer(rule, image, stride, kernel)
            assert np.array_equal(found, expected(rule, size, stride, kernel)), (size, stride)


@settings(deadline=None)
@given(size=st.integers(1, 12), stride=st.integers(1, 4), kernel=st.integers(1, 7), rule=st.sampled_from(RULES))
def test_a_rule_agrees_where_it_computes_the_convolution_with_stride_1_and_subsamples(size, stride, kernel, rule):
    image = np.random.default_rng(0).integers(1, 99, (1, size, size, 1)).astype(np.float32)  # exact in float32
    dense = tf.nn.conv2d(image, each_tap(kernel), 1, "SAME")
    reference = subsample(dense, stride)[0].numpy()
    agrees = shift(windows(rule, size, stride, kernel), size, stride, kernel) == 0
    assert np.array_equal(layer(rule, image, stride, kernel), reference) is agrees


def test_the_three_rules_in_the_text():
    """conv2d_same always agrees; PyTorch's for odd kernels; SAME for odd ones where the size is one above a multiple of the
    stride, for even ones one or two above, and for kernels of one or two pixels always."""
    for size in range(1, 17):
        for stride in range(1, 5):
            for kernel in range(1, 8):
                agrees = {r: shift(windows(r, size, stride, kernel), size, stride, kernel) == 0 for r in RULES}
                above = size % stride or stride
                same = kernel <= 2 or above == 1 or (kernel % 2 == 0 and above == 2)
                assert agrees == {"conv2d_same": True, "SAME": same, "symmetric": kernel % 2 == 1}, (
                    size,
                    stride,
                    kernel,
                )


def drawn(page):
    """The SVG of a page as an element."""
    (source,) = re.findall(r'<img src="data:image/svg\+xml;base64,([^"]+)" alt="[^"]{30,}"', page)
    return ElementTree.fromstring(base64.b64decode(source))


@pytest.mark.parametrize(
    "arguments, sentence, rows",
    [
        (
            (6, 2, 3),
            "6 pixels, stride 2, kernel 3: the shortcut keeps pixels 0, 2, 4. conv2d_same and PyTorch&#x27;s padding=k//2 "
            "compute the convolution with stride 1 at these pixels. TensorFlow&#x27;s SAME: 1 pixel too late.",
            [("1", "1", "3", "0", "agrees"), ("0", "1", "3", "1", "1 pixel too late"), ("1", "1", "3", "0", "agrees")],
        ),
        ((224, 2, 7), "the shortcut keeps pixels 0, 2, 4, ... 222. conv2d_same and PyTorch&#x27;s padding=k//2", []),
        (
            (1, 1, 1),
            "1 pixel, stride 1, kernel 1: the shortcut keeps pixel 0. All three rules compute",
            [("0", "0", "1", "0", "agrees")] * 3,
        ),
        (
            (6, 2, 4),
            "conv2d_same and TensorFlow&#x27;s SAME compute the convolution with stride 1 at these pixels. "
            "PyTorch&#x27;s padding=k//2: another number of outputs.",
            [
                ("1", "2", "3", "0.5", "agrees"),
                ("1", "1", "3", "0.5", "agrees"),
                ("2", "2", "4", "-0.5", "another number of outputs"),
            ],
        ),
        ((5, 2, 4), "PyTorch&#x27;s padding=k//2: 1 pixel too early.", []),
        ((7, 4, 7), "TensorFlow&#x27;s SAME: 1 pixel too late.", []),
        ((16, 4, 7), "TensorFlow&#x27;s SAME: 2 pixels too late.", []),
    ],
)
def test_what_the_page_says(arguments, sentence, rows):
    page = padding_page(*arguments)
    assert sentence in page
    found = re.findall('<th scope="row">.*?</th>' + 5 * "<td>(.*?)</td>" + "</tr>", page)
    assert found == rows or not rows


def test_green_frames_are_the_kept_pixels_and_dots_the_centres():
    picture = drawn(padding_page(7, 3, 3))
    squares = picture.findall(f"{SVG}rect")[1:]
    frames = [float(r.get("x")) - 3.0 for r in squares if r.get("stroke-width") == "2.5"]
    pixel = {float(r.get("x")): r.get("fill") for r in squares if r.get("stroke-width") is None}
    cell = float(squares[0].get("width"))
    zero = min(x for x, fill in pixel.items() if fill == "white")
    assert frames == pytest.approx([zero, zero + 3 * cell, zero + 6 * cell] * 3)
    dots = [(float(c.get("cx")) - zero) / cell - 0.5 for c in picture.findall(f"{SVG}circle")]
    assert dots == pytest.approx([0, 3, 6] * 3)  # 7 is one above a multiple of 3
    assert sorted({fill for fill in pixel.values()}) == ["#e4e4e4", "white"]


@settings(deadline=None)
@given(size=st.integers(1, 16), stride=st.integers(1, 4), kernel=st.integers(1, 7))
def test_all_is_within_the_picture(size, stride, kernel):
    panel = padding_panel()
    assert [(c.low, c.high) for c in panel.controls] == [(1, 16), (1, 4), (1, 7)]
    page = panel.show(size=size, stride=stride, kernel=kernel)
    picture = drawn(page)
    _, _, width, height = map(float, picture.get("viewBox").split())
    for square in picture.findall(f"{SVG}rect"):
        right = float(square.get("x") or 0) + float(square.get("width"))
        below = float(square.get("y") or 0) + float(square.get("height"))
        assert 0 <= float(square.get("x") or 0) and right <= width and below <= height
    for text in picture.findall(f"{SVG}text"):
        assert float(text.get("x")) + (7 * len(text.text) if text.get("text-anchor") is None else 8) <= width + 1


def test_the_controls_stand_where_they_are_put_and_mistakes_are_named():
    assert padding_panel(40, 6, 11).start() == {"size": 40, "stride": 6, "kernel": 11}
    with pytest.raises(ValueError, match="rule must be one of"):
        windows("VALID", 4, 2, 3)
    for name, wrong in (("size", (0, 2, 3)), ("stride", (4, -1, 3)), ("kernel", (4, 2, 0))):
        with pytest.raises(ValueError, match=f"{name} must be a positive whole number"):
            padding_page(*wrong)
