"""Darknet's layers, as far as torch has no module that computes the same."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detector.darknet.cfg import Section
from detector.layers import NORM_MOMENTUM, initialise, make_activation

OURS = {"linear": "none", "leaky": "leaky_relu", "relu": "relu", "elu": "elu", "swish": "silu", "mish": "mish"}
"""Darknet's names of the activations that the rest of the project has too."""
NORM_EPSILON = 1e-5
"""What Darknet adds to a variance (`normalize_cpu`, AlexeyAB's): with 1e-6 logits of Yolo-Fastest move by 0.01."""


def darknet_activation(section: Section, default: str) -> nn.Module:
    """The activation that a section names."""
    name = section.text("activation", default)
    match name:
        case "logistic":
            return nn.Sigmoid()
        case "tanh":
            return nn.Tanh()
        case "relu6":
            return nn.ReLU6(inplace=True)
        case "ramp":
            return Ramp()
        case _ if name in OURS:
            return make_activation(OURS[name])
    known = ", ".join(sorted([*OURS, "logistic", "ramp", "relu6", "tanh"]))
    raise section.error(f"activation={name} is unknown; there are {known}", "activation")


LARGEST_LAYER = 200_000_000
"""Weights of one convolution; those of the largest published network have 24 million."""


class Ramp(nn.Module):
    """max(x, 0) + 0.1 · x."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return x.relu() + 0.1 * x


class Convolution(nn.Module):
    """[convolutional]: convolution → batch norm, or a bias → activation."""

    def __init__(self, section: Section, in_channels: int) -> None:
        super().__init__()
        filters = section.integer("filters", 1, least=1)
        size = section.integer("size", 1, least=1)
        groups = section.integer("groups", 1, least=1)
        for what, channels in (("filters", filters), ("the channels of its input", in_channels)):
            if channels % groups:
                raise section.error(f"groups={groups} does not divide {what}, {channels}", "groups")
        if (weights := filters * (in_channels // groups) * size**2) > LARGEST_LAYER:
            raise section.error(f"has {weights:,} weights, more than {LARGEST_LAYER:,}")
        normalised = bool(section.integer("batch_normalize", 0))
        # pad=1 says "half the kernel", whatever the kernel; a number of pixels is called padding
        padding = size // 2 if section.integer("pad", 0) else section.integer("padding", 0, least=0)
        self.convolution = nn.Conv2d(
            in_channels,
            filters,
            size,
            section.integer("stride", 1, least=1),
            padding,
            groups=groups,
            bias=not normalised,
        )
        self.norm = nn.BatchNorm2d(filters, NORM_EPSILON, NORM_MOMENTUM) if normalised else nn.Identity()
        self.activation = darknet_activation(section, "logistic")
        initialise(self, "kaiming", OURS.get(section.text("activation", ""), "none"))

    def forward(self, x: Tensor) -> Tensor:
        """[B, in, H, W] → [B, filters, H', W']."""
        return self.activation(self.norm(self.convolution(x)))


class MaxPool(nn.Module):
    """[maxpool]: `padding` rows and columns in all, the smaller half of them before the image.

    A pool of size 2 and stride 1 therefore keeps the size of the map, and looks right and down.
    """

    def __init__(self, section: Section) -> None:
        super().__init__()
        self.stride = section.integer("stride", 1, least=1)
        self.size = section.integer("size", self.stride, least=1)
        padding = section.integer("padding", self.size - 1, least=0)
        if padding >= 2 * self.size:
            raise section.error(f"padding={padding} gives windows without a pixel", "padding")
        self.before, self.after = padding // 2, padding - padding // 2

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] → [B, C, (H + padding − size) / stride + 1, ...]."""
        if self.before == self.after <= self.size // 2:
            return F.max_pool2d(x, self.size, self.stride, self.before)
        padded = F.pad(x, (self.before, self.after, self.before, self.after), value=-torch.inf)
        return F.max_pool2d(padded, self.size, self.stride)


