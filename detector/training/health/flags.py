"""What the numbers of a network's layers say: which layer has a problem, and which."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from detector import config
from detector.training.health.measure import LayerHealth

Record = Sequence[LayerHealth]
"""All layers in one step."""

DEAD_SHARE = 0.5
"""Share of the channels of a ReLU above which it counts as dead."""
VANISHING = 1e-5
"""Relative gradient of a layer as a share of the largest."""
EXPLODING = 1e3
"""Relative gradient: the loss would fall by a thousand if the weight changed by its own size."""
LARGEST_UPDATE = 0.5
"""‖Δw‖ / ‖w‖ above which a layer counts as exploding: one that half changes in a step remembers nothing."""
LAST = 3
"""Steps measured whose median counts: one unusual batch is no problem."""


@dataclass(frozen=True)
class Flag:
    """A problem of a layer's activations or gradients."""

    layer: str
    problem: str
    """dead | vanishing | exploding"""
    finding: str
    """What was measured, with its number."""

    def __str__(self) -> str:
        return f"{self.layer}: {self.problem}: {self.finding}"


def find_flags(records: Sequence[Record]) -> list[Flag]:
    """Finds the problems of the layers in the last steps measured, in the order of the network.

    - dead: more than half of a ReLU's channels are 0 for a whole batch
    - exploding: a layer's relative gradient ‖∂L/∂w‖ / ‖w‖ is above 1000 or not finite, or an update changes the weight by
      more than half its size
    - vanishing: it is below 10⁻⁵ of the largest one of all layers that do not explode, or 0
    """
    last = records[-LAST:]
    found = []
    gradients, updates = _medians(last, "gradient"), _medians(last, "update")
    dead, activations = _medians(last, "dead"), _medians(last, "activation")
    largest = max((value for value in gradients.values() if value <= EXPLODING), default=0.0)
    for layer in [layer.name for layer in last[-1]] if last else []:
        share = dead.get(layer, 0.0)
        if share > DEAD_SHARE and math.isfinite(activations.get(layer, 0.0)):
            found.append(Flag(layer, "dead", f"{share:.0%} of its channels are 0 for every image of a batch"))
        gradient, update = gradients.get(layer), updates.get(layer, 0.0)
        if gradient is None:
            continue
        if not math.isfinite(gradient) or not math.isfinite(update):
            found.append(Flag(layer, "exploding", "its gradient is not finite"))
        elif gradient > EXPLODING:
            found.append(Flag(layer, "exploding", f"its relative gradient is {gradient:.0e}"))
        elif update > LARGEST_UPDATE:
            found.append(Flag(layer, "exploding", f"an update changes its weight by {update:.0%}"))
        elif gradient < VANISHING * largest or gradient == 0:
            share_of_largest = f"{gradient / largest:.0e} of the largest" if gradient else "0"
            found.append(Flag(layer, "vanishing", f"its relative gradient is {share_of_largest}"))
    return found


def _medians(records: Sequence[Record], measure: str) -> Mapping[str, float]:
    """Layer → median over the steps in which it has the measure; not finite where any of them is not."""
    values: dict[str, list[float]] = {}
    for record in records:
        for layer in record:
            if (value := getattr(layer, measure)) is not None:
                values.setdefault(layer.name, []).append(value)
    return {name: median(each) if all(map(math.isfinite, each)) else math.nan for name, each in values.items()}


PLAIN_BACKBONES = ("vgg", "darknet19")
"""Backbones without residual connections."""


def advice(flag: Flag, recipe: config.Train) -> list[str]:
    """Overrides, or words where a number has to be found; empty where the run has all that usually helps."""
    part = flag.layer.split(".")[0]
    options = getattr(recipe, part, None)
    norm = [f"{part}.norm=batch"] if getattr(options, "norm", "") == "none" else []
    weights = [f"{part}.initialisation=kaiming"] if getattr(options, "initialisation", "kaiming") == "xavier" else []
    lower = f"a lower optim.lr (now {recipe.optim.lr:g})"
    warmup = (
        ["optim.warmup_epochs=3"] if not recipe.optim.warmup_epochs and recipe.optim.schedule != "one_cycle" else []
    )
    match flag.problem:
        case "dead":
            other = [f"{part}.activation=leaky_relu"] if getattr(options, "activation", "") == "relu" else []
            return [lower, *warmup, *norm, *other, *weights]
        case "exploding":
            clip = recipe.trainer.clip
            clipping = f"a smaller trainer.clip (now {clip:g})" if clip else "trainer.clip=10"
            return [lower, clipping, *warmup, *norm, *weights]
        case _:
            plain = part == "backbone" and getattr(options, "name", "") in PLAIN_BACKBONES
            return [*norm, *(["backbone=resnet18 (it has residual connections)"] if plain else []), *weights]
