"""What every assigner looks at: pairs of an object and a point near it."""

import numpy as np
import pytest
import torch
from random_scenes import ANCHORS, Scene, scene, target

from detector.assigners import ASSIGNERS, AssignerOptions
from detector.assigners.max_iou import MaxIoUAssigner
from detector.assigners.pairs import SLACK, best_of_each_object, pairs_within, wins_its_point
from detector.boxes import pairwise_iou
from detector.heads.anchor_based import AnchorBasedHead
from detector.targets import Targets
from detector.types import FeatureInfo


def batch(*scenes: Scene, crowds: tuple[int, ...] = ()) -> Targets:
    return Targets([target(one, crowd=i in crowds) for i, one in enumerate(scenes)])


@pytest.mark.parametrize("anchors", [None, ANCHORS])
@pytest.mark.parametrize("reach", [0.0, 13.0, np.inf])
def test_pairs_are_all_those_within_reach_each_once_and_of_no_crowd(anchors: object, reach: float) -> None:
    scenes = [scene(5, anchors), scene(0, anchors), scene(40, anchors, smallest=1, seed=1), scene(9, anchors, seed=2)]  # type: ignore[arg-type]
    points = scenes[0].points
    objects = batch(*scenes, crowds=(3,)).objects
    pairs = pairs_within(points, objects, np.full((len(objects.labels), 2, 2), reach))
    found = list(zip(pairs.objects[pairs.valid].tolist(), pairs.points[pairs.valid].tolist(), strict=True))
    assert len(found) == len(set(found))
    near, nearly = set(), set()
    for n in range(45):
        x1, y1, x2, y2 = objects.boxes[n].tolist()
        for p, (x, y) in enumerate(points.centres.tolist()):
            distance = max(abs(x - (x1 + x2) / 2), abs(y - (y1 + y2) / 2))
            near |= {(n, p)} if distance <= reach else set()
            nearly |= {(n, p)} if distance <= reach + SLACK * 16 else set()
    assert near <= set(found) <= nearly
    assert bool(near) == bool(reach)
    images = [0] * 5 + [2] * 40
    places = [images[n] * len(points.strides) + p for n, p in found]
    assert pairs.places[pairs.valid].tolist() == places
    assert pairs.count[:45].tolist() == [sum(n == m for m, _ in found) for n in range(45)]
    assert not pairs.count[45:].any()


def test_the_best_pairs_of_each_object_are_those_that_topk_finds() -> None:
    one = scene(12, seed=3)
    objects = batch(one).objects
    pairs = pairs_within(one.points, objects, np.full((12, 2, 2), 30.0))
    merit = torch.randn(len(pairs.objects), generator=torch.Generator().manual_seed(0)) * 1e3
    merit = torch.where(pairs.valid & (merit.abs() > 300), merit, -torch.inf)  # of both signs
    best, there = best_of_each_object(pairs, merit, 6)
    for n in range(12):
        own = merit[(pairs.objects == n) & pairs.valid]
        own = own[own > -torch.inf]
        assert merit[best[n]][there[n]].tolist() == own.topk(min(6, len(own))).values.tolist()
    assert len(there) == 12


def test_of_equal_merits_the_earlier_pair_and_the_first_object_win() -> None:
    one = scene(2)
    pairs = pairs_within(one.points, batch(one).objects, np.full((8, 2, 2), 96.0))
    best, _ = best_of_each_object(pairs, torch.where(pairs.valid, 0.0, -torch.inf), 3)
    assert best[:2].tolist() == [[0, 1, 2], [180, 181, 182]]
    places = torch.tensor([[4, 5], [5, 6], [5, 7]])
    taken = torch.tensor([[True, True], [True, True], [True, False]])
    won = wins_its_point(places, taken, torch.tensor([[0.1, 0.5], [0.5, 0.1], [0.4, 0.9]]), 8)
    assert won.tolist() == [[True, True], [False, True], [False, False]]


@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.5, 0.7, 1.0])
def test_no_prediction_that_overlaps_an_object_by_enough_is_passed_over(threshold: float) -> None:
    """Predictions of a head, whose centres lie as far from their points as it allows."""
    features = FeatureInfo(("P3", "P4"), (8, 8), (8, 16))
    head = AnchorBasedHead(features, 3, [[[0.1, 0.1], [0.3, 0.2]], [[0.4, 0.6]]], 96, scale_xy=2.0)
    points = head.points((96, 96), torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(len(points.strides), 4, generator=generator) * torch.tensor([9.0, 9.0, 0.7, 0.7])
    boxes = head.decode(logits, points)
    one = scene(30, seed=4)
    objects = torch.cat([one.objects, boxes[::9] + 0.5])  # some that are nearly predicted
    one = Scene(torch.rand(len(boxes), 3), boxes, points, objects, torch.zeros(len(objects), dtype=torch.int64))
    assigner = MaxIoUAssigner(ignore_threshold=threshold)
    flat = batch(one).objects
    found = assigner(one.scores[None], boxes[None], points, flat, assigner.candidates(points, flat))
    taken = torch.zeros(len(boxes), dtype=torch.bool)
    taken[found.points[found.weights > 0]] = True
    expected = (pairwise_iou(objects, boxes).amax(dim=0) > threshold) & ~taken
    assert found.ignored is not None
    assert torch.equal(found.ignored, expected)
    assert expected.any() == (threshold < 1)


@pytest.mark.parametrize("options", ASSIGNERS, ids=lambda one: one().name)
def test_no_crowd_gets_a_point(options: type[AssignerOptions]) -> None:
    assigner, one = options().build(), scene(8, ANCHORS)
    objects = batch(one, one, crowds=(0,)).objects
    scores, boxes = one.scores.expand(2, -1, -1), one.boxes.expand(2, -1, -1)
    found = assigner(scores, boxes, one.points, objects, assigner.candidates(one.points, objects))
    assert len(set(found.objects[found.weights > 0].tolist()) & set(range(8, 16))) > 5
    assert (found.points[found.weights > 0] >= len(one.boxes)).all()
