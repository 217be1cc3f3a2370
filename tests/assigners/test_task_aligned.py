import random_scenes
import torch
from random_scenes import Scene, assert_a_batch_is_its_images, assert_nothing_is_taken, assign

from detector.assigners.task_aligned import TaskAlignedAssigner
from detector.heads.points import Points, make_points

CPU = torch.device("cpu")


def scene(objects: int, classes: int = 3, side: int = 96, seed: int = 0) -> Scene:
    generator = torch.Generator().manual_seed(seed)
    points = make_points((side, side), (8, 16), CPU)
    count = len(points.strides)
    scores = torch.rand(count, classes, generator=generator)
    reach = torch.rand(count, 2, 2, generator=generator) * 30 + 2
    boxes = torch.cat([points.centres - reach[:, 0], points.centres + reach[:, 1]], dim=1)
    low = torch.rand(objects, 2, generator=generator) * (side - 40)
    truth = torch.cat([low, low + torch.rand(objects, 2, generator=generator) * 36 + 4], dim=1)
    labels = torch.randint(0, classes, (objects,), generator=generator)
    return Scene(scores, boxes, points, truth, labels)


def iou(a: list[float], b: list[float]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    overlap = max(width, 0.0) * max(height, 0.0)
    return overlap / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - overlap)


def by_the_paper(
    scores: torch.Tensor, boxes: torch.Tensor, points: Points, truth: torch.Tensor, labels: torch.Tensor, top: int
) -> dict[int, tuple[int, float]]:
    """Section 3.2 of the paper with loops: point → (object, target score)."""
    half_cell = 4.0
    chosen: dict[int, list[int]] = {}
    alignment: dict[tuple[int, int], float] = {}
    overlap: dict[tuple[int, int], float] = {}
    for g, (box, label) in enumerate(zip(truth.tolist(), labels.tolist(), strict=True)):
        centre = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]
        reach = [max((box[2] - box[0]) / 2, half_cell), max((box[3] - box[1]) / 2, half_cell)]
        rated = []
        for p, (x, y) in enumerate(points.centres.tolist()):
            overlap[p, g] = iou(boxes[p].tolist(), box)
            alignment[p, g] = scores[p, label].item() * overlap[p, g] ** 6
            if abs(x - centre[0]) <= reach[0] and abs(y - centre[1]) <= reach[1]:
                rated.append((alignment[p, g], p))
        for _, p in sorted(rated, reverse=True)[:top]:
            chosen.setdefault(p, []).append(g)
    owner = {p: max((overlap[p, g], g) for g in candidates)[1] for p, candidates in chosen.items()}
    result = {}
    for p, g in owner.items():
        mine = [q for q, other in owner.items() if other == g]
        best_alignment = max(alignment[q, g] for q in mine)
        result[p] = (g, alignment[p, g] / best_alignment * max(overlap[q, g] for q in mine))
    return result


def test_equals_the_papers_rule_written_with_loops() -> None:
    for seed in range(5):
        one = scene(objects=7, seed=seed)
        found = assign(TaskAlignedAssigner(top=5), one)
        expected = by_the_paper(*one, top=5)
        taken = found.scores > 0
        assert sorted(found.points[taken].tolist()) == sorted(p for p, (_, score) in expected.items() if score > 0)
        for point, which, score in zip(found.points[taken], found.objects[taken], found.scores[taken], strict=True):
            assert expected[point.item()][0] == which.item()
            assert abs(expected[point.item()][1] - score.item()) < 1e-4


def test_equals_the_rule_with_several_anchors_a_cell() -> None:
    one = random_scenes.on_predictions(random_scenes.scene(7, random_scenes.ANCHORS))
    found = assign(TaskAlignedAssigner(top=5), one)
    expected = {p: pair for p, pair in by_the_paper(*one, top=5).items() if pair[1] > 0}
    pairs = random_scenes.taken(found)
    assert {p: which for p, (which, _) in pairs.items()} == {p: which for p, (which, _) in expected.items()}
    assert all(abs(score - expected[p][1]) < 1e-4 for p, (_, score) in pairs.items())
    assert torch.equal(found.weights, found.scores)


def test_a_point_answers_for_one_object_at_most() -> None:
    found = assign(TaskAlignedAssigner(), scene(objects=30, seed=1))
    taken = found.points[found.scores > 0]
    assert len(taken) == len(set(taken.tolist()))


def test_an_object_smaller_than_a_cell_has_a_point() -> None:
    one = scene(objects=1)
    for offset in torch.arange(0, 8, 0.5):
        tiny = torch.tensor([[40 + offset, 40 + offset, 42 + offset, 42 + offset]])
        reaching = torch.cat([one.points.centres - 6, one.points.centres + 6], dim=1)
        found = assign(TaskAlignedAssigner(), one._replace(boxes=reaching, objects=tiny, labels=torch.tensor([0])))
        assert (found.scores > 0).any()


def test_no_object_and_two_thousand_objects_are_legal() -> None:
    assert_nothing_is_taken(assign(TaskAlignedAssigner(), scene(objects=0)))
    crowded = assign(TaskAlignedAssigner(), scene(objects=2000, side=320))
    assert crowded.scores.isfinite().all()
    assert crowded.scores.max() <= 1.0


def test_a_batch_is_assigned_as_its_images_are() -> None:
    assert_a_batch_is_its_images(TaskAlignedAssigner(), scene(7), scene(30, seed=1), scene(1, seed=2))
