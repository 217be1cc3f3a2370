"""Schemas of the parts of a detector: `model`, `backbone`, `neck`, `head`, `assigner` and `loss`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from detector.config.missing import MISSING
from detector.config.ranges import (
    Activation,
    Channels,
    Count,
    Exponent,
    Initialisation,
    InnerShare,
    IoU,
    Length,
    Lines,
    Multiple,
    Norm,
    OneOf,
    Pattern,
    Range,
    Share,
    ShareBelowOne,
    Suppression,
    Weight,
)


@dataclass
class Backbone:
    """What every backbone has."""

    name: str = MISSING
    pretrained: bool = False
    """ImageNet weights (torchvision's or timm's); not every backbone has them."""
    frozen_stages: Annotated[int, Range(0, 5)] = 0
    """How many stages, counted from the image, are not trained."""
    freeze_norm: bool = False
    """Batch-norm layers keep their statistics and their affine parameters."""
    activation: Activation = "relu"
    norm: Norm = "batch"
    initialisation: Initialisation = "kaiming"
    """He et al. 2015 or Glorot & Bengio 2010; of what is not pretrained."""


@dataclass
class VGG(Backbone):
    """Simonyan & Zisserman 2015, in batch-norm form."""

    name: str = "vgg"
    depth: Annotated[int, OneOf(11, 13, 16, 19)] = 16


@dataclass
class ResNet(Backbone):
    """He et al. 2016."""

    name: str = "resnet"
    depth: Annotated[int, OneOf(18, 34, 50, 101)] = 50


@dataclass
class Darknet53(Backbone):
    """Redmon & Farhadi 2018, table 1."""

    name: str = "darknet53"
    weights: str | None = None
    """A Darknet file of its convolutions, as darknet53.conv.74 (ImageNet)."""
    activation: Activation = "leaky_relu"


@dataclass
class Darknet19(Backbone):
    """Redmon & Farhadi 2017 (YOLO9000), table 6."""

    name: str = "darknet19"
    activation: Activation = "leaky_relu"


@dataclass
class DarknetCfg(Backbone):
    """A classifier that a Darknet `.cfg` describes, as darknet53.cfg or csdarknet53.cfg, without its scores."""

    name: str = "darknet_cfg"
    cfg: str = MISSING
    cfg_text: Annotated[str, Lines()] | None = None
    """What the file says; a run fills it in, so that its checkpoint needs the file no more."""
    weights: str | None = None
    """A Darknet weights file of the classifier, or, called NAME.conv.N, of its first N layers."""
    activation: Annotated[str, OneOf("own")] = "own"
    """The `.cfg` says activation, norm and, where no weights are given, nothing else; anything but "own" is refused."""
    norm: Annotated[str, OneOf("own")] = "own"
    initialisation: Annotated[str, OneOf("own")] = "own"


@dataclass
class CSPDarknet(Backbone):
    """Darknet with cross-stage partial blocks (Wang et al. 2020), scaled by multiples of depth and width."""

    name: str = "csp_darknet"
    activation: Activation = "silu"
    depth: Multiple = 0.33
    """Multiple of the 3, 6, 6, 3 residual blocks of the stages."""
    width: Multiple = 0.25
    """Multiple of the 64, 128, 256, 512, 1024 channels."""
    spp: bool = True
    """C5 ends in spatial pyramid pooling."""


@dataclass
class EfficientNet(Backbone):
    """Tan & Le 2019."""

    name: str = "efficientnet"
    activation: Activation = "silu"
    variant: Annotated[str, OneOf("b0", "b1", "b2", "b3", "b4")] = "b0"
    stochastic_depth: ShareBelowOne = 0.2
    """Probability to skip the last residual block in a training step; earlier blocks are skipped less."""


@dataclass
class Timm(Backbone):
    """Any network of timm with features of stride 8, 16 and 32; needs `pip install timm`."""

    name: str = "timm"
    model: Annotated[str, Pattern(r"[\w.]+", "a name of timm's, such as convnext_tiny or resnet50.a1_in1k")] = MISSING
    """timm's name, such as convnext_tiny or resnet50.a1_in1k."""
    activation: Annotated[str, OneOf("own")] = "own"
    """A network of timm keeps its own activation, norm and initialisation."""
    norm: Annotated[str, OneOf("own")] = "own"
    initialisation: Annotated[str, OneOf("own")] = "own"


