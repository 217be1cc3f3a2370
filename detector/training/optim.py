"""Optimizers and learning-rate schedules."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

from schedulefree import AdamWScheduleFree
from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from detector import config
from detector.errors import UserError

SHORTEST_CYCLE = 4
"""Steps. A shorter cycle has no room to climb and fall; such a run ends while it climbs."""


def build_optimizer(part: config.Optim, module: nn.Module, fused: bool = True, warmup_steps: int = 0) -> Optimizer:
    """The optimizer of all parameters of `module` that are trained; norms and biases have no weight decay.

    `fused` runs one kernel for all parameters; it must be off where gradients are scaled and clipped (fp16).
    `warmup_steps` is for the schedule-free optimizer alone, whose average must know the rate of each step.
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
        case config.ScheduleFree():
            if not 0 < part.momentum < 1:  # the weights that are measured lie at a distance of 1 / momentum
                raise UserError(f"optim.momentum={part.momentum}: schedule_free needs one between 0 and 1")
            optimizer = AdamWScheduleFree(groups, lr=part.lr, betas=(part.momentum, 0.999), warmup_steps=warmup_steps)
            return cast(Optimizer, optimizer)
        case _:
            raise UserError(f"optim.name={part.name}: choose one of sgd, adamw, schedule_free")


def averages_itself(settings: config.Train) -> bool:
    """Whether the optimizer averages the weights, so that there is nothing left for `trainer.ema` to do."""
    return isinstance(settings.optim, config.ScheduleFree)


def build_schedule(part: config.Optim, optimizer: Optimizer, total_steps: int, warmup_steps: int) -> LRScheduler | None:
    """The schedule of `optimizer`, moved with every step; none where the optimizer needs none."""
    if part.schedule not in ("cosine", "steps", "one_cycle", "constant"):
        raise UserError(f"optim.schedule={part.schedule}: choose one of cosine, steps, one_cycle, constant")
    if isinstance(part, config.ScheduleFree):
        if part.schedule != "constant":
            raise UserError(
                f"optim.schedule={part.schedule}: schedule_free averages instead of lowering the rate; "
                "leave it constant or choose optim=adamw"
            )
        return None
    if part.schedule == "one_cycle":
        return _one_cycle(part, optimizer, total_steps)
    return LambdaLR(optimizer, rate(part, total_steps, warmup_steps))


def rate(part: config.Optim, total_steps: int, warmup_steps: int) -> Callable[[int], float]:
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

    return lambda step: (step + 1) / (warmup_steps + 1) if step < warmup_steps else after_warmup(step)


def _one_cycle(part: config.Optim, optimizer: Optimizer, total_steps: int) -> OneCycleLR:
    """Smith & Topin 2018, section 3, in PyTorch's form: two cosine arcs; momentum moves against the rate."""
    if not 0 < part.rise < 1:
        raise UserError(f"optim.rise={part.rise}: must lie between 0 and 1")
    if not 0 <= part.lowest_momentum <= part.momentum:
        raise UserError(
            f"optim.lowest_momentum={part.lowest_momentum}: must lie between 0 and optim.momentum={part.momentum}"
        )
    steps = max(total_steps, SHORTEST_CYCLE)
    # PyTorch divides by zero where the climb or the fall is a single step
    climb = min(max(round(part.rise * steps), 2), steps - 1)
    return OneCycleLR(
        optimizer,
        part.lr,
        total_steps=steps,
        pct_start=climb / steps,
        base_momentum=part.lowest_momentum,
        max_momentum=part.momentum,
    )
