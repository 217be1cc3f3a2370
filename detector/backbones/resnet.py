"""ResNet (He et al. 2016) from torchvision."""

from __future__ import annotations

import torchvision
from torch import nn

from detector.backbones.freeze import StagedBackbone
from detector.backbones.from_torchvision import adapt, pretrained_state
from detector.errors import UserError
from detector.layers import initialise

CHANNELS = {18: (64, 128, 256, 512), 34: (64, 128, 256, 512), 50: (256, 512, 1024, 2048), 101: (256, 512, 1024, 2048)}


class ResNet(StagedBackbone):
    """ResNet-18, 34, 50 or 101 without its classifier.

    The stages are conv1, then the max pool with conv2_x, then conv3_x, conv4_x and conv5_x (He et al. 2016, table 1).
    The arguments are those of `detector.config.ResNet`. Raises `UserError` on another depth, and where `pretrained`
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
            raise UserError(
                f"backbone.depth: there is no ResNet-{depth}; choose one of {', '.join(map(str, CHANNELS))}"
            )
        if pretrained and norm != "batch":
            raise UserError(
                f"backbone.norm: pretrained ResNets have batch norm, not {norm}; choose backbone.norm=batch"
            )
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
