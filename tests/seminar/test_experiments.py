from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch

from detector.boxes import area
from detector.seminar import box_losses, dead_units, faces, size_training
from detector.seminar.answer import Answer, Condition
from detector.seminar.box_losses import loss_against_size
from detector.seminar.drawing import draw
from detector.seminar.run import EXPERIMENTS, NUMERIC, QUESTIONS, answer
from detector.seminar.size_training import average_precision, train_and_measure

SMALL: dict[str, dict[str, Any]] = {
    "2a": {"seeds": (0,)},
    "2b": {"seeds": (0,), "numbers": (32,)},
    "3d": {"seeds": (0,)},
    "3e": {"seeds": (0,)},
    "4a": {"proposals": 40},
    "4b": {"seeds": (0,), "deep": 16, "steps": 50},
    "4c": {},
    "4d": {"seeds": (0,), "steps": 120},
    "5e": {},
}
"""Sizes at which an experiment's conditions hold and its test is quick: the same code, with fewer seeds or steps."""


@cache
def small(question: str) -> Answer:
    if question == "5e":
        return answer("5e")
    return EXPERIMENTS[question](**SMALL[question])


def condition(found: Answer, start: str) -> Condition:
    return next(one for one in found.conditions if one.text.startswith(start))


@pytest.mark.parametrize("question", SMALL)
def test_what_is_measured_fulfils_every_condition_and_is_drawn(question: str, tmp_path: Path) -> None:
    before = torch.get_rng_state()
    found = small(question)
    assert torch.equal(before, torch.get_rng_state())
    assert found.question == question
    assert [one for one in found.conditions if not one.holds] == []
    assert found.right
    json.dumps(found.as_data(), allow_nan=False)
    picture = cv2.imread(str(draw(found.panels, tmp_path / "figure.png")))
    assert picture is not None
    assert picture.std() > 10


@pytest.mark.slow
@pytest.mark.parametrize("question", EXPERIMENTS)
def test_every_condition_holds_for_every_seed_at_full_size(question: str) -> None:
    found = answer(question)
    assert [one for one in found.conditions if not one.holds] == []


def test_every_question_is_tested_here_or_among_the_numeric_ones() -> None:
    assert sorted(SMALL.keys() | NUMERIC.keys()) == QUESTIONS
    assert SMALL.keys() == EXPERIMENTS.keys() | {"5e"}


def test_the_depths_that_a_budget_allows_are_those_of_real_layers() -> None:
    rows = {row[0]: row[1:] for row in small("2a").tables[1].rows}
    shared = 160 + (rows["shared"][0] - 1) * (9 * 16 * 16 + 16)
    own = 24 * 24 * (10 * 16 + (rows["own"][0] - 1) * (9 * 16 * 16 + 16))
    assert shared == rows["shared"][1] <= 10_000_000 < rows["shared"][2] == shared + 2320
    assert own == rows["own"][1] <= 10_000_000 < rows["own"][2] == own + 24 * 24 * 2320
    assert f"{rows['shared'][0]:,} convolutions, but {rows['own'][0]} layers" in small("2a").answer


def test_a_face_smiles_with_its_mouth_open_upwards_and_its_eyes_open_downwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        torch, "randn", lambda *shape, **_: torch.zeros(*shape[0]) if len(shape) == 1 else torch.zeros(*shape)
    )
    images, labels = faces.faces(200, True, torch.Generator().manual_seed(0))
    seen = set()
    for image, label in zip(images[:, 0], labels.tolist(), strict=True):
        for part, (row, column) in (("eye", (1, 0)), ("eye", (1, 7)), ("mouth", (8, 3))):
            drawn = image[row : row + 3, column : column + 5]
            if not torch.equal(drawn, faces.LINE):
                seen.add((part, "up" if torch.equal(drawn, faces.ARC) else "down", label))
    assert seen == {("mouth", "up", 1), ("mouth", "down", 0), ("eye", "down", 1), ("eye", "up", 0)}


