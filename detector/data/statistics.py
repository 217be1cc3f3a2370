"""Counts and sizes of a split's objects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detector.data.index import Index

SMALL, MEDIUM = 32**2, 96**2
"""Areas in original pixels² below which COCO calls an object small or medium."""
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


@dataclass(frozen=True)
class Statistics:
    """What a split holds."""

    images: int
    without_objects: int
    objects: int
    crowds: int
    per_class: tuple[int, ...]
    """Objects of each label, crowds included."""
    per_size: tuple[int, int, int]
    """Objects that COCO calls small, medium, large, by their annotated area."""
    sides: tuple[float, ...]
    """√(width · height) of the boxes at the model's input size, in pixels, at QUANTILES; empty without objects."""


def statistics(index: Index, image_size: int) -> Statistics:
    """Counts and sizes; `image_size` is the side to which the model scales an image's long side."""
    per_image = np.diff(index.offsets)
    scale = image_size / index.sizes.max(axis=1, initial=1)
    size = (index.boxes[:, 2:] - index.boxes[:, :2]).astype(np.float64)
    sides = np.sqrt(size.prod(axis=1)) * np.repeat(scale, per_image)
    small, medium = int((index.area < SMALL).sum()), int((index.area < MEDIUM).sum())
    return Statistics(
        images=len(index),
        without_objects=int((per_image == 0).sum()),
        objects=len(index.boxes),
        crowds=int(index.crowd.sum()),
        per_class=tuple(np.bincount(index.labels, minlength=len(index.class_names)).tolist()),
        per_size=(small, medium - small, len(index.boxes) - medium),
        sides=tuple(np.quantile(sides, QUANTILES).tolist()) if len(sides) else (),
    )
