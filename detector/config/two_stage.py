"""Schemas of the detectors that look at regions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated

from detector.config.parts import Model, Search
from detector.config.ranges import Channels, Count, IoU, Length, PositiveShare, Range, RegionBoxLoss, Weight


@dataclass
class TwoStage(Model):
    """What every detector has that reads regions from shared features (Girshick 2015)."""

    iou_threshold: IoU = 0.5
    channels: Channels = 256
    """Width that 1×1 convolutions bring all levels to, where those of the neck differ (pan, none); not used by fpn."""
    sampled_regions: Count = 128
    """Regions of an image that a step learns from. 512 of each of 2 images are usual; more images need fewer of each."""
    positive_share: PositiveShare = 0.25
    """At most so many of them are positives."""
    positive_iou: PositiveShare = 0.5
    """A region answers for an object from this IoU on ..."""
    negative_iou: PositiveShare = 0.5
    """... and is background below this one."""
    pool_size: Annotated[int, Range(1, 64)] = 7
    """Side of the grid that RoIAlign makes of a region (He et al. 2017)."""
    width: Channels = 1024
    """Of the two fully connected layers."""
    class_agnostic_boxes: bool = False
    """One box a region instead of one for each class."""
    box_loss: RegionBoxLoss = "smooth_l1"
    """smooth_l1 and l1 compare the changes of a region, the others boxes."""
    box_weight: Weight = 1.0
    """Of the second stage's box loss. The IoU family wants about 10: its loss is at most 1 or 2 a box, and hardly ever so."""
    class_weight: Weight = 1.0

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """What is background lies below what answers for an object."""
        if self.negative_iou > self.positive_iou:
            yield "negative_iou", f"at most positive_iou={self.positive_iou}"


AnchorSizes = Annotated[list[Annotated[float, Range(0, 8, above=True)]], Length(1, 32)]
AnchorRatios = Annotated[list[Annotated[float, Range(0.01, 100)]], Length(1, 32)]


@dataclass
class FasterRCNN(TwoStage):
    """Ren et al. 2015, with the feature pyramid of Lin et al. 2017 where neck=fpn.

    It takes the place of head, assigner and loss.
    """

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
    """An anchor answers for an object from this IoU on; besides, the best anchors of each object do ...

    Ren et al. 2015 take 0.7, with anchors of 8 to 32 strides. Those of 3 to 5 strides lie too far apart for that: of them 0.7
    an object would reach it on drawn scenes and on BCCD, and about 10 reach 0.5, as Lin et al. 2017 (RetinaNet) have it.
    """
    rpn_negative_iou: PositiveShare = 0.3
    """... and says that nothing is there below this one."""
    rpn_sampled_anchors: Count = 256
    """Anchors of an image that a step learns from."""
    rpn_positive_share: PositiveShare = 0.5
    """At most so many of them are positives."""
    rpn_training_candidates: Count = 2000
    """Proposals of each level that enter suppression in training ..."""
    rpn_candidates: Count = 1000
    """... and otherwise."""
    rpn_iou_threshold: PositiveShare = 0.7
    """Of two proposals of a level that overlap more only the better one goes on."""
    training_proposals: Count = 300
    """Of an image, from which `sampled_regions` are drawn; as many as in detection, so that it learns from what it will see.

    Of some thousand anchors a thousand proposals would mostly show nothing at all.
    """
    proposals: Count = 300
    """Of an image that the second stage looks at in detection."""
    rpn_objectness_weight: Weight = 1.0
    rpn_box_weight: Weight = 1.0

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """What is background lies below what answers for an object, also of anchors."""
        yield from super().contradictions()
        if self.rpn_negative_iou > self.rpn_positive_iou:
            yield "rpn_negative_iou", f"at most rpn_positive_iou={self.rpn_positive_iou}"


@dataclass
class OnProposals(Search):
    """What every detector has whose regions come from selective search."""

    max_proposals: Count = 2000
    """The best so many of an image are used (Girshick et al. 2014: about 2,000)."""


@dataclass
class FastRCNN(OnProposals, TwoStage):
    """Girshick 2015: the second stage of Faster R-CNN on proposals that selective search finds."""

    name: str = "fast_rcnn"


@dataclass
class RCNN(OnProposals, Model):
    """Girshick et al. 2014: each region is passed through the backbone on its own.

    It takes the place of neck, head, assigner and loss.
    """

    name: str = "rcnn"
    iou_threshold: IoU = 0.5
    region_size: Annotated[int, Range(64, 1024, step=32)] = 64
    """Side of the square to which a region is brought, in pixels; 227 in the paper, here a multiple of 32."""
    context: Annotated[float, Range(0, 0.5, below=True)] = 0.0705
    """Share of that side that shows what is beside the region, on each of the four sides; in the paper 16 of 227 pixels."""
    sampled_regions: Count = 32
    """Regions of an image that a step learns from; 128 of all images of a batch in the paper."""
    positive_share: PositiveShare = 0.25
    """At most so many of them are positives: 32 of 128 in the paper."""
    positive_iou: PositiveShare = 0.5
    """A region answers for an object from this IoU on ..."""
    negative_iou: PositiveShare = 0.5
    """... and is background below this one."""
    box_iou: IoU = 0.6
    """It learns the object's box from this IoU on."""
    chunk: Count = 512
    """Regions that go through the network at once in detection: fewer need less memory."""
    box_loss: RegionBoxLoss = "smooth_l1"
    """smooth_l1 and l1 compare the changes of a region, the others boxes."""
    class_weight: Weight = 1.0
    box_weight: Weight = 1.0

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """What is background lies below what answers for an object."""
        if self.negative_iou > self.positive_iou:
            yield "negative_iou", f"at most positive_iou={self.positive_iou}"
