"""Question 4b: what sets the backbones of detectors apart, and that shortcuts let them be deep."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import fmean
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from detector import config
from detector.arithmetic.model import take_ledger
from detector.arithmetic.receptive_field import receptive_fields
from detector.layers import ConvNormActivation, Residual
from detector.seminar.answer import Answer, Condition, Panel, Series, Table
from detector.training.health.plain_network import gratings

SIDE = 256
"""Side of the image in pixels."""
SHALLOW, DEEP = 2, 23
"""Residual blocks; Darknet-53 has 23."""
SEEDS = (0, 1, 2)


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


def compared(seeds: Sequence[int] = SEEDS, deep: int = DEEP, steps: int = 60) -> Answer:
    """4b"""
    numbers = {
        "VGG-16": measure(config.VGGOptions(depth=16)),
        "ResNet-50": measure(config.ResNetOptions(depth=50)),
        "Darknet-53": measure(config.Darknet53Options()),
    }
    vgg, resnet, darknet = numbers.values()
    losses = {
        (blocks, shortcut): tuple(train_blocks(blocks, shortcut, seed, steps) for seed in seeds)
        for blocks in (SHALLOW, deep)
        for shortcut in (True, False)
    }
    kinds = {True: "with shortcuts", False: "without"}
    strides = sorted({stride for one in numbers.values() for stride in one.by_stride})
    return Answer(
        "4b",
        "the backbones VGG, ResNet and Darknet-53",
        "VGG is a plain stack of 3 × 3 convolutions with max pooling, costly for what it sees. ResNet (1 × 1, 3 × 3, "
        "1 × 1) and "
        "Darknet-53 (1 × 1, 3 × 3; strides in place of pooling) add each block's input to its output: these residual "
        "connections let them be deep, and they see further for less work",
        (
            Condition(
                "layers of which formula and PyTorch's count differ",
                tuple(one.mistakes for one in numbers.values()),
                "=",
                (0, 0, 0),
            ),
            Condition("stride of C5", tuple(one.stride for one in numbers.values()), "=", (32, 32, 32)),
            Condition(
                "multiply-accumulates: ResNet-50 / Darknet-53",
                resnet.multiply_accumulates / darknet.multiply_accumulates,
                "<",
                1.0,
            ),
            Condition(
                "multiply-accumulates: Darknet-53 / VGG-16",
                darknet.multiply_accumulates / vgg.multiply_accumulates,
                "<",
                1.0,
            ),
            Condition("parameters: VGG-16 / ResNet-50", vgg.parameters / resnet.parameters, "<", 1.0),
            Condition("receptive field: VGG-16 / ResNet-50", vgg.receptive_field / resnet.receptive_field, "<", 1.0),
            Condition(
                "receptive field: ResNet-50 / Darknet-53", resnet.receptive_field / darknet.receptive_field, "<", 1.0
            ),
            Condition(
                f"{deep} blocks: final loss with shortcuts - without",
                tuple(a - b for a, b in zip(losses[deep, True], losses[deep, False], strict=True)),
                "<",
                -0.1,
            ),
            Condition(
                "without shortcuts: final loss, deep - shallow, mean of seeds",
                fmean(losses[deep, False]) - fmean(losses[SHALLOW, False]),
                ">",
                0.05,
            ),
            Condition(
                "with shortcuts: final loss, deep - shallow, mean of seeds",
                fmean(losses[deep, True]) - fmean(losses[SHALLOW, True]),
                "<",
                0.05,
            ),
        ),
        "residual block: y = x + f(x), so ∂L/∂x = ∂L/∂y (1 + f′(x))",
        steps=(
            "VGG: 3 × 3 convolutions alone; two of them see what one of 5 × 5 does, with fewer weights",
            "ResNet-50: 1 × 1 makes the 3 × 3 convolution narrow, 1 × 1 widens again; the input is added",
            "Darknet-53: 1 × 1 to half of the channels, 3 × 3 back, the input is added; 23 such blocks",
            f"the same {deep} blocks without their shortcuts learn less than {SHALLOW} of them do: depth alone does harm",
        ),
        experiment=f"the ledger of each on {SIDE} × {SIDE} pixels, without classifier, and the receptive field "
        "through all branches; and "
        "Darknet-53's own blocks (16 channels), with and without shortcut, learn to tell four directions of stripes: "
        f"{steps} steps, "
        f"seeds {', '.join(map(str, seeds))}, mean loss of the last ten",
        tables=(
            Table(
                "backbones",
                ("", "10⁶ parameters", "10⁹ multiply-accumulates", "stride of C5", "receptive field of C5, pixels"),
                tuple(
                    (
                        name,
                        round(one.parameters / 1e6, 1),
                        round(one.multiply_accumulates / 1e9, 2),
                        one.stride,
                        one.receptive_field,
                    )
                    for name, one in numbers.items()
                ),
            ),
            Table(
                "final loss of blocks of Darknet-53, seed by seed (guessing has 1.39)",
                ("blocks", "", "loss"),
                tuple(
                    (blocks, kinds[shortcut], tuple(round(x, 3) for x in one))
                    for (blocks, shortcut), one in losses.items()
                ),
            ),
        ),
        panels=(
            Panel(
                "where the work is: stride of the layer's output",
                "bars",
                tuple(
                    Series(name, tuple(one.by_stride.get(stride, 0) / 1e9 for stride in strides))
                    for name, one in numbers.items()
                ),
                ticks=tuple(map(str, strides)),
                y_label=f"10⁹ multiply-accumulates, {SIDE} × {SIDE} pixels",
            ),
            Panel(
                "receptive field of C5, pixels",
                "bars",
                (Series("pixels", tuple(float(one.receptive_field) for one in numbers.values())),),
                ticks=tuple(numbers),
            ),
            Panel(
                "final loss with and without shortcuts",
                "bars",
                tuple(
                    Series(
                        f"{kinds[shortcut]}, seed {seed}",
                        tuple(losses[blocks, shortcut][i] for blocks in (SHALLOW, deep)),
                    )
                    for shortcut in (True, False)
                    for i, seed in enumerate(seeds)
                ),
                ticks=(f"{SHALLOW} blocks", f"{deep} blocks"),
            ),
        ),
        sources=(
            "Simonyan & Zisserman 2015 (VGG); He et al. 2016 (ResNet); Redmon & Farhadi 2018 (Darknet-53, table 1)",
        ),
    )


def train_blocks(blocks: int, shortcut: bool, seed: int, steps: int, width: int = 16) -> float:
    """Final loss of so many of Darknet's blocks with batch norm on stripes; the same weights with and without shortcuts."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(
            ConvNormActivation(3, width, 3, stride=2, activation="relu"),
            *(Residual(width, width // 2, shortcut, activation="relu") for _ in range(blocks)),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(width, 4),
        )
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.005, momentum=0.9)
    losses = []
    for _ in range(steps):
        images, labels = gratings(generator)
        optimizer.zero_grad()
        loss = functional.cross_entropy(network(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return fmean(losses[-10:])
