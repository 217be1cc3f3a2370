"""Which class is taken for which, with the background as one more, at any score and IoU threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detector.evaluation.analysis.matching import NOTHING, Matched
from detector.evaluation.analysis.overlaps import Overlaps


@dataclass(frozen=True)
class Candidates:
    """P pairs of a detection and an object of another class that it overlaps with IoU ≥ 0.5, by detection, best overlap first.

    They are all that a confusion matrix needs beside the matches, whatever its thresholds.
    """

    detection: np.ndarray
    """int64 [P]."""
    object: np.ndarray
    """int64 [P]."""
    level: np.ndarray
    """int64 [P] in 0..T−1: the highest IoU threshold that the overlap reaches."""


def candidates_of(matched: Matched, overlaps: Overlaps) -> Candidates:
    """The candidates among all pairs with an IoU of at least 0.5, which may be given with others."""
    level = np.searchsorted(matched.ious, overlaps.iou, side="right") - 1
    chosen = np.flatnonzero((level >= 0) & (matched.labels[overlaps.box] != matched.object_labels[overlaps.object]))
    order = chosen[np.lexsort([overlaps.object[chosen], -overlaps.iou[chosen], overlaps.box[chosen]])]
    return Candidates(overlaps.box[order], overlaps.object[order], level[order])


def confusion_matrix(matched: Matched, candidates: Candidates, t: int, score: float) -> np.ndarray:
    """int64 [K + 1, K + 1]: annotated class by detected class, at the t-th IoU threshold, of detections with at least `score`.

    A detection that found an object of its own class, as COCO matches, counts on the diagonal. Then each that found
    nothing takes, from the best score of an image on, the object that it overlaps most among those of another class with
    sufficient IoU that are neither found nor taken. Without one it counts in the last row, as detected on background.
    Objects neither found nor taken count in the last column. So row k sums up to the objects of class k that are to be
    found, and column k to the detections of class k that count.
    """
    k = matched.classes
    matrix = np.zeros((k + 1, k + 1), dtype=np.int64)
    shown = matched.scores >= score
    true = shown & (matched.found[t] >= 0)
    np.add.at(matrix, (matched.labels[true], matched.labels[true]), 1)
    taken = matched.found_objects(t, score)
    free = shown & (matched.found[t] == NOTHING)
    possible = (candidates.level >= t) & free[candidates.detection] & ~taken[candidates.object]
    for detection, one in zip(
        candidates.detection[possible].tolist(), candidates.object[possible].tolist(), strict=True
    ):
        if free[detection] and not taken[one]:
            free[detection], taken[one] = False, True
            matrix[matched.object_labels[one], matched.labels[detection]] += 1
    matrix[k, :k] += np.bincount(matched.labels[free], minlength=k)
    matrix[:k, k] += np.bincount(matched.object_labels[matched.wanted & ~taken], minlength=k)
    return matrix
