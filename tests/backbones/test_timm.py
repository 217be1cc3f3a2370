import copy
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from detector import config
from detector.backbones.timm import Timm
from detector.build_detector import build_detector
from detector.errors import OptionError, UserError


def images(height: int = 64, width: int = 96) -> Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))


def test_without_timm_one_line_names_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UserError) as error:
        Timm("resnet18")
    assert str(error.value).endswith("pip install timm")
    assert "\n" not in str(error.value)


timm = pytest.importorskip("timm")

# one for each way in which timm takes features: modules in a row, a class of its own, hooks, channels last
NETWORKS = {
    "resnet18": 5,
    "mobilenetv3_small_050": 5,
    "xception41": 5,
    "convnext_atto": 4,
    "swin_tiny_patch4_window7_224": 4,
}
"""Network → how many stages it has: five from stride 2 on, four from stride 4 on."""
every_network = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name == "xception41" else ()) for name in NETWORKS]
)


@every_network
def test_features_have_the_channels_and_strides_announced(name: str) -> None:
    with torch.device("meta"):
        backbone = Timm(name).eval()
        features = backbone(torch.empty(2, 3, 160, 96))
    info = backbone.info
    assert info.names == ("C2", "C3", "C4", "C5") == tuple(features)
    assert info.strides == (4, 8, 16, 32)
    for feature, channels, stride in zip(features.values(), info.channels, info.strides, strict=True):
        assert feature.shape == (2, channels, 160 // stride, 96 // stride)


def test_features_are_those_of_timms_own_network_with_the_same_weights() -> None:
    torch.manual_seed(0)
    backbone = Timm("resnet18").eval()
    theirs = timm.create_model("resnet18").eval()
    theirs.load_state_dict(backbone.model.state_dict(), strict=False)
    x = images()
    y = theirs.maxpool(theirs.act1(theirs.bn1(theirs.conv1(x))))
    features = backbone(x)
    for level, name in ((1, "C2"), (2, "C3"), (3, "C4"), (4, "C5")):
        y = getattr(theirs, f"layer{level}")(y)
        torch.testing.assert_close(features[name], y)


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_050", "convnext_atto"])
def test_gradient_reaches_every_parameter(name: str) -> None:
    torch.manual_seed(0)
    backbone = Timm(name)
    torch.stack([f.square().sum() for f in backbone(images()).values()]).sum().backward()
    assert [key for key, p in backbone.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []


@every_network
def test_a_stage_holds_what_reaches_its_features_and_none_before(name: str) -> None:
    with torch.device("meta"):
        backbone = Timm(name)
    assert len(backbone.stages) == NETWORKS[name]
    in_stages = [parameter for stage in backbone.stages for parameter in stage.parameters()]
    assert len({id(p) for p in in_stages}) == len(in_stages) == len(list(backbone.parameters()))
    features = list(backbone.eval()(torch.empty(1, 3, 64, 64, device="meta")).values())
    for k, feature in enumerate(features, start=NETWORKS[name] - 4):
        reached = torch.autograd.grad(feature.sum(), in_stages, allow_unused=True, retain_graph=True)
        inside = sum(1 for stage in backbone.stages[: k + 1] for _ in stage.parameters())
        assert all(gradient is not None for gradient in reached[:inside])
        assert all(gradient is None for gradient in reached[inside:])


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_050"])
@pytest.mark.parametrize("stages", [0, 2, 5])
def test_frozen_stages_get_no_gradient_and_change_no_buffer_in_training(name: str, stages: int) -> None:
    torch.manual_seed(0)
    backbone = Timm(name, frozen_stages=stages).train()
    before = copy.deepcopy(dict(backbone.named_buffers()))
    features = backbone(images())
    if stages < 5:
        features["C5"].sum().backward()
    frozen = {id(p) for stage in backbone.stages[:stages] for p in stage.parameters()}
    frozen_buffers = {id(b) for stage in backbone.stages[:stages] for b in stage.buffers()}
    assert (len(frozen) > 0) == (stages > 0)
    for key, parameter in backbone.named_parameters():
        assert (parameter.grad is None) == (id(parameter) in frozen), key
    for key, buffer in backbone.named_buffers():
        assert torch.equal(buffer, before[key]) == (id(buffer) in frozen_buffers), key


def test_frozen_norms_keep_their_statistics_and_networks_without_batch_norm_refuse() -> None:
    backbone = Timm("resnet18", freeze_norm=True).train()
    before = copy.deepcopy(dict(backbone.named_buffers()))
    backbone(images())
    assert all(torch.equal(buffer, before[key]) for key, buffer in backbone.named_buffers())
    assert not any(p.requires_grad for m in backbone.modules() if isinstance(m, _BatchNorm) for p in m.parameters())
    with torch.device("meta"), pytest.raises(OptionError, match=r"freeze_norm"):
        Timm("convnext_atto", freeze_norm=True)


def test_a_copy_shares_nothing_and_freezes_on_its_own() -> None:
    """As the averaged weights are made: hooks and stages must follow the copy."""
    for name in ("resnet18", "xception41"):
        torch.manual_seed(0)
        backbone = Timm(name).eval()
        other = copy.deepcopy(backbone)
        other.freeze(5)
        assert all(p.requires_grad for p in backbone.parameters())
        assert not any(p.requires_grad for p in other.parameters())
        x = images()
        with torch.no_grad():
            expected = backbone(x)
            for p in other.parameters():
                p.zero_()
            other(x)
            again = backbone(x)
        for key in expected:
            assert torch.equal(expected[key], again[key])
    assert not any(key.startswith("stages") for key in backbone.state_dict())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "resnet81"}, r"model: timm has no network called 'resnet81'; close to it are .*resnet"),
        ({"model": "resnet18.nobody"}, r"model: timm cannot build resnet18\.nobody"),
        (
            {"model": "vit_tiny_patch16_224"},
            r"model: vit_tiny_patch16_224 has no features of stride 8 and 32",
        ),
        ({"model": "gcvit_xxtiny"}, r"model: gcvit_xxtiny does not give features .* images of any size"),
        ({"model": "resnet18", "activation": "silu"}, r"activation: 'silu' cannot be given"),
        ({"model": "resnet18", "norm": "group"}, r"norm: 'group' cannot be given"),
        ({"model": "resnet18", "initialisation": "xavier"}, r"initialisation: 'xavier' cannot be given"),
        ({"model": "convnext_atto", "frozen_stages": 5}, r"frozen_stages: 5 is out of range; choose 0 to 4"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line_that_names_the_key(options: dict[str, Any], message: str) -> None:
    with torch.device("meta"), pytest.raises(OptionError, match=message) as error:
        Timm(**options)
    assert "\n" not in str(error.value)


def test_weights_that_cannot_be_loaded_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*arguments: object, **options: object) -> None:
        raise OSError("Name or service not known\nand more")

    monkeypatch.setattr("timm.models._builder.load_pretrained", unreachable)
    with pytest.raises(OptionError, match=r"pretrained=true.*resnet18.*Name or service not known") as error:
        Timm("resnet18", pretrained=True)
    assert "\n" not in str(error.value)
    assert "pretrained=false" in str(error.value)


