"""Question 3e: vanishing and exploding gradients, layer by layer, and what each way out does alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isfinite

from detector.seminar.answer import Answer, Condition, Panel, Series, Table
from detector.seminar.deep_network import GUESSING, Course, Setup, train

SEEDS = (0, 1, 2)
STEPS = 200
KAIMING, XAVIER = 2**0.5, 1.0
VANISHING = Setup(depth=12, lr=0.05, gain=0.35)
"""Each ReLU layer passes on a quarter: 0.35 / √2."""
EXPLODING = replace(VANISHING, gain=2.4)
"""Each ReLU layer passes on 1.7 times as much: 2.4 / √2."""
LEARNS, STUCK = 1.0, GUESSING - 0.05
LOWEST, HIGHEST = 1e-2, 1e2
"""Gradient at the first layer / at the last: where it neither vanishes nor explodes, it lies between these."""

SETUPS = {
    "vanishing: nothing changed": VANISHING,
    "vanishing: normalisation": replace(VANISHING, norm=True),
    "vanishing: clipping": replace(VANISHING, clip=2.0),
    "vanishing: residual connections": replace(VANISHING, residual=True),
    "exploding: nothing changed": EXPLODING,
    "exploding: normalisation": replace(EXPLODING, norm=True),
    "exploding: clipping": replace(EXPLODING, clip=2.0),
    "exploding: residual connections": replace(EXPLODING, residual=True),
    "both: initialisation, Kaiming": replace(VANISHING, gain=KAIMING),
    "both: initialisation, Xavier": replace(VANISHING, gain=XAVIER),
}
LEARNED = (
    "vanishing: normalisation",
    "vanishing: residual connections",
    "exploding: normalisation",
    "exploding: clipping",
    "exploding: residual connections",
    "both: initialisation, Kaiming",
)
BOUNDED = ("vanishing: normalisation", "vanishing: residual connections", "both: initialisation, Kaiming")
"""Set-ups whose gradient keeps its size between the two bounds."""


def vanishing_and_exploding(seeds: Sequence[int] = SEEDS, steps: int = STEPS) -> Answer:
    """3e"""
    courses = train(SETUPS, seeds, steps)
    small, large = courses["vanishing: nothing changed"], courses["exploding: nothing changed"]
    factor = {name: _per_layer(one) for name, one in courses.items()}
    lost = tuple(_first_lost(one) for one in large)
    depth = VANISHING.depth
    return Answer(
        "3e",
        "vanishing and exploding gradients, and the ways out",
        "going back, every layer multiplies the gradient by its weights and its activation's slope: below 1 it vanishes "
        f"exponentially with the depth (here × {factor['vanishing: nothing changed'][0]:.2f} a layer), above 1 it explodes "
        f"(× {factor['exploding: nothing changed'][0]:.2f}). Ways out: normalisation, residual connections, "
        "initialisation, and "
        "against exploding gradients clipping, which bounds the step and leaves the ratio of the layers as it is",
        (
            Condition("vanishing: ‖∂L/∂a‖ at the first layer / at the last", _ratio(small), "<", 1e-5),
            Condition(
                f"vanishing: factor of a layer (gain / √2 = {VANISHING.gain / 2**0.5:.2f})",
                factor["vanishing: nothing changed"],
                "<",
                0.35,
            ),
            Condition(
                f"exploding: factor of a layer (gain / √2 = {EXPLODING.gain / 2**0.5:.2f})",
                factor["exploding: nothing changed"],
                ">",
                1.4,
            ),
            Condition(f"vanishing: final loss (guessing has {GUESSING:.2f})", _final(small), ">", STUCK),
            Condition("exploding: ‖∂L/∂a‖ at the first layer / at the last", _ratio(large), ">", 1e2),
            Condition("exploding: step at which the loss is no longer finite", lost, "<", steps),
            *(Condition(f"{name}: final loss", _final(courses[name]), "<", LEARNS) for name in LEARNED),
            *(
                condition
                for name in BOUNDED
                for condition in (
                    Condition(f"{name}: ‖∂L/∂a‖ first / last", _ratio(courses[name]), ">", LOWEST),
                    Condition(f"{name}: ‖∂L/∂a‖ first / last", _ratio(courses[name]), "<", HIGHEST),
                )
            ),
            Condition(
                "exploding, residual connections: ‖∂L/∂a‖ first / last as a share of that without",
                tuple(
                    a / b
                    for a, b in zip(_ratio(courses["exploding: residual connections"]), _ratio(large), strict=True)
                ),
                "<",
                0.5,
            ),
            Condition(
                "clipping leaves the ratio of the layers: exploding",
                _ratio(courses["exploding: clipping"]),
                "=",
                _ratio(large),
            ),
            Condition(
                "vanishing, clipping, does not help: final loss", _final(courses["vanishing: clipping"]), ">", STUCK
            ),
            Condition("Xavier with ReLU: factor of a layer", factor["both: initialisation, Xavier"], "<", 0.85),
            Condition("Kaiming with ReLU: factor of a layer", factor["both: initialisation, Kaiming"], ">", 0.85),
            Condition("Kaiming with ReLU: factor of a layer", factor["both: initialisation, Kaiming"], "<", 1.15),
            Condition(
                "Xavier with ReLU at this depth, does not help: final loss",
                _final(courses["both: initialisation, Xavier"]),
                ">",
                1.2,
            ),
        ),
        "∂L/∂a_l = W_{l+1}ᵀ (f′(x_{l+1}) ⊙ ∂L/∂a_{l+1}): a product of depth − l matrices",
        f"× gain / √2 a ReLU layer: {VANISHING.gain} / √2 = {VANISHING.gain / 2**0.5:.2f}; {EXPLODING.gain} / √2 = "
        f"{EXPLODING.gain / 2**0.5:.2f}; over {depth - 1} layers {(VANISHING.gain / 2**0.5) ** (depth - 1):.0e} and "
        f"{(EXPLODING.gain / 2**0.5) ** (depth - 1):.0e}",
        (
            f"too small weights: ‖∂L/∂a‖ falls from {small[0].gradients[-1]:.0e} at the last layer to "
            f"{small[0].gradients[0]:.0e} at the first",
            f"too large weights: it grows from {large[0].gradients[-1]:.0e} to {large[0].gradients[0]:.0e}, and the "
            "loss is lost",
            "normalisation divides by the size of what comes in: the scale of the weights cancels, forward and backward",
            "a residual connection adds the identity: the gradient keeps a path on which nothing is multiplied",
            "initialisation chooses the scale at which the factor is 1: Kaiming σ² = 2 / fan_in for ReLU; Xavier's "
            "leaves out that "
            f"ReLU halves the variance, and passes on {factor['both: initialisation, Xavier'][0]:.2f} a layer",
            "clipping shortens a gradient that is too long; one that is too short stays as it is",
        ),
        experiment=f"{depth} layers learn to tell four directions of stripes, {steps} steps of gradient descent, seeds "
        f"{', '.join(map(str, seeds))}; one thing is changed at a time (gradients of the first step, before clipping; "
        "final loss: "
        "mean of the last ten steps)",
        tables=(
            Table(
                "gradient of the first step, and training",
                ("set-up", "‖∂L/∂a‖ last layer → first, seed by seed", "final loss"),
                tuple(
                    (
                        name,
                        ", ".join(f"{c.gradients[-1]:.0e} → {c.gradients[0]:.0e}" for c in one),
                        ", ".join(f"{loss:.2f}" if isfinite(loss) else "not finite" for loss in _final(one)),
                    )
                    for name, one in courses.items()
                ),
            ),
        ),
        panels=(
            *(
                Panel(
                    f"‖∂L/∂a‖ layer by layer, first step: {kind}",
                    "lines",
                    tuple(
                        Series(name.partition(": ")[2], one[0].gradients, tuple(map(float, range(1, depth + 1))))
                        for name, one in courses.items()
                        if name.startswith((kind, "both"))
                    ),
                    x_label="layer, from the image on",
                    log_y=True,
                )
                for kind in ("vanishing", "exploding")
            ),
            Panel(
                "final loss",
                "bars",
                tuple(
                    Series(f"seed {seed}", tuple(one[i].final_loss for one in courses.values()))
                    for i, seed in enumerate(seeds)
                ),
                ticks=tuple(name.replace("vanishing", "v.").replace("exploding", "e.") for name in courses),
                levels={"guessing": GUESSING},
                largest=3.0,
            ),
        ),
        sources=(
            "Glorot & Bengio 2010; He et al. 2015, Delving Deep into Rectifiers; He et al. 2016; Ioffe & Szegedy 2015",
            "Pascanu et al. 2013, On the difficulty of training recurrent neural networks (clipping)",
        ),
    )


def _ratio(courses: Sequence[Course]) -> tuple[float, ...]:
    return tuple(one.gradients[0] / one.gradients[-1] for one in courses)


def _per_layer(courses: Sequence[Course]) -> tuple[float, ...]:
    """The factor of one layer, from the last layer back to the first, as a geometric mean."""
    return tuple(ratio ** (1 / (len(one.gradients) - 1)) for ratio, one in zip(_ratio(courses), courses, strict=True))


def _final(courses: Sequence[Course]) -> tuple[float, ...]:
    return tuple(one.final_loss for one in courses)


def _first_lost(course: Course) -> int:
    return next((step for step, loss in enumerate(course.losses, start=1) if not isfinite(loss)), len(course.losses))
