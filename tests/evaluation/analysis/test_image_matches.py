from __future__ import annotations

import numpy as np
import pytest
from analysed_cases import chosen, hard_matches
from hypothesis import given, settings
from hypothesis import strategies as st
from test_engines import hard_case, measured

from detector.evaluation.analysis.average_precision import average_precisions
from detector.evaluation.analysis.matching import IGNORED, NOTHING, match_images
from detector.evaluation.coco import coco_metrics


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32))
def test_every_match_is_that_of_pycocotools(seed: int) -> None:
    index, results = hard_case(seed)
    ours = match_images(index, results)
    place = {int(row): n for n, row in enumerate(ours.rows)}
    looked_at = 0
    wanted = np.zeros(len(index.annotations), dtype=bool)
    for entry in measured(index, results, "pycocotools").evalImgs:
        if entry is None or entry["aRng"] != [0, 1e10]:
            continue
        wanted[np.array(entry["gtIds"], dtype=np.int64)[np.asarray(entry["gtIgnore"]) == 0] - 1] = True
        for column, detection in enumerate(entry["dtIds"]):
            looked_at += 1
            matches, ignored = entry["dtMatches"][:, column], entry["dtIgnore"][:, column]
            expected = [IGNORED if i else int(m) - 1 if m else NOTHING for m, i in zip(matches, ignored, strict=True)]
            assert ours.found[:, place[detection - 1]].tolist() == expected
    assert looked_at == len(ours.rows) == len(results.scores) - ours.beyond
    np.testing.assert_array_equal(ours.wanted, wanted)


def test_both_engines_give_the_same_matches_and_detections_beyond_100_are_counted() -> None:
    beyond = 0
    for seed in range(12):
        index, results = hard_case(seed)
        if seed == 0:
            results = chosen(results, np.append(np.zeros(150, dtype=np.int64), np.arange(len(results.scores))))
        first, second = match_images(index, results), match_images(index, results, "pycocotools")
        np.testing.assert_array_equal(first.found, second.found)
        np.testing.assert_array_equal(first.rows, second.rows)
        beyond += first.beyond
    assert beyond > 0


@pytest.mark.parametrize("seed", range(12))
def test_detections_above_a_threshold_are_matched_as_among_all(seed: int) -> None:
    index, results = hard_case(seed)
    whole = match_images(index, results)
    for score in np.unique(results.scores):
        kept = np.flatnonzero(results.scores >= score)
        some = match_images(index, chosen(results, kept))
        shown = whole.scores >= score
        np.testing.assert_array_equal(kept[some.rows], whole.rows[shown])
        np.testing.assert_array_equal(some.found, whole.found[:, shown])


@pytest.mark.parametrize("seed", range(12))
def test_ap_from_the_matches_is_that_of_coco(seed: int) -> None:
    one = hard_matches(seed)
    per_class = coco_metrics(*hard_case(seed))[1]
    averages = []
    for found in one.found:
        rows = one.order[found[one.order] != IGNORED]
        averages.append(average_precisions(one.labels[rows], found[rows] >= 0, one.positives))
    for k, theirs in enumerate(per_class):
        if theirs["AP"] is None:
            assert one.positives[k] == 0
            assert np.isnan(one.precision[k]).all()
        else:
            assert np.mean([ap[k] for ap in averages]) == pytest.approx(theirs["AP"], abs=1e-12)
            assert one.precision[k].mean() == pytest.approx(theirs["AP"], abs=1e-12)
            assert one.precision[k, 0].mean() == pytest.approx(theirs["AP50"], abs=1e-12)


def test_detections_lie_by_image_and_score() -> None:
    one = hard_matches(3)
    assert (np.diff(one.images) >= 0).all()
    assert (np.diff(one.scores)[np.diff(one.images) == 0] <= 0).all()
    assert one.offsets[-1] == len(one.rows)
