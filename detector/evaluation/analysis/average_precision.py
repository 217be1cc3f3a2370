"""Average precision of many groups of detections at once, from true and false alone."""

from __future__ import annotations

import numpy as np

from detector.evaluation.comparison import RECALLS


def average_precisions(
    groups: np.ndarray, true: np.ndarray, positives: np.ndarray, recalls: np.ndarray = RECALLS
) -> np.ndarray:
    """COCO's AP of G groups, float64 [G] in 0..1; 0 where a group has no object.

    At each of the recalls it takes the best precision at that recall or beyond, and it is their mean. Only a true
    detection raises the precision, so nothing but the true ones is looked at. Equal to pycocotools but for the order of
    sums and the 2e-16 that it adds to the number of detections: to 1e-12.

    Args:
        groups: int64 [M] in 0..G−1: the group of each detection, from the best score on.
        true: bool [M]: whether it found an object; the others are false.
        positives: int64 [G]: objects to be found, not fewer than the true detections.
        recalls: float64 [R], ascending from 0.
    """
    count = len(positives)
    order = np.argsort(groups.astype(np.min_scalar_type(max(count, 1))), kind="stable")
    groups = groups[order]
    hits = np.flatnonzero(true[order])
    owner = groups[hits]
    seen = hits - np.searchsorted(groups, np.arange(count))[owner] + 1
    hit = np.arange(len(hits)) - np.searchsorted(owner, np.arange(count))[owner] + 1
    backwards = (hit / seen + 2.0 * (count - owner))[::-1]  # each group above those behind it
    best_from_here = np.maximum.accumulate(backwards)[::-1] - 2.0 * (count - owner)
    of = np.maximum(positives, 1)[owner]
    reached = np.searchsorted(recalls, hit / of, side="right")
    before = np.where(hit == 1, 0, np.searchsorted(recalls, (hit - 1) / of, side="right"))
    total = np.bincount(owner, weights=best_from_here * (reached - before), minlength=count)
    return np.where(positives > 0, total / len(recalls), 0.0)
