"""The predictions of a Darknet network: [yolo] of YOLOv3 and v4, [region] of YOLOv2.

Each cell of a map has some anchors, and for each of them 4 + 1 + K numbers: box, objectness, classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detector.darknet.cfg import Option, Section
from detector.darknet.layers import Convolution
from detector.darknet.network import Plan
from detector.heads.anchor_based import offsets_to_boxes
from detector.heads.points import Points, make_points

PRIOR_PROBABILITY = 0.01
"""Objectness that predictions without loaded weights begin with (Lin et al. 2017, focal loss, section 3.3)."""


@dataclass(frozen=True)
class Prediction:
    """What a [yolo] or a [region] section says."""

    name: str
    """Index of the convolution before it."""
    stride: int
    anchors: tuple[tuple[float, float], ...]
    """(width, height) in input pixels."""
    classes: int
    """Number of classes in the file."""
    scale: float
    """scale_x_y."""
    squared: bool
    """new_coords."""
    softmax: bool


class DarknetHead(nn.Module):
    """Features of a `DarknetNetwork` → raw predictions at each anchor of each cell, as every head gives them.

    With as many classes as the file has, every prediction is the file's own convolution; with another number it is a new one
    of the same shape otherwise, and its weights in a file are passed over.
    """

    bins = 0

    def __init__(self, plan: Plan, classes: int) -> None:
        super().__init__()
        self.predictions = sorted(_predictions(plan), key=lambda one: one.stride)
        self.strides = tuple(one.stride for one in self.predictions)
        self.anchors = tuple(one.anchors for one in self.predictions)
        self.classes = classes
        self.remade = any(one.classes != classes for one in self.predictions)
        self.convolutions = nn.ModuleDict()
        for one in self.predictions:
            layer = plan.layers[int(one.name)]
            convolution = layer.module
            assert isinstance(convolution, Convolution)
            if self.remade:
                filters = Option(str(len(one.anchors) * (5 + classes)), layer.section.line)
                section = replace(layer.section, options={**layer.section.options, "filters": filters})
                convolution = Convolution(section, convolution.convolution.in_channels)
            _initialise(convolution.convolution, len(one.anchors))
            self.convolutions[one.name] = convolution

    def maps(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """The output [B, anchors · (5 + K), H, W] of each convolution that predicts, before any activation."""
        return {
            name: convolution.norm(convolution.convolution(features[name]))  # type: ignore[operator]
            for name, convolution in self.convolutions.items()
        }

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Raw predictions of all maps, concatenated in the order of `points`."""
        maps = self.maps(features)
        boxes, objectness, classes = [], [], []
        for one in self.predictions:
            cells = maps[one.name].unflatten(1, (len(one.anchors), 5 + self.classes))
            raw = cells.permute(0, 3, 4, 1, 2).flatten(1, 3)  # [B, H · W · anchors, 5 + K]
            boxes.append(_squares_as_exponents(raw[..., :4]) if one.squared else raw[..., :4])
            objectness.append(raw[..., 4])
            classes.append(_softmax_as_sigmoids(raw[..., 5:]) if one.softmax else raw[..., 5:])
        return {
            "class_logits": torch.cat(classes, dim=1),
            "box_logits": torch.cat(boxes, dim=1),
            "objectness_logits": torch.cat(objectness, dim=1),
        }

    def points(self, image_size: tuple[int, int], device: torch.device) -> Points:
        """One point for each anchor in the centre of each cell."""
        reach = tuple(one.scale / 2 for one in self.predictions)
        return make_points(image_size, self.strides, device, self.anchors, reach)

    def scores(self, raw: dict[str, Tensor]) -> Tensor:
        """Raw predictions → float32 [B, A, K], objectness times class."""
        return raw["objectness_logits"].float().sigmoid()[..., None] * raw["class_logits"].float().sigmoid()

    def decode(self, box_logits: Tensor, points: Points) -> Tensor:
        """Raw [..., A, 4] → boxes [..., A, 4], xyxy in input pixels."""
        scales = torch.ones_like(points.strides)
        for i, one in enumerate(self.predictions):
            scales = torch.where(points.level == i, one.scale, scales)
        return offsets_to_boxes(box_logits.float(), points, scales[..., None])


