from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from detector.data.index import Index, Objects, assemble
from detector.evaluation.evaluate import evaluate
from detector.evaluation.results import flatten
from detector.evaluation.voc import voc_ap50

PixelBox = tuple[int, int, int, int]  # xmin, ymin, xmax, ymax as in a VOC file: counted from 1, both ends included
PixelObject = tuple[str, int, PixelBox, bool]  # image, label, box, difficult
PixelDetection = tuple[str, int, PixelBox, float]  # image, label, box, score

IMAGES = ("a", "b", "c", "d")


def make_index(objects: list[PixelObject], classes: int = 1) -> Index:
    boxes = np.array([box for _, _, box, _ in objects], dtype=float).reshape(-1, 4) - [1, 1, 0, 0]
    return assemble(
        [f"class {k}" for k in range(classes)],
        list(range(1, classes + 1)),
        list(IMAGES),
        [""] * len(IMAGES),
        np.full((len(IMAGES), 2), 200),
        Objects(
            owners=[IMAGES.index(image) for image, _, _, _ in objects],
            boxes=boxes,
            labels=[label for _, label, _, _ in objects],
            crowd=[difficult for _, _, _, difficult in objects],
            where=str,
        ),
    )


def entries(detections: list[PixelDetection]) -> list[dict[str, Any]]:
    return [
        {
            "image_id": image,
            "category_id": label + 1,
            "bbox": [xmin - 1, ymin - 1, xmax - xmin + 1, ymax - ymin + 1],
            "score": score,
        }
        for image, label, (xmin, ymin, xmax, ymax), score in detections
    ]


def measure(objects: list[PixelObject], detections: list[PixelDetection]) -> tuple[float, float] | None:
    index = make_index(objects)
    return voc_ap50(index, flatten(index, entries(detections)))[0]


def development_kit(
    objects: list[PixelObject], detections: list[PixelDetection], label: int
) -> tuple[float, float] | None:
    """VOCevaldet.m and VOCap.m step by step, one detection and one object at a time, on integer pixel boxes."""
    truths = [[image, box, difficult, False] for image, k, box, difficult in objects if k == label]
    positives = sum(not truth[2] for truth in truths)
    if positives == 0:
        return None
    tp, fp = 0, 0
    recalls, precisions = [], []
    for image, _, box, _ in sorted((d for d in detections if d[1] == label), key=lambda d: -d[3]):
        best, best_overlap = None, 0.0
        for truth in truths:
            if truth[0] != image:
                continue
            other: Any = truth[1]
            width = min(box[2], other[2]) - max(box[0], other[0]) + 1
            height = min(box[3], other[3]) - max(box[1], other[1]) + 1
            if width > 0 and height > 0:
                union = (box[2] - box[0] + 1) * (box[3] - box[1] + 1) - width * height
                union += (other[2] - other[0] + 1) * (other[3] - other[1] + 1)
                if width * height / union > best_overlap:
                    best, best_overlap = truth, width * height / union
        if best is None or best_overlap < 0.5:
            fp += 1
        elif not best[2]:
            if best[3]:
                fp += 1
            else:
                tp += 1
                best[3] = True
        if tp + fp:
            recalls.append(tp / positives)
            precisions.append(tp / (tp + fp))
    eleven = 0.0
    for tenth in range(11):
        eleven += max((p for r, p in zip(recalls, precisions, strict=True) if 10 * r > tenth - 1e-9), default=0) / 11
    recalls, precisions = [0, *recalls, 1], [0, *precisions, 0]
    for i in range(len(precisions) - 2, -1, -1):
        precisions[i] = max(precisions[i], precisions[i + 1])
    area = sum((recalls[i] - recalls[i - 1]) * precisions[i] for i in range(1, len(recalls)))
    return eleven, area


@pytest.mark.parametrize("seed", range(8))
def test_both_measures_equal_the_development_kits_loop_on_integer_boxes(seed: int) -> None:
    random = np.random.default_rng(seed)
    objects: list[PixelObject] = []
    for _ in range(60):
        x, y, w, h = random.integers(1, [150, 150, 50, 50]).tolist()
        objects.append(
            (IMAGES[random.integers(3)], int(random.integers(3)), (x, y, x + w, y + h), random.random() < 0.2)
        )
    detections: list[PixelDetection] = []
    for n in range(150):
        image, label, box, _ = objects[random.integers(len(objects))]
        x1, y1, x2, y2 = (np.array(box) + random.integers(-6, 7, 4)).tolist()
        if random.random() < 0.1:
            image = "d"
        detections.append((image, label, (x1, y1, max(x1, x2), max(y1, y2)), float((n * 37 % 150) / 150)))
    index = make_index(objects, classes=4)
    ours = voc_ap50(index, flatten(index, entries(detections)))
    theirs = [development_kit(objects, detections, label) for label in range(4)]
    assert ours[3] is theirs[3] is None
    for label in range(3):
        assert ours[label] == pytest.approx(theirs[label], abs=1e-12)
        assert 0.02 < ours[label][1] < 0.95  # type: ignore[index]

    means = evaluate(index, entries(detections))["voc"]
    present = [average for average in theirs if average is not None]
    assert means["AP50_11point"] == pytest.approx(sum(a for a, _ in present) / 3)
    assert means["AP50_area"] == pytest.approx(sum(a for _, a in present) / 3)


