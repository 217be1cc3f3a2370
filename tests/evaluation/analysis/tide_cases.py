"""Objects and detections with every error kind of TIDE, no crowd and no two equal scores, from numpy alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SIDE = 200


@dataclass(frozen=True)
class Case:
    """Columns: image, label, x, y, width, height; of a detection also its score."""

    images: int
    classes: int
    objects: np.ndarray
    detections: np.ndarray


def make_case(seed: int) -> Case:
    """Some images are empty; of three classes and more the last one is detected only where the seed is odd."""
    random = np.random.default_rng(seed)
    images, classes = int(random.integers(5, 40)), int(random.integers(1, 6))
    count = int(random.integers(20, 200))
    annotated = classes - 1 if classes > 2 and seed % 2 else classes
    corners, sides = random.uniform(0, SIDE / 2, (count, 2)), random.uniform(20, SIDE / 2, (count, 2))
    objects = np.column_stack(
        [random.integers(0, images, count), random.integers(0, annotated, count), corners, sides]
    ).astype(np.float64)

    def moved(chosen: np.ndarray, share: float) -> np.ndarray:
        some = objects[chosen].copy()
        some[:, 2:] += random.normal(0, share, (len(some), 4)) * some[:, [4, 5, 4, 5]]
        some[:, 4:] = np.maximum(some[:, 4:], 2)
        return some

    parts = [
        moved(random.random(count) < 0.7, 0.04),  # most are found
        moved(random.random(count) < 0.5, 0.18),  # badly located
        moved(random.random(count) < 0.3, 0.05),  # found twice
    ]
    confused = moved(random.random(count) < 0.4, 0.1)
    confused[:, 1] = random.integers(0, classes, len(confused))
    elsewhere = moved(random.random(count) < 0.4, 0)
    elsewhere[:, 0] = random.integers(0, images, len(elsewhere))
    detections = np.concatenate([*parts, confused, elsewhere])
    scores = random.permutation(len(detections)) + 1
    return Case(images, classes, objects, np.column_stack([detections, scores / (len(detections) + 2)]))
