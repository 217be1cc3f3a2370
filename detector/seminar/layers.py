"""Question 1: fully connected and convolution layers in numbers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from detector.arithmetic.convolution import Convolution, FullyConnected
from detector.arithmetic.patches import linear_to_convolution, patches
from detector.seminar.answer import Answer, Value

FEATURES = 1000
WHOLE = FullyConnected(100 * 100 * 1, FEATURES)
PATCH = FullyConnected(10 * 10 * 1, FEATURES)
FIVE = Convolution(3, 5, kernel=(5, 5))
COLOUR = (32, 32)
"""Height and width of the colour image of e) to i)."""
CLOSE = 1e-4
"""Largest difference of float32 sums of 10,000 products that counts as equal."""


def fully_connected_on_the_image() -> Answer:
    """1a"""
    return Answer(
        "1a",
        "parameters of a fully connected layer from a 100 × 100 × 1 image to 1000 features",
        "inputs · outputs + outputs",
        "100 · 100 · 1 · 1000 + 1000",
        WHOLE.parameters,
        10_001_000,
        "parameters of nn.Linear(10000, 1000)",
        _parameters(nn.Linear(10_000, FEATURES, device="meta")),
        (
            "each of the 1000 outputs has a weight for each of the 100 · 100 · 1 = 10,000 inputs: 10,000,000 weights",
            "and a bias: 1000",
        ),
    )


def fully_connected_on_patches() -> Answer:
    """1b"""
    image = torch.zeros(1, 1, 100, 100)
    vectors = nn.Linear(100, FEATURES)(nn.functional.unfold(image, 10, stride=10).transpose(1, 2))
    return Answer(
        "1b",
        "the same layer on each 10 × 10 patch: parameters, and how many vectors come out",
        "inputs · outputs + outputs; (H / h) · (W / w)",
        "10 · 10 · 1 · 1000 + 1000; (100 / 10) · (100 / 10)",
        (PATCH.parameters, patches(image, (10, 10), stride=10).shape[1]),
        (101_000, 100),
        "nn.Linear(100, 1000) on torch's unfold",
        (_parameters(nn.Linear(100, FEATURES, device="meta")), vectors.shape[1]),
        (
            "one layer serves all patches: 100 · 1000 weights and 1000 biases",
            "10 rows of 10 patches: 100 vectors of 1000 features",
        ),
    )


def convolution_on_the_image() -> Answer:
    """1c"""
    return _equal_convolution(
        "1c",
        "the convolution that equals 1a: kernel, stride, padding, output channels",
        "the kernel is the image: there is one position, and the same sum of products as before",
        side=100,
    )


def convolution_on_patches() -> Answer:
    """1d"""
    return _equal_convolution(
        "1d",
        "the convolution that equals 1b: kernel, stride, padding, output channels",
        "kernel and stride are the side of the patch: positions do not overlap, each is a patch of 1b",
        side=10,
    )


def _equal_convolution(question: str, asked: str, formula: str, side: int) -> Answer:
    """A fully connected layer on patches of so many pixels, as a convolution, tried on a random image."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        linear = nn.Linear(side * side, FEATURES)
        image = torch.rand(1, 1, 100, 100)
    layer = linear_to_convolution(linear, 1, (side, side))
    numbers = Convolution.of(layer)
    stride = 1 if side == 100 else side  # with a single position no stride is ever taken
    checked = nn.Conv2d(1, FEATURES, side, stride=stride)
    with torch.no_grad():
        checked.weight.copy_(linear.weight.reshape(checked.weight.shape))
        checked.bias.copy_(linear.bias)  # type: ignore[union-attr]
        by_convolution = checked(image)
        by_layer = linear(nn.functional.unfold(image, side, stride=side).transpose(1, 2)).transpose(1, 2)
        error = (by_convolution.flatten(2) - by_layer).abs().max().item()
    of_layer: Value = (numbers.kernel[0], stride, _first(numbers.padding), numbers.out_channels)
    positions = (100 // side) ** 2
    return Answer(
        question,
        asked,
        formula,
        f"kernel {side} × {side}, stride {stride}, padding 0, 1000 channels",
        of_layer,
        (side, stride, 0, FEATURES),
        f"nn.Conv2d with the weights of the fully connected layer: outputs differ by {error:.0e} at most",
        (side, stride, 0, FEATURES) if error < CLOSE else (-1,),
        (
            f"weight [1000, {side * side}] of the fully connected layer → [1000, 1, {side}, {side}], row by row",
            f"{positions} output position{'s' * (positions > 1)} of 1000 channels",
        ),
    )


def output_of_five_filters() -> Answer:
    """1e"""
    return _output("1e", "output of five 5 × 5 filters on a 32 × 32 × 3 image, stride 1, no padding", 1, (28, 28, 5))


def output_with_a_stride() -> Answer:
    """1h"""
    return _output("1h", "the same with stride 3", 3, (10, 10, 5))


def _output(question: str, asked: str, stride: int, expected: Value) -> Answer:
    numbers = Convolution(3, 5, kernel=(5, 5), stride=stride)
    size = numbers.output_size(COLOUR)
    output = nn.Conv2d(3, 5, 5, stride=stride)(torch.zeros(1, 3, *COLOUR))
    return Answer(
        question,
        asked,
        "⌊(n + 2 · padding − kernel) / stride⌋ + 1, and a channel for each filter",
        f"⌊(32 + 2 · 0 − 5) / {stride}⌋ + 1 = {size[0]}; 5 filters",
        (*size, numbers.out_channels),
        expected,
        "shape that nn.Conv2d gives",
        (*output.shape[2:], output.shape[1]),
        (
            f"the kernel's first row can stand on rows 0 to 32 − 5 = 27, in steps of {stride}: {size[0]} places",
            "the same holds for columns",
        ),
    )


def weights_of_five_filters() -> Answer:
    """1f"""
    filters = nn.Conv2d(3, 5, 5)
    assert filters.bias is not None
    per_filter, without_bias = FIVE.weights_of_a_filter, FIVE.parameters - FIVE.out_channels
    return Answer(
        "1f",
        "weights of a filter and of the layer of 1e, and both with biases",
        "kernel · kernel · channels; · filters; + 1 a filter",
        "5 · 5 · 3 = 75; 75 · 5 = 375; 75 + 1 = 76; 76 · 5 = 380",
        (per_filter, without_bias, per_filter + 1, FIVE.parameters),
        (75, 375, 76, 380),
        "tensors of nn.Conv2d(3, 5, 5)",
        (
            filters.weight[0].numel(),
            filters.weight.numel(),
            filters.weight[0].numel() + filters.bias[:1].numel(),
            _parameters(filters),
        ),
        ("a filter reaches through all 3 channels of its input", "each filter has one bias"),
    )


def depth_of_the_next_filter() -> Answer:
    """1g"""
    following = Convolution(FIVE.out_channels, 1, kernel=(3, 3))
    return Answer(
        "1g",
        "depth of a filter in the layer after that of 1e",
        "channels of its input = filters of the layer before",
        "5",
        following.weight_shape[1],
        5,
        "nn.LazyConv2d, which reads it off its input",
        _lazy_depth(nn.Conv2d(3, 5, 5)(torch.zeros(1, 3, *COLOUR))),
        ("every filter sees all channels of its input; 1e has five",),
    )


def parameters_with_a_stride() -> Answer:
    """1i"""
    return Answer(
        "1i",
        "parameters of the layer of 1h",
        "(kernel · kernel · channels + 1) · filters: neither stride nor image size is in it",
        "(5 · 5 · 3 + 1) · 5",
        Convolution(3, 5, kernel=(5, 5), stride=3).parameters,
        380,
        "parameters of nn.Conv2d(3, 5, 5, stride=3)",
        _parameters(nn.Conv2d(3, 5, 5, stride=3)),
        ("a stride leaves positions out; the filters stay the same",),
    )


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _lazy_depth(features: Tensor) -> int:
    layer = nn.LazyConv2d(1, 3)
    layer(features)
    return layer.weight.shape[1]


def _first(values: object) -> int:
    assert isinstance(values, tuple)
    first: int = values[0]
    return first
