"""Darknet-53 (Redmon & Farhadi 2018, YOLOv3)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from detector.backbones.backbone import BackboneOptions
from detector.darknet.layers import NORM_EPSILON
from detector.darknet.weights import Slot, load_weights
from detector.errors import OptionError
from detector.freezing import StagedBackbone
from detector.layers import ConvNormActivation, Residual, initialise
from detector.options import Activation, arguments

CHANNELS = (64, 128, 256, 512, 1024)
BLOCKS = (1, 2, 8, 8, 4)


@dataclass
class Darknet53Options(BackboneOptions):
    """Redmon & Farhadi 2018 (YOLOv3), table 1."""

    name: str = "darknet53"
    weights: str | None = None
    """A Darknet file of its convolutions, as darknet53.conv.74 (ImageNet)."""
    activation: Activation = "leaky_relu"

    def build(self) -> Darknet53:
        """The Darknet-53 that these options describe, with the weights of the file, if one is given."""
        return Darknet53(**arguments(self))


class Darknet53(StagedBackbone):
    """Table 1 of the paper without its classifier: 52 convolutions.

    A 3×3 convolution to 32 channels, then five times a 3×3 convolution of stride 2 and 1, 2, 8, 8, 4 residual blocks.
    The other arguments are those of `BackboneOptions`. torchvision has no weights for it: `pretrained` raises
    `OptionError`. Batch norms have Darknet's ε, at which those published for Darknet were trained.

    Args:
        weights: a Darknet file of these convolutions alone, as `darknet53.conv.74` (ImageNet; 162,482,580 bytes). Needs
            leaky ReLU and batch norm.
    """

    def __init__(
        self,
        weights: str | None = None,
        pretrained: bool = False,
        frozen_stages: int = 0,
        freeze_norm: bool = False,
        activation: str = "leaky_relu",
        norm: str = "batch",
        initialisation: str = "kaiming",
    ) -> None:
        if pretrained:
            raise OptionError(
                "pretrained",
                "darknet53 has no weights in torchvision; give a Darknet file, weights=darknet53.conv.74, or false",
            )
        if weights and (activation, norm) != ("leaky_relu", "batch"):
            raise OptionError(
                "weights",
                f"Darknet-53 was trained with activation=leaky_relu and norm=batch, not {activation} and {norm}",
                weights,
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
        convolutions = [module for module in self.modules() if isinstance(module, ConvNormActivation)]
        for convolution in convolutions:
            if isinstance(convolution.norm, nn.BatchNorm2d):
                convolution.norm.eps = NORM_EPSILON
        if weights:
            load_weights(
                weights,
                [
                    Slot(f"convolution {i} of {len(convolutions)}", one.convolution, one.norm)
                    for i, one in enumerate(convolutions, start=1)
                ],
            )
        self.freeze(frozen_stages, freeze_norm)
