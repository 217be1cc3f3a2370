"""What each image costs: by how much AP would rise if everything were right in it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from detector.evaluation.analysis.matching import IGNORED, Matched
from detector.evaluation.comparison import RECALLS

_CHUNK = 2**17
"""Precisions that are looked at at a time; more no longer fit the cache of a core."""


def image_costs(matched: Matched) -> np.ndarray:
    """float64 [I], at least 0: AP if the image were right minus AP, exactly.

    An image is right if at every IoU threshold its objects are found and none of its detections is false: the false ones
    vanish, the true ones keep their scores, and objects that were not found are found with a score above all others.
    """
    costs = np.zeros(len(matched.index))
    positives = matched.positives
    if not positives.any():
        return costs
    order = matched.order[np.argsort(matched.labels[matched.order], kind="stable")]
    bounds = np.searchsorted(matched.labels[order], np.arange(matched.classes + 1))
    wanted = np.flatnonzero(matched.wanted)
    wanted = wanted[np.argsort(matched.object_labels[wanted], kind="stable")]
    ends = np.cumsum(positives)
    for k in np.flatnonzero(positives).tolist():
        rows = order[bounds[k] : bounds[k + 1]]
        objects = np.bincount(matched.owners[wanted[ends[k] - positives[k] : ends[k]]], minlength=len(costs))
        for found in matched.found[:, rows]:
            counted = found != IGNORED
            _add_gains(costs, matched.images[rows[counted]], found[counted] >= 0, objects)
    return costs / (len(matched.ious) * np.count_nonzero(positives) * len(RECALLS))


def _add_gains(costs: np.ndarray, images: np.ndarray, true: np.ndarray, objects: np.ndarray) -> None:
    """Adds to `costs`, float64 [I], the gain in the sum over the recalls of one class at one IoU.

    `images`, int64 [D], and `true`, bool [D], are of its detections from the best score on; `objects`, int64 [I], are
    those of each image. The best precision from some recall on is that just after the last one of some true detections
    without a false one between: R such places are looked at. Without g of the false ones before a place, and with m more
    true ones, the precision after n true and f false ones is (n + m) / (n + m + f − g).
    """
    hits = np.flatnonzero(true)
    missed = objects - np.bincount(images[hits], minlength=len(objects))
    before = hits - np.arange(len(hits))
    last = np.append(before[1:] != before[:-1], True)[: len(hits)]
    n, f = (np.arange(len(hits)) + 1)[last], before[last]
    false = np.flatnonzero(~true)
    place = np.searchsorted(f, np.arange(len(false)), side="right")  # the first place that comes after each false one
    owners = images[false[place < len(f)]]
    place = place[place < len(f)]
    by_image = np.argsort(owners, kind="stable")
    owners, place = owners[by_image], place[by_image]

    positives = int(objects.sum())
    needed, weight = _needed(positives)
    now = _sums(
        np.maximum.accumulate((n / (n + f))[None, ::-1], axis=1)[:, ::-1], n, np.zeros(1, np.int64), needed, weight
    )
    changed = np.flatnonzero((missed > 0) | (np.bincount(owners, minlength=len(objects)) > 0))
    for some in _chunks(changed, len(f)):
        start, stop = np.searchsorted(owners, (some[0], some[-1] + 1))
        cells = np.searchsorted(some, owners[start:stop]) * len(f) + place[start:stop]
        gone = np.cumsum(np.bincount(cells, minlength=len(some) * len(f)).reshape(len(some), len(f)), axis=1)
        more = missed[some]
        right = n + more[:, None]
        best_from_here = np.maximum.accumulate((right / (right + f - gone))[:, ::-1], axis=1)[:, ::-1]
        costs[some] += _sums(best_from_here, n, more, needed, weight) - now


def _needed(positives: int) -> tuple[np.ndarray, np.ndarray]:
    """How many objects must be found to reach recalls, int64 ascending from 1, and how many recalls each reaches first."""
    reached = np.searchsorted(RECALLS, np.arange(positives + 1) / positives, side="right")
    reached[0] = 0  # a recall of 0 is reached with the first one, too
    new = np.diff(reached)
    return np.flatnonzero(new) + 1, new[new > 0]


def _sums(
    best_from_here: np.ndarray, n: np.ndarray, more: np.ndarray, needed: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    """float64 [B]: the precisions at all recalls added up, of B images with [B, R] precisions and [B] objects found first."""
    kinds, kind = np.unique(more, return_inverse=True)
    place = np.searchsorted(n, needed - kinds[:, None])[kind]  # [B, needed]
    padded = np.concatenate([best_from_here, np.zeros((len(more), 1))], axis=1)
    precision = np.where(needed <= more[:, None], 1.0, np.take_along_axis(padded, place, axis=1))
    return precision @ weight


def _chunks(images: np.ndarray, row_size: int) -> Iterator[np.ndarray]:
    step = max(1, _CHUNK // (row_size + len(RECALLS)))
    return (images[start : start + step] for start in range(0, len(images), step))
