import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from detector.errors import UserError
from detector.layers import (
    ACTIVATIONS,
    CSP,
    INITIALISATIONS,
    NORMS,
    SPP,
    ConvNormActivation,
    Residual,
    initialise,
    make_activation,
    make_norm,
    scale_channels,
    scale_depth,
)

FORMULAS = {
    "relu": lambda x: torch.where(x > 0, x, 0),
    "leaky_relu": lambda x: torch.where(x > 0, x, 0.1 * x),
    "elu": lambda x: torch.where(x > 0, x, x.exp() - 1),
    "gelu": lambda x: x / 2 * (1 + torch.erf(x / math.sqrt(2))),
    "silu": lambda x: x / (1 + torch.exp(-x)),
    "mish": lambda x: x * torch.tanh(torch.log(1 + x.exp())),
    "none": lambda x: x,
}


def randomise_norms(module: nn.Module) -> None:
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
                assert isinstance(tensor, Tensor)
                nn.init.uniform_(tensor, 0.5, 2.0)


def test_every_activation_has_a_formula_here() -> None:
    assert set(FORMULAS) == set(ACTIVATIONS)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_is_its_formula_with_the_formulas_gradient(name: str) -> None:
    x = torch.linspace(-4, 4, 41, dtype=torch.float64, requires_grad=True)
    ours = make_activation(name)(x.clone())
    (gradient,) = torch.autograd.grad(ours.sum(), x)
    expected = FORMULAS[name](x)
    (expected_gradient,) = torch.autograd.grad(expected.sum(), x)
    torch.testing.assert_close(ours, expected)
    away_from_kink = x.detach().abs() > 1e-9
    torch.testing.assert_close(gradient[away_from_kink], expected_gradient[away_from_kink])


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("norm", NORMS)
def test_residual_works_in_training_with_every_activation_and_norm(activation: str, norm: str) -> None:
    torch.manual_seed(0)
    block = Residual(8, 4, activation=activation, norm=norm)
    block(torch.randn(2, 8, 6, 6)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in block.parameters())


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (make_activation, "swish"),
        (lambda name: make_norm(name, 8), "layer"),
        (lambda name: initialise(nn.Conv2d(1, 1, 1), name, "relu"), "he"),
    ],
)
def test_unknown_name_is_one_line_with_the_choices(make, name: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError) as error:
        make(name)
    message = str(error.value)
    assert name in message
    assert "\n" not in message
    known = {"swish": ACTIVATIONS, "layer": NORMS, "he": INITIALISATIONS}[name]
    assert all(choice in message for choice in known)


@pytest.mark.parametrize("channels", [1, 3, 8, 16, 24, 33, 48, 64, 80, 256, 2048])
def test_group_norm_divides_any_number_of_channels_and_keeps_two_or_more_a_group(channels: int) -> None:
    norm = make_norm("group", channels)
    assert isinstance(norm, nn.GroupNorm)
    assert channels % norm.num_groups == 0
    assert norm.num_groups <= 32
    if channels % 2 == 0:
        assert channels // norm.num_groups >= 2
    if channels % 64 == 0:
        assert norm.num_groups == 32


@pytest.mark.parametrize(("groups", "connections"), [(1, 9 * 256), (16, 9 * 16), (64, 9 * 4)])
@pytest.mark.parametrize(
    ("activation", "gain2"), [("relu", 2.0), ("silu", 2.0), ("none", 1.0), ("leaky_relu", 2 / 1.01)]
)
def test_kaiming_variance_is_gain_squared_over_fan_out_within_a_group(
    groups: int, connections: int, activation: str, gain2: float
) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(64, 256, 3, groups=groups)
    initialise(convolution, "kaiming", activation)
    assert convolution.weight.var().item() == pytest.approx(gain2 / connections, rel=0.1)
    assert convolution.bias is not None
    assert not convolution.bias.any()


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "none"])
def test_kaiming_agrees_with_torch_on_an_ungrouped_convolution(activation: str) -> None:
    ours, theirs = nn.Conv2d(32, 64, 3), nn.Conv2d(32, 64, 3)
    torch.manual_seed(1)
    initialise(ours, "kaiming", activation)
    torch.manual_seed(1)
    nonlinearity = "linear" if activation == "none" else activation
    nn.init.kaiming_normal_(theirs.weight, a=0.1, mode="fan_out", nonlinearity=nonlinearity)  # type: ignore[arg-type]
    torch.testing.assert_close(ours.weight, theirs.weight)


