from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import pytest
import torch

from detector import config
from detector.boxes import area
from detector.seminar import box_losses, gradient_problems, necks, size_training
from detector.seminar.box_losses import loss_against_size
from detector.seminar.run import EXPERIMENTS
from detector.seminar.size_training import ByTraining, average_precision, draw, train_and_measure

QUICK = ("2a", "4c")


@pytest.mark.parametrize(
    "question", [pytest.param(one, marks=[] if one in QUICK else [pytest.mark.slow]) for one in EXPERIMENTS]
)
def test_what_is_measured_bears_each_claim_out_and_is_drawn(question: str, tmp_path: Path) -> None:
    before = torch.get_rng_state()
    answer = EXPERIMENTS[question](tmp_path)
    assert torch.equal(before, torch.get_rng_state())
    assert answer.question == question
    assert answer.right, answer
    picture = cv2.imread(str(tmp_path / f"{question}.png"))
    assert answer.plot == tmp_path / f"{question}.png"
    assert picture is not None
    assert picture.std() > 10


@pytest.mark.slow
def test_a_neck_that_combines_nothing_does_not_bear_the_claim_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(necks, "NECKS", {**necks.NECKS, "fpn": config.NoNeckOptions()})
    assert not EXPERIMENTS["4c"](tmp_path).right


@pytest.mark.parametrize(("l2", "ciou", "right"), [(0.3, 0.4, True), (0.4, 0.3, False), (0.3, 0.33, False)])
def test_the_claim_on_box_losses_hangs_on_what_was_trained(
    l2: float, ciou: float, right: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {"l2": l2, "ciou": ciou}
    monkeypatch.setattr(
        box_losses,
        "train_and_measure",
        lambda kind, seed: ByTraining({"small": small[kind], "medium": 0.7, "large": 0.8}),
    )
    assert EXPERIMENTS["4d"](tmp_path).right is right


def test_a_problem_without_symptoms_does_not_bear_the_claim_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gradient_problems, "STEPS", 12)
    monkeypatch.setattr(gradient_problems, "WELL", replace(gradient_problems.WELL, depth=2))
    monkeypatch.setattr(gradient_problems, "DEAD", gradient_problems.WELL)
    gradient_problems.course.cache_clear()
    assert not gradient_problems.dying_relus(tmp_path).right
    gradient_problems.course.cache_clear()


def test_losses_of_coordinates_grow_with_the_side_and_its_square_and_those_of_iou_do_not() -> None:
    curves, iou = loss_against_size()
    ratios = {kind: curve.largest_by_smallest for kind, curve in curves.items()}
    side = 512 / 8
    assert ratios == pytest.approx({"l2": side**2, "l1": side, "iou": 1, "giou": 1, "diou": 1, "ciou": 1})
    overlap = 0.9 * 0.85  # of the unit square with [0.1, 1.2] × [0.15, 1.05]
    assert iou == pytest.approx(overlap / (1 + 1.1 * 0.9 - overlap), abs=1e-4)


def test_a_drawn_rectangle_covers_the_area_of_its_box(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(size_training, "NOISE", 0.0)
    images, boxes = draw(50, torch.Generator().manual_seed(0))
    torch.testing.assert_close(images.sum((1, 2, 3)) * size_training.PIXELS**2, area(boxes))
    rows = torch.arange(48)[:, None] * 4.0 + 2
    centre = (images[:, 0] * rows).sum((1, 2)) / images.sum((1, 2, 3))
    torch.testing.assert_close(centre, (boxes[:, 1] + boxes[:, 3]) / 2, atol=2.0, rtol=0)
    assert boxes.min() >= 0
    assert boxes.max() <= size_training.IMAGE


def test_ap_of_perfect_boxes_is_1_and_of_boxes_with_iou_062_three_thresholds_of_ten() -> None:
    _, boxes = draw(300, torch.Generator().manual_seed(0))
    assert average_precision(boxes, boxes) == pytest.approx({"small": 1.0, "medium": 1.0, "large": 1.0})
    low, high = boxes[:, :2], boxes[:, 2:]
    narrow = torch.cat([low, high - (high - low) * torch.tensor([0.38, 0.0])], dim=1)
    assert average_precision(narrow, boxes) == pytest.approx({"small": 0.3, "medium": 0.3, "large": 0.3})


@pytest.mark.slow
def test_the_same_seed_gives_the_same_training_and_the_loss_matters() -> None:
    first, again, other = (train_and_measure(kind, seed=3, steps=20) for kind in ("ciou", "ciou", "l2"))
    assert first == again
    assert first != other
