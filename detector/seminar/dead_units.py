"""Question 3d: dying ReLUs, the ways out, each alone, and a dead unit that comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from detector.seminar.answer import Answer, Condition, Panel, Series, Table
from detector.seminar.deep_network import GUESSING, Course, Setup, train

SEEDS = (0, 1, 2)
STEPS = 200
TRIALS, REVIVAL_STEPS = 10, 60
KAIMING, XAVIER = 2**0.5, 1.0
BY_WEIGHTS = Setup(depth=4, lr=0.1, mean=-8.0)
"""Weights that are negative on average: what comes out of one layer, never negative, makes the next one negative."""
BY_BIASES = Setup(depth=4, lr=0.1, bias=-1.0)
"""Weights by Kaiming, but all biases −1."""
STUCK, LEARNS = GUESSING - 0.08, 1.1
"""Losses; a network that guesses is above the one on average, one that has learned something below the other."""


def ways_out(cause: Setup) -> dict[str, Setup]:
    """One thing changed at a time."""
    return {
        "nothing changed": cause,
        "normalisation: batch norm": replace(cause, norm=True),
        "initialisation: Kaiming weights": replace(cause, mean=0.0, gain=KAIMING),
        "initialisation: Xavier weights": replace(cause, mean=0.0, gain=XAVIER),
        "activation: Leaky ReLU": replace(cause, activation="leaky_relu"),
        "activation: ELU": replace(cause, activation="elu"),
        "activation: GELU": replace(cause, activation="gelu"),
        "residual connections": replace(cause, residual=True),
    }


HELP_AGAINST_BIASES = ("normalisation: batch norm", "activation: ELU", "residual connections")
REASONS = {
    "initialisation: Kaiming weights": "the biases stay −1, and the weights were Kaiming's already",
    "initialisation: Xavier weights": "the biases stay −1, and smaller weights reach even less far above them",
    "activation: Leaky ReLU": "below 0 its slope is 0.1: through so many negative layers a thousandth of the gradient is left",
    "activation: GELU": "around −1 its slope is nearly 0, and further below it vanishes as ReLU's does",
}
"""Why a way out does not help where the biases are the cause."""


def dying_relus(seeds: Sequence[int] = SEEDS, steps: int = STEPS) -> Answer:
    """3d"""
    by_weights, by_biases = (train(ways_out(cause), seeds, steps) for cause in (BY_WEIGHTS, BY_BIASES))
    nothing, *ways = by_weights
    no_help = [name for name in ways if name not in HELP_AGAINST_BIASES]
    learning, frozen = ([revival(trial, frozen_below) for trial in range(TRIALS)] for frozen_below in (False, True))
    back = [trial for trial, one in enumerate(learning) if max(one.positive) > 0]
    shown = back[0] if back else 0
    slopes = slopes_below_zero()
    return Answer(
        "3d",
        "why ReLUs die, and the ways out",
        "a ReLU whose input is negative for every image gives 0 and passes no gradient to its own weights: they stay as they "
        "are. Ways out: normalisation, a proper initialisation, other activations, residual connections. None helps "
        "against every cause. A dead unit can come back: the layer below goes on learning through other units and may "
        "make its input positive again",
        (
            Condition(
                f"weights negative, {nothing}: share of units dead at the start", _dead(by_weights[nothing]), ">", 0.3
            ),
            Condition(
                f"weights negative, {nothing}: final loss (guessing has {GUESSING:.2f})",
                _final(by_weights[nothing]),
                ">",
                STUCK,
            ),
            *(
                Condition(f"weights negative, {name}: final loss", _final(by_weights[name]), "<", LEARNS)
                for name in ways
            ),
            Condition(f"biases −1, {nothing}: share of units dead at the start", _dead(by_biases[nothing]), ">", 0.4),
            Condition(f"biases −1, {nothing}: final loss", _final(by_biases[nothing]), ">", STUCK),
            *(
                Condition(f"biases −1, {name}: final loss", _final(by_biases[name]), "<", LEARNS)
                for name in HELP_AGAINST_BIASES
            ),
            *(
                Condition(f"biases −1, {name}, does not help: final loss", _final(by_biases[name]), ">", 1.3)
                for name in no_help
            ),
            Condition(
                "slope of Leaky ReLU, GELU at −1, absolute", (abs(slopes["leaky_relu"]), abs(slopes["gelu"])), "<", 0.15
            ),
            Condition("slope of ELU at −1", slopes["elu"], ">", 0.3),
            Condition(
                "dead unit: images at which it is positive at the start",
                sum(one.positive[0] for one in learning),
                "=",
                0,
            ),
            Condition(
                "dead unit: largest gradient of its own weights while it is dead",
                max(one.while_dead for one in (*learning, *frozen)),
                "=",
                0.0,
            ),
            Condition(f"trials of {TRIALS} in which it comes back", len(back), ">", 0),
            Condition(
                "the same with the layer below frozen: trials",
                sum(max(one.positive) > 0 for one in frozen),
                "=",
                0,
            ),
        ),
        "f′(x) = 0 for x < 0: ∂L/∂w = f′(x) · input · ∂L/∂f = 0",
        steps=(
            "where x < 0 for every image, each image's share of ∂L/∂w and ∂L/∂b of this unit is 0: the unit itself "
            "cannot change",
            "normalisation subtracts the mean over the batch: about half of the inputs are positive again",
            "an initialisation with mean 0 and the right σ makes about half of the inputs positive, at every depth",
            "an activation with a slope below 0 passes a gradient; how much depends on the slope there: "
            + ", ".join(f"{name} {slope:.2g} at −1" for name, slope in slopes.items()),
            "a residual connection passes features and gradient by the dead layer",
            f"a dead unit comes back in {len(back)} of {TRIALS} trials while the layer below learns, and in none while that is "
            "frozen; its own weights have the gradient 0 until then",
        ),
        experiment=f"{BY_WEIGHTS.depth} layers learn to tell four directions of stripes: {steps} steps of gradient "
        "descent on new "
        f"images, seeds {', '.join(map(str, seeds))}; one thing is changed at a time (final loss: mean of the last ten steps)",
        tables=(
            _table("cause: weights negative on average", by_weights, {}),
            _table("cause: biases −1", by_biases, REASONS),
        ),
        panels=(
            *(
                Panel(
                    f"final loss; cause: {cause}",
                    "bars",
                    tuple(
                        Series(f"seed {seed}", tuple(one[i].final_loss for one in courses.values()))
                        for i, seed in enumerate(seeds)
                    ),
                    ticks=tuple(name.rpartition(": ")[2] for name in courses),
                    levels={"guessing": GUESSING},
                )
                for cause, courses in (("weights negative", by_weights), ("biases −1", by_biases))
            ),
            Panel(
                f"a dead unit, trial {shown}",
                "lines",
                (
                    Series("layer below learns", learning[shown].positive, tuple(range(REVIVAL_STEPS + 1))),
                    Series("layer below frozen", frozen[shown].positive, tuple(range(REVIVAL_STEPS + 1))),
                ),
                x_label="step",
                y_label="images at which the unit is positive",
            ),
        ),
        sources=(
            "He et al. 2015, Delving Deep into Rectifiers; Glorot & Bengio 2010",
            "Lu et al. 2019, Dying ReLU and Initialization",
        ),
    )


def _final(courses: Sequence[Course]) -> tuple[float, ...]:
    return tuple(one.final_loss for one in courses)


def _dead(courses: Sequence[Course]) -> tuple[float, ...]:
    return tuple(fmean(one.dead) for one in courses)


def _table(title: str, courses: Mapping[str, Sequence[Course]], reasons: Mapping[str, str]) -> Table:
    return Table(
        title,
        ("way out", "final loss of each seed", "why it does not help"),
        tuple(
            (name, ", ".join(f"{loss:.2f}" for loss in _final(one)), reasons.get(name, ""))
            for name, one in courses.items()
        ),
    )


def slopes_below_zero() -> dict[str, float]:
    """f′(−1) of each activation, by autograd."""
    functions = {
        "relu": functional.relu,
        "leaky_relu": lambda x: functional.leaky_relu(x, 0.1),
        "elu": functional.elu,
        "gelu": functional.gelu,
    }
    found = {}
    for name, function in functions.items():
        x = torch.tensor(-1.0, dtype=torch.float64, requires_grad=True)
        (slope,) = torch.autograd.grad(function(x), x)
        found[name] = slope.item()
    return found


class Revival(NamedTuple):
    """What became of a unit that is dead for all images at the beginning."""

    positive: tuple[int, ...]
    """Number of images, of 64, at which it is positive: before each step, and at the end."""
    gradients: tuple[float, ...]
    """‖∂L/∂w‖ + |∂L/∂b| of its own weights at each step."""

    @property
    def while_dead(self) -> float:
        """The largest of its gradients at the steps at which it is positive nowhere."""
        pairs = zip(self.positive, self.gradients, strict=False)
        return max(gradient for positive, gradient in pairs if positive == 0)


def revival(seed: int, frozen_below: bool, steps: int = REVIVAL_STEPS) -> Revival:
    """Trains two layers of 8 units on 64 points; the bias of one unit of the second layer makes it negative for all of them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        below, above, classifier = nn.Linear(2, 8), nn.Linear(8, 8), nn.Linear(8, 2)
        points = torch.randn(64, 2)
    labels = (points.prod(1) > 0).long()
    with torch.no_grad():
        above.bias[0] = -(below(points).relu() @ above.weight[0]).max() - 0.05
    learning = [*above.parameters(), *classifier.parameters(), *([] if frozen_below else below.parameters())]
    optimizer = torch.optim.SGD(learning, lr=0.5)
    positive, gradients = [], []
    for step in range(steps + 1):
        inside = above(below(points).relu())
        positive.append(int((inside[:, 0] > 0).sum()))
        if step == steps:
            break
        optimizer.zero_grad()
        functional.cross_entropy(classifier(inside.relu()), labels).backward()
        assert above.weight.grad is not None
        assert above.bias.grad is not None
        gradients.append(above.weight.grad[0].norm().item() + above.bias.grad[0].abs().item())
        optimizer.step()
    return Revival(tuple(positive), tuple(gradients))
