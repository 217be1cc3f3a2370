"""How AP varies with the images that happen to be measured: matches made once, and AP of resamples of the images.

The validation images are a sample of all images that there might be. The bootstrap (Efron & Tibshirani 1993, chapters 6
and 13) draws from them, with replacement, as many images again and again, and looks at how AP varies, or the difference of
two APs (`detector.evaluation.difference`).

A detection is matched within its own image, so that a resample changes no match, only how often each image counts.
COCO's matching is done once; a resample is an integer weight for each image.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from detector.data.index import Index
from detector.evaluation.coco import AREAS, evaluated, mean_precision, ranks
from detector.evaluation.results import FlatResults

CONFIDENCE = 0.95
RECALLS = np.linspace(0, 1, 101)
"""Recalls at which COCO reads the precision; these very floats decide whether a recall of 0.57 reaches the point 0.57."""

_CHUNK = 2**17
"""Weights handled at a time: larger arrays no longer fit the cache of a core, smaller ones cost calls."""


OVER_IOUS: Mapping[str, slice] = {"AP": slice(0, 10), "AP50": slice(0, 1), "AP75": slice(5, 6)}
"""The places among COCO's ten IoU thresholds whose mean each measure is."""


@dataclass(frozen=True)
class ClassMatches:
    """D detections of one class, best score first (ties in the order of image ids), at T IoU thresholds.

    Those that are ignored at every threshold are left out.
    """

    images: np.ndarray
    """int64 [D]: place in the index of each detection's image."""
    true: tuple[np.ndarray, ...]
    """T arrays int64: which detections found an object, as rows of `images`, ascending."""
    ignored: tuple[np.ndarray, ...]
    """T arrays int64: which count neither way, because what they found, or their own area, does not."""
    objects: np.ndarray
    """int64 [G]: place in the index of the image of each object that is to be found."""


@dataclass(frozen=True)
class Matches:
    """What a detector found in the images of an index, by label."""

    images: int
    classes: tuple[ClassMatches, ...]
    ap: float
    """COCO's AP of the images as they are; NaN where there is no object to find."""


@dataclass(frozen=True)
class ResampledAP:
    """AP of one detector on the images as they are, and on each of R resamples (float64 [R])."""

    ap: float
    resampled: np.ndarray


def match(index: Index, results: FlatResults) -> Matches:
    """Matches as COCO does: IoU 0.50:0.95, all areas, the best 100 detections of a class in an image."""
    return match_by_area(index, results, ("all",))["all"]


def match_by_area(index: Index, results: FlatResults, areas: Collection[str] = AREAS) -> dict[str, Matches]:
    """The matches from which COCO computes AP of the objects of some areas; each is another matching.

    Objects outside of an area are ignored with what found them, and so are detections outside of it that found nothing.
    """
    measured = evaluated(index, results, areas=areas)
    by_rank = np.argsort(index.image_ids, kind="stable")  # pycocotools goes through the images by their ids
    size, thresholds = len(index), len(measured.params.iouThrs)
    matches = {}
    for place, name in enumerate(areas):
        ap = mean_precision(measured.eval["precision"][:, :, :, place])
        starts = [(rank * len(areas) + place) * size for rank in ranks(index.category_ids).tolist()]
        classes = [_class_matches(measured.evalImgs[start : start + size], by_rank, thresholds) for start in starts]
        matches[name] = Matches(size, tuple(classes), ap if ap >= 0 else np.nan)
    return matches


def _class_matches(per_image: Sequence[dict | None], by_rank: np.ndarray, thresholds: int) -> ClassMatches:
    """pycocotools' entries of one class, in the order of its images; None where an image has nothing of the class."""
    places = [place for place, entry in enumerate(per_image) if entry is not None]
    entries = [entry for entry in per_image if entry is not None]
    owners, none = by_rank[places], np.zeros((thresholds, 0))
    scores = np.fromiter(chain.from_iterable(entry["dtScores"] for entry in entries), dtype=float)
    images = np.repeat(owners, [len(entry["dtScores"]) for entry in entries])
    matched = np.concatenate([none, *(entry["dtMatches"] for entry in entries)], axis=1) != 0
    ignored = np.concatenate([none, *(entry["dtIgnore"] for entry in entries)], axis=1) != 0
    wanted = np.concatenate([none[0], *(entry["gtIgnore"] for entry in entries)]) == 0
    objects = np.repeat(owners, [len(entry["gtIgnore"]) for entry in entries])[wanted]
    order = np.argsort(-scores, kind="stable")
    order = order[~ignored.all(axis=0)[order]]
    true, ignored = (matched & ~ignored)[:, order], ignored[:, order]
    return ClassMatches(
        images[order],
        tuple(np.flatnonzero(row) for row in true),
        tuple(np.flatnonzero(row) for row in ignored),
        objects,
    )


