"""Boxes as deltas of regions, as all R-CNNs predict them (Girshick et al. 2014, appendix C).

With a region's centre (px, py) and size (pw, ph), a box's centre (gx, gy) and size (gw, gh), and weights (a, b, c, d):

    tx = a · (gx − px) / pw        ty = b · (gy − py) / ph
    tw = c · log(gw / pw)          th = d · log(gh / ph)

The weights, (10, 10, 5, 5) by default, bring the four to a variance of about 1 over regions that overlap an object.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from detector.boxes import convert

Weights = tuple[float, float, float, float]

WEIGHTS: Weights = (10.0, 10.0, 5.0, 5.0)
LARGEST_GROWTH = math.log(1000 / 16)
"""Largest log(gw / pw) in decoding, so that the exponential stays finite; torchvision's and Detectron's."""
SMALLEST_SIDE = 1e-3
"""Pixels. Smaller sides count as so large when encoding, where they would be divided by."""


def encode(regions: Tensor, boxes: Tensor, weights: Weights = WEIGHTS) -> Tensor:
    """Regions [N, 4] and the boxes [N, 4] that they should become, xyxy → deltas [N, 4] (tx, ty, tw, th)."""
    centre, size = _centre_and_size(regions)
    box_centre, box_size = _centre_and_size(boxes)
    size, box_size = size.clamp(min=SMALLEST_SIDE), box_size.clamp(min=SMALLEST_SIDE)
    deltas = torch.cat([(box_centre - centre) / size, (box_size / size).log()], dim=-1)
    # column by column: a tensor of the weights would be copied to the GPU, which makes the host wait
    return torch.stack([one * weight for one, weight in zip(deltas.unbind(-1), weights, strict=True)], dim=-1)


def decode(regions: Tensor, deltas: Tensor, weights: Weights = WEIGHTS) -> Tensor:
    """Regions [N, 4] xyxy and deltas [N, 4] or [N, K, 4] → boxes xyxy of the shape of `deltas`."""
    if deltas.ndim == 3:
        regions = regions[:, None]
    centre, size = _centre_and_size(regions.to(deltas))
    deltas = torch.stack([one / weight for one, weight in zip(deltas.unbind(-1), weights, strict=True)], dim=-1)
    shift, growth = deltas.split(2, dim=-1)
    return convert(
        torch.cat([centre + shift * size, size * growth.clamp(max=LARGEST_GROWTH).exp()], dim=-1), "cxcywh", "xyxy"
    )


def _centre_and_size(boxes: Tensor) -> tuple[Tensor, Tensor]:
    centre, size = convert(boxes, "xyxy", "cxcywh").split(2, dim=-1)
    return centre, size


def full_precision(x: Tensor) -> Tensor:
    """float16 and bfloat16 → float32; float32 and float64 stay as they are."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
