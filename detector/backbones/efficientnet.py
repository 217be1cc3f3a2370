"""EfficientNet (Tan & Le 2019) from torchvision."""

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
from detector.options import Activation, OneOf, ShareBelowOne, arguments

VARIANTS = ("b0", "b1", "b2", "b3", "b4")


@dataclass
class EfficientNetOptions(BackboneOptions):
    """Tan & Le 2019, from torchvision."""

    name: str = "efficientnet"
    activation: Activation = "silu"
    variant: Annotated[str, OneOf("b0", "b1", "b2", "b3", "b4")] = "b0"
    """The size of the network: each is deeper and wider than the one before it."""
    stochastic_depth: ShareBelowOne = 0.2
    """Probability to skip the last residual block in a training step; earlier blocks are skipped less."""

    def build(self) -> EfficientNet:
        """The EfficientNet that these options describe."""
        return EfficientNet(**arguments(self))


class EfficientNet(StagedBackbone):
    """EfficientNet-B0 to B4 without its last 1×1 convolution and its classifier: stages 1 to 8 of table 1 of the paper.

    The features are what the last blocks of stride 4, 8, 16 and 32 give, as EfficientDet takes them (Tan et al. 2020).
    In training a residual block is skipped with a probability that grows with depth from 0 towards
    `stochastic_depth` (Huang et al. 2016; the paper has 0.2). The other arguments are those of
    `EfficientNetOptions`; `activation` also stands in the squeeze-and-excitation blocks, whose sigmoid stays.
    Raises `OptionError` on another variant, and where `pretrained` weights meet another norm than the batch norm they
    were trained with.
    """

    def __init__(
        self,
        variant: str = "b0",
        stochastic_depth: float = 0.2,
        pretrained: bool = False,
        frozen_stages: int = 0,
        freeze_norm: bool = False,
        activation: str = "silu",
        norm: str = "batch",
        initialisation: str = "kaiming",
    ) -> None:
        if variant not in VARIANTS:
            raise OptionError("variant", f"there is no EfficientNet {variant!r}; choose one of {', '.join(VARIANTS)}")
        if not 0 <= stochastic_depth < 1:
            raise OptionError("stochastic_depth", f"{stochastic_depth} is no probability; choose 0 to below 1")
        if pretrained and norm != "batch":
            raise OptionError("norm", f"pretrained EfficientNets have batch norm, not {norm}; choose norm=batch")
        import torchvision

        name = f"efficientnet_{variant}"
        model = torchvision.models.get_model(name, weights=None, stochastic_depth_prob=stochastic_depth)
        if pretrained:
            model.load_state_dict(pretrained_state(name))
        layers = model.features
        adapt(layers, activation, norm)
        if not pretrained:
            initialise(layers, initialisation, activation)
        edges = (0, 2, 3, 4, 6, 8)  # torchvision's 0 is the stem and its 8 the last convolution, which nobody reads
        stages = [nn.Sequential(*layers[begin:end]) for begin, end in pairwise(edges)]
        super().__init__(stages, [layers[end - 1][-1].out_channels for end in edges[2:]])
        self.freeze(frozen_stages, freeze_norm)
