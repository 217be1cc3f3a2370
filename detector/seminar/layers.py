"""Question 1: fully connected and convolution layers in numbers."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from detector.arithmetic.convolution import Convolution, FullyConnected
from detector.arithmetic.patches import linear_to_convolution, patches
from detector.seminar.answer import Answer, Condition, Value

CLOSE = 1e-4
"""Largest difference of float32 sums of 10,000 products that counts as equal."""
LARGEST = 50_000_000
"""Weights of the largest layer that is built and run."""


def fully_connected_on_the_image(
    height: int = 100, width: int = 100, channels: int = 1, features: int = 1000
) -> Answer:
    """1a"""
    inputs = height * width * channels
    layer = FullyConnected(inputs, features)
    image = f"{height} · {width} · {channels}"
    return Answer(
        "1a",
        f"parameters of a fully connected layer from a {height} × {width} × {channels} image to {features} features",
        f"{layer.parameters:,} parameters: each output has a weight for every input, and a bias",
        (_same("parameters", layer.parameters, "nn.Linear", _parameters(nn.Linear(inputs, features, device="meta"))),),
        "inputs · outputs + outputs",
        f"{image} · {features} + {features}",
        (
            f"the image as a vector has {image} = {inputs:,} numbers",
            f"each of the {features} outputs has a weight for each of them: {inputs * features:,} weights",
            f"and a bias: {features}",
        ),
        layer.parameters,
    )


def fully_connected_on_patches(
    height: int = 100, width: int = 100, channels: int = 1, patch: int = 10, features: int = 1000
) -> Answer:
    """1b"""
    layer = FullyConnected(patch * patch * channels, features)
    built = _linear(layer.inputs, features)
    image = torch.zeros(1, channels, height, width)
    vectors = built(functional.unfold(image, patch, stride=patch).transpose(1, 2))
    count = patches(image, (patch, patch), stride=patch).shape[1]
    result = (layer.parameters, count)
    return Answer(
        "1b",
        f"the layer on each {patch} × {patch} patch: parameters, and how many vectors of {features} features come out",
        f"{layer.parameters:,} parameters, which all patches share, and {count} vectors",
        (
            _same(
                "parameters and vectors", result, "nn.Linear on torch's unfold", (_parameters(built), vectors.shape[1])
            ),
        ),
        "inputs · outputs + outputs; ⌊H / patch⌋ · ⌊W / patch⌋",
        f"{patch} · {patch} · {channels} · {features} + {features}; ⌊{height} / {patch}⌋ · ⌊{width} / {patch}⌋",
        (
            f"one layer serves all patches: {layer.inputs} · {features} weights and {features} biases",
            f"{height // patch} rows of {width // patch} patches: {count} vectors of {features} features",
        ),
        result,
    )


def convolution_on_the_image(height: int = 100, width: int = 100, channels: int = 1, features: int = 1000) -> Answer:
    """1c: on the whole image there is one position; the stride is never taken, and 1 is written."""
    return _equal_convolution(
        "1c",
        "the convolution that equals the fully connected layer on the whole image: kernel, stride, padding, filters",
        "the kernel is the image: it has one position, where it makes the same sum of products",
        (height, width),
        (height, width),
        1,
        channels,
        features,
    )


def convolution_on_patches(
    height: int = 100, width: int = 100, channels: int = 1, patch: int = 10, features: int = 1000
) -> Answer:
    """1d"""
    return _equal_convolution(
        "1d",
        "the convolution that equals the fully connected layer on patches: kernel, stride, padding, filters",
        "kernel and stride are the side of the patch: positions do not overlap, and each sees one patch",
        (height, width),
        (patch, patch),
        patch,
        channels,
        features,
    )


def _equal_convolution(
    question: str,
    asked: str,
    words: str,
    image_size: tuple[int, int],
    kernel: tuple[int, int],
    stride: int,
    channels: int,
    features: int,
) -> Answer:
    """A convolution of the answer's numbers gets the weights of the converted layer, and runs beside the layer itself."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        linear = _linear(channels * kernel[0] * kernel[1], features)
        image = torch.rand(1, channels, *image_size)
    numbers = Convolution(channels, features, kernel, stride)
    built, converted = numbers.module(), linear_to_convolution(linear, channels, kernel)
    built.load_state_dict(converted.state_dict())
    with torch.no_grad():
        by_layer = linear(functional.unfold(image, kernel, stride=kernel).transpose(1, 2)).transpose(1, 2)
        by_answer, by_converter = (layer(image).flatten(2) for layer in (built, converted))
    positions = numbers.output_size(image_size)
    side: Value = kernel[0] if kernel[0] == kernel[1] else kernel
    count = positions[0] * positions[1]
    return Answer(
        question,
        asked,
        f"kernel {kernel[0]} × {kernel[1]}, stride {stride}, padding 0, {features} filters: {words}",
        (
            Condition(
                "output positions of the convolution, vectors of the layer", by_answer.shape[2], "=", by_layer.shape[2]
            ),
            Condition(
                "largest difference to the layer: convolution of this stride",
                _difference(by_answer, by_layer),
                "<",
                CLOSE,
            ),
            Condition(
                "largest difference to the layer: converted convolution",
                _difference(by_converter, by_layer),
                "<",
                CLOSE,
            ),
            Condition("parameters of the convolution, of the layer", numbers.parameters, "=", _parameters(linear)),
        ),
        "weight [features, kernel · kernel · channels] → [features, channels, kernel, kernel]",
        f"[{features}, {linear.in_features}] → {list(numbers.weight_shape)}",
        (
            f"a row of {linear.in_features} weights is read as {channels} × {kernel[0]} × {kernel[1]}, row by row",
            f"there are {positions[0]} · {positions[1]} = {count} output positions of {features} channels",
            f"built, converted and run on a random {image_size[0]} × {image_size[1]} image: the outputs are compared",
        ),
        (side, stride, 0, features),
        sources=("Long et al. 2015, Fully Convolutional Networks for Semantic Segmentation, section 3.1",),
    )


