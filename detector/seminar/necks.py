"""Question 4c: the parts of a detector as the YOLOv4 paper categorises them, and what the neck does with features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from detector import config
from detector.arithmetic.receptive_field import receptive_fields
from detector.seminar.answer import Answer, Condition, Panel, Series, Table
from detector.seminar.yolov4 import CATEGORIES, built_here

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


def categories_and_necks() -> Answer:
    """4c"""
    necks = {name: measure(part) for name, part in NECKS.items()}
    patterns = {
        name: tuple(tuple(int(share > 0) for share in row) for row in one.shares.tolist())
        for name, one in necks.items()
    }
    here = [member for member in CATEGORIES if member.part is not None]
    built = {member.name: built_here(member) for member in here}
    return Answer(
        "4c",
        "how the YOLOv4 paper categorises the parts of detectors, and what the neck does",
        "input (image, patches, pyramid), backbone, neck (additional blocks, path aggregation), and head: dense prediction in "
        "one stage, with or without anchors, or sparse prediction in two. The neck collects feature maps of several stages "
        "and combines them: fine ones know where something is, deep ones what it is",
        (
            Condition(
                "categories of the paper",
                tuple(dict.fromkeys(one.category for one in CATEGORIES)),
                "=",
                ("input", "backbone", "neck", "head: dense prediction", "head: sparse prediction"),
            ),
            Condition(
                "members said to be here that are not built",
                tuple(name for name, right in built.items() if not right),
                "=",
                (),
            ),
            Condition("categories of which a member is here", len({one.category for one in here}), "=", 5),
            Condition(
                "no neck: each level depends on its own stage alone",
                patterns["none"],
                "=",
                ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
            ),
            Condition(
                "FPN: each level depends on its own stage and all deeper ones",
                patterns["fpn"],
                "=",
                ((1, 1, 1), (0, 1, 1), (0, 0, 1)),
            ),
            Condition("PAN: each level depends on all stages", patterns["pan"], "=", ((1, 1, 1),) * 3),
            Condition(
                "receptive field of P3: FPN / no neck",
                necks["fpn"].receptive_fields["P3"] / necks["none"].receptive_fields["P3"],
                ">",
                2.0,
            ),
        ),
        steps=(
            "without a neck each head reads one stage",
            "FPN adds a path from deep to fine: P3 gets what C4 and C5 know",
            "PAN adds a path back: P5 gets what C3 knows",
        ),
        experiment="‖∂P / ∂C‖ of each level after the neck with respect to each before it, on a ResNet-18, and the "
        "receptive field of P3",
        tables=(
            Table(
                "members that the YOLOv4 paper names (section 2.1; figure 2), and which are here",
                ("category", "kind", "member", "here"),
                tuple((one.category, one.kind, one.name, one.chosen_by or "no") for one in CATEGORIES),
            ),
            Table(
                "which stages each level depends on",
                ("neck", *(f"P{level}" for level in (3, 4, 5)), "receptive field of P3, pixels"),
                tuple(
                    (
                        name,
                        *(
                            " ".join(c for c, depends in zip(LEVELS, row, strict=True) if depends)
                            for row in patterns[name]
                        ),
                        one.receptive_fields["P3"],
                    )
                    for name, one in necks.items()
                ),
            ),
        ),
        panels=(
            *(
                Panel(
                    f"neck={name}: share of ‖∂P / ∂C‖",
                    "image",
                    values=tuple(tuple(row) for row in one.shares.tolist()),
                    ticks=LEVELS,
                    rows=tuple(one.receptive_fields),
                )
                for name, one in necks.items()
            ),
            Panel(
                "receptive field, pixels",
                "bars",
                tuple(
                    Series(f"neck={name}", tuple(map(float, one.receptive_fields.values())))
                    for name, one in necks.items()
                ),
                ticks=tuple(necks["none"].receptive_fields),
            ),
        ),
        sources=(
            "Bochkovskiy et al. 2020, YOLOv4, arXiv 2004.10934, section 2.1 and figure 2",
            "Lin et al. 2017 (FPN); Liu et al. 2018 (PAN)",
        ),
    )
