"""Whether a score means what it says: how many of the detections with a score near 0.8 found an object."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detector.evaluation.analysis.matching import IGNORED, Matched

BINS = 10


@dataclass(frozen=True)
class Calibration:
    """Reliability of G groups of detections in B bins of the score, equally wide over 0..1; at IoU 0.5.

    The expected calibration error of detections (Küppers et al.: Multivariate Confidence Calibration for Object Detection,
    CVPR workshops 2020, here by the score alone) is Σ over the bins of count / total · |precision − confidence|. All
    detections that count are in it, those of low scores too.
    """

    count: np.ndarray
    """int64 [G, B]: detections."""
    confidence: np.ndarray
    """float64 [G, B]: their mean score; NaN in an empty bin."""
    precision: np.ndarray
    """float64 [G, B]: the share of them that found an object; NaN in an empty bin."""

    @property
    def error(self) -> np.ndarray:
        """float64 [G] in 0..1; NaN without a detection."""
        gaps = np.nansum(self.count * np.abs(self.precision - self.confidence), axis=1)
        total = self.count.sum(axis=1)
        return np.divide(gaps, total, out=np.full(len(total), np.nan), where=total > 0)


def calibrate(matched: Matched, groups: np.ndarray, count: int) -> Calibration:
    """Compares scores with precision in each of `count` groups; `groups` are int64 [M] in 0..count−1.

    A score on the edge of two bins is in the upper one; 1, and what lies outside of 0..1, is in the nearest bin.
    """
    counted = matched.found[0] != IGNORED
    scores = matched.scores[counted]
    edges = np.arange(1, BINS) / BINS
    cells = groups[counted] * BINS + np.searchsorted(edges, scores, side="right")

    def total(weights: np.ndarray) -> np.ndarray:
        return np.bincount(cells, weights=weights, minlength=count * BINS).reshape(count, BINS)

    number = total(np.ones(len(scores)))

    def mean(values: np.ndarray) -> np.ndarray:
        return np.divide(total(values), number, out=np.full(number.shape, np.nan), where=number > 0)

    return Calibration(number.astype(np.int64), mean(scores), mean((matched.found[0][counted] >= 0).astype(np.float64)))
