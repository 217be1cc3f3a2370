"""The second stage alone, on regions that come from nowhere in particular."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision.ops import roi_align

from detector.models.regions.sampling import RegionSampler
from detector.models.roi_stage import RoIStage
from detector.types import FeatureInfo

SIZE = (256, 512)
PYRAMID = FeatureInfo(("P3", "P4", "P5", "P6"), (6,) * 4, (8, 16, 32, 64))


def levels(batch: int = 2) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.rand(batch, 6, SIZE[0] // stride, SIZE[1] // stride, generator=generator)
        for name, stride in zip(PYRAMID.names, PYRAMID.strides, strict=True)
    }


@pytest.mark.parametrize(("side", "level"), [(8.0, "P3"), (110.0, "P3"), (114.0, "P3"), (225.0, "P4"), (250.0, "P4")])
def test_a_region_is_read_from_the_level_of_its_size(side: float, level: str) -> None:
    """Lin et al. 2017, eq. 1: floor(4 + log2(side / 224)), from P3 to P5."""
    stage = RoIStage(PYRAMID, 3, RegionSampler())
    region, features = torch.tensor([[3.0, 2.0, 3 + side, 2 + side]]), levels(1)
    stride = dict(zip(PYRAMID.names, PYRAMID.strides, strict=True))[level]
    expected = roi_align(features[level], [region], (7, 7), 1 / stride, 2)
    torch.testing.assert_close(stage.pool(features, [region]), expected)


def test_a_region_larger_than_any_is_read_from_p5_and_not_from_p6() -> None:
    stage = RoIStage(PYRAMID, 3, RegionSampler())
    region, features = torch.tensor([[-900.0, -900.0, 1200.0, 1200.0]]), levels(1)
    expected = roi_align(features["P5"], [region], (7, 7), 1 / 32, 2)
    torch.testing.assert_close(stage.pool(features, [region]), expected)


def test_boxes_are_clipped_and_those_outside_the_image_have_no_score() -> None:
    stage = RoIStage(PYRAMID, 3, RegionSampler())
    with torch.no_grad():
        stage.box_changes.weight.zero_()
        stage.box_changes.bias.zero_()
        inside = torch.tensor([[10.0, 20.0, 60.0, 90.0], [-30.0, -20.0, 40.0, 300.0]])
        outside = torch.tensor([[600.0, 20.0, 700.0, 80.0]])
        ((boxes, scores), (other_boxes, other_scores)) = stage.detect(levels(), [inside, outside], SIZE)
    expected = torch.tensor([[10.0, 20.0, 60.0, 90.0], [0.0, 0.0, 40.0, 256.0]])
    torch.testing.assert_close(boxes, expected[:, None].expand(-1, 3, -1))
    assert (scores > 0).all()
    assert (scores.sum(dim=1) < 1).all()  # the rest is background
    assert other_boxes.shape == (1, 3, 4)
    assert not other_scores.any()


def test_one_box_for_all_classes_comes_out_as_one() -> None:
    stage = RoIStage(PYRAMID, 3, RegionSampler(), class_agnostic_boxes=True)
    regions = [torch.tensor([[10.0, 20.0, 60.0, 90.0]]), torch.zeros(0, 4)]
    with torch.no_grad():
        found = stage.detect(levels(), regions, SIZE)
    assert [(boxes.shape, scores.shape) for boxes, scores in found] == [((1, 4), (1, 3)), ((0, 4), (0, 3))]


@pytest.mark.parametrize("side", [64, 320])
def test_images_of_another_size_are_read_at_the_same_places(side: int) -> None:
    stage, fresh = (RoIStage(PYRAMID, 3, RegionSampler()) for _ in range(2))
    region = torch.tensor([[3.0, 2.0, 50.0, 60.0]])
    stage.pool(levels(1), [region])
    features = {
        name: torch.rand(1, 6, side // stride, side // stride)
        for name, stride in zip(PYRAMID.names, PYRAMID.strides, strict=True)
    }
    torch.testing.assert_close(stage.pool(features, [region]), fresh.pool(features, [region]))