class AveragePool(nn.Module):
    """[local_avgpool]: windows as in [maxpool]; the mean of those pixels of a window that lie in the image."""

    def __init__(self, section: Section) -> None:
        super().__init__()
        self.windows = MaxPool(section)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] → [B, C, (H + padding − size) / stride + 1, ...]."""
        size, stride, sides = self.windows.size, self.windows.stride, (self.windows.before, self.windows.after)
        inside = F.pad(torch.ones_like(x[:1, :1]), 2 * sides)
        return F.avg_pool2d(F.pad(x, 2 * sides), size, stride) / F.avg_pool2d(inside, size, stride)


class Route(nn.Module):
    """[route]: earlier outputs side by side; with `groups`, of each the part `group_id`."""

    def __init__(self, section: Section) -> None:
        super().__init__()
        self.groups = section.integer("groups", 1, least=1)
        self.group = section.integer("group_id", 0, least=0)
        if self.group >= self.groups:
            raise section.error(f"group_id={self.group} must be below groups={self.groups}", "group_id")

    def forward(self, *inputs: Tensor) -> Tensor:
        """[B, C1, H, W], [B, C2, H, W], ... → [B, (C1 + C2 + ...) / groups, H, W]."""
        parts = [x.chunk(self.groups, dim=1)[self.group] for x in inputs] if self.groups > 1 else list(inputs)
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


class Shortcut(nn.Module):
    """[shortcut]: the previous output plus earlier ones.

    Where the channels differ, the first ones that both have are added; where an earlier map is k times larger, every k-th
    row and column of it.
    """

    def __init__(self, section: Section) -> None:
        super().__init__()
        self.activation = darknet_activation(section, "linear")

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        """[B, C, H, W] and others [B, C', k · H, k · W] → [B, C, H, W]."""
        for other in others:
            if (step := other.shape[-1] // x.shape[-1]) > 1:
                other = other[..., ::step, ::step]
            missing = x.shape[1] - other.shape[1]
            if missing > 0:
                other = F.pad(other, (0, 0, 0, 0, 0, missing))
            x = x + other[:, : x.shape[1]]
        return self.activation(x)


class Multiply(nn.Module):
    """[scale_channels] (the previous output is one number a channel) and [sam] (a whole map): a product."""

    def __init__(self, section: Section) -> None:
        super().__init__()
        self.activation = darknet_activation(section, "linear")

    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        """[B, C, 1 or H, 1 or W], [B, C, H, W] → [B, C, H, W]."""
        return self.activation(x * other)


class Reorg(nn.Module):
    """[reorg] of YOLOv2: a map of s × s times more channels and less area (Redmon & Farhadi 2017, section 2).

    Not quite the space-to-depth of the paper: Darknet reads the [C, H, W] numbers as if they were [C / s², sH, sW], takes
    every s-th row and column of those, and reads what comes out as [s²C, H / s, W / s]. Published weights expect that.
    """

    def __init__(self, section: Section) -> None:
        super().__init__()
        self.stride = section.integer("stride", 1, least=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] → [B, s²C, H / s, W / s]."""
        s = self.stride
        batch, channels, height, width = x.shape
        read = x.reshape(batch, channels // s**2, height, s, width, s)
        return read.permute(0, 3, 5, 1, 2, 4).reshape(batch, channels * s**2, height // s, width // s)


class Reorg3d(nn.Module):
    """[reorg3d]: the space-to-depth that [reorg] is meant to be: s × s neighbours come one after the other."""

    def __init__(self, section: Section) -> None:
        super().__init__()
        self.stride = section.integer("stride", 1, least=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] → [B, s²C, H / s, W / s]."""
        s = self.stride
        batch, channels, height, width = x.shape
        read = x.reshape(batch, channels, height // s, s, width // s, s)
        return read.permute(0, 3, 5, 1, 2, 4).reshape(batch, channels * s**2, height // s, width // s)
