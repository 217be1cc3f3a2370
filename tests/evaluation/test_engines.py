"""Both engines on hard cases: every precision, recall and score, and what became of each detection."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.data.index import AnnotatedObjects, Index, assemble
from detector.evaluation import coco
from detector.evaluation.coco import evaluation
from detector.evaluation.evaluate import evaluate
from detector.evaluation.results import FlatResults

SHARES = np.append(np.arange(50, 100, 5) / 100, 1.0)
AREAS = [1024.0, 9216.0, 1024.0000000000002, 9216.000000000002, 1e10, 1.0000000000000002e10]
"""Ends of COCO's ranges, which belong to both sides, and the next numbers above."""


def hard_case(seed: int) -> tuple[Index, FlatResults]:
    """A few images and classes, some of them empty: boxes over the edge, without width, twice the same; many crowds;
    areas at the ends of the ranges; detections that cover exactly a threshold of an object, equal scores, hundreds of
    detections of a class in an image."""
    random = np.random.default_rng(seed)
    images, classes, objects = (int(n) for n in random.integers((1, 1, 0), (5, 4, 16)))
    boxes = np.concatenate([random.uniform(-20, 110, (objects, 2)), random.uniform(0, 120, (objects, 2))], axis=1)
    kind = random.integers(0, 3, objects)
    boxes[kind == 1] = 8.0 * random.integers(0, 13, (objects, 4))[kind == 1]
    boxes[kind == 2] = boxes[kind == 2].round(2)
    boxes[random.random(objects) < 0.05, 2] = 0
    boxes[random.random(objects) < 0.03, 3] *= -1
    if objects > 2 and random.random() < 0.4:
        boxes[1] = boxes[0]
    area = boxes[:, 2] * boxes[:, 3] * random.choice([0.7, 1, 1], objects)
    area = np.where(random.random(objects) < 0.5, random.choice(AREAS, objects), area)
    owners, labels = random.integers(0, images, objects), random.integers(0, classes, objects)
    written = AnnotatedObjects(
        owners=owners,
        boxes=np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1),
        labels=labels,
        crowd=random.random(objects) < random.choice([0, 0.2, 0.6]),
        where=str,
        area=area,
        written=boxes,
    )
    ids = random.permutation(50)
    index = assemble(
        [f"class {k}" for k in range(classes)],
        ids[:classes].tolist(),
        ids[-images:].tolist(),
        [""] * images,
        np.full((images, 2), 100),
        written,
    )
    found = int(random.integers(100, 400) if random.random() < 0.08 else random.integers(0, 40))
    of = random.integers(0, objects, found) if objects else np.zeros(0, dtype=np.int64)
    found = len(of)
    detected = boxes[of]
    share, how = random.choice(SHARES, found), random.integers(0, 5, found)
    detected[how == 0, 2] *= share[how == 0]
    detected[how == 1, 3] *= share[how == 1]
    detected[how == 2, :2] += random.uniform(-3, 3, (found, 2))[how == 2]
    detected[how == 3, 0] += (detected[:, 2] * (1 - share))[how == 3]
    detected[:, 2:] = np.maximum(detected[:, 2:], 0)
    elsewhere = random.random((2, found)) < 0.1
    scores = random.choice([0.1, 0.5, 0.5, 0.9, -1.0, 0.0, 2.0], found)
    return index, FlatResults(
        images=np.where(elsewhere[0], random.integers(0, images, found), owners[of]),
        labels=np.where(elsewhere[1], random.integers(0, classes, found), labels[of]),
        boxes=detected,
        scores=np.where(scores == 2, random.random(found), scores),
    )


def measured(index: Index, results: FlatResults, engine: str) -> Any:
    one = evaluation(index, results, engine, keep_matches=True)
    with contextlib.redirect_stdout(io.StringIO()):
        one.evaluate()
        one.accumulate()
        one.summarize()
    return one


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32))
def test_every_number_and_every_match_is_that_of_pycocotools(seed: int) -> None:
    index, results = hard_case(seed)
    ours, theirs = (measured(index, results, engine) for engine in ("ultrafast", "pycocotools"))
    for name in ("precision", "recall", "scores"):
        np.testing.assert_array_equal(ours.eval[name], theirs.eval[name], err_msg=name)
    assert ours.stats.tolist() == theirs.stats.tolist()
    assert len(ours.evalImgs) == len(theirs.evalImgs) == len(index) * len(index.class_names) * 4
    for mine, one in zip(ours.evalImgs, theirs.evalImgs, strict=True):
        assert (mine is None) == (one is None)
        if one is not None:
            assert (mine["dtIds"], mine["gtIds"], mine["dtScores"]) == (one["dtIds"], one["gtIds"], one["dtScores"])
            for name in ("dtMatches", "gtMatches", "dtIgnore", "gtIgnore"):
                np.testing.assert_array_equal(mine[name], np.reshape(one[name], np.shape(mine[name])), err_msg=name)


def test_hard_cases_have_what_makes_them_hard() -> None:
    cases = [hard_case(seed) for seed in range(200)]
    assert any(len(index.annotations) == 0 for index, _ in cases)
    assert any(len(results.scores) == 0 for _, results in cases)
    crowds = sum(index.annotations.crowd.sum() for index, _ in cases)
    assert crowds > 100
    fullest = max(
        np.unique(results.images * 10 + results.labels, return_counts=True)[1].max(initial=0) for _, results in cases
    )
    assert fullest > 100
    assert all(any(area in index.annotations.area for index, _ in cases) for area in AREAS)


def test_the_reference_is_run_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    index, results = hard_case(3)
    expected = evaluate(index, results)
    assert expected["AP"] is not None
    runs: list[int] = []
    reference = coco.COCOeval

    def counted(*given: Any, **named: Any) -> Any:
        runs.append(1)
        return reference(*given, **named)

    monkeypatch.setattr(coco, "COCOeval", counted)
    assert evaluate(index, results) == expected
    assert not runs
    assert evaluate(index, results, "pycocotools") == expected
    assert runs
