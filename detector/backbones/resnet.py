"""ResNet (He et al. 2016) from torchvision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from torch import nn

from detector.backbones.backbone import BackboneOptions
from detector.backbones.from_torchvision import adapt, pretrained_state
from detector.errors import OptionError
from detector.freezing import StagedBackbone
from detector.layers import initialise
from detector.options import OneOf, arguments

CHANNELS = {18: (64, 128, 256, 512), 34: (64, 128, 256, 512), 50: (256, 512, 1024, 2048), 101: (256, 512, 1024, 2048)}


@dataclass
class ResNetOptions(BackboneOptions):
    """He et al. 2016, from torchvision."""

    name: str = "resnet"
    depth: Annotated[int, OneOf(18, 34, 50, 101)] = 50
    """The number of layers that have weights."""

    def build(self) -> ResNet:
        """The ResNet that these options describe."""
        return ResNet(**arguments(self))


class ResNet(StagedBackbone):
    """ResNet-18, 34, 50 or 101 without its classifier.

    The stages are conv1, then the max pool with conv2_x, then conv3_x, conv4_x and conv5_x (He et al. 2016, table 1).
    The arguments are those of `ResNetOptions`. Raises `OptionError` on another depth, and where `pretrained`
    weights meet another norm than the batch norm they were trained with.
    """

    def __init__(
        self,
        depth: int = 50,
        pretrained: bool = False,
        frozen_stages: int = 0,
        freeze_norm: bool = False,
        activation: str = "relu",
        norm: str = "batch",
        initialisation: str = "kaiming",
    ) -> None:
        if depth not in CHANNELS:
            raise OptionError("depth", f"there is no ResNet-{depth}; choose one of {', '.join(map(str, CHANNELS))}")
        if pretrained and norm != "batch":
            raise OptionError("norm", f"pretrained ResNets have batch norm, not {norm}; choose norm=batch")
        import torchvision  # here, as in every backbone of torchvision: it takes seconds

        name = f"resnet{depth}"
        model = torchvision.models.get_model(name, weights=None)
        if pretrained:
            model.load_state_dict(pretrained_state(name))
        adapt(model, activation, norm)
        if not pretrained:
            initialise(model, initialisation, activation)
        super().__init__(
            [
                nn.Sequential(model.conv1, model.bn1, model.relu),
                nn.Sequential(model.maxpool, model.layer1),
                model.layer2,
                model.layer3,
                model.layer4,
            ],
            CHANNELS[depth],
        )
        self.freeze(frozen_stages, freeze_norm)
