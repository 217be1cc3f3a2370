from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from analysed_cases import as_index, hard_matches
from tide_cases import make_case

from detector.evaluation.analysis.matching import match_images
from detector.evaluation.analysis.overlaps import overlaps_with_objects
from detector.evaluation.analysis.tide import BACKGROUND_IOU, EFFECTS, KINDS, ON_IGNORED, RIGHT, Tide, tide

FIGURES = json.loads(Path(__file__).with_name("tidecv_figures.json").read_text())


def errors_of(seed: int) -> Tide:
    matched = match_images(*as_index(make_case(seed)))
    return tide(matched, overlaps_with_objects(matched, BACKGROUND_IOU))


@pytest.mark.parametrize("seed", FIGURES)
def test_every_figure_is_that_of_tidecv(seed: str) -> None:
    ours, theirs = errors_of(int(seed)), FIGURES[seed]
    assert ours.mean_ap == pytest.approx(theirs["ap"], abs=1e-9)
    assert {name: int(ours.counts[name].sum()) for name in KINDS} == theirs["counts"]
    for effect in EFFECTS:
        assert ours.delta_ap(effect) == pytest.approx(theirs["delta_ap"][effect], abs=1e-9), effect


def test_the_cases_have_errors_of_every_kind_and_classes_without_objects() -> None:
    assert all(sum(case["counts"][kind] > 0 for case in FIGURES.values()) >= 8 for kind in KINDS)
    assert sum(case["delta_ap"]["classification"] > 0.01 for case in FIGURES.values()) >= 4
    assert any((errors_of(int(seed)).ap == 0).any() for seed in FIGURES)


@pytest.mark.parametrize("seed", range(0, 60, 3))
def test_what_is_ignored_is_no_error_and_each_other_detection_is_of_one_kind(seed: int) -> None:
    matched = hard_matches(seed)
    errors = tide(matched, overlaps_with_objects(matched, BACKGROUND_IOU))
    np.testing.assert_array_equal(errors.kind == ON_IGNORED, matched.found[0] == -2)
    np.testing.assert_array_equal(errors.kind == RIGHT, matched.found[0] >= 0)
    assert sum(errors.counts[kind].sum() for kind in KINDS[:-1]) == (matched.found[0] == -1).sum()
    assert not errors.missed[~matched.wanted].any()
