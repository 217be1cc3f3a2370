"""Whether one detector is better than another on the images of a split, and how sure that is: AP by the paired bootstrap.

The validation images are a sample of all images that there might be. The bootstrap (Efron & Tibshirani 1993, chapters 6
and 13) draws from them, with replacement, as many images again and again, and looks at how the difference of two APs
varies. Both detectors get the same images in each resample, so that what is hard for both drops out.

A detection is matched within its own image, so that a resample changes no match, only how often each image counts.
COCO's matching is done once; a resample is an integer weight for each image.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass

import numpy as np

from detector.data.index import Index
from detector.evaluation.coco import evaluation, mean_precision, ranks
from detector.evaluation.results import FlatResults

CONFIDENCE = 0.95
RECALLS = np.linspace(0, 1, 101)
"""Recalls at which COCO reads the precision; these very floats decide whether a recall of 0.57 reaches the point 0.57."""

_CHUNK = 2**17
"""Weights handled at a time: larger arrays no longer fit the cache of a core, smaller ones cost calls."""


@dataclass(frozen=True)
class ClassMatches:
    """D detections of one class, best score first (ties in the order of image ids), at T IoU thresholds."""

    images: np.ndarray
    """int64 [D]: place in the index of each detection's image."""
    true: tuple[np.ndarray, ...]
    """T arrays int64: which detections found an object, as rows of `images`, ascending."""
    ignored: tuple[np.ndarray, ...]
    """T arrays int64: which count neither way, because what they found is a crowd."""
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


@dataclass(frozen=True)
class Difference:
    """AP of a second group of runs minus that of a first one, with 95 % intervals (low, high)."""

    ap: float
    over_images: tuple[float, float]
    """Interval of the difference of these very detectors on other images of the same kind."""
    over_images_and_seeds: tuple[float, float] | None
    """Interval of the difference on other images and after other trainings; None where a group has a single run."""


def match(index: Index, results: FlatResults) -> Matches:
    """Matches as COCO does: IoU 0.50:0.95, all areas, the best 100 detections of a class in an image."""
    measured = evaluation(index, results, keep_matches=True)
    measured.params.areaRng, measured.params.areaRngLbl = [[0, 1e10]], ["all"]
    measured.params.maxDets = [100]
    with redirect_stdout(io.StringIO()):
        measured.evaluate()
        measured.accumulate()
    ap = mean_precision(measured.eval["precision"])
    by_rank = np.argsort(index.image_ids, kind="stable")  # pycocotools goes through the images by their ids
    size = len(index)
    classes = [
        _class_matches(measured.evalImgs[rank * size : (rank + 1) * size], by_rank, len(measured.params.iouThrs))
        for rank in ranks(index.category_ids).tolist()
    ]
    return Matches(size, tuple(classes), ap if ap >= 0 else np.nan)


