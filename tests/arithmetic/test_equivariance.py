from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from detector.arithmetic.equivariance import LocallyConnected2d, shift_equivariance_error, where_sharing_helps


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(-6, 6), st.integers(-6, 6), st.sampled_from([1, 2, 4]))
def test_a_convolution_is_equivariant_to_shifts_by_its_stride(down: int, right: int, stride: int) -> None:
    torch.manual_seed(0)
    network = nn.Conv2d(2, 3, 5, stride=stride, padding=2)
    images = torch.randn(1, 2, 96, 96)
    shift = down * stride, right * stride
    assert shift_equivariance_error(network, images, shift, margin=2) < 1e-6
    if stride == 4:
        assert shift_equivariance_error(network, images, (shift[0] + 2, shift[1]), margin=2) > 0.5


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(-6, 6), st.integers(-6, 6), st.integers(1, 6), st.integers(1, 3))
def test_without_padding_a_convolution_has_no_error_anywhere(down: int, right: int, kernel: int, stride: int) -> None:
    network = nn.Conv2d(2, 3, kernel, stride).double()
    images = torch.randn(1, 2, 40, 33, dtype=torch.float64)
    shift = down * stride, right * stride
    assert shift_equivariance_error(network, images, shift, stride=stride) < 1e-12
    if stride == 1:
        assert shift_equivariance_error(network, images, shift) < 1e-12
    if stride == 3 and kernel > 1:
        assert shift_equivariance_error(network, images, (shift[0] + 1, shift[1]), stride=stride) > 0.3


def test_with_zero_padding_the_error_is_at_the_border_alone() -> None:
    torch.manual_seed(0)
    network, images = nn.Conv2d(2, 3, 5, padding=2), torch.randn(1, 2, 24, 24)
    assert shift_equivariance_error(network, images, (3, 3)) > 0.05
    assert shift_equivariance_error(network, images, (3, 3), margin=2) < 1e-6


@pytest.mark.parametrize(
    ("module", "size", "shift", "words"),
    [
        (nn.Conv2d(1, 1, 3, stride=2), 31, (2, 2), "31 pixels become 15 positions"),
        (nn.Identity(), 8, (8, 0), "move by 8"),
        (lambda x: 0 * x, 8, (1, 1), "0 everywhere"),
    ],
)
def test_where_nothing_can_be_compared_it_says_so(module: Any, size: int, shift: tuple[int, int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        shift_equivariance_error(module, torch.ones(1, 1, size, size), shift)


def test_with_circular_padding_it_is_equivariant_up_to_the_border() -> None:
    network = nn.Conv2d(2, 3, 5, padding=2, padding_mode="circular")
    assert shift_equivariance_error(network, torch.randn(1, 2, 16, 16), (3, -5)) < 1e-6


def test_the_error_is_the_norm_written_out() -> None:
    torch.manual_seed(0)
    images, mask = torch.randn(1, 1, 8, 8), torch.rand(8, 8)

    def masked(x: Tensor) -> Tensor:
        return x * mask

    a, b = masked(images.roll(2, 2)), masked(images).roll(2, 2)
    compared = slice(3, 7), slice(1, 7)  # rows 0 and 1 were rolled in; of the others one along each border is left out
    expected = ((a - b)[0, 0, *compared] ** 2).sum().sqrt() / (b[0, 0, *compared] ** 2).sum().sqrt()
    assert shift_equivariance_error(masked, images, (2, 0), margin=1) == pytest.approx(expected.item())


def test_a_margin_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="margin=4"):
        shift_equivariance_error(nn.Identity(), torch.zeros(1, 1, 8, 8), (1, 1), margin=4)


def test_a_locally_connected_layer_with_equal_filters_is_the_convolution() -> None:
    convolution = nn.Conv2d(3, 4, (3, 5), stride=2, padding=1)
    layer = LocallyConnected2d(3, 4, (9, 10), (3, 5), stride=2, padding=1)
    images = torch.randn(2, 3, 9, 10)
    with torch.no_grad():
        layer.weight.copy_(convolution.weight.flatten(1).expand_as(layer.weight))
        assert layer.bias is not None
        assert convolution.bias is not None
        layer.bias.copy_(convolution.bias[:, None, None].expand_as(layer.bias))
    torch.testing.assert_close(layer(images), convolution(images), rtol=1e-4, atol=1e-5)


def test_each_position_has_its_own_filter() -> None:
    layer = LocallyConnected2d(1, 1, (4, 4), (3, 3), padding=1)
    layer(torch.randn(1, 1, 4, 4))[0, 0, 1, 2].backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.flatten(1).any(1).nonzero().tolist() == [[6]]
    assert shift_equivariance_error(layer, torch.randn(1, 1, 4, 4), (1, 1)) > 0.5


def test_it_has_the_convolutions_cost_and_its_weights_at_every_position() -> None:
    layer = LocallyConnected2d(3, 4, (9, 10), (3, 5), stride=2, padding=1)
    with FlopCounterMode(display=False) as counter:
        layer(torch.randn(1, 3, 9, 10))
    assert counter.get_total_flops() == 2 * layer.multiply_accumulates((9, 10))
    height, width = layer.output_size
    assert sum(parameter.numel() for parameter in layer.parameters()) == height * width * (4 * 3 * 3 * 5 + 4)


def test_sharing_helps_where_one_filter_serves_everywhere_and_hurts_where_none_does() -> None:
    same = where_sharing_helps(position_dependent=False, images=16)
    own = where_sharing_helps(position_dependent=True, images=200)
    assert same.convolution < 0.01 < 0.2 < same.locally_connected
    assert own.locally_connected < 0.1 < 0.8 < own.convolution


def test_the_experiment_leaves_the_random_state_alone() -> None:
    before = torch.get_rng_state()
    where_sharing_helps(position_dependent=True, images=4, steps=2)
    assert torch.equal(before, torch.get_rng_state())