def _difference(one: Tensor, other: Tensor) -> float:
    return (one - other).abs().max().item() if one.shape == other.shape else float("inf")


def output_of_filters(
    height: int = 32,
    width: int = 32,
    channels: int = 3,
    kernel: int = 5,
    stride: int = 1,
    padding: int = 0,
    filters: int = 5,
) -> Answer:
    """1e"""
    return _output("1e", height, width, channels, kernel, stride, padding, filters)


def output_with_a_stride(
    height: int = 32,
    width: int = 32,
    channels: int = 3,
    kernel: int = 5,
    stride: int = 3,
    padding: int = 0,
    filters: int = 5,
) -> Answer:
    """1h"""
    return _output("1h", height, width, channels, kernel, stride, padding, filters)


def _output(
    question: str, height: int, width: int, channels: int, kernel: int, stride: int, padding: int, filters: int
) -> Answer:
    numbers = Convolution(channels, filters, (kernel, kernel), stride, padding)
    size = numbers.output_size((height, width))
    layer = nn.Conv2d(channels, filters, kernel, stride, padding, device="meta")
    output = layer(torch.zeros(1, channels, height, width, device="meta"))
    last, room = height + 2 * padding - 1, height + 2 * padding - kernel
    result = (*size, filters)
    return Answer(
        question,
        f"output of {filters} filters of {kernel} × {kernel} on a {height} × {width} × {channels} image, stride {stride}, "
        f"padding {padding}",
        f"{size[0]} × {size[1]} × {filters}: one channel for each filter",
        (_same("shape", result, "nn.Conv2d", (*output.shape[2:], output.shape[1])),),
        "⌊(n + 2 · padding − kernel) / stride⌋ + 1, and a channel for each filter",
        "; ".join(
            f"⌊({n} + 2 · {padding} − {kernel}) / {stride}⌋ + 1 = {m}"
            for n, m in zip((height, width), size, strict=True)
        )
        + f"; {filters} filters",
        (
            f"with padding the rows are numbered 0 to {last}; the kernel's first row stands on 0 at first, and on {last} − "
            f"{kernel - 1} = {room} at most",
            f"in steps of {stride}: ⌊{room} / {stride}⌋ = {room // stride} steps after the first position, {size[0]} positions",
            f"columns alike: {size[1]} positions",
        ),
        result,
    )


