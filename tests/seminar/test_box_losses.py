from __future__ import annotations

from pathlib import Path

import pytest
import torch
from seminar_experiments import condition, fulfilled

from detector.boxes import area
from detector.seminar import box_losses, size_training
from detector.seminar.box_losses import loss_against_size
from detector.seminar.size_training import average_precision, train_and_measure


def test_small_objects_gain_by_the_iou_and_the_seed_on_which_it_loses_is_named(tmp_path: Path) -> None:
    found = fulfilled(lambda: box_losses.by_size(seeds=(1,), steps=150, width=12, tested=300), tmp_path)
    assert condition(found, "seeds on which a coordinate loss").holds
    assert "where the IoU family loses: seed 1: large objects" in found.steps[-1]
    _, iou = loss_against_size()
    assert f"all have IoU {iou:.2f}" in found.steps[0]


def test_losses_of_coordinates_grow_with_the_side_and_its_square_and_those_of_iou_do_not() -> None:
    curves, iou = loss_against_size()
    ratios = {kind: curve.largest_by_smallest for kind, curve in curves.items()}
    side = 512 / 8
    assert ratios == pytest.approx({"l2": side**2, "l1": side, "iou": 1, "giou": 1, "diou": 1, "ciou": 1})
    overlap = 0.9 * 0.85  # of the unit square with [0.1, 1.2] × [0.15, 1.05]
    assert iou == pytest.approx(overlap / (1 + 1.1 * 0.9 - overlap), abs=1e-4)


@pytest.mark.parametrize(("l2", "ciou", "right"), [(0.3, 0.4, True), (0.4, 0.3, False), (0.3, 0.33, False)])
def test_the_claim_on_box_losses_hangs_on_what_was_trained(
    l2: float, ciou: float, right: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ap = {"l2": l2, "l1": (l2 + ciou) / 2, "ciou": ciou}
    monkeypatch.setattr(
        box_losses,
        "train_and_measure",
        lambda kind, *_: size_training.ByTraining({"small": ap[kind], "medium": 0.7, "large": 0.8 - ap[kind] / 100}),
    )
    assert box_losses.by_size().right is right


def test_a_drawn_rectangle_covers_the_area_of_its_box(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(size_training, "NOISE", 0.0)
    images, boxes = size_training.draw(50, torch.Generator().manual_seed(0))
    torch.testing.assert_close(images.sum((1, 2, 3)) * size_training.PIXELS**2, area(boxes))
    rows = torch.arange(48)[:, None] * 4.0 + 2
    centre = (images[:, 0] * rows).sum((1, 2)) / images.sum((1, 2, 3))
    torch.testing.assert_close(centre, (boxes[:, 1] + boxes[:, 3]) / 2, atol=2.0, rtol=0)
    assert boxes.min() >= 0
    assert boxes.max() <= size_training.IMAGE


def test_ap_of_perfect_boxes_is_1_and_of_boxes_with_iou_062_three_thresholds_of_ten() -> None:
    _, boxes = size_training.draw(300, torch.Generator().manual_seed(0))
    assert average_precision(boxes, boxes) == pytest.approx({"small": 1.0, "medium": 1.0, "large": 1.0})
    low, high = boxes[:, :2], boxes[:, 2:]
    narrow = torch.cat([low, high - (high - low) * torch.tensor([0.38, 0.0])], dim=1)
    assert average_precision(narrow, boxes) == pytest.approx({"small": 0.3, "medium": 0.3, "large": 0.3})


def test_the_same_seed_gives_the_same_training_and_the_loss_matters() -> None:
    first, again, other = (
        train_and_measure(kind, seed=3, steps=8, width=8, tested=100) for kind in ("ciou", "ciou", "l2")
    )
    assert first == again
    assert first != other
