import pytest
import torch

from detector.errors import OptionError
from detector.necks.channel_projection import project_channels
from detector.necks.fpn import FPN
from detector.necks.identity import NoNeck
from detector.types import FeatureInfo

FEATURES = FeatureInfo(("C3", "C4", "C5"), (16, 32, 64), (8, 16, 32))
LEVELS = {
    name: torch.rand(2, channels, 64 // stride, 64 // stride)
    for name, channels, stride in zip(FEATURES.names, FEATURES.channels, FEATURES.strides, strict=True)
}


def test_levels_of_different_widths_become_as_wide_as_asked_for_and_stay_as_large() -> None:
    neck = project_channels(NoNeck(FEATURES, highest=6), 24)
    levels = neck(LEVELS)
    assert neck.info == FeatureInfo(("P3", "P4", "P5", "P6"), (24,) * 4, (8, 16, 32, 64))
    assert [tuple(level.shape) for level in levels.values()] == [(2, 24, side, side) for side in (8, 4, 2, 1)]


def test_each_level_is_a_matrix_product_at_every_point() -> None:
    neck = project_channels(NoNeck(FEATURES), 24)
    layer = neck.same[1].convolution
    expected = torch.einsum("oc,bchw->bohw", layer.weight[:, :, 0, 0], LEVELS["C4"]) + layer.bias[:, None, None]
    torch.testing.assert_close(neck(LEVELS)["P4"], expected)


def test_levels_of_equally_many_channels_are_left_alone() -> None:
    neck = FPN(FEATURES, channels=12)
    assert project_channels(neck, 24) is neck


def test_a_width_that_cannot_be_is_named() -> None:
    with pytest.raises(OptionError, match=r"channels=0: must be 1 or more"):
        project_channels(NoNeck(FEATURES), 0)
