"""Task-aligned assignment (Feng et al. 2021, TOOD, section 3.2).

An object is assigned to those points inside it whose predictions are best at both tasks: t = s^α · u^β, s the score
of the object's class, u the IoU of the predicted box with the object.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from detector.assigners.assigner import AssignerOptions, Assignment
from detector.assigners.pairs import (
    Pairs,
    best_of_each_object,
    by_chunks,
    iou_of_pairs,
    pairs_within,
    rows_like,
    wins_its_point,
)
from detector.heads.points import Points
from detector.options import Count, Exponent, arguments
from detector.targets import Objects


@dataclass
class TaskAlignedAssignerOptions(AssignerOptions):
    """Feng et al. 2021 (TOOD), section 3.2: alignment t = s^alpha · u^beta, the best `top` points inside each object."""

    name: str = "task_aligned"
    top: Count = 13
    """Points that are assigned to an object: the best aligned of those inside it."""
    alpha: Exponent = 1.0
    """Exponent of the score of the object's class in the alignment."""
    beta: Exponent = 6.0
    """Exponent of the IoU of the predicted box with the object in the alignment."""

    def build(self) -> TaskAlignedAssigner:
        """The assigner that these options describe."""
        return TaskAlignedAssigner(**arguments(self))


class TaskAlignedAssigner:
    """Assigns each object to the `top` best-aligned points inside it."""

    def __init__(self, top: int = 13, alpha: float = 1.0, beta: float = 6.0) -> None:
        self.top = top
        self.alpha = alpha
        self.beta = beta

    def candidates(self, points: Points, objects: Objects) -> Pairs:
        """The points inside each object."""
        boxes = objects.known.boxes[:, None].astype(np.float64)
        size = boxes[..., 2:] - boxes[..., :2]
        return pairs_within(points, objects, np.maximum(size / 2, _least_half(points)))

    @torch.no_grad()
    def __call__(
        self, scores: Tensor, boxes: Tensor, points: Points, objects: Objects, candidates: Pairs
    ) -> Assignment:
        """See `Assigner`. A pair weighs as much as its score (section 3.2, "training objective")."""
        pairs, classes = candidates, scores.shape[-1]
        iou = iou_of_pairs(pairs, boxes.flatten(0, 1), objects.boxes)
        labels, flat = objects.labels.index_select(0, pairs.objects)[:, None], scores.flatten()

        def rate(blocks: slice) -> Tensor:
            own = (pairs.places[blocks] * classes).add_(labels[blocks])
            alignment = flat.index_select(0, own.flatten()).float().view_as(own).pow_(self.alpha)
            return alignment.mul_(iou[blocks].pow(self.beta)).masked_fill_(pairs.filler[blocks], -torch.inf)

        alignment = by_chunks(pairs, rate)
        best, chosen = best_of_each_object(pairs, alignment, self.top)
        alignment, iou, places = (each.flatten()[best] for each in (alignment, iou, pairs.places))  # [N, top]
        # an ambiguous point takes the object it fits best
        chosen = wins_its_point(places, chosen, iou, scores.shape[0] * scores.shape[1])
        # the best-aligned point of an object gets the object's best IoU as its score (section 3.2, t̂)
        best_alignment = torch.where(chosen, alignment, 0.0).amax(dim=1, keepdim=True)
        best_iou = torch.where(chosen, iou, 0.0).amax(dim=1, keepdim=True)
        target = torch.where(chosen, alignment * (best_iou / best_alignment.clamp(min=1e-12)), 0.0).flatten()
        return Assignment(places.flatten(), rows_like(places).flatten(), target, target)


def _least_half(points: Points) -> float:
    """Half a cell of the lowest level: an object that lies between points is as if it reached the nearest one."""
    return min(level.stride for level in points.levels) / 2
