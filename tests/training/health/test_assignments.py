from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch

from detector import config
from detector.checkpoint import build
from detector.training.health.assignments import AssignmentCounter
from detector.types import Target

Configure = Callable[..., config.Train]
HEADS = [
    (config.AnchorFreeHeadOptions(convolutions=1), config.TaskAlignedAssignerOptions()),
    (config.AnchorFreeHeadOptions(convolutions=1), config.SimOTAAssignerOptions()),
    (config.AnchorBasedHeadOptions(), config.MaxIoUAssignerOptions()),
]


def target(boxes: list[list[float]]) -> Target:
    return Target(
        boxes=torch.tensor(boxes).reshape(-1, 4),
        labels=torch.zeros(len(boxes), dtype=torch.int64),
        crowd=torch.zeros(len(boxes), dtype=torch.bool),
        area=torch.ones(len(boxes)),
        image_id=0,
        original_size=(96, 96),
        transform=torch.eye(3),
    )


@pytest.mark.parametrize(("head", "assigner"), HEADS, ids=lambda part: part.name)
def test_taken_points_are_counted_by_the_stride_of_their_level(
    tiny: Configure, head: config.HeadOptions, assigner: config.AssignerOptions
) -> None:
    torch.manual_seed(0)
    detector: Any = build(tiny(head=head, assigner=assigner), 3, pretrained=False)
    strides: Counter[int] = Counter()
    original = detector.criterion.assigner

    class Watched:
        candidates = original.candidates

        def __call__(self, scores: torch.Tensor, boxes: torch.Tensor, points: Any, *objects: Any) -> Any:
            found = original(scores, boxes, points, *objects)
            taken = found.points[found.weights > 0] % len(points.strides)
            strides.update(points.strides[taken].int().tolist())
            return found

    watched = detector.criterion.assigner = Watched()
    counter = AssignmentCounter(detector)
    images = torch.randint(0, 256, (2, 3, 96, 96), dtype=torch.uint8)
    targets = [target([[4, 4, 14, 15], [20, 20, 80, 90]]), target([[50, 2, 60, 9]])]
    before = detector.losses(images, targets)
    strides.clear()
    counter.start()
    during = detector.losses(images, targets)
    counted = counter.finish()
    assert counted == {"P3": strides[8], "P4": strides[16], "P5": strides[32]}
    assert sum(counted.values()) > 0
    assert all(torch.equal(before[name], during[name]) for name in before)
    assert detector.criterion.assigner is watched


def test_a_detector_without_levels_of_its_own_has_none_to_count(tiny: Configure) -> None:
    counter = AssignmentCounter(build(tiny(model=config.FasterRCNNOptions(channels=16, width=32)), 3, pretrained=False))
    counter.start()
    assert counter.finish() == {}
