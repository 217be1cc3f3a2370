"""An analysis as `analysis.json`: small figures as plain JSON, large arrays as columns."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from detector.columns import column
from detector.data.index import Index
from detector.evaluation.analysis.analyse import Analysis, analyse
from detector.evaluation.analysis.calibration import BINS, Calibration
from detector.evaluation.analysis.label_errors import CASES, SecondLook, looked_at_again
from detector.evaluation.analysis.matching import Matched
from detector.evaluation.analysis.olrp import OptimalLRP
from detector.evaluation.analysis.operating_points import SCORE_POINTS, OperatingPoints
from detector.evaluation.analysis.tide import BACKGROUND_IOU, EFFECTS, KINDS, Tide
from detector.evaluation.coco import METRICS
from detector.evaluation.comparison import OVER_IOUS, RECALLS
from detector.evaluation.results import FlatResults
from detector.options import EvaluationEngine
from detector.output import write_text

ANALYSIS = "analysis.json"
FORMAT = 1
NO_BIN = 255


def write_analysis(
    folder: Path, analysis: Analysis, split: str | None = None, model: str | None = None
) -> dict[str, Any]:
    """Writes `analysis.json` into the folder and returns what is in it.

    Args:
        folder: of `metrics.json`.
        analysis: what is written.
        split: name of the images that were measured.
        model: the checkpoint, or the file of detections.
    """
    content = {"format": FORMAT, "split": split, "model": model, **document(analysis)}
    write_text(folder / ANALYSIS, json.dumps(content, allow_nan=False) + "\n")
    return content


def leave_analysis(
    folder: Path,
    index: Index,
    results: FlatResults,
    metrics: Mapping[str, Any],
    engine: EvaluationEngine,
    split: str,
    model: str | None,
    look: SecondLook | None = None,
) -> dict[str, Any]:
    """What an evaluation and the end of a training leave beside `metrics.json`: takes the detections apart and writes
    `analysis.json`, whose content it returns. The arguments are those of `analyse` and `write_analysis`, and the detector in
    another view, where there is one at hand, for which suspected label errors are stable."""
    analysis = analyse(index, results, metrics, engine)
    if look is not None:
        suspicions = looked_at_again(analysis.suspicions, analysis.matched, analysis.by_class, look)
        analysis = replace(analysis, suspicions=suspicions)
    return write_analysis(folder, analysis, split, model)


def document(analysis: Analysis) -> dict[str, Any]:
    """All of the analysis as valid JSON; docs/analysis.md describes it. None stands where there is nothing to find."""
    matched, errors = analysis.matched, analysis.errors
    return {
        "metrics": {name: analysis.metrics[name] for name in METRICS},
        **{
            f"{name.lower()}_interval": asdict(analysis.intervals[name]) if name in analysis.intervals else None
            for name in OVER_IOUS
        },
        "iou_thresholds": [round(float(iou), 2) for iou in matched.ious],
        "beyond_100": matched.beyond,
        "classes": _classes(matched),
        "images": _images(analysis),
        "objects": {
            "label": column(matched.object_labels),
            "box": column(_rounded(matched.index.annotations.boxes)),
            "ignored": column(~matched.wanted),
            "missed": column(errors.missed),
        },
        "detections": _detections(matched, errors),
        "candidates": {
            "detection": column(analysis.candidates.detection),
            "object": column(_local(matched, analysis.candidates.object, analysis.candidates.detection)),
            "level": column(analysis.candidates.level),
        },
        "operating_points": {
            "overall": {name: values[0] for name, values in _points(analysis.overall).items()},
            "per_class": _points(analysis.by_class),
        },
        "curves": {
            "recall_points": [round(float(recall), 2) for recall in RECALLS],
            "precision": column(matched.precision.astype(np.float32)),
            "score": column(matched.score_at_recall.astype(np.float32)),
            "score_points": SCORE_POINTS.tolist(),
            "true": column(analysis.curves.true),
            "false": column(analysis.curves.false),
        },
        "confusion": {
            "threshold": analysis.threshold if np.isfinite(analysis.threshold) else None,
            "iou": 0.5,
            "matrix": column(analysis.confusion),
        },
        "tide": _tide(errors),
        "olrp": _olrp(analysis.olrp),
        "calibration": {
            "iou": 0.5,
            "edges": [i / BINS for i in range(BINS + 1)],
            "overall": {name: values[0] for name, values in _calibration(analysis.calibration).items()},
            "per_class": _calibration(analysis.calibration_by_class),
        },
        "subsets": [
            {
                "name": one.name,
                "meaning": one.meaning,
                "bins": list(one.bins),
                "objects": one.objects.tolist(),
                "images": one.images.tolist(),
                "recall50": _plain(one.recall[:, 0]),
                "recall": _plain(one.recall.mean(axis=1)),
                "ap50": _plain(one.ap[:, 0]),
                "ap": _plain(one.ap.mean(axis=1)),
                "bin_of_object": column(np.where(matched.wanted, one.bin_of_object, NO_BIN)),
            }
            for one in analysis.subsets
        ],
        "label_errors": _label_errors(analysis),
    }


def _classes(matched: Matched) -> dict[str, Any]:
    index = matched.index
    having = np.unique(matched.object_labels[matched.wanted] * len(index) + matched.owners[matched.wanted]) // len(
        index
    )
    return {
        "name": list(index.class_names),
        "category_id": list(index.category_ids),
        "objects": matched.positives.tolist(),
        "images": np.bincount(having, minlength=matched.classes).tolist(),
        "detections": np.bincount(matched.labels, minlength=matched.classes).tolist(),
        "AP": _plain(matched.precision.mean(axis=(1, 2))),
        "AP50": _plain(matched.precision[:, 0].mean(axis=1)),
        "AP75": _plain(matched.precision[:, 5].mean(axis=1)),
    }


def _images(analysis: Analysis) -> dict[str, Any]:
    index = analysis.matched.index
    return {
        "id": [index.image_id(i) for i in range(len(index))],
        "file": index.files.tolist(),
        "size": column(index.sizes),
        "detection_offsets": column(analysis.matched.offsets),
        "object_offsets": column(index.annotations.offsets),
        "cost": column(analysis.costs),
    }


def _detections(matched: Matched, errors: Tide) -> dict[str, Any]:
    first = matched.index.annotations.offsets[matched.images]
    return {
        "label": column(matched.labels),
        "score": column(matched.scores),
        "box": column(_rounded(matched.boxes)),
        "found": column(np.where(matched.found >= 0, matched.found - first, matched.found)),
        "kind": column(errors.kind),
        "kind_object": column(np.where(errors.object >= 0, errors.object - first, -1)),
    }


def _local(matched: Matched, objects: np.ndarray, detections: np.ndarray) -> np.ndarray:
    return objects - matched.index.annotations.offsets[matched.images[detections]]


def _points(points: OperatingPoints) -> dict[str, list[list[float | None]]]:
    return {field.name: _plain(getattr(points, field.name)) for field in fields(points)}


def _calibration(calibration: Calibration) -> dict[str, list[Any]]:
    return {
        "ece": _plain(calibration.error),
        "count": calibration.count.tolist(),
        "confidence": _plain(calibration.confidence),
        "precision": _plain(calibration.precision),
    }


def _tide(errors: Tide) -> dict[str, Any]:
    return {
        "iou": 0.5,
        "background_iou": BACKGROUND_IOU,
        "ap": _plain(errors.mean_ap),
        "counts": {kind: int(errors.counts[kind].sum()) for kind in KINDS},
        "delta_ap": {effect: _plain(errors.delta_ap(effect)) for effect in EFFECTS},
        "per_class": {
            "ap": _plain(errors.ap),
            "counts": {kind: errors.counts[kind].tolist() for kind in KINDS},
            "delta_ap": {effect: _plain(errors.fixed[effect] - errors.ap) for effect in EFFECTS},
        },
    }


def _olrp(olrp: OptimalLRP) -> dict[str, Any]:
    per_class = {field.name: getattr(olrp, field.name) for field in fields(olrp)}
    means = {name: _mean(values) for name, values in per_class.items() if name != "threshold"}
    return {"iou": 0.5, **means, "per_class": {name: _plain(values) for name, values in per_class.items()}}


def _label_errors(analysis: Analysis) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    cases = []
    for one in analysis.suspicions:
        counts[one.kind] += 1
        if counts[one.kind] <= CASES:
            cases.append(asdict(one))
    return {"counts": dict(counts), "cases": cases}


def _rounded(boxes: np.ndarray) -> np.ndarray:
    """float32, to 1/16 pixel."""
    return (np.round(boxes * 16) / 16).astype(np.float32)


def _mean(values: np.ndarray) -> float | None:
    return None if np.isnan(values).all() else float(np.nanmean(values))


def _plain(values: Any) -> Any:
    """Numbers and nested lists of them; None in place of NaN."""
    if isinstance(values, np.ndarray):
        values = values.tolist()
    if isinstance(values, list):
        return [_plain(value) for value in values]
    return None if np.isnan(values) else float(values)
