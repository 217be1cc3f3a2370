import math
from typing import Protocol

import pytest
import torch
from torch import Tensor
from torchvision.ops import generalized_box_iou_loss

from detector.assigners.assigner import Assignment
from detector.assigners.pairs import Pairs
from detector.heads.anchor_based import AnchorBasedHead
from detector.heads.anchor_free import AnchorFreeHead
from detector.heads.points import Points
from detector.losses.box import BoxLoss
from detector.losses.classification import ClassLoss
from detector.losses.criterion import Criterion
from detector.targets import Objects, Target, Targets
from detector.types import FeatureInfo

CLASSES, SIDE = 3, 32
FEATURES = FeatureInfo(("P4", "P5"), (8, 8), (16, 32))


class Fixed:
    """Of the first object point 1 answers, of the second point 4; points 0 and 2 are ignored; a third pair is not taken."""

    def __init__(
        self,
        scores: tuple[float, float, float] = (1.0, 0.6, 0.0),
        weights: tuple[float, float, float] = (1.0, 1.0, 0.0),
    ) -> None:
        self.scores, self.weights = torch.tensor(scores), torch.tensor(weights)

    def candidates(self, points: Points, objects: Objects) -> None:
        return None

    def __call__(
        self, scores: Tensor, boxes: Tensor, points: Points, objects: Objects, candidates: Pairs | None
    ) -> Assignment:
        ignored = torch.zeros(boxes.shape[0] * boxes.shape[1], dtype=torch.bool)
        ignored[[0, 2]] = True
        first = torch.tensor([1, 4, 1]), torch.tensor([0, 1, 1])
        return Assignment(*first, self.scores, self.weights, ignored)


def target(labels: tuple[int, int] = (2, 0)) -> Target:
    return Target(
        boxes=torch.tensor([[2.0, 3.0, 20.0, 30.0], [10.0, 8.0, 28.0, 25.0]]),
        labels=torch.tensor(labels),
        crowd=torch.zeros(2, dtype=torch.bool),
        area=torch.ones(2),
        image_id=0,
        original_size=(SIDE, SIDE),
        transform=torch.eye(3),
    )


def objects(one: Target) -> Objects:
    return Targets([one]).objects


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
    return criterion(head, raw, points, objects(target()), None, (SIDE, SIDE))


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


BOXES = torch.tensor([[[1.0, 1, 9, 9], [3, 3, 21, 27], [0, 0, 5, 5], [7, 7, 8, 8], [11, 9, 25, 25]]])
"""What the head is made to predict at its five points."""


class FourWeights(Protocol):
    def __call__(self, **weights: float) -> dict[str, Tensor]: ...


@pytest.fixture
def all_four(raw: dict[str, Tensor]) -> FourWeights:
    """The four losses of an anchor-free head with distributions, to which objectness logits are added."""
    head = AnchorFreeHead(FEATURES, CLASSES, convolutions=0, bins=8)
    raw = {**raw, "box_logits": torch.randn(1, 5, 32, generator=torch.Generator().manual_seed(1))}
    points = head.points((SIDE, SIDE), torch.device("cpu"))

    def measure(**weights: float) -> dict[str, Tensor]:
        criterion = Criterion(Fixed(), BoxLoss("giou"), ClassLoss("bce"), **weights)
        return criterion(head, raw, points, objects(target()), None, (SIDE, SIDE))

    return measure


@pytest.mark.parametrize("term", ["class", "box", "distribution", "objectness"])
def test_twice_the_weight_is_twice_that_loss_and_no_other(all_four: FourWeights, term: str) -> None:
    names = ("class", "box", "distribution", "objectness")
    once = all_four(**{f"{name}_weight": 1.5 for name in names})
    twice = all_four(**{f"{name}_weight": 3.0 if name == term else 1.5 for name in names})
    assert once.keys() == set(names)
    for name in names:
        assert once[name] > 0
        assert twice[name].item() == pytest.approx(once[name].item() * (2 if name == term else 1), rel=1e-6)


