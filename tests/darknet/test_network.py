import math
import weakref
from collections.abc import Callable

import pytest
import torch
from darknet_files import NET, SMALL
from torch import Tensor, nn

from detector.darknet.cfg import Section, parse
from detector.darknet.layers import AveragePool, Convolution, MaxPool, Reorg, Reorg3d
from detector.darknet.network import DarknetNetwork, plan_network
from detector.darknet.options import check_options
from detector.errors import UserError

PREDICTION = "[convolutional]\nfilters=7\nactivation=linear\n[yolo]\nclasses=2\nanchors=1,1\n"


def network(text: str) -> DarknetNetwork:
    sections = parse(text, "some.cfg")
    check_options(sections)
    torch.manual_seed(0)
    return DarknetNetwork(plan_network(sections)).eval()


def feature(text: str, images: Tensor) -> Tensor:
    """What goes into the one prediction."""
    with torch.no_grad():
        (found,) = network(NET + text + PREDICTION)(images).values()
    return found


def section(name: str, **options: int) -> Section:
    lines = "\n".join(f"{key}={value}" for key, value in options.items())
    return parse(f"[net]\n[{name}]\n{lines}", "some.cfg")[1]


def images(side: int = 64) -> Tensor:
    return torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))


def test_features_are_known_before_any_forward_pass() -> None:
    built = network(SMALL)
    features = built(images())
    assert built.info.names == ("8", "3")  # the layers that predict, the lowest stride first
    assert built.info.strides == (4, 8)
    for name, channels, stride in zip(built.info.names, built.info.channels, built.info.strides, strict=True):
        assert features[name].shape == (2, channels, 64 // stride, 64 // stride)


def test_batch_norms_add_1e_5_to_the_variance_as_darknet_does() -> None:
    """`normalize_cpu` of Darknet's blas.c divides by √(variance + 0.00001)."""
    built = network(f"{NET}[convolutional]\nbatch_normalize=1\nfilters=4\nsize=1\nactivation=linear\n{PREDICTION}")
    first = built.stages[0]
    assert isinstance(first, Convolution)
    assert isinstance(first.norm, nn.BatchNorm2d)
    assert first.norm.running_var is not None
    first.norm.running_var.fill_(2e-5)
    with torch.no_grad():
        expected = first.convolution(images()) / math.sqrt(2e-5 + 0.00001)
        torch.testing.assert_close(first(images()), expected)


def test_routes_join_what_they_name() -> None:
    """The same network written out by hand."""
    built = network(SMALL)
    first, pool, third = built.stages[:3]
    with torch.no_grad():
        found = built(images())
        pooled = pool(first(images()))
        deep = third(pooled)
        joined = torch.cat([deep.repeat_interleave(2, 2).repeat_interleave(2, 3), pooled], dim=1)
    torch.testing.assert_close(found["3"], deep)
    torch.testing.assert_close(found["8"], joined)


def test_a_route_with_groups_takes_one_part_of_the_channels() -> None:
    convolution = "[convolutional]\nfilters=8\nsize=3\npad=1\nactivation=swish\n"
    whole = feature(convolution, images())
    torch.testing.assert_close(
        feature(convolution + "[route]\nlayers=-1\ngroups=4\ngroup_id=2\n", images()), whole[:, 4:6]
    )


def test_a_shortcut_adds_all_it_names_as_many_channels_as_both_have_and_then_activates() -> None:
    three = "".join(f"[convolutional]\nfilters={filters}\nactivation=linear\n" for filters in (8, 4, 6))
    built = network(NET + three + "[shortcut]\nfrom=-2,-3\nactivation=leaky\n" + PREDICTION)
    with torch.no_grad():
        a = built.stages[0](images())
        b = built.stages[1](a)
        c = built.stages[2](b)
        expected = c.clone()
        expected[:, :4] += b
        expected += a[:, :6]
        (found,) = built(images()).values()
    torch.testing.assert_close(found, torch.where(expected > 0, expected, 0.1 * expected))


def test_a_shortcut_from_a_larger_map_takes_every_second_row_and_column() -> None:
    text = "[convolutional]\nfilters=4\nactivation=linear\n[maxpool]\nsize=2\nstride=2\n[shortcut]\nfrom=-2\n"
    built = network(NET + text + PREDICTION)
    with torch.no_grad():
        a = built.stages[0](images())
        torch.testing.assert_close(next(iter(built(images()).values())), built.stages[1](a) + a[..., ::2, ::2])


def test_squeeze_and_excitation_scales_the_channels() -> None:
    """As in the EfficientNet backbone: [avgpool], a 1×1 convolution, [scale_channels]."""
    base = "[convolutional]\nfilters=4\nactivation=relu6\n"
    text = base + "[avgpool]\n[convolutional]\nfilters=4\nactivation=logistic\n[scale_channels]\nfrom=-3\n"
    built = network(NET + text + PREDICTION)
    with torch.no_grad():
        a = built.stages[0](images())
        weights = built.stages[2](a.mean(dim=(2, 3), keepdim=True))
        torch.testing.assert_close(next(iter(built(images()).values())), a * weights)


def test_spatial_attention_multiplies_maps() -> None:
    text = (
        "[convolutional]\nfilters=4\nactivation=mish\n[convolutional]\nfilters=4\nactivation=logistic\n[sam]\nfrom=-2\n"
    )
    built = network(NET + text + PREDICTION)
    with torch.no_grad():
        a = built.stages[0](images())
        torch.testing.assert_close(next(iter(built(images()).values())), a * built.stages[1](a))


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("linear", lambda x: x),
        ("leaky", lambda x: x if x > 0 else 0.1 * x),
        ("relu", lambda x: max(x, 0.0)),
        ("relu6", lambda x: min(max(x, 0.0), 6.0)),
        ("elu", lambda x: x if x > 0 else math.exp(x) - 1),
        ("logistic", lambda x: 1 / (1 + math.exp(-x))),
        ("tanh", math.tanh),
        ("swish", lambda x: x / (1 + math.exp(-x))),
        ("mish", lambda x: x * math.tanh(math.log(1 + math.exp(x)))),
    ],
)
def test_activations_are_their_formulas(name: str, formula: Callable[[float], float]) -> None:
    built = network(NET + f"[convolutional]\nfilters=3\nactivation={name}\n" + PREDICTION)
    nn.init.dirac_(built.stages[0].convolution.weight)  # type: ignore[arg-type, union-attr]
    points = torch.linspace(-9, 9, 64 * 64).reshape(1, 1, 64, 64).repeat(1, 3, 1, 1)
    with torch.no_grad():
        (found,) = built(points).values()
    expected = torch.tensor([formula(x) for x in points[0, 0].flatten().tolist()])
    torch.testing.assert_close(found[0, 0].flatten(), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "padding", "side"),
    [
        ({"size": 3, "pad": 1}, 1, 64),
        ({"size": 5, "pad": 1}, 2, 64),
        ({"size": 3, "padding": 2}, 2, 66),
        ({"size": 3}, 0, 62),
        ({"size": 1, "pad": 1}, 0, 64),
    ],
)
def test_pad_is_half_the_kernel_and_padding_a_number_of_pixels(
    options: dict[str, int], padding: int, side: int
) -> None:
    text = "[convolutional]\nfilters=2\nactivation=linear\n" + "".join(f"{k}={v}\n" for k, v in options.items())
    plan = plan_network(parse(NET + text + PREDICTION, "some.cfg"))
    assert plan.layers[0].module.convolution.padding == (padding, padding)  # type: ignore[union-attr]
    assert plan.layers[0].shape == (2, side, side)


