from __future__ import annotations

import numpy as np
import pytest
from pycocotools.cocoeval import COCOeval
from synthetic_detections import image_difficulty, synthetic_index, synthetic_results

from detector.data.index import AnnotatedObjects, Index, assemble
from detector.evaluation.coco import as_coco, ground_truth
from detector.evaluation.per_image import MatchedDetections, best_score, count, match_detections
from detector.evaluation.results import FlatResults


def matched(seed: int) -> MatchedDetections:
    index = synthetic_index(20, 3, objects=5, seed=seed, crowds=0.15)
    return match_detections(
        index, synthetic_results(index, image_difficulty(index, seed), skill=0.6, false=6, seed=seed)
    )


def iou(one: np.ndarray, other: np.ndarray, crowd: bool) -> float:
    """Of two xyxy boxes; the second may be a crowd, of which any part may be covered."""
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    shared = np.prod(np.maximum(sides, 0))
    area, other_area = np.prod(one[2:] - one[:2]), np.prod(other[2:] - other[:2])
    return float(shared / (area if crowd else area + other_area - shared))


def matched_by_hand(index: Index, results: FlatResults, score: float) -> list[tuple[int, int, int]]:
    """(found, missed, false) of each image, after all detections below the score were thrown away."""
    counted = []
    kept = index.annotations
    for image in range(len(index)):
        objects = range(len(kept))[kept.rows(image)]
        taken: set[int] = set()
        false = 0
        shown = [i for i in np.flatnonzero(results.images == image) if results.scores[i] >= score]
        for i in sorted(shown, key=lambda i: -results.scores[i]):
            x, y, width, height = results.boxes[i]
            box = np.array([x, y, x + width, y + height])
            near = {
                n: iou(box, kept.corners[n], bool(kept.crowd[n]))
                for n in objects
                if kept.labels[n] == results.labels[i]
            }
            free = [n for n in near if not kept.crowd[n] and n not in taken and near[n] >= 0.5]
            if free:
                taken.add(max(free, key=lambda n: near[n]))
            elif not any(near[n] >= 0.5 for n in near if kept.crowd[n]):
                false += 1
        counted.append((len(taken), sum(not kept.crowd[n] for n in objects) - len(taken), false))
    return counted


@pytest.mark.parametrize("score", [0.0, 0.3, 0.6, 2.0])
@pytest.mark.parametrize("seed", range(3))
def test_found_missed_and_false_are_those_of_a_matching_by_hand_above_any_score(seed: int, score: float) -> None:
    one = matched(seed)
    assert one.index.annotations.crowd.any()
    counts = count(one, score)
    by_image = list(zip(counts.found.tolist(), counts.missed.tolist(), counts.false.tolist(), strict=True))
    assert by_image == matched_by_hand(one.index, one.results, score)


def test_the_share_of_objects_that_are_found_is_the_recall_of_pycocotools() -> None:
    one = matched(3)
    evaluation = COCOeval(ground_truth(one.index), as_coco(one.index, one.results), iouType="bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    recalls = [
        np.isfinite(one.found_with[one.wanted & (one.index.annotations.labels == label)]).mean() for label in range(3)
    ]
    assert recalls == pytest.approx(evaluation.eval["recall"][0, :, 0, -1].tolist(), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_the_best_score_has_the_highest_f1_of_all_scores(seed: int) -> None:
    one = matched(seed)

    def f1(score: float) -> float:
        found, missed, false = np.sum(matched_by_hand(one.index, one.results, score), axis=0).tolist()
        return 2 * found / (2 * found + missed + false)

    scores = sorted(set(one.results.scores.tolist()), reverse=True)
    highest = max(map(f1, scores))
    assert best_score(one) == next(score for score in scores if f1(score) == highest)


def test_of_equal_scores_all_or_none_are_shown() -> None:
    boxes = [[0, 0, 50, 50], [100, 100, 150, 150]]
    objects = AnnotatedObjects(owners=[0, 0], boxes=boxes, labels=[0, 0], crowd=[False, False], where=str)
    index = assemble(["class"], [1], [1], [""], np.array([[200, 200]]), objects)
    found = np.array([[0, 0, 50, 50], [100, 100, 50, 50], *[[50, 0, 50, 50]] * 10], dtype=np.float64)
    none = np.zeros(12, dtype=np.int64)
    one = match_detections(index, FlatResults(none, none, found, np.array([0.9] + [0.5] * 11)))
    # with the first of the equal ones alone F1 would be 1, with all of them it is 4 / 14, with none of them 2 / 3
    assert best_score(one) == 0.9


def test_nothing_to_find_and_nothing_found_is_an_f1_of_1() -> None:
    index = synthetic_index(12, 2, objects=2, seed=1)
    empty = np.zeros(0)
    one = match_detections(
        index, FlatResults(empty.astype(np.int64), empty.astype(np.int64), empty.reshape(0, 4), empty)
    )
    assert best_score(one) == 1
    objects = np.diff(index.annotations.offsets)
    assert count(one, 0.5).f1.tolist() == [1.0 if number == 0 else 0.0 for number in objects]
    assert 0 < np.count_nonzero(objects) < len(objects)
