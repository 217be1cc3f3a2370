"""What a message of one line repeats, and who can catch it."""

from __future__ import annotations

import math
from typing import Any

import pytest

from detector.errors import UserError, shown
from detector.nms import NMS


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a b", "a b"),
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (0.5, "0.5"),
        (math.nan, "nan"),
        ([1, None], "[1, None]"),
        ("two\nlines\x1b[2J", "two\\nlines\\x1b[2J"),
        ("\ud800", "\\ud800"),
    ],
)
def test_a_value_stands_in_a_message_as_it_was_written(value: Any, text: str) -> None:
    assert shown(value) == text


@pytest.mark.parametrize(
    "value",
    ["x" * 10**6, "\n" * 10**6, [["y" * 10**6]] * 10**4, {"k" * 999: 1}, 10**4000, [10**5000]],
    ids=["text", "line breaks", "lists", "dictionary", "number", "number without text"],
)
def test_a_message_stays_short_and_in_one_line(value: Any) -> None:
    text = shown(value, 60)
    assert text.isprintable()
    assert len(text) <= 2 * 60 + 3


def test_of_a_long_path_both_ends_are_left() -> None:
    assert shown("/data/" + "deep/" * 99 + "image.jpg", 40) == "/data/deep/deep/deep.../deep/deep/image.jpg"


@pytest.mark.parametrize("caught", [UserError, ValueError])
def test_a_wrong_argument_of_a_part_is_caught_from_python_as_either(caught: type[Exception]) -> None:
    with pytest.raises(caught, match="iou_threshold=2"):
        NMS(iou_threshold=2.0)