@pytest.mark.parametrize(("size", "stride"), [(2, 2), (2, 1), (3, 1), (3, 2), (5, 1), (9, 1)])
@pytest.mark.parametrize("padding", [None, 0, 1, 3])
@pytest.mark.parametrize("side", [7, 8])
def test_a_pool_looks_at_the_windows_that_darknet_looks_at(
    size: int, stride: int, padding: int | None, side: int
) -> None:
    if padding is not None and (padding >= 2 * size - 1 or size > side + padding):
        pytest.skip("windows without a pixel, or none")
    options = {"size": size, "stride": stride} | ({} if padding is None else {"padding": padding})
    padding = size - 1 if padding is None else padding
    x = torch.randn(1, 2, side, side, generator=torch.Generator().manual_seed(0))
    found = MaxPool(section("maxpool", **options))(x)
    count = (side + padding - size) // stride + 1
    assert found.shape == (1, 2, count, count)
    for row in range(count):
        for column in range(count):
            first_row, first_column = row * stride - padding // 2, column * stride - padding // 2
            rows = [r for r in range(first_row, first_row + size) if 0 <= r < side]
            columns = [c for c in range(first_column, first_column + size) if 0 <= c < side]
            window = x[0][:, rows][:, :, columns]
            assert torch.equal(found[0, :, row, column], window.amax(dim=(1, 2)))


