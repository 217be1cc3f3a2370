"""No neck: the head stands on the features of the backbone, as in SSD (Liu et al. 2016)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from detector.errors import OptionError
from detector.necks.neck import NeckOptions, pyramid_levels
from detector.options import Activation, Norm
from detector.types import FeatureInfo


@dataclass
class NoNeckOptions(NeckOptions):
    """No neck: the head stands on the features of the backbone, as in SSD (Liu et al. 2016)."""

    name: str = "none"
    activation: Activation = "none"
    """The activation of SPP's convolutions; without SPP there is nothing that could have one."""
    norm: Norm = "none"
    """The normalisation in SPP and SAM; without them there is nothing that could have one."""

    def build_pyramid(self, features: FeatureInfo) -> NoNeck:
        """The features of the backbone by the names of levels.

        Raises:
            OptionError: an activation or a norm is given where nothing could have it.
        """
        for key, value, wanted, has_layers in (
            ("activation", self.activation, "spp=true", self.spp),
            ("norm", self.norm, "spp=true or attention=sam", self.spp or self.attention == "sam"),
        ):
            if value != "none" and not has_layers:
                raise OptionError(key, f"neck none has no convolutions; leave it out or give {wanted}", value)
        return NoNeck(features, self.lowest, self.highest)


class NoNeck(nn.Module):
    """C2.. or C3.. → P2.. or P3..: P(k) is C(k), with the backbone's channels; P6 is every second point of C5.

    It has no parameters. `lowest` is 2 or 3, `highest` 5 or 6; other levels raise `OptionError`.
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
