import math

import pytest
import torch
from torch import Tensor

from detector.assigners.assigner import Assignment
from detector.heads.anchor_based import AnchorBasedHead
from detector.heads.points import Points
from detector.losses.box import BoxLoss
from detector.losses.classification import ClassLoss
from detector.losses.criterion import Criterion
from detector.types import FeatureInfo, Target

CLASSES, SIDE = 3, 32
FEATURES = FeatureInfo(("P4", "P5"), (8, 8), (16, 32))


class Fixed:
    """Of the first object point 1 answers, of the second point 4; points 0 and 2 are ignored; a third pair is not taken."""

    def __call__(self, scores: Tensor, boxes: Tensor, points: Points, objects: Tensor, labels: Tensor) -> Assignment:
        ignored = torch.zeros(len(boxes), dtype=torch.bool)
        ignored[[0, 2]] = True
        first = torch.tensor([1, 4, 1]), torch.tensor([0, 1, 1])
        return Assignment(*first, torch.tensor([1.0, 0.6, 0.0]), torch.tensor([1.0, 1.0, 0.0]), ignored)


def target() -> Target:
    return Target(
        boxes=torch.tensor([[2.0, 3.0, 20.0, 30.0], [10.0, 8.0, 28.0, 25.0]]),
        labels=torch.tensor([2, 0]),
        crowd=torch.zeros(2, dtype=torch.bool),
        area=torch.ones(2),
        image_id=0,
        original_size=(SIDE, SIDE),
        transform=torch.eye(3),
    )


@pytest.fixture
def head() -> AnchorBasedHead:
    return AnchorBasedHead(FEATURES, CLASSES, [[[0.5, 0.5]], [[0.9, 0.9]]], SIDE)


@pytest.fixture
def raw() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = {"class_logits": (1, 5, CLASSES), "box_logits": (1, 5, 4), "objectness_logits": (1, 5)}
    return {k: torch.randn(*shape, generator=generator).requires_grad_() for k, shape in shapes.items()}


def measured(head: AnchorBasedHead, raw: dict[str, Tensor], kind: str = "bce") -> dict[str, Tensor]:
    criterion = Criterion(Fixed(), BoxLoss("giou"), ClassLoss(kind), class_weight=1.0, objectness_weight=1.0)
    points = head.points((SIDE, SIDE), torch.device("cpu"))
    return criterion(head, raw, points, [target()], (SIDE, SIDE))


def cross_entropy(logit: float, wanted: float) -> float:
    p = 1 / (1 + math.exp(-logit))
    return -wanted * math.log(p) - (1 - wanted) * math.log(1 - p)


def test_objectness_is_the_score_at_taken_points_and_0_elsewhere_but_where_it_is_ignored(
    head: AnchorBasedHead, raw: dict[str, Tensor]
) -> None:
    logits = raw["objectness_logits"][0].tolist()
    expected = cross_entropy(logits[1], 1.0) + cross_entropy(logits[3], 0.0) + cross_entropy(logits[4], 0.6)
    assert measured(head, raw)["objectness"].item() == pytest.approx(expected / 2, rel=1e-5)


def test_classes_are_learned_at_taken_points_only(head: AnchorBasedHead, raw: dict[str, Tensor]) -> None:
    logits = raw["class_logits"][0].tolist()
    expected = sum(
        cross_entropy(logits[1][k], float(k == 2)) + cross_entropy(logits[4][k], float(k == 0)) for k in (0, 1, 2)
    )
    loss = measured(head, raw)["class"]
    assert loss.item() == pytest.approx(expected / 2, rel=1e-5)
    loss.backward()
    assert raw["class_logits"].grad is not None
    assert raw["class_logits"].grad[0].any(dim=1).tolist() == [False, True, False, False, True]


def test_without_objectness_the_class_scores_carry_the_quality(head: AnchorBasedHead, raw: dict[str, Tensor]) -> None:
    del raw["objectness_logits"]
    head.scores = lambda raw: raw["class_logits"].sigmoid()  # type: ignore[method-assign]
    wanted = {(1, 2): 1.0, (4, 0): 0.6}
    logits = raw["class_logits"][0].tolist()
    expected = sum(cross_entropy(logits[p][k], wanted.get((p, k), 0.0)) for p in range(5) for k in range(CLASSES))
    losses = measured(head, raw)
    assert losses["class"].item() == pytest.approx(expected / 2, rel=1e-5)
    assert "objectness" not in losses


@pytest.mark.parametrize("kind", ["bce", "focal", "varifocal"])
def test_every_class_loss_is_finite_with_objectness_in_bf16(
    head: AnchorBasedHead, raw: dict[str, Tensor], kind: str
) -> None:
    extreme = {k: (v.detach() * 1e3).bfloat16().requires_grad_() for k, v in raw.items()}
    total = torch.stack(list(measured(head, extreme, kind).values())).sum()
    total.backward()
    assert total.isfinite()
    assert all(v.grad is not None and v.grad.isfinite().all() for v in extreme.values())
