"""How many of the annotated objects proposals cover, and how well (Uijlings et al. 2013, section 4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from detector.boxes import pairwise_iou
from detector.data.index import Index
from detector.visualization.text_table import terminal

COUNTS = (100, 300, 1000, 2000)
THRESHOLDS = (0.5, 0.7, 0.9)


@dataclass(frozen=True)
class Recall:
    """How well the best `counts` proposals of each image cover the objects of a split that are no crowds."""

    counts: tuple[int, ...]
    thresholds: tuple[float, ...]
    recall: np.ndarray
    """[counts, thresholds]: share of the objects that a proposal covers with IoU ≥ the threshold; NaN without objects."""
    abo: dict[str, np.ndarray]
    """Average best overlap by class that has objects, [counts]: the mean over its objects of the best IoU (eq. 7)."""
    mabo: np.ndarray
    """[counts]: mean of the average best overlap over the classes."""
    proposals: float
    """Mean number an image, of all its proposals."""
    objects: int

    def __str__(self) -> str:
        titles = ["proposals", *(f"recall at {threshold:g}" for threshold in self.thresholds), "MABO"]
        rows = [
            [f"{count:,}", *(f"{value:.3f}" for value in recalls), f"{mabo:.3f}"]
            for count, recalls, mabo in zip(self.counts, self.recall, self.mabo, strict=True)
        ]
        return terminal([titles, *rows])


def measure_recall(
    index: Index,
    proposals: Callable[[int], np.ndarray],
    counts: Sequence[int] = COUNTS,
    thresholds: Sequence[float] = THRESHOLDS,
) -> Recall:
    """Measures `proposals`, which gives float32 [P, 4] in original pixels, best first, for the image at a position."""
    overlaps, labels, total = [], [], 0
    for i in range(len(index)):
        boxes = proposals(i)
        total += len(boxes)
        target = index.target(i).without_crowds()
        overlaps.append(best_overlaps(target.boxes.numpy(), boxes, counts))
        labels.append(target.labels.numpy())
    best, classes = np.concatenate(overlaps, axis=1), np.concatenate(labels)
    covered = best[:, :, None] >= np.array(thresholds)
    empty = classes.size == 0
    recall = np.full((len(counts), len(thresholds)), np.nan) if empty else covered.mean(axis=1)
    abo = {name: best[:, classes == k].mean(axis=1) for k, name in enumerate(index.class_names) if (classes == k).any()}
    mabo = np.full(len(counts), np.nan) if empty else np.mean(list(abo.values()), axis=0)
    return Recall(tuple(counts), tuple(thresholds), recall, abo, mabo, total / max(1, len(index)), classes.size)


def best_overlaps(objects: np.ndarray, proposals: np.ndarray, counts: Sequence[int]) -> np.ndarray:
    """float64 [counts, N]: the best IoU of each object [N, 4] with the first so many of proposals [P, 4]; 0 with none."""
    iou = pairwise_iou(torch.from_numpy(objects).double(), torch.from_numpy(proposals).double()).numpy()
    return np.stack([iou[:, :count].max(axis=1, initial=0.0) for count in counts])
