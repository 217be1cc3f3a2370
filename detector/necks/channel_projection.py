"""Projection of all levels to as many channels, for parts that look at all of them with the same weights."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from detector.errors import OptionError
from detector.layers import ConvNormActivation, initialise
from detector.types import FeatureInfo


class NeckWithProjection(nn.Module):
    """A neck, then a 1×1 convolution to `channels` channels at each of its levels, as the laterals of an FPN are."""

    def __init__(self, neck: Any, channels: int) -> None:
        super().__init__()
        self.neck = neck
        self.same = nn.ModuleList(
            ConvNormActivation(given, channels, 1, activation="none", norm="none") for given in neck.info.channels
        )
        self.info = FeatureInfo(neck.info.names, (channels,) * len(neck.info.names), neck.info.strides)
        initialise(self.same, "xavier", "none")

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """What the neck gives, each level with `channels` channels."""
        levels: dict[str, Tensor] = self.neck(features)
        return {name: same(level) for (name, level), same in zip(levels.items(), self.same, strict=True)}


def project_channels(neck: Any, channels: int) -> Any:
    """The neck itself where its levels have equally many channels; otherwise the neck with each projected to `channels`."""
    if channels < 1:
        raise OptionError("channels", "must be 1 or more", channels)
    return neck if len(set(neck.info.channels)) == 1 else NeckWithProjection(neck, channels)
