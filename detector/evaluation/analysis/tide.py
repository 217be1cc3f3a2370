"""The error kinds of TIDE (Bolya, Foley, Hays, Hoffman: TIDE: A General Toolbox for Identifying Object Detection Errors, ECCV
2020) and how much AP each costs, as its published program `tidecv` computes them.

Each false detection is of one kind, by its IoU with the objects of its image at the thresholds 0.5 and 0.1: badly located
(own class, between both), wrong class (another class, above), both (of neither, but not on background), duplicate (its
object is found by another one), background (below 0.1 everywhere). An object that is not found is missed, unless a wrong
class or a bad location would be right with it. ΔAP of a kind is what AP would gain if all its errors were put right: a
wrong class or location becomes true, once an object and for the best score, the others vanish, and missed objects are not
asked for.

Where nothing is a crowd and no image has more than 100 detections, the numbers are those of `tidecv`: also its AP, which is
COCO's AP50 but for classes that are detected and have no object, which it counts as 0, and a last digit of the recalls that
it reads. With crowds `tidecv` also looks for errors among the detections on them; here, as for AP, these count neither way.
It takes the best 100 detections of an image; here it is, as for AP, 100 of a class.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detector.evaluation.analysis.average_precision import average_precisions
from detector.evaluation.analysis.matching import IGNORED, Matched
from detector.evaluation.analysis.overlaps import Overlaps

BACKGROUND_IOU = 0.1
RIGHT, CLASSIFICATION, LOCALISATION, BOTH, DUPLICATE, BACKGROUND, ON_IGNORED = range(7)
"""The kind of a detection."""
KINDS = ("classification", "localisation", "both", "duplicate", "background", "missed")
EFFECTS = (*KINDS, "false_positives", "false_negatives")
"""What is put right for a ΔAP: the errors of a kind; all false detections, placed behind all true ones; all objects not
found, which are not asked for."""

_RECALLS = np.array([i / 100 for i in range(101)])  # ten of COCO's own differ in the last digit


@dataclass(frozen=True)
class Tide:
    """Error kinds of M detections and N objects, and their cost in AP at IoU 0.5, of K classes and overall."""

    kind: np.ndarray
    """int64 [M]: `RIGHT`, ... `ON_IGNORED`."""
    object: np.ndarray
    """int64 [M]: the object that was found, or that the error is about; −1 for both, background and ignored."""
    missed: np.ndarray
    """bool [N]."""
    counts: dict[str, np.ndarray]
    """int64 [K] by kind: errors of each class."""
    ap: np.ndarray
    """float64 [K]; NaN for a class that has neither objects nor detections."""
    fixed: dict[str, np.ndarray]
    """AP where one effect is undone, float64 [K], NaN as above."""

    @property
    def mean_ap(self) -> float:
        """Mean over the classes; NaN without any."""
        return _mean(self.ap)

    def delta_ap(self, effect: str) -> float:
        """What AP would gain; a kind's loss, which there may be by ties, is 0 as in `tidecv`."""
        gain = _mean(self.fixed[effect]) - self.mean_ap
        return max(gain, 0.0) if effect in KINDS else gain


def tide(matched: Matched, overlaps: Overlaps) -> Tide:
    """The errors of all detections; `overlaps` are the pairs of a detection and an object with an IoU of at least 0.1."""
    found = matched.found_objects(0)
    kind, one = _kinds(matched, overlaps, found)
    rows = np.flatnonzero(((kind == CLASSIFICATION) | (kind == LOCALISATION)) & ~found[one])
    claimed, first = np.unique(one[rows], return_index=True)
    repaired = np.zeros(len(kind), dtype=bool)  # the best score of those that would be right with the same object
    repaired[rows[first]] = True
    missed = matched.wanted & ~found
    missed[claimed] = False

    counted = matched.order[kind[matched.order] != ON_IGNORED]
    labels, true, positives = matched.labels[counted], kind[counted] == RIGHT, matched.positives
    missed_of_class, lost_of_class = (
        np.bincount(matched.object_labels[some], minlength=matched.classes)
        for some in (missed, matched.wanted & ~found)
    )
    fixed = {}
    for name, code in zip(KINDS[:-1], (CLASSIFICATION, LOCALISATION, BOTH, DUPLICATE, BACKGROUND), strict=True):
        of_kind = kind[counted] == code
        kept = ~of_kind | repaired[counted]
        right = true | (of_kind & repaired[counted])
        now = np.where(of_kind & right, matched.object_labels[one[counted]], labels)
        fixed[name] = _by_class(now[kept], right[kept], positives)
    fixed["missed"] = _by_class(labels, true, positives - missed_of_class)
    best_first = np.argsort(~true, kind="stable")
    fixed["false_positives"] = _by_class(labels[best_first], true[best_first], positives)
    fixed["false_negatives"] = _by_class(labels, true, positives - lost_of_class)
    counts = {
        name: np.bincount(matched.labels[kind == code], minlength=matched.classes)
        for name, code in zip(KINDS[:-1], (CLASSIFICATION, LOCALISATION, BOTH, DUPLICATE, BACKGROUND), strict=True)
    }
    return Tide(kind, one, missed, {**counts, "missed": missed_of_class}, _by_class(labels, true, positives), fixed)


def _kinds(matched: Matched, overlaps: Overlaps, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The kind of each detection, int64 [M], and the object that it is about."""
    count, iou = len(matched.scores), matched.ious[0]
    own = matched.labels[overlaps.box] == matched.object_labels[overlaps.object]
    own_iou, own_object = overlaps.where(own).best(count)
    other_iou, other_object = overlaps.where(~own).best(count)
    used_iou, used_object = overlaps.where(own & found[overlaps.object]).best(count)
    none = np.full(count, -1)
    rules = (
        (matched.found[0] >= 0, RIGHT, matched.found[0]),
        (matched.found[0] == IGNORED, ON_IGNORED, none),
        ((own_iou >= BACKGROUND_IOU) & (own_iou <= iou), LOCALISATION, own_object),
        (other_iou >= iou, CLASSIFICATION, other_object),
        (used_iou >= iou, DUPLICATE, used_object),
        (np.maximum(own_iou, other_iou) <= BACKGROUND_IOU, BACKGROUND, none),
    )
    conditions = [condition for condition, _, _ in rules]
    return (
        np.select(conditions, [code for _, code, _ in rules], BOTH),
        np.select(conditions, [one for _, _, one in rules], -1),
    )


def _by_class(labels: np.ndarray, true: np.ndarray, positives: np.ndarray) -> np.ndarray:
    ap = average_precisions(labels, true, positives, _RECALLS)
    return np.where((positives > 0) | (np.bincount(labels, minlength=len(positives)) > 0), ap, np.nan)


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if not np.isnan(values).all() else float("nan")