FIRST, SECOND, THIRD = (1, 1, 20, 20), (51, 1, 70, 20), (101, 1, 120, 20)
NOWHERE = (1, 101, 20, 120)


def test_a_hit_a_miss_and_a_hit_of_two_objects_by_hand() -> None:
    # recall ½, ½, 1 with precision 1, ½, ⅔: the points 0..0.5 (six of them) see 1, the points 0.6..1 (five) see ⅔
    objects = [("a", 0, FIRST, False), ("a", 0, SECOND, False)]
    detections = [("a", 0, FIRST, 0.9), ("a", 0, NOWHERE, 0.8), ("a", 0, SECOND, 0.7)]
    assert measure(objects, detections) == pytest.approx(((6 + 5 * 2 / 3) / 11, 1 / 2 * 1 + 1 / 2 * 2 / 3))


def test_one_of_three_objects_found_by_hand() -> None:
    # recall ⅓ with precision 1: the points 0, 0.1, 0.2, 0.3
    objects = [("a", 0, FIRST, False), ("a", 0, SECOND, False), ("b", 0, THIRD, False)]
    assert measure(objects, [("a", 0, FIRST, 0.9)]) == pytest.approx((4 / 11, 1 / 3))


def test_a_recall_of_exactly_three_tenths_reaches_the_point_three_tenths() -> None:
    objects = [("a", 0, (1 + 20 * n, 1, 15 + 20 * n, 15), False) for n in range(10)]
    found = [("a", 0, box, 0.9 - n / 100) for n, (_, _, box, _) in enumerate(objects[:3])]
    assert measure(objects, found) == pytest.approx((4 / 11, 3 / 10))


def test_an_object_found_twice_is_one_hit_and_one_false_detection() -> None:
    # recall ½, ½, 1 with precision 1, ½, ⅔, though the second detection also touches nothing else
    objects = [("a", 0, FIRST, False), ("a", 0, SECOND, False)]
    detections = [("a", 0, FIRST, 0.9), ("a", 0, (1, 1, 20, 19), 0.8), ("a", 0, SECOND, 0.7)]
    assert measure(objects, detections) == pytest.approx(((6 + 5 * 2 / 3) / 11, 5 / 6))


def test_a_second_detection_is_not_passed_on_to_the_next_best_object() -> None:
    near = (4, 1, 23, 20)  # IoU with FIRST: 17 / 23
    objects = [("a", 0, FIRST, False), ("a", 0, near, False)]
    # the second detection overlaps FIRST most (19 / 20) and `near` by 16 / 23: still false
    assert measure(objects, [("a", 0, FIRST, 0.9), ("a", 0, (1, 1, 19, 20), 0.8)]) == pytest.approx((6 / 11, 1 / 2))


def test_the_box_widths_count_both_end_pixels() -> None:
    # 10 × 1 pixels against 5 × 1: overlap 5 / 10 with both ends counted, 4 / 9 without
    assert measure([("a", 0, (1, 1, 10, 1), False)], [("a", 0, (1, 1, 5, 1), 0.9)]) == (pytest.approx(1), 1.0)
    assert measure([("a", 0, (1, 1, 10, 1), False)], [("a", 0, (1, 1, 4, 1), 0.9)]) == (0.0, 0.0)
    # one pixel found exactly
    assert measure([("a", 0, (7, 7, 7, 7), False)], [("a", 0, (7, 7, 7, 7), 0.9)]) == (pytest.approx(1), 1.0)


def test_a_difficult_object_counts_neither_found_nor_missed() -> None:
    objects = [("a", 0, FIRST, False), ("a", 0, SECOND, True)]
    on_first, on_difficult = ("a", 0, FIRST, 0.5), ("a", 0, SECOND, 0.9)
    assert measure(objects, [on_first]) == pytest.approx((1, 1))
    assert measure(objects, [on_difficult, on_difficult, on_first]) == pytest.approx((1, 1))
    assert measure(objects, [on_difficult]) == (0.0, 0.0)
    assert measure([("a", 0, SECOND, True)], [on_difficult]) is None


def test_another_class_or_another_image_is_no_hit() -> None:
    index = make_index([("a", 0, FIRST, False), ("b", 1, FIRST, False)], classes=2)
    assert voc_ap50(index, flatten(index, entries([("a", 1, FIRST, 0.9), ("b", 0, FIRST, 0.9)]))) == [(0, 0), (0, 0)]


def test_boxes_without_area_are_no_hit_and_no_crash() -> None:
    index = make_index([("a", 0, FIRST, False)])
    empty = {"image_id": "a", "category_id": 1, "bbox": [5, 5, 0, 0], "score": 0.9}
    assert voc_ap50(index, flatten(index, [empty])) == [(0.0, 0.0)]
