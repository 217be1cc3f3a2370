"""What every experiment of the seminar must fulfil, at a size at which its test is quick."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import cv2
import torch

from detector.seminar.answer import Answer, Condition
from detector.seminar.drawing import draw


def fulfilled(experiment: Callable[[], Answer], folder: Path) -> Answer:
    """The answer, every condition of which holds, which is plain data and is drawn, and leaves the generator alone."""
    before = torch.get_rng_state()
    found = experiment()
    assert torch.equal(before, torch.get_rng_state())
    assert [one for one in found.conditions if not one.holds] == []
    assert found.right
    assert numbers_from_nowhere(found.answer, found) == []
    assert [number for step in found.steps for number in numbers_from_nowhere(step, found)] == []
    json.dumps(found.as_data(), allow_nan=False)
    picture = cv2.imread(str(draw(found.panels, folder / "figure.png")))
    assert picture is not None
    assert picture.std() > 10
    return found


NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?(?!\w)")
STRUCTURE = 16
"""Whole numbers up to this one are kernels, channels and numbers of things, which a sentence may have of its own."""


def numbers_from_nowhere(sentence: str, found: Answer) -> list[str]:
    """The numbers in a sentence that are none of those that were computed, to the digits that it gives them."""
    computed = [*_numbers((found.conditions, found.result, found.numbers, found.tables, found.panels))]
    unknown = []
    for text in NUMBER.findall(sentence):
        value = float(text.replace(",", ""))
        mantissa, _, power = text.partition("e")
        digit = 10.0 ** (int(power or 0) - len(mantissa.partition(".")[2]))
        exact = digit == 1 and not power
        near = any(
            one == value if exact and one == int(one) else abs(abs(one) - value) <= 0.501 * digit for one in computed
        )
        if not near and not (exact and value <= STRUCTURE):
            unknown.append(text)
    return unknown


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, int | float):
        if isfinite(value):
            yield float(value)
    elif isinstance(value, str):
        for text in NUMBER.findall(value):
            yield float(text.replace(",", ""))
    elif is_dataclass(value):
        for one in fields(value):
            yield from _numbers(getattr(value, one.name))
    elif isinstance(value, dict):
        yield from _numbers(tuple(value.values()))
    elif isinstance(value, tuple | list):
        for one in value:
            yield from _numbers(one)


def condition(found: Answer, start: str) -> Condition:
    """The first condition whose text begins so."""
    return next(one for one in found.conditions if one.text.startswith(start))
