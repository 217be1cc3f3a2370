"""Regions cut out of images and brought to one size (Girshick et al. 2014, appendix A, "warp")."""

from __future__ import annotations

import torch
from torch import Tensor

from detector.boxes import convert


def warp(images: Tensor, regions: list[Tensor], size: int, context: float) -> Tensor:
    """Normalised images float [B, 3, H, W] and regions [N_i, 4] xyxy of each → [ΣN_i, 3, size, size].

    Width and height are scaled independently of each other. Around the region lies a rim of `context` · `size` pixels
    that shows what is beside it (16 of 227 pixels in the paper); outside the image it is 0, the mean colour. Where the
    region becomes smaller, all its pixels are averaged (RoIAlign with as many points as there are pixels).
    """
    from torchvision.ops import roi_align  # here: it takes seconds, which options need not wait for

    boxes = [with_context(one.float(), context) for one in regions]
    return roi_align(images.float(), boxes, size, sampling_ratio=-1, aligned=True)


def with_context(regions: Tensor, context: float) -> Tensor:
    """Regions [N, 4] grown about their centres so that a rim takes the share `context` of each side's new length."""
    x, y, width, height = convert(regions, "xyxy", "cxcywh").unbind(-1)
    factor = 1 / (1 - 2 * context)
    return convert(torch.stack([x, y, width * factor, height * factor], dim=-1), "cxcywh", "xyxy")
