"""What R-CNN makes of the features of a warped region."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from detector.models.rcnn import RCNN
from detector.models.regions.sampling import RegionSampler
from detector.types import FeatureInfo


class Given(nn.Module):
    """A backbone whose last level is what it is told."""

    info = FeatureInfo(("C4", "C5"), (3, 2), (16, 32))

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        self.features = features

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"C4": torch.full((len(x), 3, 4, 4), 100.0), "C5": self.features.expand(len(x), -1, -1, -1)}


def rcnn(features: Tensor) -> Any:
    model = RCNN(Given(features), 3, SimpleNamespace(), RegionSampler(), SimpleNamespace())  # type: ignore[arg-type]
    nn.init.constant_(model.class_logits.weight, 1.0)
    return model


def test_the_last_level_is_averaged_and_not_its_peak_taken() -> None:
    """Channel 0 is 1 everywhere but for one peak of 17 among 2 × 2 points: its mean is 5, and 0.5 is that of channel 1."""
    features = torch.tensor([[[[1.0, 17.0], [1.0, 1.0]], [[0.5, 0.5], [0.5, 0.5]]]])
    logits, deltas = rcnn(features)(torch.zeros(2, 3, 64, 64))
    assert logits.shape == (2, 4)
    assert deltas.shape == (2, 3, 4)
    assert logits.flatten().tolist() == pytest.approx([5.5] * 8)
