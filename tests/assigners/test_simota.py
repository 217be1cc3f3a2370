import math

import pytest
import torch
from random_scenes import (
    ANCHORS,
    Scene,
    assert_a_batch_is_its_images,
    assert_nothing_is_taken,
    assert_pairs_depend_on_the_number_of_objects_alone,
    assign,
    iou,
    on_predictions,
    scene,
    taken,
    target,
    with_duplicates,
)

from detector.assigners.simota import OUTSIDE, SimOTAAssigner
from detector.errors import OptionError
from detector.targets import Targets


def by_the_paper(one: Scene, radius: float, top: int) -> dict[int, tuple[int, float]]:
    """Point → (object, IoU), with loops over all pairs."""
    scores, boxes = one.scores.tolist(), one.boxes.tolist()
    rows = list(zip(one.points.centres.tolist(), one.points.strides.tolist(), strict=True))
    claims: dict[int, list[tuple[float, int]]] = {}
    overlaps: dict[tuple[int, int], float] = {}
    for g, (box, label) in enumerate(zip(one.objects.tolist(), one.labels.tolist(), strict=True)):
        x1, y1, x2, y2 = box
        costs = []
        for p, ((x, y), stride) in enumerate(rows):
            inside = x1 < x < x2 and y1 < y < y2
            central = max(abs(x - (x1 + x2) / 2), abs(y - (y1 + y2) / 2)) < radius * stride
            if not inside and not central:
                continue
            overlaps[p, g] = iou(boxes[p], box)
            cost = -3 * math.log(max(overlaps[p, g], 1e-8))
            for k, score in enumerate(scores[p]):
                cost -= math.log(score if k == label else 1 - score)
            costs.append((cost + (0 if inside and central else OUTSIDE), p))
        best = sorted((overlaps[p, g] for _, p in costs), reverse=True)[:top]
        wanted = max(int(sum(best)), 1)
        for cost, p in sorted(costs)[:wanted]:
            claims.setdefault(p, []).append((cost, g))
    return {p: (min(claim)[1], overlaps[p, min(claim)[1]]) for p, claim in claims.items()}


SCENES = {
    "few": on_predictions(scene(7)),
    "few, anchors": on_predictions(scene(7, ANCHORS)),
    "many": on_predictions(scene(60, seed=1)),
    "smaller than a cell": scene(20, smallest=1, largest=3, seed=2),
    "smaller than a cell, anchors": scene(20, ANCHORS, smallest=1, largest=3, seed=2),
    "duplicates": with_duplicates(on_predictions(scene(10, seed=3))),
    "two thousand": on_predictions(scene(2000, side=32, largest=30, seed=4)),
    "one": scene(1, seed=5),
    "large": on_predictions(scene(9, smallest=50, largest=96, seed=6)),
    "wide, high": on_predictions(scene(20, smallest=2, largest=90, seed=7)),
}


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize(("radius", "top"), [(2.5, 10), (1.0, 4)])
def test_equals_the_papers_rule_written_with_loops(name: str, radius: float, top: int) -> None:
    one = SCENES[name]
    pairs = taken(assign(SimOTAAssigner(radius, top), one))
    expected = by_the_paper(one, radius, top)
    assert {p: which for p, (which, _) in pairs.items()} == {p: which for p, (which, _) in expected.items()}
    for point, (_, score) in pairs.items():
        assert abs(score - expected[point][1]) < 1e-5


def test_classes_are_compared_near_the_centres_of_large_objects_alone() -> None:
    one = scene(9, side=320, smallest=200, largest=300)
    candidates = SimOTAAssigner().candidates(one.points, Targets([target(one)]).objects)
    everything, possible = ((~pairs.filler).sum().item() for pairs in (candidates.all, candidates.possible))
    assert 9 * 2 * 5**2 * 0.9 < possible <= 9 * 2 * 5**2  # two levels
    assert everything > 10 * possible


def test_some_objects_get_more_points_than_others() -> None:
    counts = [len([w for w, _ in taken(assign(SimOTAAssigner(), SCENES["few"])).values() if w == g]) for g in range(7)]
    assert max(counts) > min(counts) >= 1


def test_a_taken_pair_weighs_one_also_where_nothing_overlaps() -> None:
    far = scene(5)
    far = far._replace(boxes=torch.zeros_like(far.boxes))
    found = assign(SimOTAAssigner(), far)
    assert len(taken(found)) == 5
    assert set(found.weights.tolist()) == {0.0, 1.0}
    assert not found.scores.any()


def test_each_object_smaller_than_a_cell_has_a_point() -> None:
    for offset in torch.arange(0, 16, 0.5).tolist():
        low = 40.0 + offset
        tiny = scene(0)._replace(objects=torch.tensor([[low, low, low + 1, low + 1]]), labels=torch.tensor([0]))
        assert taken(assign(SimOTAAssigner(), tiny))


def test_no_object_takes_nothing() -> None:
    assert_nothing_is_taken(assign(SimOTAAssigner(), scene(0)))


def test_a_batch_is_assigned_as_its_images_are() -> None:
    scenes = on_predictions(scene(7)), with_duplicates(scene(30, seed=1)), scene(1, seed=2)
    assert_a_batch_is_its_images(SimOTAAssigner(), *scenes)


def test_the_number_of_pairs_depends_on_the_number_of_objects_alone() -> None:
    assert_pairs_depend_on_the_number_of_objects_alone(SimOTAAssigner(), scene(9), scene(9, largest=6, seed=1))


def test_scores_of_exactly_0_and_1_have_a_finite_cost() -> None:
    sure = scene(9)
    sure = sure._replace(scores=sure.scores.round())
    found = assign(SimOTAAssigner(), sure)
    assert found.scores.isfinite().all()
    assert taken(found)


def test_an_assigner_that_gives_no_points_is_refused() -> None:
    with pytest.raises(OptionError, match=r"top=0"):
        SimOTAAssigner(top=0)
