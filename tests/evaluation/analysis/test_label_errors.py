from __future__ import annotations

from collections import Counter

import numpy as np

from detector.data.index import AnnotatedObjects, Index, assemble
from detector.evaluation.analysis import Analysis, analyse
from detector.evaluation.analysis.label_errors import looked_at_again
from detector.evaluation.results import FlatResults


def planted() -> tuple[Index, FlatResults, dict[str, set[int]]]:
    """30 images with four objects each, detected well; then annotations of four images are spoilt in each of four ways.

    In four more the detector takes an object for two classes; the annotations are right.
    """
    random = np.random.default_rng(0)
    images = 30
    owners = np.repeat(np.arange(images), 4)
    corners = np.tile([[10, 10], [110, 10], [10, 110], [110, 110]], (images, 1)) + random.uniform(
        0, 20, (4 * images, 2)
    )
    boxes = np.column_stack([corners, random.uniform(40, 60, (4 * images, 2))])
    labels = random.integers(0, 3, 4 * images)
    found = boxes + random.normal(0, 1, boxes.shape)
    also = np.array([4 * image for image in (21, 22, 23, 24)])  # found as they are, and as another class beside that
    results = FlatResults(
        np.append(owners, owners[also]),
        np.append(labels, (labels[also] + 1) % 3),
        np.concatenate([found, found[also]]),
        np.append(random.uniform(0.6, 1, len(boxes)), np.full(4, 0.95)),
    )
    spoilt = {
        "missing annotation": {1, 2, 3, 4},
        "wrong class": {6, 7, 8, 9},
        "duplicate annotation": {11, 12, 13, 14},
        "two classes": {16, 17, 18, 19},
    }
    first = {kind: np.array([4 * image for image in sorted(some)]) for kind, some in spoilt.items()}
    labels[first["wrong class"]] = (labels[first["wrong class"]] + 1) % 3
    again = np.concatenate([first["duplicate annotation"], first["two classes"]])
    second_labels = np.concatenate([labels[first["duplicate annotation"]], (labels[first["two classes"]] + 1) % 3])
    kept = np.setdiff1d(np.arange(len(boxes)), first["missing annotation"])
    written = np.concatenate([boxes[kept], boxes[again] + 0.5])
    index = assemble(
        ("a", "b", "c"),
        (1, 2, 3),
        range(images),
        [""] * images,
        np.full((images, 2), 200),
        AnnotatedObjects(
            np.concatenate([owners[kept], owners[again]]),
            np.concatenate([written[:, :2], written[:, :2] + written[:, 2:]], axis=1),
            np.concatenate([labels[kept], second_labels]),
            np.zeros(len(written), dtype=bool),
            str,
            written=written,
        ),
    )
    return index, results, spoilt


def test_planted_errors_are_found_and_nothing_else() -> None:
    index, results, spoilt = planted()
    found = analyse(index, results)
    images: dict[str, set[int]] = {}
    for one in found.suspicions:
        images.setdefault(one.kind, set()).add(one.image)
    assert images == spoilt
    assert Counter(one.kind for one in found.suspicions) == dict.fromkeys(spoilt, 4)
    _are_about_what_they_say(found)


def _are_about_what_they_say(found: Analysis) -> None:
    labels, owners = found.matched.object_labels, found.matched.owners
    for one in found.suspicions:
        if one.kind == "wrong class":
            assert one.detection is not None
            assert one.object is not None
            assert labels[one.object] == (found.matched.labels[one.detection] + 1) % 3
            assert one.iou is not None
            assert one.iou > 0.7
        if one.object is not None and one.other_object is not None:
            assert owners[one.object] == owners[one.other_object] == one.image
            assert (labels[one.object] == labels[one.other_object]) == (one.kind == "duplicate annotation")
    missing = [one.score for one in found.suspicions if one.kind == "missing annotation"]
    assert missing == sorted(missing, reverse=True)  # type: ignore[type-var]


def test_what_is_seen_in_another_view_too_is_stable_and_comes_first() -> None:
    index, results, spoilt = planted()
    found = analyse(index, results)
    assert {one.stable for one in found.suspicions} == {None}
    asked: list[int] = []

    def look(images: np.ndarray) -> FlatResults:
        """As before, but for images 1, 2 and 3, 6: elsewhere, unsure and of another class, gone."""
        asked.extend(images.tolist())
        boxes, scores, labels = results.boxes.copy(), results.scores.copy(), results.labels.copy()
        boxes[results.images == 1, 0] += 30
        scores[results.images == 2] = 0.01
        labels[results.images == 3] = (labels[results.images == 3] + 1) % 3
        kept = np.isin(results.images, images) & (results.images != 6)
        return FlatResults(results.images[kept], labels[kept], boxes[kept], scores[kept])

    again = looked_at_again(found.suspicions, found.matched, found.by_class, look)
    assert asked == sorted(spoilt["missing annotation"] | spoilt["wrong class"])
    by_kind = {kind: [one for one in again if one.kind == kind] for kind in spoilt}
    assert {one.image: one.stable for one in by_kind["missing annotation"]} == {1: False, 2: False, 3: False, 4: True}
    assert {one.image: one.stable for one in by_kind["wrong class"]} == {6: False, 7: True, 8: True, 9: True}
    assert by_kind["missing annotation"][0].image == 4
    assert by_kind["wrong class"][-1].image == 6
    for kind in ("duplicate annotation", "two classes"):
        assert by_kind[kind] == [one for one in found.suspicions if one.kind == kind]
    assert [one.kind for one in again] == [one.kind for one in found.suspicions]
