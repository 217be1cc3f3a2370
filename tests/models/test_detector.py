"""Every kind of detector has the face by which it is trained, measured and run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from detector import config
from detector.build_detector import build_detector
from detector.models.detector import Detector
from detector.models.fast_rcnn import FastRCNN
from detector.models.faster_rcnn import FasterRCNN
from detector.models.rcnn import RCNN
from detector.models.single_shot import SingleShot

FACES: list[type[Detector]] = [SingleShot, FasterRCNN, FastRCNN, RCNN]
"""mypy checks the arguments and results of each."""


@pytest.mark.parametrize(
    "model",
    [
        config.SingleShotOptions(),
        config.FasterRCNNOptions(width=32),
        config.FastRCNNOptions(width=32),
        config.RCNNOptions(),
    ],
)
def test_what_is_built_is_a_detector(tiny: Callable[..., config.Train], model: config.ModelOptions) -> None:
    settings = tiny(model=model)
    parts = {group: getattr(settings, group) for group in ("backbone", "neck", "head", "assigner", "loss")}
    assert isinstance(build_detector(model=model, **parts, classes=3, image_size=96), Detector)
