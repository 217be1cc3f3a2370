"""Average precision at IoU 0.5 as the Pascal VOC development kit measures it (VOCevaldet.m and VOCap.m)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from detector.data.index import Index
from detector.evaluation.results import FlatResults

VOC_IOU = 0.5
"""An overlap of exactly 0.5 is a match in the development kit's code, though its paper says "must exceed"."""
VOC_RECALLS = np.arange(11) * 0.1
"""The points of recall of VOC 2007, the values of the development kit's `for t=0:0.1:1`.

They are 0, 0.1, 0.2, 0.30000000000000004, 0.4, 0.5, 0.6000000000000001, 0.7000000000000001, 0.8, 0.9 and 1: the loop
counts k · 0.1, in MATLAB (unlike its vector [0:0.1:1]), in Octave and in the Python port with numpy.arange(0, 1.1, 0.1). A
recall of exactly 3/10, 6/10 or 7/10 stays below its point.
"""

_PAIRS = 2**17
"""Pairs of a detection and an object that are compared at a time."""


class VocAP(NamedTuple):
    """AP50 of one class, in 0..1."""

    eleven_points: float
    """AP as in VOC 2007: the mean of the best precisions at 11 recalls."""
    area: float
    """AP as in VOC 2010 and later: the area under the curve of the best precisions."""


def voc_ap50(index: Index, results: FlatResults) -> list[VocAP | None]:
    """AP50 of each label; None where there is no object to find, for which the development kit divides by zero.

    Detections of a class are taken from the highest score down, ties in the order of `results`. Each belongs to the
    object of its class with which it overlaps most, the first of equal ones. It is true if that object is found for the
    first time and false if it is found again or the overlap is below 0.5; if the object is difficult (the annotations'
    `crowd`), the detection counts neither way. Difficult objects need not be found. All detections of an image count,
    not only 100. A class whose detections all lie on difficult objects has 0 (0 / 0 in the development kit).

    The development kit's boxes are pixel indices counted from 1, both ends included, of width xmax − xmin + 1. A
    continuous box x, y, width, height has xmin = x + 1, ymin = y + 1, xmax = x + width and ymax = y + height: its width
    and its IoU with others are the same in both forms. Overlaps are computed in the development kit's form and order.
    """
    overlap, objects = _best_objects(index, results)
    annotations = index.annotations
    matched = overlap >= VOC_IOU
    difficult = np.zeros(len(objects), dtype=bool)
    difficult[matched] = annotations.crowd[objects[matched]]

    averages: list[VocAP | None] = []
    for label in range(len(index.class_names)):
        positives = int(np.count_nonzero((annotations.labels == label) & ~annotations.crowd))
        if positives == 0:
            averages.append(None)
            continue
        counted = np.flatnonzero((results.labels == label) & ~difficult)
        counted = counted[np.argsort(-results.scores[counted], kind="stable")]
        true = np.zeros(len(counted), dtype=bool)
        hits = np.flatnonzero(matched[counted])
        _, first = np.unique(objects[counted[hits]], return_index=True)
        true[hits[first]] = True
        averages.append(_average_precisions(true, positives))
    return averages


def _average_precisions(true: np.ndarray, positives: int) -> VocAP:
    """AP50 of detections in order, bool [M], where `positives` objects are to be found; sums run from left to right."""
    found = np.cumsum(true)
    recall = np.concatenate([[0.0], found / positives, [1.0]])
    precision = np.concatenate([[0.0], found / np.arange(1, len(true) + 1), [0.0]])
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]

    at = 1 + np.searchsorted(
        recall[1:-1], VOC_RECALLS, side="left"
    )  # the last place, of precision 0, if none reaches it
    rises = np.flatnonzero(recall[1:] != recall[:-1]) + 1
    return VocAP(
        _sum_in_order(best_from_here[at] / 11),
        _sum_in_order((recall[rises] - recall[rises - 1]) * best_from_here[rises]),
    )


def _sum_in_order(values: np.ndarray) -> float:
    """((v₁ + v₂) + v₃) + ...: `np.sum` adds pairs of pairs, Python's `sum` keeps what rounding loses since 3.12."""
    return float(np.cumsum(values)[-1])


def _best_objects(index: Index, results: FlatResults) -> tuple[np.ndarray, np.ndarray]:
    """For each detection the largest IoU with an object of its image and class, and that object's annotation.

    Where a detection meets no object of its class, the IoU is 0 and the object −1.
    """
    annotations = index.annotations
    overlap = np.zeros(len(results.scores))
    objects = np.full(len(results.scores), -1, dtype=np.int64)
    group = annotations.owners * len(index.class_names) + annotations.labels
    by_group = np.argsort(group, kind="stable")
    own_group = results.images * len(index.class_names) + results.labels
    first = np.searchsorted(group[by_group], own_group, side="left")
    met = np.searchsorted(group[by_group], own_group, side="right") - first
    meeting = np.flatnonzero(met)
    pairs_so_far = np.cumsum(met[meeting])
    for some in np.split(meeting, np.searchsorted(pairs_so_far, np.arange(_PAIRS, met.sum(), _PAIRS))):
        ends = np.cumsum(met[some])
        starts = ends - met[some]
        one = np.repeat(np.arange(len(some)), met[some])  # of each pair the detection, a row of `some`
        other = by_group[np.arange(len(one)) - (starts - first[some])[one]]
        iou = _iou(_inclusive(results.boxes[some])[one], _inclusive(annotations.boxes[other]))
        if len(some):
            overlap[some] = np.maximum.reduceat(iou, starts)
        equal = np.flatnonzero((iou == overlap[some][one]) & (iou > 0))[::-1]
        objects[some[one[equal]]] = other[equal]  # the last one assigned is the first of equal ones
    return overlap, objects


def _inclusive(boxes: np.ndarray) -> np.ndarray:
    """x, y, width, height [N, 4] → xmin, ymin, xmax, ymax [N, 4], counted from 1, both ends included."""
    return np.concatenate([boxes[:, :2] + 1, boxes[:, :2] + boxes[:, 2:]], axis=1)


def _iou(found: np.ndarray, annotated: np.ndarray) -> np.ndarray:
    """IoU [P] of inclusive boxes [P, 4] with inclusive boxes [P, 4]; 0 where they share nothing."""
    shared = np.minimum(found[:, 2:], annotated[:, 2:]) - np.maximum(found[:, :2], annotated[:, :2]) + 1
    intersection = shared.prod(axis=1)
    found_area, annotated_area = ((boxes[:, 2:] - boxes[:, :2] + 1).prod(axis=1) for boxes in (found, annotated))
    union = found_area + annotated_area - intersection
    return np.divide(intersection, union, out=np.zeros_like(union), where=(shared > 0).all(axis=1))
