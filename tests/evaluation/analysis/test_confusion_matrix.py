from __future__ import annotations

import numpy as np
import pytest
from analysed_cases import as_index, hard_matches, iou_of
from tide_cases import make_case

from detector.evaluation.analysis.confusion import candidates_of, confusion_matrix
from detector.evaluation.analysis.matching import Matched, match_images
from detector.evaluation.analysis.overlaps import overlaps_with_objects


def by_hand(one: Matched, t: int, score: float) -> np.ndarray:
    """Image by image, detection by detection."""
    k, boxes = one.classes, one.index.annotations.boxes
    matrix = np.zeros((k + 1, k + 1), dtype=int)
    for image in range(len(one.index)):
        objects = [n for n in range(len(boxes)) if one.owners[n] == image and one.wanted[n]]
        shown = [d for d in range(len(one.scores)) if one.images[d] == image and one.scores[d] >= score]
        left = set(objects)
        for d in shown:
            if one.found[t][d] >= 0:
                matrix[one.labels[d], one.labels[d]] += 1
                left.remove(int(one.found[t][d]))
        for d in sorted(shown, key=lambda d: -one.scores[d]):
            if one.found[t][d] != -1:
                continue
            ious = {n: iou_of(one.boxes[d], boxes[n]) for n in objects if one.object_labels[n] != one.labels[d]}
            fitting = [n for n in ious if ious[n] >= one.ious[t] and n in left]
            if fitting:
                best = max(fitting, key=lambda n: ious[n])
                left.remove(best)
                matrix[one.object_labels[best], one.labels[d]] += 1
            else:
                matrix[k, one.labels[d]] += 1
        for n in left:
            matrix[one.object_labels[n], k] += 1
    return matrix


@pytest.mark.parametrize("seed", range(16))
def test_it_is_that_of_a_loop_at_any_threshold_and_iou(seed: int) -> None:
    one = match_images(*as_index(make_case(seed))) if seed < 2 else hard_matches(seed)
    candidates = candidates_of(one, overlaps_with_objects(one, 0.1))
    for t in (0, 5):
        for score in (-np.inf, *np.quantile(one.scores, (0.3, 0.8))) if len(one.scores) else (0,):
            ours = confusion_matrix(one, candidates, t, score)
            np.testing.assert_array_equal(ours, by_hand(one, t, score))
            np.testing.assert_array_equal(ours.sum(axis=1)[:-1], one.positives)
            counted = one.labels[(one.scores >= score) & (one.found[t] != -2)]
            np.testing.assert_array_equal(ours.sum(axis=0)[:-1], np.bincount(counted, minlength=one.classes))


def test_a_class_that_is_always_taken_for_another_stands_beside_the_diagonal() -> None:
    case = make_case(2)
    index, results = as_index(case)
    wrong = results.labels == 0
    results.labels[wrong] = 1
    one = match_images(index, results)
    matrix = confusion_matrix(one, candidates_of(one, overlaps_with_objects(one, 0.1)), 0, 0)
    assert matrix[0, 0] == 0
    assert matrix[0, 1] > 5
