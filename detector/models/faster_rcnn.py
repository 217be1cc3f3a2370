"""Faster R-CNN: regions that may hold an object, then a class and a better box for each (Ren et al. 2015)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from detector.models.normalise import Normalise
from detector.models.proposal_network import ProposalNetwork
from detector.models.roi_stage import RoIStage
from detector.models.stages import stage
from detector.nms import Suppression
from detector.types import Detections, Target


class FasterRCNN(nn.Module):
    """Images uint8 [B, 3, H, W], RGB, sides a multiple of the largest stride.

    Both stages read the levels of `neck`, which have one width (`necks/one_width.py`).
    """

    def __init__(
        self,
        backbone: nn.Module,
        neck: nn.Module,
        proposals: ProposalNetwork,
        roi_stage: RoIStage,
        suppression: Suppression,
        mean: Sequence[float] = (0.485, 0.456, 0.406),
        std: Sequence[float] = (0.229, 0.224, 0.225),
    ) -> None:
        super().__init__()
        self.normalise = Normalise(mean, std)
        self.backbone = backbone
        self.neck = neck
        self.proposals = proposals
        self.roi_stage = roi_stage
        self.suppression = suppression

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """The levels that both stages read: what is computed of the whole image, and what `trainer.compile` compiles."""
        with stage("features"):
            levels: dict[str, Tensor] = self.neck(self.backbone(self.normalise(images)))
            return levels

    def losses(self, images: Tensor, targets: list[Target]) -> dict[str, Tensor]:
        """Weighted scalar losses by name; their sum is what is minimised: both stages learn together.

        The second stage learns from proposals as they are: no gradient goes through their corners (Ren et al. 2015,
        section 3.2, "approximate joint training").
        """
        targets = [target.without_crowds() for target in targets]
        levels = self(images)
        proposals, losses = self.proposals.losses(images, levels, targets)
        return losses | self.roi_stage.losses(levels, proposals, targets, _size(images))

    @torch.no_grad()
    def detect(self, images: Tensor) -> list[Detections]:
        """Detections of each image, in pixels of the images given. In float32, whatever the precision of training."""
        with torch.autocast(images.device.type, enabled=False):
            levels = self(images)
            with stage("proposals"):
                regions = self.proposals(images, levels)
            with stage("heads"):
                found = self.roi_stage.detect(levels, regions, _size(images))
        with stage("suppression"):
            return [self.suppression(*one) for one in found]


def _size(images: Tensor) -> tuple[int, int]:
    return images.shape[-2], images.shape[-1]
