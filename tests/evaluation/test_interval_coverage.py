"""Do 95 % intervals hold the truth 95 times in 100? `pytest -m slow -s` prints the counts."""

from __future__ import annotations

import time

import numpy as np
import pytest
from synthetic_detections import image_difficulty, only, synthetic_index, synthetic_results

from detector.evaluation.coco import coco_metrics
from detector.evaluation.comparison import (
    OVER_IOUS,
    Matches,
    ResampledAP,
    average_precisions,
    class_precisions,
    match,
    mean_over_classes,
    resample_images,
    resampled_ap,
)
from detector.evaluation.difference import FEWEST_IMAGES, difference

IMAGES, RESAMPLES, REPEATS = 300, 200, 400
"""Images of a data set, resamples of it, data sets drawn."""


def population(images: int, skills: list[float], first_seed: int) -> list[Matches]:
    """Detectors of these skills on the same images: all the images that there are."""
    index = synthetic_index(images, 4, objects=5, seed=0)
    difficulty = image_difficulty(index, 0)
    return [
        match(index, synthetic_results(index, difficulty, skill, false=6, seed=first_seed + n))
        for n, skill in enumerate(skills)
    ]


def true_ap(matches: Matches) -> float:
    return float(average_precisions(matches, np.ones((1, matches.images), dtype=np.int32))[0])


def holds(interval: tuple[float, float] | None, truth: float) -> bool:
    assert interval is not None
    return interval[0] <= truth <= interval[1]


@pytest.mark.slow
@pytest.mark.parametrize("skills", [(0.6, 0.6), (0.6, 0.63), (0.5, 0.8)], ids=["equal", "close", "apart"])
def test_intervals_over_images_hold_the_true_difference_as_often_as_they_say(skills: tuple[float, float]) -> None:
    first, second = population(8000, list(skills), first_seed=1)
    truth = true_ap(second) - true_ap(first)
    random = np.random.default_rng(0)
    held, decided, widths = 0, 0, []
    for repeat in range(REPEATS):
        chosen = random.choice(first.images, IMAGES, replace=False)
        weights = resample_images(IMAGES, RESAMPLES, seed=repeat)
        compared = [[resampled_ap(only(one, chosen), weights)] for one in (first, second)]
        found = difference(compared[0], compared[1])
        held += holds(found.over_images, truth)
        decided += not holds(found.over_images, 0)
        widths.append(np.ptp(found.over_images or ()))
    print(
        f"\ntrue difference {truth:+.4f}: {held} of {REPEATS} intervals ({held / REPEATS:.1%}) hold it, "
        f"{decided} do not hold 0; mean width {np.mean(widths):.4f}"
    )
    assert 0.92 <= held / REPEATS <= 0.98


@pytest.mark.slow
def test_intervals_at_one_iou_and_of_classes_hold_the_true_difference() -> None:
    """Where few images have an object of a class fewer than 19 of 20 do; how many, the test prints."""
    first, second = population(8000, [0.6, 0.63], first_seed=1)

    def measured(matches: Matches, weights: np.ndarray) -> dict[str, ResampledAP]:
        once = np.ones((1, matches.images), dtype=np.int32)
        classes = class_precisions(matches, np.concatenate([once, weights]))
        mean = mean_over_classes(classes)
        values = {name: mean[:, places].mean(axis=1) for name, places in OVER_IOUS.items()}
        values |= {f"class {k}": one.mean(axis=1) for k, one in enumerate(classes)}
        return {name: ResampledAP(float(one[0]), one[1:]) for name, one in values.items()}

    nothing = np.zeros((0, first.images), dtype=np.int32)
    true = [measured(one, nothing) for one in (first, second)]
    random = np.random.default_rng(0)
    for images in (IMAGES, 20):
        held, told = (dict.fromkeys(true[0], 0) for _ in range(2))
        having = []
        for repeat in range(REPEATS):
            chosen = random.choice(first.images, images, replace=False)
            parts = [only(one, chosen) for one in (first, second)]
            one, other = (measured(part, resample_images(images, RESAMPLES, seed=repeat)) for part in parts)
            for name in true[0]:
                own = len(np.unique(parts[0].classes[int(name[-1])].objects)) if name.startswith("class") else images
                if name == "class 3":
                    having.append(own)
                found = difference([one[name]], [other[name]], images=own)
                if found.over_images is not None:
                    told[name] += 1
                    held[name] += holds(found.over_images, true[1][name].ap - true[0][name].ap)
        shares = {name: held[name] / told[name] for name in held}
        print(f"\n{images} images, class 3 in {np.mean(having):.0f} of them: {shares}")
        assert min(having) >= FEWEST_IMAGES or images < IMAGES
        if images == IMAGES:
            assert all(0.92 <= share <= 0.98 for share in shares.values())


@pytest.mark.slow
def test_intervals_over_images_and_seeds_hold_the_true_difference_of_methods() -> None:
    """Each training of a method has a skill of its own; two methods are compared by three trainings each."""
    pool, chosen_seeds = 8, 3
    random = np.random.default_rng(0)
    methods = [
        population(3000, (skill + random.normal(0, 0.03, pool)).tolist(), first_seed)
        for skill, first_seed in ((0.60, 1), (0.66, 100))
    ]
    first_ap, second_ap = (np.mean([true_ap(one) for one in method]) for method in methods)
    truth = float(second_ap - first_ap)
    over_images, over_seeds = 0, 0
    for repeat in range(REPEATS):
        images = random.choice(methods[0][0].images, IMAGES, replace=False)
        weights = resample_images(IMAGES, RESAMPLES, seed=repeat)
        groups = [
            [resampled_ap(only(method[n], images), weights) for n in random.integers(pool, size=chosen_seeds)]
            for method in methods
        ]
        found = difference(groups[0], groups[1], seed=repeat)
        over_images += holds(found.over_images, truth)
        over_seeds += holds(found.over_images_and_seeds, truth)
    print(
        f"\ntrue difference of methods {truth:+.4f}: held by {over_seeds} of {REPEATS} intervals over images and seeds "
        f"({over_seeds / REPEATS:.1%}), by {over_images} over images alone ({over_images / REPEATS:.1%})"
    )
    assert over_seeds / REPEATS >= 0.93


@pytest.mark.slow
def test_data_of_the_size_of_coco_is_resampled_a_thousand_times() -> None:
    index = synthetic_index(5000, 80, objects=7.2, seed=0)
    difficulty = image_difficulty(index, 1)
    compared = []
    weights = resample_images(5000, 1000, seed=0)
    for seed, skill in ((1, 0.60), (2, 0.62)):
        results = synthetic_results(index, difficulty, skill, false=94, seed=seed)
        started = time.process_time()
        matches = match(index, results)
        matched = time.process_time()
        compared.append(resampled_ap(matches, weights))
        print(
            f"\n{len(index.annotations)} objects, {len(results.scores)} detections: matched once in "
            f"{matched - started:.1f} s, resampled 1,000 times in {time.process_time() - matched:.1f} s of one core"
        )
        if seed == 1:
            assert compared[0].ap == pytest.approx(coco_metrics(index, results)[0]["AP"], abs=1e-9)
    found = difference(compared[:1], compared[1:])
    assert found.over_images is not None
    low, high = found.over_images
    print(f"difference {found.ap:+.4f}, {low:+.4f} to {high:+.4f}")
    assert low < found.ap < high
