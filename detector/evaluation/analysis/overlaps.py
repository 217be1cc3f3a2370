"""Which boxes of an image overlap which objects of it, whatever their classes: pairs of all images at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detector.evaluation.analysis.matching import Matched

_CHUNK = 2**19
"""Pairs that are looked at at a time."""


@dataclass(frozen=True)
class Overlaps:
    """P pairs of a box and an object of the same image, by box, then by object."""

    box: np.ndarray
    """int64 [P]: row of the box."""
    object: np.ndarray
    """int64 [P]: row of the object."""
    iou: np.ndarray
    """float64 [P]."""

    def where(self, chosen: np.ndarray) -> Overlaps:
        """The pairs chosen by bool [P]."""
        return Overlaps(self.box[chosen], self.object[chosen], self.iou[chosen])

    def best(self, boxes: int) -> tuple[np.ndarray, np.ndarray]:
        """For each of so many boxes the largest IoU, float64, and its object, int64: the first of equal ones; 0 and −1 where
        it is in no pair."""
        iou, found = np.zeros(boxes), np.full(boxes, -1)
        order = np.lexsort([-self.object, self.iou])  # the last one written is the one that stays
        iou[self.box[order]] = self.iou[order]
        found[self.box[order]] = self.object[order]
        return iou, found


def intersection_over_union(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """float64 [P] of boxes x, y, width, height, float64 [P, 4], pair by pair; calculated as pycocotools does, operation by
    operation: 0 where they share no area."""
    width = np.minimum(first[:, 0] + first[:, 2], second[:, 0] + second[:, 2]) - np.maximum(first[:, 0], second[:, 0])
    height = np.minimum(first[:, 1] + first[:, 3], second[:, 1] + second[:, 3]) - np.maximum(first[:, 1], second[:, 1])
    shared = width * height
    union = first[:, 2] * first[:, 3] + second[:, 2] * second[:, 3] - shared
    return np.divide(shared, union, out=np.zeros(len(shared)), where=(width > 0) & (height > 0))


def overlaps_with_objects(matched: Matched, minimum: float) -> Overlaps:
    """All pairs of a detection and an object that is to be found with at least that IoU, above 0."""
    return _overlaps(matched, matched.images, matched.boxes, minimum)


def overlaps_of_objects(matched: Matched, minimum: float) -> Overlaps:
    """All pairs of two different objects that are to be found with at least that IoU, above 0, each in both orders."""
    pairs = _overlaps(matched, matched.owners, matched.index.annotations.boxes, minimum)
    return pairs.where(matched.wanted[pairs.box] & (pairs.box != pairs.object))


def _overlaps(matched: Matched, images: np.ndarray, boxes: np.ndarray, minimum: float) -> Overlaps:
    annotations = matched.index.annotations
    counts = np.diff(annotations.offsets)[images]
    ends = np.cumsum(counts)
    parts = []
    start = 0
    while start < len(images):
        stop = max(start + 1, int(np.searchsorted(ends, (ends[start - 1] if start else 0) + _CHUNK, side="right")))
        box = np.repeat(np.arange(start, stop), counts[start:stop])
        in_image = np.arange(len(box)) - np.repeat(
            ends[start:stop] - counts[start:stop] - ends[start] + counts[start], counts[start:stop]
        )
        one = annotations.offsets[images[box]] + in_image
        iou = intersection_over_union(boxes[box], annotations.boxes[one])
        kept = np.flatnonzero((iou >= minimum) & (iou > 0) & matched.wanted[one])
        parts.append((box[kept], one[kept], iou[kept]))
        start = stop
    empty = np.zeros(0, dtype=np.int64)
    box, one, iou = (np.concatenate(part) for part in zip((empty, empty, np.zeros(0)), *parts, strict=True))
    return Overlaps(box, one, iou)
