"""R-CNN: every proposed region goes through the network on its own (Girshick et al. 2014)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from detector.backbones.backbone import Backbone
from detector.boxes import aligned_iou, clip
from detector.errors import OptionError
from detector.models.detector import ModelOptions, Normalise
from detector.models.regions.box_coding import decode, full_precision
from detector.models.regions.losses import RegionBoxLoss, class_loss
from detector.models.regions.sampling import RegionSampler, SampledRegionsOptions, Samples
from detector.models.regions.search import OnProposalsOptions, Search, of_targets, proposals_for
from detector.models.regions.warp import warp
from detector.models.stages import count_regions, stage
from detector.nms import NMS
from detector.options import Count, IoU, Range, RegionBoxLossKind, Weight
from detector.targets import Targets
from detector.types import Detections, Target


@dataclass
class RCNNOptions(OnProposalsOptions, SampledRegionsOptions, ModelOptions):
    """Girshick et al. 2014: each region is passed through the backbone on its own.

    It takes the place of neck, head, assigner and loss.
    """

    parts: ClassVar[tuple[str, ...]] = ("backbone",)

    name: str = "rcnn"
    iou_threshold: IoU = 0.5
    region_size: Annotated[int, Range(64, 1024, step=32)] = 64
    """Side of the square to which a region is brought, in pixels; 227 in the paper, here a multiple of 32."""
    context: Annotated[float, Range(0, 0.5, below=True)] = 0.0705
    """Share of that side that shows what is beside the region, on each of the four sides; in the paper 16 of 227 pixels."""
    sampled_regions: Count = 32
    """Regions of an image that a step learns from; 128 of all images of a batch in the paper."""
    box_iou: IoU = 0.6
    """Smallest IoU with its object at which a region learns the object's box."""
    chunk: Count = 512
    """Regions that go through the network at once in detection: fewer need less memory."""
    box_loss: RegionBoxLossKind = "smooth_l1"
    """The box loss: smooth_l1 and l1 compare the deltas of a region, the others boxes."""
    class_weight: Weight = 1.0
    """Weight of the class loss."""
    box_weight: Weight = 1.0
    """Weight of the box loss."""

    def build(self, *, backbone: Backbone, classes: int, image_size: int) -> RCNN:
        """The detector on this backbone, for images of any size."""
        return RCNN(
            backbone,
            classes,
            self.build_search(),
            self.build_sampler(),
            self.build_suppression(),
            max_proposals=self.max_proposals,
            region_size=self.region_size,
            context=self.context,
            chunk=self.chunk,
            box_iou=self.box_iou,
            box_loss=self.box_loss,
            class_weight=self.class_weight,
            box_weight=self.box_weight,
            mean=self.mean,
            std=self.std,
        )


