"""Question 5e: a 3D convolution as one over space and one over time, and under which conditions that is cheaper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import ceil, inf
from time import process_time
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from detector.arithmetic.convolution import Convolution
from detector.arithmetic.volumes import Conv2Plus1d, cheaper_below, factorised, matched_width
from detector.seminar.answer import Answer, Condition, Panel, Series, Table

CLIP = (16, 28, 28)
"""Frames, height and width of a clip in the middle of a network."""
LARGEST = 512
"""Channels of the layers that are run."""


class Cost(NamedTuple):
    """What a pair of 1 × d × d and t × 1 × 1 costs."""

    weights: int
    operations: int
    """Multiply-accumulates."""


def factorisation(channels: int = 64, filters: int = 64, between: int = 64, repeats: int = 3) -> Answer:
    """5e"""
    if max(channels, filters, between) > LARGEST:
        raise ValueError(f"the layers are run, with at most {LARGEST} channels")
    whole = Convolution(channels, filters, kernel=(3, 3, 3), padding=1, bias=False)
    strided, grey = replace(whole, stride=(2, 1, 1)), replace(whole, in_channels=1)
    fewer, faster = cheaper_below(whole, CLIP)
    _, faster_strided = cheaper_below(strided, CLIP)
    fewer_grey, _ = cheaper_below(grey, CLIP)
    matched = matched_width(channels, filters)
    pair = cost(whole, between)
    counted = _counted(whole, between)
    whole_operations = whole.multiply_accumulates(CLIP)
    half, more = max(1, matched // 2), 2 * matched
    timed = seconds(whole, sorted({half, between, matched, more}), repeats)
    shares = {width: cost(whole, width) for width in timed}
    time_at_matched = timed[matched] * whole_operations / cost(whole, matched).operations
    return Answer(
        "5e",
        f"3 × 3 × 3 from {channels} to {filters} channels as 1 × 3 × 3 and 3 × 1 × 1 with M = {between} channels in between: "
        "weights, operations, and when the pair is smaller and faster",
        f"{pair.weights:,} weights and {pair.operations:,} multiply-accumulates instead of {whole.parameters:,} and "
        f"{whole_operations:,}. It has fewer weights while M < {fewer:g}, fewer operations while M < {faster:g} "
        f"(stride 2 over time: {faster_strided:.3g}). At M = {matched}, which R(2+1)D takes, it has as many of both, "
        "and gains a "
        "non-linearity, not size. Time follows more than the operations: it also writes and reads the tensor in between",
        (
            Condition(
                "weights and operations by formula = by Conv2Plus1d and torch's flop counter", pair, "=", counted
            ),
            _compared("weights", pair.weights, whole.parameters, between < fewer),
            _compared("operations", pair.operations, whole_operations, between < faster),
            Condition("weights just below the bound M", cost(whole, ceil(fewer) - 1).weights, "<", whole.parameters),
            Condition("weights just above the bound M", cost(whole, int(fewer) + 1).weights, ">", whole.parameters),
            Condition(
                f"equal weights, R(2+1)D's M = {matched}: weights that the pair has less",
                whole.parameters - shares[matched].weights,
                "<",
                9 * channels + 3 * filters,
            ),
            Condition(
                "stride 2 over time: operations just above its bound M",
                cost(strided, int(faster_strided) + 1).operations,
                ">",
                strided.multiply_accumulates(CLIP),
            ),
            Condition(
                "stride 2 over time: operations just below its bound M",
                cost(strided, ceil(faster_strided) - 1).operations,
                "<",
                strided.multiply_accumulates(CLIP),
            ),
            Condition(
                "grey clip: weights of the pair at this bound's M + 1",
                cost(grey, int(fewer_grey) + 1).weights,
                ">",
                grey.parameters,
            ),
            Condition(f"time at M = {more} as a share of the time at M = {half}", timed[more] / timed[half], ">", 1.3),
            Condition(
                "equal operations: time of the pair / operations of the pair, as shares of the 3D layer's",
                time_at_matched,
                ">",
                1.0,
            ),
        ),
        "k² · c_F · M + k · M · c_G weights; at each position as many multiply-accumulates",
        f"9 · {channels} · {between} + 3 · {between} · {filters} = {pair.weights:,} against 27 · {channels} · {filters} = "
        f"{whole.parameters:,}",
        (
            f"1 × 3 × 3 from {channels} to {between}: {9 * channels * between:,} weights; 3 × 1 × 1 from {between} to "
            f"{filters}: "
            f"{3 * between * filters:,}",
            f"fewer weights while M < k³ c_F c_G / (k² c_F + k c_G) = {fewer:g}",
            "a stride over time lets the 3D layer skip frames that the first half of the pair still computes: fewer "
            f"operations only while M < {faster_strided:.3g}",
            f"on a grey clip the 3D layer has {grey.parameters:,} weights: the pair has more from M = {int(fewer_grey) + 1} on",
        ),
        pair,
        experiment=f"layers from {channels} to {filters} channels on {CLIP[0]} × {CLIP[1]} × {CLIP[2]} positions, "
        "without bias, run "
        f"forward on one core here and now (the fastest of {repeats} runs, by turns)",
        tables=(
            Table(
                "the pair as a share of the 3D layer",
                ("M", "weights", "operations", "time"),
                tuple(
                    (
                        width,
                        round(shares[width].weights / whole.parameters, 3),
                        round(shares[width].operations / whole_operations, 3),
                        round(timed[width], 2),
                    )
                    for width in timed
                ),
            ),
            Table(
                "the two layers of the pair",
                ("layer", "weights"),
                tuple((" × ".join(map(str, one.kernel)), one.parameters) for one in factorised(whole, between)),
            ),
            Table(
                "bounds on M",
                ("the pair has", "while M <"),
                (
                    ("fewer weights", round(fewer, 1)),
                    ("fewer operations", round(faster, 1)),
                    ("fewer operations, stride 2 over time", round(faster_strided, 1)),
                ),
            ),
        ),
        panels=(
            Panel(
                f"3 × 3 × 3 from {channels} to {filters} channels",
                "lines",
                (
                    Series("weights", tuple(shares[w].weights / whole.parameters for w in timed), tuple(timed)),
                    Series("operations", tuple(shares[w].operations / whole_operations for w in timed), tuple(timed)),
                    Series("time, forward, one core", tuple(timed.values()), tuple(timed)),
                ),
                x_label="M: channels between the two convolutions",
                y_label="(2+1)D as a share of 3D",
                levels={"3D": 1.0},
            ),
        ),
        sources=("Tran et al. 2018, A Closer Look at Spatiotemporal Convolutions for Action Recognition, section 3.5",),
    )


def _compared(what: str, pair: int, whole: int, cheaper: bool) -> Condition:
    """The bound on M says on which side the pair must be."""
    if cheaper:
        return Condition(f"{what} of the pair (M lies below its bound: fewer)", pair, "<", whole)
    return Condition(f"{what} of the pair (M does not lie below its bound: not fewer)", pair, ">", whole - 1)


def cost(whole: Convolution, width: int) -> Cost:
    """By formula, for `CLIP`."""
    spatial, temporal = factorised(whole, max(1, width))
    between = spatial.output_size(CLIP)
    return Cost(
        spatial.parameters + temporal.parameters,
        spatial.multiply_accumulates(CLIP) + temporal.multiply_accumulates(between),
    )


def _pair(whole: Convolution, width: int) -> Conv2Plus1d:
    return Conv2Plus1d(whole.in_channels, whole.out_channels, width=width, norm=None, activation=None)


def _counted(whole: Convolution, width: int) -> tuple[int, int]:
    with FlopCounterMode(display=False) as counter, torch.device("meta"):
        module = _pair(whole, width)
        module(torch.zeros(1, whole.in_channels, *CLIP))
    return sum(parameter.numel() for parameter in module.parameters()), counter.get_total_flops() // 2


@torch.no_grad()
def seconds(whole: Convolution, widths: list[int], repeats: int) -> dict[int, float]:
    """Forward time of each pair as a share of the 3D layer's, on one core, by turns.

    Time of this process alone, and the fastest run of each, so that what else the machine does hits all of them.
    """
    with torch.random.fork_rng(devices=[]):
        clip = torch.randn(1, whole.in_channels, *CLIP)
        modules: Mapping[int, nn.Module] = {0: whole.module(), **{width: _pair(whole, width) for width in widths}}
    fastest = dict.fromkeys(modules, inf)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for _ in range(repeats):
            for key, module in modules.items():
                started = process_time()
                module(clip)
                fastest[key] = min(fastest[key], process_time() - started)
    finally:
        torch.set_num_threads(threads)
    return {width: fastest[width] / fastest[0] for width in widths}
