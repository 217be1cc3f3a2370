"""Optimizers and learning-rate schedules."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Self, cast

from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from detector.errors import OptionError
from detector.options import MISSING, InnerShare, Length, OneOf, Range, Share, ShareBelowOne

SHORTEST_CYCLE = 4
"""Steps. A shorter cycle has no room to climb and fall; such a run ends while it climbs."""


@dataclass
class OptimizerOptions:
    """Optimizer and learning-rate schedule. Norms and biases have no weight decay."""

    averages_itself: ClassVar[bool] = False
    """Whether it averages the weights, so that there is nothing left for `trainer.ema` to do."""
    batch_exponent: ClassVar[float] = 0.5
    """The rate goes with this power of the images of a step: ½ where steps are divided by the gradient's own size, as AdamW's
    (Malladi et al. 2022, "On the SDEs and scaling rules for adaptive gradient algorithms"), 1 for SGD (Goyal et al. 2017)."""

    name: str = MISSING
    """The kind of optimizer."""
    lr: Annotated[float, Range(0, 1000, above=True)] = 0.01
    """The learning rate after the warm-up."""
    lr_batch: Annotated[int, Range(1, 100_000_000)] = 8
    """The images of a step, on all devices and in all batches that it accumulates, that lr was chosen for; trainer.scale_lr
    goes by it, and without that it changes nothing."""
    weight_decay: Annotated[float, Range(0, 100)] = 5e-4
    """How fast weights fall towards 0; norms and biases have none."""
    momentum: ShareBelowOne = 0.9
    """SGD's (Nesterov) momentum, AdamW's first beta."""
    warmup_epochs: Annotated[float, Range(0, 1e6)] = 3.0
    """Epochs of linear warm-up from 0; one_cycle has its `rise` instead."""
    schedule: Annotated[str, OneOf("cosine", "steps", "one_cycle", "constant")] = "cosine"
    """How the learning rate changes after the warm-up."""
    final_lr: Share = 0.01
    """The learning rate at the end of `cosine`, as a share of lr."""
    steps: Annotated[list[Share], Length(1, 100)] = field(default_factory=lambda: [0.67, 0.89])
    """The shares of the training after which `steps` divides lr by 10."""
    rise: InnerShare = 0.3
    """Share of the training in which `one_cycle` climbs from lr / 25 to lr, before it falls to lr / 250,000."""
    lowest_momentum: ShareBelowOne = 0.85
    """The value that `one_cycle` takes momentum down to while lr climbs, and back from while it falls."""

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """One cycle lowers its momentum."""
        if self.schedule == "one_cycle" and self.lowest_momentum > self.momentum:
            yield "lowest_momentum", f"at most momentum={self.momentum} with schedule=one_cycle"

    def for_batch(self, images: int) -> Self:
        """The same optimizer for steps of so many images: the rate times (images / lr_batch) to the power `batch_exponent`.

        For lr_batch images it is the same number, to the last bit. Weight decay and momentum stay.
        """
        return replace(self, lr=self.lr * (images / self.lr_batch) ** self.batch_exponent, lr_batch=images)

    def build(self, module: nn.Module, fused: bool = True, warmup_steps: int = 0) -> Optimizer:
        """The optimizer of all parameters of `module` that are trained.

        Args:
            module: the network.
            fused: one kernel for all parameters; must be off where gradients are scaled and clipped (fp16).
            warmup_steps: for an optimizer that averages the weights itself, which must know the rate of each step.

        Raises:
            OptionError: a value cannot be.
        """
        raise NotImplementedError

    def build_schedule(self, optimizer: Optimizer, total_steps: int, warmup_steps: int) -> LRScheduler | None:
        """The schedule of `optimizer`, moved with every step; None where the optimizer needs none."""
        if self.schedule not in ("cosine", "steps", "one_cycle", "constant"):
            raise OptionError("schedule", "choose one of cosine, steps, one_cycle, constant", self.schedule)
        if self.schedule == "one_cycle":
            return _one_cycle(self, optimizer, total_steps)
        return LambdaLR(optimizer, rate(self, total_steps, warmup_steps))

    def parameter_groups(self, module: nn.Module) -> list[dict[str, Any]]:
        """The trained parameters of a module with weight decay, and without it its norms and biases."""
        trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
        return [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": self.weight_decay},
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ]


@dataclass
class SGDOptions(OptimizerOptions):
    """Stochastic gradient descent with Nesterov's momentum."""

    batch_exponent: ClassVar[float] = 1.0

    name: str = "sgd"

    def build(self, module: nn.Module, fused: bool = True, warmup_steps: int = 0) -> SGD:
        """torch's SGD."""
        groups = self.parameter_groups(module)
        return SGD(groups, lr=self.lr, momentum=self.momentum, nesterov=self.momentum > 0, fused=fused)


