"""Which inputs along one dimension an output is made of: windows of a kernel, of adaptive pooling, padding, resampling.

Each function returns an index int64 [outputs, any number], below 0 where there is no input.
"""

from __future__ import annotations

from math import ceil
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def kernel_windows(size: int, outputs: int, kernel: int, stride: int, padding: int, dilation: int) -> Tensor:
    """Output o is made of the inputs o · stride − padding + k · dilation, k = 0 .. kernel − 1, that exist."""
    seen = torch.arange(outputs)[:, None] * stride - padding + torch.arange(kernel) * dilation
    return torch.where(seen < size, seen, -1)


def spread_windows(size: int, outputs: int, kernel: int, stride: int, padding: int, dilation: int) -> Tensor:
    """The windows of a transposed convolution: input i goes to the outputs i · stride − padding + k · dilation."""
    steps = torch.arange(outputs)[:, None] + padding - torch.arange(kernel) * dilation
    seen = steps.div(stride, rounding_mode="floor")
    return torch.where((steps % stride == 0) & (seen < size), seen, -1)


def adaptive_windows(size: int, outputs: int) -> Tensor:
    """Output o of n is made of the inputs ⌊o · size / n⌋ .. ⌈(o + 1) size / n⌉ − 1."""
    place = torch.arange(outputs)
    first, past = place * size // outputs, -((place + 1) * -size // outputs)
    seen = first[:, None] + torch.arange(int((past - first).max()))
    return torch.where(seen < past[:, None], seen, -1)


def padded_places(size: int, before: int, after: int, mode: str) -> Tensor:
    """Place by place the input that stands there: as PyTorch pads the numbers of the places themselves.

    Returns:
        [size + before + after].
    """
    places = torch.arange(size, dtype=torch.float64)[None, None]
    value = {"value": -1.0} if mode == "constant" else {}
    return functional.pad(places, (before, after), mode=mode, **value)[0, 0].long()


def resampled_places(function: Any, options: dict[str, Any], axis: int, axes: int, size: int, outputs: int) -> Tensor:
    """The windows of an interpolation, found by resampling images that are 1 at every 𝑛th place and 0 elsewhere.

    Args:
        function: interpolates along several axes, each for itself.
        options: its arguments by name.
        axis: the one looked at; along others the images have the size 2 and keep it.
        axes: how many there are.
        size: of the input along the axis.
        outputs: of the output.
    """
    spacing = 12 + 6 * ceil(size / outputs)  # wider than what any output is made of
    place = torch.arange(size)
    line = [size if one == axis else 1 for one in range(axes)]
    shape = [size if one == axis else 2 for one in range(axes)]
    images = (place % spacing == torch.arange(spacing)[:, None]).double().reshape(1, spacing, *line)
    images = images.expand(1, spacing, *shape).contiguous()
    own = dict(options, **{next(iter(options)): images})
    if own.get("output_size") is not None:
        own["output_size"] = [outputs if one == axis else 2 for one in range(axes)]
    if own.get("scale_factors") is not None:
        own["scale_factors"] = [own["scale_factors"][axis] if one == axis else 1.0 for one in range(axes)]
    for name, its_axis in (("scales_d", axes - 3), ("scales_h", axes - 2), ("scales_w", axes - 1)):
        if name in own and its_axis != axis:
            own[name] = None
    resampled = function(**own)[0].movedim(axis + 1, 1).reshape(spacing, outputs, -1)[..., 0]
    counts = resampled.T != 0
    centre = ((torch.arange(outputs) + 0.5) * size / outputs).floor().long()[:, None]
    # of the places that share a remainder the one that is nearest to the centre
    phase = torch.arange(spacing)
    nearest = centre + (phase - centre + spacing // 2) % spacing - spacing // 2
    return torch.where(counts & (nearest < size), nearest, -1)
