"""Question 4c: a neck makes each of its levels of several of the backbone's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from detector import config
from detector.arithmetic.receptive_field import receptive_fields
from detector.seminar.answer import Claim
from detector.seminar.drawing import new_figure, save

LEVELS = ("C3", "C4", "C5")
NECKS: Mapping[str, config.NeckOptions] = {
    "none": config.NoNeckOptions(),
    "fpn": config.FPNOptions(),
    "pan": config.PANOptions(),
}


class Dependence(NamedTuple):
    """How a neck's levels P3, P4, P5 depend on the levels of a ResNet-18."""

    shares: Tensor
    """[P, C]: ‖∂P / ∂C‖ as a share of the row."""
    receptive_fields: dict[str, int]
    """Pixels of the image that each level sees, in theory."""


def measure(part: config.NeckOptions) -> Dependence:
    """Measures by autograd, for a random sum of each level's numbers, on random features."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        backbone = config.ResNetOptions(depth=18).build().eval()
        neck: Any = part.build(backbone.info)
        neck.eval()
        given = backbone.info
        features = {
            name: torch.randn(1, channels, 128 // stride, 128 // stride, requires_grad=True)
            for name, channels, stride in zip(given.names, given.channels, given.strides, strict=True)
            if name in LEVELS
        }
        levels = neck(features)
        rows = []
        for level in levels.values():
            target = (level * torch.randn_like(level)).sum()
            gradients = torch.autograd.grad(target, list(features.values()), retain_graph=True, allow_unused=True)
            rows.append(torch.stack([torch.zeros(()) if one is None else one.norm() for one in gradients]))
    sizes = receptive_fields(nn.Sequential(backbone, neck))
    table = torch.stack(rows)
    return Dependence(table / table.sum(1, keepdim=True), {name: sizes[name].size[0] for name in levels})


def what_a_level_depends_on(folder: Path) -> Claim:
    """4c"""
    necks = {name: measure(part) for name, part in NECKS.items()}
    patterns = {name: (one.shares > 0).int().tolist() for name, one in necks.items()}
    return Claim(
        "4c",
        "what the neck does",
        "it combines features of several layers: fine ones know where something is, deep ones what it is",
        "‖∂P / ∂C‖ of each level after the neck with respect to each before it, on a ResNet-18, and how far P3 sees",
        tuple(
            (
                f"neck={name}",
                "; ".join(
                    f"{level} of {' '.join(c for c, depends in zip(LEVELS, row, strict=True) if depends)}"
                    for level, row in zip(one.receptive_fields, patterns[name], strict=True)
                )
                + f"; P3 sees {one.receptive_fields['P3']} pixels",
            )
            for name, one in necks.items()
        ),
        "without a neck each level depends on one layer; with FPN on it and all deeper ones; with PAN on all; P3 sees "
        "further with FPN than without",
        patterns["none"] == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
        and patterns["fpn"] == [[1, 1, 1], [0, 1, 1], [0, 0, 1]]
        and patterns["pan"] == [[1, 1, 1]] * 3
        and necks["fpn"].receptive_fields["P3"] > 2 * necks["none"].receptive_fields["P3"],
        _draw(folder, necks),
    )


def _draw(folder: Path, necks: Mapping[str, Dependence]) -> Path:
    figure = new_figure(13, 3.6)
    *maps, sight = figure.subplots(1, len(necks) + 1, width_ratios=[1] * len(necks) + [1.3])
    for axes, (name, one) in zip(maps, necks.items(), strict=True):
        axes.imshow(one.shares.numpy(), cmap="Blues", vmin=0, vmax=1)
        for row, values in enumerate(one.shares.tolist()):
            for column, share in enumerate(values):
                text = f"{share:.0%}" if share else "–"
                axes.text(column, row, text, ha="center", va="center", color="white" if share > 0.6 else "black")
        axes.set_xticks(range(3), LEVELS)
        axes.set_yticks(range(3), list(one.receptive_fields))
        axes.set_title(f"neck={name}: whose change moves it")
    for row, (name, one) in enumerate(necks.items()):
        places = [place + 0.27 * (row - 1) for place in range(3)]
        bars = sight.bar(places, list(one.receptive_fields.values()), 0.25, label=f"neck={name}")
        sight.bar_label(bars, fontsize=7)
    sight.set_xticks(range(3), list(one.receptive_fields))
    sight.set_title("receptive field, pixels")
    sight.legend(fontsize=8)
    return save(figure, folder, "4c")
