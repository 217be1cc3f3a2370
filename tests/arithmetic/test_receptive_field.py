from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode, resolve_name

from detector import config
from detector.arithmetic.receptive_field import (
    effective_receptive_field,
    pixel_intervals,
    receptive_fields,
)


class Measurable(TorchFunctionMode):
    """Every pixel of a pooling window has a gradient, not the largest alone; none goes through means over the plane."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = (resolve_name(function) or "").rpartition(".")[2]
        if name == "max_pool2d":
            stride, padding = kwargs.get("stride", None), kwargs.get("padding", 0)
            return functional.avg_pool2d(args[0], args[1], *(args[2:4] or (stride, padding)))
        result = function(*args, **kwargs)
        over_plane = name in ("mean", "adaptive_avg_pool2d") and result.shape[2:] == (1, 1)
        return result.detach() if over_plane else result


def measured(module: nn.Module, images: Tensor, key: str | None, position: int, axis: int) -> tuple[int, int]:
    """First and last row (axis 2) or column (3) whose gradient is not 0, for one row or column of the output."""
    images = images.requires_grad_()
    with Measurable():
        output = module(images) if key is None else module(images)[key]
    line = output.select(axis, position)
    (gradient,) = torch.autograd.grad((line * torch.rand(line.shape, dtype=line.dtype)).sum(), images)
    (seen,) = gradient.transpose(2, axis).abs().sum((0, 1, 3)).nonzero(as_tuple=True)
    return int(seen[0]), int(seen[-1])


def positive(module: nn.Module) -> nn.Module:
    """In evaluation mode, with weights that keep all activations above 0, where no activation function is flat."""
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                layer.weight.uniform_(0.5, 1.5).div_(layer.weight[0].numel())
            if isinstance(layer, nn.BatchNorm2d):
                layer.weight.fill_(1.0)
                layer.bias.zero_()
    return module.double().eval()


BACKBONES: list[config.BackboneOptions] = [
    config.VGGOptions(depth=11),
    config.ResNetOptions(depth=18),
    config.ResNetOptions(depth=50),
    config.Darknet19Options(),
    config.Darknet53Options(),
    config.CSPDarknetOptions(),
    config.EfficientNetOptions(),
    config.TimmOptions(model="mobilenetv3_small_050"),
    config.TimmOptions(model="convnext_atto"),
]
PARTS = [pytest.param(part, marks=[pytest.mark.slow] if part.name != "csp_darknet" else []) for part in BACKBONES]


@pytest.mark.parametrize("backbone", PARTS, ids=[f"{part.name}-{i}" for i, part in enumerate(BACKBONES)])
@pytest.mark.parametrize(
    "neck", [config.FPNOptions(highest=6), config.PANOptions(), config.NoNeckOptions()], ids=lambda part: part.name
)
def test_fields_of_every_backbone_and_neck_are_those_of_the_gradient(
    backbone: config.BackboneOptions, neck: config.NeckOptions
) -> None:
    """On a tall narrow image, in the middle and at its upper border; with a norm that the measure would not see through."""
    if isinstance(backbone, config.TimmOptions):
        pytest.importorskip("timm")
    body: Any = backbone.build()
    pyramid: Any = neck.build(body.info)
    network = positive(nn.Sequential(body, pyramid))
    shape = (1, 3, 2048, 64)
    found = pixel_intervals(network, shape)
    images = torch.rand(shape, dtype=torch.float64)
    for level in found:
        if level.startswith("P"):
            first, last = found[level].axes[2]
            for row in (len(first) // 2, 0):
                assert (int(first[row]), int(last[row])) == measured(network, images, level, row, axis=2)


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "even kernel": lambda: nn.Conv2d(2, 2, (4, 3), stride=(1, 2), padding=(2, 1)),
    "dilated": lambda: nn.Conv2d(2, 2, 3, dilation=(2, 3), padding="same"),
    "grouped": lambda: nn.Conv2d(2, 2, 3, groups=2, stride=2),
    "maximum": lambda: nn.MaxPool2d(3, 2, padding=1),
    "mean": lambda: nn.AvgPool2d((2, 3), (2, 1)),
    "transposed": lambda: nn.ConvTranspose2d(2, 2, (4, 3), stride=2, padding=1, dilation=(1, 2)),
    "nearest": lambda: nn.Upsample(scale_factor=2),
    "bilinear": lambda: nn.Upsample(scale_factor=2, mode="bilinear"),
    "adaptive": lambda: nn.AdaptiveAvgPool2d((5, 4)),
    "padded": lambda: nn.Sequential(nn.ZeroPad2d((1, 2, 0, 3)), nn.Conv2d(2, 2, 3, stride=2)),
    "cropped": lambda: nn.Sequential(nn.ZeroPad2d((0, 0, -1, 1)), nn.Conv2d(2, 2, (1, 3))),
    "branches": lambda: Branches(),
}


class Branches(nn.Module):
    """A concatenation, a residual and a transposed pair of axes."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(2, 1, (1, 7), padding=(0, 3)), nn.Conv2d(2, 1, (5, 1), padding=(2, 0))

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat([self.left(x), self.right(x)], dim=1) + x
        return both.transpose(2, 3).permute(0, 1, 3, 2)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(list(LAYERS)), min_size=1, max_size=4), st.integers(0, 1000))
