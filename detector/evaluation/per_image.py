"""What a detector found, missed and imagined in each image, at IoU 0.5 and above a score."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from dataclasses import dataclass

import numpy as np

from detector.data.index import Index
from detector.evaluation.coco import evaluation
from detector.evaluation.results import FlatResults

IOU = 0.5


@dataclass(frozen=True)
class MatchedDetections:
    """Detections of an index and what became of each, matched as COCO does: in each image and class best score first."""

    index: Index
    results: FlatResults
    """M detections."""
    true: np.ndarray
    """bool [M]: found an object."""
    false: np.ndarray
    """bool [M]: found none. Neither of both: what found a crowd, and beyond the best 100 of a class in an image."""
    found_with: np.ndarray
    """float64 [N]: the score with which each object of `index.annotations` was found, −inf where it was not."""

    @property
    def wanted(self) -> np.ndarray:
        """bool [N]: objects that are to be found."""
        return ~self.index.annotations.crowd

    @property
    def owners(self) -> np.ndarray:
        """int64 [N]: place in the index of each object's image."""
        return self.index.annotations.owners


@dataclass(frozen=True)
class Counts:
    """Numbers of detections and objects of each of I images, int64 [I]."""

    found: np.ndarray
    missed: np.ndarray
    false: np.ndarray

    @property
    def f1(self) -> np.ndarray:
        """float64 [I] in 0..1: 2·found / (2·found + missed + false), 1 where there is nothing to find and nothing found."""
        total = 2 * self.found + self.missed + self.false
        return np.where(total > 0, 2 * self.found / np.maximum(total, 1), 1.0)


def match_detections(index: Index, results: FlatResults) -> MatchedDetections:
    """Every detection with its object, if it has one. A lower score takes no object from a higher one, so that this holds
    above any score."""
    measured = evaluation(index, results, keep_matches=True)
    measured.params.iouThrs = np.array([IOU])
    measured.params.areaRng, measured.params.areaRngLbl = [[0, 1e10]], ["all"]
    measured.params.maxDets = [100]
    with redirect_stdout(io.StringIO()):
        measured.evaluate()
    true, false = np.zeros((2, len(results.scores)), dtype=bool)
    found_with = np.full(len(index.annotations), -np.inf)
    for entry in filter(None, measured.evalImgs):
        rows = np.asarray(entry["dtIds"], dtype=np.int64) - 1  # both kinds of ids count from 1, see `as_coco`
        matched, ignored = entry["dtMatches"][0].astype(np.int64), entry["dtIgnore"][0].astype(bool)
        true[rows] = (matched > 0) & ~ignored
        false[rows] = (matched == 0) & ~ignored
        found_with[matched[true[rows]] - 1] = results.scores[rows[true[rows]]]
    return MatchedDetections(index, results, true, false, found_with)


def count(matched: MatchedDetections, score: float) -> Counts:
    """Counts the detections with at least `score`, and the objects that they miss."""
    images = len(matched.index)
    shown = matched.results.scores >= score
    found = matched.found_with >= score
    return Counts(
        np.bincount(matched.owners[found], minlength=images),
        np.bincount(matched.owners[matched.wanted & ~found], minlength=images),
        np.bincount(matched.results.images[matched.false & shown], minlength=images),
    )


def best_score(matched: MatchedDetections) -> float:
    """The smallest score to show so that F1 over all images and classes together is highest; the higher one of equals.

    1 where no detection is true.
    """
    order = np.argsort(-matched.results.scores, kind="stable")
    scores = matched.results.scores[order]
    true, false = np.cumsum(matched.true[order]), np.cumsum(matched.false[order])
    last = np.append(scores[1:] != scores[:-1], True)[: len(scores)]  # equal scores are shown together or not at all
    f1 = np.where(last, 2 * true / np.maximum(true + false + matched.wanted.sum(), 1), 0.0)
    return float(scores[np.argmax(f1)]) if matched.true.any() else 1.0
