"""Question 5: 3D convolution, and its factorisation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import floor, inf
from pathlib import Path
from time import process_time
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from detector.arithmetic.convolution import Convolution
from detector.arithmetic.volumes import Conv2Plus1d, cheaper_below, factorised, matched_width
from detector.seminar.answer import Answer, Value
from detector.seminar.drawing import new_figure, save

CLIP = (16, 224, 224)
"""Frames, height and width of the grey clip."""
FILTERS = 64
MIDDLE = (16, 28, 28)
"""Frames, height and width of a clip in the middle of a network."""
REPEATS = 3
LAYER = Convolution(1, FILTERS, kernel=(3, 3, 3), padding=1)


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


class Pair(NamedTuple):
    """1 × 3 × 3 and 3 × 1 × 1 with so many channels in between, each as a share of the 3D convolution's."""

    width: int
    weights: float
    operations: float
    seconds: float
    """Time of the fastest forward run on one core, measured here and now."""


def factorisation(folder: Path) -> Answer:
    """5e: a layer from 64 to 64 channels as (2+1)D with as many channels in between."""
    whole = Convolution(FILTERS, FILTERS, kernel=(3, 3, 3), padding=1, bias=False)
    fewer, faster = cheaper_below(whole, MIDDLE)
    strided, grey = replace(whole, stride=(2, 1, 1)), replace(LAYER, bias=False)
    _, faster_with_stride = cheaper_below(strided, MIDDLE)
    fewer_on_grey, _ = cheaper_below(grey, CLIP)
    with FlopCounterMode(display=False) as counter, torch.device("meta"):
        module = Conv2Plus1d(FILTERS, FILTERS, width=FILTERS, norm=None, activation=None)
        module(torch.zeros(1, FILTERS, *MIDDLE))
    timed = _timed(whole)
    matched = matched_width(FILTERS, FILTERS)
    return Answer(
        "5e",
        "3 × 3 × 3 from 64 to 64 channels as 1 × 3 × 3 and 3 × 1 × 1 with 64 channels in between: weights, operations",
        "k² · c_F · M + k · M · c_G weights, at each position as many operations",
        "9 · 64 · 64 + 3 · 64 · 64 = 49,152 against 27 · 64 · 64 = 110,592",
        _pair(whole, FILTERS, MIDDLE),
        (49_152, 49_152 * 16 * 28 * 28),
        "Conv2Plus1d's parameters and the flop counter",
        (sum(parameter.numel() for parameter in module.parameters()), counter.get_total_flops() // 2),
        (
            f"fewer weights below M = k³ c_F c_G / (k² c_F + k c_G) = {fewer:g} channels in between, "
            f"fewer operations below {faster:g}",
            f"R(2+1)D takes M = {matched}, as many weights as in 3D, for twice the non-linearities",
            "a stride over time lets the 3D layer skip work that the first half of the pair still does: with stride 2 "
            f"fewer operations only below M = {faster_with_stride:g}",
            f"on a grey clip the 3D layer has {grey.parameters} weights, the pair 9 · M + 3 · M · 64: more of them from "
            f"M = {floor(fewer_on_grey) + 1} on",
        ),
        (
            f"under conditions: fewer weights and operations below M = {fewer:g}; {faster_with_stride:g} for operations with "
            f"stride 2 over time; {fewer_on_grey:.3g} for weights on a grey clip",
            "time of the pair as a share of the 3D layer's, forward, on one core, here and now: "
            + ", ".join(f"{pair.seconds:.2f} with M = {pair.width}" for pair in timed),
        ),
        _draw(folder, timed, fewer),
    )


def _pair(whole: Convolution, width: int, clip: tuple[int, int, int]) -> tuple[int, int]:
    spatial, temporal = factorised(whole, width)
    between = spatial.output_size(clip)
    return (
        spatial.parameters + temporal.parameters,
        spatial.multiply_accumulates(clip) + temporal.multiply_accumulates(between),
    )


def _timed(whole: Convolution) -> list[Pair]:
    with torch.random.fork_rng(devices=[]):
        clip = torch.randn(1, FILTERS, *MIDDLE)
        pairs = {
            width: Conv2Plus1d(FILTERS, FILTERS, width=width, norm=None, activation=None)
            for width in (16, 32, 64, 96, matched_width(FILTERS, FILTERS), 192)
        }
        seconds = _seconds({0: whole.module(), **pairs}, clip)
    operations = whole.multiply_accumulates(MIDDLE)
    found = []
    for width in pairs:
        weights, of_pair = _pair(whole, width, MIDDLE)
        found.append(Pair(width, weights / whole.parameters, of_pair / operations, seconds[width] / seconds[0]))
    return found


@torch.no_grad()
def _seconds(modules: Mapping[int, nn.Module], clip: torch.Tensor) -> dict[int, float]:
    """The fastest of some runs each on one core, by turns, so that what else the machine does hits all of them."""
    fastest = dict.fromkeys(modules, inf)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for _ in range(REPEATS):
            for key, module in modules.items():
                started = process_time()  # of this process alone, however busy the machine is
                module(clip)
                fastest[key] = min(fastest[key], process_time() - started)
    finally:
        torch.set_num_threads(threads)
    return fastest


def _draw(folder: Path, pairs: Sequence[Pair], fewer: float) -> Path:
    figure = new_figure(6.5, 4.2)
    axes = figure.subplots()
    widths = [pair.width for pair in pairs]
    axes.plot(widths, [pair.weights for pair in pairs], "o-", label="weights")
    axes.plot(widths, [pair.operations for pair in pairs], "s--", label="operations")
    axes.plot(widths, [pair.seconds for pair in pairs], "D:", label="time, forward, on one core of this machine")
    axes.axhline(1, color="0.5", linewidth=1)
    axes.axvline(fewer, color="0.5", linestyle=":", label=f"M = {fewer:g}")
    axes.set_xticks(widths)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("M: channels between the two convolutions")
    axes.set_ylabel("(2+1)D as a share of 3D")
    axes.set_title("3 × 3 × 3 from 64 to 64 channels, 16 × 28 × 28 positions")
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    return save(figure, folder, "5e")
