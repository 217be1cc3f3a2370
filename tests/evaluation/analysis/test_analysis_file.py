from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from analysed_cases import as_index, chosen
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_detections import image_difficulty, only, synthetic_index, synthetic_results
from test_engines import hard_case
from tide_cases import make_case

from detector.columns import array
from detector.evaluation.analysis import ANALYSIS, analyse, document, write_analysis
from detector.evaluation.analysis.interval import centred_intervals, for_resampling
from detector.evaluation.analysis.matching import match_images
from detector.evaluation.comparison import (
    OVER_IOUS,
    average_precisions,
    class_precisions,
    match,
    mean_over_classes,
)
from detector.evaluation.per_image import match_detections
from detector.evaluation.results import FlatResults


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32))
def test_hard_cases_give_valid_json_with_rows_that_fit(seed: int) -> None:
    index, results = hard_case(seed)
    content = json.loads(json.dumps(document(analyse(index, results)), allow_nan=False))
    detections, objects, images = content["detections"], content["objects"], content["images"]
    rows, ends = array(detections["score"]).size, array(images["detection_offsets"])
    assert ends[-1] == rows == len(results.scores) - content["beyond_100"]
    assert array(images["object_offsets"])[-1] == array(objects["label"]).size == len(index.annotations)
    assert array(detections["found"]).shape == (10, rows)
    assert sum(content["classes"]["objects"]) == (array(objects["ignored"]) == 0).sum()
    assert len(content["images"]["id"]) == len(index)


def test_counts_of_the_file_at_any_threshold_are_those_of_the_detections_above_it(tmp_path: Path) -> None:
    """With the rule that a page follows: no match is made, rows are counted."""
    index, results = as_index(make_case(4))
    write_analysis(tmp_path, analyse(index, results), "val", "a.ckpt")
    content = json.loads((tmp_path / ANALYSIS).read_text())
    assert (content["format"], content["split"], content["model"]) == (1, "val", "a.ckpt")
    scores, matches = array(content["detections"]["score"]), array(content["detections"]["found"])
    ends, first = array(content["images"]["detection_offsets"]), array(content["images"]["object_offsets"])
    for score in np.quantile(results.scores, (0, 0.4, 0.9)):
        above = match_detections(index, chosen(results, np.flatnonzero(results.scores >= score)))
        found = np.isfinite(above.found_with)
        owners = (above.owners[found], above.results.images[above.false], above.owners[above.wanted & ~found])
        expected = zip(*(np.bincount(images, minlength=len(index)).tolist() for images in owners), strict=True)
        for i, (right, false, missed) in enumerate(expected):
            rows = slice(ends[i], ends[i + 1])
            shown = matches[0, rows][scores[rows] >= score]
            hit = set(shown[shown >= 0].tolist())
            assert len(hit) == right == (shown >= 0).sum()
            assert (shown == -1).sum() == false
            assert first[i + 1] - first[i] - len(hit) == missed


def test_intervals_are_those_of_the_measures_that_they_are_named_for() -> None:
    """AP50 of a detector that never places a box well has an interval, its AP75 is 0 for sure."""
    index = synthetic_index(40, 3, objects=5, seed=0, crowds=0)
    boxes = index.annotations.boxes.copy()
    boxes[:, 2] *= 0.62  # so much is the IoU with each object
    random = np.random.default_rng(0)
    kept = np.flatnonzero(random.random(len(boxes)) < 0.8)
    annotations = index.annotations
    results = FlatResults(annotations.owners[kept], annotations.labels[kept], boxes[kept], random.random(len(kept)))
    content = document(analyse(index, results))
    ap, ap50, ap75 = (content[f"{name}_interval"] for name in ("ap", "ap50", "ap75"))
    assert (ap75["low"], ap75["high"]) == (0, 0)
    assert ap50["low"] < content["metrics"]["AP50"] < ap50["high"]
    # of the ten thresholds it finds the same at 0.5, 0.55 and 0.6
    assert [10 * ap["low"], 10 * ap["high"]] == pytest.approx([3 * ap50["low"], 3 * ap50["high"]], rel=0.02)


@pytest.mark.slow
def test_19_of_20_intervals_hold_the_ap_that_as_many_images_have_on_average() -> None:
    size, draws = 150, 200
    index = synthetic_index(4000, 4, objects=5, seed=0)
    everything = match(index, synthetic_results(index, image_difficulty(index, 0), 0.6, false=6, seed=1))
    random = np.random.default_rng(0)
    parts = [only(everything, random.choice(4000, size, replace=False)) for _ in range(draws)]
    once = np.ones((1, size), dtype=np.int32)
    by_iou = [mean_over_classes(class_precisions(part, once))[0] for part in parts]
    aps = {name: [one[places].mean() for one in by_iou] for name, places in OVER_IOUS.items()}
    held = dict.fromkeys(aps, 0)
    for n, part in enumerate(parts):
        for name, (low, high) in centred_intervals(part, resamples=200, seed=0).items():
            assert low < aps[name][n] < high
            held[name] += int(low <= np.mean(aps[name]) <= high)
    for name, number in held.items():
        print(f"\n{number} of {draws} intervals hold {name} {np.mean(aps[name]):.4f}")
        assert 0.91 <= number / draws <= 0.985


def test_resamples_are_of_the_same_matches_as_those_of_a_comparison() -> None:
    for seed in (1, 2, 5):
        index, results = hard_case(seed)
        weights = np.random.default_rng(0).integers(0, 4, (20, len(index))).astype(np.int32)
        ours, theirs = for_resampling(match_images(index, results)), match(index, results)
        np.testing.assert_array_equal(average_precisions(ours, weights), average_precisions(theirs, weights))
        assert ours.ap == pytest.approx(theirs.ap, abs=1e-12, nan_ok=True)
