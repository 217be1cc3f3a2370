"""Where AP is lost: recall and AP of small objects, of long ones, of those at the border, in a crowd, in full images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detector.evaluation.analysis.average_precision import average_precisions
from detector.evaluation.analysis.matching import NOTHING, Matched
from detector.evaluation.analysis.overlaps import Overlaps, overlaps_of_objects

TOUCHES = 1.0
"""Pixels: a box so near to the border, or beyond, touches it."""
CROWDING = 0.1
"""The smallest IoU that tells crowding apart."""


@dataclass(frozen=True)
class Subsets:
    """Objects in B bins of one property."""

    name: str
    meaning: str
    """A sentence."""
    bins: tuple[str, ...]
    bin_of_object: np.ndarray
    """int64 [N] in 0..B−1; B for objects that are ignored."""
    objects: np.ndarray
    """int64 [B]."""
    images: np.ndarray
    """int64 [B]: images with such an object."""
    recall: np.ndarray
    """float64 [B, T]: the share of them that is found; NaN in an empty bin."""
    ap: np.ndarray
    """float64 [B, T]: mean over the classes that have such an object; NaN in an empty bin.

    As COCO's AP of small objects: other objects are ignored with what found them, and a false detection is in the bin
    that its own box, or its image, has. Unlike there, the matches are those among all objects."""


@dataclass(frozen=True)
class _Property:
    name: str
    meaning: str
    edges: tuple[float, ...]
    """Where a bin ends and the next one begins, which it belongs to."""
    bins: tuple[str, ...]
    of_objects: np.ndarray
    of_detections: np.ndarray


def subsets(matched: Matched, overlaps: Overlaps) -> list[Subsets]:
    """By size, aspect ratio, distance to the border, crowding, objects in the image; `overlaps` are the pairs of a detection
    and an object with an IoU of at least 0.1."""
    found, labels = matched.found[:, matched.order], matched.labels[matched.order]
    return [_measure(matched, found, labels, one) for one in _properties(matched, overlaps)]


def _properties(matched: Matched, overlaps: Overlaps) -> list[_Property]:
    annotations = matched.index.annotations
    sizes = matched.index.sizes.astype(np.float64)
    inside = np.bincount(matched.owners[matched.wanted], minlength=len(matched.index))
    pairs = overlaps_of_objects(matched, CROWDING)
    return [
        _Property(
            "size",
            "Square root of the object's area in pixels.",
            (16, 32, 64, 96, 192),
            ("< 16", "16–32", "32–64", "64–96", "96–192", "≥ 192"),
            np.sqrt(np.maximum(annotations.area, 0)),
            np.sqrt(np.maximum(matched.boxes[:, 2] * matched.boxes[:, 3], 0)),
        ),
        _Property(
            "aspect ratio",
            "Width of the box divided by its height.",
            (1 / 3, 2 / 3, 3 / 2, 3),
            ("< 1:3", "1:3–2:3", "2:3–3:2", "3:2–3:1", "≥ 3:1"),
            _aspect_ratio(annotations.boxes),
            _aspect_ratio(matched.boxes),
        ),
        _Property(
            "distance to border",
            f"Distance of the box from the nearest border, as a share of the image's shorter side; a box within {TOUCHES:g} "
            "pixel of it touches it.",
            (0, 0.05, 0.15, 0.3),
            ("touches", "< 0.05", "0.05–0.15", "0.15–0.3", "≥ 0.3"),
            _to_border(annotations.boxes, sizes[matched.owners]),
            _to_border(matched.boxes, sizes[matched.images]),
        ),
        _Property(
            "crowding",
            "IoU with the other object of the image, of any class, that overlaps it most.",
            (CROWDING, 0.3, 0.5),
            ("< 0.1", "0.1–0.3", "0.3–0.5", "≥ 0.5"),
            pairs.best(len(annotations))[0],
            _second_best(overlaps, len(matched.scores)),
        ),
        _Property(
            "objects in image",
            "Number of objects that are to be found in the image.",
            (1, 2, 5, 10, 20),
            ("0", "1", "2–4", "5–9", "10–19", "≥ 20"),
            inside[matched.owners],
            inside[matched.images],
        ),
    ]


def _aspect_ratio(boxes: np.ndarray) -> np.ndarray:
    width, height = np.maximum(boxes[:, 2:], 0).T
    return np.divide(width, height, out=np.where(width > 0, np.inf, 1.0), where=height > 0)


def _to_border(boxes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Share of the shorter side; −1 where the box touches the border."""
    far = sizes[:, ::-1] - boxes[:, :2] - boxes[:, 2:]
    distance = np.minimum(boxes[:, :2], far).min(axis=1, initial=np.inf)
    return np.where(distance <= TOUCHES, -1.0, distance / np.maximum(sizes.min(axis=1, initial=np.inf), 1))


def _second_best(overlaps: Overlaps, boxes: int) -> np.ndarray:
    """float64: IoU with the object that a detection overlaps most but for one; that one would be its own."""
    order = np.lexsort([-overlaps.iou, overlaps.box])
    box, iou = overlaps.box[order], overlaps.iou[order]
    rank = np.arange(len(box)) - np.searchsorted(box, box)
    second = np.zeros(boxes)
    second[box[rank == 1]] = iou[rank == 1]
    return second


def _measure(matched: Matched, founds: np.ndarray, labels: np.ndarray, one: _Property) -> Subsets:
    """`founds`, [T, M], and `labels`, [M], are those of the detections from the best score on."""
    count = len(one.bins)
    own = np.searchsorted(one.edges, one.of_objects, side="right")
    own[~matched.wanted] = count
    of_detection = np.searchsorted(one.edges, one.of_detections, side="right")[matched.order]
    cell_of_detection = of_detection * matched.classes + labels
    cell_of_object = own * matched.classes + matched.object_labels
    wanted = np.flatnonzero(matched.wanted)
    objects = np.bincount(own[wanted], minlength=count)
    images = np.bincount(
        np.unique(own[wanted] * len(matched.index) + matched.owners[wanted]) // len(matched.index), minlength=count
    )
    positives = np.bincount(
        own[wanted] * matched.classes + matched.object_labels[wanted], minlength=count * matched.classes
    )
    present = positives.reshape(count, -1) > 0
    recall, ap = [], []
    for found in founds:
        true, false = np.flatnonzero(found >= 0), found == NOTHING
        recall.append(np.bincount(own[found[true]], minlength=count)[:count])
        cells = np.where(false, cell_of_detection, len(positives))  # in the last cell nothing counts
        cells[true] = cell_of_object[found[true]]
        averages = average_precisions(cells, found >= 0, np.append(positives, 0))[:-1]
        ap.append(averages.reshape(count, -1).sum(axis=1))
    return Subsets(
        one.name,
        one.meaning,
        one.bins,
        own,
        objects,
        images,
        _divided(np.stack(recall, axis=1), objects),
        _divided(np.stack(ap, axis=1), present.sum(axis=1)),
    )


def _divided(values: np.ndarray, by: np.ndarray) -> np.ndarray:
    return np.divide(values, by[:, None], out=np.full(values.shape, np.nan), where=by[:, None] > 0)
