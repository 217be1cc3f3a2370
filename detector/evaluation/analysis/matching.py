"""What became of each detection at COCO's ten IoU thresholds, as the engine that computes AP has matched them.

Nothing is matched here: the matches are read from the engine, so that no figure of an analysis can disagree with AP about
what was found. In each image and class COCO goes through the detections from the best score on and gives each the
unmatched object that it overlaps most. So a detection's match does not depend on those of lower scores, and the
detections above any threshold are matched as they are among all.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

import numpy as np

from detector.data.annotations import offsets_of
from detector.data.index import Index
from detector.evaluation.coco import evaluated, ranks
from detector.evaluation.results import FlatResults
from detector.options import EvaluationEngine

NOTHING, IGNORED = -1, -2
"""What a detection found, in place of an object: nothing, or a crowd, where it counts neither as true nor as false."""


@dataclass(frozen=True)
class Matched:
    """M detections of I images with N objects of K classes, at T IoU thresholds.

    Detections lie image by image in the order of the index, and in an image from the best score on. They are those that
    COCO looks at, the best 100 of a class in an image.
    """

    index: Index
    rows: np.ndarray
    """int64 [M]: place of each detection among the results."""
    images: np.ndarray
    """int64 [M]: place of its image in the index."""
    labels: np.ndarray
    """int64 [M] in 0..K−1."""
    scores: np.ndarray
    """float64 [M]."""
    boxes: np.ndarray
    """float64 [M, 4]: x, y, width, height in pixels of the image."""
    found: np.ndarray
    """int64 [T, M]: row of the object that it found, `NOTHING`, or `IGNORED`."""
    wanted: np.ndarray
    """bool [N]: objects that are to be found; the others, crowds, are ignored."""
    order: np.ndarray
    """int64 [M]: the detections from the best score on, ties as COCO has them: by image id."""
    ious: np.ndarray
    """float64 [T]: 0.50, 0.55, ... 0.95."""
    precision: np.ndarray
    """float64 [K, T, 101]: COCO's precision at its recalls; NaN for a class without objects."""
    score_at_recall: np.ndarray
    """float64 [K, T, 101]: the score at which each recall is reached; 0 where it is not."""
    beyond: int
    """Number of detections that COCO does not look at."""

    @property
    def owners(self) -> np.ndarray:
        """int64 [N]: place in the index of each object's image."""
        return self.index.annotations.owners

    @property
    def object_labels(self) -> np.ndarray:
        """int64 [N] in 0..K−1."""
        return self.index.annotations.labels

    @property
    def offsets(self) -> np.ndarray:
        """int64 [I + 1]: the detections of image i are the rows `offsets[i]:offsets[i + 1]`."""
        return offsets_of(np.bincount(self.images, minlength=len(self.index)))

    @property
    def classes(self) -> int:
        """K."""
        return len(self.index.class_names)

    @property
    def positives(self) -> np.ndarray:
        """int64 [K]: objects of each class that are to be found."""
        return np.bincount(self.object_labels[self.wanted], minlength=self.classes)

    def found_objects(self, t: int, score: float = -np.inf) -> np.ndarray:
        """bool [N]: objects that are found at the t-th IoU by a detection with at least that score."""
        found = np.zeros(len(self.wanted), dtype=bool)
        found[self.found[t][(self.found[t] >= 0) & (self.scores >= score)]] = True
        return found


def match_images(index: Index, results: FlatResults, engine: EvaluationEngine = "ultrafast") -> Matched:
    """Matches all detections as COCO does for AP: IoU 0.50:0.95, all areas, the best 100 of a class in an image."""
    measured = evaluated(index, results, engine)
    entries = [entry for entry in measured.evalImgs if entry is not None]
    thresholds = len(measured.params.iouThrs)
    none = np.zeros((thresholds, 0))
    seen = _joined([entry["dtIds"] for entry in entries]) - 1  # ids of both kinds count from 1, see `as_coco`
    matches = np.concatenate([none, *(entry["dtMatches"] for entry in entries)], axis=1).astype(np.int64) - 1
    ignored = np.concatenate([none, *(entry["dtIgnore"] for entry in entries)], axis=1) != 0
    objects = _joined([entry["gtIds"] for entry in entries]) - 1
    wanted = np.zeros(len(index.annotations), dtype=bool)
    wanted[objects] = np.concatenate([none[0], *(entry["gtIgnore"] for entry in entries)]) == 0

    of_image = np.lexsort([seen, -results.scores[seen], results.images[seen]])
    rows = seen[of_image]
    found = np.where(ignored, IGNORED, np.where(matches < 0, NOTHING, matches))[:, of_image]
    images, scores = results.images[rows], results.scores[rows]
    by_label = ranks(index.category_ids)
    precision, score_at_recall = (
        measured.eval[name][:, :, by_label, 0, -1].transpose(2, 0, 1) for name in ("precision", "scores")
    )
    without_objects = (precision < 0).all(axis=(1, 2), keepdims=True)
    return Matched(
        index=index,
        rows=rows,
        images=images,
        labels=results.labels[rows],
        scores=scores,
        boxes=results.boxes[rows],
        found=found,
        wanted=wanted,
        order=np.lexsort([np.arange(len(rows)), ranks(index.image_ids)[images], -scores]),
        ious=np.asarray(measured.params.iouThrs),
        precision=np.where(without_objects, np.nan, precision),
        score_at_recall=np.where(without_objects, np.nan, score_at_recall),
        beyond=len(results.scores) - len(rows),
    )


def _joined(lists: list[list[int]]) -> np.ndarray:
    return np.fromiter(chain.from_iterable(lists), dtype=np.int64)
