import struct

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

from resnet_lib import data, figures


@pytest.mark.parametrize("name", ["china", "flower"])
def test_photos_are_small_colour_images(name):
    photo = data.photo(name)
    assert photo.shape == (224, 224, 3) and photo.dtype == np.uint8 and photo.std() > 20


def test_every_photo_is_attributed():
    readme = data.path("README.md").read_text()
    for photo in data.path("photos").iterdir():
        assert f"`photos/{photo.name}`" in readme
    assert readme.count("CC BY 2.0") >= 2


@pytest.mark.parametrize("name", ["params_macs", "forward_timing", "imagenet_accuracy"])
def test_every_published_number_has_a_source(name):
    assert data.published(name)["source"].notna().all()


def test_missing_data_says_what_is_there():
    with pytest.raises(
        FileNotFoundError, match=r"no 'photos/cat.jpg'; in photos/ there is: \['china.jpg', 'flower.jpg'\]"
    ):
        data.photo("cat")


def test_a_picture_carries_its_alt_text_and_twice_the_pixels():
    before = dict(matplotlib.rcParams)
    figure, axes = plt.subplots(figsize=(4, 2))
    axes.plot([1, 2])
    picture = figures.show(figure, alt='a "line"', caption="rising & rising")
    pixels = struct.unpack(">I", picture.png[16:20])[0]
    page = picture._repr_html_()
    assert 'alt="a &quot;line&quot;"' in page and "<figcaption>rising &amp; rising</figcaption>" in page
    assert f'width="{pixels // 2}"' in page and pixels > 600
    assert not plt.fignum_exists(figure.number)
    assert dict(matplotlib.rcParams) == before


def test_a_picture_needs_an_alt_text():
    with pytest.raises(ValueError, match="alt must say"):
        figures.show(plt.figure(), alt=" ")
