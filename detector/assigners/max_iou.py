"""Assignment by the shape of anchors (Redmon & Farhadi 2018, section 2.1; several anchors an object: YOLOv4).

An object is assigned to the cells that hold its centre, one cell a level, with those of their anchors whose shape is like the
object's: IoU of anchor and object laid on one centre. YOLOv3 takes the one best anchor of all levels, YOLOv4 besides it
all above a threshold (Bochkovskiy et al. 2020, section 4.3, "multiple anchors for a single ground truth").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from detector.assigners.assigner import AssignerOptions, Assignment
from detector.boxes import pairwise_iou
from detector.errors import OptionError
from detector.heads.points import Points
from detector.options import IoU, arguments


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

    @torch.no_grad()
    def __call__(self, scores: Tensor, boxes: Tensor, points: Points, objects: Tensor, labels: Tensor) -> Assignment:
        """See `Assigner`. Scores and weights of taken pairs are 1."""
        assert points.anchors is not None
        count, all_points = objects.shape[0], boxes.shape[0]
        if count == 0:
            nothing, no_scores = labels.new_zeros(0), scores.new_zeros(0, dtype=torch.float32)
            return Assignment(nothing, nothing, no_scores, no_scores)
        objects = objects.float()
        candidates = _cells(points, objects)  # [N, T], T the anchors of all levels
        iou = shape_iou(points.anchors[candidates], (objects[:, 2:] - objects[:, :2])[:, None])
        best = torch.zeros_like(iou, dtype=torch.bool).scatter_(1, iou.argmax(dim=1, keepdim=True), True)
        taken = best | (iou > self.iou_threshold)
        taken &= _wins(candidates, taken, iou + best, all_points)

        pairs = taken.float().flatten()
        rows = torch.arange(count, device=labels.device)[:, None].expand_as(candidates)
        ignored = pairwise_iou(objects, boxes.float()).amax(dim=0) > self.ignore_threshold
        is_taken = torch.zeros_like(ignored, dtype=torch.float32).index_put_((candidates.flatten(),), pairs, True)
        return Assignment(candidates.flatten(), rows.flatten(), pairs, pairs, ignored & (is_taken == 0))


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


def _wins(candidates: Tensor, taken: Tensor, merit: Tensor, all_points: int) -> Tensor:
    """bool [N, T]: of the objects that take a point, the one of the greatest merit; of equal ones the first.

    Through arrays of A points, not N × A pairs.
    """
    count = candidates.shape[0]
    index = candidates.flatten()
    merit = torch.where(taken, merit, -1.0)
    best = merit.new_full((all_points,), -1.0).scatter_reduce_(0, index, merit.flatten(), "amax")
    leads = taken & (merit == best[candidates])
    rows = torch.arange(count, device=candidates.device)[:, None].expand_as(candidates)
    contenders = torch.where(leads, rows, count)
    first = contenders.new_full((all_points,), count).scatter_reduce_(0, index, contenders.flatten(), "amin")
    return leads & (rows == first[candidates])
