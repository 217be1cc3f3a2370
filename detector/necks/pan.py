"""Path aggregation network: top-down, then bottom-up (Liu et al. 2018), with cross-stage partial blocks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from detector.layers import CSP, ConvNormActivation, initialise, scale_channels, scale_depth
from detector.necks.neck import ADDED, NeckOptions, pyramid_levels
from detector.options import Activation, Multiple, Norm, arguments
from detector.types import FeatureInfo

CHANNELS = {2: 128, 3: 256, 4: 512, 5: 1024, 6: 1024}
BLOCKS = 3


@dataclass
class PANOptions(NeckOptions):
    """Liu et al. 2018, with the cross-stage partial blocks of the YOLO family: top-down, then bottom-up."""

    name: str = "pan"
    activation: Activation = "silu"
    norm: Norm = "batch"
    width: Multiple = 0.25
    """Multiple of the 256, 512, 1024 channels that P3, P4, P5 have."""
    depth: Multiple = 0.33
    """Multiple of the 3 residual blocks of each stage."""

    def build_pyramid(self, features: FeatureInfo) -> PAN:
        """The PAN that these options describe."""
        return PAN(features, **arguments(self, *ADDED))


class PAN(nn.Module):
    """C2.. or C3.. → P2.. or P3.., each of which has seen every other level.

    Top-down: T5 = C5; T(k) = CSP(cat[up(R(k+1)), C(k)]), where R(k) is T(k) after a 1×1 convolution to the width of
    level k−1 and `up` repeats each point 2×2. Bottom-up: P(lowest) = T(lowest); P(k) = CSP(cat[down(P(k−1)), R(k)]),
    where `down` is a 3×3 convolution of stride 2. P6, having no C6, is CSP(down(P5)).

    `width` multiplies the 128, 256, 512, 1024, 1024 channels of P2 to P6, `depth` the 3 residual blocks of each CSP,
    which have no shortcut here: the features that are joined are not yet alike.
    `lowest` is 2 or 3, `highest` 5 or 6; other levels, activations and norms raise `OptionError`.
    """

    def __init__(
        self,
        features: FeatureInfo,
        width: float = 0.25,
        depth: float = 0.33,
        activation: str = "silu",
        norm: str = "batch",
        lowest: int = 3,
        highest: int = 5,
    ) -> None:
        super().__init__()
        levels = pyramid_levels(lowest, highest, features)
        channels = {level: scale_channels(CHANNELS[level], width) for level in levels}
        given = dict(zip(features.names, features.channels, strict=True))
        blocks = scale_depth(BLOCKS, depth)

        def convolution(before: int, after: int, kernel: int, stride: int = 1) -> ConvNormActivation:
            return ConvNormActivation(before, after, kernel, stride, activation=activation, norm=norm)

        def csp(before: int, after: int) -> CSP:
            return CSP(before, after, blocks, shortcut=False, activation=activation, norm=norm)

        self.inputs = tuple(f"C{level}" for level in levels if level <= 5)
        self.reduce = nn.ModuleList()
        self.top_down = nn.ModuleList()
        for level in range(5, lowest, -1):
            below = channels[level - 1]
            self.reduce.append(convolution(given["C5"] if level == 5 else channels[level], below, 1))
            self.top_down.append(csp(below + given[f"C{level - 1}"], below))
        self.down = nn.ModuleList()
        self.bottom_up = nn.ModuleList()
        for level in levels[1:]:
            below = channels[level - 1]
            self.down.append(convolution(below, below, 3, stride=2))
            self.bottom_up.append(csp(2 * below if level <= 5 else below, channels[level]))

        self.info = FeatureInfo(
            tuple(f"P{level}" for level in levels), tuple(channels.values()), tuple(2**level for level in levels)
        )
        initialise(self, "kaiming", activation)

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """{"C3": [B, c3, H/8, W/8], ...} → {"P3": [B, p3, H/8, W/8], ...}; H and W are multiples of 32."""
        lower = [features[name] for name in self.inputs]
        x = lower.pop()
        reduced: list[Tensor] = []
        for reduce, block in zip(self.reduce, self.top_down, strict=True):
            reduced.append(reduce(x))
            x = block(torch.cat([F.interpolate(reduced[-1], scale_factor=2.0), lower.pop()], dim=1))
        outputs = [x]
        for down, block in zip(self.down, self.bottom_up, strict=True):
            x = down(x)
            x = block(torch.cat([x, reduced.pop()], dim=1) if reduced else x)
            outputs.append(x)
        return dict(zip(self.info.names, outputs, strict=True))