def test_shuffled_parts_lie_anywhere_and_mean_the_same_everywhere() -> None:
    images, labels = faces.faces(300, False, torch.Generator().manual_seed(0))
    kernel = faces.ARC - faces.ARC.flip(0)
    highest = torch.nn.functional.conv2d(images, kernel[None, None])
    upwards = highest.amax((1, 2, 3)) > (-highest).amax((1, 2, 3))
    assert (upwards.long() == labels).double().mean() > 0.9


def test_a_dead_unit_has_no_gradient_and_comes_back_only_while_the_layer_below_learns() -> None:
    learning = [dead_units.revival(trial, frozen_below=False) for trial in range(4)]
    frozen = [dead_units.revival(trial, frozen_below=True) for trial in range(4)]
    assert all(one.positive[0] == 0 and one.while_dead == 0 for one in (*learning, *frozen))
    assert any(max(one.positive) > 0 for one in learning)
    assert all(max(one.positive) == 0 for one in frozen)


def test_all_ways_out_of_the_sheet_are_tried_alone() -> None:
    names = list(dead_units.ways_out(dead_units.BY_WEIGHTS))
    assert [name.partition(":")[0] for name in names] == [
        "nothing changed", "normalisation", "initialisation", "initialisation", "activation", "activation", "activation", "residual connections",
    ]  # fmt: skip
    for cause in (dead_units.BY_WEIGHTS, dead_units.BY_BIASES):
        first, *others = dead_units.ways_out(cause).values()
        assert first == cause
        kept = [sum(getattr(one, field) != getattr(cause, field) for field in vars(cause)) for one in others]
        assert max(kept) <= 2, "mean and σ of the weights are one initialisation"


def test_vanishing_is_exponential_in_the_depth_and_clipping_does_not_change_the_ratio() -> None:
    found = small("3e")
    lines = {one.name: one.y for one in found.panels[0].series}
    falling = lines["nothing changed"]
    assert falling[-1] / falling[0] > 1e6
    assert all(after > 2 * before for before, after in zip(falling, falling[1:], strict=False))
    growing = {one.name: one.y for one in found.panels[1].series}["nothing changed"]
    assert growing[0] / growing[-1] > 100
    assert condition(found, "clipping leaves").holds


def test_the_heads_reach_is_not_said_to_be_what_one_stage_sees() -> None:
    found = small("4a")
    assert any("but each cell of P3 sees 679 pixels of the image" in step for step in found.steps)
    assert condition(found, "R-CNN: pixels outside").value == 0


def test_a_seed_on_which_the_iou_loses_is_named() -> None:
    found = small("4d")
    assert condition(found, "seeds on which a coordinate loss").holds
    assert "where the IoU family loses: seed" in found.steps[-1]


def test_losses_of_coordinates_grow_with_the_side_and_its_square_and_those_of_iou_do_not() -> None:
    curves, iou = loss_against_size()
    ratios = {kind: curve.largest_by_smallest for kind, curve in curves.items()}
    side = 512 / 8
    assert ratios == pytest.approx({"l2": side**2, "l1": side, "iou": 1, "giou": 1, "diou": 1, "ciou": 1})
    overlap = 0.9 * 0.85  # of the unit square with [0.1, 1.2] × [0.15, 1.05]
    assert iou == pytest.approx(overlap / (1 + 1.1 * 0.9 - overlap), abs=1e-4)
    assert f"all have IoU {iou:.2f}" in small("4d").steps[0]


@pytest.mark.parametrize(("l2", "ciou", "right"), [(0.3, 0.4, True), (0.4, 0.3, False), (0.3, 0.33, False)])
def test_the_claim_on_box_losses_hangs_on_what_was_trained(
    l2: float, ciou: float, right: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ap = {"l2": l2, "l1": (l2 + ciou) / 2, "ciou": ciou}
    monkeypatch.setattr(
        box_losses,
        "train_and_measure",
        lambda kind, seed, steps: size_training.ByTraining(
            {"small": ap[kind], "medium": 0.7, "large": 0.8 - ap[kind] / 100}
        ),
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
    first, again, other = (train_and_measure(kind, seed=3, steps=8) for kind in ("ciou", "ciou", "l2"))
    assert first == again
    assert first != other
