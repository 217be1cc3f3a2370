import numpy as np
import pytest

from detector.data.index import AnnotatedObjects, Index, assemble
from detector.data.proposals.recall import measure_recall


def iou(a: np.ndarray, b: np.ndarray) -> float:
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    if (sides <= 0).any():
        return 0.0
    overlap = sides.prod()
    return float(overlap / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - overlap))


def random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    low = rng.uniform(0, 60, (count, 2))
    return np.concatenate([low, low + rng.uniform(8, 40, (count, 2))], axis=1).astype(np.float32)


def index_of(boxes: list[np.ndarray], labels: list[np.ndarray], crowd: list[np.ndarray]) -> Index:
    owners = np.repeat(np.arange(len(boxes)), [len(one) for one in boxes])
    objects = AnnotatedObjects(owners, np.concatenate(boxes), np.concatenate(labels), np.concatenate(crowd), where=str)
    names = ["a", "b", "never there"]
    return assemble(names, [1, 2, 3], range(len(boxes)), [""] * len(boxes), np.full((len(boxes), 2), 100), objects)


def test_recall_and_average_best_overlap_are_those_of_a_loop_over_all_pairs() -> None:
    rng = np.random.default_rng(0)
    boxes = [random_boxes(rng, n) for n in (3, 0, 7, 1)]
    labels = [rng.integers(0, 2, len(one)) for one in boxes]
    crowd = [rng.random(len(one)) < 0.2 for one in boxes]
    proposals = [random_boxes(rng, n) for n in (30, 12, 0, 90)]
    counts, thresholds = (1, 20, 200), (0.3, 0.5)
    found = measure_recall(index_of(boxes, labels, crowd), lambda i: proposals[i], counts, thresholds)

    best: dict[int, list[tuple[int, float]]] = {count: [] for count in counts}
    for i, objects in enumerate(boxes):
        for n, box in enumerate(objects):
            if not crowd[i][n]:
                for count in counts:
                    overlaps = [iou(box, other) for other in proposals[i][:count]]
                    best[count].append((int(labels[i][n]), max(overlaps, default=0.0)))
    assert found.objects == len(best[1])
    assert found.proposals == pytest.approx(33)
    for row, count in enumerate(counts):
        values = np.array([value for _, value in best[count]])
        expected = [(values >= threshold).mean() for threshold in thresholds]
        assert found.recall[row] == pytest.approx(expected)
        classes = [np.mean([v for label, v in best[count] if label == k]) for k in (0, 1)]
        assert [found.abo[name][row] for name in ("a", "b")] == pytest.approx(classes, rel=1e-5)
        assert found.mabo[row] == pytest.approx(np.mean(classes), rel=1e-5)
    assert set(found.abo) == {"a", "b"}


def test_objects_that_are_proposed_are_covered_and_without_objects_there_is_no_recall() -> None:
    rng = np.random.default_rng(1)
    boxes = [random_boxes(rng, 4), random_boxes(rng, 2)]
    labels = [np.zeros(len(one), dtype=np.int64) for one in boxes]
    nobody = [np.zeros(len(one), dtype=bool) for one in boxes]
    index = index_of(boxes, labels, nobody)
    perfect = measure_recall(index, lambda i: index.target(i).boxes.numpy())
    assert (perfect.recall == 1).all()
    assert perfect.mabo == pytest.approx(1.0)
    empty = measure_recall(index_of([boxes[0][:0]], [labels[0][:0]], [nobody[0][:0]]), lambda _: boxes[0])
    assert empty.objects == 0
    assert np.isnan(empty.recall).all()
    assert "nan" in str(empty)