def _predictions(plan: Plan) -> list[Prediction]:
    found: list[Prediction] = []
    for index, section in plan.predictions():
        region = section.name == "region"
        stride = plan.stride(index)
        squared = bool(section.integer("new_coords", 0))
        if region and section.integer("softmax", 0) != 1:
            raise section.error("softmax=1 is missing; classes without it are not supported")
        if (scale := section.number("scale_x_y", 1.0)) < 1:
            raise section.error(f"scale_x_y={scale:g} must be at least 1", "scale_x_y")
        one = Prediction(
            str(index),
            stride,
            # YOLOv2 counts anchors in cells, its successors in pixels
            tuple((w * stride, h * stride) if region else (w, h) for w, h in _anchors(section)),
            section.integer("classes", 20, least=1),
            scale,
            squared,
            region,
        )
        convolution = plan.layers[index]
        filters = len(one.anchors) * (5 + one.classes)
        if convolution.shape[0] != filters:
            raise convolution.section.error(
                f"filters={convolution.shape[0]}, but the [{section.name}] in line {section.line} has {len(one.anchors)} "
                f"anchors and {one.classes} classes: it needs {len(one.anchors)}·(5 + {one.classes}) = {filters}",
                "filters",
            )
        activation = convolution.section.text("activation", "logistic")
        if activation != (expected := "logistic" if squared else "linear"):
            raise convolution.section.error(
                f"activation={activation}, but the [{section.name}] in line {section.line} needs {expected}",
                "activation",
            )
        if found and one.classes != found[0].classes:
            raise section.error(f"classes={one.classes}, another prediction has {found[0].classes}", "classes")
        found.append(one)
    return found


def _anchors(section: Section) -> list[tuple[float, float]]:
    count = section.integer("num", 1, least=1)
    numbers = section.numbers("anchors")[: 2 * count]  # Darknet reads no more either; `introduction` says it
    if len(numbers) != 2 * count:
        raise section.error(f"anchors: {len(numbers)} numbers; num={count} anchors need {2 * count}", "anchors")
    if any(number <= 0 for number in numbers):
        raise section.error("anchors: widths and heights are above 0", "anchors")
    mask = section.integers("mask") or tuple(range(count))
    for chosen in mask:
        if not 0 <= chosen < count:
            raise section.error(f"mask: there is no anchor {chosen}; num={count} anchors are 0 to {count - 1}", "mask")
    return [(numbers[2 * chosen], numbers[2 * chosen + 1]) for chosen in mask]


def _initialise(convolution: nn.Conv2d, anchors: int) -> None:
    """As in the anchor-based head: boxes begin as the anchors, objectness as its prior, each class with 1/K."""
    nn.init.normal_(convolution.weight, std=0.01)
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)
        with torch.no_grad():
            bias = convolution.bias.view(anchors, -1)
            bias[:, 4] = -math.log((1 - PRIOR_PROBABILITY) / PRIOR_PROBABILITY)
            bias[:, 5:] = -math.log(max(bias.shape[1] - 5, 2) - 1)


def _squares_as_exponents(logits: Tensor) -> Tensor:
    """Box logits whose sizes mean anchor · (2σ(t))² (Wang et al. 2021, Scaled-YOLOv4) → those that mean anchor · e^t."""
    size = 2 * (F.logsigmoid(logits[..., 2:].float()) + math.log(2))
    return torch.cat([logits[..., :2].float(), size], dim=-1)


def _softmax_as_sigmoids(logits: Tensor) -> Tensor:
    """Logits [..., K] whose sigmoids are the softmax of those given: z_k − log Σ_{j≠k} e^{z_j}.

    So YOLOv2's classes, which exclude each other, pass as those of every other head.
    """
    probabilities = logits.float().softmax(dim=-1)
    return probabilities.logit(eps=1e-6)
