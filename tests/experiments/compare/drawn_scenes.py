"""Detections of drawn scenes that no detector made: annotated boxes, moved and left out by chance, and some more."""

from __future__ import annotations

import numpy as np

from detector import config
from detector.data.index import Index
from detector.data.read import read_index
from detector.evaluation.results import FlatResults


def drawn_index(images: int) -> Index:
    return read_index(config.Shapes(scene_size=96, val_images=images), "val")


def drawn_results(index: Index, seed: int, found: float = 0.7) -> FlatResults:
    """`found` is the share of objects that have a detection, most of which are right."""
    random = np.random.default_rng(seed)
    kept = random.random(len(index.annotations.labels)) < found
    boxes = index.annotations.boxes[kept]
    boxes[:, :2] += boxes[:, 2:] * random.normal(scale=0.1, size=(len(boxes), 2))
    wrong = len(index) // 2
    images = index.annotations.owners[kept]
    return FlatResults(
        np.concatenate([images, random.integers(0, len(index), wrong)]),
        np.concatenate([index.annotations.labels[kept], random.integers(0, len(index.class_names), wrong)]),
        np.concatenate([boxes, random.uniform(1, 40, (wrong, 4))]),
        np.concatenate([random.uniform(0.3, 1, len(boxes)), random.uniform(0.05, 0.7, wrong)]),
    )
