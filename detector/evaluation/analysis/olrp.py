"""Optimal localisation recall precision error (Oksuz, Cam, Akbas, Kalkan: Localization Recall Precision (LRP), ECCV 2018)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detector.evaluation.analysis.matching import NOTHING, Matched
from detector.evaluation.analysis.overlaps import intersection_over_union


@dataclass(frozen=True)
class OptimalLRP:
    """oLRP of K classes at IoU τ = 0.5, float64 [K] in 0..1, lower is better; NaN for a class without objects.

    LRP of the detections with at least some score is (Σ (1 − IoU) / (1 − τ) + FP + FN) / (TP + FP + FN), the sum over the
    TP true ones; oLRP is its minimum over the scores, none shown included.
    """

    olrp: np.ndarray
    threshold: np.ndarray
    """The score of the minimum, the highest one of equals; NaN where it is best to show none."""
    localisation: np.ndarray
    """Mean 1 − IoU of the true detections there; NaN without one."""
    false_positives: np.ndarray
    """Share of the detections there that are false; NaN without one."""
    false_negatives: np.ndarray
    """Share of the objects that are not found there."""


def optimal_lrp(matched: Matched) -> OptimalLRP:
    """oLRP of each class, from the matches at IoU 0.5."""
    tau = matched.ious[0]
    found = matched.found[0]
    iou = np.ones(len(found))
    true = np.flatnonzero(found >= 0)
    iou[true] = intersection_over_union(matched.boxes[true], matched.index.annotations.boxes[found[true]])
    order = matched.order[np.argsort(matched.labels[matched.order], kind="stable")]
    bounds = np.searchsorted(matched.labels[order], np.arange(matched.classes + 1))
    values = np.full((5, matched.classes), np.nan)
    for k, objects in enumerate(matched.positives.tolist()):
        if not objects:
            continue
        rows = order[bounds[k] : bounds[k + 1]]
        scores = matched.scores[rows]
        last = np.append(scores[1:] != scores[:-1], True)[: len(rows)]
        tp, fp, loss = (
            np.append(0, np.cumsum(one)[last]) for one in (found[rows] >= 0, found[rows] == NOTHING, 1 - iou[rows])
        )
        lrp = (loss / (1 - tau) + fp + objects - tp) / (objects + fp)
        best = int(np.argmin(lrp))
        values[:, k] = (
            lrp[best],
            scores[last][best - 1] if best else np.nan,
            loss[best] / tp[best] if tp[best] else np.nan,
            fp[best] / (tp[best] + fp[best]) if tp[best] + fp[best] else np.nan,
            1 - tp[best] / objects,
        )
    return OptimalLRP(*values)
