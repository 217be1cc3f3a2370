"""Layers of random numbers."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from torch import nn

from detector.arithmetic.convolution import CONVOLUTIONS, TRANSPOSED, Convolution

few = settings(max_examples=150, deadline=None, derandomize=True)


@st.composite
def convolutions(draw: st.DrawFn, transposed: bool | None = None) -> tuple[Convolution, tuple[int, ...]]:
    """A convolution of one to three axes and a size of its input."""
    axes = draw(st.integers(1, 3))

    def each(low: int, high: int) -> tuple[int, ...]:
        return draw(st.tuples(*[st.integers(low, high)] * axes))

    groups = draw(st.integers(1, 3))
    turned = draw(st.booleans()) if transposed is None else transposed
    stride, dilation = each(1, 3), each(1, 3)
    more = tuple(draw(st.integers(0, max(s, d) - 1)) if turned else 0 for s, d in zip(stride, dilation, strict=True))
    numbers = Convolution(
        groups * draw(st.integers(1, 3)),
        groups * draw(st.integers(1, 3)),
        each(1, 4),
        stride,
        each(0, 3),
        dilation,
        groups,
        draw(st.booleans()),
        turned,
        more,
    )
    return numbers, each(1, 9)


def built(numbers: Convolution) -> nn.Module:
    """PyTorch's layer, put together here."""
    kinds: Any = TRANSPOSED if numbers.transposed else CONVOLUTIONS
    more = {"output_padding": numbers.output_padding} if numbers.transposed else {}
    return kinds[len(numbers.kernel) - 1](
        numbers.in_channels,
        numbers.out_channels,
        numbers.kernel,
        stride=numbers.stride,
        padding=numbers.padding,
        dilation=numbers.dilation,
        groups=numbers.groups,
        bias=numbers.bias,
        **more,
    )
