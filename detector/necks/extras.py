"""What can be added to any neck: SPP before it; spatial attention, DropBlock or a projection to equal channels after it."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from detector.errors import OptionError
from detector.layers import SAM, SPP, ConvNormActivation, DropBlock, initialise
from detector.types import FeatureInfo

ATTENTIONS = ("none", "sam")


class NeckWithExtras(nn.Module):
    """C5 → SPP → the neck → at each of its levels SAM, then DropBlock; each of the three only where it is asked for.

    SPP: after the top of the backbone, as in YOLOv4 (Bochkovskiy et al. 2020, section 3.4); C5 keeps its channels.
    DropBlock (Ghiasi et al. 2018): in what the convolutions of the head read.
    `features` are those of the backbone; `activation` and `norm` those of the layers added (SAM has no activation but
    its sigmoid). An unknown attention raises `OptionError`.
    """

    def __init__(
        self,
        neck: nn.Module,
        features: FeatureInfo,
        spp: bool = False,
        attention: str = "none",
        dropblock: float = 0.0,
        dropblock_size: int = 7,
        activation: str = "silu",
        norm: str = "batch",
    ) -> None:
        super().__init__()
        if attention not in ATTENTIONS:
            raise OptionError("attention", f"{attention!r} is unknown; choose one of {', '.join(ATTENTIONS)}")
        assert isinstance(neck.info, FeatureInfo)
        self.info: FeatureInfo = neck.info
        self.neck = neck
        top = features.channels[features.names.index("C5")]
        self.spp = SPP(top, top, activation, norm) if spp else None
        self.attention = nn.ModuleList(SAM(c, norm) for c in self.info.channels) if attention == "sam" else None
        self.dropblock = DropBlock(dropblock, dropblock_size)
        for extra, follows in ((self.spp, activation), (self.attention, "none")):
            if extra is not None:
                initialise(extra, "xavier", follows)  # weighs both fans, as there may be no norm

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """{"C3": [B, c3, H/8, W/8], ...} → what the neck gives."""
        if self.spp is not None:
            features = {**features, "C5": self.spp(features["C5"])}
        levels: dict[str, Tensor] = self.neck(features)
        if self.attention is not None:
            levels = {name: attend(level) for (name, level), attend in zip(levels.items(), self.attention, strict=True)}
        return {name: self.dropblock(level) for name, level in levels.items()}


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
