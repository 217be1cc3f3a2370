"""What a single-shot detector and its criterion ask of a head, and the options that every head has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Protocol

import torch
from torch import Tensor

from detector.heads.points import Points
from detector.options import MISSING, Activation, InnerShare, Norm, Range
from detector.types import FeatureInfo


class Head(Protocol):
    """An `nn.Module`: features → raw predictions at A points, and what these mean.

    The raw predictions are a dictionary:

    - "class_logits" [B, A, K]
    - "box_logits" [B, A, *], whose meaning `decode` knows
    - "objectness_logits" [B, A], only where the head tells objects from background apart from their class
    """

    strides: tuple[int, ...]
    """Strides of the head's levels in pixels of the image."""
    classes: int
    """K."""
    bins: int
    """The bins of each of the four distributions over distances (see `anchor_free`); 0 if box logits are no distributions."""

    def __call__(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Features of all levels → raw predictions, in the order of `points`."""

    def points(self, image_size: tuple[int, int], device: torch.device) -> Points:
        """The A points of an image of `image_size` (height, width)."""

    def scores(self, raw: dict[str, Tensor]) -> Tensor:
        """Raw predictions → float32 [B, A, K] in 0..1: the score of each class in a detection."""

    def decode(self, box_logits: Tensor, points: Points) -> Tensor:
        """Raw [..., A, *] → float32 boxes [..., A, 4], xyxy in input pixels; of some of the points also (`Points.at`)."""


@dataclass
class HeadOptions:
    """The options that every head has."""

    has_anchors: ClassVar[bool] = False
    """Whether its points have anchors, which some assigners compare objects with."""

    name: str = MISSING
    """The kind of head."""
    channels: Annotated[int, Range(0, 16_384)] = 0
    """Width of the head's convolutions; 0 takes the width of its first level."""
    convolutions: Annotated[int, Range(0, 64)] = 2
    """Number of 3×3 convolutions before each prediction."""
    prior_probability: InnerShare = 0.01
    """Score that the untrained head gives everywhere (Lin et al. 2017, focal loss, section 3.3)."""
    activation: Activation = "silu"
    """The activation after every convolution but the last, which predicts."""
    norm: Norm = "batch"
    """The normalisation after every convolution but the last; without any, convolutions have biases."""

    def build(self, features: FeatureInfo, classes: int, image_size: int) -> Head:
        """The head on the levels of a neck, for K = `classes` classes.

        Args:
            features: the levels that the neck gives.
            classes: K.
            image_size: side of the square that the detector is trained on, in pixels: anchors are shares of it.

        Raises:
            OptionError: a value cannot be.
        """
        raise NotImplementedError
