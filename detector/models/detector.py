"""What a detector is to everything that trains, measures or runs one, whichever kind it is."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from detector.types import Batch, Detections, Target


@runtime_checkable
class Detector(Protocol):
    """An `nn.Module` that learns from images and their objects, and finds objects in images.

    Images are uint8 [B, 3, H, W], RGB; labels are 0..K−1 without a background.
    """

    def __call__(self, seen: Tensor, /) -> Any:
        """The network as far as it can be compiled: what it sees and what comes out are the detector's own business."""

    def losses(self, images: Tensor, targets: list[Target]) -> dict[str, Tensor]:
        """Weighted scalar losses by name; their sum is what is minimised. Crowds are not trained on."""

    def detect(self, images: Tensor) -> list[Detections]:
        """Detections of each image, in pixels of the images given. In float32, whatever the precision of training."""


def detect_batch(detector: Any, batch: Batch) -> list[Detections]:
    """Detections of each image of a batch on the detector's device, with the proposals of its targets, if they have any.

    Everything that runs a detector on data calls this, so that nothing else has to know whether it uses proposals.
    """
    proposals = [target.proposals for target in batch.targets]
    given = () if all(one is None for one in proposals) else (proposals,)
    found: list[Detections] = detector.detect(batch.images, *given)
    return found
