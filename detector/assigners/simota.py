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
from detector.assigners.cells import Cells, both, cells_between, either
from detector.assigners.pairs import Pairs, best_of_each_object, iou_of_pairs, pairs_of, rows_like, wins_its_point
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


@dataclass(frozen=True)
class Candidates:
    """What the assigner looks at."""

    all: Pairs
    """The pairs whose IoUs are added up."""
    possible: Pairs
    """The pairs that may be taken: a part of all."""


class SimOTAAssigner:
    """The k cheapest points that lie in an object or within `centre_radius` strides of its centre, 1 ≤ k ≤ `top`."""

    def __init__(self, centre_radius: float = 2.5, top: int = 10, iou_weight: float = 3.0) -> None:
        if top < 1:
            raise OptionError("top", "an object needs a point: at least 1", top)
        self.centre_radius = centre_radius
        self.top = top
        self.iou_weight = iou_weight

    def candidates(self, points: Points, objects: Objects) -> Candidates:
        """The points that lie in each object or near its centre, and those that it may get.

        An object with enough points both in it and near its centre gets no other, as these cost less.
        """
        boxes = objects.known.boxes[:, None].astype(np.float64)
        low, high = boxes[..., :2], boxes[..., 2:]
        near = np.array([[self.centre_radius * level.stride] for level in points.levels])
        centre = (low + high) / 2
        inside = cells_between(points, low + 0 * near, high + 0 * near, borders=False)
        central = cells_between(points, centre - near, centre + near, borders=False)
        all_cells, best_cells = either(inside, central), both(inside, central)
        enough = (best_cells.points(points.levels) >= self.top)[:, None, None, None]
        # one rectangle in place of three
        possible = Cells(
            np.where(enough, best_cells.low, all_cells.low),
            np.where(
                enough & (np.arange(3)[:, None] > 0),
                best_cells.low - 1,
                np.where(enough, best_cells.high, all_cells.high),
            ),
        )
        return Candidates(pairs_of(points, objects, all_cells), pairs_of(points, objects, possible))

    @torch.no_grad()
    def __call__(
        self, scores: Tensor, boxes: Tensor, points: Points, objects: Objects, candidates: Candidates
    ) -> Assignment:
        """See `Assigner`. The score of a taken pair is its IoU, its weight 1."""
        boxes = boxes.flatten(0, 1)
        overlap = iou_of_pairs(candidates.all, boxes, objects.boxes)
        overlap.masked_fill_(candidates.all.filler, -torch.inf)
        overlapping, there = best_of_each_object(candidates.all, overlap, self.top)
        wanted = torch.where(there, overlap.flatten()[overlapping], 0.0).sum(dim=1).int().clamp(min=1)  # [N]: k

        pairs = candidates.possible
        iou = iou_of_pairs(pairs, boxes, objects.boxes)
        cost = _class_cost(scores.float().flatten(0, 1), pairs, objects.labels)
        cost = cost - self.iou_weight * iou.clamp(min=1e-8).log() + OUTSIDE * ~self._best_place(points, pairs, objects)
        cost = cost.masked_fill(pairs.filler, torch.inf)
        cheapest, taken = best_of_each_object(pairs, -cost, self.top)  # [N, top]
        taken = taken & (torch.arange(self.top, device=wanted.device) < wanted[:, None])
        cost, iou, places = (each.flatten()[cheapest] for each in (cost, iou, pairs.places))
        # of several objects a point takes the one it is cheapest for
        taken = wins_its_point(places, taken, -cost, scores.shape[0] * scores.shape[1])
        target = torch.where(taken, iou, 0.0)
        return Assignment(places.flatten(), rows_like(places).flatten(), target.flatten(), taken.float().flatten())

    def _best_place(self, points: Points, pairs: Pairs, objects: Objects) -> Tensor:
        """bool [Q, BLOCK]: the point lies in the object and in the square around the object's centre."""
        point = pairs.places % len(points.strides)
        x, y = (points.centres[:, axis][point] for axis in (0, 1))
        x1, y1, x2, y2 = objects.boxes.index_select(0, pairs.objects)[..., None].unbind(1)
        reach = self.centre_radius * points.strides[point]
        inside = (x > x1) & (x < x2) & (y > y1) & (y < y2)
        return inside & ((x - (x1 + x2) / 2).abs() < reach) & ((y - (y1 + y2) / 2).abs() < reach)


def _class_cost(scores: Tensor, pairs: Pairs, labels: Tensor) -> Tensor:
    """Scores [B · A, K] and labels [N] → [Q, BLOCK]: binary cross-entropy of the K scores of a place.

    The target is 1 for the label and 0 for the others: −Σ_k log(1 − p_k) over all classes, once a place, and for the label
    log(1 − p) − log p in place of log(1 − p). Pairs share places, and yet there may be fewer pairs than places.
    """
    places = pairs.places
    few = not torch.compiler.is_compiling() and places.numel() < len(scores)
    seen = scores.index_select(0, places.flatten()) if few else scores
    nothing = (1 - seen).log_().clamp_(min=-100.0).sum(dim=1)
    own = scores[places, labels.index_select(0, pairs.objects)[:, None]]
    of_others = nothing.view_as(places) if few else nothing[places]
    return (1 - own).log().clamp(min=-100.0) - own.log().clamp(min=-100.0) - of_others
