"""Networks as pictures: blocks, channels and strides are found by running them, without content, on the meta device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from detector.arithmetic.model import Ledger
from detector.inspection.inspected import Inspected
from detector.layers import CSP, SAM, SPP, ConvNormActivation, Residual
from detector.types import FeatureInfo

BLOCKS = (ConvNormActivation, CSP, Residual, SAM, SPP, nn.Conv2d)
"""What is one box; nothing within them is shown."""
OPERATIONS = {"interpolate": "up", "cat": "concat", "add": "+", "__add__": "+", "mul": "×", "max_pool2d": "max pool"}
UNCHANGED = (
    "flatten",
    "transpose",
    "split",
    "chunk",
    "permute",
    "reshape",
    "view",
    "__getitem__",
    "unflatten",
    "squeeze",
)
"""Functions whose result is drawn as what they were given."""
COLOURS = {"feature": "#cfe3f7", "level": "#cfe3f7", "operation": "#fdf0c4", "block": "#e4e4e4"}


@dataclass(eq=False)
class Block:
    """One box of a diagram."""

    label: str
    kind: str
    """feature, block, operation or level."""
    channels: int
    stride: int
    """Pixels of the image from one point to the next; 0 where it is no map."""
    sources: list[Block] = field(default_factory=list)

    @property
    def column(self) -> int:
        """The longest way to it, in blocks."""
        return 1 + max((one.column for one in self.sources), default=-1)

    def depends_on(self, other: Block) -> bool:
        """Whether anything of `other` reaches it."""
        return self is other or any(one.depends_on(other) for one in self.sources)


class _Tracing(TorchFunctionMode):
    """Notes which block or operation made each tensor, and of which tensors."""

    def __init__(self, image_size: int) -> None:
        super().__init__()
        self.image_size = image_size
        self.inside = 0
        self.made: dict[int, tuple[Tensor, Block]] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        sources = self.sources((args, kwargs))
        if not self.inside and sources:
            for tensor in _tensors(result):
                if func.__name__ in UNCHANGED:
                    self.made[id(tensor)] = tensor, sources[0]
                else:
                    self.note(tensor, OPERATIONS.get(func.__name__, func.__name__), "operation", sources)
        return result

    def before(self, *_: Any) -> None:
        self.inside += 1

    def after(self, module: nn.Module, args: Any, output: Tensor) -> None:
        self.inside -= 1
        self.note(output, _name(module), "block", self.sources(args))

    def note(self, tensor: Tensor, label: str, kind: str, sources: list[Block]) -> Block:
        block = Block(label, kind, *self.size(tensor), sources)
        self.made[id(tensor)] = tensor, block
        return block

    def size(self, tensor: Tensor) -> tuple[int, int]:
        """Channels and stride; of predictions [B, A, *] their numbers a point, and 0."""
        if tensor.ndim == 4 and tensor.shape[-1] == tensor.shape[-2]:
            return tensor.shape[1], self.image_size // tensor.shape[-1]
        return tensor.shape[-1] if tensor.ndim > 2 else 1, 0

    def sources(self, value: Any) -> list[Block]:
        found = [self.made[id(one)][1] for one in _tensors(value) if id(one) in self.made]
        return list(dict.fromkeys(found))


def trace(build: Callable[[], Any], features: FeatureInfo, image_size: int = 256) -> tuple[list[Block], list[Block]]:
    """The boxes that stand for what comes in and for what goes out of a part that takes features by name.

    Args:
        build: makes the part; it is called where tensors have no content.
        features: what the part is given.
        image_size: side of the image that they are of, in pixels.
    """
    with torch.device("meta"):
        module: nn.Module = build().eval()
        given = {
            name: torch.zeros(1, channels, image_size // stride, image_size // stride)
            for name, channels, stride in zip(features.names, features.channels, features.strides, strict=True)
        }
    tracing = _Tracing(image_size)
    for block in _outermost(module):
        block.register_forward_pre_hook(tracing.before)
        block.register_forward_hook(tracing.after)
    inputs = [tracing.note(tensor, name, "feature", []) for name, tensor in given.items()]
    with torch.no_grad(), tracing:
        results: dict[str, Tensor] = module(given)
    outputs = []
    for name, tensor in results.items():
        _, made_by = tracing.made[id(tensor)]
        outputs.append(Block(name, "level", *tracing.size(tensor), [made_by]))
    _fold_concatenations(outputs)
    return inputs, outputs


def _fold_concatenations(outputs: list[Block]) -> None:
    """Draws a concatenation that only one block reads as a part of that block."""
    blocks = _reached(outputs)
    for one in blocks:
        for source in one.sources:
            if source.label == "concat" and one.kind == "block" and sum(source in each.sources for each in blocks) == 1:
                one.sources = source.sources
                one.label = f"concat, {one.label}"


def _outermost(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        if isinstance(child, BLOCKS):
            yield child
        else:
            yield from _outermost(child)


def _name(module: nn.Module) -> str:
    convolution = module.convolution if isinstance(module, ConvNormActivation) else module
    if not isinstance(convolution, nn.Conv2d):
        return type(module).__name__
    stride = f", /{convolution.stride[0]}" if convolution.stride[0] > 1 else ""
    depthwise = "depthwise " if convolution.groups > 1 else ""
    return f"{depthwise}{convolution.kernel_size[0]}×{convolution.kernel_size[1]}{stride}"


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _tensors(one)


def block_diagram(inputs: list[Block], outputs: list[Block]) -> Figure:
    """Boxes from left to right in the order of their work, the coarsest level on top."""
    blocks = _reached([*inputs, *outputs])
    last = max(one.column for one in blocks)
    columns = {one: last if one.kind == "level" else one.column for one in blocks}
    places = {one: (float(columns[one]), height) for one, height in _heights(blocks, columns).items()}
    top = max(y for _, y in places.values())
    figure = Figure(figsize=(0.84 * (last + 1) + 0.2, 0.6 * (top + 1) + 0.4), layout="constrained")
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.set_xlim(-0.5, last + 0.5)
    axes.set_ylim(-0.6, top + 0.6)
    for one, (x, y) in places.items():
        for source in one.sources:
            _connect(axes, places[source], (x, y), set(places.values()))
        box = FancyBboxPatch((x - 0.37, y - 0.27), 0.74, 0.54, "round,pad=0.03,rounding_size=0.1")
        box.set(facecolor=COLOURS[one.kind], edgecolor="#555555", linewidth=0.8)
        axes.add_patch(box)
        under = f"\n{one.channels}" + (f" · /{one.stride}" if one.stride else "")
        label = one.label.replace("_", "\n")
        axes.text(x, y, label + ("" if one.kind == "operation" else under), ha="center", va="center", fontsize=7)
    return figure


def _connect(
    axes: Axes, begin: tuple[float, float], end: tuple[float, float], places: set[tuple[float, float]]
) -> None:
    """An arrow to the right, which goes above the boxes that lie between."""
    (x1, y1), (x2, y2) = begin, end
    way = [(x1 + 0.4, y1), (x2 - 0.4, y2)]
    between = [(x, y) for x, y in places if x1 < x < x2 and y == y1]
    if between:
        way[1:1] = [(min(between)[0] - 0.45, y1), (min(between)[0] - 0.4, y1 + 0.42), (x2 - 0.52, y1 + 0.42)]
    axes.plot(*zip(*way[:-1], strict=True), color="#777777", lw=0.9)
    arrow = {"arrowstyle": "-|>", "color": "#777777", "lw": 0.9, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", way[-1], way[-2], arrowprops=arrow)


def _reached(ends: list[Block]) -> list[Block]:
    """All blocks that the ends are made of, in the order of their columns."""
    found: dict[Block, None] = {}
    waiting = list(ends)
    while waiting:
        one = waiting.pop()
        if one not in found:
            found[one] = None
            waiting += one.sources
    return sorted(found, key=lambda one: (one.column, -one.stride, one.label))


def _heights(blocks: list[Block], columns: dict[Block, int]) -> dict[Block, float]:
    """A row for each block: that of what it is made of where that is free, in the rows of its stride."""
    row: dict[Block, int] = {}
    taken: set[tuple[int, int, int]] = set()
    for one in blocks:
        alike = [row[source] for source in one.sources if source.stride == one.stride]
        lane = alike[0] if alike else 0
        while (one.stride, columns[one], lane) in taken:
            lane += 1
        taken.add((one.stride, columns[one], lane))
        row[one] = lane
    found: dict[Block, float] = {}
    height = 0
    for stride in sorted({one.stride for one in blocks if one.stride}):
        found |= {one: float(height + row[one]) for one in blocks if one.stride == stride}
        height += 1 + max(row[one] for one in blocks if one.stride == stride)
    without = {one: row[one] for one in blocks if not one.stride}  # in the middle, as they are made of all levels
    middle = (height - 1 - max(without.values(), default=0)) / 2
    return found | {one: middle + lane for one, lane in without.items()}


@dataclass(frozen=True)
class StrideWork:
    """All that a network does on maps of one stride."""

    channels: int
    """Of the last map."""
    kernels: Counter[int]
    """Side of the kernel → convolutions with it."""
    parameters: int
    multiply_accumulates: int


def work_by_stride(ledger: Ledger, image_size: int) -> dict[int, StrideWork]:
    """Stride → the layers that run after the first map of it and before the first one of the next stride."""
    found: dict[int, StrideWork] = {}
    stride = 1
    for layer in ledger.layers:
        shape = layer.output_shape
        if shape is None:
            continue
        if len(shape) == 4 and shape[-1] >= image_size // 32:
            stride = max(stride, image_size // shape[-1])
        before = found.get(stride, StrideWork(0, Counter(), 0, 0))
        is_map = len(shape) == 4 and image_size // shape[-1] == stride
        kernels = Counter([layer.kernel[0]]) if layer.kernel and "Conv" in layer.kind else Counter()
        found[stride] = StrideWork(
            shape[1] if is_map else before.channels,
            before.kernels + kernels,
            before.parameters + layer.parameters,
            before.multiply_accumulates + layer.multiply_accumulates,
        )
    return found


def backbone_figure(ledger: Ledger, info: FeatureInfo, image_size: int) -> Figure:
    """The maps of a backbone as boxes, with the convolutions that make them, and what they cost."""
    work = work_by_stride(ledger, image_size)
    names = {stride: name for name, stride in zip(info.names, info.strides, strict=True)}
    given = dict(zip(info.strides, info.channels, strict=True))
    figure = Figure(figsize=(8.4, 4.4), layout="constrained")
    upper, lower = figure.subplots(2, 1, height_ratios=(1.5, 1), sharex=True)
    upper.set_axis_off()
    upper.set_ylim(-0.9, 0.75)
    for place, (stride, one) in enumerate(work.items()):
        high = (1 / stride) ** 0.5 * 0.9
        wide = max(one.channels, 3) ** 0.5 / 80
        named = stride in names
        colour = COLOURS["feature" if named else "block"]
        upper.add_patch(Rectangle((place - wide / 2, -high / 2), wide, high, facecolor=colour, edgecolor="#555555"))
        side = image_size // stride
        label = f"{names[stride]}\n" if named else ""
        upper.text(
            place,
            -0.47,
            f"{label}{given.get(stride, one.channels)} × {side} × {side}",
            ha="center",
            va="top",
            fontsize=8,
        )
        kernels = "\n".join(f"{count} × {side}×{side}" for side, count in sorted(one.kernels.items()))
        upper.text(place, 0.74, kernels, ha="center", va="top", fontsize=7.5, color="#444444")
    places = range(len(work))
    for shift, label, values in (
        (-0.2, "parameters", [one.parameters for one in work.values()]),
        (0.2, "multiply-accumulates", [one.multiply_accumulates for one in work.values()]),
    ):
        shares = [100 * value / sum(values) for value in values]
        lower.bar([place + shift for place in places], shares, 0.38, label=f"{label}: {_short(sum(values))}")
    lower.set_xticks(list(places), [f"stride {stride}" for stride in work])
    lower.set_ylabel("share in %")
    lower.legend(fontsize=8)
    lower.spines[["top", "right"]].set_visible(False)
    return figure


def cost_figure(inspected: Inspected) -> Figure:
    """Parameters and multiply-accumulates of each part of a detector."""
    parts = [one for one in inspected.parts if one.parameters or one.multiply_accumulates]
    figure = Figure(figsize=(7.6, 0.5 * len(parts) + 1.1), layout="constrained")
    for axes, label, values in zip(
        figure.subplots(1, 2, sharey=True),
        ("parameters", "multiply-accumulates"),
        ([one.parameters for one in parts], [one.multiply_accumulates for one in parts]),
        strict=True,
    ):
        bars = axes.barh([one.label for one in parts], values, color="#5b8fc7")
        axes.bar_label(bars, [_short(value) for value in values], padding=3, fontsize=8)
        axes.set_title(f"{label}: {_short(sum(values))}", fontsize=9)
        axes.set_xlim(0, 1.22 * max(values))
        axes.set_xticks([])
        axes.spines[["top", "right", "bottom"]].set_visible(False)
    figure.axes[0].invert_yaxis()
    return figure


def _short(number: float) -> str:
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:g}"
