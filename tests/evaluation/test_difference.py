from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_detections import image_difficulty, synthetic_index, synthetic_results

from detector.evaluation.comparison import ResampledAP, match, resample_images, resampled_ap
from detector.evaluation.difference import (
    FEWEST_IMAGES,
    Difference,
    correct,
    difference,
    holm,
    smallest_p,
)


def over_images(found: Difference) -> tuple[float, float]:
    assert found.over_images is not None
    return found.over_images


def test_a_detector_does_not_differ_from_itself_and_differences_change_sign() -> None:
    index = synthetic_index(40, 4, objects=5, seed=0, crowds=0.1)
    difficulty = image_difficulty(index, 0)
    results, better = (synthetic_results(index, difficulty, skill, false=6, seed=0) for skill in (0.6, 0.9))
    weights = resample_images(len(index), 200, 0)
    one, other = (resampled_ap(match(index, each), weights) for each in (results, better))
    assert difference([one], [one]).over_images == (0, 0)
    forth, back = difference([one], [other]), difference([other], [one])
    assert forth.ap == -back.ap == other.ap - one.ap > 0
    (low, high), (back_low, back_high) = over_images(forth), over_images(back)
    assert (low, high) == pytest.approx((-back_high, -back_low))
    assert low < forth.ap < high
    assert forth.over_images_and_seeds is None


def test_the_same_images_for_both_make_the_interval_shorter() -> None:
    """What is hard is hard for both: drawn apart, the difference would vary by both variances."""
    index = synthetic_index(150, 3, objects=5, seed=0)
    difficulty = image_difficulty(index, 0)
    matches = [match(index, synthetic_results(index, difficulty, 0.6, 6, seed)) for seed in (1, 2)]
    weights, others = (resample_images(len(index), 300, seed) for seed in (0, 1))
    first, second, apart = (
        resampled_ap(matches[0], weights), resampled_ap(matches[1], weights), resampled_ap(matches[1], others)
    )  # fmt: skip
    (low, high), (apart_low, apart_high) = (over_images(difference([first], [one])) for one in (second, apart))
    assert high - low < 0.9 * (apart_high - apart_low)


def test_seeds_widen_the_interval_as_student_t_says() -> None:
    """Images that vary nothing and a group that varies nothing leave the other group's mean of three: t(2) = 4.303."""
    sure = [ResampledAP(0.5, np.full(1000, 0.5))] * 3
    aps = (0.55, 0.60, 0.65)
    spread = [ResampledAP(ap, np.full(1000, ap)) for ap in aps]
    found = difference(sure, spread)
    assert found.ap == pytest.approx(0.1)
    assert found.over_images == pytest.approx((0.1, 0.1))
    assert found.over_images_and_seeds is not None
    half = 4.303 * 0.05 / np.sqrt(3)
    assert found.over_images_and_seeds == pytest.approx((0.1 - half, 0.1 + half), abs=0.1 * half)


def test_a_resample_without_any_object_does_not_enter_an_interval() -> None:
    one = ResampledAP(0.5, np.array([0.4, np.nan, 0.6]))
    other = ResampledAP(0.6, np.array([0.6, np.nan, 0.8]))
    found = difference([one], [other])
    assert found.over_images == pytest.approx((0.2, 0.2))
    assert found.p == pytest.approx(2 / 3)  # of two resamples and what was measured


@pytest.mark.parametrize("seeds", [1, 3])
def test_p_is_the_level_at_which_the_interval_begins_to_hold_0(seeds: int) -> None:
    random = np.random.default_rng(0)
    resamples = 1999
    for shift in (0.0, 0.5, 1.5, 2.5, 10.0):
        groups = [
            [ResampledAP(ap, ap + random.normal(0, 1, resamples)) for ap in middle + random.normal(0, 0.3, seeds)]
            for middle in (0.0, shift)
        ]
        found = difference(groups[0], groups[1], seed=1)
        values = np.mean([run.resampled for run in groups[1]], axis=0) - np.mean(
            [run.resampled for run in groups[0]], axis=0
        )
        if seeds > 1:
            draw = np.random.default_rng(1)
            values = np.tile(values, 20)
            for runs in groups:
                spread = np.std([run.ap for run in runs], ddof=1) / np.sqrt(seeds)
                values = values + spread * draw.standard_t(seeds - 1, len(values))
        levels = np.arange(1, resamples + 1) / (resamples + 1)
        holding = (np.quantile(values, levels / 2) <= 0) & (np.quantile(values, 1 - levels / 2) >= 0)
        assert found.p == pytest.approx(levels[holding].max(initial=0), abs=5 / resamples)
        assert found.interval is not None
        assert found.p is not None
        assert (found.p > 0.05) == (found.interval[0] <= 0 <= found.interval[1])
    assert seeds > 1 or found.p == smallest_p(resamples) == 0.001


def test_few_images_tell_nothing_however_much_the_resamples_agree() -> None:
    one, other = ResampledAP(0.2, np.full(4000, 0.2)), ResampledAP(0.6, np.full(4000, 0.6))
    nothing = difference([one], [other], images=FEWEST_IMAGES - 1)
    assert nothing == Difference(nothing.ap, None, None, None, None)
    assert nothing.ap == pytest.approx(0.4)
    assert nothing.verdict == "undecided"
    ps = [difference([one], [other], images=images).p for images in (6, 8, 100)]
    assert ps == pytest.approx([2 / 2**6, 2 / 2**8, 2 / 4001])
    assert 2 / 2 ** (FEWEST_IMAGES - 1) > 0.05 > 2 / 2**FEWEST_IMAGES


def test_holm_is_the_example_that_textbooks_calculate() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.03]) == [0.03]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.001, 0.004, 0.012, 0.02, 0.05, 0.3, 1.0]), min_size=1, max_size=7))
def test_holm_rejects_what_its_steps_reject_at_every_level(p_values: list[float]) -> None:
    """Step by step, as the procedure is defined: the smallest p that is left, against α by the number that is left."""
    corrected = holm(p_values)
    for level in (0.001, 0.0101, 0.051, 0.11, 0.9):
        left, rejected = set(range(len(p_values))), set()
        while left and p_values[best := min(left, key=lambda i: p_values[i])] <= level / len(left):
            rejected.add(best)
            left.remove(best)
        assert {i for i, value in enumerate(corrected) if value <= level} == rejected
    assert all(a <= b for a, b in pairwise(value for _, value in sorted(zip(p_values, corrected, strict=True))))


def test_differences_are_corrected_for_those_that_have_a_p() -> None:
    def of(ap: float, p: float | None) -> Difference:
        return Difference(ap, (ap - 0.1, ap + 0.1), None, p, p)

    corrected = correct([of(0.2, 0.02), of(0.3, None), of(-0.2, 0.001), of(0.1, 0.04)])
    assert [one.corrected for one in corrected] == [0.04, None, 0.003, 0.04]
    assert [one.verdict for one in corrected] == ["better", "undecided", "worse", "better"]
    assert [one.p for one in corrected] == [0.02, None, 0.001, 0.04]
    assert correct([of(0.1, 0.04), of(0.1, 0.04)])[0].verdict == "undecided"
