"""Arguments are checked where they come in, and the error says which, what it got and what it takes."""

import numpy as np
import pytest

from resnet_lib.checks import height_and_width, one_of, own, positive_int


@pytest.mark.parametrize("image_size", [0, -1, 2.5, "224", (224,), (224, 0), (1, 2, 3), None])
def test_bad_image_sizes_are_named(image_size):
    with pytest.raises((ValueError, TypeError), match="image_size must be"):
        height_and_width(image_size)


def test_one_number_is_a_square_and_two_are_height_and_width():
    assert height_and_width(224) == (224, 224) and height_and_width([3, np.int64(4)]) == (3, 4)


@pytest.mark.parametrize("value", [1, np.int64(7), np.uint8(3)])
def test_whole_numbers_of_any_type_become_ints(value):
    assert positive_int("depth", value) == value and type(positive_int("depth", value)) is int


@pytest.mark.parametrize(
    ("value", "error"),
    [(0, ValueError), (-3, ValueError), (2.0, TypeError), (True, TypeError), ("1", TypeError), (None, TypeError)],
)
def test_everything_else_is_named(value, error):
    with pytest.raises(error, match=f"depth must be a positive whole number, got {value!r}"):
        positive_int("depth", value)


def test_one_of_names_what_is_known():
    assert one_of("layout", "slim", {"slim": 1, "paper": 2}) == "slim"
    with pytest.raises(ValueError, match=r"layout must be one of \['slim', 'paper'\], got 'torch'"):
        one_of("layout", "torch", {"slim": 1, "paper": 2})


def test_own_is_the_word_alone():
    assert own("own") and not own("owner") and not own(None) and not own(np.array(["own"]))
