import html
import re

import pytest

from resnet_lib.count_conventions import which_count
from resnet_lib.count_panel import count_panel

PANEL = count_panel()


def page(**values):
    return PANEL.show(**PANEL.start() | values)


@pytest.mark.parametrize(
    ("printed", "network", "image_size", "images"),
    [
        ("4.11 GFLOPs", "resnet_v1_50", 224, 1),
        ("3.8", "resnet_v1_50", 224, 1),
        ("7.7", "resnet_v1_50", 224, 2),
        ("9.9", "resnet_v2_50", 256, 1),
    ],
)
def test_the_page_has_the_readings_of_which_count(printed, network, image_size, images):
    readings = which_count(printed, network, image_size, batch_size=images)
    text = html.unescape(page(printed=printed, network=network, image_size=image_size, batch_size=images))
    rows = re.findall(r'<th scope="row">(.*?)</th>(.*?)</tr>', text)
    assert [name for name, _ in rows] == [reading.convention for reading in readings]
    cells = [re.findall("<td>(.*?)</td>", cells) for _, cells in rows]
    assert [row[2] for row in cells] == [f"{reading.operations:,.0f}" for reading in readings]
    said = re.sub("<.*?>", "", re.match("<p>(.*?)</p>", text)[1])
    best = readings[0]
    if best.fits:
        assert f"{best.convention} of the layout {best.layout}" in said and best.fits in said
    else:
        assert "no convention here gives these digits" in said and f"{best.off:+.2%}" in said


def test_what_others_say_too_is_counted():
    assert "nothing else gives these digits" in page(printed="8.21111")
    assert "2 other readings give these digits as well" in page(printed="4.11")


def test_what_is_no_number_is_said():
    text = page(printed="<many>")
    assert "number must be one above 0 as it is printed" in text and "&lt;many&gt;" in text
    with pytest.raises(ValueError, match="network"):
        count_panel(network="vgg_16")