def test_reorg_moves_numbers_as_darknets_loop_over_memory_does() -> None:
    stride, channels, height, width = 2, 8, 6, 4
    x = torch.arange(channels * height * width, dtype=torch.float32)
    expected = torch.empty_like(x)
    smaller = channels // stride**2
    for k in range(channels):
        for j in range(height):
            for i in range(width):
                column, row = i * stride + (k // smaller) % stride, j * stride + (k // smaller) // stride
                read = column + width * stride * (row + height * stride * (k % smaller))
                expected[i + width * (j + height * k)] = x[read]
    found = Reorg(section("reorg", stride=stride))(x.reshape(1, channels, height, width))
    assert found.shape == (1, channels * 4, height // 2, width // 2)
    assert torch.equal(found.flatten(), expected)


def test_another_image_size_works_and_one_that_the_stride_does_not_divide_is_refused() -> None:
    built = network(SMALL)
    assert built(images(96))["3"].shape[-2:] == (12, 12)
    with pytest.raises(
        UserError, match=r"image_size: the network of some\.cfg has stride 8, which does not divide 100"
    ):
        built(images(100))


def test_maps_are_let_go_after_their_last_use() -> None:
    """Of a long chain no more than two maps are alive at any time."""
    chain = "[convolutional]\nfilters=3\nactivation=linear\n" * 20
    built = network(NET + chain + PREDICTION)
    alive: list[int] = []
    seen: list[weakref.ref[Tensor]] = []

    def watch(module: nn.Module, inputs: object, output: Tensor) -> None:
        seen.append(weakref.ref(output))
        alive.append(sum(one() is not None for one in seen))

    for stage in built.stages:
        stage.register_forward_hook(watch)
    with torch.no_grad():
        built(images())
    assert max(alive) <= 2


def test_freezing_keeps_the_first_layers_from_training() -> None:
    built = network(SMALL)
    built.freeze(2)
    trained = {name for name, p in built.named_parameters() if p.requires_grad}
    assert trained
    assert all(name.startswith("stages.2.") for name in trained)
    built.freeze(len(built.stages))
    assert not any(p.requires_grad for p in built.parameters())


def test_reorg3d_puts_neighbours_into_channels() -> None:
    """Channel (dy · s + dx) · C + c of the output holds the pixel (s · y + dy, s · x + dx) of channel c."""
    x = torch.rand(2, 3, 4, 6)
    found = Reorg3d(section("reorg3d", stride=2))(x)
    assert found.shape == (2, 12, 2, 3)
    for offset in range(4):
        dy, dx = divmod(offset, 2)
        assert torch.equal(found[:, 3 * offset : 3 * offset + 3], x[:, :, dy::2, dx::2])


@pytest.mark.parametrize(("size", "stride", "padding"), [(4, 4, 3), (2, 2, 1), (3, 1, 2), (2, 2, 0), (4, 2, 2)])
def test_an_average_pool_counts_only_pixels_of_the_image(size: int, stride: int, padding: int) -> None:
    x = torch.rand(1, 2, 8, 12)
    found = AveragePool(section("local_avgpool", size=size, stride=stride, padding=padding))(x)
    for i in range(found.shape[2]):
        for j in range(found.shape[3]):
            top, left = i * stride - padding // 2, j * stride - padding // 2
            window = x[:, :, max(top, 0) : top + size, max(left, 0) : left + size]
            torch.testing.assert_close(found[:, :, i, j], window.mean(dim=(2, 3)))
