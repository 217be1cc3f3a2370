"""What a detector finds in the mirror images of some pictures: a second view, in which what is really there is found again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from detector.evaluation.results import FlatResults
from detector.types import Batch, Detections, Target


def detect_mirrored(
    batches: Iterable[Batch], detect: Callable[[Batch], list[Detections]], images: Sequence[int] | np.ndarray
) -> FlatResults:
    """The detections in the mirror image (left and right swapped) of each image, in pixels of the image as it is.

    Args:
        batches: the images in the order of `images`.
        detect: a detector, whose boxes are in pixels of the original.
        images: their places in the index.
    """
    found: list[Detections] = []
    for batch in batches:
        for target, one in zip(batch.targets, detect(_mirrored(batch)), strict=True):
            found.append(replace(one, boxes=_swapped(one.boxes, target.original_size[1])))
    places = np.repeat(np.asarray(images, dtype=np.int64), [len(one) for one in found])
    boxes = torch.cat([one.boxes for one in found]).double().numpy()
    boxes[:, 2:] -= boxes[:, :2]
    labels, scores = torch.cat([one.labels for one in found]), torch.cat([one.scores for one in found])
    return FlatResults(places, labels.numpy(), boxes, scores.double().numpy())


def _mirrored(batch: Batch) -> Batch:
    side = batch.images.shape[-1]
    return Batch(batch.images.flip(-1), [_target(one, side) for one in batch.targets])


def _target(target: Target, side: int) -> Target:
    """What maps pixels of the mirrored original to those of the mirrored input: x′ = side − (s · (width − x) + t)."""
    transform = target.transform.clone()
    transform[0, 2] = side - transform[0, 0] * target.original_size[1] - transform[0, 2]
    proposals = None if target.proposals is None else _swapped(target.proposals, side)
    return replace(target, boxes=_swapped(target.boxes, side), transform=transform, proposals=proposals)


def _swapped(boxes: Tensor, width: int) -> Tensor:
    """Boxes xyxy [N, 4] in an image of this width as they lie in its mirror image."""
    x1, y1, x2, y2 = boxes.unbind(1)
    return torch.stack([width - x2, y1, width - x1, y2], dim=1)
