"""Small networks that learn boxes of all sizes at once, with one loss or another: what is left for the small ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from detector.boxes import convert
from detector.data.index import AnnotatedObjects, assemble
from detector.evaluation.coco import coco_metrics
from detector.evaluation.results import FlatResults
from detector.losses.box import BoxLoss

IMAGE, PIXELS = 192, 4
"""Side of the image in pixels, and side of the squares whose mean the network sees."""
SMALLEST, LARGEST = 8, 140
"""Sides of objects, before they are made longer or wider by up to √√2."""
NOISE = 0.1
STRIDE = 16
"""Pixels a cell; the object is assigned to the one that its centre lies in."""
STEPS, BATCH, RATE, TESTED, WIDTH = 300, 64, 1e-2, 2000, 64
SIZES: Mapping[str, str] = {"small": "< 32²", "medium": "32² to 96²", "large": "> 96²"}
"""COCO's, by area in pixels."""


class ByTraining(NamedTuple):
    """What became of a training."""

    ap: dict[str, float]
    """AP by `SIZES`."""


class BoxNetworks:
    """Networks of three fully connected layers, one for each seed given, side by side."""

    def __init__(self, width: int, seeds: Sequence[int]) -> None:
        drawn = [_initial(width, seed) for seed in seeds]
        self.parameters = [torch.stack(one).requires_grad_() for one in zip(*drawn, strict=True)]
        """Weights [N, in, out] and biases [N, 1, out]."""

    def __call__(self, images: Tensor, centres: Tensor) -> Tensor:
        """Grey images [N, B, 48, 48] of N networks and the objects' centres [N, B, 2] in pixels → boxes [N, B, 4].

        What is predicted is the centre relative to the cell's, in cells, and the logarithm of width and height, in units of
        32 pixels.
        """
        cells = (centres / STRIDE).long()
        x = profiles(images, cells)
        last = len(self.parameters) - 2
        for layer in range(0, last + 1, 2):
            x = torch.baddbmm(self.parameters[layer + 1], x, self.parameters[layer])
            x = x.relu() if layer < last else x
        middle = (cells + 0.5 + x[..., :2]) * STRIDE
        return convert(torch.cat([middle, 32 * x[..., 2:].exp()], dim=-1).flatten(0, 1), "cxcywh", "xyxy").view_as(x)


def _initial(width: int, seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    drawn = []
    for fan_in, fan_out in ((4 * IMAGE // PIXELS, width), (width, width), (width, 4)):
        scale = (2 / fan_in) ** 0.5 if fan_out == width else 0.01  # Kaiming's; the first boxes have 32 pixels
        drawn += [scale * torch.randn(fan_in, fan_out, generator=generator), torch.zeros(1, fan_out)]
    return drawn


def profiles(images: Tensor, cells: Tensor) -> Tensor:
    """Sums of the columns and of the rows of images [N, B, 48, 48], as far as they lie from a cell [N, B, 2]: [N, B, 192]."""
    side, each = IMAGE // PIXELS, STRIDE // PIXELS
    found = []
    for axis, across in ((0, 2), (1, 3)):
        places = cells[..., axis, None] * each + torch.arange(each // 2 - side, each // 2 + side)
        outside = (places < 0) | (places >= side)
        sums = images.sum(across).gather(2, places.clamp(0, side - 1))
        found.append(sums.masked_fill(outside, 0.0))
    return torch.cat(found, dim=2) / 3  # about 1 on average


def train_and_measure(
    kinds: Sequence[str], seeds: Sequence[int], steps: int = STEPS, width: int = WIDTH, tested: int = TESTED
) -> dict[str, list[ByTraining]]:
    """Trains with each box loss of `BoxLoss` and each seed, and measures by size on new images: loss → seed by seed.

    The same seed means the same images and the same weights to begin with, whatever the loss. By Adam: no loss is smaller
    than another to it.
    """
    networks = BoxNetworks(width, [seed for _ in kinds for seed in seeds])
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    losses = [BoxLoss(kind) for kind in kinds]
    optimizer = torch.optim.Adam(networks.parameters, lr=RATE, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)

    def predicted(number: int) -> tuple[Tensor, Tensor]:
        """Boxes found [loss, seed, B, 4] in new images, and the objects' [seed, B, 4]."""
        images, boxes = (torch.stack(one) for one in zip(*(draw(number, one) for one in generators), strict=True))
        centres = (boxes[..., :2] + boxes[..., 2:]) / 2
        found = networks(images[:, :, 0].repeat(len(kinds), 1, 1, 1), centres.repeat(len(kinds), 1, 1))
        return found.view(len(kinds), *boxes.shape), boxes

    for _ in range(steps):
        found, boxes = predicted(BATCH)
        optimizer.zero_grad()
        each = [
            loss(own.flatten(0, 1), boxes.flatten(0, 1), (IMAGE, IMAGE))
            for loss, own in zip(losses, found, strict=True)
        ]
        (torch.stack(each).sum() / BATCH).backward()  # a network's gradient is that of its own mean
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        found, boxes = predicted(tested)
    return {
        kind: [ByTraining(average_precision(*one)) for one in zip(own, boxes, strict=True)]
        for kind, own in zip(kinds, found, strict=True)
    }


def draw(number: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Images [B, 1, 48, 48] of one bright rectangle each in noise, sides even on a log scale, and the boxes [B, 4]."""
    side = SMALLEST * (torch.rand(number, 1, generator=generator) * math.log(LARGEST / SMALLEST)).exp()
    longer = 2 ** ((torch.rand(number, 1, generator=generator) - 0.5) / 2)
    size = torch.cat([side * longer, side / longer], dim=1)
    low = torch.rand(number, 2, generator=generator) * (IMAGE - size)
    boxes = torch.cat([low, low + size], dim=1)
    images = _covered(boxes[:, 1::2])[:, :, None] * _covered(boxes[:, ::2])[:, None]
    return (images + NOISE * torch.randn(images.shape, generator=generator))[:, None], boxes


def _covered(spans: Tensor) -> Tensor:
    """Share of each square's side that lies in a span: [B, 2] pixels → [B, 48]."""
    edges = torch.arange(0, IMAGE, PIXELS)
    inside = torch.minimum(spans[:, 1:], edges + PIXELS) - torch.maximum(spans[:, :1], edges)
    return inside.clamp(min=0) / PIXELS


def average_precision(found: Tensor, boxes: Tensor) -> dict[str, float]:
    """COCO's AP by size of one box [B, 4] an image, against one object each; all boxes have the same score."""
    number = len(boxes)
    objects = AnnotatedObjects(
        owners=np.arange(number),
        boxes=boxes.numpy(),
        labels=np.zeros(number),
        crowd=np.zeros(number),
        where=lambda n: f"rectangle {n}",
    )
    index = assemble(("rectangle",), (1,), range(number), [""] * number, np.full((number, 2), IMAGE), objects)
    results = FlatResults(
        images=np.arange(number),
        labels=np.zeros(number, dtype=np.int64),
        boxes=convert(found, "xyxy", "xywh").double().numpy(),
        scores=np.ones(number),
    )
    metrics, _ = coco_metrics(index, results)
    values = {size: metrics[f"AP{size[0]}"] for size in SIZES}
    return {size: value for size, value in values.items() if value is not None}