@dataclass
class Neck:
    """What every neck has."""

    name: str = MISSING
    lowest: Annotated[int, OneOf(2, 3)] = 3
    """2 adds P2 (stride 4), 3 starts at P3 (stride 8)."""
    highest: Annotated[int, OneOf(5, 6)] = 5
    """5 ends at P5 (stride 32), 6 adds P6 (stride 64)."""
    activation: Activation = MISSING
    norm: Norm = MISSING
    spp: bool = False
    """Spatial pyramid pooling of C5 (He et al. 2015) before the neck."""
    attention: Annotated[str, OneOf("none", "sam")] = "none"
    """sam: YOLOv4's spatial attention (Bochkovskiy et al. 2020, section 3.3) at each level."""
    dropblock: ShareBelowOne = 0.0
    """Share of each level that DropBlock (Ghiasi et al. 2018) drops in training; 0 drops nothing."""
    dropblock_size: Annotated[int, Range(1, 1024)] = 7
    """Side of the squares dropped, in points of the level."""


@dataclass
class NoNeck(Neck):
    """The head stands on the features of the backbone."""

    name: str = "none"
    activation: Activation = "none"
    """Of the SPP's convolutions; without SPP there is nothing that could have one."""
    norm: Norm = "none"
    """Of SPP and SAM; without them there is nothing that could have one."""


@dataclass
class FPN(Neck):
    """Lin et al. 2017."""

    name: str = "fpn"
    channels: Channels = 256
    activation: Activation = "none"
    """Of the neck's convolutions. The paper has none, and no norm."""
    norm: Norm = "none"


@dataclass
class PAN(Neck):
    """Liu et al. 2018, with the cross-stage partial blocks of the YOLO family: top-down, then bottom-up."""

    name: str = "pan"
    activation: Activation = "silu"
    norm: Norm = "batch"
    width: Multiple = 0.25
    """Multiple of the 256, 512, 1024 channels that P3, P4, P5 have."""
    depth: Multiple = 0.33
    """Multiple of the 3 residual blocks of each stage."""


@dataclass
class Head:
    """What every head has."""

    name: str = MISSING
    channels: Annotated[int, Range(0, 16_384)] = 0
    """Width of the head's convolutions; 0 takes the width of its first level."""
    convolutions: Annotated[int, Range(0, 64)] = 2
    """3×3 convolutions before each prediction."""
    prior_probability: InnerShare = 0.01
    """Score that the untrained head gives everywhere (Lin et al. 2017, focal loss, section 3.3)."""
    activation: Activation = "silu"
    norm: Norm = "batch"


@dataclass
class AnchorFree(Head):
    """Decoupled head that predicts at each point the distances to the four sides (Tian et al. 2019; Ge et al. 2021)."""

    name: str = "anchor_free"
    bins: Annotated[int, Range(0, 256)] = 16
    """Bins of the distribution over each distance, in strides (Li et al. 2020, generalized focal loss); 0: one number."""
    depthwise: bool = False
    """Depthwise-separable convolutions in the classification branch: cheaper, for slow machines."""


Anchor = Annotated[list[Annotated[float, Range(0, 2, above=True)]], Length(2, 2)]
"""Width and height as shares of the image's side: an object that fills the image has 1; pixels would be far larger."""
AnchorsOfLevel = Annotated[list[Anchor], Length(1, 64)]


@dataclass
class AnchorBased(Head):
    """YOLOv3's and v4's head: objectness, class and box of several anchors a cell (Redmon & Farhadi 2018)."""

    name: str = "anchor_based"
    convolutions: Annotated[int, Range(0, 64)] = 1
    activation: Activation = "leaky_relu"
    prior_probability: InnerShare = 0.01
    """Objectness that the untrained head gives everywhere."""
    anchors: Annotated[list[AnchorsOfLevel], Length(1, 8)] = field(
        default_factory=lambda: [
            [[0.024, 0.031], [0.038, 0.072], [0.079, 0.055]],
            [[0.072, 0.147], [0.149, 0.108], [0.142, 0.286]],
            [[0.279, 0.216], [0.375, 0.476], [0.897, 0.784]],
        ]
    )
    """Of each level of the neck, lowest first, [width, height] of its anchors as shares of image_size.

    By default the nine that Redmon & Farhadi 2018 (section 2.3) found on COCO at 416 pixels; `scripts/anchors.py` finds
    those of other data. In pixels they are what they were in training, also where a checkpoint sees images of another size.
    """
    scale_xy: Annotated[float, Range(1, 2)] = 1.1
    """Grid-sensitivity factor (Bochkovskiy et al. 2020, section 4.3): above 1 centres can reach the border of their cells."""


@dataclass
class Assigner:
    """What every assigner has."""

    name: str = MISSING


@dataclass
class TaskAligned(Assigner):
    """Feng et al. 2021 (TOOD), section 3.2: alignment t = s^alpha · u^beta, the best `top` points inside each object."""

    name: str = "task_aligned"
    top: Count = 13
    alpha: Exponent = 1.0
    beta: Exponent = 6.0


