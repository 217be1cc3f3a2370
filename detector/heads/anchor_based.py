"""The anchor-based head of YOLOv3 and v4 (Redmon & Farhadi 2018, section 2; Bochkovskiy et al. 2020, section 4.3).

A cell predicts a box, an objectness and class logits for each of its level's anchors, sizes that objects often have. A
box is an anchor moved and stretched: with the cell's corner (c_x, c_y) and the anchor's size (p_w, p_h),

    x = stride · (c_x + s·σ(t_x) − (s − 1)/2)        w = p_w · exp(t_w)

and the same for y and h. A factor s > 1 lets a centre reach the border of its cell, which σ alone never does
("eliminate grid sensitivity" in YOLOv4). A detection's score is σ(objectness) · σ(class).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from detector.boxes import convert
from detector.errors import OptionError
from detector.heads.head import HeadOptions
from detector.heads.points import Points, make_points
from detector.layers import ConvNormActivation
from detector.options import Activation, InnerShare, Length, Range, arguments
from detector.types import FeatureInfo

MAX_LOG_STRETCH = math.log(1000.0)
"""Largest t_w before exp(t_w): wider than any image for any anchor, so that nothing overflows and no area is infinite."""
MAX_SHARE = 2.0
"""Largest side of an anchor; an object that fills the image has 1, and what is larger was probably given in pixels."""


Anchor = Annotated[list[Annotated[float, Range(0, MAX_SHARE, above=True)]], Length(2, 2)]
"""Width and height as shares of the image's side: an object that fills the image has 1; pixels would be far larger."""
AnchorsOfLevel = Annotated[list[Anchor], Length(1, 64)]


@dataclass
class AnchorBasedHeadOptions(HeadOptions):
    """YOLOv3's and v4's head: objectness, class and box of several anchors a cell (Redmon & Farhadi 2018)."""

    has_anchors: ClassVar[bool] = True

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
    """For each level of the neck, lowest first, [width, height] of its anchors as shares of image_size.

    By default the nine that Redmon & Farhadi 2018 (section 2.3) found on COCO at 416 pixels; `scripts/anchors.py` finds
    those of other data. In pixels they are what they were in training, also where a checkpoint sees images of another size.
    """
    scale_xy: Annotated[float, Range(1, 2)] = 1.1
    """Grid-sensitivity factor (Bochkovskiy et al. 2020, section 4.3): above 1 centres can reach the border of their cells."""

    def build(self, features: FeatureInfo, classes: int, image_size: int) -> AnchorBasedHead:
        """The anchor-based head that these options describe."""
        return AnchorBasedHead(features, classes, image_size=image_size, **arguments(self))


