"""What a detector asks of a neck, and the options that every neck has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from torch import Tensor

from detector.errors import OptionError, named
from detector.necks.extras import NeckWithExtras
from detector.options import MISSING, Activation, Norm, OneOf, Range, ShareBelowOne
from detector.types import FeatureInfo


class Neck(Protocol):
    """An `nn.Module` that turns the features of a backbone into those that a head reads.

    {"C3": [B, c3, H/8, W/8], ...} → {"P3": [B, p3, H/8, W/8], ...}.
    """

    info: FeatureInfo
    """Names, channels and strides of the levels that come out, known before any forward pass."""

    def __call__(self, features: dict[str, Tensor], /) -> dict[str, Tensor]:
        """Features of the backbone by name → levels by name, in the order of their strides."""


@dataclass
class NeckOptions:
    """The options that every neck has."""

    name: str = MISSING
    """The kind of neck."""
    lowest: Annotated[int, OneOf(2, 3)] = 3
    """The lowest level: 2 adds P2 (stride 4), 3 starts at P3 (stride 8)."""
    highest: Annotated[int, OneOf(5, 6)] = 5
    """The highest level: 5 ends at P5 (stride 32), 6 adds P6 (stride 64)."""
    activation: Activation = MISSING
    """The activation after every convolution of the neck."""
    norm: Norm = MISSING
    """The normalisation after every convolution of the neck; without any, convolutions have biases."""
    spp: bool = False
    """Spatial pyramid pooling of C5 (He et al. 2015) before the neck."""
    attention: Annotated[str, OneOf("none", "sam")] = "none"
    """Attention at each level: sam is YOLOv4's spatial attention (Bochkovskiy et al. 2020, section 3.3)."""
    dropblock: ShareBelowOne = 0.0
    """Share of each level that DropBlock (Ghiasi et al. 2018) drops in training; 0 drops nothing."""
    dropblock_size: Annotated[int, Range(1, 1024)] = 7
    """Side of the squares that DropBlock drops, in points of the level."""

    def build(self, features: FeatureInfo) -> Neck:
        """The neck on the features of a backbone, with SPP, attention and DropBlock where they are asked for.

        Raises:
            OptionError: a value cannot be, or the features lack the lowest level.
        """
        neck = self.build_pyramid(features)
        if not (self.spp or self.attention != "none" or self.dropblock):
            return neck
        with named(probability="dropblock", size="dropblock_size"):
            return NeckWithExtras(
                neck,
                features,
                self.spp,
                self.attention,
                self.dropblock,
                self.dropblock_size,
                self.activation,
                self.norm,
            )

    def build_pyramid(self, features: FeatureInfo) -> Any:
        """The neck alone: a `Neck` that is an `nn.Module`."""
        raise NotImplementedError


ADDED = ("spp", "attention", "dropblock", "dropblock_size")
"""Options of what stands before and after the neck itself."""


def pyramid_levels(lowest: int, highest: int, features: FeatureInfo) -> list[int]:
    """[lowest, ..., highest], where level k has stride 2^k.

    Raises `OptionError` unless `lowest` is 2 or 3 and `highest` 5 or 6, and where `features` lack C(lowest).
    """
    if lowest not in (2, 3):
        raise OptionError("lowest", f"{lowest} is not a level to start at; choose 2 or 3")
    if highest not in (5, 6):
        raise OptionError("highest", f"{highest} is not a level to end at; choose 5 or 6")
    if f"C{lowest}" not in features.names:
        raise OptionError("lowest", f"the backbone gives {', '.join(features.names)} and no C{lowest}; choose 3")
    return list(range(lowest, highest + 1))
