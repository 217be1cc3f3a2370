"""VGG (Simonyan & Zisserman 2015) from torchvision."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

from torch import nn

from detector.backbones.backbone import BackboneOptions
from detector.backbones.from_torchvision import adapt, pretrained_state
from detector.errors import OptionError
from detector.freezing import StagedBackbone
from detector.layers import initialise
from detector.options import OneOf, arguments

CONFIGURATIONS = {11: "A", 13: "B", 16: "D", 19: "E"}
"""The columns of table 1 of the paper."""


@dataclass
class VGGOptions(BackboneOptions):
    """Simonyan & Zisserman 2015, in batch-norm form, from torchvision."""

    name: str = "vgg"
    depth: Annotated[int, OneOf(11, 13, 16, 19)] = 16
    """The number of layers that have weights, the three of the classifier among them."""

    def build(self) -> VGG:
        """The VGG that these options describe."""
        return VGG(**arguments(self))


class VGG(StagedBackbone):
    """VGG-11, 13, 16 or 19 without its classifier.

    C2, C3 and C4 are the outputs of the third, fourth and fifth block before their max pools, and C5 is the last pool.
    The first stage holds the first two blocks, and each other one begins with a pool, so that the fifth stage, the
    last pool, has no weights. The arguments are those of `VGGOptions`. `norm` "none" is the network of the
    paper. Raises `OptionError` on another depth, and where `pretrained` weights are asked for with group norm.
    """

    def __init__(
        self,
        depth: int = 16,
        pretrained: bool = False,
        frozen_stages: int = 0,
        freeze_norm: bool = False,
        activation: str = "relu",
        norm: str = "batch",
        initialisation: str = "kaiming",
    ) -> None:
        if depth not in CONFIGURATIONS:
            choices = ", ".join(map(str, CONFIGURATIONS))
            raise OptionError("depth", f"there is no VGG-{depth}; choose one of {choices}")
        if pretrained and norm == "group":
            raise OptionError("norm", "pretrained VGGs have no group norm; choose norm=batch or none")
        from torchvision.models.vgg import cfgs, make_layers

        layers = make_layers(cfgs[CONFIGURATIONS[depth]], batch_norm=norm != "none")
        if pretrained:
            state = pretrained_state(f"vgg{depth}" if norm == "none" else f"vgg{depth}_bn")
            prefix = "features."
            layers.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
        adapt(layers, activation, norm)
        if not pretrained:
            initialise(layers, initialisation, activation)
        pools = [index for index, layer in enumerate(layers) if isinstance(layer, nn.MaxPool2d)]
        edges = [0, *pools[1:], len(layers)]
        super().__init__([layers[begin:end] for begin, end in pairwise(edges)], (256, 512, 512, 512))
        self.freeze(frozen_stages, freeze_norm)
