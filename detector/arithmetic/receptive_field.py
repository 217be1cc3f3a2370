"""Which pixels a layer's outputs depend on: in theory, through branches and concatenations, and in effect, by gradient.

For a chain of layers the field grows by (kernel − 1) · stride so far at each layer (Araujo et al. 2019, "Computing Receptive
Fields of Convolutional Neural Networks"). Real networks branch, join, upsample and cut at borders; here the network is run on
tensors without content (PyTorch's meta device), and each operation hands on, for every row and column of its output, the first
and the last row and column of the image that it depends on. That is exact, and as cheap as reading the layers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from detector.arithmetic.intervals import PixelIntervals, Tracker

FIRST_SIDE, LAST_SIDE = 2048, 65536
"""Sides of the images that are tried: in the middle of one that is large enough no border cuts a field off."""


@dataclass(frozen=True)
class ReceptiveField:
    """Receptive field of one layer, for each spatial axis of the image (rows, columns)."""

    size: tuple[int, ...]
    """Pixels from the first to the last that an output in the middle of a large image depends on; the largest, where
    outputs differ (as behind an upsampling)."""
    stride: tuple[float, ...]
    """Pixels between the fields of neighbouring outputs."""
    offset: tuple[float, ...]
    """Centre of the field of output 0, borders aside, in continuous pixels: that of pixel 0 is 0.5."""
    whole: bool
    """Besides, every output depends on the whole image: through a mean over it (squeeze and excitation), or a norm that
    takes its statistics there (group norm)."""


def receptive_fields(module: nn.Module, channels: int = 3, axes: int = 2) -> dict[str, ReceptiveField]:
    """The receptive field of every layer of a network, as it is in evaluation mode.

    Args:
        module: takes images [1, channels, *size] of any size that is a multiple of 64.
        channels: of the images.
        axes: spatial axes of the images.

    Returns:
        Name of the submodule → its field, in the order in which they run. Of outputs that are a dictionary each entry has its
        own, `name.key`; the network itself is "" and its entries `key`. A submodule that runs several times has as many
        entries, `name`, `name:2`, ... Missing is what has no spatial axes any more, and what lies behind an operation that is
        not known here (attention, for one).

    Raises:
        ValueError: a field reaches over more pixels than the largest image tried.
    """
    side = FIRST_SIDE
    while True:
        found = pixel_intervals(module, (1, channels, *(side,) * axes))
        fields = {name: _field(intervals, side) for name, intervals in found.items()}
        if all(field is not None for field in fields.values()):
            return {name: field for name, field in fields.items() if field is not None}
        side *= 4
        if side > LAST_SIDE:
            broken = next(name for name, field in fields.items() if field is None)
            raise ValueError(f"{broken}: its field is larger than {LAST_SIDE} pixels")


def pixel_intervals(module: nn.Module, shape: tuple[int, ...]) -> dict[str, PixelIntervals]:
    """For images of one shape [B, C, *size], the first and last pixel that each output row and column depends on.

    Names and what is missing as in `receptive_fields`. At the border there are fewer pixels to depend on.
    """
    tracker = Tracker()
    found: dict[str, PixelIntervals] = {}
    runs: Counter[str] = Counter()

    def note(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            runs[name] += 1
            own = name if runs[name] == 1 else f"{name}:{runs[name]}"
            outputs = {own: output}
            if isinstance(output, Mapping):
                outputs = {f"{own}.{key}".lstrip("."): value for key, value in output.items()}
            for key, value in outputs.items():
                intervals = tracker.intervals_of(value)
                if intervals is not None and len(intervals.axes) == len(shape) - 2:
                    found[key] = intervals

        return hook

    hooks = [submodule.register_forward_hook(note(name)) for name, submodule in module.named_modules()]
    training = {name: submodule.training for name, submodule in module.named_modules()}
    tensors = {
        name: tensor.to("meta", torch.float32) if tensor.is_floating_point() else tensor.to("meta")
        for name, tensor in (*module.named_parameters(), *module.named_buffers())
    }
    images = torch.zeros(shape, device="meta")
    try:
        module.eval()
        tracker.start(images)
        with torch.no_grad(), tracker:
            functional_call(module, tensors, (images,))
    finally:
        for hook in hooks:
            hook.remove()
        for name, submodule in module.named_modules():
            submodule.training = training[name]
    return found


def _field(intervals: PixelIntervals, side: int) -> ReceptiveField | None:
    """None where the border of the image cuts the field off."""
    sizes, strides, offsets = [], [], []
    for first, last in intervals.axes.values():
        outputs = len(first)
        stride = side / outputs
        middle = torch.arange(max(0, outputs // 2 - 64), min(outputs, outputs // 2 + 64))
        low, high = first[middle], last[middle]
        if low.min() <= 0 or high.max() >= side - 1:
            return None
        sizes.append(int((high - low).max()) + 1)
        strides.append(stride)
        offsets.append(((low + high + 1) / 2 - middle * stride).mean().item())
    return ReceptiveField(tuple(sizes), tuple(strides), tuple(offsets), intervals.whole)


def effective_receptive_field(
    module: nn.Module, images: Tensor, level: str | None = None, at: tuple[int, int] | None = None
) -> Tensor:
    """How much each pixel matters to an output: mean over images of |∂ Σ_c output[c, at] / ∂ pixel|, summed over colours.

    Luo et al. 2016, "Understanding the Effective Receptive Field in Deep Convolutional Neural Networks", section 3: it is
    much smaller than the theoretical field, and fades from the middle like a Gaussian.

    Args:
        module: as it is (training or evaluation mode); its output is [B, C, H', W'] or a dictionary of such.
        images: float [B, C, H, W], as the module takes them; random ones or real ones.
        level: key of the output, where it is a dictionary.
        at: row and column of the output; by default the middle.

    Returns:
        [H, W], in 0..1: divided by its largest value.
    """
    images = images.detach().requires_grad_()
    output = module(images)
    if level is not None:
        output = output[level]
    row, column = at or (output.shape[-2] // 2, output.shape[-1] // 2)
    (gradient,) = torch.autograd.grad(output[:, :, row, column].sum(), images)
    influence: Tensor = gradient.abs().sum(1).mean(0)
    return influence / influence.max()
