from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from drawn_answers import drawn_answers, drawn_index

from detector.experiments.compare.disagreement import Answers, found_by_first_alone, most_disputed


def f1_by_hand(one: Answers, image: int) -> float:
    """From lists of this image's objects and detections, one by one."""
    matched, index = one.matched, one.matched.index
    found = missed = false = 0
    for n in range(index.annotations.offsets[image], index.annotations.offsets[image + 1]):
        found += matched.found_with[n] >= one.score
        missed += matched.found_with[n] < one.score
    for m in np.flatnonzero(matched.results.images == image):
        false += bool(matched.false[m] and matched.results.scores[m] >= one.score)
    return 1.0 if found + missed + false == 0 else 2 * found / (2 * found + missed + false)


@pytest.mark.parametrize("seed", range(3))
def test_images_come_by_their_difference_in_f1_then_by_objects_that_one_alone_found_then_in_order(seed: int) -> None:
    index = drawn_index(60)
    first, second = drawn_answers(index, seed), drawn_answers(index, seed + 10, found=0.5)
    assert first.score != second.score

    def rank(image: int) -> tuple[float, int, int]:
        alone = 0
        for n in range(index.annotations.offsets[image], index.annotations.offsets[image + 1]):
            alone += (first.matched.found_with[n] >= first.score) != (second.matched.found_with[n] >= second.score)
        return -round(abs(f1_by_hand(first, image) - f1_by_hand(second, image)), 9), -alone, image

    disputed = [image for image in range(len(index)) if rank(image)[0] < 0]
    assert len(disputed) > 20
    assert len({rank(image)[0] for image in disputed}) < len(disputed)  # there are ties
    assert most_disputed(first, second, 15) == sorted(disputed, key=rank)[:15]
    assert most_disputed(second, first, 15) == most_disputed(first, second, 15)
    assert set(most_disputed(first, second, 1000)) == set(disputed)


def test_a_detector_agrees_with_itself() -> None:
    one = drawn_answers(drawn_index(10), 0)
    assert most_disputed(one, one, 12) == []
    assert all(not found_by_first_alone(one, one, image) for image in range(10))


def test_what_one_found_alone_is_counted_by_class() -> None:
    index = drawn_index(20)
    first, second = drawn_answers(index, 0, found=1.0), drawn_answers(index, 1, found=0.3)
    everything: Counter[str] = Counter()
    for image in range(len(index)):
        everything.update(found_by_first_alone(first, second, image))
    expected = Counter(
        index.class_names[index.annotations.labels[n]]
        for n in range(len(index.annotations.labels))
        if first.found[n] and not second.found[n]
    )
    assert sum(expected.values()) > 10
    assert everything == expected
