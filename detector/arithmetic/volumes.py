"""3D convolution, and its factorisation into a convolution over space and one over time (Tran et al. 2018, R(2+1)D)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from detector.arithmetic.convolution import Convolution


def matched_width(channels: int, filters: int, time: int = 3, space: int = 3) -> int:
    """M = ⌊t d² C F / (d² C + t F)⌋: channels between the two convolutions at which they have the weights of one t × d × d.

    The factorised pair has d² C M + t M F weights, the 3D convolution t d² C F (Tran et al. 2018, section 3.5); rounding
    down leaves the pair the smaller one by less than d² C + t F. At least 1.
    """
    return max(1, time * space**2 * channels * filters // (space**2 * channels + time * filters))


def factorised(whole: Convolution, width: int) -> tuple[Convolution, Convolution]:
    """A 3D convolution as a pair: 1 × d × d to `width` channels, then t × 1 × 1 to the same output size.

    Args:
        whole: three axes (time, height, width), one group, not transposed.
        width: channels in between: `matched_width` for as many weights, or any other, such as the output channels.

    Raises:
        ValueError: it is another convolution.
    """
    if len(whole.kernel) != 3 or whole.groups != 1 or whole.transposed:
        raise ValueError("only a 3D convolution of one group that is not transposed is factorised here")
    stride, padding, dilation = _triple(whole.stride), _triple(whole.padding), _triple(whole.dilation)

    def part(channels: int, filters: int, time: bool) -> Convolution:
        def own(values: tuple[int, int, int], neutral: int) -> tuple[int, int, int]:
            return (values[0], neutral, neutral) if time else (neutral, values[1], values[2])

        kernel = own(_triple(whole.kernel), 1)
        return Convolution(
            channels, filters, kernel, own(stride, 1), own(padding, 0), own(dilation, 1), bias=whole.bias
        )

    return part(whole.in_channels, width, time=False), part(width, whole.out_channels, time=True)


def cheaper_below(whole: Convolution, size: Sequence[int]) -> tuple[float, float]:
    """Widths M below which the factorised pair has fewer weights, and fewer multiply-accumulates, than the 3D convolution.

    Per unit of M the pair has d_h d_w C + t F weights; its first half runs at every frame of the input, its second at those
    that the stride leaves, so that with a stride over time the pair saves fewer operations than weights:

        weights:     M < t d_h d_w C F / (d_h d_w C + t F)
        operations:  M < t d_h d_w C F · L' / (d_h d_w C · L + t F · L'),   L frames go in, L' come out

    (time-padded convolutions; both count positions of the output plane alike, which cancels). Biases are left out.

    Args:
        whole: a 3D convolution.
        size: (frames, height, width) of its input.
    """
    spatial, temporal = factorised(whole, 1)
    weights = whole.out_channels * whole.weights_of_a_filter
    each = spatial.weights_of_a_filter + whole.out_channels * temporal.weights_of_a_filter
    between = spatial.output_size(size)
    operations = spatial.multiply_accumulates(size) + temporal.multiply_accumulates(between)
    return weights / each, whole.multiply_accumulates(size) / operations


class Conv2Plus1d(nn.Sequential):
    """Convolution over space, normalisation and activation, convolution over time: [B, C, L, H, W] → [B, F, L', H', W'].

    The activation between the two is the second thing, beside cost, that the paper gains: twice the non-linearities of a 3D
    convolution (Tran et al. 2018, section 3.5). Without both layers the pair is linear, a 3D convolution whose kernel is a
    sum of `width` products of a plane and a line.

    Args:
        channels: C.
        filters: F.
        kernel: (t, d, d).
        stride: for each axis or once for all.
        padding: zeros, for each axis or once for all; by default those that keep the size at stride 1 (odd kernels).
        width: channels in between; by default `matched_width`, for as many weights as the 3D convolution.
        norm: makes the layer of normalisation in between, None leaves it out.
        activation: makes the one after that, None leaves it out.
        bias: of both convolutions.
    """

    def __init__(
        self,
        channels: int,
        filters: int,
        kernel: tuple[int, int, int] = (3, 3, 3),
        stride: int | tuple[int, int, int] = 1,
        padding: int | tuple[int, int, int] | None = None,
        width: int | None = None,
        norm: Callable[[int], nn.Module] | None = nn.BatchNorm3d,
        activation: Callable[[], nn.Module] | None = nn.ReLU,
        bias: bool = False,
    ) -> None:
        time, rows, columns = kernel
        if width is None:
            if rows != columns:
                raise ValueError(f"kernel={kernel}: the matched width is for square planes; give width")
            width = matched_width(channels, filters, time, rows)
        if padding is None:
            padding = (time // 2, rows // 2, columns // 2)
        spatial, temporal = factorised(Convolution(channels, filters, kernel, stride, padding, bias=bias), width)
        layers = [spatial.module()]
        if norm is not None:
            layers.append(norm(width))
        if activation is not None:
            layers.append(activation())
        super().__init__(*layers, temporal.module())

    def forward(self, clips: Tensor) -> Tensor:
        """Clips [B, C, L, H, W], L frames of H × W."""
        return super().forward(clips)


def _triple(values: int | Sequence[int]) -> tuple[int, int, int]:
    assert not isinstance(values, int), "a Convolution holds one number for each axis"
    time, rows, columns = values
    return time, rows, columns
