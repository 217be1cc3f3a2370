"""Pairs of an object and a point near it: all that an assigner has to look at, in place of every object with every point.

Which pairs these are depends on annotated boxes alone. Those are in the host's memory, where their number is found without
waiting for the device; what is on the device then has the shape that the host has said.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from detector.heads.points import Points
from detector.targets import Objects, few_sizes

SLACK = 1e-3
"""Cells by which the host looks further than asked, so that no rounding there leaves a pair out."""


@dataclass(frozen=True)
class Pairs:
    """P pairs of an object with a point of its image: those of an object one after the other, at last fillers."""

    objects: Tensor
    """int64 [P], row of the object."""
    points: Tensor
    """int64 [P], index of the point in its image."""
    places: Tensor
    """int64 [P], index of the point among those of all images: image · A + point."""
    valid: Tensor
    """bool [P]: no filler."""
    first: Tensor
    """int64 [N], where an object's pairs begin."""
    count: Tensor
    """int64 [N], their number."""


def pairs_within(points: Points, objects: Objects, reach: np.ndarray) -> Pairs:
    """Every trained object with at least all points whose distance from its centre is within `reach` in both directions.

    On a level these are rows of neighbouring cells, and so, anchors included, runs of consecutive points.

    Args:
        points: the A points of an image.
        objects: the objects of a batch.
        reach: float [N, L, 2], largest |x| and |y| between centre and point on each level, in pixels.
    """
    known, levels = objects.known, points.levels
    centre = (known.boxes[:, None, :2] + known.boxes[:, None, 2:]) / 2
    stride = np.array([level.stride for level in levels], dtype=np.float64)[:, None]
    last = np.array([(level.columns, level.rows) for level in levels]) - 1.0
    low = np.ceil(np.clip((centre - reach) / stride - 0.5 - SLACK, 0, last + 1)).astype(np.int64)
    high = np.floor(np.clip((centre + reach) / stride - 0.5 + SLACK, -1, last)).astype(np.int64)
    columns, rows = np.moveaxis(np.maximum(high - low + 1, 0) * known.trained[:, None, None], -1, 0)  # [N, L] each
    a_cell, a_row, begin = np.array([(one.per_cell, one.columns * one.per_cell, one.first) for one in levels]).T
    ends = np.cumsum(columns * rows * a_cell)
    start = np.concatenate([[0], ends[:-1]])
    runs = np.stack(
        [
            ends,
            start,
            (begin + low[..., 1] * a_row + low[..., 0] * a_cell).ravel(),
            np.maximum(columns * a_cell, 1).ravel(),
            (a_row - columns * a_cell).ravel(),
            np.arange(columns.size) // len(levels),
        ]
    )
    return _listed(
        torch.from_numpy(runs), int(ends[-1]), objects, sum(one.rows * one.columns * one.per_cell for one in levels)
    )


def _listed(runs: Tensor, number: int, objects: Objects, all_points: int) -> Pairs:
    """Writes the pairs out, on the device.

    Args:
        runs: int64 [6, N · L], of each object and level where its pairs end and begin in the list, the first point, the
            number of consecutive points, how many points there are from their end to the next ones, and the object.
        number: of all pairs.
    """
    device, count = objects.boxes.device, len(objects.boxes)
    runs = runs.pin_memory().to(device, non_blocking=True) if objects.boxes.is_cuda else runs.to(device)
    place = torch.arange(few_sizes(number), device=device)
    valid = place < number
    run = torch.searchsorted(runs[0], place, right=True).clamp_(max=runs.shape[1] - 1)
    start, first, together, gap, rows = (row.index_select(0, run) for row in runs[1:])
    offset = place - start
    points = torch.where(valid, first + offset + offset // together * gap, 0)
    places = torch.where(valid, objects.images.index_select(0, rows) * all_points + points, 0)
    begin, end = runs[1].view(count, -1)[:, 0], runs[0].view(count, -1)[:, -1]
    return Pairs(rows, points, places, valid, begin, end - begin)


def best_of_each_object(pairs: Pairs, merit: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """The `number` pairs of each object that have the greatest merit, best first, of equal ones the earlier.

    Args:
        pairs: P pairs of N objects.
        merit: float32 [P]; −∞ for a pair that must not be taken.

    Returns:
        int64 [N, number], indices of pairs, and bool [N, number]: there is such a pair.
    """
    bits = merit.view(torch.int32)
    bits = bits ^ ((bits >> 31) & 0x7FFFFFFF)  # integers in the order of the floats that they are the bits of
    order = ((pairs.objects << 32) - bits).argsort(stable=True)
    rank = torch.arange(number, device=merit.device)
    best = order[(pairs.first[:, None] + rank).clamp(max=len(merit) - 1)]
    return best, (rank < pairs.count[:, None]) & (merit[best] > -torch.inf)


def wins_its_point(places: Tensor, taken: Tensor, merit: Tensor, all_places: int) -> Tensor:
    """The object of the greatest merit wins a point that several take; of equal ones the first.

    Args:
        places: int64 [N, T], index of a point among those of all images.
        taken: bool [N, T].
        merit: float [N, T], finite where taken.
        all_places: B · A.

    Returns:
        bool [N, T], a part of `taken`.
    """
    count, index = len(places), places.flatten()
    merit = torch.where(taken, merit, -torch.inf)
    best = merit.new_full((all_places,), -torch.inf).scatter_reduce(0, index, merit.flatten(), "amax")
    leads = taken & (merit == best[places])
    rows = torch.arange(count, device=places.device)[:, None].expand_as(places)
    contenders = torch.where(leads, rows, count)
    first = contenders.new_full((all_places,), count).scatter_reduce(0, index, contenders.flatten(), "amin")
    return leads & (rows == first[places])
