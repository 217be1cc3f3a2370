"""Images as they are stored → images as networks like them, inside the model, so that a checkpoint carries it along."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Normalise(nn.Module):
    """uint8 (or float 0..255) [B, 3, H, W], RGB → float (x / 255 − mean) / std, per channel."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("offset", torch.tensor(mean).reshape(3, 1, 1) * 255, persistent=False)
        self.register_buffer("scale", 1 / (torch.tensor(std).reshape(3, 1, 1) * 255), persistent=False)
        self.offset: Tensor
        self.scale: Tensor

    def forward(self, images: Tensor) -> Tensor:
        """The same pixels in the dtype of the buffers."""
        return (images.to(self.offset.dtype) - self.offset) * self.scale
