"""The images on which two detectors disagree most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from detector.evaluation.per_image import Counts, MatchedDetections, best_score, count


@dataclass(frozen=True)
class Answers:
    """Detections of one of the detectors on all images, shown from its own best score on."""

    matched: MatchedDetections
    score: float
    counts: Counts

    @property
    def found(self) -> np.ndarray:
        """bool [N]: which objects of `index.annotations` it found."""
        return self.matched.found_with >= self.score


def answers(matched: MatchedDetections) -> Answers:
    """Detections from that score on with which F1 over all images is highest."""
    score = best_score(matched)
    return Answers(matched, score, count(matched, score))


def most_disputed(first: Answers, second: Answers, most: int) -> list[int]:
    """Places in the index of the images on which the two differ in F1, the largest difference first; at most `most`.

    Of equal ones that with more objects that only one of them found comes first, then that which is earlier in the index.
    """
    difference = np.abs(first.counts.f1 - second.counts.f1).round(9)  # equal fractions may differ in the last bit
    only_one = np.bincount(first.matched.owners[first.found ^ second.found], minlength=len(difference))
    order = np.lexsort((-only_one, -difference))  # stable: equal ones stay in the order of the index
    return [i for i in order[:most].tolist() if difference[i] > 0]


def found_by_first_alone(first: Answers, second: Answers, image: int) -> Mapping[str, int]:
    """Class name → how many objects of an image the first found and the second did not; the index's order of classes."""
    index = first.matched.index
    rows = index.annotations.rows(image)
    alone = (first.found & ~second.found)[rows]
    counted = np.bincount(index.annotations.labels[rows][alone], minlength=len(index.class_names))
    return {name: number for name, number in zip(index.class_names, counted.tolist(), strict=True) if number}
