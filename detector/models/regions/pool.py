"""Regions of features brought to one size, each read from the level that suits its own (Lin et al. 2017, section 4.2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from detector.types import FeatureInfo

HIGHEST = 5
"""Regions are read from levels up to P5; a P6 is the proposal network's alone (Lin et al. 2017, section 4.1, footnote 2)."""
SAMPLING = 2
"""Points that RoIAlign reads in each direction of a cell: 4 a cell (He et al. 2017, section 3)."""
CANONICAL_SIDE, CANONICAL_LEVEL = 224, 4
"""Regions of 224² pixels are read from P4, of half the side from P3, ... (Lin et al. 2017, eq. 1): at every level a region
is 14 to 28 points wide, about as many as RoIAlign reads of it, so the rule holds for images of any size."""
EPSILON = 1e-6
"""Added to the number of a level, so that a region of just the canonical side is not below it for want of a bit."""


class RegionPool(nn.Module):
    """Features of all levels and regions of each image → [R, C, side, side], in the order of the regions.

    RoIAlign (He et al. 2017, section 3) of each region on level k = ⌊4 + log₂(√(width · height) / 224)⌋, or the nearest there
    is (Lin et al. 2017, eq. 1). The device is waited for once, for the numbers of regions of the levels.
    """

    def __init__(self, features: FeatureInfo, side: int) -> None:
        super().__init__()
        levels = {
            name: stride for name, stride in zip(features.names, features.strides, strict=True) if stride <= 2**HIGHEST
        }
        self.levels = tuple(levels)
        self.strides = tuple(levels.values())
        self.side = side

    def forward(self, features: dict[str, Tensor], regions: Sequence[Tensor]) -> Tensor:
        """Levels [B, C, H / s, W / s] and boxes [N_i, 4] of each image, xyxy in input pixels."""
        from torchvision.ops import roi_align  # here: it takes seconds, which options need not wait for

        images = [one.new_full((len(one), 1), i) for i, one in enumerate(regions)]
        boxes = torch.cat([torch.cat(images), torch.cat(list(regions))], dim=1)
        number = self._level(boxes[:, 1:])
        counts = (number[:, None] == torch.arange(len(self.levels), device=number.device)).sum(dim=0).tolist()
        order = number.argsort(stable=True)
        parts = zip(self.levels, self.strides, boxes.index_select(0, order).split(counts), strict=True)
        pooled = torch.cat(
            [roi_align(features[name], part, self.side, 1 / stride, SAMPLING) for name, stride, part in parts]
        )
        return pooled.index_select(0, order.argsort())

    def _level(self, boxes: Tensor) -> Tensor:
        """int64 [R]: position in `levels`."""
        size = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1).sqrt()
        level = (CANONICAL_LEVEL + (size / CANONICAL_SIDE).log2() + EPSILON).floor()
        lowest, highest = (stride.bit_length() - 1 for stride in (self.strides[0], self.strides[-1]))
        return level.nan_to_num(nan=lowest).clamp(lowest, highest).long() - lowest
