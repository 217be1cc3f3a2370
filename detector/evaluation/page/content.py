"""What a page is given of an analysis: all of its figures, and of its detections as many as a browser handles quickly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from detector.columns import array, column

MOST_DETECTIONS = 200_000
"""Detections of the best scores that a page holds; a move of its slider goes through all of them."""


def page_content(analysis: Mapping[str, Any], most: int = MOST_DETECTIONS) -> dict[str, Any]:
    """The analysis with at most `most` of its M detections, and two things more.

    `lowest_score` is the score from which on no detection is missing: a multiple of 0.001 up to 1, 0 where all are there.
    `left_out` is the number of detections below it. Curves, AP, error kinds and calibration are of all detections.

    Args:
        analysis: what `write_analysis` returns; it stays as it is.
        most: the number of detections that is kept.
    """
    detections = {name: array(one) for name, one in analysis["detections"].items()}
    lowest = _lowest_score(detections["score"], most)
    kept = detections["score"] >= lowest
    new_row = np.cumsum(kept) - 1
    candidates = {name: array(one) for name, one in analysis["candidates"].items()}
    possible = kept[candidates["detection"]]
    candidates["detection"] = new_row[candidates["detection"]]
    offsets = array(analysis["images"]["detection_offsets"])

    def own_row(case: Mapping[str, Any]) -> dict[str, Any]:
        row = case["detection"]
        return {**case, "detection": int(new_row[row]) if row is not None and kept[row] else None}

    return {
        **analysis,
        "curves": {name: one for name, one in analysis["curves"].items() if name != "score"},
        "images": {
            **analysis["images"],
            "detection_offsets": column(np.concatenate([[0], np.cumsum(kept)])[offsets]),
        },
        "detections": {name: column(values[..., kept]) for name, values in detections.items() if name != "box"}
        | {"box": column(detections["box"][kept])},
        "candidates": {name: column(values[possible]) for name, values in candidates.items()},
        "label_errors": {
            **analysis["label_errors"],
            "cases": [own_row(case) for case in analysis["label_errors"]["cases"]],
        },
        "lowest_score": lowest,
        "left_out": int((~kept).sum()),
    }


def _lowest_score(scores: np.ndarray, most: int) -> float:
    if len(scores) <= most:
        return 0.0
    best_left_out = float(np.partition(scores, len(scores) - most - 1)[len(scores) - most - 1])
    return min(1.0, (np.floor(best_left_out * 1000) + 1) / 1000)