class AnchorBasedHead(nn.Module):
    """Features → "class_logits" [B, A, K], "box_logits" [B, A, 4] (t_x, t_y, t_w, t_h), "objectness_logits" [B, A].

    Args:
        features: what the neck gives.
        classes: K.
        anchors: of each level [(width, height), ..], as shares of the side of the image that the model is trained on.
        image_size: that side, in pixels. From then on an anchor has its size in pixels, also on images of another size:
            an object of so many pixels looks the same to the network whatever lies around it.
        channels: width of the convolutions; 0: the width of the first level.
        convolutions: 3×3 convolutions before the prediction.
        scale_xy: s.
        prior_probability: objectness of the untrained head.
        activation: of the convolutions.
        norm: of the convolutions.
    """

    bins = 0

    def __init__(
        self,
        features: FeatureInfo,
        classes: int,
        anchors: Sequence[Sequence[Sequence[float]]],
        image_size: int,
        channels: int = 0,
        convolutions: int = 1,
        scale_xy: float = 1.1,
        prior_probability: float = 0.01,
        activation: str = "leaky_relu",
        norm: str = "batch",
    ) -> None:
        super().__init__()
        _check(anchors, features, scale_xy)
        self.levels = features.names
        self.strides = features.strides
        self.classes = classes
        self.anchors = tuple(tuple((w * image_size, h * image_size) for w, h in level) for level in anchors)
        self.scale_xy = scale_xy
        self.branches = nn.ModuleDict()
        width = channels or features.channels[0]
        for name, level_channels, level_anchors in zip(features.names, features.channels, anchors, strict=True):
            layers: list[nn.Module] = []
            for i in range(convolutions):
                inputs = level_channels if i == 0 else width
                layers.append(ConvNormActivation(inputs, width, 3, activation=activation, norm=norm))
            prediction = nn.Conv2d(width if convolutions else level_channels, len(level_anchors) * (5 + classes), 1)
            _initialise(prediction, classes, prior_probability)
            self.branches[name] = nn.Sequential(*layers, prediction)

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Raw predictions of all levels, concatenated in the order of `Points`."""
        rows = []
        for name in self.levels:
            # [B, anchors · (5 + K), H, W] → [B, H · W · anchors, 5 + K]
            cells = self.branches[name](features[name]).flatten(2).transpose(1, 2)
            rows.append(cells.reshape(cells.shape[0], -1, 5 + self.classes))
        box_logits, objectness_logits, class_logits = torch.cat(rows, dim=1).split([4, 1, self.classes], dim=-1)
        return {
            "class_logits": class_logits,
            "box_logits": box_logits,
            "objectness_logits": objectness_logits.squeeze(-1),
        }

    def points(self, image_size: tuple[int, int], device: torch.device) -> Points:
        """A point for each anchor in the centre of each cell."""
        return make_points(image_size, self.strides, device, self.anchors, (self.scale_xy / 2,) * len(self.strides))

    def scores(self, raw: dict[str, Tensor]) -> Tensor:
        """Raw predictions → float32 [B, A, K]: σ(objectness) · σ(class)."""
        return raw["objectness_logits"].float().sigmoid()[..., None] * raw["class_logits"].float().sigmoid()

    def decode(self, box_logits: Tensor, points: Points) -> Tensor:
        """Raw [..., A, 4] → float32 boxes [..., A, 4], xyxy in input pixels."""
        return offsets_to_boxes(box_logits.float(), points, self.scale_xy)


def offsets_to_boxes(offsets: Tensor, points: Points, scale_xy: float | Tensor) -> Tensor:
    """(t_x, t_y, t_w, t_h) [..., A, 4] → xyxy boxes [..., A, 4]; `scale_xy` one factor, or [..., A, 1]."""
    assert points.anchors is not None
    # from the cell's centre instead of its corner: c + s·σ(t) − (s − 1)/2 = (c + ½) + s·(σ(t) − ½)
    centres = points.centres + scale_xy * (offsets[..., :2].sigmoid() - 0.5) * points.strides[..., None]
    sizes = points.anchors * offsets[..., 2:].clamp(max=MAX_LOG_STRETCH).exp()
    return convert(torch.cat([centres, sizes], dim=-1), "cxcywh", "xyxy")


def boxes_to_offsets(boxes: Tensor, points: Points, scale_xy: float | Tensor) -> Tensor:
    """The inverse: xyxy boxes [..., A, 4] → [..., A, 4]; not finite where a centre is out of the cell's reach."""
    assert points.anchors is not None
    centres, sizes = convert(boxes, "xyxy", "cxcywh").split(2, dim=-1)
    share = (centres - points.centres) / points.strides[:, None] / scale_xy + 0.5
    return torch.cat([share.logit(), (sizes / points.anchors).log()], dim=-1)


def _initialise(prediction: nn.Conv2d, classes: int, prior_probability: float) -> None:
    """Boxes begin as the anchors, in the middle of their cells; objectness as the prior; each class with 1/K."""
    assert prediction.bias is not None
    nn.init.normal_(prediction.weight, std=0.01)
    with torch.no_grad():
        bias = torch.zeros(5 + classes)
        bias[4] = -math.log((1 - prior_probability) / prior_probability)
        bias[5:] = -math.log(max(classes, 2) - 1)
        prediction.bias.copy_(bias.repeat(len(prediction.bias) // len(bias)))


def _check(anchors: Sequence[Sequence[Sequence[float]]], features: FeatureInfo, scale_xy: float) -> None:
    if len(anchors) != len(features.names):
        raise OptionError(
            "anchors",
            f"has lists for {len(anchors)} levels, the neck has {len(features.names)} "
            f"({', '.join(features.names)}): give one list a level; scripts/anchors.py levels={len(features.names)} finds them",
        )
    for name, level in zip(features.names, anchors, strict=True):
        if not level:
            raise OptionError("anchors", f"level {name} has none: give it at least one [width, height]")
        for anchor in level:
            if len(anchor) != 2 or not all(0 < side <= MAX_SHARE for side in anchor):
                raise OptionError(
                    "anchors",
                    f"{list(anchor)} of level {name}: an anchor is [width, height] as shares of image_size, "
                    f"above 0 and at most {MAX_SHARE:g}; divide pixels by image_size",
                )
    if not 1 <= scale_xy <= 2:
        raise OptionError("scale_xy", "must be from 1 (YOLOv3) to 2", f"{scale_xy:g}")
