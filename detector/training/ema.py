"""Averaged weights: an exponential moving average of everything that the detector has learned or counted."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class AveragedDetector(nn.Module):
    """A second copy of a detector whose weights follow the first one slowly.

    average ← d · average + (1 − d) · weights, with d(n) = min(decay, n / (n + 9)) at update n: a window over about the
    last ninth of a short run, so that the random weights of the beginning are soon forgotten. Batch-norm statistics are
    averaged like weights.
    """

    def __init__(self, detector: nn.Module, decay: float) -> None:
        super().__init__()
        self.module = copy.deepcopy(detector).requires_grad_(False).eval()
        self.decay = decay
        self.updates: Tensor
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        self._count: int | None = None

    def train(self, mode: bool = True) -> AveragedDetector:
        """The average is always in evaluation mode."""
        return super().train(False)

    @torch.no_grad()
    def update(self, detector: nn.Module) -> None:
        """One step towards the weights of `detector`."""
        if self._count is None:  # once: after a resume the buffer knows better than a counter
            self._count = int(self.updates)
        self._count += 1
        self.updates.fill_(self._count)
        decay = min(self.decay, self._count / (self._count + 9))
        pairs = list(zip(self.module.state_dict().values(), detector.state_dict().values(), strict=True))
        floating = [pair for pair in pairs if pair[0].is_floating_point()]
        torch._foreach_lerp_([average for average, _ in floating], [value for _, value in floating], 1 - decay)
        for average, value in pairs:
            if not average.is_floating_point():
                average.copy_(value)
