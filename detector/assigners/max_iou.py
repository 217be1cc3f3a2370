"""Assignment by the shape of anchors (Redmon & Farhadi 2018, section 2.1; several anchors an object: YOLOv4).

An object is assigned to the cells that hold its centre, one cell a level, with those of their anchors whose shape is like the
object's: IoU of anchor and object laid on one centre. YOLOv3 takes the one best anchor of all levels, YOLOv4 besides it
all above a threshold (Bochkovskiy et al. 2020, section 4.3, "multiple anchors for a single ground truth").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from detector.assigners.assigner import AssignerOptions, Assignment
from detector.assigners.pairs import Pairs, iou_of_pairs, pairs_within, rows_like, wins_its_point
from detector.errors import OptionError
from detector.heads.points import Points
from detector.options import IoU, arguments
from detector.targets import Objects

SLACK = 1e-3
"""Strides by which the host looks further than what may overlap, as predictions are rounded."""


@dataclass
class MaxIoUAssignerOptions(AssignerOptions):
    """Anchors whose shape is like the object's (Redmon & Farhadi 2018, section 2.1); only for heads with anchors."""

    needs_anchors: ClassVar[bool] = True

    name: str = "max_iou"
    iou_threshold: IoU = 0.213
    """Besides the best anchor, those whose shape has a larger IoU with the object (as in YOLOv4; 1: the best alone)."""
    ignore_threshold: IoU = 0.7
    """Other predictions that overlap an object by more are not taught that nothing is there."""

    def build(self) -> MaxIoUAssigner:
        """The assigner that these options describe."""
        return MaxIoUAssigner(**arguments(self))


@dataclass(frozen=True)
class Candidates:
    """What the assigner looks at."""

    cells: Tensor
    """int64 [N, T]: the points of the cell, on each level, in which each object has its centre."""
    near: Pairs
    """The pairs that may overlap by more than `ignore_threshold`."""


class MaxIoUAssigner:
    """Every anchor above `iou_threshold` and the best one. Only for heads with anchors.

    A prediction elsewhere that overlaps an object by more than `ignore_threshold` is no mistake: it is ignored.
    """

    def __init__(self, iou_threshold: float = 0.213, ignore_threshold: float = 0.7) -> None:
        for key, value in (("iou_threshold", iou_threshold), ("ignore_threshold", ignore_threshold)):
            if not 0 <= value <= 1:
                raise OptionError(key, "an IoU lies from 0 to 1", f"{value:g}")
        self.iou_threshold = iou_threshold
        self.ignore_threshold = ignore_threshold

    def candidates(self, points: Points, objects: Objects) -> Candidates:
        """The cells with the objects' centres, and the points whose predictions can overlap an object by enough.

        Two boxes of IoU t have one of t or more in each direction alone. So one is at most 1/t times as wide as the other, and
        their centres are at most (1/t − 1) / 2 of the width of either apart.
        """
        boxes = objects.known.boxes[:, None].astype(np.float64)
        shift = (1 / self.ignore_threshold - 1) / 2 if self.ignore_threshold else np.inf
        reach = np.array([[(level.reach + SLACK) * level.stride] for level in points.levels])
        near = pairs_within(
            points, objects, np.nan_to_num((boxes[..., 2:] - boxes[..., :2]) * shift, nan=np.inf) + reach
        )
        return Candidates(_cells(points, objects.boxes), near)

    @torch.no_grad()
    def __call__(
        self, scores: Tensor, boxes: Tensor, points: Points, objects: Objects, candidates: Candidates
    ) -> Assignment:
        """See `Assigner`. Scores and weights of taken pairs are 1."""
        assert points.anchors is not None
        all_places = boxes.shape[0] * boxes.shape[1]
        cells, near = candidates.cells, candidates.near
        iou = shape_iou(points.anchors[cells], (objects.boxes[:, 2:] - objects.boxes[:, :2])[:, None])
        best = torch.zeros_like(iou, dtype=torch.bool).scatter(1, iou.argmax(dim=1, keepdim=True), True)
        taken = objects.trained[:, None] & (best | (iou > self.iou_threshold))
        places = torch.where(objects.trained, objects.images * boxes.shape[1], 0)[:, None] + cells
        taken = wins_its_point(places, taken, iou + best, all_places)
        pairs = taken.float().flatten()

        overlap = iou_of_pairs(near, boxes.flatten(0, 1), objects.boxes).flatten()
        nothing = overlap.new_zeros(all_places)
        largest = nothing.scatter_reduce(0, near.places.flatten(), overlap, "amax")
        is_taken = nothing.scatter_reduce(0, places.flatten(), pairs, "amax") > 0
        return Assignment(
            places.flatten(), rows_like(places).flatten(), pairs, pairs, (largest > self.ignore_threshold) & ~is_taken
        )


def shape_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of boxes laid on one centre: broadcastable (width, height) [..., 2] → [...]."""
    overlap = torch.minimum(a, b).prod(dim=-1)
    union = a.prod(dim=-1) + b.prod(dim=-1) - overlap
    return overlap / union.clamp(min=torch.finfo(union.dtype).tiny)


def _cells(points: Points, objects: Tensor) -> Tensor:
    """int64 [N, T]: the points of the cell, on each level, in which each object has its centre."""
    centres = (objects[:, :2] + objects[:, 2:]) / 2
    indices = []
    for level in points.levels:
        # a centre on the image's right or lower edge belongs to the last cell
        column = (centres[:, 0] / level.stride).long().clamp(0, level.columns - 1)
        row = (centres[:, 1] / level.stride).long().clamp(0, level.rows - 1)
        cell = level.first + (row * level.columns + column) * level.per_cell
        indices.append(cell[:, None] + torch.arange(level.per_cell, device=objects.device))
    return torch.cat(indices, dim=1)
