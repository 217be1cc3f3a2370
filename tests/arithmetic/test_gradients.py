from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from detector.arithmetic.gradients import (
    convolution,
    convolution_gradients,
    input_gradient_by_full_correlation,
    relu,
    relu_gradient,
)

small = st.integers(1, 3)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(small, small, small, small, small, small, st.integers(0, 2), st.integers(0, 3), st.integers(0, 3))
def test_hand_written_sums_are_autograds(
    channels: int,
    filters: int,
    rows: int,
    columns: int,
    stride: int,
    dilation: int,
    padding: int,
    more: int,
    wider: int,
) -> None:
    height, width = max(1, dilation * (rows - 1) + 1 + more - 2 * padding), dilation * (columns - 1) + 1 + wider
    generator = torch.Generator().manual_seed(more)
    x = torch.randn(channels, height, width, dtype=torch.float64, generator=generator).requires_grad_()
    weight = torch.randn(filters, channels, rows, columns, dtype=torch.float64, generator=generator).requires_grad_()
    bias = torch.randn(filters, dtype=torch.float64, generator=generator).requires_grad_()
    expected = functional.conv2d(x, weight, bias, stride, padding, dilation)
    output_gradient = torch.randn(expected.shape, dtype=torch.float64, generator=generator)
    of_x, of_weight, of_bias = torch.autograd.grad(expected, (x, weight, bias), output_gradient)

    with torch.no_grad():
        output = convolution(x, weight, bias, stride, padding, dilation)
        mine = convolution_gradients(x, weight, output_gradient, stride, padding, dilation)
    torch.testing.assert_close(output, expected.detach(), rtol=0, atol=1e-10)
    torch.testing.assert_close(mine.inputs, of_x, rtol=0, atol=1e-10)
    torch.testing.assert_close(mine.weight, of_weight, rtol=0, atol=1e-10)
    torch.testing.assert_close(mine.bias, of_bias, rtol=0, atol=1e-10)
    if padding <= dilation * (min(rows, columns) - 1):
        size = height, width
        full = input_gradient_by_full_correlation(weight.detach(), output_gradient, size, stride, padding, dilation)
        torch.testing.assert_close(full, of_x, rtol=0, atol=1e-10)


def test_relu_and_its_gradient_are_autograds_also_at_0() -> None:
    x = torch.tensor([[-1.5, 0.0, -0.0], [2.0, 1e-30, -1e-30]], dtype=torch.float64, requires_grad=True)
    output_gradient = torch.randn(2, 3, dtype=torch.float64)
    expected = functional.relu(x)
    (of_x,) = torch.autograd.grad(expected, x, output_gradient)
    assert torch.equal(relu(x.detach()), expected.detach())
    assert torch.equal(relu_gradient(x.detach(), output_gradient), of_x)


def test_more_padding_than_the_kernel_reaches_is_refused() -> None:
    with pytest.raises(ValueError, match="padding=1"):
        input_gradient_by_full_correlation(torch.ones(1, 1, 1, 1), torch.ones(1, 4, 4), (2, 2), padding=1)
