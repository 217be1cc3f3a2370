"""CSPDarknet: Darknet with cross-stage partial blocks (Wang et al. 2020; Bochkovskiy et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from detector.backbones.backbone import BackboneOptions
from detector.errors import OptionError
from detector.freezing import StagedBackbone
from detector.layers import CSP, SPP, ConvNormActivation, initialise, scale_channels, scale_depth
from detector.options import Activation, Multiple, arguments

CHANNELS = (64, 128, 256, 512, 1024)
BLOCKS = (3, 6, 6, 3)


@dataclass
class CSPDarknetOptions(BackboneOptions):
    """Darknet with cross-stage partial blocks (Wang et al. 2020), scaled by multiples of depth and width."""

    name: str = "csp_darknet"
    activation: Activation = "silu"
    depth: Multiple = 0.33
    """Multiple of the 3, 6, 6, 3 residual blocks of the stages."""
    width: Multiple = 0.25
    """Multiple of the 64, 128, 256, 512, 1024 channels."""
    spp: bool = True
    """C5 ends in spatial pyramid pooling."""

    def build(self) -> CSPDarknet:
        """The CSPDarknet that these options describe."""
        return CSPDarknet(**arguments(self))


class CSPDarknet(StagedBackbone):
    """A 3×3 stem of stride 2, then four stages of a 3×3 convolution of stride 2 and a CSP block; with
    `spp` C5 ends in spatial pyramid pooling.

    `width` multiplies the 64, 128, 256, 512, 1024 channels and `depth` the 3, 6, 6, 3 residual blocks: 0.25 and 0.33
    make the nano model, 0.5 and 0.33 small, 0.75 and 0.67 medium, 1 and 1 large, 1.25 and 1.33 x.
    The other arguments are those of `BackboneOptions`. There are no pretrained weights: `pretrained` raises `OptionError`.
    """

    def __init__(
        self,
        depth: float = 0.33,
        width: float = 0.25,
        spp: bool = True,
        pretrained: bool = False,
        frozen_stages: int = 0,
        freeze_norm: bool = False,
        activation: str = "silu",
        norm: str = "batch",
        initialisation: str = "kaiming",
    ) -> None:
        if pretrained:
            raise OptionError(
                "pretrained", "csp_darknet has no published weights; choose vgg, resnet or efficientnet, or false"
            )
        channels = [scale_channels(c, width) for c in CHANNELS]
        stages = [nn.Sequential(ConvNormActivation(3, channels[0], 3, stride=2, activation=activation, norm=norm))]
        for before, after, blocks in zip(channels[:-1], channels[1:], BLOCKS, strict=True):
            stages.append(
                nn.Sequential(
                    ConvNormActivation(before, after, 3, stride=2, activation=activation, norm=norm),
                    CSP(after, after, scale_depth(blocks, depth), activation=activation, norm=norm),
                )
            )
        if spp:
            stages[-1].append(SPP(channels[-1], channels[-1], activation=activation, norm=norm))
        super().__init__(stages, channels[1:])
        initialise(self, initialisation, activation)
        self.freeze(frozen_stages, freeze_norm)
