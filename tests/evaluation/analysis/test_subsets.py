from __future__ import annotations

import numpy as np
import pytest
from analysed_cases import as_index, chosen, hard_matches, iou_of
from synthetic_detections import image_difficulty, synthetic_index, synthetic_results
from tide_cases import make_case

from detector.data.index import AnnotatedObjects, assemble
from detector.evaluation.analysis.matching import Matched, match_images
from detector.evaluation.analysis.overlaps import overlaps_with_objects
from detector.evaluation.analysis.subsets import Subsets, subsets
from detector.evaluation.coco import coco_metrics
from detector.evaluation.results import FlatResults


def measured(one: Matched) -> dict[str, Subsets]:
    return {subset.name: subset for subset in subsets(one, overlaps_with_objects(one, 0.1))}


@pytest.mark.parametrize("seed", range(10))
def test_recall_of_a_bin_is_the_share_of_its_objects_that_are_found(seed: int) -> None:
    one = hard_matches(seed)
    for subset in measured(one).values():
        assert subset.objects.sum() == one.wanted.sum()
        for b in range(len(subset.bins)):
            inside = [n for n in range(len(one.wanted)) if one.wanted[n] and subset.bin_of_object[n] == b]
            assert subset.objects[b] == len(inside)
            assert subset.images[b] == len({int(one.owners[n]) for n in inside})
            for t in (0, 9):
                found = [n for n in inside if n in one.found[t].tolist()]
                assert subset.recall[b, t] == pytest.approx(len(found) / len(inside) if inside else np.nan, nan_ok=True)


def test_ap_by_objects_in_the_image_is_that_of_those_images_alone() -> None:
    """And the false detections of images without objects are in a bin of their own."""
    index = synthetic_index(80, 3, 4, seed=1)
    results = synthetic_results(index, image_difficulty(index, 1), 0.6, 5, seed=2)
    subset = measured(match_images(index, results))["objects in image"]
    wanted = np.bincount(index.annotations.owners[~index.annotations.crowd], minlength=80)
    tried = 0
    for b, (low, high) in enumerate([(0, 1), (1, 2), (2, 5), (5, 10), (10, 20), (20, 10**9)]):
        images = np.flatnonzero((wanted >= low) & (wanted < high))
        place = np.full(80, -1)
        place[images] = np.arange(len(images))
        kept = chosen(results, np.flatnonzero(place[results.images] >= 0))
        kept = FlatResults(place[kept.images], kept.labels, kept.boxes, kept.scores)
        ap = coco_metrics(index.subset(images), kept)[0]["AP"] if len(images) else None
        assert subset.ap[b].mean() == pytest.approx(np.nan if ap is None else ap, abs=1e-12, nan_ok=True)
        tried += ap is not None
    assert tried >= 4


def test_each_object_is_in_the_bin_of_its_property() -> None:
    index, results = as_index(make_case(1))
    one = match_images(index, results)
    bins = {name: [subset.bins[b] for b in subset.bin_of_object] for name, subset in measured(one).items()}
    boxes = index.annotations.boxes
    for n, (x, y, width, height) in enumerate(boxes):
        side, ratio = np.sqrt(width * height), width / height
        crowding = max(
            (iou_of(boxes[n], boxes[m]) for m in range(len(boxes)) if m != n and one.owners[m] == one.owners[n]),
            default=0,
        )
        distance = min(x, y, 200 - x - width, 200 - y - height)
        expected = {
            "size": next(
                name for top, name in ((16, "< 16"), (32, "16–32"), (64, "32–64"), (96, "64–96"), (192, "96–192")) if side < top
            ),
            "aspect ratio": next(
                name
                for top, name in (
                    (1 / 3, "< 1:3"), (2 / 3, "1:3–2:3"), (1.5, "2:3–3:2"), (3, "3:2–3:1"), (np.inf, "≥ 3:1"),
                )
                if ratio < top
            ),
            "crowding": next(
                name for top, name in ((0.1, "< 0.1"), (0.3, "0.1–0.3"), (0.5, "0.3–0.5"), (2, "≥ 0.5")) if crowding < top
            ),
            "distance to border": "touches"
            if distance <= 1
            else next(
                name
                for top, name in ((0.05, "< 0.05"), (0.15, "0.05–0.15"), (0.3, "0.15–0.3"), (1, "≥ 0.3"))
                if distance / 200 < top
            ),
        }  # fmt: skip
        assert {name: bins[name][n] for name in expected} == expected


def test_what_is_only_in_one_bin_wrong_costs_ap_there_alone() -> None:
    """Objects above 64 pixels are found perfectly; of the smaller ones every detection is elsewhere."""
    index = synthetic_index(40, 2, 5, seed=3, crowds=0)
    boxes, owners, labels = index.annotations.boxes.copy(), index.annotations.owners, index.annotations.labels
    small = np.sqrt(boxes[:, 2] * boxes[:, 3]) < 64
    boxes[small, :2] = 2000.0
    results = FlatResults(owners, labels, boxes, np.linspace(0.9, 0.1, len(boxes)))
    subset = measured(match_images(index, results))["size"]
    assert subset.ap[:3].max() == 0
    assert subset.ap[3:6][subset.objects[3:6] > 0].min() == pytest.approx(1)


def test_a_false_detection_between_two_objects_counts_where_objects_are_crowded() -> None:
    """One of class 1 lies on two objects of class 0, the second by 0.44; class 1 has an object in such a crowd, too."""
    boxes = np.array(
        [[0, 0, 90, 90], [45, 0, 90, 90], [0, 200, 90, 90], [45, 200, 90, 90], [300, 300, 60, 60]], dtype=np.float64
    )
    labels = np.array([0, 0, 0, 1, 1])
    index = assemble(
        ("a", "b"),
        (1, 2),
        (1,),
        ("",),
        np.array([[400, 400]]),
        AnnotatedObjects(
            np.zeros(5, dtype=np.int64),
            np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1),
            labels,
            np.zeros(5, dtype=bool),
            str,
        ),
    )
    found = FlatResults(
        np.zeros(6, dtype=np.int64),
        np.append(labels, 1),
        np.concatenate([boxes, [[10, 0, 90, 90]]]),
        np.array([0.5, 0.5, 0.5, 0.5, 0.5, 0.9]),
    )
    crowding = measured(match_images(index, found))["crowding"]
    assert crowding.objects.tolist() == [1, 0, 4, 0]
    assert crowding.ap[:, 0] == pytest.approx([1, np.nan, (1 + 0.5) / 2, np.nan], nan_ok=True)