@dataclass
class SimOTA(Assigner):
    """Ge et al. 2021 (YOLOX), section 2.1: the cheapest points near the centre, as many as the object's IoUs add up to."""

    name: str = "simota"
    centre_radius: Annotated[float, Range(0, 1000)] = 2.5
    """Half side of the square around an object's centre, in strides, in which points are preferred."""
    top: Count = 10
    """So many of the best IoUs are added up; no object gets more points."""
    iou_weight: Weight = 3.0
    """Of the IoU loss in the cost, beside the class loss."""


@dataclass
class MaxIoU(Assigner):
    """Anchors whose shape is like the object's (Redmon & Farhadi 2018, section 2.1); only for heads with anchors."""

    name: str = "max_iou"
    iou_threshold: IoU = 0.213
    """Besides the best anchor all answer whose shape has a larger IoU with the object (as in YOLOv4; 1: the best alone)."""
    ignore_threshold: IoU = 0.7
    """Other predictions that overlap an object by more are not taught that nothing is there."""


@dataclass
class Loss:
    """The box, class and distribution losses and their weights."""

    name: str = MISSING
    box: Annotated[str, OneOf("iou", "giou", "diou", "ciou", "l1", "l2")] = "ciou"
    classification: Annotated[str, OneOf("bce", "focal", "varifocal")] = "bce"
    gamma: Exponent = 2.0
    """Of focal and varifocal: how fast the weight of easy points falls."""
    label_smoothing: ShareBelowOne = 0.0
    """Share of an object's class target that is spread over all classes."""
    box_weight: Weight = 7.5
    class_weight: Weight = 1.0
    distribution_weight: Weight = 1.5
    """Of the distribution focal loss (Li et al. 2020, eq. 6); only where the head has bins."""
    objectness_weight: Weight = 0.5
    """Only where the head predicts objectness."""


Mean = Annotated[list[Annotated[float, Range(-10, 10)]], Length(3, 3)]
Deviation = Annotated[list[Annotated[float, Range(1e-4, 1000)]], Length(3, 3)]


@dataclass
class Model:
    """What every detector has."""

    name: str = MISSING
    mean: Mean = field(default_factory=lambda: [0.485, 0.456, 0.406])
    std: Deviation = field(default_factory=lambda: [0.229, 0.224, 0.225])
    """Of RGB in 0..1; ImageNet's, as the pretrained backbones expect."""
    resize: Annotated[str, OneOf("letterbox", "stretch")] = "letterbox"
    """An image keeps its shape, with a grey border, or fills the square that the model sees."""
    score_threshold: Share = 0.001
    suppression: Suppression = "greedy"
    """Which predictions of one object stay (see nms.py)."""
    iou_threshold: IoU = 0.65
    """Of two boxes that overlap more only the better stays; not used by soft, which drops none for its overlap."""
    soft_sigma: Annotated[float, Range(1e-6, 1e6)] = 0.5
    """Used by soft alone: the larger it is, the less an overlap lowers a score (Bodla et al. 2017)."""
    candidates: Count = 1000
    """Predictions an image (boxes × classes) that enter suppression."""
    max_detections: Count = 100


@dataclass
class Search:
    """Selective search (Uijlings et al. 2013), see `detector/proposals/selective_search.py`."""

    strategy: Annotated[str, OneOf("fast", "quality")] = "fast"
    """8 groupings of an image or 80."""
    search_side: Annotated[int, Range(16, 16_384)] = 500
    """Pixels of the long side to which a larger image is brought before it is searched (Girshick et al. 2014: the width)."""
    search_min_side: Annotated[int, Range(1, 16_384)] = 5
    """Boxes with a shorter side, in pixels of the image that is searched, are left out."""


@dataclass
class SingleShot(Model):
    """Backbone → neck → YOLO-style head."""

    name: str = "single_shot"


@dataclass
class Darknet(Model):
    """The network that a Darknet `.cfg` describes (Redmon & Farhadi 2017, 2018; Bochkovskiy et al. 2020).

    It takes the place of backbone, neck and head.
    """

    name: str = "darknet"
    cfg: str = MISSING
    cfg_text: Annotated[str, Lines()] | None = None
    """What the file says; a run fills it in, so that its checkpoint needs the file no more."""
    weights: str | None = None
    """A Darknet weights file of this network, or, called NAME.conv.N, of its first N layers."""
    mean: Mean = field(default_factory=lambda: [0.0, 0.0, 0.0])
    std: Deviation = field(default_factory=lambda: [1.0, 1.0, 1.0])
    """Darknet's networks see RGB in 0..1."""
    resize: Annotated[str, OneOf("cfg", "letterbox", "stretch")] = "cfg"
    """By default letterbox where the `.cfg` says letter_box=1, otherwise stretch."""
    iou_threshold: IoU = 0.45
    """Darknet's own."""
