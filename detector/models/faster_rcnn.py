"""Faster R-CNN: regions that may hold an object, then a class and a better box for each (Ren et al. 2015)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, ClassVar

import torch
from torch import Tensor, nn

from detector.backbones.backbone import Backbone
from detector.errors import named
from detector.models.detector import Normalise
from detector.models.roi_stage import RoIStage, TwoStageOptions
from detector.models.stages import stage
from detector.necks.extras import project_channels
from detector.necks.neck import Neck
from detector.nms import NMS
from detector.options import Count, Length, PositiveShare, Range, Weight
from detector.targets import Targets
from detector.types import Detections, FeatureInfo, Target

if TYPE_CHECKING:
    from detector.models.proposal_network import ProposalNetwork

AnchorSizes = Annotated[list[Annotated[float, Range(0, 8, above=True)]], Length(1, 32)]
AnchorRatios = Annotated[list[Annotated[float, Range(0.01, 100)]], Length(1, 32)]


@dataclass
class FasterRCNNOptions(TwoStageOptions):
    """Ren et al. 2015, with the feature pyramid of Lin et al. 2017 where neck=fpn.

    It takes the place of head, assigner and loss.
    """

    parts: ClassVar[tuple[str, ...]] = ("backbone", "neck")

    name: str = "faster_rcnn"
    anchor_sizes: AnchorSizes = field(default_factory=lambda: [0.32, 0.45])
    """Sides of the anchors of P5, as shares of image_size; half as large at P4, a quarter at P3, twice as large at P6.

    By default half-octave steps: of the area of a square of 0.08 to 0.45 of the image's side at P3 to P5, at 320 pixels
    3 to 5 strides. Lin et al. 2017 have one size a level, 8 strides: 32 to 512 pixels in images of 800. In pixels they are
    what they were in training, also where a checkpoint sees images of another size.
    """
    anchor_ratios: AnchorRatios = field(default_factory=lambda: [0.5, 1.0, 2.0])
    """Height divided by width; every size has each."""
    rpn_positive_iou: PositiveShare = 0.5
    """Smallest IoU with an object at which an anchor is a positive; besides, the best anchors of each object are.

    Ren et al. 2015 take 0.7, with anchors of 8 to 32 strides. Those of 3 to 5 strides lie too far apart for that: of them 0.7
    an object would reach it on drawn scenes and on BCCD, and about 10 reach 0.5, as Lin et al. 2017 (RetinaNet) have it.
    """
    rpn_negative_iou: PositiveShare = 0.3
    """An anchor whose IoU with every object is smaller is background."""
    rpn_sampled_anchors: Count = 256
    """Anchors of an image that a step learns from."""
    rpn_positive_share: PositiveShare = 0.5
    """Largest share of positives among the sampled anchors."""
    rpn_training_candidates: Count = 2000
    """Proposals of each level that enter suppression in training."""
    rpn_candidates: Count = 1000
    """Proposals of each level that enter suppression in detection."""
    rpn_iou_threshold: PositiveShare = 0.7
    """IoU above which only the better of two proposals of a level goes on."""
    training_proposals: Count = 300
    """Proposals of an image from which `sampled_regions` are drawn; as many as in detection, so that training sees the same.

    With some thousand anchors, a thousand proposals would mostly show nothing at all.
    """
    proposals: Count = 300
    """Proposals of an image that the second stage looks at in detection."""
    rpn_objectness_weight: Weight = 1.0
    """Weight of the proposal network's objectness loss."""
    rpn_box_weight: Weight = 1.0
    """Weight of the proposal network's box loss."""

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Neither a region nor an anchor is background and a positive at once."""
        yield from super().contradictions()
        if self.rpn_negative_iou > self.rpn_positive_iou:
            yield "rpn_negative_iou", f"at most rpn_positive_iou={self.rpn_positive_iou}"

    def build(self, *, backbone: Backbone, neck: Neck, classes: int, image_size: int) -> FasterRCNN:
        """The detector made of these parts; anchors are shares of `image_size`."""
        pyramid = project_channels(neck, self.channels)
        proposals = self._build_proposal_network(pyramid.info, image_size)
        roi_stage = self.build_roi_stage(pyramid.info, classes)
        return FasterRCNN(backbone, pyramid, proposals, roi_stage, self.build_suppression(), self.mean, self.std)

    def _build_proposal_network(self, features: FeatureInfo, image_size: int) -> ProposalNetwork:
        from detector.models.proposal_network import ProposalNetwork  # here: torchvision takes seconds

        own = ("positive_iou", "negative_iou", "sampled_anchors", "positive_share", "training_candidates", "candidates",
               "iou_threshold", "objectness_weight", "box_weight")  # fmt: skip
        with named(**{name: f"rpn_{name}" for name in own}):
            return ProposalNetwork(
                features,
                image_size,
                self.anchor_sizes,
                self.anchor_ratios,
                training_proposals=self.training_proposals,
                proposals=self.proposals,
                **{name: getattr(self, f"rpn_{name}") for name in own},
            )


class FasterRCNN(nn.Module):
    """Images uint8 [B, 3, H, W], RGB, sides a multiple of the largest stride.

    Both stages read the levels of `neck`, which have equally many channels (`necks/extras.py`).
    """

    def __init__(
        self,
        backbone: Backbone,
        neck: Neck,
        proposals: ProposalNetwork,
        roi_stage: RoIStage,
        suppression: NMS,
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

    def losses(self, images: Tensor, targets: Sequence[Target]) -> dict[str, Tensor]:
        """Weighted scalar losses by name; their sum is what is minimised: both stages learn together.

        The second stage learns from proposals as they are: no gradient goes through their corners (Ren et al. 2015,
        section 3.2, "approximate joint training").
        """
        targets = Targets.of(targets, images.device).without_crowds()
        levels = self(images)
        proposals, there, losses = self.proposals.losses(images, levels, targets)
        return losses | self.roi_stage.losses(levels, proposals.unbind(), targets, there.unbind())

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
            return self.suppression.ragged(found)


def _size(images: Tensor) -> tuple[int, int]:
    return images.shape[-2], images.shape[-1]