def test_pretrained_weights_refuse_another_normalisation_than_they_were_trained_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("timm.models._builder.load_pretrained", lambda *arguments, **options: None)
    parts: dict[str, Any] = {
        "image_size": 64,
        "neck": config.PANOptions(),
        "head": config.AnchorFreeHeadOptions(),
        "assigner": config.TaskAlignedAssignerOptions(),
        "loss": config.CriterionOptions(name="ciou"),
        "classes": 2,
    }
    half = config.SingleShotOptions(mean=[0.5, 0.5, 0.5], std=[0.5, 0.5, 0.5])
    trained_with_half = config.TimmOptions(model="mobilevitv2_050", pretrained=True)
    network = timm.create_model("mobilevitv2_050").pretrained_cfg
    expected = config.SingleShotOptions(mean=list(network["mean"]), std=list(network["std"]))
    with torch.device("meta"):
        build_detector(model=expected, backbone=trained_with_half, **parts)
        with pytest.raises(UserError, match=r"model\.mean"):
            build_detector(model=half, backbone=trained_with_half, **parts)
        build_detector(model=half, backbone=config.TimmOptions(model="mobilevitv2_050"), **parts)


def test_a_detector_stands_on_a_network_of_timm_with_every_level() -> None:
    torch.manual_seed(0)
    with torch.device("meta"):
        detector = build_detector(
            model=config.SingleShotOptions(),
            backbone=config.TimmOptions(model="convnext_atto"),
            neck=config.FPNOptions(channels=32, lowest=2, highest=6),
            head=config.AnchorFreeHeadOptions(convolutions=1),
            assigner=config.TaskAlignedAssignerOptions(),
            loss=config.CriterionOptions(name="ciou"),
            classes=2,
            image_size=64,
        )
        raw = detector(torch.empty(1, 3, 128, 128, dtype=torch.uint8))
    assert raw["class_logits"].shape == (1, 32**2 + 16**2 + 8**2 + 4**2 + 2**2, 2)
    assert isinstance(detector.backbone, nn.Module)