class RCNN(nn.Module):
    """Images uint8 [B, 3, H, W], RGB, of any size, and proposals for each.

    A region is warped to a square, passed through the backbone, averaged over its last level, and given a class and, for
    each class, a box. Two things are not as in the paper: the class comes from the softmax that the network is
    fine-tuned with, and not from SVMs trained afterwards; and the boxes are learned together with it, and not by ridge
    regression afterwards.

    Args:
        backbone: `info` and images → features, of which the last is used.
        classes: K; the background is class K inside and does not come out.
        search: finds proposals where none come with the images.
        max_proposals: the best so many of an image are used.
        sampler: which regions of an image a training step takes.
        region_size: side of the warped square, in pixels.
        context: share of that side that the rim around a region takes, on each of the four sides.
        chunk: regions that go through the network at once in detection: what bounds its memory.
        box_iou: a region learns the box of its object from this IoU on (appendix C).

    Raises:
        OptionError: a size that cannot be, or an unknown loss.
    """

    def __init__(
        self,
        backbone: Backbone,
        classes: int,
        search: Search,
        sampler: RegionSampler,
        suppression: NMS,
        max_proposals: int = 2000,
        region_size: int = 64,
        context: float = 16 / 227,
        chunk: int = 512,
        box_iou: float = 0.6,
        box_loss: str = "smooth_l1",
        class_weight: float = 1.0,
        box_weight: float = 1.0,
        mean: Sequence[float] = (0.485, 0.456, 0.406),
        std: Sequence[float] = (0.229, 0.224, 0.225),
    ) -> None:
        super().__init__()
        if region_size < 64 or region_size % 32:
            raise OptionError("region_size", "must be a multiple of 32, 64 or more", region_size)
        if not 0 <= context < 0.5:
            raise OptionError("context", "must be at least 0 and less than 0.5", context)
        if not 0 <= box_iou <= 1:
            raise OptionError("box_iou", "must be in 0..1", box_iou)
        for key, value in (("max_proposals", max_proposals), ("chunk", chunk)):
            if value < 1:
                raise OptionError(key, "must be 1 or more", value)
        self.normalise = Normalise(mean, std)
        self.backbone = backbone
        self.level = backbone.info.names[-1]
        channels = backbone.info.channels[-1]
        self.class_logits = nn.Linear(channels, classes + 1)
        self.box_changes = nn.Linear(channels, 4 * classes)
        for layer, std_deviation in ((self.class_logits, 0.01), (self.box_changes, 0.001)):
            nn.init.normal_(layer.weight, std=std_deviation)
            nn.init.zeros_(layer.bias)
        self.classes = classes
        self.search = search
        self.sampler = sampler
        self.suppression = suppression
        self.max_proposals = max_proposals
        self.region_size = region_size
        self.context = context
        self.chunk = chunk
        self.box_iou = box_iou
        self.box_loss = RegionBoxLoss(box_loss)
        self.class_weight = class_weight
        self.box_weight = box_weight

    def forward(self, warped: Tensor) -> tuple[Tensor, Tensor]:
        """Warped regions [R, 3, S, S] → class logits [R, K + 1], background last, and box deltas [R, K, 4]."""
        features = self.backbone(warped)[self.level].mean(dim=(2, 3))
        deltas = self.box_changes(features).unflatten(1, (self.classes, 4))
        return full_precision(self.class_logits(features)), full_precision(deltas)

    def losses(self, images: Tensor, targets: Sequence[Target]) -> dict[str, Tensor]:
        """Weighted scalar losses `class` and `box`; regions of all images go through the network together.

        Proposals are those of the targets; the objects' own boxes and the whole image are regions too.
        """
        targets = Targets.of(targets, images.device).without_crowds()
        with torch.no_grad():
            proposals = of_targets(images, targets, self.search, self.max_proposals)
            samples = [
                self.sampler(torch.cat([one, target.boxes.to(one)]), target, self.classes)
                for one, target in zip(proposals, targets, strict=True)
            ]
            together = Samples.together(samples)
            close = aligned_iou(together.regions, together.boxes) >= self.box_iou
        warped = self._warped(images, [one.regions for one in samples])
        logits, deltas = self(warped)
        return {
            "class": self.class_weight * class_loss(logits, together),
            "box": self.box_weight * self.box_loss(deltas, replace(together, positive=together.positive & close)),
        }

    @torch.no_grad()
    def detect(self, images: Tensor, proposals: Sequence[Tensor | None] | None = None) -> list[Detections]:
        """Detections of each image, in pixels of the images given. In float32, whatever the precision of training.

        `proposals`, boxes [P, 4] of each image, are searched for where they are not given.
        """
        size = (images.shape[-2], images.shape[-1])
        regions = proposals_for(images, proposals, self.search, self.max_proposals)
        numbers = [len(one) for one in regions]
        count_regions(sum(numbers))
        with torch.autocast(images.device.type, enabled=False):
            with stage("features"):
                parts = [self(self._warped(images, part)) for part in _chunks(regions, self.chunk)]
            with stage("heads"):
                logits = torch.cat(
                    [images.new_empty((0, self.classes + 1), dtype=torch.float32), *(p[0] for p in parts)]
                )
                deltas = torch.cat(
                    [images.new_empty((0, self.classes, 4), dtype=torch.float32), *(p[1] for p in parts)]
                )
                boxes = clip(decode(torch.cat(regions), deltas, self.box_loss.weights), size)
                scores = logits.softmax(-1)[:, : self.classes]
                # what lies outside the image altogether is no detection
                scores = torch.where((boxes[..., 2:] > boxes[..., :2]).all(-1), scores, 0.0)
        with stage("suppression"):
            found = zip(boxes.split(numbers), scores.split(numbers), strict=True)
            return self.suppression.ragged(list(found))

    def _warped(self, images: Tensor, regions: list[Tensor]) -> Tensor:
        return warp(self.normalise(images), regions, self.region_size, self.context)


def _chunks(regions: Sequence[Tensor], size: int) -> list[list[Tensor]]:
    """Regions [N_i, 4] of each image, cut into lists for each image again with at most `size` regions each."""
    offsets = [0, *accumulate(len(one) for one in regions)]
    together = torch.cat(list(regions))
    return [
        [together[max(start, first) : min(start + size, end)] for first, end in pairwise(offsets)]
        for start in range(0, len(together), size)
    ]