def test_each_pair_s_box_loss_counts_by_its_weight(
    head: AnchorBasedHead, raw: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head, "decode", lambda logits, points: BOXES)
    criterion = Criterion(
        Fixed(weights=(0.3, 0.9, 0.0)), BoxLoss("giou"), ClassLoss("bce"), box_weight=2.0, objectness_weight=1.0
    )
    losses = criterion(head, raw, head.points((SIDE, SIDE), torch.device("cpu")), objects(target()), None, (SIDE, SIDE))
    each = generalized_box_iou_loss(BOXES[0, [1, 4]], target().boxes)
    expected = 2.0 * (0.3 * each[0] + 0.9 * each[1]) / 1.2
    assert losses["box"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_sum_of_weights_below_one_does_not_enlarge_a_loss(
    head: AnchorBasedHead, raw: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head, "decode", lambda logits, points: BOXES)
    criterion = Criterion(Fixed(weights=(0.3, 0.0, 0.0)), BoxLoss("giou"), ClassLoss("bce"), box_weight=1.0)
    losses = criterion(head, raw, head.points((SIDE, SIDE), torch.device("cpu")), objects(target()), None, (SIDE, SIDE))
    each = generalized_box_iou_loss(BOXES[0, [1]], target().boxes[:1])
    assert losses["box"].item() == pytest.approx(0.3 * each.item(), rel=1e-5)


def test_classes_at_taken_points_count_by_the_weight_of_the_pair(head: AnchorBasedHead, raw: dict[str, Tensor]) -> None:
    criterion = Criterion(Fixed(weights=(0.3, 0.9, 0.0)), BoxLoss("giou"), ClassLoss("bce"), class_weight=1.0)
    losses = criterion(head, raw, head.points((SIDE, SIDE), torch.device("cpu")), objects(target()), None, (SIDE, SIDE))
    logits = raw["class_logits"][0].tolist()
    each = [
        sum(cross_entropy(logits[p][k], float(k == wanted)) for k in range(CLASSES)) for p, wanted in ((1, 2), (4, 0))
    ]
    assert losses["class"].item() == pytest.approx((0.3 * each[0] + 0.9 * each[1]) / 1.2, rel=1e-5)


def test_the_scores_of_two_pairs_of_one_point_and_class_add_up(head: AnchorBasedHead, raw: dict[str, Tensor]) -> None:
    """Both objects have label 1, and point 1 is paired with both: 0.5 and 0.25."""
    del raw["objectness_logits"]
    head.scores = lambda raw: raw["class_logits"].sigmoid()  # type: ignore[method-assign]
    assigner = Fixed(scores=(0.5, 0.6, 0.25), weights=(1.0, 1.0, 0.5))
    criterion = Criterion(assigner, BoxLoss("giou"), ClassLoss("bce"), class_weight=1.0)
    points = head.points((SIDE, SIDE), torch.device("cpu"))
    losses = criterion(head, raw, points, objects(target((1, 1))), None, (SIDE, SIDE))
    wanted = {(1, 1): 0.75, (4, 1): 0.6}
    logits = raw["class_logits"][0].tolist()
    expected = sum(cross_entropy(logits[p][k], wanted.get((p, k), 0.0)) for p in range(5) for k in range(CLASSES))
    assert losses["class"].item() == pytest.approx(expected / 2.5, rel=1e-5)


def test_the_objectness_of_two_pairs_of_one_point_adds_up(head: AnchorBasedHead, raw: dict[str, Tensor]) -> None:
    assigner = Fixed(scores=(0.5, 0.6, 0.25), weights=(1.0, 1.0, 0.0))
    criterion = Criterion(assigner, BoxLoss("giou"), ClassLoss("bce"), objectness_weight=1.0)
    losses = criterion(head, raw, head.points((SIDE, SIDE), torch.device("cpu")), objects(target()), None, (SIDE, SIDE))
    logits = raw["objectness_logits"][0].tolist()
    expected = cross_entropy(logits[1], 0.75) + cross_entropy(logits[3], 0.0) + cross_entropy(logits[4], 0.6)
    assert losses["objectness"].item() == pytest.approx(expected / 2, rel=1e-5)


def test_the_distribution_is_learned_in_strides_of_the_point_s_own_level() -> None:
    """Bins 0..7. Point 1 lies at (24, 8) on stride 16; its object (2, 3, 20, 30) is 22, 5, -4 and 22 pixels away. Point 4
    lies at (16, 16) on stride 32; its object (10, 8, 28, 25) is 6, 8, 12 and 9 pixels away."""
    head = AnchorFreeHead(FEATURES, CLASSES, convolutions=0, bins=8)
    points = head.points((SIDE, SIDE), torch.device("cpu"))
    assert points.centres[[1, 4]].tolist() == [[24, 8], [16, 16]]
    generator = torch.Generator().manual_seed(2)
    raw = {"class_logits": torch.zeros(1, 5, CLASSES), "box_logits": torch.randn(1, 5, 32, generator=generator)}
    criterion = Criterion(Fixed(weights=(1.0, 0.5, 0.0)), BoxLoss("giou"), ClassLoss("bce"), distribution_weight=1.0)
    losses = criterion(head, raw, points, objects(target()), None, (SIDE, SIDE))
    expected = 0.0
    for point, stride, weight, sides in ((1, 16, 1.0, (22.0, 5.0, -4.0, 22.0)), (4, 32, 0.5, (6.0, 8.0, 12.0, 9.0))):
        for side, pixels in enumerate(sides):
            value = min(max(pixels / stride, 0.0), 7.0)
            probability = raw["box_logits"][0, point, 8 * side : 8 * side + 8].double().softmax(0).tolist()
            low = int(value)
            loss = -(low + 1 - value) * math.log(probability[low]) - (value - low) * math.log(probability[low + 1])
            expected += weight * loss / 4
    assert losses["distribution"].item() == pytest.approx(expected / 1.5, rel=1e-5)
