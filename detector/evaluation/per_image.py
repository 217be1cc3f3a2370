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
