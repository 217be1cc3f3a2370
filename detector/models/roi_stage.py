"""The second stage of Fast and Faster R-CNN: a class and a box for each region of interest (Girshick 2015)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detector.boxes import clip
from detector.errors import OptionError
from detector.models.detector import ModelOptions
from detector.models.regions.box_coding import decode, full_precision
from detector.models.regions.losses import RegionBoxLoss, class_loss
from detector.models.regions.pool import RegionPool
from detector.models.regions.sampling import RegionSampler, SampledRegionsOptions, Samples
from detector.models.stages import count_regions
from detector.options import Channels, IoU, Range, RegionBoxLossKind, Weight
from detector.types import FeatureInfo, Target

SMALLEST_SIDE = 1e-2
"""Pixels. What is left of a box in the image must be as large, or it is no detection."""


@dataclass
class TwoStageOptions(SampledRegionsOptions, ModelOptions):
    """The options of every detector that reads regions from shared features (Girshick 2015)."""

    iou_threshold: IoU = 0.5
    channels: Channels = 256
    """Width that 1×1 convolutions bring all levels to, where those of the neck differ (pan, none); not used by fpn."""
    pool_size: Annotated[int, Range(1, 64)] = 7
    """Side of the grid that RoIAlign makes of a region (He et al. 2017)."""
    width: Channels = 1024
    """Width of the two fully connected layers that every region passes through."""
    class_agnostic_boxes: bool = False
    """One box a region instead of one for each class."""
    box_loss: RegionBoxLossKind = "smooth_l1"
    """The second stage's box loss: smooth_l1 and l1 compare the deltas of a region, the others boxes."""
    box_weight: Weight = 1.0
    """Weight of the second stage's box loss. The IoU family wants about 10: its loss is at most 1 or 2 a box, and rarely so."""
    class_weight: Weight = 1.0
    """Weight of the second stage's class loss."""

    def build_roi_stage(self, features: FeatureInfo, classes: int) -> RoIStage:
        """The second stage on levels of equally many channels, for K = `classes` classes."""
        return RoIStage(
            features,
            classes,
            self.build_sampler(),
            pool_size=self.pool_size,
            width=self.width,
            class_agnostic_boxes=self.class_agnostic_boxes,
            box_loss=self.box_loss,
            class_weight=self.class_weight,
            box_weight=self.box_weight,
        )


class RoIStage(nn.Module):
    """Features [B, C, H / s, W / s] and regions → two fully connected layers → class logits and boxes.

    Regions may come from anywhere: a float list of boxes [N_i, 4] in input pixels for each image; N_i = 0 is legal.

    Args:
        features: levels of equally many channels (`necks/extras.py`).
        classes: K; the background is class K inside and does not come out.
        sampler: which regions a training step takes.
        pool_size: side of the grid that RoIAlign makes of each region.
        width: of the two fully connected layers.
        class_agnostic_boxes: one box a region instead of one for each class.
        box_loss: smooth_l1 | l1 | iou | giou | diou | ciou.

    Raises:
        OptionError: a size that cannot be, or an unknown loss.
    """

    def __init__(
        self,
        features: FeatureInfo,
        classes: int,
        sampler: RegionSampler,
        pool_size: int = 7,
        width: int = 1024,
        class_agnostic_boxes: bool = False,
        box_loss: str = "smooth_l1",
        class_weight: float = 1.0,
        box_weight: float = 1.0,
    ) -> None:
        super().__init__()
        for key, value in (("pool_size", pool_size), ("width", width)):
            if value < 1:
                raise OptionError(key, "must be 1 or more", value)
        from torchvision.models.detection.faster_rcnn import TwoMLPHead  # here: it takes seconds

        (channels,) = set(features.channels)
        self.classes = classes
        self.sampler = sampler
        self.pool = RegionPool(features, pool_size)
        self.layers = TwoMLPHead(channels * pool_size**2, width)
        self.class_logits = nn.Linear(width, classes + 1)
        self.box_changes = nn.Linear(width, 4 if class_agnostic_boxes else 4 * classes)
        self.box_loss = RegionBoxLoss(box_loss)
        self.class_weight = class_weight
        self.box_weight = box_weight

    def forward(self, features: dict[str, Tensor], regions: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Class logits [R, K + 1] of all regions, background last, and box deltas [R, K or 1, 4], both in full precision."""
        return self.predict(self.pool(features, regions))

    def predict(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """As `forward`, of what was pooled of the regions [R, C, pool_size, pool_size]."""
        x = self.layers(pooled)
        return full_precision(self.class_logits(x)), full_precision(self.box_changes(x)).unflatten(1, (-1, 4))

    def losses(
        self,
        features: dict[str, Tensor],
        regions: Sequence[Tensor],
        targets: Sequence[Target],
        there: Sequence[Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Weighted scalar losses `class` and `box`.

        The objects' own boxes are regions too, so that an object that no region found has a positive. Targets have no
        crowds (`Target.without_crowds`). `there`, bool [N_i] of each image, says which of the regions count; by default all.
        """
        samples = []
        with torch.no_grad():
            for i, (one, target) in enumerate(zip(regions, targets, strict=True)):
                counting = None if there is None else F.pad(there[i], (0, len(target.boxes)), value=True)
                samples.append(self.sampler(torch.cat([one, target.boxes.to(one)]), target, self.classes, counting))
        together = Samples.together(samples)
        logits, deltas = self(features, [one.regions for one in samples])
        return {
            "class": self.class_weight * class_loss(logits, together),
            "box": self.box_weight * self.box_loss(deltas, together),
        }

    def detect(
        self, features: dict[str, Tensor], regions: list[Tensor], size: tuple[int, int]
    ) -> list[tuple[Tensor, Tensor]]:
        """Boxes of each image, clipped to it, and their scores [N_i, K] in 0..1, as `nms.Suppression` takes them.

        Boxes are [N_i, K, 4], or [N_i, 4] where all classes have one.
        """
        numbers = [len(one) for one in regions]
        count_regions(sum(numbers))
        logits, deltas = self(features, regions)
        boxes = clip(decode(torch.cat(regions), deltas, self.box_loss.weights), size)
        visible = (boxes[..., 2:] - boxes[..., :2] >= SMALLEST_SIDE).all(-1)
        scores = torch.where(visible, logits.softmax(-1)[:, : self.classes], 0.0)
        if boxes.shape[1] == 1:
            boxes = boxes[:, 0]
        return list(zip(boxes.split(numbers), scores.split(numbers), strict=True))