def resample_images(images: int, resamples: int, seed: int) -> np.ndarray:
    """int32 [resamples, images]: how often each image is in each resample of as many images."""
    random = np.random.default_rng(seed)
    drawn = (np.bincount(random.integers(images, size=images), minlength=images) for _ in range(resamples))
    return np.array(list(drawn), dtype=np.int32).reshape(resamples, images)


def resampled_ap(matches: Matches, weights: np.ndarray) -> ResampledAP:
    """AP of the images as they are and of each row of `weights` (`resample_images`)."""
    return ResampledAP(matches.ap, average_precisions(matches, weights))


def average_precisions(matches: Matches, weights: np.ndarray) -> np.ndarray:
    """COCO's AP for each row of `weights`, int32 [R, I]: as if image i were `weights[r, i]` times in the data.

    The copies of a detection follow one another in the order of scores. Returns float64 [R], in 0..1; NaN where no
    object is left to be found. A class without objects does not enter a row's mean. Sums are taken in another order than
    pycocotools', and without the 2e-16 that it adds to the number of detections: a row of ones gives `matches.ap` to 1e-14.
    """
    return mean_over_classes(class_precisions(matches, weights)).mean(axis=1)


def class_precisions(matches: Matches, weights: np.ndarray) -> np.ndarray:
    """AP of each class at each IoU threshold, float64 [K, R, T], for the rows of `weights` as in `average_precisions`.

    NaN where a row holds no object of the class.
    """
    thresholds = max((len(one.true) for one in matches.classes), default=0)
    precisions = np.empty((len(matches.classes), len(weights), thresholds))
    for one, of_class in zip(matches.classes, precisions, strict=True):
        positives = weights[:, one.objects].sum(axis=1)
        for rows in _chunks(len(weights), max(len(one.images), len(one.objects))):
            of_class[rows] = _average_precisions(one, weights[rows], positives[rows])
    return precisions


def mean_over_classes(precisions: np.ndarray) -> np.ndarray:
    """float64 [R, ...] of [K, R, ...]: the mean over the classes that are not NaN; NaN where all are."""
    present = (~np.isnan(precisions)).sum(axis=0)
    total = np.nansum(precisions, axis=0)
    return np.divide(total, present, out=np.full(total.shape, np.nan), where=present > 0)


def _chunks(rows: int, row_size: int) -> Iterator[slice]:
    step = max(1, _CHUNK // max(1, row_size))
    return (slice(start, start + step) for start in range(0, rows, step))


def _average_precisions(one: ClassMatches, weights: np.ndarray, positives: np.ndarray) -> np.ndarray:
    """AP of one class, float64 [B, T], for B rows of weights [B, I], where `positives` [B] objects are to be found; NaN where
    none are.

    The precision only rises at a true detection, so that the best precision from some recall on is one of those just
    after a true detection: of the others nothing but their number is needed. And instead of looking up for each of the
    101 recalls the true detection that reaches it, each true detection is told how many recalls it is the first to
    reach.
    """
    counted_so_far = np.cumsum(np.take(weights, one.images, axis=1), axis=1, dtype=np.int32)  # [B, D]
    reached = _recalls_reached(positives)
    row_starts = (np.arange(len(weights), dtype=np.int64) * reached.shape[1])[:, None]
    total = np.zeros((len(weights), len(one.true)))
    for t, (true, ignored) in enumerate(zip(one.true, one.ignored, strict=True)):
        if not len(true):
            continue
        found = np.cumsum(np.take(weights, one.images[true], axis=1), axis=1, dtype=np.int32)  # [B, true]
        counted = np.take(counted_so_far, true, axis=1)
        if len(ignored):
            left_out = np.cumsum(np.take(weights, one.images[ignored], axis=1), axis=1, dtype=np.int32)
            before = np.searchsorted(ignored, true)
            counted[:, before > 0] -= left_out[:, before[before > 0] - 1]
        precision = found / np.maximum(counted, 1)  # 0 / 0 where the weights of all detections so far are 0
        best_from_here = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        recalls = np.take(reached, row_starts + found)
        total[:, t] = best_from_here[:, 0] * recalls[:, 0]
        total[:, t] += np.einsum("bn,bn->b", best_from_here[:, 1:], np.diff(recalls, axis=1))
    return np.where((positives > 0)[:, None], total / len(RECALLS), np.nan)


def _recalls_reached(positives: np.ndarray) -> np.ndarray:
    """float64 [B, max + 1]: how many of the 101 recalls `found / positives` reaches, for each number found."""
    found = np.arange(positives.max(initial=0) + 1)
    return np.searchsorted(RECALLS, found / np.maximum(positives, 1)[:, None], side="right").astype(np.float64)
