from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from detector import config
from detector.training.health.flags import Flag, advice

Configure = Callable[..., config.Train]
BARE = config.VGGOptions(depth=11, norm="none", activation="relu", initialisation="xavier")


def said(problem: str, recipe: config.Train, layer: str = "backbone.stages.1.0.activation") -> str:
    return ", ".join(advice(Flag(layer, problem, ""), recipe))


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        ("dead", ["optim.lr", "warmup", "backbone.norm=batch", "activation=leaky_relu", "initialisation=kaiming"]),
        ("vanishing", ["backbone.norm=batch", "backbone=resnet18", "backbone.initialisation=kaiming"]),
        ("exploding", ["optim.lr", "trainer.clip=10", "warmup", "backbone.norm=batch", "initialisation=kaiming"]),
    ],
)
def test_a_bare_run_is_told_all_that_helps(tiny: Configure, problem: str, words: list[str]) -> None:
    trainer = config.Trainer(clip=0.0)
    recipe = tiny(backbone=BARE, optim=config.SGDOptions(warmup_epochs=0.0), trainer=trainer)
    assert all(word in said(problem, recipe) for word in words)
    assert len(advice(Flag("backbone.x", problem, ""), recipe)) == len(words)


@pytest.mark.parametrize("problem", ["dead", "vanishing", "exploding"])
def test_nothing_is_advised_that_the_run_has(tiny: Configure, problem: str) -> None:
    recipe = tiny(backbone=config.ResNetOptions(depth=18, activation="leaky_relu"))
    found = said(problem, recipe)
    for word in ("norm", "leaky", "kaiming", "residual", "warm", "resnet", "clip=10"):
        assert word not in found
    for part in ("neck", "head"):
        assert "batch" not in said(problem, recipe, f"{part}.x.convolution")


def test_advice_names_the_part_that_the_layer_belongs_to(tiny: Configure) -> None:
    settings = tiny()
    recipe = dataclasses.replace(settings, head=config.AnchorFreeHeadOptions(convolutions=1, norm="none"))
    assert "head.norm=batch" in said("vanishing", recipe, "head.box_branches.P3.0.convolution")
    assert "norm" not in said("vanishing", recipe, "neck.lateral.convolution")


def test_parts_without_such_options_are_told_what_any_run_can_do(tiny: Configure) -> None:
    recipe = tiny(model=config.FasterRCNNOptions(channels=16, width=32))
    assert said("vanishing", recipe, "proposals.convolution") == ""
    assert said("dead", recipe, "roi_stage.fully_connected.0").startswith("a lower optim.lr")
