"""A small evaluation with confusions, missed objects and false detections, and its page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from synthetic_detections import image_difficulty, synthetic_index, synthetic_results

from detector.config.commands import Evaluation
from detector.data.index import Index
from detector.evaluation.evaluate import evaluate
from detector.evaluation.page.page import REPORT, leave_report
from detector.evaluation.results import FlatResults

HOSTILE = "<script>alert(1)</script>"


@dataclass(frozen=True)
class Shown:
    """What was measured, and the folder that holds the page."""

    index: Index
    results: FlatResults
    folder: Path

    @property
    def page(self) -> str:
        return (self.folder / REPORT).read_text(encoding="utf-8")


def noise(image_id: object) -> np.ndarray:
    return np.random.default_rng(int(str(image_id))).integers(0, 255, (640, 640, 3), dtype=np.uint8)


def measured(images: int = 24, classes: int = 4, seed: int = 0) -> tuple[Index, FlatResults]:
    """No crowds; one detection in six has the class after its own, one in five is there a second time, of the class after
    its own; scores have two digits, so that many are equal."""
    index = synthetic_index(images, classes, 6, seed, crowds=0)
    index.class_names = (HOSTILE, *index.class_names[1:])
    index.painter = noise
    results = synthetic_results(index, image_difficulty(index, seed), 0.6, 4, seed)
    random = np.random.default_rng(seed)
    labels = (results.labels + (random.random(len(results.labels)) < 1 / 6)) % classes
    twice = np.concatenate([np.arange(len(labels)), np.arange(0, len(labels), 5)])
    labels = labels[twice]
    labels[len(results.labels) :] = (labels[len(results.labels) :] + 1) % classes
    return index, FlatResults(results.images[twice], labels, results.boxes[twice], np.round(results.scores[twice], 2))


def shown(folder: Path, pictures_mb: float = 10.0, images: int = 24) -> Shown:
    index, results = measured(images)
    options = Evaluation(report_mb=pictures_mb)
    leave_report(folder, index, results, evaluate(index, results), options, "val", f"{HOSTILE}.ckpt")
    return Shown(index, results, folder)


@dataclass(frozen=True)
class ByHand:
    """What a loop over images, classes and detections finds at one score and one IoU."""

    right: list[int]
    wrong: list[int]
    missed: list[int]
    matrix: np.ndarray
    cells: dict[tuple[int, int], set[int]]
    """Images of each cell of the matrix."""
    scores: list[tuple[float, bool]]
    """Of each detection, and whether it is right."""


def by_hand(index: Index, results: FlatResults, score: float, iou: float) -> ByHand:
    k = len(index.class_names)
    right, wrong, missed, matrix = [0] * k, [0] * k, [0] * k, np.zeros((k + 1, k + 1), dtype=int)
    cells: dict[tuple[int, int], set[int]] = {}
    scores: list[tuple[float, bool]] = []

    def add(row: int, column: int, image: int) -> None:
        matrix[row, column] += 1
        cells.setdefault((row, column), set()).add(image)

    objects = index.annotations
    for image in range(len(index)):
        own = [n for n in range(len(objects)) if objects.owners[n] == image]
        rows = [d for d in range(len(results.scores)) if results.images[d] == image and results.scores[d] >= score]
        rows.sort(key=lambda d: -results.scores[d])  # of equal scores the first one stays first
        left, free = set(own), []
        for d in rows:
            fitting = {
                n: overlap
                for n in left
                if objects.labels[n] == results.labels[d]
                and (overlap := overlap_of(objects.boxes[n], results.boxes[d])) >= iou
            }
            scores.append((float(results.scores[d]), bool(fitting)))
            if fitting:
                left.remove(max(fitting, key=lambda n: fitting[n]))
                right[results.labels[d]] += 1
                add(results.labels[d], results.labels[d], image)
            else:
                wrong[results.labels[d]] += 1
                free.append(d)
        for n in left:
            missed[objects.labels[n]] += 1
        for d in free:
            fitting = {n: overlap_of(objects.boxes[n], results.boxes[d]) for n in left}
            fitting = {n: one for n, one in fitting.items() if one >= iou and objects.labels[n] != results.labels[d]}
            if fitting:
                best = max(fitting, key=lambda n: fitting[n])
                left.remove(best)
                add(objects.labels[best], results.labels[d], image)
            else:
                add(k, results.labels[d], image)
        for n in left:
            add(objects.labels[n], k, image)
    return ByHand(right, wrong, missed, matrix, cells, scores)


def overlap_of(first: np.ndarray, second: np.ndarray) -> float:
    """IoU of two boxes, x, y, width, height."""
    low = np.maximum(first[:2], second[:2])
    high = np.minimum(first[:2] + first[2:], second[:2] + second[2:])
    inside = float(np.prod(np.maximum(high - low, 0)))
    return inside / (float(np.prod(first[2:]) + np.prod(second[2:])) - inside)
