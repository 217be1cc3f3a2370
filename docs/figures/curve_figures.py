"""Losses, learning rates and activations as curves, computed by the functions that training uses."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import get_args

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from detector.layers import ACTIVATIONS, make_activation
from detector.losses.box import BoxLoss, BoxLossKind
from detector.losses.classification import ClassLoss, ClassLossKind
from detector.losses.distribution import distribution_focal_loss
from detector.optimizers import OptimizerOptions

IMAGE = (640, 640)
OBJECT = (256.0, 256.0, 384.0, 384.0)
"""xyxy in pixels of an image of 640 × 640: a fifth of its side."""
STEPS, WARMUP = 400, 30


def value_and_slope(function: Callable[[Tensor], Tensor], at: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """A function of each number of a row, and its derivative by autograd."""
    at = at.double().requires_grad_()
    value = function(at)
    (slope,) = torch.autograd.grad(value.sum(), at)
    return value.detach().numpy(), slope.numpy()


def moved_box(kind: str) -> Callable[[Tensor], Tensor]:
    """The loss of a box of the object's size that is moved to the right by a share of its width."""
    width = OBJECT[2] - OBJECT[0]

    def loss(share: Tensor) -> Tensor:
        boxes = share.new_tensor(OBJECT) + share[:, None] * share.new_tensor([width, 0.0, width, 0.0])
        return BoxLoss(kind)(boxes, share.new_tensor(OBJECT).expand_as(boxes), IMAGE)

    return loss


def scaled_box(kind: str, height: bool = True) -> Callable[[Tensor], Tensor]:
    """The loss of a box about the object's centre that is 2^x as wide and, with `height`, as high."""
    centre, half = (OBJECT[0] + OBJECT[2]) / 2, (OBJECT[2] - OBJECT[0]) / 2

    def loss(exponent: Tensor) -> Tensor:
        wide = half * exponent.exp2()
        high = wide if height else torch.full_like(wide, half)
        boxes = centre + torch.stack([-wide, -high, wide, high], dim=1)
        return BoxLoss(kind)(boxes, exponent.new_tensor(OBJECT).expand_as(boxes), IMAGE)

    return loss


def box_loss_figure() -> Figure:
    """Each box loss and its derivative, for a box that is moved, scaled and stretched."""
    figure = Figure(figsize=(9.4, 5.4), layout="constrained")
    axes = figure.subplots(2, 3)
    ranges: tuple[tuple[Callable[[str], Callable[[Tensor], Tensor]], float, str], ...] = (
        (moved_box, 1.6, "moved to the right, in widths"),
        (scaled_box, 2.5, "log₂ of both sides (object: 0)"),
        (partial(scaled_box, height=False), 2.5, "log₂ of the width alone"),
    )
    for column, (make, reach, label) in enumerate(ranges):
        at = torch.linspace(-reach, reach, 400)
        for kind in get_args(BoxLossKind):
            value, slope = value_and_slope(make(kind), at)
            style = "--" if kind in ("l1", "l2") else "-"
            axes[0, column].plot(at, value, style, label=kind, lw=1.4)
            axes[1, column].plot(at, slope, style, lw=1.4)
        axes[1, column].set_xlabel(label)
    axes[0, 0].set_ylabel("loss")
    axes[1, 0].set_ylabel("derivative")
    axes[0, 0].legend(fontsize=8, ncols=2)
    return _plain(figure)


