"""Task-aligned assignment (Feng et al. 2021, TOOD, section 3.2).

An object is assigned to those points inside it whose predictions are best at both tasks: t = s^α · u^β, s the score
of the object's class, u the IoU of the predicted box with the object.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from detector.assigners.assigner import AssignerOptions, Assignment
from detector.boxes import pairwise_iou
from detector.heads.points import Points
from detector.options import Count, Exponent, arguments


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

    @torch.no_grad()
    def __call__(self, scores: Tensor, boxes: Tensor, points: Points, objects: Tensor, labels: Tensor) -> Assignment:
        """See `Assigner`. A pair weighs as much as its score (section 3.2, "training objective")."""
        count, top = objects.shape[0], min(self.top, boxes.shape[0])
        if count == 0:
            nothing = labels.new_zeros(0)
            no_scores = scores.new_zeros(0, dtype=torch.float32)
            return Assignment(nothing, nothing, no_scores, no_scores)
        iou = pairwise_iou(objects.float(), boxes.float())  # [N, A]
        alignment = scores.float().T[labels].pow(self.alpha) * iou.pow(self.beta)
        inside = _inside(points, objects)
        # −1 keeps points outside behind points inside whose alignment is 0
        candidates = torch.where(inside, alignment, -1.0).topk(top, dim=1).indices  # [N, top]

        chosen = torch.zeros_like(inside).scatter_(1, candidates, True) & inside
        owner = torch.where(chosen, iou, -1.0).argmax(dim=0)  # [A]: an ambiguous point takes the object it fits best
        chosen &= owner == torch.arange(count, device=owner.device)[:, None]

        # the best-aligned point of an object gets the object's best IoU as its score (section 3.2, t̂)
        best_alignment = torch.where(chosen, alignment, 0.0).amax(dim=1)
        best_iou = torch.where(chosen, iou, 0.0).amax(dim=1)
        target = alignment * (best_iou / best_alignment.clamp(min=1e-12))[:, None]
        target = torch.where(chosen, target, 0.0).gather(1, candidates).flatten()
        rows = torch.arange(count, device=owner.device)[:, None].expand(count, top)
        return Assignment(candidates.flatten(), rows.flatten(), target, target)


def _inside(points: Points, objects: Tensor) -> Tensor:
    """bool [N, A]: the point lies in the object, or in the one cell of the lowest level that an object smaller than it has."""
    half_cell = points.strides.min() / 2
    centre = (objects[:, :2] + objects[:, 2:]) / 2
    half = torch.maximum((objects[:, 2:] - objects[:, :2]) / 2, half_cell)
    offset = (points.centres[None] - centre[:, None]).abs()
    return (offset <= half[:, None]).all(dim=-1)
