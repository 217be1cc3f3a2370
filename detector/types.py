"""Types that the parts of the project exchange: targets, batches, detections, features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

ImageId = int | str


@dataclass
class Target:
    """The annotated objects of one image. Zero objects are legal everywhere.

    Boxes are xyxy in pixels of the image they travel with (the model's input, once a batch is made).
    """

    boxes: Tensor
    """float32 [N, 4], continuous coordinates: width = x2 − x1."""
    labels: Tensor
    """int64 [N] in 0..K−1; there is no background class."""
    crowd: Tensor
    """bool [N], on the host: COCO's iscrowd, VOC's difficult: never trained on, ignored when scored."""
    area: Tensor
    """float32 [N], on the host, as annotated, in pixels² of the original image."""
    image_id: ImageId
    original_size: tuple[int, int]
    """(height, width) of the image file."""
    transform: Tensor
    """float32 [3, 3], on the host: homogeneous original pixels → input pixels."""
    proposals: Tensor | None = None
    """float32 [P, 4] xyxy where objects may be, best first, in the pixels of `boxes`; None where nobody asked for any."""

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Target:
        """The same target with its boxes, labels and proposals on `device`.

        The rest stays on the host, the only one to read it: a decision on a flag there makes nobody wait for a GPU.
        """
        return replace(
            self,
            boxes=self.boxes.to(device, non_blocking=non_blocking),
            labels=self.labels.to(device, non_blocking=non_blocking),
            proposals=None if self.proposals is None else self.proposals.to(device, non_blocking=non_blocking),
        )

    def scaled(self, factor: float) -> Target:
        """The same target for an input `factor` times as large."""
        proposals = None if self.proposals is None else self.proposals * factor
        return replace(self, boxes=self.boxes * factor, proposals=proposals)

    def without_crowds(self) -> Target:
        """The objects that a detector is trained on."""
        if not self.crowd.any():
            return self
        kept = (~self.crowd).nonzero()[:, 0]
        on_device = kept.to(self.boxes.device)
        return replace(
            self,
            boxes=self.boxes[on_device],
            labels=self.labels[on_device],
            crowd=self.crowd[kept],
            area=self.area[kept],
        )


@dataclass
class Batch:
    """Images of one size and their targets."""

    images: Tensor
    """uint8 [B, 3, H, W], RGB."""
    targets: list[Target]

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """The batch on another device."""
        return Batch(
            self.images.to(device, non_blocking=non_blocking),
            [target.to(device, non_blocking) for target in self.targets],
        )

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory; called by the data loader's pinning thread."""

        targets = [
            replace(
                target,
                boxes=target.boxes.pin_memory(),
                labels=target.labels.pin_memory(),
                proposals=None if target.proposals is None else target.proposals.pin_memory(),
            )
            for target in self.targets
        ]
        return Batch(self.images.pin_memory(), targets)


@dataclass
class Detections:
    """What a detector found in one image, best score first."""

    boxes: Tensor
    """float32 [N, 4] xyxy."""
    scores: Tensor
    """float32 [N] in 0..1."""
    labels: Tensor
    """int64 [N] in 0..K−1."""

    def __len__(self) -> int:
        return self.scores.shape[0]

    def __getitem__(self, index: Tensor | slice) -> Detections:
        return Detections(self.boxes[index], self.scores[index], self.labels[index])

    def cpu(self) -> Detections:
        """The detections in host memory."""
        return Detections(self.boxes.cpu(), self.scores.cpu(), self.labels.cpu())

    def to_original(self, transform: Tensor, original_size: tuple[int, int]) -> Detections:
        """Boxes in input pixels → boxes in original pixels, clipped to the original image.

        `transform` [3, 3] maps original to input pixels; it must be axis-aligned (a letterbox or a stretch), so that a box
        stays a box.
        """
        scale = transform.diagonal()[:2].to(self.boxes)
        offset = transform[:2, 2].to(self.boxes)
        boxes = (self.boxes - offset.repeat(2)) / scale.repeat(2)
        height, width = original_size
        limit = boxes.new_tensor([width, height, width, height])
        return Detections(torch.minimum(boxes.clamp(min=0), limit), self.scores, self.labels)

    def to_coco(self, image_id: ImageId, category_ids: Sequence[ImageId]) -> list[dict[str, Any]]:
        """COCO result entries: `bbox` as [x, y, width, height], `category_id` the data set's own id for each label."""
        boxes = self.boxes.double().clone()
        boxes[:, 2:] -= boxes[:, :2]
        return [
            {"image_id": image_id, "category_id": category_ids[label], "bbox": box, "score": score}
            for box, score, label in zip(boxes.tolist(), self.scores.tolist(), self.labels.tolist(), strict=True)
        ]

    def to_supervision(self) -> Any:
        """A `supervision.Detections`; needs `pip install supervision`."""
        import supervision

        return supervision.Detections(
            xyxy=self.boxes.cpu().numpy(), confidence=self.scores.cpu().numpy(), class_id=self.labels.cpu().numpy()
        )


@dataclass(frozen=True)
class FeatureInfo:
    """What a backbone or a neck gives, known before any forward pass; levels in the order of their strides."""

    names: tuple[str, ...]
    channels: tuple[int, ...]
    strides: tuple[int, ...]
