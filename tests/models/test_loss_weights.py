"""The weight of each loss of a two-stage model weighs that loss and no other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from detector import config
from detector.build_detector import build_detector
from detector.types import Target

SIDE = 96
EVERY = 10**6
MODELS: list[tuple[config.ModelOptions, str, str]] = [
    (config.FasterRCNNOptions(channels=16, width=32, rpn_sampled_anchors=EVERY, sampled_regions=EVERY), weight, loss)
    for weight, loss in (
        ("rpn_objectness_weight", "rpn_objectness"),
        ("rpn_box_weight", "rpn_box"),
        ("class_weight", "class"),
        ("box_weight", "box"),
    )
]
MODELS += [
    (kind(sampled_regions=EVERY, search_side=96, **options), f"{loss}_weight", loss)  # type: ignore[arg-type]
    for kind, options in ((config.FastRCNNOptions, {"channels": 16, "width": 32}), (config.RCNNOptions, {}))
    for loss in ("class", "box")
]


def losses(model: config.ModelOptions) -> dict[str, Tensor]:
    torch.manual_seed(0)
    detector: Any = build_detector(
        model=model,
        backbone=config.CSPDarknetOptions(depth=0.33, width=0.125),
        neck=None if isinstance(model, config.RCNNOptions) else config.PANOptions(depth=0.33, width=0.125),
        classes=3,
        image_size=SIDE,
    )
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (1, 3, SIDE, SIDE), dtype=torch.uint8, generator=generator)
    boxes = torch.tensor([[10.0, 12, 50, 60], [40, 30, 90, 70]])
    target = Target(
        boxes=boxes,
        labels=torch.tensor([1, 2]),
        crowd=torch.zeros(2, dtype=torch.bool),
        area=torch.ones(2),
        image_id=0,
        original_size=(SIDE, SIDE),
        transform=torch.eye(3),
        proposals=torch.cat([boxes + 2, torch.tensor([[0.0, 0, 20, 20]])]),
    )
    return detector.train().losses(images, [target])


@pytest.mark.parametrize(
    ("model", "weight", "loss"), MODELS, ids=[f"{model.name} {weight}" for model, weight, _ in MODELS]
)
def test_twice_the_weight_is_twice_that_loss_and_no_other(model: config.ModelOptions, weight: str, loss: str) -> None:
    once = losses(model)
    twice = losses(replace(model, **{weight: 2 * getattr(model, weight)}))
    assert once.keys() == twice.keys()
    assert once[loss] > 0
    for name, value in once.items():
        assert twice[name].item() == pytest.approx(value.item() * (2 if name == loss else 1), rel=1e-5)