def _class_matches(per_image: Sequence[dict | None], by_rank: np.ndarray, thresholds: int) -> ClassMatches:
    """pycocotools' entries of one class, in the order of its images; None where an image has nothing of the class."""
    present = [(by_rank[i], entry) for i, entry in enumerate(per_image) if entry is not None]
    none = np.zeros((thresholds, 0))
    images = np.concatenate([np.zeros(0), *(np.full(len(e["dtScores"]), i) for i, e in present)]).astype(np.int64)
    scores = np.concatenate([np.zeros(0), *(np.asarray(e["dtScores"], dtype=float) for _, e in present)])
    matched = np.concatenate([none, *(e["dtMatches"] for _, e in present)], axis=1) != 0
    ignored = np.concatenate([none, *(e["dtIgnore"] for _, e in present)], axis=1) != 0
    objects = np.concatenate(
        [np.zeros(0), *(np.full(np.count_nonzero(np.equal(e["gtIgnore"], 0)), i) for i, e in present)]
    )
    order = np.argsort(-scores, kind="stable")
    true, ignored = (matched & ~ignored)[:, order], ignored[:, order]
    return ClassMatches(
        images[order],
        tuple(np.flatnonzero(row) for row in true),
        tuple(np.flatnonzero(row) for row in ignored),
        objects.astype(np.int64),
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
    total = np.zeros(len(weights))
    present = np.zeros(len(weights))
    for one in matches.classes:
        positives = weights[:, one.objects].sum(axis=1)
        for rows in _chunks(len(weights), max(len(one.images), len(one.objects))):
            total[rows] += _average_precisions(one, weights[rows], positives[rows])
        present += positives > 0
    return np.divide(total, present, out=np.full(len(weights), np.nan), where=present > 0)


def _chunks(rows: int, row_size: int) -> Iterator[slice]:
    step = max(1, _CHUNK // max(1, row_size))
    return (slice(start, start + step) for start in range(0, rows, step))


def _average_precisions(one: ClassMatches, weights: np.ndarray, positives: np.ndarray) -> np.ndarray:
    """AP of one class for B rows of weights [B, I], where `positives` [B] objects are to be found; 0 where none are.

    The precision only rises at a true detection, so that the best precision from some recall on is one of those just
    after a true detection: of the others nothing but their number is needed. And instead of looking up for each of the
    101 recalls the true detection that reaches it, each true detection is told how many recalls it is the first to
    reach.
    """
    counted_so_far = np.cumsum(np.take(weights, one.images, axis=1), axis=1, dtype=np.int32)  # [B, D]
    reached = _recalls_reached(positives)
    row_starts = (np.arange(len(weights), dtype=np.int64) * reached.shape[1])[:, None]
    total = np.zeros(len(weights))
    for true, ignored in zip(one.true, one.ignored, strict=True):
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
        total += best_from_here[:, 0] * recalls[:, 0]
        total += np.einsum("bn,bn->b", best_from_here[:, 1:], np.diff(recalls, axis=1))
    return np.where(positives > 0, total / (len(one.true) * len(RECALLS)), 0.0)


def _recalls_reached(positives: np.ndarray) -> np.ndarray:
    """float64 [B, max + 1]: how many of the 101 recalls `found / positives` reaches, for each number found."""
    found = np.arange(positives.max(initial=0) + 1)
    return np.searchsorted(RECALLS, found / np.maximum(positives, 1)[:, None], side="right").astype(np.float64)


def difference(first: Sequence[ResampledAP], second: Sequence[ResampledAP], seed: int = 0) -> Difference:
    """Mean AP of the `second` runs minus mean AP of the `first`, all resampled with the same weights.

    The interval over images is the bootstrap's percentile interval. The one over images and seeds adds to each resample,
    for each group of n runs, s/√n times a Student t deviate of n − 1 degrees of freedom, where s is the standard
    deviation of the runs' APs: so uncertain is a mean of n trainings whose spread is known from these n alone (the
    Behrens-Fisher distribution; drawing n seeds from n with replacement would give too short an interval).
    """
    change = _mean_resampled(second) - _mean_resampled(first)
    ap = _mean_ap(second) - _mean_ap(first)
    if len(first) == 1 or len(second) == 1:
        return Difference(ap, _interval(change), None)
    random = np.random.default_rng(seed)
    after_other_trainings = np.tile(change, 20)  # t has long tails: many deviates for each resample
    for runs in (first, second):
        error = np.std([run.ap for run in runs], ddof=1) / np.sqrt(len(runs))
        after_other_trainings += error * random.standard_t(len(runs) - 1, len(after_other_trainings))
    return Difference(ap, _interval(change), _interval(after_other_trainings))


def _mean_ap(runs: Sequence[ResampledAP]) -> float:
    return float(np.mean([run.ap for run in runs]))


def _mean_resampled(runs: Sequence[ResampledAP]) -> np.ndarray:
    return np.mean([run.resampled for run in runs], axis=0)


def _interval(values: np.ndarray) -> tuple[float, float]:
    low, high = np.nanquantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
