"""Optimizers and learning-rate schedules."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from detector import config
from detector.errors import UserError


def build_optimizer(part: config.Optim, module: nn.Module, fused: bool = True) -> Optimizer:
    """The optimizer of all parameters of `module` that are trained; norms and biases have no weight decay.

    `fused` runs one kernel for all parameters; it must be off where gradients are scaled and clipped (fp16).
    """
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": part.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    match part:
        case config.SGD():
            return SGD(groups, lr=part.lr, momentum=part.momentum, nesterov=part.momentum > 0, fused=fused)
        case config.AdamW():
            return AdamW(groups, lr=part.lr, betas=(part.momentum, 0.999), fused=fused)
        case _:
            raise UserError(f"optim.name={part.name}: choose one of sgd, adamw")


def build_schedule(part: config.Optim, total_steps: int, warmup_steps: int) -> Callable[[int], float]:
    """Step → share of the learning rate: linear warm-up from 0, then cosine, steps or constant to the end."""

    def after_warmup(step: int) -> float:
        progress = (step - warmup_steps) / max(total_steps - warmup_steps, 1)
        match part.schedule:
            case "cosine":
                return part.final_lr + (1 - part.final_lr) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2
            case "steps":
                return 0.1 ** sum(step >= share * total_steps for share in part.steps)
            case _:
                return 1.0

    if part.schedule not in ("cosine", "steps", "constant"):
        raise UserError(f"optim.schedule={part.schedule}: choose one of cosine, steps, constant")
    return lambda step: (step + 1) / (warmup_steps + 1) if step < warmup_steps else after_warmup(step)