def weights_of_filters(channels: int = 3, kernel: int = 5, filters: int = 5) -> Answer:
    """1f"""
    layer = nn.Conv2d(channels, filters, kernel)
    assert layer.bias is not None
    numbers, plain = (Convolution(channels, filters, (kernel, kernel), bias=bias) for bias in (True, False))
    one = numbers.weights_of_a_filter
    result = (one, plain.parameters, one + 1, numbers.parameters)
    counted = (
        layer.weight[0].numel(),
        layer.weight.numel(),
        layer.weight[0].numel() + layer.bias[:1].numel(),
        _parameters(layer),
    )
    return Answer(
        "1f",
        f"weights of one {kernel} × {kernel} filter on {channels} channels and of {filters}; both with biases",
        f"{one} a filter and {plain.parameters} in all; with biases {one + 1} and {numbers.parameters}",
        (_same("both counts", result, "tensors of nn.Conv2d", counted),),
        "kernel · kernel · channels; · filters; a bias for each filter",
        f"{kernel} · {kernel} · {channels} = {one}; {one} · {filters} = {plain.parameters}; {one} + 1 = {one + 1}; "
        f"{one + 1} · {filters} = {numbers.parameters}",
        (f"a filter reaches through all {channels} channels of its input", "each filter has one bias"),
        result,
    )


def depth_of_the_next_filter(channels: int = 3, filters: int = 5) -> Answer:
    """1g"""
    following = Convolution(filters, 1, kernel=(3, 3))
    features = nn.Conv2d(channels, filters, 1)(torch.zeros(1, channels, 8, 8))
    lazy = nn.LazyConv2d(1, 3)
    lazy(features)
    return Answer(
        "1g",
        f"depth of a filter in the layer after one of {filters} filters",
        f"{following.weight_shape[1]}: a filter sees all channels of its input",
        (_same("depth", following.weight_shape[1], "nn.LazyConv2d on those features", lazy.weight.shape[1]),),
        "channels of its input = filters of the layer before",
        f"{filters}",
        (
            f"each of the {filters} filters makes one channel",
            f"a filter of the next layer has kernel · kernel · {filters} weights",
        ),
        following.weight_shape[1],
    )


def parameters_with_a_stride(channels: int = 3, kernel: int = 5, stride: int = 3, filters: int = 5) -> Answer:
    """1i"""
    numbers = Convolution(channels, filters, (kernel, kernel), stride)
    counts = tuple(_parameters(nn.Conv2d(channels, filters, kernel, s)) for s in (1, stride))
    weight = numbers.parameters - filters
    return Answer(
        "1i",
        f"parameters of {filters} filters of {kernel} × {kernel} on {channels} channels with stride {stride}",
        f"{numbers.parameters}, as with stride 1: a stride says at which positions the filters are applied, and the same "
        "filters are applied at each",
        (
            _same("parameters", numbers.parameters, f"nn.Conv2d of stride {stride}", counts[1]),
            Condition("parameters with this stride, with stride 1", counts[1], "=", counts[0]),
        ),
        "(kernel · kernel · channels + 1) · filters: neither stride nor image size is in it",
        f"({kernel} · {kernel} · {channels} + 1) · {filters} = {weight} + {filters}",
        (
            f"{weight} weights and {filters} biases: what a filter is",
            f"stride {stride} leaves out positions: fewer outputs, and the same filters",
        ),
        numbers.parameters,
    )


def _same(what: str, result: Value, check: str, checked: Value) -> Condition:
    return Condition(f"{what} by formula = by {check}", result, "=", checked)


def _linear(inputs: int, features: int) -> nn.Linear:
    if inputs * features > LARGEST:
        raise ValueError(f"{inputs * features:,} weights: the layer is built and run, with at most {LARGEST:,}")
    return nn.Linear(inputs, features)


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
