"""Backbones whose stages can be frozen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from detector.errors import OptionError
from detector.types import FeatureInfo


class FreezableBackbone(nn.Module):
    """A backbone whose parameters lie in stages, counted from the image."""

    info: FeatureInfo
    stages: Sequence[nn.Module] | nn.ModuleList
    """Together they hold every parameter that is trained."""
    normalisation: tuple[list[float], list[float]] | None = None
    """The (mean, std) of RGB in 0..1 that loaded weights were trained with, where they ask for it."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen_stages = 0
        self.freeze_norm = False

    def freeze(self, stages: int, norm: bool = False) -> None:
        """Stop training the first `stages` stages, and with `norm` every batch norm; train all the rest.

        What is frozen has no gradients, and its batch norms use their running statistics without changing them, also
        after `train()`. May be called again at any time: the last call counts.

        Raises:
            OptionError: there are fewer stages, or there is no batch norm to freeze.
        """
        if not 0 <= stages <= len(self.stages):
            raise OptionError("frozen_stages", f"{stages} is out of range; choose 0 to {len(self.stages)}")
        batch_norms = [module for module in self.modules() if isinstance(module, _BatchNorm)]
        if norm and not batch_norms:
            raise OptionError(
                "freeze_norm",
                "there is no batch norm to freeze; choose freeze_norm=false or a backbone with norm=batch",
            )
        self.frozen_stages = stages
        self.freeze_norm = norm
        self.requires_grad_(True)
        for module in [*self.stages[:stages], *(batch_norms if norm else [])]:
            module.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """As `nn.Module.train`, but what is frozen stays in evaluation mode."""
        super().train(mode)
        for stage in self.stages[: self.frozen_stages]:
            stage.eval()
        if self.freeze_norm:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self


class StagedBackbone(FreezableBackbone):
    """Five stages in a row; stage k ends at stride 2^k, and stages 2 to 5 give the features C2 to C5.

    `channels`: of C2 to C5.
    """

    def __init__(self, stages: Sequence[nn.Module], channels: Sequence[int]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.info = FeatureInfo(("C2", "C3", "C4", "C5"), tuple(channels), (4, 8, 16, 32))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Normalised float images [B, 3, H, W] → {"C2": [B, c2, H/4, W/4], ..., "C5": [B, c5, H/32, W/32]}."""
        x = self.stages[0](images)
        features = {}
        for name, stage in zip(self.info.names, self.stages[1:], strict=True):
            x = stage(x)
            features[name] = x
        return features
