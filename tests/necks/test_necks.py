from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import FeaturePyramidNetwork

from detector.errors import OptionError
from detector.layers import ACTIVATIONS, NORMS, Residual
from detector.necks.fpn import FPN
from detector.necks.identity import NoNeck
from detector.necks.pan import PAN
from detector.types import FeatureInfo

FEATURES = FeatureInfo(("C2", "C3", "C4", "C5"), (8, 24, 40, 56), (4, 8, 16, 32))
NECKS: dict[str, Callable[..., nn.Module]] = {
    "fpn": lambda **options: FPN(FEATURES, channels=16, **options),
    "pan": lambda **options: PAN(FEATURES, width=0.125, **options),
    "none": lambda **options: NoNeck(FEATURES, **options),
}

every_neck = pytest.mark.parametrize("name", NECKS)
every_neck_with_layers = pytest.mark.parametrize("name", ["fpn", "pan"])
every_range = pytest.mark.parametrize(("lowest", "highest"), [(3, 5), (2, 5), (3, 6), (2, 6)])


def features(height: int = 96, width: int = 160) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(2, channels, height // stride, width // stride, generator=generator)
        for name, channels, stride in zip(FEATURES.names, FEATURES.channels, FEATURES.strides, strict=True)
    }


def repeat_twice(x: Tensor) -> Tensor:
    return x.repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2)


@every_neck
@every_range
def test_levels_have_the_channels_and_strides_announced(name: str, lowest: int, highest: int) -> None:
    neck = NECKS[name](lowest=lowest, highest=highest)
    info = neck.info
    assert isinstance(info, FeatureInfo)
    assert info.names == tuple(f"P{level}" for level in range(lowest, highest + 1))
    assert info.strides == tuple(2**level for level in range(lowest, highest + 1))
    outputs = neck(features())
    assert tuple(outputs) == info.names
    for output, channels, stride in zip(outputs.values(), info.channels, info.strides, strict=True):
        assert output.shape == (2, channels, -(-96 // stride), -(-160 // stride))


@every_neck
@every_range
def test_gradient_reaches_every_parameter_and_only_the_levels_asked_for(name: str, lowest: int, highest: int) -> None:
    torch.manual_seed(0)
    neck = NECKS[name](lowest=lowest, highest=highest)
    inputs = {key: feature.requires_grad_() for key, feature in features().items()}
    torch.stack([output.square().sum() for output in neck(inputs).values()]).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in neck.parameters())
    assert all(inputs[f"C{level}"].grad is not None for level in range(lowest, 6))
    assert lowest == 2 or inputs["C2"].grad is None


@every_neck_with_layers
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("norm", NORMS)
def test_every_activation_and_norm_is_used_and_trains(name: str, activation: str, norm: str) -> None:
    torch.manual_seed(0)
    neck = NECKS[name](activation=activation, norm=norm)
    kinds = {
        "relu": nn.ReLU,
        "leaky_relu": nn.LeakyReLU,
        "elu": nn.ELU,
        "gelu": nn.GELU,
        "silu": nn.SiLU,
        "mish": nn.Mish,
        "batch": nn.BatchNorm2d,
        "group": nn.GroupNorm,
    }
    found = {kind for kind, cls in kinds.items() if any(isinstance(module, cls) for module in neck.modules())}
    assert found == {activation, norm} - {"none"}
    torch.stack([output.square().sum() for output in neck(features()).values()]).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in neck.parameters())


@every_neck
@pytest.mark.parametrize(
    ("options", "key"),
    [({"lowest": 1}, "lowest: 1"), ({"lowest": 4}, "lowest: 4"), ({"highest": 7}, "highest: 7")],
)
def test_impossible_levels_name_the_key(name: str, options: dict[str, int], key: str) -> None:
    with pytest.raises(OptionError, match=key):
        NECKS[name](**options)


@every_neck
def test_construction_on_the_meta_device_gives_the_same_state(name: str) -> None:
    with torch.device("meta"):
        neck = NECKS[name]()
    assert all(tensor.is_meta for tensor in neck.state_dict().values())
    real = NECKS[name]().state_dict()
    assert {k: v.shape for k, v in neck.state_dict().items()} == {k: v.shape for k, v in real.items()}


@every_neck_with_layers
def test_initialisation_keeps_the_scale_of_wide_features(name: str) -> None:
    """The levels of a ResNet-50 with unit variance come out within a factor of 10 of it."""
    torch.manual_seed(0)
    info = FeatureInfo(("C2", "C3", "C4", "C5"), (256, 512, 1024, 2048), (4, 8, 16, 32))
    neck = FPN(info) if name == "fpn" else PAN(info, width=0.25)
    sizes = {"C2": 16, "C3": 8, "C4": 4, "C5": 2}
    inputs = {key: torch.randn(1, c, sizes[key], sizes[key]) for key, c in zip(info.names, info.channels, strict=True)}
    for output in neck(inputs).values():
        assert 0.1 < output.std().item() < 10


