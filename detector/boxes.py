"""Boxes: float [..., 4], xyxy, absolute pixels, continuous (width = x2 − x1). Other forms are named where they appear."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

BoxForm = Literal["xyxy", "xywh", "cxcywh"]
IoUKind = Literal["iou", "giou", "diou", "ciou"]


def area(boxes: Tensor) -> Tensor:
    """[..., 4] → [...], pixels²; a box whose corners are swapped has area 0."""
    size = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0)
    return size[..., 0] * size[..., 1]


def convert(boxes: Tensor, form: BoxForm, wanted: BoxForm) -> Tensor:
    """`torchvision.ops.box_convert`: boxes [..., 4] of one form in another."""
    from torchvision.ops import (
        box_convert,  # here: it takes seconds, which options and loader processes need not wait for
    )

    return box_convert(boxes, form, wanted)


def clip(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """`torchvision.ops.clip_boxes_to_image`: boxes [..., 4] within an image of `size` (height, width)."""
    from torchvision.ops import clip_boxes_to_image

    return clip_boxes_to_image(boxes, size)


def transform(boxes: Tensor, matrix: Tensor) -> Tensor:
    """The axis-aligned hull of each box [N, 4] after the homogeneous map `matrix` [3, 3]."""
    x1, y1, x2, y2 = boxes.unbind(-1)
    corners = torch.stack([x1, y1, x2, y1, x2, y2, x1, y2], dim=-1).reshape(-1, 4, 2)
    corners = corners @ matrix[:2, :2].T.to(boxes) + matrix[:2, 2].to(boxes)
    return torch.cat([corners.amin(dim=1), corners.amax(dim=1)], dim=-1)


def pairwise_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of every box of `a` [N, 4] with every box of `b` [M, 4]: [N, M]; 0 where both are empty."""
    return _iou(a[:, None, :], b[None, :, :], "iou", eps=0.0)


def aligned_iou(a: Tensor, b: Tensor, kind: IoUKind = "iou", eps: float = 1e-7) -> Tensor:
    """IoU or one of its penalised forms for broadcastable boxes [..., 4]: [...].

    - IoU  = |A∩B| / |A∪B|
    - GIoU = IoU − |C \\ (A∪B)| / |C|, C the smallest enclosing box (Rezatofighi et al. 2019, eq. 1)
    - DIoU = IoU − ρ²(a, b) / c², ρ the distance of the centres, c the diagonal of C (Zheng et al. 2020, eq. 7)
    - CIoU = DIoU − αv, v = 4/π² (atan w_b/h_b − atan w_a/h_a)², α = v / (1 − IoU + v), treated as a constant
      (Zheng et al. 2020, eqs. 8 to 11)

    Computed in float32 at least, so that areas neither overflow fp16 nor lose their low bits in bf16.
    """
    return _iou(a, b, kind, eps)


def _iou(a: Tensor, b: Tensor, kind: IoUKind, eps: float) -> Tensor:
    if a.dtype in (torch.float16, torch.bfloat16):
        a = a.float()
    b = b.to(a.dtype)
    low = torch.maximum(a[..., :2], b[..., :2])
    high = torch.minimum(a[..., 2:], b[..., 2:])
    overlap = (high - low).clamp(min=0)
    intersection = overlap[..., 0] * overlap[..., 1]
    union = area(a) + area(b) - intersection
    if eps == 0.0:
        return torch.where(union > 0, intersection / union.clamp(min=torch.finfo(a.dtype).tiny), 0.0)
    iou = intersection / (union + eps)
    if kind == "iou":
        return iou

    hull = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    if kind == "giou":
        hull_area = hull[..., 0] * hull[..., 1]
        return iou - (hull_area - union) / (hull_area + eps)

    diagonal = hull.square().sum(-1) + eps
    distance = ((a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2).square().sum(-1)
    diou = iou - distance / diagonal
    if kind == "diou":
        return diou

    size_a, size_b = a[..., 2:] - a[..., :2], b[..., 2:] - b[..., :2]
    angle_a = torch.atan(size_a[..., 0] / (size_a[..., 1] + eps))
    angle_b = torch.atan(size_b[..., 0] / (size_b[..., 1] + eps))
    v = (4 / math.pi**2) * (angle_b - angle_a).square()
    with torch.no_grad():
        alpha = v / (1 - iou + v + eps)
    return diou - alpha * v
