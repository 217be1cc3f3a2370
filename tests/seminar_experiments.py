"""What every experiment of the seminar must fulfil, at a size at which its test is quick."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

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
    json.dumps(found.as_data(), allow_nan=False)
    picture = cv2.imread(str(draw(found.panels, folder / "figure.png")))
    assert picture is not None
    assert picture.std() > 10
    return found


def condition(found: Answer, start: str) -> Condition:
    """The first condition whose text begins so."""
    return next(one for one in found.conditions if one.text.startswith(start))
