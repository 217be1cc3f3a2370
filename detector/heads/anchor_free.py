"""Decoupled, anchor-free YOLO head.

At every point one branch gives a logit for each class, the other the distances from the point to the four sides of its
object (FCOS, Tian et al. 2019, eq. 1), in strides. Decoupled branches: YOLOX (Ge et al. 2021, section 2.1). With `bins`
each distance is the mean of a predicted distribution over 0, 1, .., bins−1 (Li et al. 2020, eqs. 3 to 5).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detector.heads.head import HeadOptions
from detector.heads.points import Points, make_points
from detector.layers import ConvNormActivation
from detector.options import Range, arguments
from detector.types import FeatureInfo


@dataclass
class AnchorFreeHeadOptions(HeadOptions):
    """Decoupled head that predicts at each point the distances to the four sides (Tian et al. 2019; Ge et al. 2021)."""

    name: str = "anchor_free"
    bins: Annotated[int, Range(0, 256)] = 16
    """Bins of the distribution over each distance, in strides (Li et al. 2020, generalized focal loss); 0: one number."""
    depthwise: bool = False
    """Depthwise-separable convolutions in the classification branch: cheaper, for slow machines."""

    def build(self, features: FeatureInfo, classes: int, image_size: int) -> AnchorFreeHead:
        """The anchor-free head that these options describe; it is the same for every `image_size`."""
        return AnchorFreeHead(features, classes, **arguments(self))


class AnchorFreeHead(nn.Module):
    """Features → {"class_logits": [B, A, K], "box_logits": [B, A, 4·max(bins, 1)]}, A points over all levels."""

    def __init__(
        self,
        features: FeatureInfo,
        classes: int,
        channels: int = 0,
        convolutions: int = 2,
        bins: int = 16,
        prior_probability: float = 0.01,
        depthwise: bool = False,
        activation: str = "silu",
        norm: str = "batch",
    ) -> None:
        super().__init__()
        self.levels = features.names
        self.strides = features.strides
        self.classes = classes
        self.bins = bins
        self.class_branches = nn.ModuleDict()
        self.box_branches = nn.ModuleDict()
        width = channels or features.channels[0]
        for name, level_channels in zip(features.names, features.channels, strict=True):
            for branches, outputs, separable in (
                (self.class_branches, classes, depthwise),
                (self.box_branches, 4 * max(bins, 1), False),
            ):
                layers: list[nn.Module] = []
                for i in range(convolutions):
                    inputs = level_channels if i == 0 else width
                    if separable:
                        layers.append(
                            ConvNormActivation(inputs, inputs, 3, groups=inputs, activation=activation, norm=norm)
                        )
                        layers.append(ConvNormActivation(inputs, width, 1, activation=activation, norm=norm))
                    else:
                        layers.append(ConvNormActivation(inputs, width, 3, activation=activation, norm=norm))
                layers.append(nn.Conv2d(width if convolutions else level_channels, outputs, 1))
                branches[name] = nn.Sequential(*layers)
        self._initialise_predictions(prior_probability)

    def _initialise_predictions(self, prior_probability: float) -> None:
        for branches, bias in (
            # sigmoid(bias) = prior: the many background points start with next to no loss (Lin et al. 2017, section 4.1)
            (self.class_branches, torch.tensor(-math.log((1 - prior_probability) / prior_probability))),
            (self.box_branches, _initial_box_bias(self.bins)),
        ):
            for branch in branches.values():
                prediction = list(branch.children())[-1]
                assert isinstance(prediction, nn.Conv2d)
                assert prediction.bias is not None
                nn.init.normal_(prediction.weight, std=0.01)
                with torch.no_grad():
                    prediction.bias.copy_(bias)

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Raw predictions of all levels, concatenated in the order of `Points`."""
        class_logits = [self.class_branches[name](features[name]).flatten(2) for name in self.levels]
        box_logits = [self.box_branches[name](features[name]).flatten(2) for name in self.levels]
        return {
            "class_logits": torch.cat(class_logits, dim=2).transpose(1, 2),
            "box_logits": torch.cat(box_logits, dim=2).transpose(1, 2),
        }

    def points(self, image_size: tuple[int, int], device: torch.device) -> Points:
        """One point in the centre of each cell."""
        return make_points(image_size, self.strides, device)

    def scores(self, raw: dict[str, Tensor]) -> Tensor:
        """Raw predictions → float32 [B, A, K], one sigmoid for each class."""
        return raw["class_logits"].float().sigmoid()

    def decode(self, box_logits: Tensor, points: Points) -> Tensor:
        """Raw [..., A, 4·max(bins, 1)] → boxes [..., A, 4], xyxy in input pixels."""
        return distances_to_boxes(self.distances(box_logits), points.centres, points.strides)

    def distances(self, box_logits: Tensor) -> Tensor:
        """Raw [..., 4·max(bins, 1)] → distances [..., 4] to left, top, right, bottom, in strides, ≥ 0."""
        if self.bins == 0:
            return F.softplus(box_logits.float())
        distribution = box_logits.float().unflatten(-1, (4, self.bins)).softmax(dim=-1)
        # a sum, not a matrix product, which autocast would round to bf16
        values = torch.arange(self.bins, dtype=distribution.dtype, device=distribution.device)
        return (distribution * values).sum(dim=-1)


INITIAL_DISTANCE = 2.0
"""Strides from a point to each side of the boxes of an untrained head: boxes of 4 strides, as anchors usually have.

A task-aligned assigner weighs an object by the IoU it is already found with, to a high power. With the uniform
distribution over 16 bins, boxes of 15 strides, small objects would start with next to no weight.
"""


def _initial_box_bias(bins: int) -> Tensor:
    """[4·max(bins, 1)]: the inverse of softplus, or probabilities ∝ q^i, whose mean is q / (1 − q) for many bins."""
    if bins == 0:
        return torch.full((4,), math.log(math.expm1(INITIAL_DISTANCE)))
    q = INITIAL_DISTANCE / (1 + INITIAL_DISTANCE)
    return (torch.arange(bins) * math.log(q)).repeat(4)


def distances_to_boxes(distances: Tensor, centres: Tensor, strides: Tensor) -> Tensor:
    """Distances [..., A, 4] (left, top, right, bottom; in strides) at `centres` [..., A, 2] → boxes [..., A, 4] in pixels."""
    pixels = distances * strides[..., None]
    return torch.cat([centres - pixels[..., :2], centres + pixels[..., 2:]], dim=-1)


def boxes_to_distances(boxes: Tensor, centres: Tensor, strides: Tensor) -> Tensor:
    """Boxes [..., A, 4] in pixels → distances [..., A, 4] in strides; negative where the point lies outside the box."""
    return torch.cat([centres - boxes[..., :2], boxes[..., 2:] - centres], dim=-1) / strides[..., None]
