"""Question 4b: what sets the backbones of detectors apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from detector import config
from detector.arithmetic.model import take_ledger
from detector.arithmetic.receptive_field import receptive_fields
from detector.seminar.answer import Claim
from detector.seminar.drawing import new_figure, save

SIDE = 256
"""Side of the image in pixels."""


class Numbers(NamedTuple):
    """What a backbone costs and sees, without a classifier."""

    parameters: int
    multiply_accumulates: int
    by_stride: dict[int, int]
    """Multiply-accumulates of the layers whose output has that stride."""
    mistakes: int
    """Layers of which the formula and PyTorch's own counts differ."""
    stride: int
    """Pixels of the image between neighbouring cells of C5."""
    receptive_field: int
    """Theoretical receptive field of C5 in pixels of the image."""


def measure(part: config.BackboneOptions) -> Numbers:
    """Runs it on a tensor without content, which costs nothing."""
    with torch.device("meta"):
        backbone: Any = part.build()
        backbone, image = backbone.eval(), torch.zeros(1, 3, SIDE, SIDE)
    ledger = take_ledger(backbone, lambda: backbone(image))
    by_stride: Counter[int] = Counter()
    for layer in ledger.layers:
        if layer.multiply_accumulates and layer.output_shape:
            by_stride[SIDE // layer.output_shape[2]] += layer.multiply_accumulates
    return Numbers(
        ledger.parameters,
        ledger.multiply_accumulates,
        dict(sorted(by_stride.items())),
        len(ledger.mistakes()),
        dict(zip(backbone.info.names, backbone.info.strides, strict=True))["C5"],
        receptive_fields(backbone)["C5"].size[0],
    )


def compared(folder: Path) -> Claim:
    """4b"""
    vgg, resnet, darknet = (
        measure(config.VGGOptions(depth=16)),
        measure(config.ResNetOptions(depth=50)),
        measure(config.Darknet53Options()),
    )
    numbers = {"VGG-16": vgg, "ResNet-50": resnet, "Darknet-53": darknet}
    return Claim(
        "4b",
        "the backbones VGG, ResNet and Darknet-53",
        "VGG is a plain stack of 3 × 3 convolutions, costly for what it sees; residual connections let ResNet (1 × 1, 3 × 3, "
        "1 × 1) and Darknet-53 (1 × 1, 3 × 3, strides for pooling) be deep: they see further for less work",
        f"the ledger of each on {SIDE} × {SIDE} pixels, without classifier, and the receptive field through all its branches",
        tuple(
            (
                name,
                f"{one.parameters / 1e6:5.1f} M parameters, {one.multiply_accumulates / 1e9:5.2f} G multiply-accumulates, "
                f"C5 has stride {one.stride} and sees {one.receptive_field} pixels",
            )
            for name, one in numbers.items()
        ),
        "formulas agree with PyTorch's counts in every layer; VGG-16 does the most work and sees least, with the fewest "
        "parameters; Darknet-53 sees furthest, for more work than ResNet-50",
        all(one.mistakes == 0 and one.stride == 32 for one in numbers.values())
        and vgg.multiply_accumulates > darknet.multiply_accumulates > resnet.multiply_accumulates
        and vgg.parameters < resnet.parameters < darknet.parameters
        and vgg.receptive_field < resnet.receptive_field < darknet.receptive_field,
        _draw(folder, numbers),
    )


def _draw(folder: Path, numbers: Mapping[str, Numbers]) -> Path:
    figure = new_figure(11, 4)
    work, sight = figure.subplots(1, 2, width_ratios=[3, 2])
    strides = sorted({stride for one in numbers.values() for stride in one.by_stride})
    for row, (name, one) in enumerate(numbers.items()):
        values = [one.by_stride.get(stride, 0) / 1e9 for stride in strides]
        places = [place + 0.27 * (row - 1) for place in range(len(strides))]
        work.bar(places, values, 0.25, label=f"{name}: {one.multiply_accumulates / 1e9:.1f} in all")
    work.set_xticks(range(len(strides)), list(map(str, strides)))
    work.set_xlabel("stride of the layer's output")
    work.set_ylabel(f"10⁹ multiply-accumulates, {SIDE} × {SIDE} pixels")
    work.legend(fontsize=8)
    work.set_title("where the work is")
    for one, name, marker in zip(numbers.values(), numbers, "osD", strict=True):
        sight.plot(one.multiply_accumulates / 1e9, one.receptive_field, marker, markersize=10)
        sight.annotate(
            f"{name}\n{one.parameters / 1e6:.1f} M parameters",
            (one.multiply_accumulates / 1e9, one.receptive_field),
            (0, -12),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=8,
        )
    sight.set_xlim(0, 25)
    sight.set_ylim(0, 800)
    sight.set_xlabel("10⁹ multiply-accumulates")
    sight.set_ylabel("receptive field of C5, pixels")
    sight.grid(alpha=0.3)
    sight.set_title("what it buys")
    return save(figure, folder, "4b")
