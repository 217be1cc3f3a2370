import pytest
import torch
from torch import Tensor
from torchvision.models.detection._utils import BoxCoder

from detector.models.regions.box_coding import SMALLEST_SIDE, decode, encode

WEIGHTS = [(1.0, 1.0, 1.0, 1.0), (10.0, 10.0, 5.0, 5.0)]


def boxes(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    low = torch.rand(count, 2, generator=generator) * 200 - 20
    return torch.cat([low, low + torch.rand(count, 2, generator=generator) * 100 + 2], dim=1)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_changes_are_torchvisions(weights: tuple[float, float, float, float]) -> None:
    regions, wanted = boxes(200, 0), boxes(200, 1)
    expected = BoxCoder(weights).encode_single(wanted, regions)
    torch.testing.assert_close(encode(regions, wanted, weights), expected)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_boxes_are_torchvisions_for_one_and_for_many_classes(weights: tuple[float, float, float, float]) -> None:
    regions = boxes(200, 0)
    # up to what makes a region 400 times as large, where both stop
    changes = torch.randn(200, 3, 4, generator=torch.Generator().manual_seed(2)) * torch.tensor(weights) * 2
    expected = BoxCoder(weights).decode(changes.flatten(1), [regions])
    torch.testing.assert_close(decode(regions, changes, weights), expected)
    torch.testing.assert_close(decode(regions, changes[:, 0], weights), expected[:, 0])


def test_what_was_encoded_is_decoded_again() -> None:
    regions, wanted = boxes(200, 0), boxes(200, 1)
    torch.testing.assert_close(decode(regions, encode(regions, wanted)), wanted, atol=1e-3, rtol=1e-5)


def test_the_numbers_of_the_appendix() -> None:
    """px 50, py 40, pw 20, ph 10 and gx 54, gy 42, gw 40, gh 5, worked out by hand."""
    region, wanted = torch.tensor([[40.0, 35.0, 60.0, 45.0]]), torch.tensor([[34.0, 39.5, 74.0, 44.5]])
    changes = encode(region, wanted, (1.0, 1.0, 1.0, 1.0))
    torch.testing.assert_close(changes, torch.tensor([[0.2, 0.2, 0.693147, -0.693147]]))


def test_sides_of_no_length_stay_finite() -> None:
    flat, region = torch.tensor([[5.0, 5.0, 5.0, 9.0]]), torch.tensor([[0.0, 0.0, 10.0, 10.0]])
    assert encode(flat, region).isfinite().all()
    assert encode(region, flat).isfinite().all()
    torch.testing.assert_close(
        decode(region, encode(region, flat))[0, 2] - 5, torch.tensor(SMALLEST_SIDE / 2), atol=1e-4, rtol=0
    )
    huge = decode(region, torch.full((1, 4), 1e4))
    assert huge.isfinite().all()


def test_none_is_encoded_and_decoded_to_none() -> None:
    nothing = torch.zeros(0, 4)
    assert encode(nothing, nothing).shape == (0, 4)
    assert decode(nothing, torch.zeros(0, 7, 4)).shape == (0, 7, 4)
