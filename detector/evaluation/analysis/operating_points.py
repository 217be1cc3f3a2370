"""Precision, recall and F1 over the score: the threshold that is best, and counts along the axis of scores."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from detector.evaluation.analysis.matching import NOTHING, Matched

SCORE_POINTS = np.arange(101) / 100


@dataclass(frozen=True)
class OperatingPoints:
    """The scores from which on to show detections so that F1 is highest, for G groups at T IoUs; the higher one of equals.

    float64 [G, T]; NaN where no detection is true, and recall and F1 where there is no object.
    """

    threshold: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray


@dataclass(frozen=True)
class ScoreCurves:
    """Detections of each class with at least each of S scores, int64 [K, T, S]."""

    true: np.ndarray
    false: np.ndarray


def best_operating_points(matched: Matched, groups: np.ndarray, positives: np.ndarray) -> OperatingPoints:
    """The best threshold of each group.

    Args:
        matched: M detections.
        groups: int64 [M] in 0..G−1, of each detection.
        positives: int64 [G], the objects to be found.
    """
    order = matched.order[np.argsort(groups[matched.order], kind="stable")]
    bounds = np.searchsorted(groups[order], np.arange(len(positives) + 1))
    points = np.full((4, len(positives), len(matched.ious)), np.nan)
    for g, (start, stop) in enumerate(pairwise(bounds)):
        if start == stop or positives[g] == 0:
            continue
        scores = matched.scores[order[start:stop]]
        last = np.append(scores[1:] != scores[:-1], True)  # equal scores are shown together or not at all
        found = matched.found[:, order[start:stop]]
        true = np.cumsum(found >= 0, axis=1)[:, last]
        shown = true + np.cumsum(found == NOTHING, axis=1)[:, last]
        f1 = 2 * true / (shown + positives[g])
        best = np.argmax(f1, axis=1)
        t = np.flatnonzero(true[:, -1] > 0)
        best = best[t]
        points[:, g, t] = (
            scores[last][best],
            true[t, best] / shown[t, best],
            true[t, best] / positives[g],
            f1[t, best],
        )
    return OperatingPoints(*points)


def score_curves(matched: Matched) -> ScoreCurves:
    """Counts at 0, 0.01, ... 1."""
    reached = np.searchsorted(
        SCORE_POINTS, matched.scores, side="right"
    )  # so many of the points are not above the score
    cells = matched.labels * (len(SCORE_POINTS) + 1) + reached
    size = matched.classes * (len(SCORE_POINTS) + 1)

    def at_least(chosen: np.ndarray) -> np.ndarray:
        counts = np.bincount(cells[chosen], minlength=size).reshape(matched.classes, -1)
        return np.cumsum(counts[:, ::-1], axis=1)[:, ::-1][:, 1:]

    return ScoreCurves(
        *(
            np.stack([at_least(chosen) for chosen in kind], axis=1)
            for kind in (matched.found >= 0, matched.found == NOTHING)
        )
    )
