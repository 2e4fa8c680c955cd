"""Arguments are checked where they come in, and the error says which, what it got and what it takes."""

import re
from fractions import Fraction

import numpy as np
import pytest

from resnet_lib.checks import file_path, height_and_width, listed, one_of, own, positive_int, real_number, whole_number


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


@pytest.mark.parametrize("value", [0, np.int8(5), np.array(7)])
def test_whole_numbers_may_be_none_at_all(value):
    assert whole_number("seed", value) == value and type(whole_number("seed", value, 0, 7)) is int


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (-1, ValueError),
        (8, ValueError),
        (1.0, TypeError),
        (np.float32(1), TypeError),
        (True, TypeError),
        ("1", TypeError),
    ]
    + [(np.bool_(True), TypeError), (None, TypeError), (np.array([1]), TypeError)],
)
def test_a_whole_number_out_of_its_range_is_named(value, error):
    with pytest.raises(error, match=f"seed must be a whole number from 0 to 7, got {re.escape(repr(value))}"):
        whole_number("seed", value, most=7)


@pytest.mark.parametrize(
    ("value", "number"),
    [(np.float32(0.1), 0.1), (np.float16(0.05), 0.05), (np.float64(1 / 3), 1 / 3), (np.longdouble("0.7"), 0.7)]
    + [(np.int64(2), 2.0), (0, 0.0), (Fraction(1, 4), 0.25)],
)
def test_real_numbers_of_any_type_become_the_floats_that_they_print(value, number):
    assert real_number("rate", value) == number and type(real_number("rate", value)) is float


@pytest.mark.parametrize(
    ("value", "error"),
    [(-0.1, ValueError), (np.float32("nan"), ValueError), (float("inf"), ValueError), (1.5, ValueError)]
    + [("0.1", TypeError), (True, TypeError), (None, TypeError), (1j, TypeError), ([0.1], TypeError)],
)
def test_a_real_number_out_of_its_range_is_named(value, error):
    with pytest.raises(error, match=f"rate must be a number from 0 to 1, got {re.escape(repr(value))}"):
        real_number("rate", value, most=1)
    if value != 1.5:
        with pytest.raises(error, match="rate must be a number >= 0, got"):
            real_number("rate", value)


@pytest.mark.parametrize(
    ("value", "values"),
    [("plain", ["plain"]), (8, [8]), (np.int64(8), [8]), (np.array(8), [8]), (None, [None]), (np.arange(2), [0, 1])]
    + [((one for one in "ab"), ["a", "b"]), ({"a": 1, "b": 2}, ["a", "b"]), (range(3), [0, 1, 2])],
)
def test_one_value_is_a_list_of_one(value, values):
    assert listed("seeds", value) == values


@pytest.mark.parametrize("value", [[], range(0), iter(())])
def test_no_value_is_named(value):
    with pytest.raises(ValueError, match="seeds must have one value or more, got"):
        listed("seeds", value)


def test_one_of_names_what_is_known():
    assert one_of("layout", "slim", {"slim": 1, "paper": 2}) == "slim"
    with pytest.raises(ValueError, match=r"layout must be one of \['slim', 'paper'\], got 'torch'"):
        one_of("layout", "torch", {"slim": 1, "paper": 2})


@pytest.mark.parametrize(
    ("value", "error"), [("", ValueError), ("a\0b", ValueError), (b"a", TypeError), (3, TypeError)]
)
def test_a_path_of_no_file_system_is_named(value, error):
    with pytest.raises(error, match=f"^csv_path must be the path of a file.*, got {re.escape(repr(value))}$"):
        file_path("csv_path", value)


def test_own_is_the_word_alone():
    assert own("own") and not own("owner") and not own(None) and not own(np.array(["own"]))
