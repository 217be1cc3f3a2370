"""No neck: the head stands on the features of the backbone, as in SSD (Liu et al. 2016)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from detector.necks.levels import pyramid_levels
from detector.types import FeatureInfo


class NoNeck(nn.Module):
    """C2.. or C3.. → P2.. or P3..: P(k) is C(k), with the backbone's channels; P6 is every second point of C5.

    It has no parameters. `lowest` is 2 or 3, `highest` 5 or 6; other levels raise `UserError`.
    """

    def __init__(self, features: FeatureInfo, lowest: int = 3, highest: int = 5) -> None:
        super().__init__()
        levels = pyramid_levels(lowest, highest, features)
        given = dict(zip(features.names, features.channels, strict=True))
        self.inputs = tuple(f"C{level}" for level in levels if level <= 5)
        self.info = FeatureInfo(
            tuple(f"P{level}" for level in levels),
            tuple(given[f"C{min(level, 5)}"] for level in levels),
            tuple(2**level for level in levels),
        )

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """{"C3": [B, c3, H/8, W/8], ...} → {"P3": [B, c3, H/8, W/8], ...}."""
        outputs = [features[name] for name in self.inputs]
        if len(outputs) < len(self.info.names):
            outputs.append(F.max_pool2d(outputs[-1], kernel_size=1, stride=2))
        return dict(zip(self.info.names, outputs, strict=True))
