"""The points at which an anchor-free head predicts: the centres of the cells of every level."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor


@dataclass(frozen=True)
class Points:
    """A points over all levels, lowest stride first, row by row."""

    centres: Tensor
    """float32 [A, 2] (x, y) in input pixels."""
    strides: Tensor
    """float32 [A] in pixels."""


@lru_cache(maxsize=32)
@torch.inference_mode(False)  # what is kept here during an evaluation is used by training steps as well
def make_points(image_size: tuple[int, int], strides: tuple[int, ...], device: torch.device) -> Points:
    """The points of an image of `image_size` (height, width): cell (i, j) of stride s has its centre at ((j+½)s, (i+½)s)."""
    centres, all_strides = [], []
    for stride in strides:
        rows, columns = (-(-side // stride) for side in image_size)
        y, x = torch.meshgrid(
            (torch.arange(rows, device=device) + 0.5) * stride,
            (torch.arange(columns, device=device) + 0.5) * stride,
            indexing="ij",
        )
        centres.append(torch.stack([x, y], dim=-1).reshape(-1, 2))
        all_strides.append(torch.full((rows * columns,), float(stride), device=device))
    return Points(torch.cat(centres), torch.cat(all_strides))
