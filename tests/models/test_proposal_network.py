"""What the proposal network is given to learn from."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torchvision
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import box_iou, nms

from detector import config
from detector.checkpoint import build
from detector.data.read import read_index
from detector.models.proposal_network import TOGETHER, suppressed_apart

Configure = Callable[..., config.Train]


@pytest.mark.parametrize("side", [256, 320])
def test_several_anchors_answer_for_an_object_by_default(tiny: Configure, side: int) -> None:
    """Of many easy negatives and hardly a positive a network learns where things are not."""
    settings = tiny(
        model=config.FasterRCNNOptions(channels=16, width=32),
        data=config.Shapes(scene_size=side, train_images=40, val_images=1),
        image_size=side,
    )
    network = build(settings, classes=5).proposals.network  # type: ignore[union-attr]
    images = torch.zeros(1, 3, side, side)
    levels = [torch.zeros(1, 1, side // stride, side // stride) for stride in (8, 16, 32)]
    (anchors,) = network.anchor_generator(ImageList(images, [(side, side)]), levels)  # type: ignore[union-attr, operator]
    index = read_index(settings.data, "train")
    boxes = torch.cat([index.target(i).boxes for i in range(len(index))])
    large = boxes[(boxes[:, 2:] - boxes[:, :2]).prod(dim=1) > 32**2]
    answering = (box_iou(large, anchors) >= settings.model.rpn_positive_iou).sum(dim=1)  # type: ignore[attr-defined]
    assert len(large) > 50
    assert answering.float().mean() > 5
    assert (answering > 0).float().mean() > 0.9


@pytest.mark.parametrize("together", [0, 30, 10_000])
def test_groups_are_suppressed_apart_however_many_at_a_time(together: int) -> None:
    generator = torch.Generator().manual_seed(0)
    low = torch.rand(90, 2, generator=generator) * 20 - 5
    boxes = torch.cat([low, low + 8], dim=1)
    scores = torch.rand(90, generator=generator)
    sizes = [20, 1, 30, 0, 39]
    kept = suppressed_apart(boxes, scores, sizes, 0.3, together)
    start = 0
    for size in sizes:
        own = slice(start, start + size)
        assert kept[own].nonzero()[:, 0].tolist() == sorted(nms(boxes[own], scores[own], 0.3).tolist())
        start += size
    assert 5 < kept.sum() < 60


def test_boxes_of_64_images_are_suppressed_in_four_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is a wait for a GPU, and the bits of its comparisons have to fit into its memory."""
    calls: list[int] = []

    def counted(boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
        calls.append(len(boxes))
        return torch.arange(0, len(boxes), 7)

    monkeypatch.setattr(torchvision.ops, "nms", counted)
    sizes = [2000, 2000, 600] * 64  # of 320 pixels
    kept = suppressed_apart(torch.rand(sum(sizes), 4), torch.rand(sum(sizes)), sizes, 0.7, TOGETHER)
    assert len(calls) == 4
    assert sum(calls) == sum(sizes)
    assert max(calls) ** 2 / 8 < 900e6
    assert kept.sum() == sum(-(-number // 7) for number in calls)
