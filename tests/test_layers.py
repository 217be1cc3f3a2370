import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from detector.errors import OptionError
from detector.layers import (
    ACTIVATIONS,
    CSP,
    INITIALISATIONS,
    NORMS,
    SAM,
    SPP,
    ConvNormActivation,
    DropBlock,
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
    with pytest.raises(OptionError) as error:
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


def test_spp_takes_the_maximum_of_windows_of_5_9_and_13_points_around_each_point() -> None:
    torch.manual_seed(0)
    block = SPP(2, 3, activation="none", norm="none")
    x = torch.randn(1, 2, 6, 15)
    (reduced,) = block.reduce(x)[0]  # one channel
    rows, columns = reduced.shape
    levels = [reduced]
    for reach in (2, 4, 6):
        pooled = torch.empty_like(reduced)
        for i in range(rows):
            for j in range(columns):
                window = reduced[max(0, i - reach) : i + reach + 1, max(0, j - reach) : j + reach + 1]
                pooled[i, j] = window.max()
        levels.append(pooled)
    expected = block.merge(torch.stack(levels)[None])
    torch.testing.assert_close(block(x), expected)


def test_attention_is_a_sigmoid_of_each_channel_at_each_point() -> None:
    torch.manual_seed(0)
    block = SAM(3, norm="none")
    x = torch.randn(2, 3, 4, 5)
    weight, bias = block.weigh.convolution.weight, block.weigh.convolution.bias
    assert bias is not None
    expected = torch.empty_like(x)
    for b in range(2):
        for i in range(4):
            for j in range(5):
                point = x[b, :, i, j]
                expected[b, :, i, j] = point / (1 + torch.exp(-(weight[:, :, 0, 0] @ point + bias)))
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize("norm", NORMS)
def test_attention_trains_with_every_norm(norm: str) -> None:
    torch.manual_seed(0)
    block = SAM(8, norm)
    block(torch.randn(2, 8, 4, 4)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in block.parameters())


def squares_inside(dropped: Tensor, size: int) -> Tensor:
    """The union of all size × size squares of dropped points of one map."""
    union = torch.zeros_like(dropped)
    for i in range(dropped.shape[0] - size + 1):
        for j in range(dropped.shape[1] - size + 1):
            if dropped[i : i + size, j : j + size].all():
                union[i : i + size, j : j + size] = True
    return union


@pytest.mark.parametrize(("size", "height", "width"), [(1, 5, 5), (3, 9, 12), (4, 9, 9), (7, 10, 20), (7, 5, 8)])
def test_dropblock_drops_whole_squares_of_its_size_or_as_large_as_fit(size: int, height: int, width: int) -> None:
    torch.manual_seed(0)
    dropped = DropBlock(0.15, size)(torch.ones(4, 8, height, width)) == 0
    assert dropped.any()
    fitting = min(size, height, width)
    for channel in dropped.flatten(0, 1):
        assert torch.equal(channel, squares_inside(channel, fitting))
    assert len({tuple(channel.flatten().tolist()) for channel in dropped.flatten(0, 1)}) > 2  # not one for all channels


def chance_to_be_kept(probability: float, size: int, height: int, width: int) -> Tensor:
    """Of each point [height, width], by eq. 1 and a count of the squares that hold the point."""
    gamma = probability / size**2 * height * width / ((height - size + 1) * (width - size + 1))
    holding = torch.zeros(height, width)
    for i in range(height - size + 1):
        for j in range(width - size + 1):
            holding[i : i + size, j : j + size] += 1
    assert gamma * holding.mean().item() == pytest.approx(probability)  # what eq. 1 promises: overlaps count twice
    return (1 - gamma) ** holding


@pytest.mark.parametrize("probability", [0.05, 0.1, 0.25])
@pytest.mark.parametrize(("size", "height", "width"), [(1, 8, 8), (3, 10, 14), (7, 20, 20), (7, 5, 8)])
def test_dropblock_drops_the_share_of_equation_1(probability: float, size: int, height: int, width: int) -> None:
    torch.manual_seed(0)
    maps = 8000
    dropped = (DropBlock(probability, size)(torch.ones(1, maps, height, width)) == 0)[0].float().mean(dim=0)
    expected = 1 - chance_to_be_kept(probability, min(size, height, width), height, width)
    assert (dropped - expected).abs().max() < 5 * 0.5 / math.sqrt(maps)
    assert dropped.mean().item() == pytest.approx(probability, rel=0.2)


def test_dropblock_leaves_as_much_as_there_was() -> None:
    torch.manual_seed(0)
    layer = DropBlock(0.2, 3)
    assert layer(torch.ones(2, 16, 10, 10)).mean().item() == pytest.approx(1.0, rel=1e-5)
    # over many draws each point has the share of what is left that its place gives it
    x = torch.rand(12, 16) + 1
    kept = chance_to_be_kept(0.2, 3, 12, 16)
    torch.testing.assert_close(
        layer(x.expand(1, 8000, 12, 16))[0].mean(dim=0), x * kept / kept.mean(), atol=0.04, rtol=0.02
    )


def test_dropblock_does_nothing_in_evaluation_and_without_probability() -> None:
    x = torch.randn(2, 3, 8, 8)
    assert DropBlock(0.5, 3).eval()(x) is x
    assert DropBlock(0.0, 3)(x) is x


def test_dropblock_stops_the_gradient_of_what_it_drops_and_works_in_bfloat16() -> None:
    torch.manual_seed(0)
    x = (torch.rand(2, 3, 8, 8) + 0.5).bfloat16().requires_grad_()
    y = DropBlock(0.3, 3)(x)
    assert y.dtype == torch.bfloat16
    y.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad == 0, y == 0)
    everything = DropBlock(0.999999, 9)(x)
    assert everything.isfinite().all()


def test_dropblock_drops_rare_squares_as_often_in_bfloat16() -> None:
    """γ = 0.0004 here: below a step of bf16's random numbers."""
    torch.manual_seed(0)
    dropped = DropBlock(0.02, 7)(torch.ones(1, 4000, 40, 40, dtype=torch.bfloat16)) == 0
    assert dropped.float().mean().item() == pytest.approx(0.02, rel=0.1)


def test_scaled_channels_and_depth_are_those_of_the_published_nano_to_extra_large_models() -> None:
    """Widths and repeats of the YOLOX paper's scaling (Ge et al. 2021), table 3's models."""
    channels = (64, 128, 256, 512, 1024)
    assert [scale_channels(c, 0.25) for c in channels] == [16, 32, 64, 128, 256]
    assert [scale_channels(c, 0.375) for c in channels] == [24, 48, 96, 192, 384]
    assert [scale_channels(c, 1.25) for c in channels] == [80, 160, 320, 640, 1280]
    assert [scale_depth(n, 0.33) for n in (3, 6, 9)] == [1, 2, 3]
    assert [scale_depth(n, 0.67) for n in (3, 6, 9)] == [2, 4, 6]
    assert scale_depth(1, 0.1) == 1


def test_batch_norm_has_the_momentum_and_epsilon_of_the_yolox_code() -> None:
    """Megvii's YOLOX (Ge et al. 2021, exp/yolox_base.py, `init_yolo`): eps 1e-3, momentum 0.03."""
    norm = make_norm("batch", 8)
    assert isinstance(norm, torch.nn.BatchNorm2d)
    assert (norm.eps, norm.momentum) == (1e-3, 0.03)