@pytest.mark.parametrize("highest", [5, 6])
@pytest.mark.parametrize("lowest", [2, 3])
def test_fpn_equals_torchvisions_with_the_same_weights(lowest: int, highest: int) -> None:
    torch.manual_seed(0)
    neck = FPN(FEATURES, channels=16, lowest=lowest, highest=highest)
    for parameter in neck.parameters():
        nn.init.normal_(parameter, std=0.2)
    used = {name: feature for name, feature in features().items() if int(name[1]) >= lowest}
    theirs = FeaturePyramidNetwork([feature.shape[1] for feature in used.values()], 16)
    for ours, block in [
        *zip(neck.lateral, theirs.inner_blocks, strict=True),
        *zip(neck.smooth, theirs.layer_blocks, strict=True),
    ]:
        block[0].load_state_dict(ours.convolution.state_dict())  # type: ignore[union-attr]
    expected = list(theirs(used).values())
    if highest == 6:
        expected.append(expected[-1][:, :, ::2, ::2])
    for output, other in zip(neck(features()).values(), expected, strict=True):
        torch.testing.assert_close(output, other)


@every_range
def test_pan_equals_the_two_paths_written_out(lowest: int, highest: int) -> None:
    torch.manual_seed(0)
    neck = PAN(FEATURES, width=0.125, lowest=lowest, highest=highest).eval()
    given = features()
    top, reduced = {5: given["C5"]}, {}
    for step, level in enumerate(range(5, lowest, -1)):
        reduced[level] = neck.reduce[step](top[level])
        top[level - 1] = neck.top_down[step](torch.cat([repeat_twice(reduced[level]), given[f"C{level - 1}"]], dim=1))
    expected = {f"P{lowest}": top[lowest]}
    for step, level in enumerate(range(lowest + 1, highest + 1)):
        below = neck.down[step](expected[f"P{level - 1}"])
        joined = torch.cat([below, reduced[level]], dim=1) if level in reduced else below
        expected[f"P{level}"] = neck.bottom_up[step](joined)
    outputs = neck(given)
    assert outputs.keys() == expected.keys()
    for name, output in expected.items():
        torch.testing.assert_close(outputs[name], output)


def test_every_level_of_pan_depends_on_every_level_of_the_backbone() -> None:
    torch.manual_seed(0)
    neck = PAN(FEATURES, width=0.125, lowest=2, highest=6).eval()
    given = {name: feature.requires_grad_() for name, feature in features().items()}
    for output in neck(given).values():
        gradients = torch.autograd.grad(output.sum(), list(given.values()), retain_graph=True)
        assert all(gradient.abs().sum() > 0 for gradient in gradients)


def test_pan_widths_follow_the_multiple_whatever_the_backbone() -> None:
    assert PAN(FEATURES, width=0.5, lowest=2, highest=6).info.channels == (64, 128, 256, 512, 512)


def test_nearest_upsampling_is_repetition() -> None:
    x = torch.randn(1, 2, 3, 4)
    torch.testing.assert_close(F.interpolate(x, scale_factor=2.0), repeat_twice(x))


@every_range
def test_without_a_neck_the_levels_are_the_backbones_features_and_p6_every_second_point_of_c5(
    lowest: int, highest: int
) -> None:
    given = features()
    outputs = NoNeck(FEATURES, lowest, highest)(given)
    for level in range(lowest, 6):
        assert outputs[f"P{level}"] is given[f"C{level}"]
    if highest == 6:
        assert torch.equal(outputs["P6"], given["C5"][..., ::2, ::2])


@every_neck
def test_p2_is_refused_where_the_backbone_has_no_c2(name: str) -> None:
    without = FeatureInfo(("C3", "C4", "C5"), (24, 40, 56), (8, 16, 32))
    neck = {"fpn": FPN, "pan": PAN, "none": NoNeck}[name]
    assert neck(without).info.names == ("P3", "P4", "P5")
    with pytest.raises(OptionError, match=r"lowest: the backbone gives C3, C4, C5 and no C2; choose 3"):
        neck(without, lowest=2)


def test_pan_s_blocks_have_no_shortcut() -> None:
    """With all norms at zero a residual block without shortcut gives 0, and one with it gives its input."""
    neck = PAN(FEATURES, width=0.125)
    residuals = [module for module in neck.modules() if isinstance(module, Residual)]
    assert len(residuals) == 4
    for block in residuals:
        torch.nn.init.zeros_(block.expand.norm.weight)  # type: ignore[arg-type]
        x = torch.randn(1, block.reduce.convolution.in_channels, 4, 4)
        assert not block.eval()(x).any()


def test_pan_is_initialised_as_he_et_al_say() -> None:
    """σ = √2 / √fan_out for SiLU, fan_out = 3 · 3 · channels, in every convolution (He et al. 2015, section 2.2)."""
    torch.manual_seed(0)
    neck = PAN(FEATURES, width=0.5)
    for module in neck.modules():
        if isinstance(module, torch.nn.Conv2d) and module.weight.numel() > 10_000:
            wanted = (2 / (module.kernel_size[0] ** 2 * module.out_channels)) ** 0.5
            assert module.weight.std().item() == pytest.approx(wanted, rel=0.05)
            assert abs(module.weight.mean().item()) < 0.05 * wanted
