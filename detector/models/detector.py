"""What a detector is to everything that trains, measures or runs one, whichever kind it is."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from detector.types import Detections, Target


@runtime_checkable
class Detector(Protocol):
    """An `nn.Module` that learns from images and their objects, and finds objects in images.

    Images are uint8 [B, 3, H, W], RGB; labels are 0..K−1 without a background.
    """

    def __call__(self, images: Tensor) -> Any:
        """Runs what sees whole images, every batch norm among it; what comes out is the detector's own business."""

    def losses(self, images: Tensor, targets: list[Target]) -> dict[str, Tensor]:
        """Weighted scalar losses by name; their sum is what is minimised. Crowds are not trained on."""

    def detect(self, images: Tensor) -> list[Detections]:
        """Detections of each image, in pixels of the images given. In float32, whatever the precision of training."""
