from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drawn_scenes import drawn_index, drawn_results
from pycocotools.cocoeval import COCOeval

from detector import config
from detector.evaluation.coco import as_coco, coco_metrics, ground_truth
from detector.evaluation.difference import Difference
from detector.experiments.compare.classes import by_difference, class_aps, class_cells
from detector.experiments.compare.cost import Cost
from detector.experiments.compare.groups import Group
from detector.experiments.compare.runs import Run
from detector.experiments.compare.table import Measured

Configure = Callable[..., config.Train]


@pytest.fixture
def make(tiny: Configure) -> Callable[..., Measured]:
    """A group whose runs have these APs by class, one dictionary a run."""

    def measured(label: str, *per_class: dict[str, float | None]) -> Measured:
        runs = tuple(
            Run(Path(label), tiny(seed=n), {"per_class": {name: {"AP": ap} for name, ap in one.items()}})
            for n, one in enumerate(per_class)
        )
        return Measured(Group(label, runs), tuple(Cost(1.0, None) for _ in runs))

    return measured


def test_ap_of_a_class_is_that_of_pycocotools_on_this_class_alone(make: Callable[..., Measured]) -> None:
    index = drawn_index(30)
    index.annotations.crowd[::9] = True
    rows, expected = [], []
    for seed in (0, 1):
        results = drawn_results(index, seed)
        per_class = coco_metrics(index, results)[1]
        rows.append(make(f"{seed}", {n: one["AP"] for n, one in zip(index.class_names, per_class, strict=True)}))
        alone = []
        for label in range(len(index.class_names)):
            evaluation = COCOeval(ground_truth(index), as_coco(index, results), iouType="bbox")
            evaluation.params.catIds = [label]
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
            alone.append(evaluation.stats[0])
        expected.append(alone)
    for label, one in enumerate(class_aps(rows, index)):
        assert one.name == index.class_names[label]
        assert one.objects == sum(
            not crowd
            for crowd, of in zip(index.annotations.crowd.tolist(), index.annotations.labels.tolist(), strict=True)
            if of == label
        )
        assert [mean for mean, _ in one.aps] == pytest.approx([aps[label] for aps in expected], abs=1e-12)
        assert one.difference(1, 0) == pytest.approx(expected[1][label] - expected[0][label], abs=1e-12)


def test_classes_are_sorted_by_the_difference_and_those_without_objects_come_last(
    make: Callable[..., Measured],
) -> None:
    index = drawn_index(20)
    names = index.class_names
    first = make("a", dict(zip(names, [0.5, 0.5, None, 0.5, 0.5], strict=True)))
    second = make("b", *(dict(zip(names, [0.4, ap, None, 0.5, 0.1], strict=True)) for ap in (0.7, 0.9)))
    classes = class_aps([first, second], index)
    assert [one.name for one in by_difference(classes, 0)] == [names[n] for n in (1, 3, 0, 4, 2)]
    assert [one.name for one in by_difference(classes, 1)] == [names[n] for n in (4, 0, 3, 1, 2)]

    counts = np.bincount(index.annotations.labels, minlength=5)
    titles, best, *_, last = class_cells([first, second], classes, 0)
    assert titles == ["AP of class", "objects", "a", "b", "difference"]
    assert best == [names[1], str(counts[1]), "0.500", "0.800 ± 0.141", "+0.300"]
    assert last == [names[2], str(counts[2]), "–", "–", "–"]


def test_two_groups_that_were_resampled_have_intervals_and_corrected_p(make: Callable[..., Measured]) -> None:
    index = drawn_index(20)
    found = Difference(0.1, (0.05, 0.2), None, 0.001, 0.005)
    few = Difference(0.2, None, None, None, None)
    first, second = (make(label, dict.fromkeys(index.class_names, ap)) for label, ap in (("a", 0.1), ("b", 0.2)))
    second = replace(second, class_differences=(found, few, None, None, None))
    titles, *lines = class_cells([first, second], class_aps([first, second], index), 0)
    assert titles[-3:] == ["difference", "95%", "corrected p"]
    assert [line[-2:] for line in lines] == [["+0.050 to +0.200", "0.005"], *[["–", "–"]] * 4]


def test_the_reference_comes_first_and_more_groups_have_no_column_of_differences(make: Callable[..., Measured]) -> None:
    index = drawn_index(20)
    rows = [make(label, dict.fromkeys(index.class_names, ap)) for label, ap in (("a", 0.1), ("b", 0.2), ("c", 0.3))]
    titles, first, *_ = class_cells(rows, class_aps(rows, index), 1)
    assert titles == ["AP of class", "objects", "b", "a", "c"]
    assert first[2:] == ["0.200", "0.100", "0.300"]
