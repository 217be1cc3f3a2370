from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from analysed_cases import as_index
from synthetic_detections import image_difficulty, synthetic_index, synthetic_results
from test_engines import hard_case
from tide_cases import make_case

from detector.data.index import Index
from detector.evaluation.analysis.image_cost import image_costs
from detector.evaluation.analysis.matching import Matched, match_images
from detector.evaluation.coco import evaluation, mean_precision
from detector.evaluation.results import FlatResults


def ap_at(index: Index, results: FlatResults, iou: float) -> float:
    """pycocotools' AP at one IoU, matched anew."""
    one = evaluation(index, results, "pycocotools")
    one.params.iouThrs, one.params.maxDets = np.array([iou]), [1000]
    one.params.areaRng, one.params.areaRngLbl = [[0, 1e10]], ["all"]
    with contextlib.redirect_stdout(io.StringIO()):
        one.evaluate()
        one.accumulate()
    return mean_precision(one.eval["precision"])


def ap_if_right(one: Matched, image: int, t: int) -> float:
    """The image's false detections are left out, and each object that was not found is detected, above all others."""
    kept = ~((one.images == image) & (one.found[t] == -1))
    missed = one.wanted & ~one.found_objects(t) & (one.owners == image)
    count = int(missed.sum())
    annotations = one.index.annotations
    results = FlatResults(
        np.concatenate([one.images[kept], np.full(count, image)]),
        np.concatenate([one.labels[kept], annotations.labels[missed]]),
        np.concatenate([one.boxes[kept], annotations.boxes[missed]]),
        np.concatenate([one.scores[kept], np.full(count, 99.0)]),
    )
    return ap_at(one.index, results, one.ious[t])


@pytest.mark.parametrize("case", ["every error", "synthetic", "hard"])
def test_a_cost_is_what_pycocotools_says_when_the_image_is_put_right(case: str) -> None:
    given = {
        "every error": lambda: as_index(make_case(5)),
        "synthetic": lambda: synthetic_case(6),
        "hard": lambda: hard_case(16),
    }[case]()
    one = match_images(*given)
    costs = image_costs(one)
    kept = FlatResults(one.images, one.labels, one.boxes, one.scores)
    now = [ap_at(one.index, kept, iou) for iou in one.ious]
    assert (costs >= 0).all()
    assert costs.max() > 0.01
    for image in range(min(len(one.index), 5)):
        gain = np.mean([ap_if_right(one, image, t) - now[t] for t in range(10)])
        assert costs[image] == pytest.approx(gain, abs=1e-12)


def synthetic_case(images: int) -> tuple[Index, FlatResults]:
    index = synthetic_index(images, 3, 20, seed=2, crowds=0.05)
    return index, synthetic_results(index, image_difficulty(index, 0), 0.5, 20, seed=1)


def test_images_without_an_error_cost_nothing_and_without_objects_nothing_costs() -> None:
    index = synthetic_index(6, 2, 5, seed=0, crowds=0)
    annotations = index.annotations
    scores = np.linspace(0.9, 0.2, len(annotations))
    perfect = FlatResults(annotations.owners, annotations.labels, annotations.boxes, scores)
    assert image_costs(match_images(index, perfect)).tolist() == [0.0] * 6
    worse = FlatResults(*(column[1:] for column in (perfect.images, perfect.labels, perfect.boxes, perfect.scores)))
    costs = image_costs(match_images(index, worse))
    assert costs[annotations.owners[0]] > 0
    assert np.count_nonzero(costs) == 1
    empty = index.subset([i for i in range(6) if i not in annotations.owners] or [0])
    assert not image_costs(match_images(synthetic_index(3, 2, 0, seed=0), FlatResults(
        np.zeros(1, np.int64), np.zeros(1, np.int64), np.ones((1, 4)), np.ones(1)))).any()  # fmt: skip
    assert len(empty)
