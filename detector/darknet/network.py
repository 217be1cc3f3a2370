"""The network that a Darknet `.cfg` describes, up to the convolutions that predict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from detector.darknet.cfg import Section
from detector.darknet.layers import AveragePool, Convolution, MaxPool, Multiply, Reorg, Reorg3d, Route, Shortcut
from detector.errors import UserError
from detector.freezing import FreezableBackbone
from detector.types import FeatureInfo

Shape = tuple[int, int, int]
"""Channels, height, width."""
LARGEST_MAP = 2**29
"""Numbers in one layer's output for one image: 2 GB."""
LARGEST_NETWORK = 1_000_000_000
"""Weights of all convolutions; YOLOv4-P7 has 287 million."""


@dataclass
class Layer:
    """One section as a module, and which layers' outputs go into it; −1 is the image."""

    section: Section
    sources: tuple[int, ...]
    shape: Shape
    module: nn.Module
    predicts: bool = False
    """Whether it is a prediction ([yolo], [region], or the convolution before one), which belongs to the head."""


@dataclass
class Plan:
    """All layers of a `.cfg`, checked: every index, channel count and size fits."""

    file: str
    size: tuple[int, int]
    """(height, width) of `[net]`, which the weights were trained at."""
    layers: list[Layer] = field(default_factory=list)

    def predictions(self) -> list[tuple[int, Section]]:
        """Index of the convolution and the section of every [yolo] or [region] that follows it."""
        found = [i for i, layer in enumerate(self.layers) if layer.section.name in ("yolo", "region")]
        return [(i - 1, self.layers[i].section) for i in found]

    def stride(self, index: int) -> int:
        """Pixels from one output of a layer to the next; UserError where that is not a whole number."""
        (height, width), (_, rows, columns) = self.size, self.layers[index].shape
        if height % rows or width % columns or height // rows != width // columns:
            raise self.layers[index].section.error(
                f"its {columns}×{rows} map has no whole stride in an image of {width}×{height}"
            )
        return height // rows


def plan_layers(sections: Sequence[Section]) -> Plan:
    """Modules and shapes of all layers; UserError with file, line and section where something does not fit."""
    net = sections[0]
    size = (net.integer("height", 0), net.integer("width", 0))
    for key, side in zip(("height", "width"), size, strict=True):
        if side <= 0:
            raise net.error(f"{key}={side}: a positive number of pixels must be given", key)
    if (channels := net.integer("channels", 3)) != 3:
        raise net.error(f"channels={channels}: images here have 3", "channels")
    if 3 * size[0] * size[1] > LARGEST_MAP:
        raise net.error(f"an image of {size[1]}×{size[0]} pixels is too large")
    plan = Plan(net.file, size)
    weights = 0
    for section in sections[1:]:
        layer = _plan_layer(section, plan)
        if math.prod(layer.shape) > LARGEST_MAP:
            raise section.error(f"gives {layer.shape[0]} channels of {_size(layer.shape)}, more than fits into memory")
        if isinstance(layer.module, Convolution):
            weights += layer.module.convolution.weight.numel()
            if weights > LARGEST_NETWORK:
                raise section.error(f"is one convolution too many: all together have over {LARGEST_NETWORK:,} weights")
        plan.layers.append(layer)
    return plan


def plan_network(sections: Sequence[Section]) -> Plan:
    """The plan of a detector: `plan_layers`, and there is at least one prediction."""
    plan = plan_layers(sections)
    if not plan.predictions():
        raise UserError(f"{plan.file}: has no [yolo] or [region] section: it describes no detector")
    return plan


