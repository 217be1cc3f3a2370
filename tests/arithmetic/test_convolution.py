from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from random_layers import built, convolutions, few
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from detector.arithmetic.convolution import Convolution, FullyConnected


@few
@given(convolutions())
def test_parameters_and_shapes_are_those_of_pytorchs_layer(drawn: tuple[Convolution, tuple[int, ...]]) -> None:
    numbers, _ = drawn
    layer = built(numbers)
    assert numbers.parameters == sum(parameter.numel() for parameter in layer.parameters())
    assert numbers.weight_shape == layer.weight.shape
    assert Convolution.of(layer) == numbers
    assert str(numbers.module()) == str(layer)


@few
@given(convolutions())
def test_output_size_and_cost_are_those_of_pytorchs_layer(drawn: tuple[Convolution, tuple[int, ...]]) -> None:
    numbers, size = drawn
    layer = built(numbers).to("meta")
    try:
        outputs = numbers.output_size(size)
    except ValueError:
        if not numbers.transposed:
            with pytest.raises(RuntimeError):
                built(numbers)(torch.zeros(1, numbers.in_channels, *size))
        return
    with FlopCounterMode(display=False) as counter:
        result = layer(torch.zeros(1, numbers.in_channels, *size, device="meta"))
    assert outputs == result.shape[2:]
    assert 2 * numbers.multiply_accumulates(size) == counter.get_total_flops()


@few
@given(st.integers(1, 40), st.integers(1, 40), st.booleans())
def test_a_fully_connected_layer_counts_like_pytorchs(inputs: int, outputs: int, bias: bool) -> None:
    layer = nn.Linear(inputs, outputs, bias)
    with FlopCounterMode(display=False) as counter:
        layer(torch.zeros(1, inputs))
    numbers = FullyConnected(inputs, outputs, bias)
    assert numbers.parameters == sum(parameter.numel() for parameter in layer.parameters())
    assert 2 * numbers.multiply_accumulates == counter.get_total_flops()


def test_the_transposed_convolution_undoes_the_size() -> None:
    """Dumoulin & Visin 2016, relationship 14, where the stride divides what is left."""

    @few
    @given(convolutions(transposed=False))
    def undone(drawn: tuple[Convolution, tuple[int, ...]]) -> None:
        numbers, size = drawn
        reach = [d * (k - 1) + 1 for d, k in zip(numbers.dilation, numbers.kernel, strict=True)]  # type: ignore[arg-type]
        rest = [n + 2 * p - r for n, p, r in zip(size, numbers.padding, reach, strict=True)]  # type: ignore[arg-type]
        assume(all(r >= 0 and r % s == 0 for r, s in zip(rest, numbers.stride, strict=True)))  # type: ignore[arg-type]
        back = Convolution(1, 1, numbers.kernel, numbers.stride, numbers.padding, numbers.dilation, transposed=True)
        assert back.output_size(numbers.output_size(size)) == size

    undone()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: Convolution(3, 5, (5, 5)).output_size((4, 32)),
            "an input of 4 with padding 0 is smaller than the kernel",
        ),
        (lambda: Convolution(3, 5, (3,), dilation=4).output_size((8,)), "reaches over 9"),
        (lambda: Convolution(3, 5, (3, 3)).output_size((8,)), "2 axes"),
        (lambda: Convolution(3, 5, (3, 3), stride=(1, 2, 3)), "stride"),
        (lambda: Convolution(3, 5, (3, 0)), "kernel"),
        (lambda: Convolution(3, 5, (3, 3), groups=3), "groups=3"),
        (lambda: Convolution(3, 0, (3, 3)), "out_channels=0"),
        (lambda: Convolution(3, 5, (3, 3), output_padding=1), "output_padding"),
        (lambda: Convolution(3, 5, (1,), padding=1, transposed=True).output_size((2,)), "no output"),
        (lambda: Convolution.of(nn.Linear(3, 5)), "Linear"),
        (lambda: Convolution.of(nn.Conv2d(3, 5, 3, padding=1, padding_mode="reflect")), "reflect"),
        (lambda: Convolution.of(nn.Conv2d(3, 5, 2, padding="same")), "both sides"),
        (lambda: Convolution(1, 1, (1, 1, 1, 1)).module(), "4 axes"),
    ],
)
def test_what_cannot_be_is_said(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_named_paddings_are_read() -> None:
    assert Convolution.of(nn.Conv2d(3, 5, (3, 5), dilation=2, padding="same")).padding == (2, 4)
    assert Convolution.of(nn.Conv2d(3, 5, 3, padding="valid")).padding == (0, 0)
