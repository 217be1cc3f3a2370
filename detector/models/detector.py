"""What a detector is to everything that trains, measures or runs one, and the options that every kind of detector has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from detector.errors import named
from detector.nms import NMS
from detector.options import MISSING, PARTS, Count, IoU, Length, OneOf, Range, Share, SuppressionKind
from detector.proposals.selective_search import ProposalRequest
from detector.types import Batch, Detections, Target


@runtime_checkable
class Detector(Protocol):
    """An `nn.Module` that learns from images and their objects, and finds objects in images.

    Images are uint8 [B, 3, H, W], RGB; labels are 0..K−1 without a background.
    """

    def __call__(self, seen: Tensor, /) -> Any:
        """The network as far as it can be compiled: what it sees and what comes out are the detector's own business."""

    def losses(self, images: Tensor, targets: Sequence[Target]) -> dict[str, Tensor]:
        """Weighted scalar losses by name; their sum is what is minimised. Crowds are not trained on.

        In training the targets are `Targets`: a sequence whose boxes and labels lie on the device in one piece.
        """

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


Mean = Annotated[list[Annotated[float, Range(-10, 10)]], Length(3, 3)]
Deviation = Annotated[list[Annotated[float, Range(1e-4, 1000)]], Length(3, 3)]


@dataclass
class ModelOptions:
    """The options that every kind of detector has."""

    parts: ClassVar[tuple[str, ...]] = PARTS
    """The groups of parts that it is made of; of the others it has none."""
    fixed_shapes: ClassVar[bool] = True
    """Whether all that its layers see has one shape at every step, as long as images and batches have one size."""

    name: str = MISSING
    """The kind of detector."""
    mean: Mean = field(default_factory=lambda: [0.485, 0.456, 0.406])
    """Mean of RGB in 0..1 that is subtracted; ImageNet's, as the pretrained backbones expect."""
    std: Deviation = field(default_factory=lambda: [0.229, 0.224, 0.225])
    """Standard deviation of RGB in 0..1 that pixels are divided by; ImageNet's, as the pretrained backbones expect."""
    resize: Annotated[str, OneOf("letterbox", "stretch")] = "letterbox"
    """An image keeps its shape, with a grey border, or fills the square that the model sees."""
    score_threshold: Share = 0.001
    """Predictions with a lower score are dropped."""
    suppression: SuppressionKind = "greedy"
    """The kind of non-maximum suppression (see `detector.nms.NMS`)."""
    iou_threshold: IoU = 0.65
    """IoU above which only the better of two boxes stays; not used by soft, which drops none for its overlap."""
    soft_sigma: Annotated[float, Range(1e-6, 1e6)] = 0.5
    """Used by soft alone: the larger it is, the less an overlap lowers a score (Bodla et al. 2017)."""
    candidates: Count = 1000
    """Predictions an image (boxes × classes) that enter suppression."""
    max_detections: Count = 100
    """Largest number of detections of an image."""

    def build(self, *args: Any, **kwargs: Any) -> nn.Module:
        """The detector, a `Detector` that is an `nn.Module`.

        Each kind takes by name what is built of its `parts`, that is `backbone`, `neck`, `head` and, for assigner and loss
        together, `criterion` (None where it is built to detect alone); and `classes` (K) and `image_size` (side of the square
        that it is trained on, in pixels).

        Raises:
            OptionError: a value cannot be.
        """
        raise NotImplementedError

    def build_suppression(self) -> NMS:
        """What the detector does with its predictions last."""
        with named(kind="suppression", sigma="soft_sigma"):
            return NMS(
                kind=self.suppression,
                iou_threshold=self.iou_threshold,
                score_threshold=self.score_threshold,
                candidates=self.candidates,
                max_detections=self.max_detections,
                sigma=self.soft_sigma,
            )

    def proposal_request(self) -> ProposalRequest | None:
        """The proposals that the data must bring along; None where the detector finds its objects without any."""
        return None


class Normalise(nn.Module):
    """uint8 (or float 0..255) [B, 3, H, W], RGB → float (x / 255 − mean) / std, per channel."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("offset", torch.tensor(mean).reshape(3, 1, 1) * 255, persistent=False)
        self.register_buffer("scale", 1 / (torch.tensor(std).reshape(3, 1, 1) * 255), persistent=False)
        self.offset: Tensor
        self.scale: Tensor

    def forward(self, images: Tensor) -> Tensor:
        """The same pixels in the dtype of the buffers, in memory of their own."""
        offset, scale = self.offset, self.scale
        if images.device.type == "cpu" and images.is_contiguous(memory_format=torch.channels_last):
            # Three numbers side by side would be an inner loop of three: a row of pixels at a time is 5 times as fast.
            offset, scale = (_row(one, images.shape[3]) for one in (offset, scale))
        return images.to(offset.dtype, copy=True).sub_(offset).mul_(scale)


def _row(channels: Tensor, width: int) -> Tensor:
    """[3, 1, 1] → [1, 3, 1, width], in the order of memory that a row of an image in channels_last has."""
    return channels.expand(1, 3, 1, width).contiguous(memory_format=torch.channels_last)
