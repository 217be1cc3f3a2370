"""Class losses: logits against soft targets, one sigmoid for each class.

A target is 0 where no object of the class is assigned to a point, otherwise the quality in 0..1 that its score should
show. With p = σ(logit), y the target and BCE(p, y) = −y log p − (1 − y) log(1 − p):

    bce        BCE(p, y)
    focal      |y − p|^γ · BCE(p, y)                     Lin et al. 2017, eq. 4, for soft targets: Li et al. 2020, eq. 6
    varifocal  y · BCE(p, y) where y > 0, else α · p^γ · BCE(p, 0)                            Zhang et al. 2021, eq. 2
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from detector.errors import OptionError

ClassLossKind = Literal["bce", "focal", "varifocal"]

VARIFOCAL_ALPHA = 0.75
"""Weight of the negatives (Zhang et al. 2021, table 8)."""


class ClassLoss:
    """`kind`: bce | focal | varifocal; `gamma`: how fast an easy negative's weight falls, unused by bce.

    `smoothing` (Szegedy et al. 2016, section 7) moves this share of a point's target evenly to all classes. Points
    without an object keep their zeros: there the mass has no other class to go to.
    """

    def __init__(self, kind: str = "bce", gamma: float = 2.0, smoothing: float = 0.0) -> None:
        if kind not in get_args(ClassLossKind):
            raise OptionError("classification", f"choose one of {', '.join(get_args(ClassLossKind))}", kind)
        self.kind = kind
        self.gamma = gamma
        self.smoothing = smoothing

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Float [..., K] and [..., K] in 0..1 → losses [..., K], not reduced."""
        if self.smoothing:
            spread = targets.sum(dim=-1, keepdim=True) / targets.shape[-1]
            targets = (1 - self.smoothing) * targets + self.smoothing * spread
        loss = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        match self.kind:
            case "focal":
                return (targets - logits.sigmoid()).abs().pow(self.gamma) * loss
            case "varifocal":
                negative = VARIFOCAL_ALPHA * logits.sigmoid().pow(self.gamma)
                return torch.where(targets > 0, targets, negative) * loss
            case _:
                return loss
