"""A small network that learns boxes of all sizes at once, with one loss or another: what is left for the small ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

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
"""Pixels a cell of what comes out."""
STEPS, BATCH, RATE, TESTED, WIDTH = 300, 32, 3e-3, 1000, 24
SIZES: Mapping[str, str] = {"small": "< 32²", "medium": "32² to 96²", "large": "> 96²"}
"""COCO's, by area in pixels."""


class ByTraining(NamedTuple):
    """What became of a training."""

    ap: dict[str, float]
    """AP by `SIZES`."""


class BoxNetwork(nn.Module):
    """Grey images [B, 1, 48, 48] and the objects' centres [B, 2] in pixels → boxes [B, 4].

    Each cell predicts, as in a detector without anchors; the object is assigned to the one that its centre lies in.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(1, width // 2, 3, 2, 1), nn.ReLU(), nn.Conv2d(width // 2, width, 3, 2, 1)]
        for dilation in (1, 2, 3, 1):  # up to 172 pixels of receptive field, as large as the objects
            layers += [nn.ReLU(), nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation)]
        self.layers = nn.Sequential(*layers, nn.ReLU(), nn.Conv2d(width, 4, 1))
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        nn.init.normal_(self.layers[-1].weight, std=0.01)  # type: ignore[arg-type]

    def forward(self, images: Tensor, centres: Tensor) -> Tensor:
        """Centre relative to the cell's, in cells; logarithm of width and height, in units of 32 pixels."""
        cells = (centres / STRIDE).long()
        answers = self.layers(images)[torch.arange(len(images)), :, cells[:, 1], cells[:, 0]]
        middle = (cells + 0.5 + answers[:, :2]) * STRIDE
        return convert(torch.cat([middle, 32 * answers[:, 2:].exp()], dim=1), "cxcywh", "xyxy")


def train_and_measure(kind: str, seed: int, steps: int = STEPS, width: int = WIDTH, tested: int = TESTED) -> ByTraining:
    """Trains with a box loss of `BoxLoss`, and measures by size on new images. Adam: no loss is smaller than another to it.

    The same seed means the same images and the same weights to begin with, whatever the loss.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = BoxNetwork(width)
    generator = torch.Generator().manual_seed(seed)
    loss = BoxLoss(kind)
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for _ in range(steps):
        images, boxes = draw(BATCH, generator)
        optimizer.zero_grad()
        loss(network(images, convert(boxes, "xyxy", "cxcywh")[:, :2]), boxes, (IMAGE, IMAGE)).mean().backward()
        optimizer.step()
        schedule.step()
    images, boxes = draw(tested, generator)
    with torch.no_grad():
        found = network(images, convert(boxes, "xyxy", "cxcywh")[:, :2])
    return ByTraining(average_precision(found, boxes))


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
