"""Everything that a page about an evaluation shows, computed once from the matches that AP itself uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from detector.data.index import Index
from detector.evaluation.analysis.calibration import Calibration, calibrate
from detector.evaluation.analysis.confusion import Candidates, candidates_of, confusion_matrix
from detector.evaluation.analysis.image_cost import image_costs
from detector.evaluation.analysis.interval import Interval, ap_intervals
from detector.evaluation.analysis.label_errors import Suspicion, label_errors
from detector.evaluation.analysis.matching import Matched, match_images
from detector.evaluation.analysis.olrp import OptimalLRP, optimal_lrp
from detector.evaluation.analysis.operating_points import (
    OperatingPoints,
    ScoreCurves,
    best_operating_points,
    score_curves,
)
from detector.evaluation.analysis.overlaps import overlaps_with_objects
from detector.evaluation.analysis.subsets import Subsets, subsets
from detector.evaluation.analysis.tide import BACKGROUND_IOU, Tide, tide
from detector.evaluation.evaluate import evaluate
from detector.evaluation.results import FlatResults, flatten
from detector.options import EvaluationEngine


@dataclass(frozen=True)
class Analysis:
    """What a detector gets right and wrong in the images of an index."""

    metrics: Mapping[str, Any]
    """What `detector.evaluation.evaluate.evaluate` returns."""
    matched: Matched
    intervals: dict[str, Interval]
    """The bootstrap intervals of AP, AP50 and AP75, by name."""
    overall: OperatingPoints
    """All classes together are its one group."""
    by_class: OperatingPoints
    curves: ScoreCurves
    candidates: Candidates
    confusion: np.ndarray
    """int64 [K + 1, K + 1] at IoU 0.5 and the overall best threshold; `confusion_matrix` says what it holds."""
    errors: Tide
    olrp: OptimalLRP
    calibration: Calibration
    """All classes together are its one group."""
    calibration_by_class: Calibration
    subsets: list[Subsets]
    costs: np.ndarray
    """float64 [I]: what AP would gain if an image were right."""
    suspicions: list[Suspicion]

    @property
    def threshold(self) -> float:
        """The score with the best F1 of all classes together at IoU 0.5; infinite where no detection is true."""
        threshold = float(self.overall.threshold[0, 0])
        return np.inf if np.isnan(threshold) else threshold


def analyse(
    index: Index,
    results: Sequence[Mapping[str, Any]] | FlatResults,
    metrics: Mapping[str, Any] | None = None,
    engine: EvaluationEngine = "ultrafast",
) -> Analysis:
    """Takes an evaluation apart.

    Args:
        index: all images that were measured.
        results: COCO result entries with the data's own ids, as `detector.evaluation.evaluate.evaluate` takes them.
        metrics: what that function returned for them; computed where None.
        engine: what matches detections with objects; the figures are the same with each.
    """
    flat = results if isinstance(results, FlatResults) else flatten(index, results)
    if metrics is None:
        metrics = evaluate(index, flat, engine)
    matched = match_images(index, flat, engine)
    overlaps = overlaps_with_objects(matched, BACKGROUND_IOU)
    everything = np.zeros_like(matched.labels)
    overall = best_operating_points(matched, everything, np.array([matched.wanted.sum()]))
    by_class = best_operating_points(matched, matched.labels, matched.positives)
    candidates = candidates_of(matched, overlaps)
    threshold = overall.threshold[0, 0]
    errors = tide(matched, overlaps)
    return Analysis(
        metrics=metrics,
        matched=matched,
        intervals=ap_intervals(matched),
        overall=overall,
        by_class=by_class,
        curves=score_curves(matched),
        candidates=candidates,
        confusion=confusion_matrix(matched, candidates, 0, np.inf if np.isnan(threshold) else threshold),
        errors=errors,
        olrp=optimal_lrp(matched),
        calibration=calibrate(matched, everything, 1),
        calibration_by_class=calibrate(matched, matched.labels, matched.classes),
        subsets=subsets(matched, overlaps),
        costs=image_costs(matched),
        suspicions=label_errors(matched, errors, by_class),
    )
