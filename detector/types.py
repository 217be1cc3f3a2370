"""Types that the parts of the project exchange: targets, batches, detections, features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from detector.targets import ImageId as ImageId
from detector.targets import Target as Target
from detector.targets import Targets


@dataclass
class Batch:
    """Images of one size and their targets."""

    images: Tensor
    """uint8 [B, 3, H, W], RGB."""
    targets: Sequence[Target]
    """B of them: a list, or `Targets` once they are on their way to a device."""

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """The batch on another device, in four copies whatever its size."""
        targets = self.targets if isinstance(self.targets, Targets) else Targets(self.targets)
        return Batch(self.images.to(device, non_blocking=non_blocking), targets.to(device, non_blocking))

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory; called by the data loader's pinning thread."""
        return Batch(self.images.pin_memory(), Targets(self.targets).pin_memory())


@dataclass
class Detections:
    """What a detector found in one image, best score first."""

    boxes: Tensor
    """float32 [N, 4] xyxy."""
    scores: Tensor
    """float32 [N] in 0..1."""
    labels: Tensor
    """int64 [N] in 0..K−1."""
    ids: Tensor | None = None
    """int64 [N]: a number for each object that it keeps all along a video, −1 while it has none; None where nothing was
    tracked (see `detector.inference.tracking`)."""

    def __len__(self) -> int:
        return self.scores.shape[0]

    def __getitem__(self, index: Tensor | slice) -> Detections:
        ids = None if self.ids is None else self.ids[index]
        return Detections(self.boxes[index], self.scores[index], self.labels[index], ids)

    def cpu(self) -> Detections:
        """The detections in host memory."""
        ids = None if self.ids is None else self.ids.cpu()
        return Detections(self.boxes.cpu(), self.scores.cpu(), self.labels.cpu(), ids)

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
        return replace(self, boxes=torch.minimum(boxes.clamp(min=0), limit))

    def to_coco(self, image_id: ImageId, category_ids: Sequence[ImageId]) -> list[dict[str, Any]]:
        """COCO result entries: `bbox` as [x, y, width, height], `category_id` the data set's own id for each label."""
        boxes = self.boxes.double().clone()
        boxes[:, 2:] -= boxes[:, :2]
        return [
            {"image_id": image_id, "category_id": category_ids[label], "bbox": box, "score": score}
            for box, score, label in zip(boxes.tolist(), self.scores.tolist(), self.labels.tolist(), strict=True)
        ]

    def to_supervision(self, class_names: Sequence[str] | None = None) -> Any:
        """A `supervision.Detections`, whose annotators draw it; needs `pip install supervision`.

        Captions have the names of the classes where `class_names` are given, else their numbers.
        """
        import numpy as np
        import supervision

        labels = self.labels.cpu().numpy()
        return supervision.Detections(
            xyxy=self.boxes.cpu().numpy(),
            confidence=self.scores.cpu().numpy(),
            class_id=labels,
            tracker_id=None if self.ids is None else self.ids.cpu().numpy(),
            data={} if class_names is None else {"class_name": np.array(class_names)[labels]},
        )


@dataclass(frozen=True)
class FeatureInfo:
    """What a backbone or a neck gives, known before any forward pass; levels in the order of their strides."""

    names: tuple[str, ...]
    channels: tuple[int, ...]
    strides: tuple[int, ...]
