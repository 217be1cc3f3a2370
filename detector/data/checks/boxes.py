"""Boxes that are annotated twice, under two classes, or in a shape or size that is no object's."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from detector.data.checks.finding import Finding
from detector.data.index import Index

NEAR_DUPLICATE = 0.9
"""IoU from which two boxes of one class are one object annotated twice. In crowds of blood cells two neighbours have 0.84 at
most; the pairs above are drawn twice around one cell."""
TWO_CLASSES = 0.9
"""IoU from which two boxes of different classes are one object. Among 1,500 objects of COCO three pairs have more: a couch that
is a chair, a car that is a truck, a cup that is a bowl."""
TINY = 2.0
"""Pixels of a box's shorter side, at the model's input size, below which nothing of an object is left to see."""
VERY_LONG = 25.0
"""Ratio of a box's sides from which it is more likely a slip than an object; COCO's skis and rails have 21 at most."""


def duplicate_boxes(index: Index, split: str = "") -> list[Finding]:
    """Objects of one image with the same label and the same box."""
    owners = np.repeat(np.arange(len(index)), np.diff(index.offsets))
    rows = np.column_stack([owners, index.labels, index.boxes.astype(np.float64)])
    distinct, counts = np.unique(rows, axis=0, return_counts=True)
    found = []
    for row, count in zip(distinct[counts > 1], counts[counts > 1].tolist(), strict=True):
        what = f"{index.class_names[int(row[1])]} at xyxy ({_corners(row[2:])}) is annotated {count} times"
        found.append(_finding("duplicate box", index, split, int(row[0]), what, row[2:]))
    return found


def overlapping_boxes(index: Index, split: str = "") -> list[Finding]:
    """Pairs of boxes of one image that lie on one another, but are not the same box of the same class; crowds left out."""
    found = []
    for i, first, second, iou in _near_pairs(index, min(NEAR_DUPLICATE, TWO_CLASSES)):
        boxes, labels = index.boxes[[first, second]], index.labels[[first, second]]
        names = [index.class_names[label] for label in labels.tolist()]
        if labels[0] != labels[1] and iou >= TWO_CLASSES:
            kind, what = "one object under two classes", f"{names[0]} and {names[1]}"
        elif labels[0] == labels[1] and iou >= NEAR_DUPLICATE and (boxes[0] != boxes[1]).any():
            kind, what = "near-duplicate box", f"two boxes of {names[0]}"
        else:
            continue
        where = " and ".join(f"({_corners(box)})" for box in boxes)
        found.append(_finding(kind, index, split, i, f"{what} at xyxy {where} have an IoU of {iou:.3f}", *boxes))
    return found


def odd_boxes(index: Index, image_size: int, split: str = "") -> list[Finding]:
    """Boxes that are tiny at the model's input size, to which an image's long side is scaled, or very long; no crowds."""
    owners = np.repeat(np.arange(len(index)), np.diff(index.offsets))
    size = (index.boxes[:, 2:] - index.boxes[:, :2]).astype(np.float64)
    scale = image_size / index.sizes.max(axis=1, initial=1)
    shorter, longer = size.min(axis=1), size.max(axis=1)
    seen = shorter * scale[owners]
    found = []
    for n in np.flatnonzero(((seen < TINY) | (longer > VERY_LONG * shorter)) & ~index.crowd).tolist():
        name, box = index.class_names[index.labels[n]], index.boxes[n]
        what = f"{name} at xyxy ({_corners(box)}) is {size[n, 0]:.4g}x{size[n, 1]:.4g} pixels"
        if seen[n] < TINY:
            kind, what = "tiny box", f"{what}: at image_size={image_size} its shorter side has {seen[n]:.2g}"
        else:
            kind = "very long box"
        found.append(_finding(kind, index, split, int(owners[n]), what, box))
    return found


def _near_pairs(index: Index, least: float) -> Iterator[tuple[int, int, int, float]]:
    """Image, two rows of its objects, and their IoU, for the pairs with at least that IoU."""
    for i in np.flatnonzero(np.diff(index.offsets) > 1).tolist():
        rows = np.arange(index.offsets[i], index.offsets[i + 1])
        rows = rows[~index.crowd[rows]]
        boxes = index.boxes[rows].astype(np.float64)
        # only boxes that are as wide and as far to the left can lie on one another: a sorted sweep
        order = np.argsort(boxes[:, 0], kind="stable")
        rows, boxes = rows[order], boxes[order]
        for n, box in enumerate(boxes[:-1]):
            others = boxes[n + 1 :]
            end = np.searchsorted(others[:, 0], box[2] - least * (box[2] - box[0]), side="right")
            others = others[:end]
            sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
            shared = sides.clip(min=0).prod(axis=1)
            areas = (others[:, 2:] - others[:, :2]).prod(axis=1)
            iou = shared / ((box[2:] - box[:2]).prod() + areas - shared)
            for m in np.flatnonzero(iou >= least).tolist():
                yield i, int(rows[n]), int(rows[n + 1 + m]), float(iou[m])


def _finding(kind: str, index: Index, split: str, i: int, what: str, *boxes: np.ndarray) -> Finding:
    corners = tuple(tuple(map(float, box)) for box in boxes)
    return Finding(kind, index.where(i), what, place=(split, i), boxes=corners)  # type: ignore[arg-type]


def _corners(box: np.ndarray) -> str:
    return ", ".join(f"{value:.6g}" for value in box.tolist())
