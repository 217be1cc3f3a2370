"""A convolution is a fully connected layer on each patch: patches, layers converted both ways, and the matrix of it all."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional

from detector.arithmetic.convolution import CONVOLUTIONS, Convolution, PerAxis, per_axis


def patches(
    inputs: Tensor, kernel: Sequence[int], stride: PerAxis = 1, padding: PerAxis = 0, dilation: PerAxis = 1
) -> Tensor:
    """Every patch that a convolution sees, as a vector.

    Args:
        inputs: [B, C, *size], with as many axes of size as the kernel has.
        kernel: size of a patch on each axis.
        stride: from one patch to the next.
        padding: zeros around the input.
        dilation: from one element of a patch to the next.

    Returns:
        [B, positions, C · ∏ kernel], positions in row-major order, the elements of a patch in the order of a
        convolution's weight [C, *kernel]. A convolution is this times its weights (im2col; Chellapilla et al. 2006).
    """
    axes = len(kernel)
    numbers = Convolution(inputs.shape[1], 1, tuple(kernel), stride, padding, dilation)
    sizes = numbers.output_size(inputs.shape[2:])
    pads = per_axis(padding, axes)
    padded = functional.pad(inputs, [pad for one in reversed(pads) for pad in (one, one)])
    steps, gaps = per_axis(stride, axes), per_axis(dilation, axes)
    elements = []
    for at in product(*map(range, kernel)):
        places = (slice(k * d, k * d + (n - 1) * s + 1, s) for k, d, n, s in zip(at, gaps, sizes, steps, strict=True))
        elements.append(padded[:, :, *places])
    return torch.stack(elements, dim=2).flatten(3).flatten(1, 2).transpose(1, 2)


def linear_to_convolution(linear: nn.Linear, channels: int, kernel: Sequence[int]) -> nn.Module:
    """The convolution that does to every non-overlapping patch what the fully connected layer does to a vector.

    With a kernel as large as the image there is one patch: the layer on the whole image (Long et al. 2015, "Fully
    Convolutional Networks", section 3.1).

    Args:
        linear: takes patches [C, *kernel] as vectors, row by row.
        channels: C.
        kernel: of one, two or three axes; it is the stride as well.

    Raises:
        ValueError: the layer takes vectors of another length.
    """
    if linear.in_features != channels * prod(kernel):
        raise ValueError(
            f"the layer takes {linear.in_features} numbers, a patch of {channels} channels and {tuple(kernel)} has "
            f"{channels * prod(kernel)}"
        )
    numbers = Convolution(channels, linear.out_features, tuple(kernel), tuple(kernel), bias=linear.bias is not None)
    return _with_weights_of(numbers.module().to(linear.weight), linear)


def convolution_to_linear(convolution: nn.Module) -> nn.Linear:
    """The fully connected layer that a convolution is on each of its patches (`patches`, or the whole image as one).

    Raises:
        ValueError: it is no convolution, is transposed, or has groups, where an output sees only some of the channels.
    """
    numbers = Convolution.of(convolution)
    if numbers.transposed or numbers.groups > 1:
        raise ValueError("only a convolution that is not transposed and has one group is one matrix for every patch")
    linear = nn.Linear(numbers.weights_of_a_filter, numbers.out_channels, numbers.bias)
    return _with_weights_of(linear.to(convolution.weight), convolution)  # type: ignore[arg-type, return-value]


def _with_weights_of(layer: nn.Module, other: nn.Module) -> nn.Module:
    with torch.no_grad():
        layer.weight.copy_(other.weight.reshape(layer.weight.shape))  # type: ignore[operator, arg-type]
        if other.bias is not None:
            layer.bias.copy_(other.bias)  # type: ignore[operator, arg-type]
    return layer


def sparse_matrix(convolution: nn.Module, size: Sequence[int]) -> Tensor:
    """A convolution as a matrix: M x + bias is its output, with x the flattened input of so many positions an axis.

    Returns:
        Sparse COO [out · ∏ output size, in · ∏ size]. Its numbers are the weights, each repeated at every position that
        it is used at: that is what sharing means; what would lie on padding is left out. `.to_dense()` is the weight of the
        fully connected layer that the convolution is on the whole image.

    Raises:
        ValueError: it is no convolution, or is transposed: that is the transposed matrix of the other one.
    """
    numbers = Convolution.of(convolution)
    if numbers.transposed:
        raise ValueError("the matrix of a transposed convolution is the transposed matrix of the ordinary one")
    assert isinstance(convolution, CONVOLUTIONS)
    weight = convolution.weight.detach()
    outputs = numbers.output_size(size)
    # which input each (output position, element of the kernel) sees: the patches of an image of its own positions
    places = torch.arange(1, prod(size) + 1, dtype=torch.float64).reshape(1, 1, *size)
    seen = patches(places, numbers.kernel, numbers.stride, numbers.padding, numbers.dilation)[0].long() - 1
    out, inside = weight.shape[:2]
    shape = out, inside, prod(outputs), prod(numbers.kernel)
    channel = torch.arange(out)[:, None] // (out // numbers.groups) * inside + torch.arange(inside)
    row = (torch.arange(out)[:, None, None, None] * shape[2] + torch.arange(shape[2])[:, None]).expand(shape)
    column = (channel[:, :, None, None] * prod(size) + seen).expand(shape)
    values = weight.reshape(out, inside, 1, shape[3]).expand(shape)
    real = (seen >= 0).expand(shape)
    return torch.sparse_coo_tensor(
        torch.stack([row[real], column[real]]),
        values[real],
        (out * prod(outputs), numbers.in_channels * prod(size)),
        check_invariants=True,
    ).coalesce()
