"""How far AP may be off because the images are a sample of all that there might be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detector.evaluation.analysis.matching import IGNORED, Matched
from detector.evaluation.comparison import (
    CONFIDENCE,
    OVER_IOUS,
    ClassMatches,
    Matches,
    class_precisions,
    mean_over_classes,
    resample_images,
)

RESAMPLES = 1000
_MOST = 10**8
"""Detections in all resamples together; of a large data set fewer resamples are drawn, at least `_FEWEST`."""
_FEWEST = 200


@dataclass(frozen=True)
class Interval:
    """Where AP, or AP at one IoU, would lie 95 times in 100 on as many other images of the same kind.

    It is the bootstrap's percentile interval, moved so that the mean of the resampled APs is AP: AP is not the same on
    average where an image is there twice, which tells nothing about other images.
    """

    low: float
    high: float
    confidence: float
    resamples: int


def ap_intervals(matched: Matched, seed: int = 0) -> dict[str, Interval]:
    """The intervals (see `detector.evaluation.comparison`) of AP, AP50 and AP75; none where there is no object to find."""
    if not matched.wanted.any():
        return {}
    resamples = max(_FEWEST, min(RESAMPLES, _MOST // max(len(matched.scores), 1)))
    found = centred_intervals(for_resampling(matched), resamples, seed)
    return {name: Interval(*bounds, CONFIDENCE, resamples) for name, bounds in found.items()}


def centred_intervals(matches: Matches, resamples: int, seed: int) -> dict[str, tuple[float, float]]:
    """Low and high end of each of the intervals that `Interval` describes."""
    weights = resample_images(matches.images, resamples, seed)
    with_all = np.concatenate([np.ones((1, matches.images), dtype=weights.dtype), weights])
    precisions = mean_over_classes(class_precisions(matches, with_all))
    intervals = {}
    for name, places in OVER_IOUS.items():
        ap, *resampled = precisions[:, places].mean(axis=1)
        values = np.array(resampled) + ap - np.nanmean(resampled)
        low, high = np.nanquantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        intervals[name] = float(low), float(high)
    return intervals


def for_resampling(matched: Matched) -> Matches:
    """The matches class by class, as `average_precisions` takes them."""
    order = matched.order[np.argsort(matched.labels[matched.order], kind="stable")]
    bounds = np.searchsorted(matched.labels[order], np.arange(matched.classes + 1))
    classes = []
    for k in range(matched.classes):
        rows = order[bounds[k] : bounds[k + 1]]
        found = matched.found[:, rows]
        classes.append(
            ClassMatches(
                matched.images[rows],
                tuple(np.flatnonzero(row >= 0) for row in found),
                tuple(np.flatnonzero(row == IGNORED) for row in found),
                matched.owners[matched.wanted & (matched.object_labels == k)],
            )
        )
    present = ~np.isnan(matched.precision)
    return Matches(
        len(matched.index), tuple(classes), float(matched.precision[present].mean()) if present.any() else np.nan
    )
