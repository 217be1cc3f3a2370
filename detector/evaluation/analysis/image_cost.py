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
    owners = images[~true][: f[-1] if len(f) else 0]  # those behind the last true one cost nothing
    most = np.bincount(owners, minlength=len(objects)).max(initial=0)
    kept = _may_be_best(n, f, int(missed.max(initial=0)), int(most))
    n, f = n[kept], f[kept]
    place = np.searchsorted(f, np.arange(len(owners)), side="right")  # the first place that comes after each false one
    by_image = np.argsort(owners, kind="stable")
    owners, place = owners[by_image], place[by_image]

    counts, kind = np.unique(np.append(0, missed), return_inverse=True)
    kind = kind[1:]
    weight, certain = _weights(n, int(objects.sum()), counts)
    now = np.maximum.accumulate((n / (n + f))[::-1])[::-1] @ weight[0]
    changed = np.flatnonzero((missed > 0) | (np.bincount(owners, minlength=len(objects)) > 0))
    for some in _chunks(changed, len(f)):
        start, stop = np.searchsorted(owners, (some[0], some[-1] + 1))
        cells = np.searchsorted(some, owners[start:stop]) * len(f) + place[start:stop]
        gone = np.cumsum(np.bincount(cells, minlength=len(some) * len(f)).reshape(len(some), len(f)), axis=1)
        right = n + missed[some, None]
        best_from_here = np.maximum.accumulate((right / (right + f - gone))[:, ::-1], axis=1)[:, ::-1]
        costs[some] += certain[kind[some]] + np.einsum("br,br->b", best_from_here, weight[kind[some]]) - now


def _may_be_best(n: np.ndarray, f: np.ndarray, more: int, gone: int) -> np.ndarray:
    """bool [R]: the places that may have the best precision from there on, whichever image is right.

    A later place (n', f') is at least as precise as (n, f) where f'·n − f·n' + m·(f' − f) + g·(n' − n) ≤ 0, if it loses as
    many false ones; it may lose more. This grows with m and g. So where it holds for the largest numbers, it always does.
    """
    false_per_true = (f - gone) / (n + more)
    least_behind = np.append(np.minimum.accumulate(false_per_true[::-1])[::-1][1:], np.inf)[: len(n)]
    return false_per_true < least_behind


def _weights(n: np.ndarray, positives: int, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At how many of the recalls the precision of each place counts, float64 [C, R], where [C] numbers of objects more are
    found before all others; and how many recalls these reach, float64 [C]."""
    reached = np.searchsorted(RECALLS, np.arange(positives + 1) / positives, side="right")
    reached[0] = 0  # a recall of 0 is reached with the first object, too
    first = np.append(0, n)  # the objects found up to the place before
    upto = reached[np.minimum(first + counts[:, None], positives)]
    return np.diff(upto, axis=1).astype(np.float64), upto[:, 0].astype(np.float64)


def _chunks(images: np.ndarray, row_size: int) -> Iterator[np.ndarray]:
    step = max(1, _CHUNK // (row_size + 1))
    return (images[start : start + step] for start in range(0, len(images), step))
