"""Question 5: 3D convolution, and its factorisation."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from detector.arithmetic.convolution import Convolution
from detector.arithmetic.volumes import Conv2Plus1d, cheaper_below, factorised, matched_width
from detector.seminar.answer import Answer, Value

CLIP = (16, 224, 224)
"""Frames, height and width of the grey clip."""
FILTERS = 64
LAYER = Convolution(1, FILTERS, kernel=(3, 3, 3), padding=1)


def answers() -> tuple[Answer, ...]:
    """5a to 5e."""
    return weights(), output(), output_with_a_temporal_stride(), cost(), factorisation()


def weights() -> Answer:
    """5a"""
    layer = nn.Conv3d(1, FILTERS, 3)
    assert layer.bias is not None
    return Answer(
        "5a",
        "64 filters 3 × 3 × 3 on 16 grey frames of 224 × 224: shape of the weights, parameters",
        "[filters, channels, k, k, k]; filters · channels · k³ + filters",
        "64 · 1 · 27 + 64 = 1728 + 64",
        (LAYER.weight_shape, LAYER.parameters),
        ((64, 1, 3, 3, 3), 1792),
        "tensors of nn.Conv3d(1, 64, 3)",
        (tuple(layer.weight.shape), layer.weight.numel() + layer.bias.numel()),
        ("frames are an axis of the image, not channels: a grey video has one channel",),
    )


def output() -> Answer:
    """5b"""
    return _output("5b", "its output, stride 1, padded by 1", (1, 1, 1), (64, 16, 224, 224))


def output_with_a_temporal_stride() -> Answer:
    """5c"""
    return _output("5c", "its output with stride 2 over time", (2, 1, 1), (64, 8, 224, 224))


def _output(question: str, asked: str, stride: tuple[int, int, int], expected: Value) -> Answer:
    numbers = Convolution(1, FILTERS, kernel=(3, 3, 3), stride=stride, padding=1)
    size = numbers.output_size(CLIP)
    layer = nn.Conv3d(1, FILTERS, 3, stride=stride, padding=1, device="meta")
    shape = layer(torch.zeros(1, 1, *CLIP, device="meta")).shape
    return Answer(
        question,
        asked,
        "⌊(n + 2 · padding − kernel) / stride⌋ + 1 on each axis",
        "; ".join(f"⌊({n} + 2 − 3) / {s}⌋ + 1 = {m}" for n, s, m in zip(CLIP, stride, size, strict=True)),
        (FILTERS, *size),
        expected,
        "shape that nn.Conv3d gives",
        tuple(shape[1:]),
        ("a stride may differ between axes: time and space are not alike",),
    )


def cost() -> Answer:
    """5d"""
    with FlopCounterMode(display=False) as counter:
        nn.Conv3d(1, FILTERS, 3, padding=1, device="meta")(torch.zeros(1, 1, *CLIP, device="meta"))
    return Answer(
        "5d",
        "multiply-accumulates of 5b",
        "k³ · c_F · c_G · l · w · h, in general with the output's positions for l · w · h",
        "3³ · 1 · 64 · 16 · 224 · 224",
        LAYER.multiply_accumulates(CLIP),
        27 * 1 * 64 * 16 * 224 * 224,
        "half of what torch.utils.flop_counter counts",
        counter.get_total_flops() // 2,
        (
            "each output number is a sum of k³ · c_F products",
            "there are c_G of them at each of the l · w · h positions, as many as the input has at stride 1 with padding",
        ),
    )


def factorisation() -> Answer:
    """5e: a layer from 64 to 64 channels as (2+1)D with as many channels in between."""
    whole = Convolution(FILTERS, FILTERS, kernel=(3, 3, 3), padding=1, bias=False)
    clip = (16, 56, 56)
    plain = _pair(whole, FILTERS, clip)
    width = matched_width(FILTERS, FILTERS)
    fewer, faster = cheaper_below(whole, clip)
    with FlopCounterMode(display=False) as counter:
        inside = torch.zeros(1, FILTERS, *clip, device="meta")
        module = Conv2Plus1d(FILTERS, FILTERS, width=FILTERS, norm=None, activation=None).to("meta")
        module(inside)
    return Answer(
        "5e",
        "3 × 3 × 3 from 64 to 64 channels as 1 × 3 × 3 and 3 × 1 × 1 with 64 channels in between: weights, operations",
        "k² · c_F · M + k · M · c_G weights, at each position as many operations",
        "9 · 64 · 64 + 3 · 64 · 64 = 49,152 against 27 · 64 · 64 = 110,592",
        plain,
        (49_152, 49_152 * 16 * 56 * 56),
        "Conv2Plus1d's parameters and the flop counter",
        (sum(parameter.numel() for parameter in module.parameters()), counter.get_total_flops() // 2),
        (
            f"fewer weights below M = k³ c_F c_G / (k² c_F + k c_G) = {fewer:g} channels in between, "
            f"fewer operations below {faster:g}",
            f"R(2+1)D takes M = {width}, as many weights as in 3D, for twice the non-linearities",
            "conditions: a stride over time lets the 3D layer skip work that the first half of the pair still does, and "
            "1728 against 9·M + 3·M·64 weights on a grey clip: there the pair has more from M = 9 on",
        ),
    )


def _pair(whole: Convolution, width: int, clip: tuple[int, int, int]) -> Value:
    spatial, temporal = factorised(whole, width)
    between = spatial.output_size(clip)
    return (
        spatial.parameters + temporal.parameters,
        spatial.multiply_accumulates(clip) + temporal.multiply_accumulates(between),
    )
