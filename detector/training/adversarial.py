"""Self-adversarial training (Bochkovskiy et al. 2020, YOLOv4, section 3.3): the network first attacks its own images.

Stage one changes the image and not the weights, by one step of the fast gradient sign method (Goodfellow et al. 2015,
section 4): x + ε · sign(∂L/∂x), where L is the loss of the image's own targets. Stage two trains on the changed
image with the same targets, as on any other. YOLOv4 does not say how its image is altered and aims at "no object there";
raising the whole loss also moves boxes and confuses classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from detector.errors import UserError
from detector.types import Target

LOSS_SCALE = 1024.0
"""Keeps gradients from vanishing in float16; being a power of two it changes no sign."""


class SelfAdversary:
    """Attacks a share of the steps, chosen by (seed, step): the same ones after a resume and on every process.

    Args:
        share: of the steps, 0..1.
        strength: ε, on the scale 0..255 of the pixels.
        seed: of the run.
    """

    def __init__(self, share: float, strength: float, seed: int) -> None:
        for key, value, high in (("adversarial", share, 1), ("adversarial_strength", strength, 255)):
            if not 0 <= value <= high:
                raise UserError(f"trainer.{key}={value}: must be at least 0 and at most {high}")
        self.share = share
        self.strength = strength
        self.seed = seed

    def attacks(self, step: int) -> bool:
        """Whether the images of this step are attacked."""
        return self.share > 0 and np.random.default_rng((self.seed, step, 0x5A7)).random() < self.share

    def attacked(self, detector: Any, images: Tensor, targets: Sequence[Target]) -> Tensor:
        """The images [B, 3, H, W], uint8 or float 0..255, changed so that the detector's loss rises; float 0..255.

        The detector stays as it is, in its gradients and in its buffers too: the statistics of its batch norms would
        otherwise count every attacked image twice.
        """
        buffers = list(detector.buffers())
        before = [buffer.clone() for buffer in buffers]
        pixels = images.detach().float().requires_grad_()
        loss = torch.stack(list(detector.losses(pixels, targets).values())).sum()
        (gradient,) = torch.autograd.grad(loss * LOSS_SCALE, pixels)
        with torch.no_grad():
            for buffer, value in zip(buffers, before, strict=True):
                buffer.copy_(value)
            return (pixels + self.strength * gradient.nan_to_num(0.0).sign()).clamp(0.0, 255.0)
