"""What a detector asks of a backbone, and the options that every backbone has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Protocol

from torch import Tensor

from detector.errors import OptionError
from detector.options import MISSING, Activation, Initialisation, Norm, OneOf, Range
from detector.types import FeatureInfo

LEVELS = {4: "C2", 8: "C3", 16: "C4", 32: "C5"}
"""Stride → name of the features that are given; C2 only where the network has it."""


class Backbone(Protocol):
    """An `nn.Module` that turns images into features of several strides.

    Normalised float images [B, 3, H, W] → {"C2": [B, c2, H/4, W/4], ..., "C5": [B, c5, H/32, W/32]}, where C2 may be absent.
    """

    info: FeatureInfo
    """Names, channels and strides of the features, known before any forward pass."""

    def __call__(self, images: Tensor, /) -> dict[str, Tensor]:
        """Images [B, 3, H, W] with sides that are multiples of 32 → features by name, in the order of their strides."""

    def freeze(self, stages: int, norm: bool = False) -> None:
        """Stops training the first `stages` stages, and with `norm` every batch norm; trains all the rest."""


@dataclass
class BackboneOptions:
    """The options that every backbone has."""

    name: str = MISSING
    """The kind of backbone."""
    pretrained: bool = False
    """Start from ImageNet weights (torchvision's or timm's); not every backbone has them."""
    frozen_stages: Annotated[int, Range(0, 5)] = 0
    """How many stages, counted from the image, are not trained."""
    freeze_norm: bool = False
    """Batch-norm layers keep their statistics and their affine parameters."""
    activation: Activation = "relu"
    """The activation after every convolution."""
    norm: Norm = "batch"
    """The normalisation after every convolution; without any, convolutions have biases."""
    initialisation: Initialisation = "kaiming"
    """How weights that are not pretrained are drawn: He et al. 2015 or Glorot & Bengio 2010."""

    def build(self) -> Backbone:
        """The backbone, with new or pretrained weights; raises OptionError on a value that cannot be."""
        raise NotImplementedError


@dataclass
class OwnLayersOptions(BackboneOptions):
    """The options of a network whose layers a file or a library describes, so that they are not to be chosen."""

    activation: Annotated[str, OneOf("own")] = "own"
    """The network keeps its own activations; anything but "own" is refused."""
    norm: Annotated[str, OneOf("own")] = "own"
    """The network keeps its own normalisations; anything but "own" is refused."""
    initialisation: Annotated[str, OneOf("own")] = "own"
    """The network draws weights that no file holds in its own way; anything but "own" is refused."""


def refuse_layers(reason: str, **given: str) -> None:
    """Raises `OptionError` on the first of activation, norm and initialisation that is given and not "own"."""
    for key, value in given.items():
        if value != "own":
            raise OptionError(key, f"{value!r} cannot be given {reason}; leave it out")
