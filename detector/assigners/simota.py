"""SimOTA (Ge et al. 2021, YOLOX, section 2.1), the simplified form of optimal-transport assignment (Ge et al. 2021, OTA).

The cost of assigning an object to a point is its class loss plus `iou_weight` times its IoU loss, as predicted now. An
object gets its k cheapest points, k being the sum of its ten best IoUs (OTA, section 3.3, "dynamic k estimation").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from detector.assigners.assigner import AssignerOptions, Assignment
from detector.assigners.pairs import Pairs, best_of_each_object, pairs_within, wins_its_point
from detector.boxes import aligned_iou
from detector.errors import OptionError
from detector.heads.points import Points
from detector.options import Count, Range, Weight, arguments
from detector.targets import Objects

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

    def candidates(self, points: Points, objects: Objects) -> Pairs:
        """The points that lie in each object or near its centre."""
        half = (objects.known.boxes[:, None, 2:] - objects.known.boxes[:, None, :2]) / 2
        near = np.array([[self.centre_radius * level.stride] for level in points.levels])
        return pairs_within(points, objects, np.maximum(half, near))

    @torch.no_grad()
    def __call__(
        self, scores: Tensor, boxes: Tensor, points: Points, objects: Objects, candidates: Pairs
    ) -> Assignment:
        """See `Assigner`. The score of a taken pair is its IoU, its weight 1."""
        pairs = candidates
        object_boxes = objects.boxes.index_select(0, pairs.objects)
        inside, central = self._places(points, pairs, object_boxes)
        candidate = pairs.valid & (inside | central)
        iou = aligned_iou(object_boxes, boxes.float().flatten(0, 1).index_select(0, pairs.places), eps=0.0)
        iou = torch.where(candidate, iou, 0.0)
        cost = _class_cost(scores.float().flatten(0, 1), pairs.places, objects.labels[pairs.objects])
        cost = cost - self.iou_weight * iou.clamp(min=1e-8).log() + OUTSIDE * ~(inside & central)
        cost = torch.where(candidate, cost, torch.inf)

        overlapping, there = best_of_each_object(pairs, iou, self.top)
        wanted = torch.where(there, iou[overlapping], 0.0).sum(dim=1).int().clamp(min=1)  # [N]: k
        cheapest, taken = best_of_each_object(pairs, -cost, self.top)  # [N, top]
        taken = taken & (torch.arange(self.top, device=wanted.device) < wanted[:, None])
        places = pairs.places[cheapest]
        # of several objects a point takes the one it is cheapest for
        taken = wins_its_point(places, taken, -cost[cheapest], scores.shape[0] * scores.shape[1])
        target = torch.where(taken, iou[cheapest], 0.0)
        return Assignment(
            places.flatten(), pairs.objects[cheapest].flatten(), target.flatten(), taken.float().flatten()
        )

    def _places(self, points: Points, pairs: Pairs, objects: Tensor) -> tuple[Tensor, Tensor]:
        """bool [P] twice: the point lies in the object; it lies in the square around the object's centre."""
        centre = points.centres.index_select(0, pairs.points)
        inside = ((centre > objects[:, :2]) & (centre < objects[:, 2:])).all(dim=-1)
        reach = self.centre_radius * points.strides.index_select(0, pairs.points)[:, None]
        return inside, ((centre - (objects[:, :2] + objects[:, 2:]) / 2).abs() < reach).all(dim=-1)


def _class_cost(scores: Tensor, places: Tensor, labels: Tensor) -> Tensor:
    """Scores [B · A, K], places [P] and labels [P] → [P]: binary cross-entropy of the K scores of a place.

    The target is 1 for the label and 0 for the others: −Σ_k log(1 − p_k) over all classes, once a place, and for the label
    log(1 − p) − log p in place of log(1 − p). Pairs share places, and yet there may be fewer pairs than places.
    """
    few = not torch.compiler.is_compiling() and len(places) < len(scores)
    seen = scores.index_select(0, places) if few else scores
    nothing = (1 - seen).log_().clamp_(min=-100.0).sum(dim=1)
    own = scores[places, labels]
    return (1 - own).log().clamp(min=-100.0) - own.log().clamp(min=-100.0) - (nothing if few else nothing[places])
