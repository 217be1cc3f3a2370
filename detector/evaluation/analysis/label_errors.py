"""Annotations that may be wrong: what a detector is sure of and they deny, and boxes that are there twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from detector.evaluation.analysis.matching import Matched
from detector.evaluation.analysis.operating_points import OperatingPoints
from detector.evaluation.analysis.overlaps import intersection_over_union, overlaps_of_objects
from detector.evaluation.analysis.tide import BACKGROUND, CLASSIFICATION, Tide
from detector.evaluation.results import FlatResults

SecondLook = Callable[[np.ndarray], FlatResults]
"""Places of images in the index, int64 → what the detector finds in another view of them, in their own pixels."""
CASES = 200
"""Suspicions of a kind that are written and looked at again; all are counted."""
AGAIN = 0.5
"""IoU from which a detection in another view is of the same place."""
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
    stable: bool | None = None
    """Whether the detector is as sure of the same in the mirrored image; None where nobody has looked."""


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


def looked_at_again(
    suspicions: Sequence[Suspicion], matched: Matched, best: OperatingPoints, look: SecondLook
) -> list[Suspicion]:
    """The suspicions, with `stable` for the first `CASES` of each kind that rest on a detection; the stable come first.

    A detection is stable where in the other view one of its class has an IoU of at least 0.5 with it and a score not below
    the threshold of that class's best F1. Chance and the place in the image give a detector reasons to be sure that another
    view does not; an object without an annotation stays an object.
    """
    counts: Counter[str] = Counter()
    asked = []
    for k, one in enumerate(suspicions):
        counts[one.kind] += 1
        if one.detection is not None and counts[one.kind] <= CASES:
            asked.append(k)
    if not asked:
        return list(suspicions)
    again = look(np.unique([suspicions[k].image for k in asked]))
    sure = again.scores >= best.threshold[again.labels, 0]
    seen = list(suspicions)
    for k in asked:
        one, d = suspicions[k], suspicions[k].detection
        same = np.flatnonzero(sure & (again.images == one.image) & (again.labels == matched.labels[d]))
        here = np.broadcast_to(matched.boxes[d], (len(same), 4))
        seen[k] = replace(one, stable=bool((intersection_over_union(here, again.boxes[same]) >= AGAIN).any()))
    kinds = list(counts)
    return sorted(seen, key=lambda one: (kinds.index(one.kind), (True, False, None).index(one.stable)))
