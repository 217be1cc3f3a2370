"""Fast R-CNN: the features of the image are computed once and proposals are classified on them (Girshick 2015)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from detector.backbones.backbone import Backbone
from detector.errors import OptionError
from detector.models.detector import Normalise
from detector.models.regions.search import OnProposalsOptions, Search, of_targets, proposals_for
from detector.models.roi_stage import RoIStage, TwoStageOptions
from detector.models.stages import stage
from detector.necks.extras import project_channels
from detector.necks.neck import Neck
from detector.nms import NMS
from detector.targets import Targets
from detector.types import Detections, Target


@dataclass
class FastRCNNOptions(OnProposalsOptions, TwoStageOptions):
    """Girshick 2015: the second stage of Faster R-CNN on proposals that selective search finds.

    It takes the place of head, assigner and loss.
    """

    parts: ClassVar[tuple[str, ...]] = ("backbone", "neck")

    name: str = "fast_rcnn"

    def build(self, *, backbone: Backbone, neck: Neck, classes: int, image_size: int) -> FastRCNN:
        """The detector made of these parts, for images of any size."""
        pyramid = project_channels(neck, self.channels)
        return FastRCNN(
            backbone,
            pyramid,
            self.build_search(),
            self.build_roi_stage(pyramid.info, classes),
            self.build_suppression(),
            self.max_proposals,
            self.mean,
            self.std,
        )


class FastRCNN(nn.Module):
    """Images uint8 [B, 3, H, W], RGB, sides a multiple of the largest stride, and proposals for each.

    The levels of `neck` have equally many channels (`necks/extras.py`); `search` finds proposals where none
    come with the images, and of either the best `max_proposals` are used.
    """

    def __init__(
        self,
        backbone: Backbone,
        neck: Neck,
        search: Search,
        roi_stage: RoIStage,
        suppression: NMS,
        max_proposals: int = 2000,
        mean: Sequence[float] = (0.485, 0.456, 0.406),
        std: Sequence[float] = (0.229, 0.224, 0.225),
    ) -> None:
        super().__init__()
        if max_proposals < 1:
            raise OptionError("max_proposals", "must be 1 or more", max_proposals)
        self.normalise = Normalise(mean, std)
        self.backbone = backbone
        self.neck = neck
        self.search = search
        self.roi_stage = roi_stage
        self.suppression = suppression
        self.max_proposals = max_proposals

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """The levels that all regions are read from, and what `trainer.compile` compiles."""
        with stage("features"):
            levels: dict[str, Tensor] = self.neck(self.backbone(self.normalise(images)))
            return levels

    def losses(self, images: Tensor, targets: Sequence[Target]) -> dict[str, Tensor]:
        """Weighted scalar losses `class` and `box`; proposals are those of the targets."""
        targets = Targets.of(targets, images.device).without_crowds()
        proposals = of_targets(images, targets, self.search, self.max_proposals)
        return self.roi_stage.losses(self(images), proposals, targets)

    @torch.no_grad()
    def detect(self, images: Tensor, proposals: Sequence[Tensor | None] | None = None) -> list[Detections]:
        """Detections of each image, in pixels of the images given. In float32, whatever the precision of training.

        `proposals`, boxes [P, 4] of each image, are searched for where they are not given.
        """
        regions = proposals_for(images, proposals, self.search, self.max_proposals)
        with torch.autocast(images.device.type, enabled=False):
            levels = self(images)
            with stage("heads"):
                found = self.roi_stage.detect(levels, regions, _size(images))
        with stage("suppression"):
            return self.suppression.ragged(found)


def _size(images: Tensor) -> tuple[int, int]:
    return images.shape[-2], images.shape[-1]
