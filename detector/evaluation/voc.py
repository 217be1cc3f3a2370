"""Average precision at IoU 0.5 as the Pascal VOC development kit measures it (VOCevaldet.m; Everingham et al. 2010)."""

from __future__ import annotations

import numpy as np

from detector.data.index import Index
from detector.evaluation.results import FlatResults

VOC_IOU = 0.5
"""An overlap of exactly 0.5 is a match in the development kit's code, though its paper says "must exceed"."""


def voc_ap50(index: Index, results: FlatResults) -> list[tuple[float, float] | None]:
    """For each label, AP50 by 11 points (VOC 2007) and by the area under the curve (VOC 2010 on); None without objects.

    Detections of a class are taken from the highest score down, ties in the order of `results`. Each belongs to the
    object of its class with which it overlaps most. It is true if that object is found for the first time and false if
    it is found again or the overlap is below 0.5; if the object is difficult (the index's `crowd`), the detection
    counts neither way. Difficult objects need not be found. All detections of an image count, not only 100.

    The development kit's boxes are pixel indices counted from 1, both ends included, of width xmax − xmin + 1. A box of
    ours is continuous, x1 = xmin − 1, x2 = xmax, of width x2 − x1: the same number. So are the intersections,
    min(xmax) − max(xmin) + 1 = min(x2) − max(x1), and the IoU is the development kit's, exactly on integer boxes. On
    data annotated in continuous coordinates (COCO, YOLO) it is the plain IoU; nothing is added to their widths.
    """
    overlap, objects = _best_objects(index, results)
    matched = overlap >= VOC_IOU
    difficult = np.zeros(len(objects), dtype=bool)
    difficult[matched] = index.crowd[objects[matched]]

    averages: list[tuple[float, float] | None] = []
    for label in range(len(index.class_names)):
        positives = int(np.count_nonzero((index.labels == label) & ~index.crowd))
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


def _average_precisions(true: np.ndarray, positives: int) -> tuple[float, float]:
    """(11-point, area) of detections in order, bool [M], where `positives` objects are to be found."""
    found = np.cumsum(true)
    precision = found / np.arange(1, len(true) + 1)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    # i / 10 and found / positives are both correctly rounded, so a recall of exactly 3/10 reaches the point 3/10
    at = np.searchsorted(found / positives, np.arange(11) / 10, side="left")
    eleven = best_from_here[at[at < len(true)]].sum() / 11
    area = best_from_here[true].sum() / positives  # each true detection widens the recall by 1 / positives
    return float(eleven), float(area)


def _best_objects(index: Index, results: FlatResults) -> tuple[np.ndarray, np.ndarray]:
    """For each detection the largest IoU with an object of its image and class, and that object's place in the index.

    Where a detection meets no object of its class, the IoU is 0 and the object −1.
    """
    overlap = np.zeros(len(results.scores))
    objects = np.full(len(results.scores), -1, dtype=np.int64)
    order = np.argsort(results.images, kind="stable")
    starts = np.searchsorted(results.images[order], np.arange(len(index) + 1))
    for image in np.unique(results.images):
        detections = order[starts[image] : starts[image + 1]]
        first, last = index.offsets[image], index.offsets[image + 1]
        if first == last:
            continue
        iou = _pairwise_iou(results.boxes[detections], index.boxes[first:last].astype(np.float64))
        iou[results.labels[detections][:, None] != index.labels[None, first:last]] = 0
        best = iou.argmax(axis=1)
        overlap[detections] = iou[np.arange(len(detections)), best]
        objects[detections] = np.where(overlap[detections] > 0, first + best, -1)
    return overlap, objects


def _pairwise_iou(found: np.ndarray, annotated: np.ndarray) -> np.ndarray:
    """IoU [M, N] of boxes [M, 4] (x, y, width, height) with boxes [N, 4] (xyxy); 0 where both are empty."""
    low = np.maximum(found[:, None, :2], annotated[None, :, :2])
    high = np.minimum((found[:, :2] + found[:, 2:])[:, None], annotated[None, :, 2:])
    intersection = (high - low).clip(min=0).prod(axis=2)
    union = found[:, 2:].prod(axis=1)[:, None] + (annotated[:, 2:] - annotated[:, :2]).prod(axis=1) - intersection
    return np.divide(intersection, union, out=np.zeros_like(union), where=union > 0)
