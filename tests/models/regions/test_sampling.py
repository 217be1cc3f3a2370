from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.models.detection._utils import BalancedPositiveNegativeSampler, Matcher
from torchvision.ops import box_iou

from detector.errors import OptionError
from detector.models.regions.sampling import BACKGROUND, IGNORED, RegionSampler, Samples, match, sample
from detector.types import Target


def boxes(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    low = torch.rand(count, 2, generator=generator) * 60
    return torch.cat([low, low + torch.rand(count, 2, generator=generator) * 40 + 10], dim=1)


def target(boxes: Tensor, labels: Tensor) -> Target:
    count = len(labels)
    return Target(boxes, labels, torch.zeros(count, dtype=torch.bool), torch.ones(count), 0, (100, 100), torch.eye(3))


def test_matches_are_torchvisions() -> None:
    regions, objects = boxes(500, 0), boxes(12, 1)
    expected = Matcher(0.6, 0.3)(box_iou(objects, regions))
    found = match(regions, objects, 0.6, 0.3)
    assert torch.equal(found, expected)
    assert {BACKGROUND, IGNORED} < set(found.tolist())


def test_regions_that_hardly_overlap_are_left_out_where_a_lowest_overlap_is_asked_for() -> None:
    regions, objects = boxes(500, 0), boxes(3, 1)
    best = box_iou(regions, objects).amax(dim=1)
    found = match(regions, objects, lowest_iou=0.1)
    assert torch.equal(found == BACKGROUND, (best >= 0.1) & (best < 0.5))
    assert torch.equal(found == IGNORED, best < 0.1)


def test_without_objects_all_regions_are_background_and_without_regions_nothing_is() -> None:
    assert match(boxes(5, 0), torch.zeros(0, 4), lowest_iou=0.1).tolist() == [BACKGROUND] * 5
    assert match(torch.zeros(0, 4), boxes(5, 0)).shape == (0,)
    assert match(torch.zeros(0, 4), torch.zeros(0, 4)).shape == (0,)


@pytest.mark.parametrize(
    ("positives", "negatives", "ignored"), [(50, 200, 30), (5, 200, 30), (50, 20, 0), (0, 9, 3), (0, 0, 4)]
)
def test_as_many_of_each_kind_are_drawn_as_torchvision_draws(positives: int, negatives: int, ignored: int) -> None:
    matches = torch.tensor([3] * positives + [BACKGROUND] * negatives + [IGNORED] * ignored)
    matches = matches[torch.randperm(len(matches))]
    index, taken = sample(matches, 64, 0.25)
    assert len(index) == min(64, len(matches))
    assert len(index.unique()) == len(index)
    drawn = matches[index[taken]]
    labels = torch.where(matches == IGNORED, -1, (matches >= 0).long())
    expected = [mask[0].sum().item() for mask in BalancedPositiveNegativeSampler(64, 0.25)([labels])]
    assert [(drawn >= 0).sum().item(), (drawn == BACKGROUND).sum().item()] == expected
    assert not (drawn == IGNORED).any()


def test_every_candidate_is_drawn_as_often_as_any_other() -> None:
    torch.manual_seed(0)
    matches = torch.tensor([0] * 10 + [BACKGROUND] * 20 + [IGNORED] * 5)
    times = torch.zeros(35)
    for _ in range(4000):
        index, taken = sample(matches, 16, 0.25)
        times[index[taken]] += 1
    share = times / 4000
    assert (share[:10] - 4 / 10).abs().max() < 0.03
    assert (share[10:30] - 12 / 20).abs().max() < 0.03
    assert (share[30:] == 0).all()


def test_samples_say_what_each_region_should_become() -> None:
    regions, objects, labels = boxes(300, 0), boxes(12, 1), torch.arange(12) % 5
    samples = RegionSampler(number=64, positive_share=0.5)(regions, target(objects, labels), classes=5)
    best, nearest = box_iou(samples.regions, objects).max(dim=1)
    assert samples.taken.all()
    assert torch.equal(samples.positive, best >= 0.5)
    assert 0 < samples.positive.sum() <= 32
    assert torch.equal(samples.labels, torch.where(best >= 0.5, labels[nearest], 5))
    assert torch.equal(samples.boxes[samples.positive], objects[nearest][samples.positive])
    assert torch.equal(samples.boxes[~samples.positive], samples.regions[~samples.positive])


@pytest.mark.parametrize(("regions", "objects"), [(0, 0), (0, 3), (7, 0)])
def test_an_image_without_regions_or_without_objects(regions: int, objects: int) -> None:
    samples = RegionSampler()(boxes(regions, 0), target(boxes(objects, 1), torch.zeros(objects, dtype=torch.int64)), 5)
    assert samples.labels.tolist() == [5] * regions
    assert samples.regions.shape == samples.boxes.shape == (regions, 4)
    assert samples.taken.tolist() == [True] * regions
    assert not samples.positive.any()


def test_those_of_a_batch_lie_image_after_image() -> None:
    one, other = (
        RegionSampler(number=n)(boxes(40, n), target(boxes(3, 9), torch.tensor([0, 1, 2])), 5) for n in (8, 16)
    )
    both = Samples.together([one, other])
    assert torch.equal(both.regions, torch.cat([one.regions, other.regions]))
    assert torch.equal(both.labels[8:], other.labels)
    assert len(both.taken) == len(both.positive) == len(both.boxes) == 24


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"number": 0}, r"number=0"),
        ({"positive_share": 0.0}, r"positive_share=0\.0"),
        ({"positive_iou": 0.4}, r"negative_iou=0\.5: .* positive_iou=0\.4"),
        ({"positive_iou": 1.1}, "<= 1"),
    ],
)
def test_a_value_that_cannot_be_is_named(option: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        RegionSampler(**option)


def test_what_only_fills_up_is_neither_drawn_nor_learned() -> None:
    regions, objects = boxes(60, 0), boxes(4, 1)
    regions[::2] = objects[torch.arange(30) % 4]
    there = torch.arange(60) >= 30
    samples = RegionSampler(number=60)(regions, target(objects, torch.zeros(4, dtype=torch.int64)), 5, there)
    drawn = samples.regions[samples.taken].tolist()
    assert drawn
    assert all(any(one == region for region in regions[30:].tolist()) for one in drawn)
    assert len(drawn) <= 30
