"""Sizes, strides and offsets by hand; what is unknown, and what depends on the image as a whole."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import alexnet

from detector.arithmetic.receptive_field import ReceptiveField, find_receptive_fields, receptive_fields


def test_what_sees_the_whole_image_says_so() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.Conv2d(4, 4, 3, padding=1))
    fields = receptive_fields(network)
    assert [fields[name].whole for name in "012"] == [False, True, True]
    assert fields["2"].size == (5, 5)


def test_what_is_not_known_is_missing_and_the_network_is_left_as_it_was() -> None:
    class Transformed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.fft.fft2(x).real

    network = nn.Sequential(nn.Conv2d(3, 4, 3), Transformed(), nn.Conv2d(4, 4, 3)).train()
    assert list(receptive_fields(network)) == ["0"]
    assert all(module.training and not module._forward_hooks for module in network.modules())
    assert network[0].weight.device.type == "cpu"


def test_strides_and_offsets_are_those_of_the_fields() -> None:
    """By hand: without padding the first field begins at pixel 0; AlexNet's (torchvision) first one is centred at 31.5.

    Its layers as (kernel, stride, padding): 11 4 2, 3 2 0, 5 1 2, 3 2 0, 3 1 1 three times, 3 2 0. The centre moves by
    ((kernel − 1) / 2 − padding) · stride so far: 0.5 + 3 + 4 + 0 + 8 + 0 + 16 = 31.5.
    """
    field = receptive_fields(nn.Conv2d(3, 4, 3))[""]
    assert (field.size, field.stride, field.offset) == ((3, 3), (1.0, 1.0), (1.5, 1.5))
    with torch.device("meta"):
        network = alexnet()
    found = find_receptive_fields(network)
    field = found.fields["features"]
    assert (field.size, field.stride, field.offset) == ((195, 195), (32.0, 32.0), (31.5, 31.5))
    assert found.unknown["avgpool"] == "it depends on the size of the image"
    assert found.fields["classifier"] == ReceptiveField((0, 0), (0.0, 0.0), (0.0, 0.0), True)


@pytest.mark.parametrize("kernel", [1, 2, 4, 7])
def test_the_stride_of_an_upsampling_is_its_mean_step(kernel: int) -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, kernel, stride=3), nn.Upsample(scale_factor=2))
    field = receptive_fields(network)[""]
    assert (field.size, field.stride) == ((kernel, kernel), (1.5, 1.5))
    assert (
        field.offset == ((kernel - 1.5) / 2,) * 2
    )  # the mean of two fields with the same centre, kernel / 2, less half a step


def test_a_network_that_takes_images_of_one_size_has_the_fields_in_those() -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.wide = nn.Conv2d(3, 4, 4, stride=4), nn.Conv2d(4, 4, 15, padding=7)
            self.position = nn.Parameter(torch.zeros(4, 8, 8))

        def forward(self, x: Tensor) -> Tensor:
            x = self.embed(x) + self.position
            return self.wide(x) + x.flatten(2).softmax(-1).view_as(x)

    with pytest.raises(RuntimeError, match="512"):
        find_receptive_fields(Fixed())
    found = find_receptive_fields(Fixed(), size=(32, 32))
    assert found.fields["embed"] == ReceptiveField((4, 4), (4.0, 4.0), (2.0, 2.0), False)
    assert found.fields["wide"] == ReceptiveField((0, 0), (0.0, 0.0), (0.0, 0.0), True)
    assert found.fields[""].whole


def test_where_all_places_see_all_the_others_the_field_is_the_whole_image() -> None:
    """Whatever the layer sees by itself; torch's attention of two heads, and a mean that gates."""

    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.attention = nn.Conv2d(3, 8, 64, stride=64), nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            x = self.embed(x)
            tokens = x.flatten(2).transpose(1, 2)
            return x + self.attention(tokens, tokens, tokens)[0].transpose(1, 2).reshape(x.shape)

    field = receptive_fields(Attending())[""]
    assert field == ReceptiveField((64, 64), (64.0, 64.0), (32.0, 32.0), True)


def test_1d_and_3d_networks_have_as_many_axes() -> None:
    assert receptive_fields(nn.Conv1d(3, 4, 5, stride=2, padding=2), axes=1)[""] == ReceptiveField(
        (5,), (2.0,), (0.5,), False
    )
    field = receptive_fields(nn.Conv3d(1, 4, (3, 5, 1)), channels=1, axes=3)[""]
    assert field.size == (3, 5, 1)
