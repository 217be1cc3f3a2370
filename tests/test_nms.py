import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.ops import batched_nms

from detector import config, nms
from detector.errors import OptionError
from detector.nms import KINDS, NMS
from detector.types import Detections

Kept = list[tuple[float, int, list[float]]]  # score, label, box

THRESHOLD, SIGMA = 0.45, 0.3
EVERYTHING = NMS(iou_threshold=THRESHOLD, score_threshold=0.0, candidates=10**6, max_detections=10**6, sigma=SIGMA)


def brute_force(kind: str, boxes: Tensor, scores: Tensor, score_threshold: float = 0.0) -> Kept:
    """Each of the four as its paper's loop: take the best, then drop or weaken the rest, one prediction at a time."""
    rows: Kept = [
        (scores[a, k].item(), k, boxes[a].tolist())
        for a in range(scores.shape[0])
        for k in range(scores.shape[1])
        if scores[a, k] > score_threshold
    ]
    kept: Kept = []
    while rows:
        best = max(range(len(rows)), key=lambda i: (rows[i][0], -i))
        score, label, box = rows.pop(best)
        kept.append((score, label, box))
        left = []
        for row_score, row_label, row_box in rows:
            overlap = iou(box, row_box)
            if kind == "class_agnostic":
                stays = overlap <= THRESHOLD
            elif row_label != label:
                stays = True
            elif kind == "greedy":
                stays = overlap <= THRESHOLD
            elif kind == "diou":
                stays = overlap - centre_distance(box, row_box) <= THRESHOLD
            else:
                row_score *= math.exp(-(overlap**2) / SIGMA)
                stays = row_score > score_threshold
            if stays:
                left.append((row_score, row_label, row_box))
        rows = left
    return kept


def iou(a: list[float], b: list[float]) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union if union else 0.0


def centre_distance(a: list[float], b: list[float]) -> float:
    """Squared, as a share of the enclosing box's squared diagonal."""
    distance = ((a[0] + a[2] - b[0] - b[2]) ** 2 + (a[1] + a[3] - b[1] - b[3]) ** 2) / 4
    diagonal = (max(a[2], b[2]) - min(a[0], b[0])) ** 2 + (max(a[3], b[3]) - min(a[1], b[1])) ** 2
    return distance / diagonal if diagonal else 0.0


def random_predictions(count: int, classes: int = 3, seed: int = 3) -> tuple[Tensor, Tensor]:
    """Many overlaps, and corners on both sides of 0."""
    generator = torch.Generator().manual_seed(seed)
    low = torch.rand(count, 2, generator=generator) * 60 - 30
    boxes = torch.cat([low, low + torch.rand(count, 2, generator=generator) * 40 + 5], dim=1)
    return boxes, torch.rand(count, classes, generator=generator)


