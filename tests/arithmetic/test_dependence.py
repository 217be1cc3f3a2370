"""Every operation's rule against the gradient of each single output element."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
from measured_fields import Measurable, gradient_boxes, randomised
from torch import Tensor, nn
from torch.nn import functional

from detector.arithmetic.receptive_field import (
    PixelIntervals,
    Unknown,
    find_receptive_fields,
    intervals_or_reasons,
    pixel_intervals,
)


class Applied(nn.Module):
    """A function between two convolutions that see 3 × 1 and 1 × 2 pixels."""

    def __init__(self, function: Callable[[Tensor], Tensor], channels: int = 4, outputs: int = 4) -> None:
        super().__init__()
        self.before = nn.Conv2d(2, channels, (3, 1), padding=(1, 0))
        self.function = function
        self.after = nn.LazyConv2d(outputs, (1, 2))

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.after(self.function(self.before(images)))
        return result


class Parts(nn.Module):
    """Channels that see different pixels: 1 × 1 and 5 × 5."""

    def __init__(self, combine: Callable[[Tensor, Tensor], Tensor], after: nn.Module | None = None) -> None:
        super().__init__()
        self.small, self.large = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 5, padding=2)
        self.combine, self.after = combine, after or nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.after(self.combine(self.small(images), self.large(images)))
        return result


def windows(x: Tensor, side: int = 3) -> Tensor:
    b, c, h, w = x.shape
    return x.view(b, c, h // side, side, w // side, side).permute(0, 2, 4, 3, 5, 1).reshape(-1, side * side, c)


def image(tokens: Tensor, h: int, w: int, side: int = 3) -> Tensor:
    c = tokens.shape[-1]
    return (
        tokens.view(-1, h // side, w // side, side, side, c).permute(0, 5, 1, 3, 2, 4).reshape(-1, c, h, w)
    )  # as in Swin


def window_attention(x: Tensor, shift: int = 0) -> Tensor:
    h, w = x.shape[2:]
    x = x.roll((-shift, -shift), (2, 3))
    tokens = windows(x)
    attention = (tokens @ tokens.transpose(1, 2) / 9).softmax(-1)
    return image(attention @ tokens, h, w).roll((shift, shift), (2, 3))


def attention(x: Tensor) -> Tensor:
    tokens = x.flatten(2).transpose(1, 2)
    return functional.scaled_dot_product_attention(tokens, tokens, tokens).transpose(1, 2).reshape(x.shape)


def norm_of_groups(a: Tensor, b: Tensor) -> Tensor:
    """Beside a channel of `a`, which sees everything, one that sees a few pixels."""
    few = b[:, :1, 4:8, 3:6].mean((2, 3), keepdim=True).expand_as(a[:, :1])
    return functional.group_norm(torch.cat([a[:, :1], few, few, b[:, :1]], 1), 2)[:, 1:2]


def written(x: Tensor) -> Tensor:
    result = torch.zeros_like(x)
    result[:, 1:3] = x[:, :2]
    result[:, ::3, :, 1:] = x[:, :2, :, :-1]
    return result[:, 1:]


def squeeze_by_view(x: Tensor) -> Tensor:
    gates = x.view(x.shape[0], x.shape[1], -1).mean(-1)
    return x * gates.view(x.shape[0], x.shape[1], 1, 1).sigmoid()


def cbam(x: Tensor) -> Tensor:
    x = x * (functional.adaptive_max_pool2d(x, 1) + functional.adaptive_avg_pool2d(x, 1)).sigmoid()
    both = torch.cat([torch.max(x, 1, keepdim=True)[0], torch.mean(x, 1, keepdim=True)], 1)
    return x * functional.avg_pool2d(both, 3, 1, 1).mean(1, keepdim=True).sigmoid()


def softmax_over_space(x: Tensor) -> Tensor:
    return x.flatten(2).softmax(-1).view_as(x)


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "slices": lambda x: torch.cat([x[..., ::2, :8:2], x[..., 1::2, :8:2], x[..., ::2, 1::2], x[..., 1::2, 1::2]], 1),
    "reversed channels": lambda x: x.flip(1)[:, 1:],
    "flip": lambda x: x.flip(3),
    "pixel shuffle": lambda x: functional.pixel_shuffle(x, 2),
    "pixel unshuffle": lambda x: functional.pixel_unshuffle(x, 3),
    "shuffle by view": lambda x: x.view(1, 2, 2, *x.shape[2:]).transpose(1, 2).reshape(x.shape),
    "space in channels by view": lambda x: x.view(1, 4, 4, 3, 3, 3).permute(0, 1, 3, 5, 2, 4).reshape(1, 36, 4, 3),
    "roll": lambda x: x.roll((2, -1), (2, 3)),
    "reflect": lambda x: functional.pad(x, (2, 1, 0, 3), mode="reflect"),
    "replicate": lambda x: functional.pad(x, (2, 1, 0, 3), mode="replicate"),
    "circular": lambda x: functional.pad(x, (2, 1, 0, 3), mode="circular"),
    "zeros": lambda x: functional.pad(x, (2, -1, -2, 3)),
    "adaptive maximum": lambda x: functional.adaptive_max_pool2d(x, (5, 4)),
    "adaptive mean": lambda x: functional.adaptive_avg_pool2d(x, (5, 4)),
    "maximum with gaps": lambda x: functional.max_pool2d(x, 2, 1, ceil_mode=True),
    "local response norm": lambda x: functional.local_response_norm(x, 3),
    "torch.max": lambda x: torch.max(x, 1, keepdim=True)[0] + x,
    "standard deviation": lambda x: x - x.std(1, keepdim=True),
    "normalised": lambda x: functional.normalize(x, dim=1),
    "stack": lambda x: torch.stack([x, x.roll(3, 2)], 2).flatten(1, 2),
    "unbind": lambda x: torch.stack(x.unbind(1)[1:], 1),
    "squeeze and excitation by view": squeeze_by_view,
    "squeeze and excitation by pooling": lambda x: x * functional.avg_pool2d(x, x.shape[2:]).sigmoid(),
    "strip pooling": lambda x: x * x.mean(3, keepdim=True).sigmoid(),
    "cbam": cbam,
    "softmax over space": softmax_over_space,
    "log softmax over rows": lambda x: x.log_softmax(2),
    "attention": attention,
    "a matrix times the rows": lambda x: x.new_ones(x.shape[2], x.shape[2]) @ x,
    "the columns times a matrix": lambda x: x @ x.new_ones(x.shape[3], 4),
    "windows": window_attention,
    "shifted windows": lambda x: window_attention(x, 1),
    "gated linear unit": lambda x: functional.glu(x, 1),
    "running sum": lambda x: x.cumsum(2),
    "layer norm, channels last": lambda x: functional.layer_norm(x.permute(0, 2, 3, 1), (4,)).permute(0, 3, 1, 2),
    "layer norm over rows": lambda x: functional.layer_norm(x, (x.shape[3],)),
    "instance norm": lambda x: functional.instance_norm(x),
    "batch norm in training": lambda x: functional.batch_norm(x, None, None, training=True),
    "unfold": lambda x: functional.unfold(x, (3, 2), dilation=(1, 2), padding=1, stride=2).view(1, 24, 6, -1),
    "unfolded tensor": lambda x: x.unfold(2, 3, 2).mean(-1),
    "repeat": lambda x: x.repeat(1, 2, 1, 2),
    "expanded": lambda x: x.mean(1, keepdim=True).expand(-1, 4, -1, -1) * x,
    "written in slices": written,
    "nearest": lambda x: functional.interpolate(x, (17, 5)),
    "nearest exact": lambda x: functional.interpolate(x, (17, 5), mode="nearest-exact"),
    "bilinear": lambda x: functional.interpolate(x, scale_factor=2, mode="bilinear"),
    "bilinear to other sizes": lambda x: functional.interpolate(x, scale_factor=(1.5, 0.4), mode="bilinear"),
    "bilinear, corners aligned": lambda x: functional.interpolate(x, (20, 13), mode="bilinear", align_corners=True),
    "bicubic": lambda x: functional.interpolate(x, (20, 13), mode="bicubic"),
    "antialiased": lambda x: functional.interpolate(x, (5, 4), mode="bicubic", antialias=True),
    "area": lambda x: functional.interpolate(x, (5, 4), mode="area"),
    "in place": lambda x: x.mul_(2).add_(x.roll(1, 2)),
    "leaky ReLU in place": lambda x: functional.leaky_relu(x + x.roll(1, 2), 0.1, inplace=True),
    "mish in place": lambda x: functional.mish(x + x.roll(1, 2), inplace=True),
    "absolute in place": lambda x: (x + x.roll(1, 2)).abs_(),
}
MODULES: dict[str, Callable[[], nn.Module]] = {
    **{name: lambda function=function: Applied(function) for name, function in FUNCTIONS.items()},  # type: ignore[misc]
    "concatenated": lambda: Parts(lambda a, b: torch.cat([a, b], 1)),
    "concatenated, then by channel": lambda: Parts(lambda a, b: torch.cat([a, b], 1), nn.Conv2d(4, 4, 3, groups=4)),
    "concatenated, then in groups": lambda: Parts(lambda a, b: torch.cat([a, b], 1), nn.Conv2d(4, 6, 3, groups=2)),
    "a norm of groups whose channels differ": lambda: Parts(norm_of_groups),
    "shuffled channels": lambda: Parts(lambda a, b: functional.channel_shuffle(torch.cat([a, b], 1), 2)[:, 1:2]),
    "product": lambda: Parts(lambda a, b: a * b[..., :1]),
    **{
        f"padding_mode={mode}, even kernel": lambda mode=mode: nn.Conv2d(2, 3, (4, 2), 2, (3, 1), padding_mode=mode)  # type: ignore[misc]
        for mode in ("reflect", "replicate", "circular")
    },
    "same padding, even kernel": lambda: nn.Conv2d(2, 3, (4, 2), padding="same"),
}  # fmt: skip


def sees(found: PixelIntervals, place: tuple[int, ...]) -> bool:
    """A transposed convolution with gaps leaves elements that depend on nothing."""
    return all(bool(first[at] <= last[at]) for (first, last), at in zip(found.axes.values(), place, strict=True))


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("name", MODULES)
def test_each_element_depends_on_the_pixels_that_its_gradient_shows(name: str) -> None:
    torch.manual_seed(0)
    module, shape = MODULES[name](), (1, 2, 12, 9)
    module(torch.rand(shape))
    randomised(module, shape)
    images = torch.rand(shape, dtype=torch.float64).requires_grad_()
    with Measurable():
        output = module(images)
    found = pixel_intervals(module, shape)[""]
    dims = list(found.axes)
    places = list(product(*(range(output.shape[dim]) for dim in dims)))[::3]
    places = [one for one in places if sees(found, one)]
    assert len(places) >= 3 or found.whole
    measured = gradient_boxes(output, images, places, dims)
    for place, box in zip(places, measured, strict=True):
        if found.whole:
            assert box == ((0, 11), (0, 8))
        else:
            expected = [(int(a[at]), int(b[at])) for (a, b), at in zip(found.axes.values(), place, strict=True)]
            assert list(box) == expected, place


VOLUMES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "signal": (lambda: nn.Sequential(nn.Conv1d(2, 3, 4, 2), nn.AvgPool1d(2), nn.ReflectionPad1d(2)), (1, 2, 30)),
    "upsampled signal": (lambda: nn.Sequential(nn.MaxPool1d(3), nn.Upsample(scale_factor=2, mode="linear")), (1, 2, 30)),
    "clip": (lambda: nn.Sequential(nn.Conv3d(2, 3, (1, 2, 3)), nn.AvgPool3d(2)), (1, 2, 6, 8, 9)),
    "transposed": (lambda: nn.ConvTranspose3d(2, 3, (3, 2, 4), 2, 1, dilation=(1, 2, 1)), (1, 2, 4, 5, 5)),
}  # fmt: skip


@pytest.mark.parametrize("name", VOLUMES)
def test_signals_and_volumes(name: str) -> None:
    torch.manual_seed(0)
    make, shape = VOLUMES[name]
    module = randomised(make(), shape)
    images = torch.rand(shape, dtype=torch.float64).requires_grad_()
    with Measurable():
        output = module(images)
    found = pixel_intervals(module, shape)[""]
    places = [one for one in product(*map(range, output.shape[2:])) if sees(found, one)]
    for place, box in zip(places, gradient_boxes(output, images, places, list(found.axes)), strict=True):
        assert list(box) == [(int(a[at]), int(b[at])) for (a, b), at in zip(found.axes.values(), place, strict=True)]


def stale_view(x: Tensor) -> Tensor:
    rows = x.view(1, 4, -1)
    x += x.roll(5, 2)
    return rows.view_as(x)


UNKNOWN: dict[str, Callable[[Tensor], Tensor]] = {
    "fourier transform": lambda x: torch.fft.fft2(x).real,
    "a place computed from the image": lambda x: functional.grid_sample(x, x.permute(0, 2, 3, 1)[..., :2], align_corners=False),
    "an index": lambda x: x[:, :, torch.zeros(4, dtype=torch.long, device=x.device)],
    "weights computed from the image": lambda x: functional.conv2d(x, x[:, :, :3, :3].mean(0, keepdim=True)),
    "overlapping strides": lambda x: x.as_strided((1, 4, 3, 3), (1, 1, 1, 1)),
    "a view written to by another name": stale_view,
}  # fmt: skip


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_computed_by_an_operation_without_a_rule_is_unknown(name: str) -> None:
    module, shape = Applied(UNKNOWN[name], outputs=3), (1, 2, 12, 9)
    with torch.no_grad():
        module(torch.rand(shape))
    found = intervals_or_reasons(module, shape)
    assert isinstance(found[""], Unknown)
    assert found[""].reason


def test_rows_that_see_differently_many_columns_have_no_field() -> None:
    found = intervals_or_reasons(Parts(lambda a, b: torch.cat([a, b[:, :, :3]], 2)), (1, 2, 12, 9))
    assert isinstance(found[""], Unknown)


@pytest.mark.parametrize("function", [UNKNOWN["fourier transform"], lambda x: torch.fft.fft2(x).abs()])
def test_one_unknown_branch_makes_all_behind_it_unknown(function: Callable[[Tensor], Tensor]) -> None:
    class Branches(nn.Module):
        def __init__(self, join: Callable[[list[Tensor]], Tensor]) -> None:
            super().__init__()
            self.known, self.after, self.join = nn.Conv2d(2, 2, 3), nn.Conv2d(2, 2, 3), join

        def forward(self, x: Tensor) -> Tensor:
            x = self.known(x)
            result: Tensor = self.after(self.join([x, function(x)])[:, :2])
            return result

    for join in (sum, lambda both: torch.cat(both, 1), lambda both: torch.stack(both).mean(0)):
        found = find_receptive_fields(Branches(join), channels=2)  # type: ignore[arg-type]
        assert list(found.fields) == ["known"]
        assert found.fields["known"].size == (3, 3)
        assert list(found.unknown) == ["after", ""]
        assert "no rule" in found.unknown[""]
        assert "fft" in found.unknown[""]


def test_a_large_branch_beside_a_small_one_is_seen_whatever_its_padding() -> None:
    class Both(nn.Module):
        def __init__(self, mode: Any) -> None:
            super().__init__()
            self.small = nn.Conv2d(3, 4, 1)
            self.large = nn.Conv2d(3, 4, 31, padding=15, padding_mode=mode)

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = self.small(x) + self.large(x)
            return result

    for mode in ("zeros", "reflect", "replicate", "circular"):
        field = find_receptive_fields(Both(mode)).fields[""]
        assert (field.size, field.stride, field.offset) == ((31, 31), (1.0, 1.0), (0.5, 0.5))
