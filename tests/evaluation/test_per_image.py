from __future__ import annotations

import numpy as np
import pytest
from pycocotools.cocoeval import COCOeval
from synthetic_detections import image_difficulty, synthetic_index, synthetic_results

from detector.data.index import Index
from detector.evaluation.coco import as_coco, ground_truth
from detector.evaluation.per_image import MatchedDetections, match_detections
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
    found = one.found_with >= score
    shown = one.results.scores >= score
    assert (one.true & shown).sum() == found.sum()
    owners = (one.owners[found], one.owners[one.wanted & ~found], one.results.images[one.false & shown])
    by_image = list(zip(*(np.bincount(images, minlength=len(one.index)).tolist() for images in owners), strict=True))
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
