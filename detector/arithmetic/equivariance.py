"""What weight sharing gives and where it does not help: shift equivariance, and a layer that does not share.

A layer f is equivariant to shifts S if f(S x) = S f(x): an object that moves moves its features along, and what was learned in
one place is known in all. A convolution is, away from borders; with a stride s it is for shifts by multiples of s (Zhang 2019,
"Making Convolutional Networks Shift-Invariant Again").
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from detector.arithmetic.convolution import Convolution
from detector.arithmetic.patches import patches


def shift_equivariance_error(
    module: Callable[[Tensor], Tensor],
    images: Tensor,
    shift: tuple[int, int],
    margin: int = 0,
    stride: float | None = None,
) -> float:
    """‖f(S x) − S f(x)‖ / ‖f(x)‖ where both say something of the same pixels: 0 is equivariant, √2 is unrelated.

    Output position i of the moved images is compared with position i − shift / stride of the others, where that exists:
    nothing that was rolled in at the other side is compared, unless a field reaches there, as over padding. So a convolution
    without padding has the error 0, one with p zeros on either side from a margin of ⌈p / stride⌉ on.

    Args:
        module: [B, C, H, W] → [B, C', H', W'], in evaluation mode if it has one.
        images: [B, C, H, W]; they are rolled.
        shift: of the images, in pixels (down, right). By the stride or a multiple of it the output moves by whole
            positions; for any other shift the nearest whole position is compared, of two equally near the better one.
        margin: output positions along each border of what is compared that are left out.
        stride: pixels from one output position to the next, on both axes. By default H / H' where that is a whole number or
            1 over one, and 1 where fewer than half of the positions are missing.

    Raises:
        ValueError: the sizes do not say the stride, the shift and the margin leave nothing, or f(x) is 0 there.
    """
    with torch.no_grad():
        before, after = module(images), module(images.roll(shift, dims=(2, 3)))
    steps = []
    for pixels, side, size in zip(shift, images.shape[2:], before.shape[2:], strict=True):
        step = pixels / (_stride(side, size) if stride is None else stride)
        steps.append({math.floor(step), math.ceil(step)})
    return min(_moved_error(before, after, (row, column), margin) for row in steps[0] for column in steps[1])


def _stride(side: int, size: int) -> float:
    if side % size == 0 or size % side == 0:
        return side / size
    if side < 2 * size and size < side:
        return 1
    raise ValueError(f"{side} pixels become {size} positions, which does not say the stride: give stride")


def _moved_error(before: Tensor, after: Tensor, steps: tuple[int, int], margin: int) -> float:
    """The error of `after` being `before` moved by so many positions."""
    places = []
    for step, size in zip(steps, before.shape[2:], strict=True):
        first, past = max(step, 0) + margin, size + min(step, 0) - margin
        if first >= past:
            raise ValueError(f"margin={margin}: nothing is left of an output of {size} positions that move by {step}")
        places.append((slice(first, past), slice(first - step, past - step)))
    (rows, old_rows), (columns, old_columns) = places
    expected = before[..., old_rows, old_columns]
    scale = expected.norm().item()
    if scale == 0:
        raise ValueError("the output is 0 everywhere: there is nothing to compare")
    return (after[..., rows, columns] - expected).norm().item() / scale


class LocallyConnected2d(nn.Module):
    """A convolution without weight sharing: every output position has filters of its own (LeCun 1989, "Generalization and
    network design strategies").

    It costs the operations of the convolution, and as many times its weights as there are output positions.

    Args:
        in_channels: C.
        out_channels: F.
        size: (H, W) of its input, which the number of its weights depends on.
        kernel: (U, V).
        stride: as in `torch.nn.Conv2d`.
        padding: as in `torch.nn.Conv2d`.
        bias: of each output channel and position.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        size: tuple[int, int],
        kernel: tuple[int, int],
        stride: int = 1,
        padding: int = 0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.shared = Convolution(in_channels, out_channels, kernel, stride, padding, bias=bias)
        """The convolution that it would be with one set of weights."""
        self.output_size = self.shared.output_size(size)
        positions = self.output_size[0] * self.output_size[1]
        bound = self.shared.weights_of_a_filter**-0.5  # as torch.nn.Conv2d begins
        self.weight = nn.Parameter(
            torch.empty(positions, out_channels, self.shared.weights_of_a_filter).uniform_(-bound, bound)
        )
        """[positions, F, C · U · V]"""
        self.bias = nn.Parameter(torch.empty(out_channels, *self.output_size).uniform_(-bound, bound)) if bias else None
        """[F, H', W']"""

    def forward(self, images: Tensor) -> Tensor:
        """[B, C, H, W] → [B, F, H', W']."""
        seen = patches(images, self.shared.kernel, self.shared.stride, self.shared.padding)
        output = torch.einsum("bpi,pfi->bfp", seen, self.weight).unflatten(2, self.output_size)
        return output if self.bias is None else output + self.bias

    def multiply_accumulates(self, size: tuple[int, int]) -> int:
        """Multiply-accumulates of the convolution for one input of (H, W)."""
        return self.shared.multiply_accumulates(size)


@dataclass(frozen=True)
class SharingResult:
    """Mean squared errors on new images, as shares of the variance of what is asked for: 0 is perfect, 1 knows nothing."""

    convolution: float
    locally_connected: float


def where_sharing_helps(position_dependent: bool, images: int, steps: int = 150, seed: int = 0) -> SharingResult:
    """Trains a convolution and a locally connected layer on the same task, in seconds, and measures both on 500 new images.

    The task: of noise [1, 10, 10] predict, at each position, a fixed 5 × 5 filter's response. Position-dependent, every
    position has a filter of its own, as in images that are aligned (eyes above, mouth below: DeepFace, Taigman et al. 2014,
    section 3): one shared filter cannot say that. Otherwise one filter serves everywhere: then each image teaches a
    convolution 100 times what it teaches a position alone, and with few images only the convolution learns it.

    Args:
        position_dependent: which of the two tasks.
        images: for training.
        steps: of Adam, on all of them at once.
        seed: of the task, the images and the weights.
    """
    side, kernel = 10, (5, 5)

    def layer(shared: bool) -> nn.Module:
        if shared:
            return nn.Conv2d(1, 1, kernel, padding=2, bias=False)
        return LocallyConnected2d(1, 1, (side, side), kernel, padding=2, bias=False)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        task = layer(shared=not position_dependent).requires_grad_(False)
        training, new = torch.randn(images, 1, side, side), torch.randn(500, 1, side, side)
        wanted, expected = task(training), task(new)
        errors = []
        for student in (layer(shared=True), layer(shared=False)):
            optimizer = torch.optim.Adam(student.parameters(), lr=0.02)
            for _ in range(steps):
                optimizer.zero_grad()
                functional.mse_loss(student(training), wanted).backward()
                optimizer.step()
            with torch.no_grad():
                errors.append((functional.mse_loss(student(new), expected) / expected.var()).item())
    return SharingResult(*errors)