def _plan_layer(section: Section, plan: Plan) -> Layer:
    here = len(plan.layers)
    before = (here - 1,)
    match section.name:
        case "convolutional":
            (shape,) = _shapes(section, before, plan)
            module = Convolution(section, shape[0])
            convolution = module.convolution
            return Layer(
                section,
                before,
                _windowed(
                    section,
                    (convolution.out_channels, *shape[1:]),
                    convolution.kernel_size[0],
                    convolution.stride[0],
                    2 * int(convolution.padding[0]),
                ),
                module,
            )
        case "maxpool" | "local_avgpool":
            (shape,) = _shapes(section, before, plan)
            pool = MaxPool(section)
            windowed = _windowed(section, shape, pool.size, pool.stride, pool.before + pool.after)
            return Layer(section, before, windowed, pool if section.name == "maxpool" else AveragePool(section))
        case "upsample":
            (shape,) = _shapes(section, before, plan)
            factor = section.integer("stride", 2, least=1)
            upsampled = (shape[0], shape[1] * factor, shape[2] * factor)
            return Layer(section, before, upsampled, nn.Upsample(scale_factor=factor, mode="nearest"))
        case "avgpool":
            (shape,) = _shapes(section, before, plan)
            return Layer(section, before, (shape[0], 1, 1), nn.AdaptiveAvgPool2d(1))
        case "dropout":
            (shape,) = _shapes(section, before, plan)
            probability = section.number("probability", 0.2)
            if not 0 <= probability < 1:
                raise section.error(f"probability={probability:g} is not in 0..1", "probability")
            blocks = bool(section.integer("dropblock", 0))  # of training alone; here `neck.dropblock` does it
            return Layer(section, before, shape, nn.Identity() if blocks else nn.Dropout(probability))
        case "route":
            sources = _references(section, "layers", here)
            shapes = _shapes(section, sources, plan)
            route = Route(section)
            for source, shape in zip(sources, shapes, strict=True):
                if shape[1:] != shapes[0][1:]:
                    raise section.error(
                        f"layer {source} gives {_size(shape)}, layer {sources[0]} {_size(shapes[0])}", "layers"
                    )
                if shape[0] % route.groups:
                    raise section.error(f"groups={route.groups} does not divide {shape[0]} channels", "groups")
            return Layer(section, sources, (sum(s[0] // route.groups for s in shapes), *shapes[0][1:]), route)
        case "shortcut":
            sources = (*before, *_references(section, "from", here))
            shapes = _shapes(section, sources, plan)
            for source, shape in zip(sources, shapes, strict=True):
                times = max(shape[1] // shapes[0][1], 1)
                if shape[1:] != (times * shapes[0][1], times * shapes[0][2]):
                    raise section.error(
                        f"layer {source} gives {_size(shape)}, no multiple of the previous one's {_size(shapes[0])}",
                        "from",
                    )
            return Layer(section, sources, shapes[0], Shortcut(section))
        case "scale_channels" | "sam":
            sources = (*before, *_references(section, "from", here))
            if len(sources) != 2:
                raise section.error(f"from must name one layer, not {len(sources) - 1}", "from")
            shape, other = _shapes(section, sources, plan)
            if shape != ((other[0], 1, 1) if section.name == "scale_channels" else other):
                raise section.error(
                    f"the previous layer gives {shape[0]} channels of {_size(shape)}, layer {sources[1]} {other[0]} "
                    f"of {_size(other)}", "from"
                )  # fmt: skip
            return Layer(section, sources, other, Multiply(section))
        case "reorg" | "reorg3d":
            (shape,) = _shapes(section, before, plan)
            reorg = Reorg(section) if section.name == "reorg" else Reorg3d(section)
            if shape[0] % reorg.stride**2 or shape[1] % reorg.stride or shape[2] % reorg.stride:
                raise section.error(f"stride={reorg.stride} does not divide {shape[0]} channels of {_size(shape)}")
            smaller = (shape[0] * reorg.stride**2, shape[1] // reorg.stride, shape[2] // reorg.stride)
            return Layer(section, before, smaller, reorg)
        case "contrastive" | "softmax" | "cost":  # they compare with labels or turn scores into shares: no features
            (shape,) = _shapes(section, before, plan)
            return Layer(section, before, shape, nn.Identity(), predicts=section.name == "contrastive")
        case name:
            assert name in ("yolo", "region"), name
            if here == 0 or plan.layers[-1].section.name != "convolutional":
                raise section.error("must follow the [convolutional] that predicts")
            plan.layers[-1].predicts = True
            return Layer(section, before, plan.layers[-1].shape, nn.Identity(), predicts=True)


def _references(section: Section, key: str, here: int) -> tuple[int, ...]:
    """Indices of earlier layers; negative ones count back from this layer."""
    given = section.integers(key)
    if not given:
        raise section.error(f"{key}=... must name an earlier layer")
    sources = tuple(index + here if index < 0 else index for index in given)
    for index, source in zip(given, sources, strict=True):
        if not 0 <= source < here:
            raise section.error(f"{key}: there is no layer {index} before this one, which is layer {here}", key)
    return sources


def _shapes(section: Section, sources: Sequence[int], plan: Plan) -> list[Shape]:
    shapes: list[Shape] = []
    for source in sources:
        if source < 0:
            shapes.append((3, *plan.size))
            continue
        layer = plan.layers[source]
        if layer.predicts:
            raise section.error(
                f"uses layer {source} ([{layer.section.name}], line {layer.section.line}), which is a prediction"
            )
        shapes.append(layer.shape)
    return shapes


def _windowed(section: Section, shape: Shape, size: int, stride: int, padding: int) -> Shape:
    height, width = ((side + padding - size) // stride + 1 for side in shape[1:])
    if height <= 0 or width <= 0:
        raise section.error(f"size={size} is larger than its input of {_size(shape)}", "size")
    return (shape[0], height, width)


def _size(shape: Shape) -> str:
    return f"{shape[2]}×{shape[1]}"


class DarknetNetwork(FreezableBackbone):
    """Images → the inputs of the convolutions that predict, named by the indices of those convolutions.

    Stage i is layer i of the file; predictions, which the head makes, leave an identity in their places.

    Args:
        plan: all layers of the file.
        levels: instead of those inputs, the outputs of these layers, by their names.
    """

    def __init__(self, plan: Plan, levels: dict[str, int] | None = None) -> None:
        super().__init__()
        # (stride, name, layer whose output it is) of each feature
        if levels is None:
            found = [(plan.stride(i), str(i), plan.layers[i].sources[0]) for i, _ in plan.predictions()]
        else:
            found = [(plan.stride(layer), name, layer) for name, layer in levels.items()]
        found.sort()
        last = max(source for _, _, source in found) + 1
        self.stages = nn.ModuleList(nn.Identity() if layer.predicts else layer.module for layer in plan.layers[:last])
        self.info = FeatureInfo(
            tuple(name for _, name, _ in found),
            tuple(3 if source < 0 else plan.layers[source].shape[0] for _, _, source in found),
            tuple(stride for stride, _, _ in found),
        )
        used = plan.layers if levels is None else plan.layers[:last]
        self.largest_stride = max(plan.stride(i) for i, layer in enumerate(used) if layer.shape[1:] != (1, 1))
        self.file = plan.file
        self.sources = [layer.sources for layer in plan.layers[:last]]
        self.skipped = {i for i, layer in enumerate(plan.layers[:last]) if layer.predicts}
        self.features = {source: name for _, name, source in found}
        self.last_use = {
            source: i for i, layer in enumerate(plan.layers[:last]) if not layer.predicts for source in layer.sources
        }

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Float images [B, 3, H, W] → {"120": [B, C, H / 32, W / 32], ...}."""
        if any(side % self.largest_stride for side in images.shape[-2:]):
            raise UserError(
                f"image_size: the network of {self.file} has stride {self.largest_stride}, which does not divide "
                f"{images.shape[-1]}×{images.shape[-2]} pixels"
            )
        outputs = {-1: images}
        features = {self.features[-1]: images} if -1 in self.features else {}
        for i, (stage, sources) in enumerate(zip(self.stages, self.sources, strict=True)):
            if i in self.skipped:
                continue
            outputs[i] = stage(*(outputs[source] for source in sources))
            if i in self.features:
                features[self.features[i]] = outputs[i]
            for source in sources:  # a network of a hundred layers must not keep a hundred maps
                if self.last_use[source] == i:
                    outputs.pop(source, None)
        return features
