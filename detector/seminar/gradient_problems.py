"""Question 3, d and e: dead ReLUs, vanishing or exploding gradients, and what each fix alone does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from math import inf, isfinite, log, nan
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes

from detector.seminar.answer import Claim
from detector.seminar.drawing import new_figure, save
from detector.training.health.plain_network import CLASSES, Course, Setup, train_plain

WELL = Setup(depth=12, lr=0.03)
"""What a problem is added to, and what is left of it with the right initialisation."""
DEAD = replace(WELL, bias=-0.5)
VANISHING = replace(WELL, gain=0.35)
"""Each layer hands on a quarter (0.35 / √2)."""
EXPLODING = replace(WELL, gain=2.4)
"""1.7 times as much (2.4 / √2)."""
STEPS, EVERY = 80, 8
GUESSING = log(CLASSES)
LEARNS, LEARNS_NOTHING = GUESSING - 0.08, GUESSING - 0.03
"""Loss: labels are drawn anew at each step, so that guessing too is a little off at times."""


@cache
def course(setup: Setup) -> Course:
    """Trains in float64, where a deep network without norms does the same whatever number of threads."""
    return train_plain(setup, steps=STEPS, every=EVERY, dtype=torch.float64)


def lowest_loss(one: Course) -> float:
    """The lowest mean of ten steps; infinite where none is finite."""
    means = (fmean(one.losses[at : at + 10]) for at in range(len(one.losses) - 9))
    return min((mean for mean in means if isfinite(mean)), default=inf)


def dead_share(one: Course) -> float:
    """Share of all ReLU channels that are dead at the last step measured; 0 where no activation is a ReLU."""
    shares = [layer.dead for layer in one.history[max(one.history)] if layer.dead is not None]
    return fmean(shares) if shares else 0.0


def gradients(one: Course) -> list[float]:
    """‖∂L/∂w‖ / ‖w‖ of each layer at the first step, from the image on."""
    return [layer.gradient for layer in one.history[min(one.history)] if layer.gradient is not None]


def dying_relus(folder: Path) -> Claim:
    """3d"""
    broken, *fixed = courses = {
        "not fixed: biases of −0.5": course(DEAD),
        "normalisation (batch)": course(replace(DEAD, norm="batch")),
        "initialisation (biases of 0)": course(WELL),
        "another activation (ELU)": course(replace(DEAD, activation="elu")),
        "residual connections": course(replace(DEAD, residual=True)),
    }
    shares = {name: dead_share(one) for name, one in courses.items()}
    losses = {name: lowest_loss(one) for name, one in courses.items()}
    return Claim(
        "3d",
        "dying ReLUs, and fixes",
        "a ReLU whose input is negative for every image has no gradient, and never comes back; fixes: normalisation, "
        "initialisation, other activations, residual connections",
        f"{WELL.depth} convolutions with biases of −0.5 learn to tell four directions of stripes, {STEPS} steps of gradient "
        "descent; then with one thing changed at a time (loss: the lowest mean of ten steps)",
        tuple((name, f"{shares[name]:4.0%} of channels dead, {_loss(one)}") for name, one in courses.items()),
        f"not fixed: more than half are dead and nothing is learned (guessing has {GUESSING:.2f}); with each fix fewer than "
        "a fifth, and the loss falls",
        shares[broken] > 0.5
        and losses[broken] > LEARNS_NOTHING
        and all(shares[name] < 0.2 and losses[name] < LEARNS for name in fixed),
        _draw_dead(folder, courses),
    )


def vanishing_and_exploding(folder: Path) -> Claim:
    """3e"""
    vanishing = {
        "vanishing: weights 4 times too small": course(VANISHING),
        "vanishing, normalisation": course(replace(VANISHING, norm="batch")),
        "vanishing, residual connections": course(replace(VANISHING, residual=True)),
    }
    exploding = {
        "exploding: weights 1.7 times too large": course(EXPLODING),
        "exploding, normalisation": course(replace(EXPLODING, norm="batch")),
        "exploding, residual connections": course(replace(EXPLODING, residual=True)),
        "exploding, gradients clipped to 1": course(replace(EXPLODING, clip=1.0)),
    }
    courses = {**vanishing, **exploding, "either, initialisation (He)": course(WELL)}
    losses = {name: lowest_loss(one) for name, one in courses.items()}
    small, large = next(iter(vanishing)), next(iter(exploding))
    flat = {name: max(gradients(one)) for name, one in courses.items()}
    finite = {name: all(map(isfinite, one.losses)) for name, one in courses.items()}
    return Claim(
        "3e",
        "vanishing and exploding gradients, and fixes",
        "each layer multiplies the gradient: by less than 1 it vanishes, by more it explodes; fixes: normalisation, "
        "clipping, residual connections, initialisation",
        f"{WELL.depth} convolutions whose weights are too small or too large learn to tell four directions of stripes, {STEPS} "
        "steps; then with one thing changed at a time (gradients before clipping; loss: the lowest mean of ten steps)",
        tuple(
            (
                name,
                f"largest ‖∂L/∂w‖ / ‖w‖ at first {flat[name]:.0e}, {_loss(one)}",
            )
            for name, one in courses.items()
        ),
        f"too small: below 10⁻⁴ and nothing is learned (guessing has {GUESSING:.2f}); too large: above 10² and the loss is "
        "lost; with each fix above 10⁻² and the loss stays finite and falls",
        flat[small] < 1e-4
        and losses[small] > LEARNS_NOTHING
        and flat[large] > 1e2
        and not finite[large]
        and all(flat[name] > 1e-2 and finite[name] and losses[name] < LEARNS for name in set(courses) - {small, large}),
        _draw_gradients(folder, courses),
    )


def _loss(one: Course) -> str:
    lost = next((step for step, loss in enumerate(one.losses, start=1) if not isfinite(loss)), None)
    return f"loss falls to {lowest_loss(one):.2f}" if lost is None else f"loss is not finite from step {lost} on"


def _draw_dead(folder: Path, courses: Mapping[str, Course]) -> Path:
    figure = new_figure(12, 4)
    left, right = figure.subplots(1, 2)
    for (name, one), marker in zip(courses.items(), "osD^v", strict=True):
        shares = [layer.dead for layer in one.history[max(one.history)] if layer.dead is not None]
        if shares:
            left.plot(range(1, len(shares) + 1), shares, marker=marker, label=name, alpha=0.8)
        else:
            left.plot([], [], marker=marker, label=f"{name}: none can be")
        _draw_loss(right, one, name)
    left.set_xlabel("layer, from the image on")
    left.set_title("share of channels that are dead at the end")
    left.set_ylim(-0.03, 1.03)
    left.legend(fontsize=8)
    left.grid(alpha=0.3)
    _finish_losses(right, top=2)
    return save(figure, folder, "3d")


def _draw_gradients(folder: Path, courses: Mapping[str, Course]) -> Path:
    figure = new_figure(13, 4.5)
    left, right = figure.subplots(1, 2)
    styles = {"vanishing": ("tab:blue", "osD^"), "exploding": ("tab:red", "osD^"), "either": ("tab:green", "v")}
    drawn = dict.fromkeys(styles, 0)
    for name, one in courses.items():
        kind = next(kind for kind in styles if name.startswith(kind))
        colour, markers = styles[kind]
        place = drawn[kind]
        drawn[kind] += 1
        look: dict[str, Any] = {"color": colour, "linestyle": ("-", "--", ":", "-.")[place]}
        values = gradients(one)
        left.plot(range(1, len(values) + 1), values, marker=markers[place], markersize=4, label=name, **look)
        _draw_loss(right, one, name, **look)
    left.set_yscale("log")
    left.set_xlabel("layer, from the image on; the last one classifies")
    left.set_title("‖∂L/∂w‖ / ‖w‖ at the first step, before clipping")
    left.grid(alpha=0.3)
    figure.legend(*left.get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    _finish_losses(right, top=5)
    return save(figure, folder, "3e")


def _draw_loss(axes: Axes, one: Course, name: str, **look: Any) -> None:
    """Means of five steps; a line ends where the loss is not finite any more."""
    losses = np.array([loss if isfinite(loss) else nan for loss in one.losses])
    means = np.convolve(losses, np.ones(5) / 5, mode="valid")
    axes.plot(np.arange(5, len(losses) + 1), means, label=name, **look)


def _finish_losses(axes: Axes, top: float) -> None:
    axes.axhline(GUESSING, color="0.5", linestyle=":", linewidth=1)
    axes.text(STEPS, GUESSING, "guessing", ha="right", va="bottom", fontsize=8, color="0.4")
    axes.set_ylim(0, top)
    axes.set_xlabel("step")
    axes.set_title("loss, mean of five steps")
    axes.grid(alpha=0.3)
