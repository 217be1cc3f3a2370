"""Forward and backward of a 2D convolution and of ReLU, index by index, as one would write them on paper.

Slow on purpose: each line of a loop is one term of a sum. o[f, i, j] is output channel f at row i and column j; u and v count
the rows and columns of the kernel. Without padding, stride or dilation the sums are

    o[f, i, j]   = b[f] + Σ_c Σ_u Σ_v  w[f, c, u, v] · x[c, i + u, j + v]
    ∂L/∂x[c, p, q]    = Σ_f Σ_u Σ_v  w[f, c, u, v] · ∂L/∂o[f, p − u, q − v]
    ∂L/∂w[f, c, u, v] = Σ_i Σ_j      x[c, i + u, j + v] · ∂L/∂o[f, i, j]
    ∂L/∂b[f]          = Σ_i Σ_j      ∂L/∂o[f, i, j]
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

from detector.arithmetic.convolution import Convolution


class Gradients(NamedTuple):
    """Gradients of a loss with respect to what went into a convolution."""

    inputs: Tensor
    """[C, H, W]"""
    weight: Tensor
    """[F, C, U, V]"""
    bias: Tensor
    """[F]"""


def convolution(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1, padding: int = 0, dilation: int = 1
) -> Tensor:
    """What a convolution layer computes (strictly, a cross-correlation: the kernel is not turned round).

    Args:
        x: one input [C, H, W].
        weight: [F, C, U, V].
        bias: [F].
        stride: as in `torch.nn.Conv2d`, the same on both axes.
        padding: zeros on all sides.
        dilation: distance of the kernel's elements.

    Returns:
        [F, H', W'].

    Raises:
        ValueError: the padded input is smaller than the kernel.
    """
    height, width = _numbers(weight, stride, padding, dilation).output_size(x.shape[1:])
    output = x.new_zeros(len(weight), height, width)
    if bias is not None:
        output += bias[:, None, None]
    for (f, i, j), (c, u, v), (p, q) in _terms(output, weight, x, stride, padding, dilation):
        output[f, i, j] += weight[f, c, u, v] * x[c, p, q]
    return output


def convolution_gradients(
    x: Tensor, weight: Tensor, output_gradient: Tensor, stride: int = 1, padding: int = 0, dilation: int = 1
) -> Gradients:
    """∂L/∂x, ∂L/∂w and ∂L/∂b from ∂L/∂o: each product of the forward pass hands its share to both its factors.

    Args:
        x: [C, H, W], as in `convolution`; and so are the others.
        weight: [F, C, U, V].
        output_gradient: ∂L/∂o [F, H', W'].
        stride: on both axes.
        padding: zeros on all sides.
        dilation: distance of the kernel's elements.
    """
    inputs, weights = torch.zeros_like(x), torch.zeros_like(weight)
    for (f, i, j), (c, u, v), (p, q) in _terms(output_gradient, weight, x, stride, padding, dilation):
        inputs[c, p, q] += weight[f, c, u, v] * output_gradient[f, i, j]
        weights[f, c, u, v] += x[c, p, q] * output_gradient[f, i, j]
    return Gradients(inputs, weights, output_gradient.sum(dim=(1, 2)))


Term = tuple[tuple[int, int, int], tuple[int, int, int], tuple[int, int]]


def _terms(output: Tensor, weight: Tensor, x: Tensor, stride: int, padding: int, dilation: int) -> Iterator[Term]:
    """(f, i, j), (c, u, v), (p, q) of every product whose input x[c, p, q] is not padding."""
    for f, i, j in product(*map(range, output.shape)):
        for c, u, v in product(*map(range, weight.shape[1:])):
            p, q = i * stride + u * dilation - padding, j * stride + v * dilation - padding
            if 0 <= p < x.shape[1] and 0 <= q < x.shape[2]:
                yield (f, i, j), (c, u, v), (p, q)


def input_gradient_by_full_correlation(
    weight: Tensor, output_gradient: Tensor, size: tuple[int, int], stride: int = 1, padding: int = 0, dilation: int = 1
) -> Tensor:
    """∂L/∂x as a convolution itself: of ∂L/∂o, spread by the stride and padded to the full, with the kernel turned by 180°.

    ∂L/∂x[c] = Σ_f full(∂L/∂o[f], turned w[f, c]): input and output channels change places. "Full": padded by
    dilation · (kernel − 1) − padding, so that every position at which the kernel touches the input is there; between two
    outputs lie stride − 1 zeros (Dumoulin & Visin 2016, sections 4.1 and 4.5).

    Args:
        weight: [F, C, U, V].
        output_gradient: ∂L/∂o [F, H', W'].
        size: (H, W) of the input, which a stride above 1 leaves open.
        stride: of the forward pass, on both axes.
        padding: of the forward pass; at most dilation · (kernel − 1), beyond which no kernel reaches.
        dilation: of the forward pass.

    Returns:
        [C, H, W].

    Raises:
        ValueError: the padding is larger than that.
    """
    filters, _, *kernel = weight.shape
    reach = [dilation * (k - 1) for k in kernel]
    if padding > min(reach):
        raise ValueError(
            f"padding={padding}: with a kernel that reaches {min(reach)} further at most that can be given"
        )
    height, width = output_gradient.shape[1:]
    padded = output_gradient.new_zeros(filters, *(n + r for n, r in zip(size, reach, strict=True)))
    top, left = (r - padding for r in reach)
    padded[:, top : top + height * stride : stride, left : left + width * stride : stride] = output_gradient
    return convolution(padded, weight.flip(2, 3).transpose(0, 1), dilation=dilation)


def relu(x: Tensor) -> Tensor:
    """max(0, x)"""
    output = torch.zeros_like(x)
    for index in product(*map(range, x.shape)):
        output[index] = max(0.0, x[index].item())
    return output


def relu_gradient(x: Tensor, output_gradient: Tensor) -> Tensor:
    """∂L/∂x = ∂L/∂o where x > 0, else 0. At 0 there is no derivative; 0 is taken, as PyTorch does."""
    gradient = torch.zeros_like(x)
    for index in product(*map(range, x.shape)):
        if x[index] > 0:
            gradient[index] = output_gradient[index]
    return gradient


def _numbers(weight: Tensor, stride: int, padding: int, dilation: int) -> Convolution:
    filters, channels, *kernel = weight.shape
    return Convolution(channels, filters, tuple(kernel), stride, padding, dilation)
