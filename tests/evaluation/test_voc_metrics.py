from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detector import config
from detector.data.index import AnnotatedObjects, Index, assemble
from detector.data.read import read_index
from detector.evaluation.evaluate import evaluate
from detector.evaluation.results import flatten, read_results, write_results
from detector.evaluation.voc import VOC_RECALLS, voc_ap50

PixelBox = tuple[int, int, int, int]  # xmin, ymin, xmax, ymax as in a VOC file: counted from 1, both ends included
PixelObject = tuple[str, int, PixelBox, bool]  # image, label, box, difficult
PixelDetection = tuple[str, int, PixelBox, float]  # image, label, box, score

IMAGES = ("a", "b", "c", "d")
NAMES = ("ant", "bee", "cat")


def make_index(objects: list[PixelObject], classes: int = 1) -> Index:
    boxes = np.array([box for _, _, box, _ in objects], dtype=float).reshape(-1, 4) - [1, 1, 0, 0]
    return assemble(
        [f"class {k}" for k in range(classes)],
        list(range(1, classes + 1)),
        list(IMAGES),
        [""] * len(IMAGES),
        np.full((len(IMAGES), 2), 200),
        AnnotatedObjects(
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
    """VOCevaldet.m (VOC 2007's for the first number) and VOCap.m statement by statement, on the files' own integers."""
    truths: dict[str, list[list[Any]]] = {image: [] for image in IMAGES}  # box, difficult, found
    positives = 0
    for image, of, box, difficult in objects:
        if of == label:
            truths[image].append([box, difficult, False])
            positives += not difficult
    if positives == 0:
        return None
    ordered = sorted((d for d in detections if d[1] == label), key=lambda d: -d[3])  # stable, as MATLAB's sort
    true, false = [0] * len(ordered), [0] * len(ordered)
    for d, (image, _, bb, _) in enumerate(ordered):
        ovmax, jmax = -math.inf, -1
        for j, (bbgt, _, _) in enumerate(truths[image]):
            iw = min(bb[2], bbgt[2]) - max(bb[0], bbgt[0]) + 1
            ih = min(bb[3], bbgt[3]) - max(bb[1], bbgt[1]) + 1
            if iw > 0 and ih > 0:
                ua = (bb[2] - bb[0] + 1) * (bb[3] - bb[1] + 1)
                ua = ua + (bbgt[2] - bbgt[0] + 1) * (bbgt[3] - bbgt[1] + 1) - iw * ih
                ov = iw * ih / ua
                if ov > ovmax:
                    ovmax, jmax = ov, j
        if ovmax >= 0.5:
            if not truths[image][jmax][1]:
                if not truths[image][jmax][2]:
                    true[d] = 1
                    truths[image][jmax][2] = True
                else:
                    false[d] = 1
        else:
            false[d] = 1

    tp, fp, recall, precision = 0, 0, [], []
    for d in range(len(ordered)):
        tp, fp = tp + true[d], fp + false[d]
        recall.append(tp / positives)
        precision.append(tp / (tp + fp) if tp + fp else math.nan)

    eleven = 0.0
    for k in range(11):
        reached = [p for r, p in zip(recall, precision, strict=True) if r >= k * 0.1 and not math.isnan(p)]
        eleven = eleven + (max(reached) if reached else 0) / 11
    recall, precision = [0, *recall, 1], [0, *(0 if math.isnan(p) else p for p in precision), 0]
    for i in range(len(precision) - 2, -1, -1):
        precision[i] = max(precision[i], precision[i + 1])
    area = 0.0
    for i in range(1, len(recall)):
        if recall[i] != recall[i - 1]:
            area = area + (recall[i] - recall[i - 1]) * precision[i]
    return eleven, area


def write_voc(root: Path, objects: list[PixelObject]) -> config.Voc:
    """The annotations alone, with a list; no image."""
    for folder in ("Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for image in IMAGES:
        entries = "".join(
            f"<object><name>{NAMES[label]}</name><difficult>{int(difficult)}</difficult><bndbox><xmin>{box[0]}</xmin>"
            f"<ymin>{box[1]}</ymin><xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox></object>"
            for of, label, box, difficult in objects
            if of == image
        )
        size = "<size><width>200</width><height>200</height><depth>3</depth></size>"
        (root / "Annotations" / f"{image}.xml").write_text(f"<annotation>{size}{entries}</annotation>")
    (root / "ImageSets" / "Main" / "val.txt").write_text("\n".join(IMAGES))
    return config.Voc(root=str(root))


PLACES = [(1, 1), (11, 1), (40, 60), (195, 190)]
SIDES = [0, 1, 4, 5, 9, 10, 19, 20, 39]
corners = st.tuples(st.sampled_from(PLACES), st.sampled_from(SIDES), st.sampled_from(SIDES)).map(
    lambda of: (of[0][0], of[0][1], of[0][0] + of[1] - 1, of[0][1] + of[2] - 1)
)  # a side of 0 is a box from xmin to xmin − 1
pixel_objects = st.tuples(st.sampled_from(IMAGES), st.integers(0, 2), corners, st.sampled_from([False, False, True]))
scores = st.one_of(st.sampled_from([0.1, 0.5, 0.9]), st.floats(0, 1))


@st.composite
def scenes(draw: st.DrawFn) -> tuple[list[PixelObject], list[PixelDetection]]:
    objects = draw(st.lists(pixel_objects, max_size=14))
    detections = draw(st.lists(st.tuples(st.sampled_from(IMAGES), st.integers(0, 2), corners, scores), max_size=8))
    for image, label, box, _ in objects:  # most are found, some twice, some half
        for _ in range(draw(st.sampled_from([0, 1, 1, 2]))):
            shown = box if draw(st.booleans()) else (box[0], box[1], box[2], (box[1] + box[3] - 1) // 2)
            detections.append((image, label, shown, draw(scores)))
    return objects, [d for d in draw(st.permutations(detections)) if d[2][2] >= d[2][0] - 1 and d[2][3] >= d[2][1] - 1]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(scenes())
def test_both_measures_of_each_class_are_those_of_the_development_kit_on_the_same_files(
    tmp_path_factory: pytest.TempPathFactory, scene: tuple[list[PixelObject], list[PixelDetection]]
) -> None:
    objects, detections = scene
    root = tmp_path_factory.mktemp("voc")
    index = read_index(write_voc(root, objects), "val", NAMES)
    file = root / "detections.json"
    write_results(file, entries(detections))
    ours = evaluate(index, read_results(file, index))["voc"]
    theirs = [development_kit(objects, detections, label) for label in range(3)]
    for name, expected in zip(NAMES, theirs, strict=True):
        measured = (ours["per_class"][name]["AP50_11point"], ours["per_class"][name]["AP50_area"])
        assert measured == (expected or (None, None))
    present = [averages for averages in theirs if averages is not None]
    assert ours["AP50_11point"] == (np.mean([eleven for eleven, _ in present]) if present else None)
    assert ours["AP50_area"] == (np.mean([area for _, area in present]) if present else None)


@pytest.mark.parametrize("positives", [3, 5, 7, 10, 11, 20, 30])
def test_each_recall_reaches_the_points_that_it_reaches_in_the_development_kit(positives: int) -> None:
    """One false detection before each true one, so that each point has a precision of its own."""
    objects: list[PixelObject] = [("a", 0, (1, 1 + 5 * n, 4, 4 + 5 * n), False) for n in range(positives)]
    for found in range(positives + 1):
        detections: list[PixelDetection] = []
        for n in range(found):
            detections += [("b", 0, (1, 1, 4, 4), 1 - n / 100), ("a", 0, objects[n][2], 1 - n / 100)]
        assert measure(objects, detections) == development_kit(objects, detections, 0)


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


@pytest.mark.parametrize(("found", "points"), [(1, 2), (2, 3), (3, 3), (4, 5), (5, 6), (6, 6), (7, 7), (8, 9), (9, 10)])
def test_a_recall_of_exactly_3_6_or_7_tenths_stays_below_its_point(found: int, points: int) -> None:
    """MATLAB's and Python's 3 · 0.1 is 0.30000000000000004, and so are 6 · 0.1 and 7 · 0.1 above 6/10 and 7/10."""
    objects = [("a", 0, (1 + 20 * n, 1, 15 + 20 * n, 15), False) for n in range(10)]
    detections = [("a", 0, box, 0.9 - n / 100) for n, (_, _, box, _) in enumerate(objects[:found])]
    assert measure(objects, detections) == pytest.approx((points / 11, found / 10))


def test_the_points_of_recall_are_those_of_numpys_arange_and_of_octaves_range() -> None:
    assert VOC_RECALLS.tolist() == np.arange(0.0, 1.1, 0.1).tolist()
    assert VOC_RECALLS.tolist() == [0, 0.1, 0.2, 0.30000000000000004, 0.4, 0.5, 0.6000000000000001,
                                    0.7000000000000001, 0.8, 0.9, 1]  # fmt: skip


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


def test_of_two_objects_that_it_overlaps_alike_the_first_is_found() -> None:
    """As `ov > ovmax` of the development kit has it."""
    plain, difficult = ("a", 0, FIRST, False), ("a", 0, FIRST, True)
    assert measure([plain, difficult], [("a", 0, FIRST, 0.9)]) == pytest.approx((1, 1))
    assert measure([difficult, plain], [("a", 0, FIRST, 0.9)]) == (0.0, 0.0)


def test_another_class_or_another_image_is_no_hit() -> None:
    index = make_index([("a", 0, FIRST, False), ("b", 1, FIRST, False)], classes=2)
    assert voc_ap50(index, flatten(index, entries([("a", 1, FIRST, 0.9), ("b", 0, FIRST, 0.9)]))) == [(0, 0), (0, 0)]


def test_boxes_without_area_are_no_hit_and_no_crash() -> None:
    index = make_index([("a", 0, FIRST, False)])
    empty = {"image_id": "a", "category_id": 1, "bbox": [5, 5, 0, 0], "score": 0.9}
    assert voc_ap50(index, flatten(index, [empty])) == [(0.0, 0.0)]
