"""Random predictions and objects, and what assigners measure, written with Python's own numbers."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from detector.assigners.assigner import Assigner, Assignment
from detector.heads.points import Anchors, Points, make_points
from detector.targets import Target, Targets

ANCHORS: Anchors = (((6.0, 9.0), (14.0, 8.0)), ((20.0, 24.0), (40.0, 18.0)))


class Scene(NamedTuple):
    scores: Tensor
    boxes: Tensor
    points: Points
    objects: Tensor
    labels: Tensor


def scene(
    objects: int,
    anchors: Anchors | None = None,
    side: int = 96,
    smallest: float = 4,
    largest: float = 40,
    seed: int = 0,
) -> Scene:
    """Predictions at points of strides 8 and 16, each about its point, and objects inside the image, of three classes."""
    generator = torch.Generator().manual_seed(seed)
    points = make_points((side, side), (8, 16), torch.device("cpu"), anchors)
    count = len(points.strides)
    reach = torch.rand(count, 2, 2, generator=generator) * 20 + 2
    boxes = torch.cat([points.centres - reach[:, 0], points.centres + reach[:, 1]], dim=1)
    size = smallest + torch.rand(objects, 2, generator=generator) * (min(largest, side) - smallest)
    low = torch.rand(objects, 2, generator=generator) * (side - size)
    return Scene(
        torch.rand(count, 3, generator=generator),
        boxes,
        points,
        torch.cat([low, low + size], dim=1),
        torch.randint(0, 3, (objects,), generator=generator),
    )


def assign(assigner: Assigner, *scenes: Scene) -> Assignment:
    """What is assigned in a batch of scenes that have equal points."""
    objects = Targets([target(one) for one in scenes]).objects
    points = scenes[0].points
    scores, boxes = torch.stack([one.scores for one in scenes]), torch.stack([one.boxes for one in scenes])
    return assigner(scores, boxes, points, objects, assigner.candidates(points, objects))


def target(one: Scene, crowd: bool = False) -> Target:
    count = len(one.labels)
    crowds = torch.full((count,), crowd)
    return Target(one.objects, one.labels, crowds, torch.ones(count), 0, (96, 96), torch.eye(3))


def with_duplicates(one: Scene) -> Scene:
    """Every object a second time: the first half with the same label, the second with another."""
    other = one.labels.clone()
    other[len(other) // 2 :] = (other[len(other) // 2 :] + 1) % 3
    return one._replace(objects=one.objects.repeat(2, 1), labels=torch.cat([one.labels, other]))


def on_predictions(one: Scene) -> Scene:
    """Every third object lies nearly where something is predicted."""
    objects, level = one.objects.clone(), one.points.levels[0]
    for n in range(0, len(objects), 3):
        objects[n] = (one.boxes[(7 * n) % len(one.boxes)] + 0.5).clamp(0, level.columns * level.stride)
    return one._replace(objects=objects)


def iou(a: list[float], b: list[float]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    overlap = max(width, 0.0) * max(height, 0.0)
    return overlap / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - overlap)


def taken(found: Assignment) -> dict[int, tuple[int, float]]:
    """Point → (object, score) of the pairs that were taken; those that were not have neither score nor weight."""
    pairs: dict[int, tuple[int, float]] = {}
    columns = (found.points.tolist(), found.objects.tolist(), found.scores.tolist(), found.weights.tolist())
    for point, which, score, weight in zip(*columns, strict=True):
        if weight == 0:
            assert score == 0
        else:
            assert point not in pairs
            pairs[point] = (which, score)
    return pairs


def assert_pairs_depend_on_the_number_of_objects_alone(assigner: Assigner, first: Scene, second: Scene) -> None:
    assert len(first.objects) == len(second.objects)
    assert len(assign(assigner, first).points) == len(assign(assigner, second).points) > 0


def assert_nothing_is_taken(found: Assignment) -> None:
    assert not found.scores.any()
    assert not found.weights.any()
    assert found.points.dtype == found.objects.dtype == torch.int64
    assert found.scores.dtype == torch.float32
    assert found.ignored is None or not found.ignored.any()


def assert_a_batch_is_its_images(assigner: Assigner, *scenes: Scene) -> None:
    """Bit for bit, with an image without objects and one of crowds between the others."""
    empty = scene(0, side=scenes[0].points.levels[0].columns * 8)
    empty = scenes[0]._replace(objects=empty.objects, labels=empty.labels)
    together = [scenes[0], empty, *scenes[1:], empty]
    found = assign(assigner, *together)
    all_points, first = len(scenes[0].boxes), 0
    pairs = taken(found)
    for i, one in enumerate(together):
        alone = assign(assigner, one)
        expected = {i * all_points + p: (first + g, score) for p, (g, score) in taken(alone).items()}
        assert {p: pair for p, pair in pairs.items() if p // all_points == i} == expected
        assert bool(expected) == bool(len(one.labels))
        if found.ignored is not None:
            assert alone.ignored is not None
            assert torch.equal(found.ignored.reshape(-1, all_points)[i], alone.ignored)
        first += len(one.labels)