def class_loss_figure() -> Figure:
    """Each class loss and its derivative over the logit, for three targets."""
    logits = torch.linspace(-6, 6, 300)
    figure = Figure(figsize=(8.4, 4.6), layout="constrained")
    axes = figure.subplots(2, 3, sharex=True)
    for column, target in enumerate((0.0, 0.5, 1.0)):
        for kind in get_args(ClassLossKind):
            value, slope = value_and_slope(lambda x, t=target, k=kind: ClassLoss(k)(x, torch.full_like(x, t)), logits)  # type: ignore[misc]
            axes[0, column].plot(logits, value, label=kind, lw=1.4)
            axes[1, column].plot(logits, slope, lw=1.4)
        axes[0, column].set_title(f"target {target:g}", fontsize=9)
        axes[1, column].set_xlabel("logit")
    axes[0, 0].set_ylabel("loss")
    axes[1, 0].set_ylabel("derivative")
    axes[0, 0].legend(fontsize=8)
    return _plain(figure)


def distribution_figure(bins: int = 16, target: float = 5.3) -> Figure:
    """The distribution focal loss over the mean of a distribution, for several widths of it."""
    values = torch.arange(bins, dtype=torch.float64)
    means = torch.linspace(0.5, bins - 1.5, 300, dtype=torch.float64)
    figure = Figure(figsize=(8.4, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for deviation in (0.4, 0.8, 1.6, 3.2):
        logits = -((values - means[:, None]) ** 2) / (2 * deviation**2)
        loss = distribution_focal_loss(logits, torch.full((len(means),), target, dtype=torch.float64))
        left.plot(means, loss, label=f"standard deviation {deviation:g}", lw=1.4)
    left.axvline(target, color="#999999", lw=0.8)
    left.set_ylim(0, 12)
    left.set_xlabel(f"centre of the predicted distribution; the distance is {target:g} strides")
    left.set_ylabel("loss")
    left.legend(fontsize=8)
    logits = torch.zeros(1, bins, dtype=torch.float64, requires_grad=True)
    distribution_focal_loss(logits, torch.tensor([target], dtype=torch.float64)).sum().backward()
    assert logits.grad is not None
    right.bar(values.tolist(), (-logits.grad[0]).tolist(), color="#5b8fc7")
    right.axhline(0, color="#555555", lw=0.8)
    right.set_xlabel("bin")
    right.set_ylabel("push on its logit, all being equal")
    return _plain(figure)


def rates(options: OptimizerOptions) -> np.ndarray:
    """The learning rate of each of `STEPS` steps."""
    optimizer = options.build(nn.Linear(1, 1), fused=False, warmup_steps=WARMUP)
    schedule = options.build_schedule(optimizer, STEPS, WARMUP)
    if options.averages_itself:
        optimizer.train()  # type: ignore[attr-defined]
    found = []
    for _ in range(STEPS):
        rate = optimizer.param_groups[0]["lr"]
        optimizer.step()
        found.append(optimizer.param_groups[0].get("scheduled_lr", rate))  # schedule-free keeps its warm-up there
        if schedule is not None:
            schedule.step()
    return np.array(found)


def schedule_figure(cls: type[OptimizerOptions]) -> Figure:
    """The learning rate over a training, for each schedule that an optimizer has."""
    schedules = ["constant"] if cls.averages_itself else ["cosine", "steps", "one_cycle", "constant"]
    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    axes = figure.subplots()
    for schedule in schedules:
        axes.plot(np.linspace(0, 1, STEPS), rates(cls(schedule=schedule)), label=schedule, lw=1.4)
    axes.set_xlabel("share of the training")
    axes.set_ylabel("learning rate")
    axes.legend(fontsize=8)
    return _plain(figure)


def activation_figure() -> Figure:
    """Each activation and its derivative."""
    at = torch.linspace(-4, 4, 300)
    figure = Figure(figsize=(8.4, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name in ACTIVATIONS:
        activation = make_activation(name)
        value, slope = value_and_slope(lambda x, f=activation: f(x * 1.0), at)  # type: ignore[misc]
        left.plot(at, value, label=name, lw=1.4)
        right.plot(at, slope, lw=1.4)
    left.set_ylabel("activation")
    right.set_ylabel("derivative")
    left.legend(fontsize=8)
    return _plain(figure)


def _plain(figure: Figure) -> Figure:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    return figure
