"""What every assigner looks at: pairs of an object and a point near it."""

import itertools

import numpy as np
import pytest
import torch
from random_scenes import ANCHORS, Scene, assign, scene, target

from detector.assigners import ASSIGNERS, AssignerOptions
from detector.assigners import pairs as pairs_module
from detector.assigners.cells import both, cells_between, either
from detector.assigners.max_iou import MaxIoUAssigner
from detector.assigners.pairs import BLOCK, Pairs, best_of_each_object, pairs_of, pairs_within, wins_its_point
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
    images = [0] * 5 + [2] * 40
    near = [
        (n, images[n] * len(points.strides) + p)
        for n, (x1, y1, x2, y2) in enumerate(objects.boxes[:45].tolist())
        for p, (x, y) in enumerate(points.centres.tolist())
        if max(abs(x - (x1 + x2) / 2), abs(y - (y1 + y2) / 2)) <= reach
    ]
    assert listed(pairs) == near
    assert bool(near) == bool(reach)
    blocks = [-(-sum(n == m for m, _ in near) // BLOCK) for n in range(45)]
    assert pairs.first[:46].tolist() == list(itertools.accumulate(blocks, initial=0))


def listed(pairs: Pairs) -> list[tuple[int, int]]:
    rows = pairs.objects[:, None].expand_as(pairs.places)
    return list(zip(rows[~pairs.filler].tolist(), pairs.places[~pairs.filler].tolist(), strict=True))


@pytest.mark.parametrize("anchors", [None, ANCHORS])
def test_the_cells_of_two_rectangles_are_united_and_intersected_as_sets_of_points_are(anchors: object) -> None:
    """Rectangles about one centre as those of an object are, of every form, some empty and some across the border."""
    one = scene(100, anchors)  # type: ignore[arg-type]
    points, objects = one.points, batch(one).objects
    centre = np.random.default_rng(0).uniform(-4, 100, (len(objects.labels), 1, 2))
    half = np.random.default_rng(1).uniform(0, 40, (2, *centre.shape))
    a, b = (cells_between(points, centre - one, centre + one, borders=False) for one in half)
    within = []
    for n, centre_of_one in enumerate(centre[:100, 0]):
        offset = np.abs(points.centres.numpy() - centre_of_one)
        within.append([set(np.flatnonzero((offset < one[n, 0]).all(axis=1))) for one in half])
    for cells, expected in (
        (either(a, b), [first | second for first, second in within]),
        (both(a, b), [first & second for first, second in within]),
    ):
        assert listed(pairs_of(points, objects, cells)) == [
            (n, p) for n, own in enumerate(expected) for p in sorted(own)
        ]
        assert cells.points(points.levels)[:100].tolist() == [len(own) for own in expected]
    assert any(not first or not second for first, second in within)


@pytest.mark.parametrize("borders", [True, False])
def test_a_centre_on_a_border_belongs_to_a_rectangle_as_it_is_asked(borders: bool) -> None:
    points = scene(0).points  # cells of 8 and 16 pixels
    cells = cells_between(points, np.array([[[12.0, 20.0]] * 2]), np.array([[[28.0, 40.0]] * 2]), borders)
    inside = [
        ((12 <= x <= 28 and 20 <= y <= 40) if borders else (12 < x < 28 and 20 < y < 40))
        for x, y in points.centres.tolist()
    ]
    assert cells.points(points.levels).tolist() == [sum(inside)]


@pytest.mark.parametrize("number", [1, 3, 60])  # of up to five blocks
def test_the_best_pairs_of_each_object_are_those_that_topk_finds(number: int) -> None:
    one = scene(12, seed=3)
    objects = batch(one).objects
    pairs = pairs_within(one.points, objects, np.full((len(objects.labels), 2, 2), 30.0))
    merit = torch.randn(pairs.places.shape, generator=torch.Generator().manual_seed(0)) * 1e3
    merit = merit.masked_fill(pairs.filler | (merit.abs() < 300), -torch.inf)  # of both signs
    best, there = best_of_each_object(pairs, merit, number)
    assert pairs.count[:12].max() > 3
    for n in range(12):
        own = merit[pairs.objects == n].flatten()
        own = own[own > -torch.inf]
        assert merit.flatten()[best[n]][there[n]].tolist() == own.topk(min(number, len(own))).values.tolist()
    assert not there[12:].any()


def test_of_equal_merits_the_earlier_pair_and_the_first_object_win() -> None:
    one = scene(2)
    pairs = pairs_within(one.points, batch(one).objects, np.full((8, 2, 2), 96.0))
    best, _ = best_of_each_object(pairs, torch.where(~pairs.filler, 0.0, -torch.inf), 3)
    assert best[:2].tolist() == [[0, 1, 2], [192, 193, 194]]
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
def test_chunks_are_rated_as_all_pairs_at_once(options: type[AssignerOptions], monkeypatch: pytest.MonkeyPatch) -> None:
    assigner, one = options().build(), scene(8, ANCHORS)
    at_once = assign(assigner, one)
    monkeypatch.setattr(pairs_module, "CHUNK", 3)
    in_chunks = assign(assigner, one)
    for name in ("points", "objects", "scores", "weights"):
        assert torch.equal(getattr(at_once, name), getattr(in_chunks, name)), name
    assert at_once.weights.any()


@pytest.mark.parametrize("options", ASSIGNERS, ids=lambda one: one().name)
def test_no_crowd_gets_a_point(options: type[AssignerOptions]) -> None:
    assigner, one = options().build(), scene(8, ANCHORS)
    objects = batch(one, one, crowds=(0,)).objects
    scores, boxes = one.scores.expand(2, -1, -1), one.boxes.expand(2, -1, -1)
    found = assigner(scores, boxes, one.points, objects, assigner.candidates(one.points, objects))
    assert len(set(found.objects[found.weights > 0].tolist()) & set(range(8, 16))) > 5
    assert (found.points[found.weights > 0] >= len(one.boxes)).all()