def test_xavier_agrees_with_torch_on_an_ungrouped_convolution() -> None:
    ours, theirs = nn.Conv2d(32, 64, 3), nn.Conv2d(32, 64, 3)
    torch.manual_seed(1)
    initialise(ours, "xavier", "relu")
    torch.manual_seed(1)
    nn.init.xavier_uniform_(theirs.weight)
    torch.testing.assert_close(ours.weight, theirs.weight)


@pytest.mark.parametrize("norm", NORMS)
def test_convolution_has_a_bias_only_where_no_norm_follows(norm: str) -> None:
    layer = ConvNormActivation(4, 8, 3, norm=norm)
    assert (layer.convolution.bias is not None) == (norm == "none")


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("groups", [1, 4])
def test_convolution_norm_activation_equals_the_three_in_a_row(kernel: int, stride: int, groups: int) -> None:
    torch.manual_seed(0)
    layer = ConvNormActivation(8, 12, kernel, stride, groups, activation="silu", norm="batch")
    randomise_norms(layer)
    layer.eval()
    x = torch.randn(2, 8, 7, 10)
    norm = layer.norm
    assert isinstance(norm, nn.BatchNorm2d)
    assert isinstance(norm.running_mean, Tensor)
    assert isinstance(norm.running_var, Tensor)
    y = F.conv2d(x, layer.convolution.weight, None, stride, kernel // 2, groups=groups)
    y = (y - norm.running_mean[:, None, None]) / (norm.running_var[:, None, None] + norm.eps).sqrt()
    y = y * norm.weight[:, None, None] + norm.bias[:, None, None]
    assert layer(x).shape[-2:] == (math.ceil(7 / stride), math.ceil(10 / stride))
    torch.testing.assert_close(layer(x), y * torch.sigmoid(y), atol=1e-5, rtol=1e-5)


def test_csp_equals_two_branches_of_their_own() -> None:
    """One convolution that makes both halves = the two 1×1 convolutions of the paper's figure."""
    torch.manual_seed(0)
    block = CSP(6, 8, blocks=2)
    randomise_norms(block)
    block.eval()
    branches = []
    for half in (slice(0, 4), slice(4, 8)):
        branch = ConvNormActivation(6, 4, 1)
        state = {k: v[half] if v.ndim else v for k, v in block.split.state_dict().items()}
        branch.load_state_dict(state)
        branches.append(branch.eval())
    x = torch.randn(2, 6, 5, 5)
    through, past = (branch(x) for branch in branches)
    for residual in block.blocks:
        through = through + residual.expand(residual.reduce(through))  # type: ignore[operator]
    torch.testing.assert_close(block(x), block.merge(torch.cat([through, past], dim=1)))


def test_residual_without_shortcut_adds_nothing() -> None:
    torch.manual_seed(0)
    with_shortcut, without = Residual(4, 4), Residual(4, 4, shortcut=False)
    without.load_state_dict(with_shortcut.state_dict())
    x = torch.randn(1, 4, 5, 5)
    torch.testing.assert_close(with_shortcut(x), without(x) + x)


def test_spp_equals_parallel_pools_of_5_9_and_13() -> None:
    torch.manual_seed(0)
    block = SPP(8, 8).eval()
    x = torch.randn(2, 8, 15, 11)
    y = block.reduce(x)
    pools = [y] + [F.max_pool2d(y, size, stride=1, padding=size // 2) for size in (5, 9, 13)]
    torch.testing.assert_close(block(x), block.merge(torch.cat(pools, dim=1)))


def test_scaled_channels_and_depth_are_those_of_the_published_nano_to_extra_large_models() -> None:
    """Widths and repeats of the YOLOX paper's scaling (Ge et al. 2021), table 3's models."""
    channels = (64, 128, 256, 512, 1024)
    assert [scale_channels(c, 0.25) for c in channels] == [16, 32, 64, 128, 256]
    assert [scale_channels(c, 0.375) for c in channels] == [24, 48, 96, 192, 384]
    assert [scale_channels(c, 1.25) for c in channels] == [80, 160, 320, 640, 1280]
    assert [scale_depth(n, 0.33) for n in (3, 6, 9)] == [1, 2, 3]
    assert [scale_depth(n, 0.67) for n in (3, 6, 9)] == [2, 4, 6]
    assert scale_depth(1, 0.1) == 1
