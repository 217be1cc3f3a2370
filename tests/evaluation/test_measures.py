from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pycocotools.cocoeval import COCOeval
from synthetic_detections import image_difficulty, repeated, synthetic_index, synthetic_results

from detector.data.index import Index
from detector.evaluation.coco import as_coco, ground_truth
from detector.evaluation.comparison import resample_images
from detector.evaluation.measures import MEASURES, ResampledMeasures, resampled_measures
from detector.evaluation.results import FlatResults


def by_pycocotools(index: Index, results: FlatResults, label: int | None = None) -> list[float]:
    """AP, AP50, AP75, APs, APm, APl; of all classes or of one alone."""
    evaluation = COCOeval(ground_truth(index), as_coco(index, results), iouType="bbox")
    if label is not None:
        evaluation.params.catIds = [label]
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return [float(value) for value in evaluation.stats[:6]]


@pytest.fixture(scope="module")
def pair() -> tuple[Index, list[FlatResults]]:
    """Two detectors; no object of the last class is to be found."""
    index = synthetic_index(25, 4, objects=6, seed=2, crowds=0.1)
    index.annotations.crowd[index.annotations.labels == 3] = True
    difficulty = image_difficulty(index, 2)
    return index, [synthetic_results(index, difficulty, skill, false=6, seed=n) for n, skill in enumerate((0.5, 0.7))]


def test_differences_of_all_measures_and_classes_are_those_of_pycocotools(
    pair: tuple[Index, list[FlatResults]],
) -> None:
    index, results = pair
    nothing = np.zeros((0, len(index)), dtype=np.int32)
    first, second = (resampled_measures(index, one, nothing) for one in results)
    measured = [by_pycocotools(index, one) for one in results]
    expected = np.subtract(measured[1], measured[0])
    assert [second.overall[name].ap - first.overall[name].ap for name in MEASURES] == pytest.approx(expected, abs=1e-12)
    assert np.abs(expected).min() > 0.001
    for label in range(3):
        one, other = first.classes[label], second.classes[label]
        assert one is not None
        assert other is not None
        own = [by_pycocotools(index, each, label)[0] for each in results]
        assert other.ap - one.ap == pytest.approx(own[1] - own[0], abs=1e-12)
    assert first.classes[3] is None


def test_a_resample_of_any_measure_is_pycocotools_on_the_data_with_images_repeated(
    pair: tuple[Index, list[FlatResults]],
) -> None:
    index, (results, _) = pair
    weights = resample_images(len(index), 4, 0)
    weights[0, np.unique(index.annotations.owners[index.annotations.labels == 2])] = 0  # a class is not there at all
    found = resampled_measures(index, results, weights)
    for n, row in enumerate(weights):
        many, own = repeated(index, results, row)
        values = [found.overall[name].resampled[n] for name in MEASURES]
        assert values == pytest.approx(by_pycocotools(many, own), abs=1e-12)
        for label in range(3):
            (ap, *_) = by_pycocotools(many, own, label)
            one = found.classes[label]
            assert one is not None
            assert one.resampled[n] == pytest.approx(np.nan if ap < 0 else ap, abs=1e-12, nan_ok=True)
    assert np.isnan(found.classes[2].resampled[0])  # type: ignore[union-attr]


def test_images_are_counted_that_have_an_object_of_the_size_or_class(pair: tuple[Index, list[FlatResults]]) -> None:
    index, (results, _) = pair
    found: ResampledMeasures = resampled_measures(index, results, np.zeros((0, len(index)), dtype=np.int32))
    annotations = index.annotations
    ranges = {
        "AP": (0, 1e9),
        "AP50": (0, 1e9),
        "AP75": (0, 1e9),
        "APs": (0, 1024),
        "APm": (1024, 9216),
        "APl": (9216, 1e9),
    }
    for name, (low, high) in ranges.items():
        fitting = [
            annotations.owners[n]
            for n in range(len(annotations))
            if not annotations.crowd[n] and low <= annotations.area[n] <= high
        ]
        assert found.images[name] == len(set(fitting))
    assert found.class_images == tuple(
        len(
            {
                annotations.owners[n]
                for n in range(len(annotations))
                if annotations.labels[n] == k and not annotations.crowd[n]
            }
        )
        for k in range(4)
    )


def test_a_measure_without_objects_is_left_out(pair: tuple[Index, list[FlatResults]]) -> None:
    index, (results, _) = pair
    small = index.annotations.area < 32**2
    without = replace(index, annotations=replace(index.annotations, crowd=index.annotations.crowd | small))
    weights = resample_images(len(index), 2, 0)
    assert list(resampled_measures(without, results, weights).overall) == ["AP", "AP50", "AP75", "APm", "APl"]
    empty = replace(index, annotations=replace(index.annotations, crowd=np.ones_like(small)))
    assert resampled_measures(empty, results, weights).overall == {}
