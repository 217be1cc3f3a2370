"""SimOTA (Ge et al. 2021, YOLOX, section 2.1), the simplified form of optimal-transport assignment (Ge et al. 2021, OTA).

The cost of assigning an object to a point is its class loss plus `iou_weight` times its IoU loss, as predicted now. An
object gets its k cheapest points, k being the sum of its ten best IoUs (OTA, section 3.3, "dynamic k estimation").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from detector.assigners.assigner import AssignerOptions, Assignment
from detector.boxes import pairwise_iou
from detector.errors import OptionError
from detector.heads.points import Points
from detector.options import Count, Range, Weight, arguments

OUTSIDE = 1e3
"""Cost of a point that does not lie both in the object and near its centre: taken only where too few do.

Above what other costs come to, and small enough that float32 still tells 0.0001 apart beside it.
"""


@dataclass
class SimOTAAssignerOptions(AssignerOptions):
    """Ge et al. 2021 (YOLOX), section 2.1: the cheapest points near the centre, as many as the object's IoUs add up to."""

    name: str = "simota"
    centre_radius: Annotated[float, Range(0, 1000)] = 2.5
    """Half side of the square around an object's centre, in strides, in which points are preferred."""
    top: Count = 10
    """So many of the best IoUs are added up; no object gets more points."""
    iou_weight: Weight = 3.0
    """Weight of the IoU loss in the cost, beside the class loss."""

    def build(self) -> SimOTAAssigner:
        """The assigner that these options describe."""
        return SimOTAAssigner(**arguments(self))


class SimOTAAssigner:
    """The k cheapest points that lie in an object or within `centre_radius` strides of its centre, 1 ≤ k ≤ `top`."""

    def __init__(self, centre_radius: float = 2.5, top: int = 10, iou_weight: float = 3.0) -> None:
        if top < 1:
            raise OptionError("top", "an object needs a point: at least 1", top)
        self.centre_radius = centre_radius
        self.top = top
        self.iou_weight = iou_weight

    @torch.no_grad()
    def __call__(self, scores: Tensor, boxes: Tensor, points: Points, objects: Tensor, labels: Tensor) -> Assignment:
        """See `Assigner`. The score of a taken pair is its IoU, its weight 1."""
        count, top = objects.shape[0], min(self.top, boxes.shape[0])
        if count == 0:
            nothing, no_scores = labels.new_zeros(0), scores.new_zeros(0, dtype=torch.float32)
            return Assignment(nothing, nothing, no_scores, no_scores)
        objects = objects.float()
        inside, central = self._places(points, objects)  # [N, A] both
        candidate, outside = inside | central, ~(inside & central)
        iou = pairwise_iou(objects, boxes.float()).masked_fill_(~candidate, 0.0)
        cost = _class_cost(scores.float(), labels)
        cost.sub_(iou.clamp(min=1e-8).log_(), alpha=self.iou_weight)
        cost.add_(outside, alpha=OUTSIDE).masked_fill_(~candidate, torch.inf)

        wanted = iou.topk(top, dim=1).values.sum(dim=1).int().clamp(min=1)  # [N]: k
        cheapest = cost.topk(top, dim=1, largest=False)
        taken = torch.arange(top, device=wanted.device) < wanted[:, None]
        taken &= cheapest.values < torch.inf

        chosen = torch.zeros_like(inside).scatter_(1, cheapest.indices, taken)
        owner = cost.masked_fill_(~chosen, torch.inf).argmin(
            dim=0
        )  # [A]: of several objects the one it is cheapest for
        rows = torch.arange(count, device=wanted.device)[:, None].expand(count, top)
        taken &= owner[cheapest.indices] == rows
        target = torch.where(taken, iou.gather(1, cheapest.indices), 0.0)
        return Assignment(cheapest.indices.flatten(), rows.flatten(), target.flatten(), taken.float().flatten())

    def _places(self, points: Points, objects: Tensor) -> tuple[Tensor, Tensor]:
        """bool [N, A] twice: the point lies in the object; it lies in the square around the object's centre."""
        centre = (objects[:, :2] + objects[:, 2:]) / 2
        x, y = points.centres.unbind(dim=1)
        x1, y1, x2, y2 = objects[..., None].unbind(dim=1)
        inside = (x > x1) & (x < x2) & (y > y1) & (y < y2)
        reach = self.centre_radius * points.strides
        return inside, ((x - centre[:, :1]).abs() < reach) & ((y - centre[:, 1:]).abs() < reach)


def _class_cost(scores: Tensor, labels: Tensor) -> Tensor:
    """[A, K] and [N] → [N, A]: binary cross-entropy of all K scores with a target of 1 for the label and 0 for the others.

    −Σ_k log(1 − p_k) over all classes, once a point, and for the label log(1 − p) − log p in place of log(1 − p).
    """
    positive, negative = (-probability.log().clamp(min=-100.0) for probability in (scores, 1 - scores))
    return (positive - negative).T[labels] + negative.sum(dim=1)
