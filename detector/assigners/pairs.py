"""Pairs of an object and a point near it: all that an assigner has to look at, in place of every object with every point.

Which pairs these are depends on annotated boxes alone. Those are in the host's memory, where the pairs are found in float64
and counted without waiting for the device; what is on the device then has the shape that the host has said.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from detector.assigners.cells import Cells, cells_between
from detector.boxes import area
from detector.heads.points import Points
from detector.targets import Objects, few_sizes

BLOCK = 16
"""Pairs in a block. The best k of an object lie in the k blocks with the best pairs, so that few are ever sorted."""

CHUNK = 2**14
"""Blocks that a CPU rates at a time."""


@dataclass(frozen=True)
class Pairs:
    """Q blocks of pairs of one object with points of its image.

    The blocks of an object follow one another, and so do those of the next one; its pairs lie in the order of points. Its last
    block, and the last blocks of all, are filled up with pairs of which nothing may be read.
    """

    objects: Tensor
    """int64 [Q], row of the object."""
    places: Tensor
    """int64 [Q, BLOCK], index of the point among those of all images: image · A + point."""
    filler: Tensor
    """bool [Q, BLOCK]: no such pair."""
    first: Tensor
    """int64 [N], the first block of each object."""
    count: Tensor
    """int64 [N], the number of its blocks."""


def pairs_within(points: Points, objects: Objects, reach: np.ndarray) -> Pairs:
    """Every trained object with the points whose distance from its centre is at most `reach` in both directions.

    Args:
        points: the A points of an image.
        objects: the objects of a batch.
        reach: float [N, L, 2], largest |x| and |y| between centre and point on each level, in pixels.
    """
    boxes = objects.known.boxes[:, None].astype(np.float64)
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2
    return pairs_of(points, objects, cells_between(points, centre - reach, centre + reach))


def pairs_of(points: Points, objects: Objects, cells: Cells) -> Pairs:
    """Every trained object with the points of all its cells.

    In a rectangle of cells a row is, anchors included, a run of consecutive points.
    """
    levels = points.levels
    count, per_level = len(cells.low), cells.low.shape[2]
    a_cell, columns, begin = np.array([(one.per_cell, one.columns, one.first) for one in levels]).T[:, :, None]
    wide, tall = np.moveaxis(np.maximum(cells.high - cells.low + 1, 0), -1, 0)  # [N, L, S] each
    number = wide * tall * a_cell * objects.known.trained[:, None, None]
    own = number.reshape(count, -1).sum(axis=1)
    blocks = -(-own // BLOCK)
    ends = np.cumsum(blocks)
    all_blocks = few_sizes(int(ends[-1]))
    fill = blocks * BLOCK - own
    fill[-1] += (all_blocks - ends[-1]) * BLOCK
    # of each rectangle its rows, points in a row, the first point, and how far it is to that of the next row; at last what
    # fills up the blocks of an object
    rectangles = np.zeros((4, count, len(levels) * per_level + 1), dtype=np.int64)
    rows, length, start, step = rectangles
    rows[:, :-1] = np.where(number > 0, tall, 0).reshape(count, -1)
    length[:, :-1] = (wide * a_cell).reshape(count, -1)
    start[:, :-1] = (begin + (cells.low[..., 1] * columns + cells.low[..., 0]) * a_cell).reshape(count, -1)
    step[:, :-1] = np.broadcast_to(columns * a_cell, number.shape).reshape(count, -1)
    rows[:, -1], length[:, -1] = fill > 0, fill
    start += objects.known.images[:, None] * sum(one.rows * one.columns * one.per_cell for one in levels)
    start -= (rows.cumsum().reshape(rows.shape) - rows) * step  # so that the i-th row of all begins at start + i · step
    of_object = np.stack([ends - blocks, (ends - blocks) * BLOCK + own, blocks])
    of_object[2, -1] += all_blocks - ends[-1]
    return _listed(rectangles.reshape(4, -1), of_object, all_blocks, objects.boxes)


def _listed(rectangles: np.ndarray, of_object: np.ndarray, all_blocks: int, boxes: Tensor) -> Pairs:
    """Writes the pairs out, on the device.

    Args:
        rectangles: int64 [4, R], rows, points in a row, first point and step: row i of all begins at first + i · step.
        of_object: int64 [3, N], the first block, the end of the object's pairs, and the number of blocks.
        all_blocks: Q.
        boxes: those of the objects, on whose device the pairs are needed.
    """
    device = boxes.device
    all_rows = int(rectangles[0].sum())
    flat = torch.from_numpy(np.concatenate([rectangles.ravel(), of_object.ravel()]))
    flat = flat.pin_memory().to(device, non_blocking=True) if boxes.is_cuda else flat.to(device)
    rows = flat[: rectangles.shape[1]]
    first, end, blocks = flat[rectangles.size :].view(3, -1)
    owner = torch.arange(len(first), device=device).repeat_interleave(blocks, output_size=all_blocks)

    which = torch.arange(len(rows), device=device).repeat_interleave(rows, output_size=all_rows)
    length, start, step = flat[len(rows) : rectangles.size].view(3, -1).index_select(1, which)
    # the i-th pair of all, the j-th of its row, is with the point i + (start of its row − i + j)
    shift = start.addcmul_(step, torch.arange(all_rows, device=device)).sub_(length.cumsum(0)).add_(length)
    begin, lane = torch.arange(0, all_blocks * BLOCK, BLOCK, device=device)[:, None], torch.arange(BLOCK, device=device)
    places = shift.repeat_interleave(length, output_size=all_blocks * BLOCK).view(-1, BLOCK).add_(begin).add_(lane)
    filler = lane >= end.index_select(0, owner)[:, None] - begin
    return Pairs(owner, places.masked_fill_(filler, 0), filler, first, blocks)


def by_chunks(pairs: Pairs, function: Callable[[slice], Tensor]) -> Tensor:
    """[Q, BLOCK], put together of what `function` makes of some of the blocks: of all at once, where there are not too many.

    A CPU would get fresh memory from the system for each large tensor, which takes longer than to write it.
    """
    blocks = len(pairs.objects)
    if blocks <= CHUNK or pairs.objects.is_cuda or torch.compiler.is_compiling():
        return function(slice(None))
    return torch.cat([function(slice(start, start + CHUNK)) for start in range(0, blocks, CHUNK)])


def iou_of_pairs(pairs: Pairs, boxes: Tensor, objects: Tensor) -> Tensor:
    """IoU of predicted boxes [B · A, 4] and objects [N, 4]: float32 [Q, BLOCK], 0 where there is no pair.

    As `detector.boxes.aligned_iou` of the boxes of each pair, which are not laid side by side in memory here: an object's side
    holds for all of a block, and results take the place of what they were made of.
    """
    together = torch.cat([boxes.float(), objects])
    sides = torch.cat([together, area(together)[:, None]], dim=1).T.contiguous()
    owners = pairs.objects + len(boxes)

    def iou(blocks: slice) -> Tensor:
        places = pairs.places[blocks]
        predicted = sides.index_select(1, places.flatten()).view(5, *places.shape)
        own = sides.index_select(1, owners[blocks])[..., None]
        overlap = predicted[2].minimum(own[2]).sub_(predicted[0].maximum(own[0])).clamp_(min=0)
        overlap *= predicted[3].minimum(own[3]).sub_(predicted[1].maximum(own[1])).clamp_(min=0)
        union = predicted[4].add_(own[4]).sub_(overlap).clamp_(min=torch.finfo(sides.dtype).tiny)
        return overlap.div_(union).masked_fill_(pairs.filler[blocks], 0.0)

    return by_chunks(pairs, iou)


def best_of_each_object(pairs: Pairs, merit: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """The `number` pairs of each object that have the greatest merit, best first, of equal ones the earlier.

    They lie in the `number` blocks whose best pairs are greatest: a pair of any other block comes after one of each of these.

    Args:
        pairs: pairs of N objects.
        merit: float32 [Q, BLOCK]; −∞ for a pair that must not be taken.

    Returns:
        int64 [N, number], indices of pairs, as in `places.flatten()`, and bool [N, number]: there is such a pair.
    """
    rank = torch.arange(number, device=merit.device)
    order = ((pairs.objects << 32) - _ordered(merit.amax(dim=1))).argsort(stable=True)
    blocks = order.index_select(0, (pairs.first[:, None] + rank).clamp_(max=len(order) - 1).flatten())
    absent = (rank >= pairs.count[:, None]).view(-1, 1)
    among = _ordered(merit.index_select(0, blocks).masked_fill_(absent, -torch.inf))
    last = merit.numel() - 1
    from_last = last - (blocks * BLOCK)[:, None] - torch.arange(BLOCK, device=merit.device)
    keys = (among.long() << 32).add_(from_last).view(len(pairs.first), -1).topk(number).values
    return last - (keys & _LOW), keys >= _SOME


_LOW = (1 << 32) - 1
_SOME = -0x7F800000 << 32
"""What is above it stands for more than −∞, which is −0x7F800001 to `_ordered`."""


def _ordered(values: Tensor) -> Tensor:
    """Integers in the order of the float32 numbers that they are the bits of."""
    bits = values.view(torch.int32)
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


def rows_like(table: Tensor) -> Tensor:
    """int64 [N, T] for a table [N, T]: in each place the row."""
    return torch.arange(len(table), device=table.device)[:, None].expand_as(table)


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
    rows = rows_like(places)
    contenders = torch.where(leads, rows, count)
    first = contenders.new_full((all_places,), count).scatter_reduce(0, index, contenders.flatten(), "amin")
    return leads & (rows == first[places])