def assert_same(found: Detections, expected: Kept) -> None:
    assert found.labels.tolist() == [label for _, label, _ in expected]
    torch.testing.assert_close(found.scores, torch.tensor([score for score, _, _ in expected]))
    torch.testing.assert_close(found.boxes, torch.tensor([box for _, _, box in expected]).reshape(-1, 4))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_each_equals_its_brute_force_loop(kind: str, seed: int) -> None:
    boxes, scores = random_predictions(50, seed=seed)
    expected = brute_force(kind, boxes, scores)
    assert (len(expected) == 150) == (kind == "soft")  # soft alone drops nothing above a threshold of 0
    assert_same(replace(EVERYTHING, kind=kind)(boxes, scores), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_boxes_of_each_class_are_suppressed_as_so_many_boxes_of_one_class(kind: str) -> None:
    boxes, _ = random_predictions(60)
    _, scores = random_predictions(20)
    each_its_own = torch.zeros(60, 3)
    each_its_own[torch.arange(60), torch.arange(60) % 3] = scores.flatten()
    suppression = replace(EVERYTHING, kind=kind)
    found, expected = suppression(boxes.reshape(20, 3, 4), scores), suppression(boxes, each_its_own)
    for key in ("boxes", "scores", "labels"):
        assert torch.equal(getattr(found, key), getattr(expected, key)[: len(found)])
    assert len(found) == (expected.scores > 0).sum()


@pytest.mark.parametrize("kind", ["soft", "diou"])
def test_many_candidates_taken_row_by_row_give_what_all_pairs_at_once_give(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes, scores = random_predictions(50)
    suppression = replace(EVERYTHING, kind=kind, max_detections=60)
    assert scores.numel() <= nms.ALL_PAIRS
    at_once = suppression(boxes, scores)
    monkeypatch.setattr(nms, "ALL_PAIRS", 0)
    row_by_row = suppression(boxes, scores)
    for key in ("boxes", "scores", "labels"):
        assert torch.equal(getattr(row_by_row, key), getattr(at_once, key))


@pytest.mark.parametrize("kind", KINDS)
def test_equal_scores_are_taken_in_the_order_of_the_boxes(kind: str) -> None:
    boxes, scores = random_predictions(50)
    for levels in (4, 1):
        tied = (scores * levels).ceil() / levels
        expected = brute_force(kind, boxes, tied)
        assert_same(replace(EVERYTHING, kind=kind)(boxes, tied), expected)
        if kind != "soft":
            # also where the cut for the candidates goes through equal scores
            for count in (1, 7, 100):
                cut = replace(EVERYTHING, kind=kind, candidates=count)(boxes, tied)
                order = tied.flatten().sort(descending=True, stable=True).indices[:count]
                only = torch.zeros_like(tied).flatten().index_copy(0, order, tied.flatten()[order]).reshape(tied.shape)
                assert_same(cut, brute_force(kind, boxes, only))


@pytest.mark.parametrize("kind", KINDS)
def test_of_identical_boxes_one_a_class_stays_or_one_of_all_or_soft_keeps_all(kind: str) -> None:
    boxes = torch.tensor([[10.0, 10.0, 30.0, 50.0]]).repeat(5, 1)
    scores = torch.tensor([[0.5, 0.4], [0.9, 0.2], [0.9, 0.3], [0.1, 0.8], [0.7, 0.7]])
    found = replace(EVERYTHING, kind=kind)(boxes, scores)
    assert len(found) == {"greedy": 2, "class_agnostic": 1, "soft": 10, "diou": 2}[kind]
    assert_same(found, brute_force(kind, boxes, scores))


@pytest.mark.parametrize("kind", KINDS)
def test_one_box_stays_and_no_box_gives_none(kind: str) -> None:
    suppression = NMS(kind)
    found = suppression(torch.tensor([[1.0, 2.0, 3.0, 4.0]]), torch.tensor([[0.2, 0.0005, 0.7]]))
    assert found.scores.tolist() == pytest.approx([0.7] if kind == "class_agnostic" else [0.7, 0.2])
    assert found.labels.tolist() == ([2] if kind == "class_agnostic" else [2, 0])
    for boxes, scores in ((torch.zeros(0, 4), torch.zeros(0, 3)), (torch.rand(5, 4), torch.zeros(5, 3))):
        nothing = suppression(boxes, scores)
        assert nothing.boxes.shape == (0, 4)
        assert nothing.scores.shape == nothing.labels.shape == (0,)
        assert nothing.labels.dtype == torch.int64


@pytest.mark.parametrize("kind", KINDS)
def test_boxes_without_area_are_harmless(kind: str) -> None:
    boxes = torch.tensor([[5.0, 5.0, 5.0, 5.0], [5.0, 5.0, 5.0, 5.0], [0.0, 5.0, 10.0, 5.0], [0.0, 0.0, 10.0, 10.0]])
    scores = torch.tensor([[0.9], [0.8], [0.7], [0.6]])
    assert_same(replace(EVERYTHING, kind=kind)(boxes, scores), brute_force(kind, boxes, scores))


@pytest.mark.parametrize("kind", KINDS)
def test_thresholds_candidates_and_maximum_are_kept_to(kind: str) -> None:
    boxes, scores = random_predictions(50)
    every = replace(EVERYTHING, kind=kind)
    above = replace(every, score_threshold=0.6)(boxes, scores)
    assert_same(above, brute_force(kind, boxes, scores, score_threshold=0.6))
    assert above.scores.min() > 0.6
    assert_same(replace(every, max_detections=7)(boxes, scores), brute_force(kind, boxes, scores)[:7])
    entering = scores.flatten().sort(descending=True).values[:20]
    few = replace(every, candidates=20)(boxes, scores)
    assert_same(few, brute_force(kind, boxes, torch.where(scores >= entering[-1], scores, 0.0)))


def test_a_box_with_negative_corners_is_no_rival_of_another_class() -> None:
    """Shifted by its class number times the largest coordinate + 1 it would lie exactly on the first."""
    boxes = torch.tensor([[600.0, 600.0, 640.0, 640.0], [-41.0, -41.0, -1.0, -1.0]])
    found = NMS()(boxes, torch.tensor([[0.9, 0.0], [0.0, 0.8]]))
    assert found.labels.tolist() == [0, 1]


def test_a_neighbour_whose_centre_is_elsewhere_survives_diou_but_not_greedy() -> None:
    boxes = torch.tensor([[0.0, 0.0, 100.0, 100.0], [0.0, 30.0, 100.0, 130.0]])
    scores = torch.tensor([[0.9], [0.8]])
    overlap, distance = 70 / 130, 30**2 / (100**2 + 130**2)
    for threshold, greedy, diou in (
        (overlap - distance - 0.01, 1, 1),
        (overlap - distance / 2, 1, 2),
        (overlap + 0.01, 2, 2),
    ):
        assert len(NMS("greedy", threshold)(boxes, scores)) == greedy
        assert len(NMS("diou", threshold)(boxes, scores)) == diou


def test_soft_sigma_decides_how_much_an_overlap_costs() -> None:
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 5.0]])
    scores = torch.tensor([[0.9], [0.8]])
    for sigma in (0.1, 0.5, 5.0):
        found = NMS("soft", sigma=sigma)(boxes, scores)
        assert found.scores.tolist() == pytest.approx([0.9, 0.8 * math.exp(-(0.5**2) / sigma)])


