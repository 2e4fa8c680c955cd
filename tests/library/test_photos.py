import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from resnet_lib.photos import FORMATS, read_photo

RANDOM = np.random.default_rng(0).integers(0, 256, (12, 20, 3), np.uint8)


def saved(folder, array, name="photo.png", mode=None, **options):
    image = Image.fromarray(array) if mode is None else Image.frombytes(mode, array.shape[1::-1], array.tobytes())
    image.save(folder / name, **options)
    return folder / name


def filled(folder, mode, colour, name="photo.png", **options):
    Image.new(mode, (3, 2), colour).save(folder / name, **options)
    return folder / name


@pytest.mark.parametrize("name", ["photo.png", "photo.bmp", "photo.tiff", "photo.webp", "a name without a suffix"])
def test_a_picture_without_loss_comes_back_to_the_last_bit(tmp_path, name):
    kind = {"lossless": True} if name.endswith("webp") else {"format": "PNG"} if "." not in name else {}
    photo = read_photo(str(saved(tmp_path, RANDOM, name, **kind)))
    assert photo.dtype == np.uint8 and photo.flags.writeable and np.array_equal(photo, RANDOM)


# Of EXIF's orientations, what a reader does with the stored array: the standard's words for 1 to 8.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda a: np.rot90(a),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_a_picture_stands_as_its_camera_was_held(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = read_photo(saved(tmp_path, RANDOM, exif=exif))
    assert np.array_equal(photo, UPRIGHT[orientation](RANDOM))


@pytest.mark.parametrize(
    ("mode", "colour", "options", "expected"),
    [
        ("L", 77, {}, [77, 77, 77]),
        ("1", 1, {}, [255, 255, 255]),
        ("RGBA", (255, 0, 0, 0), {}, [255, 255, 255]),
        ("RGBA", (0, 0, 0, 51), {}, [204, 204, 204]),
        ("LA", (0, 51), {}, [204, 204, 204]),
        ("P", 0, {"transparency": 0}, [255, 255, 255]),
        ("RGB", (1, 2, 3), {"transparency": (1, 2, 3)}, [255, 255, 255]),
        ("RGB", (1, 2, 3), {"transparency": (1, 2, 4)}, [1, 2, 3]),
        ("CMYK", (255, 0, 0, 0), {"name": "photo.tiff"}, [0, 255, 255]),
        ("CMYK", (255, 0, 0, 0), {"name": "photo.jpg"}, [0, 255, 255]),
        ("L", 77, {"name": "photo.gif"}, [77, 77, 77]),
    ],
)
def test_every_kind_of_pixel_becomes_red_green_and_blue_on_white(tmp_path, mode, colour, options, expected):
    photo = read_photo(filled(tmp_path, mode, colour, **options))
    assert photo.shape == (2, 3, 3) and (photo == expected).all()


@pytest.mark.parametrize("name", ["photo.png", "photo.tiff"])
def test_sixteen_bits_become_eight_and_stay_upright(tmp_path, name):
    exif = Image.Exif()
    exif[0x0112] = 6
    grey = np.arange(0, 65536, 257, np.uint16).reshape(8, 32)
    photo = read_photo(saved(tmp_path, grey, name, exif=exif))
    assert photo.shape == (32, 8, 3) and np.array_equal(photo[..., 1], np.rot90(np.arange(256).reshape(8, 32), -1))


def claiming(folder, width, height):
    """A PNG of the right form whose header claims that size."""
    file = saved(folder, RANDOM)
    content = bytearray(file.read_bytes())
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    file.write_bytes(content)
    return file


def written(folder, content):
    (folder / "photo.jpg").write_bytes(content)
    return folder / "photo.jpg"


def cut(folder, name):
    file = saved(folder, RANDOM, name)
    file.write_bytes(file.read_bytes()[:-60])
    return file


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder, "must be a file with a picture, got the folder"),
        (lambda folder: written(folder, b""), "must be a file with a picture, got the empty file"),
        (
            lambda folder: written(folder, b"a text"),
            r"must be a picture, one of \['JPEG', .*photo.jpg is none, or damaged",
        ),
        (
            lambda folder: filled(folder, "RGB", 0, "photo.eps"),
            "must be a picture, one of .*photo.eps is none, or damaged",
        ),
        (lambda folder: claiming(folder, 20000, 20000), "photo.png cannot be read: .*400000000 pixels.* exceeds"),
        (lambda folder: saved(folder, np.ones((2, 2), np.float32), "a.tiff"), "nobody knows which number is white"),
        (lambda folder: saved(folder, np.ones((2, 2), np.int32), "a.tiff"), "nobody knows which number is white"),
        (lambda folder: cut(folder, "a.jpg"), "a.jpg cannot be read: image file is truncated"),
        (lambda folder: cut(folder, "a.png"), "a.png cannot be read: image file is truncated"),
        (lambda folder: cut(folder, "a.webp"), "a.webp cannot be read: "),
    ],
)
def test_what_is_no_photo_is_named(tmp_path, make, message):
    with pytest.raises(ValueError, match=f"^photo.*{message}"):
        read_photo(make(tmp_path))


def test_a_file_that_cannot_be_opened_stays_an_oserror_that_names_it(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        read_photo(tmp_path / "nowhere.jpg")
    assert caught.value.filename == os.fspath(tmp_path / "nowhere.jpg")


def test_only_formats_that_start_no_program_are_tried():
    assert "EPS" not in FORMATS and {"JPEG", "PNG"} < {*FORMATS}
