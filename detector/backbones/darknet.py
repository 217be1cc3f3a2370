"""Darknet-53 (Redmon & Farhadi 2018, YOLOv3)."""

from __future__ import annotations

from torch import nn

from detector.backbones.freeze import StagedBackbone
from detector.errors import UserError
from detector.layers import ConvNormActivation, Residual, initialise

CHANNELS = (64, 128, 256, 512, 1024)
BLOCKS = (1, 2, 8, 8, 4)


class Darknet53(StagedBackbone):
    """Table 1 of the paper without its classifier: 52 convolutions.

    A 3×3 convolution to 32 channels, then five times a 3×3 convolution of stride 2 and 1, 2, 8, 8, 4 residual blocks.
    The arguments are those of `detector.config.Backbone`. torchvision has no weights for it: `pretrained` raises
    `UserError`.
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
            raise UserError(
                "backbone.pretrained: darknet53 has no weights in torchvision; choose vgg or resnet, or false"
            )
        stages = []
        before = 32
        for after, blocks in zip(CHANNELS, BLOCKS, strict=True):
            stages.append(
                nn.Sequential(
                    ConvNormActivation(before, after, 3, stride=2, activation=activation, norm=norm),
                    *(Residual(after, after // 2, activation=activation, norm=norm) for _ in range(blocks)),
                )
            )
            before = after
        stages[0].insert(0, ConvNormActivation(3, 32, 3, activation=activation, norm=norm))
        super().__init__(stages, CHANNELS[1:])
        initialise(self, initialisation, activation)
        self.freeze(frozen_stages, freeze_norm)
