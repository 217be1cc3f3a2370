"""Images, objects and detections that nobody saw, as COCO has them: many classes, common and rare, hard images and easy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from detector.data.index import AnnotatedObjects, Index, assemble
from detector.evaluation.comparison import ClassMatches, Matches, average_precisions
from detector.evaluation.results import FlatResults

SIDE = 640


def synthetic_index(images: int, classes: int, objects: float, seed: int, crowds: float = 0.02) -> Index:
    """About `objects` objects an image; class k is about 1 / (k + 1) as common as class 0."""
    random = np.random.default_rng(seed)
    counts = random.poisson(random.gamma(2.0, objects / 2.0, images))
    total = int(counts.sum())
    share = 1 / np.arange(1, classes + 1)
    sides = np.exp(random.uniform(np.log(12), np.log(300), (total, 2)))
    corners = random.uniform(0, SIDE - sides)
    return assemble(
        [f"class {k}" for k in range(classes)],
        range(1, classes + 1),
        random.permutation(10 * images)[:images].tolist(),
        [""] * images,
        np.full((images, 2), SIDE),
        AnnotatedObjects(
            owners=np.repeat(np.arange(images), counts).tolist(),
            boxes=np.concatenate([corners, corners + sides], axis=1),
            labels=random.choice(classes, total, p=share / share.sum()).tolist(),
            crowd=(random.random(total) < crowds).tolist(),
            where=lambda n: f"object {n}",
        ),
    )


def image_difficulty(index: Index, seed: int) -> np.ndarray:
    """float64 [I], 0..1: what makes an image hard is the same for all detectors."""
    return np.random.default_rng(seed).beta(2, 2, len(index))


def synthetic_results(index: Index, difficulty: np.ndarray, skill: float, false: float, seed: int) -> FlatResults:
    """Detections of a detector of some `skill` (0..1), with `false` wrong ones an image; no two scores are the same.

    A skilled detector finds more of the objects, places its boxes better and gives the right ones higher scores.
    """
    random = np.random.default_rng(seed)
    owners, objects = index.annotations.owners, index.annotations
    hard = difficulty[owners]
    found = np.flatnonzero(random.random(len(owners)) < 1 - (1 - skill) * hard)
    boxes = objects.boxes[found]
    noise = random.normal(size=boxes.shape) * 0.25 * ((1 - skill) * (0.3 + hard[found]))[:, None]
    moved = boxes + noise * boxes[:, [2, 3, 2, 3]]
    moved[:, 2:] = np.maximum(moved[:, 2:], 1)

    wrong = int(false * len(index))
    sides = np.exp(random.uniform(np.log(12), np.log(300), (wrong, 2)))
    images = np.concatenate([owners[found], random.integers(0, len(index), wrong)])
    scores = np.concatenate([random.beta(4, 3 - 2 * skill, len(found)), random.beta(1, 4, wrong)])
    scores += np.arange(len(scores)) * 1e-12
    order = random.permutation(len(scores))
    return FlatResults(
        images=images[order],
        labels=np.concatenate([objects.labels[found], random.choice(objects.labels, wrong)])[order],
        boxes=np.concatenate([moved, np.concatenate([random.uniform(0, SIDE - sides), sides], axis=1)])[order],
        scores=scores[order],
    )


def repeated(index: Index, results: FlatResults, weights: np.ndarray) -> tuple[Index, FlatResults]:
    """The data with each image as often as its weight says, under ids of their own."""
    chosen = np.repeat(np.arange(len(index)), weights)
    many = replace(index.subset(chosen), image_ids=np.random.default_rng(0).permutation(len(chosen)))
    rows = [np.flatnonzero(results.images == image) for image in chosen]
    flat = np.concatenate(rows)
    owners = np.repeat(np.arange(len(chosen)), [len(one) for one in rows])
    return many, FlatResults(owners, results.labels[flat], results.boxes[flat], results.scores[flat])


def only(matches: Matches, images: np.ndarray) -> Matches:
    """What was found in some of the images, each named once."""
    place = np.full(matches.images, -1)
    place[images] = np.arange(len(images))

    def of_class(one: ClassMatches) -> ClassMatches:
        kept = place[one.images] >= 0
        row = np.cumsum(kept) - 1
        return ClassMatches(
            place[one.images[kept]],
            tuple(row[rows[kept[rows]]] for rows in one.true),
            tuple(row[rows[kept[rows]]] for rows in one.ignored),
            place[one.objects][place[one.objects] >= 0],
        )

    some = Matches(len(images), tuple(map(of_class, matches.classes)), np.nan)
    return replace(some, ap=float(average_precisions(some, np.ones((1, len(images)), dtype=np.int32))[0]))
