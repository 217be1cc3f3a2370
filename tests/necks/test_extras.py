from typing import Any

import pytest
import torch
from torch import Tensor, nn

from detector import config
from detector.errors import OptionError, UserError
from detector.layers import NORMS, SPP
from detector.necks.extras import NeckWithExtras, project_channels
from detector.necks.fpn import FPN
from detector.necks.identity import NoNeck
from detector.necks.pan import PAN
from detector.types import FeatureInfo

FEATURES = FeatureInfo(("C2", "C3", "C4", "C5"), (8, 24, 40, 56), (4, 8, 16, 32))
NECKS: dict[str, type[config.NeckOptions]] = {
    "fpn": config.FPNOptions,
    "pan": config.PANOptions,
    "none": config.NoNeckOptions,
}
every_neck = pytest.mark.parametrize("name", NECKS)


def features() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(2, channels, 64 // stride, 96 // stride, generator=generator)
        for name, channels, stride in zip(FEATURES.names, FEATURES.channels, FEATURES.strides, strict=True)
    }


def with_and_without(name: str, **extras: Any) -> tuple[NeckWithExtras, nn.Module]:
    torch.manual_seed(0)
    neck = NECKS[name](lowest=2, highest=6, **extras).build(FEATURES)
    assert isinstance(neck, NeckWithExtras)
    return neck, neck.neck


@every_neck
@pytest.mark.parametrize("norm", NORMS)
def test_all_extras_together_train_every_parameter_and_keep_the_levels(name: str, norm: str) -> None:
    neck, plain = with_and_without(name, spp=True, attention="sam", dropblock=0.1, dropblock_size=3, norm=norm)
    given = features()
    outputs = neck(given)
    assert neck.info == plain.info
    assert {key: level.shape for key, level in outputs.items()} == {
        key: level.shape for key, level in plain(given).items()
    }
    torch.stack([level.square().sum() for level in outputs.values()]).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in neck.parameters())
    assert {type(m).__name__ for m in neck.modules()} >= {"SPP", "SAM", "DropBlock"}
    kinds = {"batch": nn.BatchNorm2d, "group": nn.GroupNorm}
    assert {kind for kind, cls in kinds.items() if any(isinstance(m, cls) for m in neck.modules())} == {norm} - {"none"}


@every_neck
def test_spp_stands_between_c5_and_the_neck(name: str) -> None:
    neck, plain = with_and_without(name, spp=True)
    neck.eval()
    given = features()
    assert isinstance(neck.spp, SPP)
    expected = plain(given | {"C5": neck.spp(given["C5"])})
    for key, level in neck(given).items():
        torch.testing.assert_close(level, expected[key])
    assert given["C5"].shape[1] == 56


@every_neck
def test_each_level_is_weighed_by_an_attention_of_its_own(name: str) -> None:
    neck, plain = with_and_without(name, attention="sam", norm="none")
    given = features()
    levels = plain(given)
    assert neck.attention is not None
    for (key, level), attend in zip(levels.items(), neck.attention, strict=True):
        convolution = attend.weigh.convolution  # type: ignore[union-attr]
        logits = torch.einsum("oi,bihw->bohw", convolution.weight[..., 0, 0], level)  # type: ignore[union-attr, index]
        logits = logits + convolution.bias[:, None, None]  # type: ignore[union-attr, index]
        torch.testing.assert_close(neck(given)[key], level / (1 + torch.exp(-logits)), atol=1e-5, rtol=1e-4)


@every_neck
def test_dropblock_drops_points_of_every_level_in_training_and_none_in_evaluation(name: str) -> None:
    neck, plain = with_and_without(name, dropblock=0.5, dropblock_size=2)
    given = features()
    for key, level in neck.train()(given).items():
        assert (level == 0).float().mean() > 0.1, key
    neck.eval()
    for key, level in plain(given).items():
        assert torch.equal(neck(given)[key], level)


def test_a_neck_to_which_nothing_is_added_is_the_neck_itself() -> None:
    assert type(config.PANOptions().build(FEATURES)) is PAN


@pytest.mark.parametrize(
    ("neck", "message"),
    [
        (config.PANOptions(attention="cbam"), r"attention: 'cbam' is unknown; choose one of none, sam"),
        (config.PANOptions(dropblock=1.0), r"dropblock: 1\.0 is no probability"),
        (config.PANOptions(dropblock=-0.1), r"dropblock: -0\.1 is no probability"),
        (config.PANOptions(dropblock=0.1, dropblock_size=0), r"dropblock_size: 0"),
        (config.NoNeckOptions(activation="relu"), r"activation=relu: .*spp=true"),
        (config.NoNeckOptions(attention="sam", activation="relu"), r"activation=relu: .*spp=true"),
        (config.NoNeckOptions(norm="batch"), r"norm=batch: .*attention=sam"),
    ],
)
def test_what_cannot_be_added_is_refused_with_its_key(neck: config.NeckOptions, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        neck.build(FEATURES)


def test_spp_is_not_put_silently_behind_the_one_that_csp_darknet_ends_in() -> None:
    from detector.build_detector import build_detector

    parts: dict[str, Any] = {
        "model": config.SingleShotOptions(),
        "neck": config.PANOptions(spp=True),
        "head": config.AnchorFreeHeadOptions(),
        "assigner": config.TaskAlignedAssignerOptions(),
        "loss": config.CriterionOptions(name="ciou"),
        "classes": 2,
        "image_size": 64,
    }
    with torch.device("meta"):
        with pytest.raises(UserError, match=r"neck\.spp: csp_darknet .*backbone\.spp=false"):
            build_detector(backbone=config.CSPDarknetOptions(), **parts)
        detector = build_detector(backbone=config.CSPDarknetOptions(spp=False), **parts)
        assert sum(isinstance(m, SPP) for m in detector.modules()) == 1
        assert not any(isinstance(m, SPP) for m in config.CSPDarknetOptions(spp=False).build().modules())


WIDENING = FeatureInfo(("C3", "C4", "C5"), (16, 32, 64), (8, 16, 32))
GIVEN = {
    name: torch.rand(2, channels, 64 // stride, 64 // stride)
    for name, channels, stride in zip(WIDENING.names, WIDENING.channels, WIDENING.strides, strict=True)
}


def test_levels_of_different_widths_become_as_wide_as_asked_for_and_stay_as_large() -> None:
    neck = project_channels(NoNeck(WIDENING, highest=6), 24)
    levels = neck(GIVEN)
    assert neck.info == FeatureInfo(("P3", "P4", "P5", "P6"), (24,) * 4, (8, 16, 32, 64))
    assert [tuple(level.shape) for level in levels.values()] == [(2, 24, side, side) for side in (8, 4, 2, 1)]


def test_each_level_is_a_matrix_product_at_every_point() -> None:
    neck = project_channels(NoNeck(WIDENING), 24)
    layer = neck.same[1].convolution
    expected = torch.einsum("oc,bchw->bohw", layer.weight[:, :, 0, 0], GIVEN["C4"]) + layer.bias[:, None, None]
    torch.testing.assert_close(neck(GIVEN)["P4"], expected)


def test_levels_of_equally_many_channels_are_left_alone() -> None:
    neck = FPN(WIDENING, channels=12)
    assert project_channels(neck, 24) is neck


def test_a_width_that_cannot_be_is_named() -> None:
    with pytest.raises(OptionError, match=r"channels=0: must be 1 or more"):
        project_channels(NoNeck(WIDENING), 0)
