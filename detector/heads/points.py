"""The points at which a head predicts: the centres of the cells of every level, once for each anchor where it has some."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

Anchors = tuple[tuple[tuple[float, float], ...], ...]
"""(width, height) in pixels of each anchor of each level."""


@dataclass(frozen=True)
class Level:
    """Point `first + (row · columns + column) · per_cell + k` is the k-th of a cell."""

    stride: int
    rows: int
    columns: int
    per_cell: int
    """Points a cell: its anchors, or 1."""
    first: int
    reach: float = math.inf
    """How far in strides, in x and in y, the centre of a prediction may lie from its point."""


@dataclass(frozen=True)
class Points:
    """A points over all levels, in the order of `levels`, row by row, the anchors of a cell one after the other."""

    centres: Tensor
    """float32 [A, 2] (x, y) in input pixels."""
    strides: Tensor
    """float32 [A] in pixels."""
    anchors: Tensor | None
    """float32 [A, 2] (width, height) in pixels; None where the head has no anchors."""
    level: Tensor
    """int64 [A]: which of `levels` each is of."""
    levels: tuple[Level, ...]

    def at(self, index: Tensor) -> Points:
        """Some of them, by their indices int64 [..., M]: each of the tensors has [..., M] in the place of its [A]."""
        return Points(
            self.centres[index],
            self.strides[index],
            None if self.anchors is None else self.anchors[index],
            self.level[index],
            self.levels,
        )


@lru_cache(maxsize=32)
@torch.inference_mode(False)  # what is kept here during an evaluation is used by training steps as well
def make_points(
    image_size: tuple[int, int],
    strides: tuple[int, ...],
    device: torch.device,
    anchors: Anchors | None = None,
    reach: tuple[float, ...] | None = None,
) -> Points:
    """The points of an image of `image_size` (height, width): cell (i, j) of stride s has its centre at ((j+½)s, (i+½)s).

    `reach` of each level is that of `Level`; by default a prediction may lie anywhere.
    """
    centres, all_strides, all_anchors, all_levels = [], [], [], []
    levels: list[Level] = []
    first = 0
    unknown = [math.inf] * len(strides)
    for stride, level_anchors, reached in zip(strides, anchors or [None] * len(strides), reach or unknown, strict=True):
        rows, columns = (-(-side // stride) for side in image_size)
        per_cell = len(level_anchors) if level_anchors else 1
        y, x = torch.meshgrid(
            (torch.arange(rows, device=device) + 0.5) * stride,
            (torch.arange(columns, device=device) + 0.5) * stride,
            indexing="ij",
        )
        centres.append(torch.stack([x, y], dim=-1).reshape(-1, 2).repeat_interleave(per_cell, dim=0))
        all_strides.append(torch.full((rows * columns * per_cell,), float(stride), device=device))
        if level_anchors:
            all_anchors.append(torch.tensor(level_anchors, device=device).repeat(rows * columns, 1))
        all_levels.append(torch.full((rows * columns * per_cell,), len(levels), device=device))
        levels.append(Level(stride, rows, columns, per_cell, first, reached))
        first += rows * columns * per_cell
    return Points(
        torch.cat(centres),
        torch.cat(all_strides),
        torch.cat(all_anchors) if all_anchors else None,
        torch.cat(all_levels),
        tuple(levels),
    )
