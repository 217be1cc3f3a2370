from __future__ import annotations

from math import prod

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from random_layers import built, convolutions, few
from torch import nn
from torch.nn import functional

from detector.arithmetic.convolution import Convolution
from detector.arithmetic.patches import convolution_to_linear, linear_to_convolution, patches, sparse_matrix

Drawn = tuple[Convolution, tuple[int, ...]]


def fits(numbers: Convolution, size: tuple[int, ...]) -> bool:
    try:
        numbers.output_size(size)
    except ValueError:
        return False
    return True


@few
@given(convolutions(transposed=False).filter(lambda drawn: fits(*drawn)))
def test_weights_times_patches_are_the_convolution(drawn: Drawn) -> None:
    numbers, size = drawn
    numbers = Convolution(numbers.in_channels, 4, numbers.kernel, numbers.stride, numbers.padding, numbers.dilation)
    layer = built(numbers).double()
    images = torch.randn(2, numbers.in_channels, *size, dtype=torch.float64)
    seen = patches(images, numbers.kernel, numbers.stride, numbers.padding, numbers.dilation)
    by_patch = convolution_to_linear(layer)(seen)
    torch.testing.assert_close(by_patch.transpose(1, 2), layer(images).flatten(2), rtol=0, atol=1e-10)


def test_patches_are_pytorchs_unfold() -> None:
    images = torch.randn(2, 3, 7, 9)
    mine = patches(images, (3, 2), (2, 1), (1, 0), (1, 2))
    theirs = functional.unfold(images, (3, 2), dilation=(1, 2), padding=(1, 0), stride=(2, 1))
    assert torch.equal(mine.transpose(1, 2), theirs)


@few
@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(1, 3), st.integers(1, 5), st.booleans(), st.data()
)
def test_a_fully_connected_layer_on_patches_is_a_convolution_and_back(
    kernel: list[int], channels: int, outputs: int, bias: bool, data: st.DataObject
) -> None:
    """Cut out by hand: on each axis a few patches side by side."""
    linear = nn.Linear(channels * prod(kernel), outputs, bias)
    counts = [data.draw(st.integers(1, 3)) for _ in kernel]
    images = torch.randn(2, channels, *(n * k for n, k in zip(counts, kernel, strict=True)))
    convolution = linear_to_convolution(linear, channels, kernel)
    result = convolution(images)
    assert result.shape == (2, outputs, *counts)
    for at in torch.cartesian_prod(*map(torch.arange, counts)).reshape(-1, len(kernel)).tolist():
        cut = images[:, :, *(slice(i * k, (i + 1) * k) for i, k in zip(at, kernel, strict=True))]
        torch.testing.assert_close(result[:, :, *at], linear(cut.flatten(1)), rtol=0, atol=1e-6)
    back = convolution_to_linear(convolution)
    assert torch.equal(back.weight, linear.weight)
    assert back.bias is None if linear.bias is None else torch.equal(back.bias, linear.bias)


@few
@given(convolutions(transposed=False).filter(lambda drawn: fits(*drawn)))
def test_the_matrix_does_what_the_convolution_does(drawn: Drawn) -> None:
    numbers, size = drawn
    layer = built(numbers).double()
    images = torch.randn(2, numbers.in_channels, *size, dtype=torch.float64)
    matrix = sparse_matrix(layer, size)
    result = (matrix @ images.flatten(1).T).T.reshape(2, numbers.out_channels, -1)
    if numbers.bias:
        assert isinstance(layer.bias, torch.Tensor)
        result = result + layer.bias[:, None]
    torch.testing.assert_close(result, layer(images).flatten(2), rtol=0, atol=1e-10)
    positions = prod(numbers.output_size(size))
    assert matrix.values().numel() <= positions * numbers.out_channels * numbers.weights_of_a_filter


def test_the_transposed_matrix_is_the_transposed_convolution() -> None:
    layer, back = nn.Conv2d(2, 3, 3, stride=2, bias=False), nn.ConvTranspose2d(3, 2, 3, stride=2, bias=False)
    back.weight = layer.weight
    gradient = torch.randn(1, 3, 3, 4)
    by_matrix = (sparse_matrix(layer, (7, 9)).T @ gradient.flatten()[:, None]).reshape(1, 2, 7, 9)
    torch.testing.assert_close(by_matrix, back(gradient))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: linear_to_convolution(nn.Linear(10, 2), 1, (3, 3)), "takes 10 numbers"),
        (lambda: convolution_to_linear(nn.Conv2d(4, 4, 3, groups=2)), "one group"),
        (lambda: convolution_to_linear(nn.ConvTranspose2d(4, 4, 3)), "transposed"),
        (lambda: convolution_to_linear(nn.Linear(4, 4)), "no convolution"),
        (lambda: sparse_matrix(nn.ConvTranspose2d(4, 4, 3), (5, 5)), "transposed"),
        (lambda: patches(torch.zeros(1, 1, 4, 4), (5, 5)), "smaller than the kernel"),
    ],
)
def test_what_cannot_be_is_said(make: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()  # type: ignore[operator]
