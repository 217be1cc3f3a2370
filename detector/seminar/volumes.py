"""Question 5, a to d: 3D convolution in numbers."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from detector.arithmetic.convolution import Convolution
from detector.seminar.answer import Answer, Condition


def weights(channels: int = 1, kernel: int = 3, filters: int = 64) -> Answer:
    """5a"""
    numbers = Convolution(channels, filters, (kernel,) * 3)
    layer = nn.Conv3d(channels, filters, kernel, device="meta")
    assert layer.bias is not None
    cube = kernel**3
    result = (numbers.weight_shape, numbers.parameters)
    return Answer(
        "5a",
        f"{filters} filters of {kernel} × {kernel} × {kernel} on a clip of {channels} channel{'s' * (channels > 1)}: "
        "shape of the "
        "weights, parameters",
        f"weights {list(numbers.weight_shape)}, {numbers.parameters:,} parameters",
        (
            Condition(
                "shape and parameters by formula = by nn.Conv3d",
                result,
                "=",
                (tuple(layer.weight.shape), layer.weight.numel() + layer.bias.numel()),
            ),
        ),
        "[filters, channels, k, k, k]; filters · channels · k³ + filters",
        f"{filters} · {channels} · {cube} + {filters} = {filters * channels * cube:,} + {filters}",
        (
            "frames are an axis of the input, as height and width are, and no channels: a grey clip has one channel",
            f"a filter has {channels} · {kernel}³ = {channels * cube} weights and a bias",
            f"{filters} filters: {filters * channels * cube:,} weights and {filters} biases",
        ),
        result,
    )


def output(
    frames: int = 16,
    height: int = 224,
    width: int = 224,
    channels: int = 1,
    kernel: int = 3,
    stride: int = 1,
    temporal_stride: int = 1,
    padding: int = 1,
    filters: int = 64,
) -> Answer:
    """5b"""
    numbers = _layer(channels, kernel, stride, temporal_stride, padding, filters)
    return _output("5b", numbers, (frames, height, width))


def output_with_a_temporal_stride(
    frames: int = 16,
    height: int = 224,
    width: int = 224,
    channels: int = 1,
    kernel: int = 3,
    stride: int = 1,
    temporal_stride: int = 2,
    padding: int = 1,
    filters: int = 64,
) -> Answer:
    """5c"""
    numbers = _layer(channels, kernel, stride, temporal_stride, padding, filters)
    return _output("5c", numbers, (frames, height, width))


def _layer(channels: int, kernel: int, stride: int, temporal_stride: int, padding: int, filters: int) -> Convolution:
    return Convolution(channels, filters, (kernel,) * 3, (temporal_stride, stride, stride), padding)


def _axes(numbers: Convolution, clip: tuple[int, ...], size: tuple[int, ...]) -> str:
    assert not isinstance(numbers.stride, int)
    assert not isinstance(numbers.padding, int)
    axes = zip(clip, numbers.padding, numbers.kernel, numbers.stride, size, strict=True)
    return "; ".join(f"⌊({n} + 2 · {p} − {k}) / {s}⌋ + 1 = {m}" for n, p, k, s, m in axes)


def _output(question: str, numbers: Convolution, clip: tuple[int, int, int]) -> Answer:
    size = numbers.output_size(clip)
    layer = numbers.module().to("meta")
    shape = tuple(layer(torch.zeros(1, numbers.in_channels, *clip, device="meta")).shape[1:])
    result = (numbers.out_channels, *size)
    assert not isinstance(numbers.stride, int)
    return Answer(
        question,
        f"output of {numbers.out_channels} filters on {clip[0]} frames of {clip[1]} × {clip[2]}, stride "
        f"{numbers.stride[0]} over time "
        f"and {numbers.stride[1]} over space",
        f"{numbers.out_channels} × {size[0]} × {size[1]} × {size[2]}",
        (Condition("shape by formula = by nn.Conv3d", result, "=", shape),),
        "⌊(n + 2 · padding − kernel) / stride⌋ + 1 on each axis",
        _axes(numbers, clip, size),
        (
            f"time: {clip[0]} frames become {size[0]}",
            f"space: {clip[1]} × {clip[2]} becomes {size[1]} × {size[2]}",
            f"one channel for each of the {numbers.out_channels} filters",
        ),
        result,
    )


def cost(
    frames: int = 16,
    height: int = 224,
    width: int = 224,
    channels: int = 1,
    kernel: int = 3,
    stride: int = 1,
    temporal_stride: int = 1,
    padding: int = 1,
    filters: int = 64,
) -> Answer:
    """5d: the sheet's formula at stride 1, and the general one with the positions of the output."""
    clip = (frames, height, width)
    numbers = _layer(channels, kernel, stride, temporal_stride, padding, filters)
    halved = replace(numbers, stride=(2 * temporal_stride, stride, stride))
    size, size_halved = numbers.output_size(clip), halved.output_size(clip)
    operations, fewer = numbers.multiply_accumulates(clip), halved.multiply_accumulates(clip)
    conditions = [
        Condition(
            "multiply-accumulates by formula = by torch's flop counter", operations, "=", _counted(numbers, clip)
        ),
        Condition(
            f"with stride {2 * temporal_stride} over time: by formula = by torch's flop counter",
            fewer,
            "=",
            _counted(halved, clip),
        ),
    ]
    if size[0] % 2 == 0:
        conditions.append(Condition("twice the cost at the doubled temporal stride", 2 * fewer, "=", operations))
    each = f"{kernel}³ · {channels} · {filters}"
    return Answer(
        "5d",
        f"multiply-accumulates of {filters} filters of {kernel} × {kernel} × {kernel} on {frames} frames of {height} × {width}",
        f"{operations:,}; with stride {2 * temporal_stride} over time {fewer:,}, {_share(fewer, operations)} of it",
        tuple(conditions),
        "k³ · c_F · c_G · l · w · h; in general k³ · c_F · c_G · l′ · w′ · h′ with the output's positions",
        f"{each} · {size[0]} · {size[1]} · {size[2]}; {each} · {size_halved[0]} · {size_halved[1]} · {size_halved[2]}",
        (
            f"each output number is a sum of k³ · c_F = {kernel**3 * channels} products",
            f"there are c_G = {filters} of them at each of the {size[0]} · {size[1]} · {size[2]} output positions: "
            f"{operations:,}",
            "at stride 1 with padding that keeps the size these are the positions of the input: the formula of the sheet",
            f"with stride {2 * temporal_stride} over time {size_halved[0]} frames come out instead of {size[0]}: {fewer:,}",
        ),
        operations,
    )


def _share(part: int, whole: int) -> str:
    return "half" if 2 * part == whole else f"{part / whole:.3g}"


def _counted(numbers: Convolution, clip: tuple[int, int, int]) -> int:
    with FlopCounterMode(display=False) as counter, torch.device("meta"):
        numbers.module()(torch.zeros(1, numbers.in_channels, *clip))
    return counter.get_total_flops() // 2
