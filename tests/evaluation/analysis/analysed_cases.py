"""Cases that several tests of an analysis share."""

from __future__ import annotations

import numpy as np
from test_engines import hard_case
from tide_cases import Case

from detector.data.index import AnnotatedObjects, Index, assemble
from detector.evaluation.analysis.matching import Matched, match_images
from detector.evaluation.results import FlatResults


def as_index(case: Case) -> tuple[Index, FlatResults]:
    boxes = case.objects[:, 2:]
    index = assemble(
        [f"class {k}" for k in range(case.classes)],
        range(1, case.classes + 1),
        range(case.images),
        [""] * case.images,
        np.full((case.images, 2), 200),
        AnnotatedObjects(
            owners=case.objects[:, 0].astype(np.int64),
            boxes=np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1),
            labels=case.objects[:, 1].astype(np.int64),
            crowd=np.zeros(len(boxes), dtype=bool),
            where=str,
            written=boxes,
        ),
    )
    found = case.detections
    return index, FlatResults(found[:, 0].astype(np.int64), found[:, 1].astype(np.int64), found[:, 2:6], found[:, 6])


def hard_matches(seed: int) -> Matched:
    """Crowds, ties, boxes on thresholds and beyond the image, more than 100 detections of a class."""
    return match_images(*hard_case(seed))


def iou_of(first: np.ndarray, second: np.ndarray) -> float:
    """Of two boxes x, y, width, height."""
    width = min(first[0] + first[2], second[0] + second[2]) - max(first[0], second[0])
    height = min(first[1] + first[3], second[1] + second[3]) - max(first[1], second[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return float(shared / (first[2] * first[3] + second[2] * second[3] - shared))


def chosen(results: FlatResults, rows: np.ndarray) -> FlatResults:
    return FlatResults(results.images[rows], results.labels[rows], results.boxes[rows], results.scores[rows])
