"""Each kind of finding: what is planted is found, what is sound is not."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest

from detector.data.checks.boxes import odd_boxes, overlapping_boxes
from detector.data.checks.classes import class_findings
from detector.data.checks.labels import crops, suspected_labels
from detector.data.checks.picture_hash import ORIENTATIONS, thumbnail
from detector.data.checks.same_picture import ALIKE, SAME_PARTS, alignment, closer_agreement, closer_view
from detector.data.index import AnnotatedObjects, Index, assemble

Box = Sequence[float]


def index_of(
    images: Sequence[Sequence[tuple[Box, int]]], size: tuple[int, int] = (400, 400), classes: int = 2
) -> Index:
    """Images of one size (height, width), each with its objects as (xyxy, label); a label below 0 is a crowd of label 0."""
    owners = [i for i, objects in enumerate(images) for _ in objects]
    boxes = [box for objects in images for box, _ in objects]
    labels = [max(label, 0) for objects in images for _, label in objects]
    crowd = [label < 0 for objects in images for _, label in objects]
    files = [f"{i}.png" for i in range(len(images))]
    objects = AnnotatedObjects(owners, np.array(boxes).reshape(-1, 4), labels, crowd, lambda n: f"object {n}")
    names = [f"class {label}" for label in range(classes)]
    return assemble(names, range(classes), files, files, np.tile(size, (len(images), 1)), objects)


def iou(a: Box, b: Box) -> float:
    width, height = (min(a[2 + axis], b[2 + axis]) - max(a[axis], b[axis]) for axis in (0, 1))
    shared = max(width, 0) * max(height, 0)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return shared / (areas - shared)


def test_overlapping_boxes_are_those_of_a_loop_over_pairs() -> None:
    random = np.random.default_rng(0)
    images = []
    for _ in range(30):
        corners = random.uniform(0, 300, (12, 2))
        drawn = np.hstack([corners, corners + random.uniform(20, 90, (12, 2))])
        drawn[6:] = drawn[:6] + random.uniform(-3, 3, (6, 4))  # and some nearly the same
        images.append([(box, int(random.integers(-1, 2))) for box in drawn.tolist()])
    index = index_of(images)
    expected = []
    for i in range(len(index)):
        target = index.target(i)
        boxes, labels, crowd = target.boxes.tolist(), target.labels.tolist(), target.crowd.tolist()
        for n in range(len(boxes)):
            for m in range(n):
                if not crowd[n] and not crowd[m] and iou(boxes[n], boxes[m]) >= 0.9:
                    kind = "near-duplicate box" if labels[n] == labels[m] else "one object under two classes"
                    expected.append((i, kind, frozenset(map(tuple, (boxes[n], boxes[m])))))
    found = [(one.place[1], one.kind, frozenset(one.boxes)) for one in overlapping_boxes(index, "train") if one.place]
    assert sorted(found, key=str) == sorted(expected, key=str)
    assert {kind for _, kind, _ in expected} == {"near-duplicate box", "one object under two classes"}


def test_tiny_and_very_long_boxes_are_said_at_the_size_that_the_model_sees() -> None:
    boxes = [((10, 10, 14, 50), 0), ((10, 10, 15, 350), 0), ((10, 10, 200, 200), 1), ((10, 10, 12, 12), -1)]
    found = odd_boxes(index_of([boxes]), image_size=192)
    assert [one.kind for one in found] == ["tiny box", "very long box"]
    assert "its shorter side has 1.9" in found[0].what
    assert [one.kind for one in odd_boxes(index_of([boxes]), image_size=400)] == ["very long box"]


def test_classes_that_a_split_lacks_are_rare_or_differ_are_said() -> None:
    box = (10, 10, 60, 60)
    random = np.random.default_rng(0)
    train = index_of([[(box, 0)] * 4 + [(box, 1)] * (i < 3) + [(box, 3)] * (i % 4 == 0) for i in range(200)], classes=5)
    val = index_of([[(box, 0)] * 4 + [(box, 3)] * int(random.integers(1, 4)) for _ in range(100)], classes=5)
    found = [(one.kind, one.where, one.what.split(":")[0]) for one in class_findings({"train": train, "val": val})]
    assert sorted(found) == [
        ("class in other shares", "data.val", "class 3"),
        ("class without objects", "data.train", "class 2"),
        ("class without objects", "data.train", "class 4"),
        ("class without objects", "data.val", "class 1"),
        ("class without objects", "data.val", "class 2"),
        ("class without objects", "data.val", "class 4"),
        ("rare class", "data.train", "class 1"),
    ]


def test_shares_that_images_drawn_at_random_may_have_are_not_said_to_differ() -> None:
    random = np.random.default_rng(1)
    box = (10, 10, 60, 60)
    for _ in range(30):  # a rare class comes ten at a time, in a few images: its share varies a lot
        splits = [
            index_of([[(box, 0)] * 5 + [(box, 1)] * (10 * (random.random() < 0.05)) for _ in range(60)]) for _ in "ab"
        ]
        found = class_findings({"train": splits[0], "val": splits[1]})
        assert "class in other shares" not in {one.kind for one in found}


def noisy(colour: tuple[int, int, int], random: np.random.Generator) -> np.ndarray:
    return np.clip(np.array(colour) + random.normal(0, 30, (120, 120, 3)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("told_apart", [True, False])
def test_wrong_labels_are_suspected_where_classes_can_be_told_apart(told_apart: bool) -> None:
    random = np.random.default_rng(0)
    colours = [(200, 60, 60), (60, 60, 200)] if told_apart else [(128, 128, 128)] * 2
    truth = random.integers(0, 2, 60).tolist()
    wrong = [7, 23]
    labels = [1 - label if i in wrong else label for i, label in enumerate(truth)]
    index = index_of([[((20, 20, 90, 90), label)] for label in labels], size=(120, 120))
    small = {i: crops(noisy(colours[truth[i]], random), index.target(i).boxes.numpy()) for i in range(60)}
    found, notes = suspected_labels({"train": (index, small)})
    assert sorted(one.place[1] for one in found if one.place) == (wrong if told_apart else [])
    assert bool(notes) != told_apart


def test_a_crop_is_what_is_in_the_box() -> None:
    picture = np.zeros((100, 200, 3), dtype=np.uint8)
    picture[20:60, 110:190] = (10, 200, 30)
    (crop,) = crops(picture, np.array([[110, 20, 190, 60]], dtype=np.float32))
    assert (crop[2:6, 2:6] == (10, 200, 30)).all()
    (crop,) = crops(picture, np.array([[190, 90, 200, 100]], dtype=np.float32))
    assert not crop.any()


def photograph(seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    noise = random.normal(0, 1, (240, 320, 3)).astype(np.float32)
    smooth = sum(cv2.GaussianBlur(noise, (0, 0), s) * s for s in (2, 6, 20))
    low, high = smooth.min(), smooth.max()
    return np.asarray(20 + 215 * (smooth - low) / (high - low)).astype(np.uint8)


def agreement(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    correlation, coarse = alignment(thumbnail(first), thumbnail(second))
    return correlation, closer_agreement(closer_view(first), closer_view(second), coarse).parts


def test_a_copy_that_was_cut_and_compressed_is_the_same_picture() -> None:
    picture = photograph(0)
    copy = cv2.imdecode(cv2.imencode(".jpg", picture[10:, 12:], [cv2.IMWRITE_JPEG_QUALITY, 40])[1], 1)
    correlation, parts = agreement(picture, cv2.resize(copy, (200, 150)))
    assert correlation >= ALIKE
    assert parts >= SAME_PARTS


def test_one_scene_in_which_something_has_moved_is_alike_but_not_the_same_picture() -> None:
    first = photograph(1)
    second = first.copy()
    second[50:85, 50:85] = photograph(2)[50:85, 50:85]
    second[150:185, 200:235] = photograph(3)[150:185, 200:235]
    correlation, parts = agreement(first, second)
    assert correlation >= ALIKE
    assert parts < SAME_PARTS


def test_other_pictures_are_not_alike() -> None:
    pairs = [(photograph(a), photograph(b)) for a, b in ((0, 1), (2, 3), (4, 5))]
    assert max(agreement(*pair)[0] for pair in pairs) < ALIKE


def test_every_orientation_has_its_own_name() -> None:
    assert len({str(one) for one in ORIENTATIONS}) == 8
