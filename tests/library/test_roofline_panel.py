import base64
import html
import re
from math import log10
from xml.etree import ElementTree

import pytest

from resnet_lib.roofline import DEVICES, predict
from resnet_lib.roofline_panel import NETWORKS, roofline_panel
from resnet_lib.traffic import FUSED

PANEL = roofline_panel()


def page(**values):
    return PANEL.show(**PANEL.start() | values)


def drawing(text):
    return ElementTree.fromstring(base64.b64decode(re.search(r'base64,([^"]*)"', text)[1]))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("fused", FUSED)
def test_the_page_says_what_is_predicted(device, fused):
    found = predict("resnet_v1_50", device, 7, "float32", fused)
    text = page(network="resnet_v1_50", device=device, precision="float32", batch_size=7, fused=fused)
    assert f"at least {1e3 * found.seconds:.3g} ms, so at most {found.images_per_s:,.0f} images/s" in text
    rows = re.findall(r'<th scope="row">(.*?)</th>(.*?)</tr>', text)
    least = {name: re.findall("<td>(.*?)</td>", cells)[2] for name, cells in rows}
    assert least == {name: f"{1e3 * found.seconds_of(name):.3g}" for name in least}
    assert [*least] == ["root", "block1", "block2", "block3", "block4", "classifier"]


def test_every_dot_lies_on_the_roof_as_large_as_its_share_of_the_time():
    found = predict("resnet_v1_50", "A100", 32, "bfloat16")
    dots = drawing(page(network="resnet_v1_50", device="A100")).findall("{*}circle")
    seconds = {}
    for bound in found.bounds:
        if bound.flops:
            intensity = bound.flops / bound.bytes
            seconds[intensity] = seconds.get(intensity, 0) + bound.seconds
    assert len(dots) == len(seconds)
    x, y, r = ([float(dot.get(name)) for dot in dots] for name in ("cx", "cy", "r"))
    order = sorted(range(len(dots)), key=lambda i: x[i])
    expected = sorted(seconds)
    steps = [(x[j] - x[i]) / log10(b / a) for i, j, a, b in zip(order, order[1:], expected, expected[1:], strict=False)]
    wide = [step for step, a, b in zip(steps, expected, expected[1:], strict=False) if b / a > 1.1]
    assert max(wide) / min(wide) < 1.05
    ridge = found.device.tflops["bfloat16"] / found.device.tb_per_s
    assert len({y[i] for i, at in zip(order, expected, strict=True) if at >= ridge}) == 1
    areas = [r[i] ** 2 / seconds[at] for i, at in zip(order, expected, strict=True) if r[i] > 1.5]
    assert max(areas) / min(areas) < 1.2


def test_the_words_beside_the_picture_say_the_same():
    assert (
        "resnet_v1_18 on V100"
        in re.search(r'alt="([^"]*)"', page(network="resnet_v1_18", device="V100", precision="float16"))[1]
    )


def test_what_cannot_be_is_the_page():
    assert html.unescape(page(device="V100", precision="bfloat16")).startswith("<p><b>precision must be one of")
    with pytest.raises(ValueError, match="device"):
        roofline_panel(device="abacus")
    assert "se_resnet_50" in NETWORKS and PANEL.start()["device"] == "H200"
