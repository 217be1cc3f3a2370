from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from random_layers import few
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.video import r2plus1d_18

from detector.arithmetic.convolution import Convolution
from detector.arithmetic.volumes import Conv2Plus1d, cheaper_below, factorised, matched_width

channels = st.integers(1, 70)
odd = st.sampled_from([1, 3, 5])


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_matched_width_is_that_of_torchvisions_r2plus1d() -> None:
    """Torchvision's pairs are a convolution over space, norm, ReLU and one over time; it carries the widths as made.

    The second convolution of a block has the first one's width there, so that only first ones are looked at.
    """
    found = 0
    for block in r2plus1d_18(weights=None).modules():
        if not hasattr(block, "conv1") or not isinstance(block.conv1, nn.Sequential):
            continue
        pair = block.conv1[0]
        assert isinstance(pair, nn.Sequential)
        spatial, _, _, temporal = pair
        assert isinstance(spatial, nn.Conv3d)
        assert isinstance(temporal, nn.Conv3d)
        assert spatial.out_channels == matched_width(spatial.in_channels, temporal.out_channels)
        found += 1
    assert found == 8


@few
@given(channels, channels, odd, odd)
def test_the_matched_pair_has_as_many_weights_or_a_little_fewer(c: int, f: int, time: int, space: int) -> None:
    whole = nn.Conv3d(c, f, (time, space, space), bias=False)
    pair = Conv2Plus1d(c, f, (time, space, space), norm=None, activation=None)
    width = pair[0].out_channels
    missing = parameters(whole) - parameters(pair)
    assert missing < space**2 * c + time * f
    assert missing >= 0 or width == 1


@few
@given(channels, channels, odd, odd, st.integers(1, 2), st.integers(1, 2), st.integers(1, 300))
def test_the_pair_is_cheaper_exactly_below_the_widths_that_the_formula_gives(
    c: int, f: int, time: int, space: int, over_time: int, over_space: int, width: int
) -> None:
    """Against what PyTorch's layers have and PyTorch's counter counts."""
    kernel, padding, stride = (
        (time, space, space),
        (time // 2, space // 2, space // 2),
        (over_time, over_space, over_space),
    )
    clip = torch.zeros(1, c, 8, 6, 6, device="meta")

    def measured(module: nn.Module) -> tuple[int, int]:
        with FlopCounterMode(display=False) as counter:
            module.to("meta")(clip)
        return parameters(module), counter.get_total_flops()

    whole = measured(nn.Conv3d(c, f, kernel, stride, padding, bias=False))
    pair = measured(Conv2Plus1d(c, f, kernel, stride, padding, width, norm=None, activation=None))
    weights, operations = cheaper_below(Convolution(c, f, kernel, stride, padding), clip.shape[2:])
    assert (pair[0] < whole[0]) == (width < weights)
    assert (pair[1] < whole[1]) == (width < operations)


def test_without_layers_in_between_the_pair_is_one_3d_convolution() -> None:
    pair = Conv2Plus1d(3, 4, (3, 5, 5), (2, 1, 2), width=6, norm=None, activation=None)
    clips = torch.randn(2, 3, 7, 8, 9)
    over_space, over_time = pair.parameters()
    weight = torch.einsum("fmt,mcuv->fctuv", over_time[:, :, :, 0, 0], over_space[:, :, 0])
    expected = functional.conv3d(clips, weight, stride=(2, 1, 2), padding=(1, 2, 2))
    torch.testing.assert_close(pair(clips), expected, rtol=1e-4, atol=1e-5)


def test_it_keeps_the_size_and_has_norm_and_activation_in_between() -> None:
    pair = Conv2Plus1d(1, 64)
    assert [type(layer) for layer in pair] == [nn.Conv3d, nn.BatchNorm3d, nn.ReLU, nn.Conv3d]
    assert pair(torch.randn(1, 1, 4, 6, 6)).shape == (1, 64, 4, 6, 6)


@pytest.mark.parametrize("kernel", [(1, 3, 3), (5, 3, 3), (3, 5, 7), (7, 1, 1)])
def test_its_padding_keeps_the_size_whatever_the_kernel(kernel: tuple[int, int, int]) -> None:
    assert Conv2Plus1d(2, 3, kernel, width=4)(torch.randn(1, 2, 8, 9, 10)).shape == (1, 3, 8, 9, 10)


def test_what_cannot_be_factorised_is_refused() -> None:
    for numbers in (Convolution(4, 4, (3, 3)), Convolution(4, 4, (3, 3, 3), groups=2)):
        with pytest.raises(ValueError, match="3D convolution of one group"):
            factorised(numbers, 4)
    with pytest.raises(ValueError, match="give width"):
        Conv2Plus1d(3, 4, (3, 3, 5))
