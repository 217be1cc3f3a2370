"""What to try against a problem of a layer: only what the run does not have already."""

from __future__ import annotations

from detector import config
from detector.training.health.flags import Flag

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
