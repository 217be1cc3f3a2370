"""Which convolutions of a network a weights file holds, in its order."""

from __future__ import annotations

import re

from detector.darknet.layers import Convolution
from detector.darknet.network import Plan
from detector.darknet.weights import Slot


def slots(plan: Plan, first: int | None = None) -> list[Slot]:
    """The convolutions among the `first` layers, by default all; without those that say dontload=1."""
    return [
        Slot(
            f"layer {i} ([{layer.section.name}], line {layer.section.line} of {plan.file})",
            layer.module.convolution,
            layer.module.norm,
        )
        for i, layer in enumerate(plan.layers[:first])
        if isinstance(layer.module, Convolution) and not layer.section.integer("dontload", 0)
    ]


def layers_held(weights: str) -> int | None:
    """N of a file called NAME.conv.N; None where the file holds all layers."""
    found = re.search(r"\.conv\.(\d+)$", weights)
    return int(found.group(1)) if found else None
