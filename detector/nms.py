"""Suppression: of detections that mean the same object only the best stays."""

from __future__ import annotations

from torch import Tensor
from torchvision.ops import batched_nms

from detector.types import Detections


def suppress(
    boxes: Tensor,
    scores: Tensor,
    labels: Tensor,
    score_threshold: float,
    iou_threshold: float,
    candidates: int,
    max_detections: int,
) -> Detections:
    """Greedy suppression within each class (torchvision's `batched_nms`), one image.

    Args:
        boxes: float [N, 4]; scores: float [N]; labels: int64 [N].
        score_threshold: boxes with this score or less are dropped.
        iou_threshold: a box that overlaps a better one of its class by more is dropped.
        candidates: the best so many enter.
        max_detections: the best so many come out.
    """
    order = scores.sort(descending=True, stable=True).indices[:candidates]
    order = order[scores[order] > score_threshold]
    boxes, scores, labels = boxes[order], scores[order], labels[order]
    kept = batched_nms(boxes, scores, labels, iou_threshold)[:max_detections]
    return Detections(boxes[kept], scores[kept], labels[kept])
