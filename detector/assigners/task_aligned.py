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
from detector.assigners.pairs import Pairs, best_of_each_object, pairs_within, wins_its_point
from detector.boxes import aligned_iou
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
        size = objects.known.boxes[:, None, 2:] - objects.known.boxes[:, None, :2]
        return pairs_within(points, objects, np.maximum(size / 2, _least_half(points)))

    @torch.no_grad()
    def __call__(
        self, scores: Tensor, boxes: Tensor, points: Points, objects: Objects, candidates: Pairs
    ) -> Assignment:
        """See `Assigner`. A pair weighs as much as its score (section 3.2, "training objective")."""
        pairs = candidates
        object_boxes = objects.boxes.index_select(0, pairs.objects)
        iou = aligned_iou(object_boxes, boxes.float().flatten(0, 1).index_select(0, pairs.places), eps=0.0)
        score = scores.flatten(0, 1)[pairs.places, objects.labels[pairs.objects]].float()
        alignment = score.pow(self.alpha) * iou.pow(self.beta)
        offset = (points.centres.index_select(0, pairs.points) - (object_boxes[:, :2] + object_boxes[:, 2:]) / 2).abs()
        half = ((object_boxes[:, 2:] - object_boxes[:, :2]) / 2).clamp(min=_least_half(points))
        inside = pairs.valid & (offset <= half).all(dim=-1)

        best, chosen = best_of_each_object(pairs, torch.where(inside, alignment, -torch.inf), self.top)
        alignment, iou, places = alignment[best], iou[best], pairs.places[best]  # [N, top]
        # an ambiguous point takes the object it fits best
        chosen = wins_its_point(places, chosen, iou, scores.shape[0] * scores.shape[1])
        # the best-aligned point of an object gets the object's best IoU as its score (section 3.2, t̂)
        best_alignment = torch.where(chosen, alignment, 0.0).amax(dim=1, keepdim=True)
        best_iou = torch.where(chosen, iou, 0.0).amax(dim=1, keepdim=True)
        target = torch.where(chosen, alignment * (best_iou / best_alignment.clamp(min=1e-12)), 0.0).flatten()
        return Assignment(places.flatten(), pairs.objects[best].flatten(), target, target)


def _least_half(points: Points) -> float:
    """Half a cell of the lowest level: an object that lies between points is as if it reached the nearest one."""
    return min(level.stride for level in points.levels) / 2
