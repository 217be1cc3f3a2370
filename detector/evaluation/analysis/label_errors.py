"""Annotations that may be wrong: what a detector is sure of and they deny, and boxes that are there twice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detector.evaluation.analysis.matching import Matched
from detector.evaluation.analysis.operating_points import OperatingPoints
from detector.evaluation.analysis.overlaps import intersection_over_union, overlaps_of_objects
from detector.evaluation.analysis.tide import BACKGROUND, CLASSIFICATION, Tide

TWICE = 0.8
"""IoU from which two annotations of an image are thought to be of one object."""
MISSING, WRONG_CLASS, DUPLICATE, TWO_CLASSES = (
    "missing annotation",
    "wrong class",
    "duplicate annotation",
    "two classes",
)


@dataclass(frozen=True)
class Suspicion:
    """One place where the annotations may be wrong."""

    kind: str
    image: int
    """Place in the index."""
    detection: int | None
    object: int | None
    other_object: int | None
    score: float | None
    """The score of the detection."""
    iou: float | None
    """The overlap of the two boxes."""


def label_errors(matched: Matched, errors: Tide, best: OperatingPoints) -> list[Suspicion]:
    """All suspicions, by kind, the most suspicious first.

    - missing annotation: a detection on background (TIDE) whose score is not below the threshold of its class's best F1;
      the best score first;
    - wrong class: such a detection that covers an object of another class, which no detection of that class has found
      with its own such score; the best score first;
    - duplicate annotation, two classes: two objects with an IoU of at least 0.8, of the same class or not; the largest
      IoU first.
    """
    sure = matched.scores >= best.threshold[matched.labels, 0]  # never where the threshold is NaN
    found = np.zeros(len(matched.wanted), dtype=bool)
    found[matched.found[0][sure & (matched.found[0] >= 0)]] = True
    by_score = matched.order
    missing = by_score[(sure & (errors.kind == BACKGROUND))[by_score]]
    other = sure & (errors.kind == CLASSIFICATION)
    other[other] = ~found[errors.object[other]]
    wrong = by_score[other[by_score]]
    pairs = overlaps_of_objects(matched, TWICE)
    pairs = pairs.where(pairs.box < pairs.object)
    largest_first = np.argsort(-pairs.iou, kind="stable")
    ious = intersection_over_union(matched.boxes[wrong], matched.index.annotations.boxes[errors.object[wrong]])

    cases = [
        Suspicion(MISSING, int(matched.images[d]), int(d), None, None, float(matched.scores[d]), None) for d in missing
    ]
    cases += [
        Suspicion(
            WRONG_CLASS,
            int(matched.images[d]),
            int(d),
            int(errors.object[d]),
            None,
            float(matched.scores[d]),
            float(iou),
        )
        for d, iou in zip(wrong, ious, strict=True)
    ]
    labels = matched.object_labels
    for kind, same in ((DUPLICATE, True), (TWO_CLASSES, False)):
        cases += [
            Suspicion(kind, int(matched.owners[a]), None, int(a), int(b), None, float(iou))
            for a, b, iou in zip(
                pairs.box[largest_first], pairs.object[largest_first], pairs.iou[largest_first], strict=True
            )
            if (labels[a] == labels[b]) == same
        ]
    return cases