@dataclass
class AdamWOptions(OptimizerOptions):
    """Loshchilov & Hutter 2019."""

    name: str = "adamw"
    lr: Annotated[float, Range(0, 1000, above=True)] = 4e-3
    weight_decay: Annotated[float, Range(0, 100)] = 0.05

    def build(self, module: nn.Module, fused: bool = True, warmup_steps: int = 0) -> AdamW:
        """torch's AdamW."""
        return AdamW(self.parameter_groups(module), lr=self.lr, betas=(self.momentum, 0.999), fused=fused)


@dataclass
class ScheduleFreeOptions(OptimizerOptions):
    """AdamW whose averaged iterates take the place of a schedule (Defazio et al. 2024)."""

    averages_itself: ClassVar[bool] = True

    name: str = "schedule_free"
    lr: Annotated[float, Range(0, 1000, above=True)] = 2.5e-3
    """The learning rate after the warm-up, larger than AdamW's: the paper's best are 1 to 10 times as large."""
    weight_decay: Annotated[float, Range(0, 100)] = 0.05
    momentum: InnerShare = 0.9
    """AdamW's first beta; the weights that are measured lie at a distance of 1 / momentum."""
    schedule: Annotated[str, OneOf("constant")] = "constant"
    """There is no schedule, which is the point: the average takes its place. optim=adamw has schedules."""

    def build(self, module: nn.Module, fused: bool = True, warmup_steps: int = 0) -> Optimizer:
        """The AdamWScheduleFree of the paper's authors; it has no fused kernel."""
        from schedulefree import AdamWScheduleFree

        if not 0 < self.momentum < 1:  # the weights that are measured lie at a distance of 1 / momentum
            raise OptionError("momentum", "schedule_free needs one between 0 and 1", self.momentum)
        groups = self.parameter_groups(module)
        optimizer = AdamWScheduleFree(groups, lr=self.lr, betas=(self.momentum, 0.999), warmup_steps=warmup_steps)
        return cast(Optimizer, optimizer)

    def build_schedule(self, optimizer: Optimizer, total_steps: int, warmup_steps: int) -> None:
        """None: the average takes the place of a schedule."""
        if self.schedule != "constant":
            raise OptionError(
                "schedule",
                "schedule_free averages instead of lowering the rate; leave it constant or choose optim=adamw",
                self.schedule,
            )


OPTIMIZERS: tuple[type[OptimizerOptions], ...] = (SGDOptions, AdamWOptions, ScheduleFreeOptions)
"""The optimizers to choose from."""


def rate(options: OptimizerOptions, total_steps: int, warmup_steps: int) -> Callable[[int], float]:
    """Step → share of the learning rate: linear warm-up from 0, then cosine, steps or constant to the end."""

    def after_warmup(step: int) -> float:
        progress = (step - warmup_steps) / max(total_steps - warmup_steps, 1)
        match options.schedule:
            case "cosine":
                return options.final_lr + (1 - options.final_lr) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2
            case "steps":
                return 0.1 ** sum(step >= share * total_steps for share in options.steps)
            case _:
                return 1.0

    return lambda step: (step + 1) / (warmup_steps + 1) if step < warmup_steps else after_warmup(step)


def _one_cycle(options: OptimizerOptions, optimizer: Optimizer, total_steps: int) -> OneCycleLR:
    """Smith & Topin 2018, section 3, in PyTorch's form: two cosine arcs; momentum moves against the rate."""
    if not 0 < options.rise < 1:
        raise OptionError("rise", "must lie between 0 and 1", options.rise)
    if not 0 <= options.lowest_momentum <= options.momentum:
        raise OptionError(
            "lowest_momentum", f"must lie between 0 and momentum={options.momentum}", options.lowest_momentum
        )
    steps = max(total_steps, SHORTEST_CYCLE)
    # PyTorch divides by zero where the climb or the fall is a single step
    climb = min(max(round(options.rise * steps), 2), steps - 1)
    return OneCycleLR(
        optimizer,
        options.lr,
        total_steps=steps,
        pct_start=climb / steps,
        base_momentum=options.lowest_momentum,
        max_momentum=options.momentum,
    )