def test_fields_of_layers_in_any_order_are_those_of_the_gradient(names: list[str], place: int) -> None:
    network = positive(nn.Sequential(*(LAYERS[name]() for name in names)))
    shape = (1, 2, 40, 52)
    try:
        network(torch.rand(shape, dtype=torch.float64))
    except RuntimeError:
        return  # the image has become smaller than a kernel
    found = pixel_intervals(network, shape)[""]
    for axis in (2, 3):
        first, last = found.axes[axis]
        at = place % len(first)
        if first[at] <= last[at]:  # a transposed convolution with gaps leaves positions that see nothing
            images = torch.rand(shape, dtype=torch.float64)
            assert (int(first[at]), int(last[at])) == measured(network, images, None, at, axis)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(1, 7), st.integers(1, 3), st.integers(1, 2)), min_size=1, max_size=6))
def test_of_a_chain_the_field_is_that_of_the_formula(layers: list[tuple[int, int, int]]) -> None:
    """Araujo et al. 2019, equation 2: r = 1 + Σ_l (k_l − 1) ∏_{i<l} s_i, with odd kernels padded to the same size."""
    layers = [(kernel | 1, stride, dilation) for kernel, stride, dilation in layers]
    network = nn.Sequential(*(nn.Conv2d(3, 3, k, stride=s, dilation=d, padding=d * (k // 2)) for k, s, d in layers))
    field = receptive_fields(network)[""]
    size, jump = 1, 1
    for kernel, stride, dilation in layers:
        size += dilation * (kernel - 1) * jump
        jump *= stride
    assert field.size == (size, size)
    assert field.stride == (jump, jump)
    assert field.offset == (0.5, 0.5)


def test_published_fields() -> None:
    """VGG-16 after its last pooling: 212 (Araujo et al. 2019). ResNet-50 with strides in the 3×3 convolutions: 427.

    That is 7, pooling 2·2, then (3 − 1) times the stride before each block's 3×3 convolution: 3·4; 4 + 3·8; 8 + 5·16;
    16 + 2·32: 7 + 4 + 2·(12 + 28 + 88 + 80) = 427.
    """
    with torch.device("meta"):
        vgg, resnet = config.VGGOptions(depth=16).build(), config.ResNetOptions(depth=50).build()
    assert receptive_fields(vgg)["C5"].size == (212, 212)
    assert receptive_fields(resnet)["C5"].size == (427, 427)


def test_the_effective_field_lies_in_the_theoretical_one_and_fades() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=1) for _ in range(8)))
    influence = effective_receptive_field(network, torch.randn(4, 3, 41, 41))
    assert influence.shape == (41, 41)
    assert influence.max() == 1
    rows = influence.sum(1)
    inside = torch.arange(41).sub(20).abs() <= 8
    assert (rows[~inside] == 0).all()
    assert (rows[inside] > 0).all()
    rings = [influence[20 - r : 21 + r, 20 - r : 21 + r].sum() / (2 * r + 1) ** 2 for r in range(9)]
    assert all(a > b for a, b in pairwise(rings))
