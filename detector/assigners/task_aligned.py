"""Task-aligned assignment (Feng et al. 2021, TOOD, section 3.2).

Of the points inside an object those answer for it whose predictions are best at both tasks: t = s^α · u^β, s the score
of the object's class, u the IoU of the predicted box with the object.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from detector.boxes import pairwise_iou
from detector.heads.points import Points


@dataclass(frozen=True)
class Assignment:
    """M candidate pairs of a point and an object in one image.

    M depends only on the number of objects, so a GPU never has to tell the host how many points were positive: pairs that
    were not taken have score 0. A point has a score above 0 for one object at most.
    """

    points: Tensor
    """int64 [M], index of the point."""
    objects: Tensor
    """int64 [M], index of the object."""
    scores: Tensor
    """float32 [M] in 0..1: the class score that the point should give, and the weight of its box loss."""


class TaskAlignedAssigner:
    """The `top` best-aligned points inside each object answer for it."""

    def __init__(self, top: int = 13, alpha: float = 1.0, beta: float = 6.0) -> None:
        self.top = top
        self.alpha = alpha
        self.beta = beta

    @torch.no_grad()
    def __call__(self, scores: Tensor, boxes: Tensor, points: Points, objects: Tensor, labels: Tensor) -> Assignment:
        """One image.

        Args:
            scores: float [A, K], predicted class scores in 0..1.
            boxes: float [A, 4], predicted boxes.
            points: the A points.
            objects: float [N, 4], annotated boxes; N may be 0.
            labels: int64 [N].
        """
        count, top = objects.shape[0], min(self.top, boxes.shape[0])
        if count == 0:
            nothing = labels.new_zeros(0)
            return Assignment(nothing, nothing, scores.new_zeros(0, dtype=torch.float32))
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
        target = torch.where(chosen, target, 0.0).gather(1, candidates)
        rows = torch.arange(count, device=owner.device)[:, None].expand(count, top)
        return Assignment(candidates.flatten(), rows.flatten(), target.flatten())


def _inside(points: Points, objects: Tensor) -> Tensor:
    """bool [N, A]: the point lies in the object, or in the one cell of the lowest level that an object smaller than it has."""
    half_cell = points.strides.min() / 2
    centre = (objects[:, :2] + objects[:, 2:]) / 2
    half = torch.maximum((objects[:, 2:] - objects[:, :2]) / 2, half_cell)
    offset = (points.centres[None] - centre[:, None]).abs()
    return (offset <= half[:, None]).all(dim=-1)