def test_many_classes_of_a_large_image_are_kept_apart_without_rounding() -> None:
    """Moved by 79 times 8,000 pixels in float32, the flat box would lose its height to rounding."""
    boxes = torch.tensor([[8000, 8000, 8001, 8001], [8000, 8000, 8001, 8000.17], [0, 0, 1, 1]])
    scores = torch.zeros(3, 80)
    scores[:, 79] = torch.tensor([0.9, 0.8, 0.7])
    assert len(NMS(iou_threshold=0.168)(boxes, scores)) == 2
    assert len(NMS(iou_threshold=0.172)(boxes, scores)) == 3


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"suppression": "softt"}, "suppression: 'softt' is unknown; choose one of greedy, class_agnostic"),
        ({"iou_threshold": 1.5}, r"iou_threshold=1\.5: must be in 0\.\.1"),
        ({"score_threshold": -0.1}, r"score_threshold=-0\.1"),
        ({"candidates": 0}, r"candidates=0: must be 1 or more"),
        ({"max_detections": 0}, r"max_detections=0"),
        ({"soft_sigma": 0.0}, r"soft_sigma=0\.0: must be above 0"),
    ],
)
def test_a_value_that_cannot_be_is_named(option: dict[str, object], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        config.SingleShotOptions(**option).build_suppression()  # type: ignore[arg-type]


def test_every_option_of_the_configuration_arrives() -> None:
    model = config.SingleShotOptions(
        suppression="soft", soft_sigma=0.3, iou_threshold=0.4, score_threshold=0.2, candidates=50, max_detections=9
    )
    assert model.build_suppression() == NMS("soft", 0.4, 0.2, 50, 9, 0.3)
    assert config.SingleShotOptions().build_suppression() == NMS()


def varied_batch(images: int = 6, classes: int = 3, boxes: int = 60) -> tuple[Tensor, Tensor]:
    """Images with many, few and no scores above 0, with ties, and with corners on both sides of 0."""
    made = [random_predictions(boxes, classes, seed) for seed in range(images)]
    all_boxes, scores = torch.stack([one for one, _ in made]), torch.stack([one for _, one in made])
    scores = (scores * 10).ceil() / 10
    scores[1] = 0.0
    scores[2, 7:] = 0.0
    return all_boxes, scores


def assert_equal(found: Detections, expected: Detections) -> None:
    for key in ("boxes", "scores", "labels"):
        assert torch.equal(getattr(found, key), getattr(expected, key))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{}, {"candidates": 40}, {"max_detections": 5}, {"score_threshold": 0.45}])
