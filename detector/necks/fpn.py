"""Feature pyramid network (Lin et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from detector.layers import ConvNormActivation, initialise
from detector.necks.neck import ADDED, NeckOptions, pyramid_levels
from detector.options import Activation, Channels, Norm, arguments
from detector.types import FeatureInfo


@dataclass
class FPNOptions(NeckOptions):
    """Lin et al. 2017: a top-down path; all levels have the same number of channels."""

    name: str = "fpn"
    channels: Channels = 256
    """Channels of every level."""
    activation: Activation = "none"
    """The activation after every convolution of the neck. The paper has none, and no norm."""
    norm: Norm = "none"

    def build_pyramid(self, features: FeatureInfo) -> FPN:
        """The FPN that these options describe."""
        return FPN(features, **arguments(self, *ADDED))


class FPN(nn.Module):
    """C2.. or C3.. → P2.. or P3.., all with `channels` channels.

    M5 = lateral(C5); M(k) = lateral(C(k)) + up(M(k+1)); P(k) = smooth(M(k)), with 1×1 laterals, 3×3 smoothing and `up`
    repeating each point 2×2 (section 3). P6 is every second point of P5 (section 4.1, footnote 2).
    `lowest` is 2 or 3, `highest` 5 or 6; other levels, activations and norms raise `OptionError`.
    """

    def __init__(
        self,
        features: FeatureInfo,
        channels: int = 256,
        lowest: int = 3,
        highest: int = 5,
        activation: str = "none",
        norm: str = "none",
    ) -> None:
        super().__init__()
        levels = pyramid_levels(lowest, highest, features)
        self.inputs = tuple(f"C{level}" for level in levels if level <= 5)
        given = dict(zip(features.names, features.channels, strict=True))
        self.lateral = nn.ModuleList(
            ConvNormActivation(given[name], channels, 1, activation=activation, norm=norm) for name in self.inputs
        )
        self.smooth = nn.ModuleList(
            ConvNormActivation(channels, channels, 3, activation=activation, norm=norm) for _ in self.inputs
        )
        self.info = FeatureInfo(
            tuple(f"P{level}" for level in levels), (channels,) * len(levels), tuple(2**level for level in levels)
        )
        # Without norms a fan_out rule would scale C5's 2048 channels up by √8; Glorot's weighs both fans.
        initialise(self, "xavier", activation)

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """{"C3": [B, c3, H/8, W/8], ...} → {"P3": [B, channels, H/8, W/8], ...}; H and W are multiples of 32."""
        merged = [lateral(features[name]) for name, lateral in zip(self.inputs, self.lateral, strict=True)]
        for level in range(len(merged) - 2, -1, -1):
            merged[level] = merged[level] + F.interpolate(merged[level + 1], scale_factor=2.0)
        outputs = [smooth(m) for m, smooth in zip(merged, self.smooth, strict=True)]
        if len(outputs) < len(self.info.names):
            outputs.append(F.max_pool2d(outputs[-1], kernel_size=1, stride=2))
        return dict(zip(self.info.names, outputs, strict=True))
