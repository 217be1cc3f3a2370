"""Darknet-19 (Redmon & Farhadi 2017, YOLO9000)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from detector.backbones.backbone import BackboneOptions
from detector.errors import OptionError
from detector.freezing import StagedBackbone
from detector.layers import ConvNormActivation, initialise
from detector.options import Activation, arguments

STAGES = (
    ((32, 3), (64, 3)),
    ((128, 3), (64, 1), (128, 3)),
    ((256, 3), (128, 1), (256, 3)),
    ((512, 3), (256, 1), (512, 3), (256, 1), (512, 3)),
    ((1024, 3), (512, 1), (1024, 3), (512, 1), (1024, 3)),
)
"""(filters, kernel) of the convolutions of table 6; a 2×2 max pool comes before each stage but the first."""


@dataclass
class Darknet19Options(BackboneOptions):
    """Redmon & Farhadi 2017 (YOLO9000), table 6."""

    name: str = "darknet19"
    activation: Activation = "leaky_relu"

    def build(self) -> Darknet19:
        """The Darknet-19 that these options describe."""
        return Darknet19(**arguments(self))


class Darknet19(StagedBackbone):
    """Table 6 of the paper without its classifier: 18 convolutions and five 2×2 max pools.

    The first stage also holds the first pool, between its two convolutions.
    The arguments are those of `BackboneOptions`. torchvision has no weights for it: `pretrained` raises `OptionError`.
    """

    def __init__(
        self,
        pretrained: bool = False,
        frozen_stages: int = 0,
        freeze_norm: bool = False,
        activation: str = "leaky_relu",
        norm: str = "batch",
        initialisation: str = "kaiming",
    ) -> None:
        if pretrained:
            raise OptionError(
                "pretrained", "darknet19 has no weights in torchvision; choose vgg, resnet or efficientnet, or false"
            )
        stages: list[nn.Sequential] = []
        before = 3
        for rows in STAGES:
            stage = nn.Sequential()
            if stages:
                stage.append(nn.MaxPool2d(2))
            for filters, kernel in rows:
                stage.append(ConvNormActivation(before, filters, kernel, activation=activation, norm=norm))
                before = filters
            stages.append(stage)
        stages[0].insert(1, nn.MaxPool2d(2))
        super().__init__(stages, [rows[-1][0] for rows in STAGES[1:]])
        initialise(self, initialisation, activation)
        self.freeze(frozen_stages, freeze_norm)