def test_a_batch_gives_what_each_image_gives_alone(kind: str, options: dict[str, float]) -> None:
    boxes, scores = varied_batch()
    suppression = replace(EVERYTHING, kind=kind, **options)  # type: ignore[arg-type]
    together = suppression.batch(boxes, scores)
    assert [len(one) > 0 for one in together] == [True, False, True, True, True, True]
    for found, box, score in zip(together, boxes, scores, strict=True):
        assert_equal(found, suppression(box, score))
    numbers = [60, 60, 7, 31, 1, 0]
    cut = [(box[:n], score[:n]) for box, score, n in zip(boxes, scores, numbers, strict=True)]
    for found, (box, score) in zip(suppression.ragged(cut), cut, strict=True):
        assert_equal(found, suppression(box, score))


@pytest.mark.parametrize("layout", ["boxes first", "classes first"])
def test_greedy_equals_torchvisions_batched_nms(layout: str) -> None:
    boxes, scores = varied_batch()
    if layout == "classes first":  # as a head gives them
        scores = scores.transpose(1, 2).contiguous().transpose(1, 2)
    for found, box, score in zip(EVERYTHING.batch(boxes, scores), boxes, scores, strict=True):
        rows, labels = (score > 0).nonzero().unbind(1)
        order = score[rows, labels].sort(descending=True, stable=True).indices
        rows, labels = rows[order], labels[order]
        exact = box[rows].double() + 30  # torchvision's own shift of the classes expects corners from 0 on
        kept = batched_nms(exact, score[rows, labels].double(), labels, THRESHOLD)
        assert_equal(found, Detections(box[rows][kept], score[rows, labels][kept], labels[kept]))


def test_an_object_behind_many_boxes_of_a_better_one_is_found() -> None:
    """Of the first candidates that are looked at, all but one are boxes of the same object."""
    boxes = torch.tensor([[10.0, 10.0, 30.0, 50.0]]).repeat(100, 1)
    boxes[99] += 100
    found = NMS(max_detections=2)(boxes, torch.linspace(0.9, 0.1, 100)[:, None])
    assert_same(found, [(0.9, 0, boxes[0].tolist()), (0.1, 0, boxes[99].tolist())])


class _Device(TorchDispatchMode):
    """Counts the operations that a GPU would be waited for in."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func.name())
        indexed_by_flags = name.startswith("aten::index.") and any(
            one is not None and one.dtype == torch.bool for one in args[1]
        )
        if name.split(".")[0] in _WAITS or indexed_by_flags:
            self.waits.append(name)
        return func(*args, **(kwargs or {}))


_WAITS = ("aten::nonzero", "aten::_local_scalar_dense", "aten::masked_select", "torchvision::nms", "aten::bincount")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{}, {"candidates": 40}, {"max_detections": 5}])
def test_what_runs_on_a_gpu_gives_the_same_and_waits_three_times_at_most(
    kind: str, options: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes, scores = varied_batch()
    suppression = replace(EVERYTHING, kind=kind, **options)
    expected = suppression.batch(boxes, scores)
    monkeypatch.setattr(nms, "waiting_is_costly", lambda tensor: True)
    with _Device() as device:
        found = suppression.batch(boxes, scores)
    for one, other in zip(found, expected, strict=True):
        assert_equal(one, other)
    on_host = ["aten::bincount"]  # of what was copied there
    assert len([one for one in device.waits if one not in on_host]) + 1 <= 3  # and the copy
