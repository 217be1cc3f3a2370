from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic_detections import image_difficulty, only, repeated, synthetic_index, synthetic_results

from detector import config
from detector.data.index import Index
from detector.data.read import read_index
from detector.evaluation.coco import coco_metrics
from detector.evaluation.comparison import (
    Matches,
    average_precisions,
    match,
    resample_images,
    resampled_ap,
)
from detector.evaluation.results import FlatResults

COCO_TINY = Path("../shared/data/coco_tiny")


def synthetic(seed: int, images: int = 40, classes: int = 4, skill: float = 0.6) -> tuple[Index, FlatResults]:
    index = synthetic_index(images, classes, objects=5, seed=seed, crowds=0.1)
    return index, synthetic_results(index, image_difficulty(index, seed), skill, false=6, seed=seed)


def measured_ap(matches: Matches) -> float:
    return float(average_precisions(matches, np.ones((1, matches.images), dtype=np.int32))[0])


@pytest.mark.parametrize("seed", range(4))
def test_ap_of_the_images_as_they_are_is_that_of_pycocotools(seed: int) -> None:
    index, results = synthetic(seed)
    expected = coco_metrics(index, results)[0]["AP"]
    assert expected is not None
    assert 0.05 < expected < 0.95
    assert match(index, results).ap == resampled_ap(match(index, results), np.zeros((0, len(index)))).ap == expected
    assert measured_ap(match(index, results)) == pytest.approx(expected, abs=1e-14)


@pytest.mark.skipif(not COCO_TINY.exists(), reason="no coco_tiny")
@pytest.mark.parametrize("split", ["train", "val"])
def test_ap_of_real_annotations_is_that_of_pycocotools_also_with_tied_scores(split: str) -> None:
    names = [f"annotations/instances_{name}2017.json" for name in ("train", "val")]
    index = read_index(config.Coco(root=str(COCO_TINY), train=names[0], val=names[1]), split)
    results = synthetic_results(index, image_difficulty(index, 0), skill=0.6, false=50, seed=0)
    results = replace(results, scores=results.scores.round(2))
    expected = coco_metrics(index, results)[0]["AP"]
    assert expected is not None
    assert 0.05 < expected < 0.95
    assert match(index, results).ap == resampled_ap(match(index, results), np.zeros((0, len(index)))).ap == expected
    assert measured_ap(match(index, results)) == pytest.approx(expected, abs=1e-14)


def test_more_than_a_hundred_detections_of_a_class_in_an_image_are_cut_as_pycocotools_does() -> None:
    index = synthetic_index(6, 1, objects=40, seed=0)
    results = synthetic_results(index, image_difficulty(index, 0), skill=0.8, false=150, seed=0)
    matches = match(index, results)
    assert np.bincount(matches.classes[0].images).max() == 100
    assert measured_ap(matches) == pytest.approx(coco_metrics(index, results)[0]["AP"], abs=1e-14)


@pytest.mark.parametrize("seed", range(3))
def test_a_resample_is_pycocotools_on_the_data_with_images_repeated_and_left_out(seed: int) -> None:
    index, results = synthetic(seed, images=25)
    weights = resample_images(len(index), 8, seed)
    assert (weights.sum(axis=1) == len(index)).all()
    assert weights.max() > 2
    ours = average_precisions(match(index, results), weights)
    for row, ap in zip(weights, ours, strict=True):
        assert ap == pytest.approx(coco_metrics(*repeated(index, results, row))[0]["AP"], abs=1e-14)


def test_chunks_of_resamples_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    matches = match(*synthetic(0))
    weights = resample_images(matches.images, 30, 0)
    whole = average_precisions(matches, weights)
    monkeypatch.setattr("detector.evaluation.comparison._CHUNK", 1)
    assert np.array_equal(average_precisions(matches, weights), whole)


def test_a_resample_without_any_object_has_no_ap() -> None:
    index, results = synthetic(0)
    matches = match(index, results)
    empty = int(np.flatnonzero(np.diff(index.annotations.offsets) == 0)[0])
    weights = np.zeros((2, len(index)), dtype=np.int32)
    weights[0, empty] = len(index)
    weights[1] = 1
    none, all_images = average_precisions(matches, weights)
    assert np.isnan(none)
    assert all_images == measured_ap(matches)


def test_a_class_without_objects_does_not_enter_the_mean() -> None:
    index, results = synthetic(1)
    crowd = index.annotations.crowd | (index.annotations.labels == 2)
    without = replace(index, annotations=replace(index.annotations, crowd=crowd))
    assert measured_ap(match(without, results)) == pytest.approx(coco_metrics(without, results)[0]["AP"], abs=1e-14)
    assert measured_ap(match(without, results)) != measured_ap(match(index, results))


def test_no_detections_give_zero() -> None:
    index, results = synthetic(0)
    nothing = FlatResults(results.images[:0], results.labels[:0], results.boxes[:0], results.scores[:0])
    assert measured_ap(match(index, nothing)) == 0


def test_the_same_seed_gives_the_same_resamples_and_another_others() -> None:
    assert np.array_equal(resample_images(50, 4, 1), resample_images(50, 4, 1))
    assert not np.array_equal(resample_images(50, 4, 1), resample_images(50, 4, 2))


def test_some_of_the_images_measured_alone_are_some_of_the_matches() -> None:
    """What the coverage test builds on."""
    index, results = synthetic(0)
    chosen = np.array([3, 17, 8, 30, 21, 4, 11])
    mask = np.isin(results.images, chosen)
    place = np.full(len(index), -1)
    place[chosen] = np.arange(len(chosen))
    part = FlatResults(place[results.images[mask]], results.labels[mask], results.boxes[mask], results.scores[mask])
    expected = coco_metrics(index.subset(chosen), part)[0]["AP"]
    assert measured_ap(only(match(index, results), chosen)) == pytest.approx(expected, abs=1e-14)
