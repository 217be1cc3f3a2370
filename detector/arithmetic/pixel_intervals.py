"""First and last pixel that each row and column of a layer's output depends on, read off what its elements depend on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from detector.arithmetic.dependence import NOTHING, Along, Dependence, Numbers, shrunk, single
from detector.arithmetic.tracker import Unknown

Interval = tuple[Tensor, Tensor]
"""First and last pixel, int64 [outputs on this axis]; first > last where an output depends on none."""


@dataclass(frozen=True)
class PixelIntervals:
    """Which pixels of the image a layer's output depends on."""

    axes: dict[int, Interval]
    """Intervals by spatial dimension of the tensor, in the order of the image's axes."""
    whole: bool = False
    """Besides, all of it depends on the whole image."""


MIXED = Unknown("places in one row or column of it depend on different rows or columns of the image")
NO_PLACES = Unknown("it has no rows and columns of the image any more")


def intervals_of(dependence: Dependence, shape: tuple[int, ...]) -> PixelIntervals | Unknown:
    """The intervals of a tensor's rows and columns.

    Returns:
        `NO_PLACES` or `MIXED` where its dimensions are none of the image's, unless all of it depends on the same pixels:
        then there is one interval for all, or an empty one beside `whole`.
    """
    whole = all((single(one.whole) > 0).all() for one in dependence.axes)
    dims = _dimensions(dependence, shape)
    if dims is None:
        return _without_places(dependence, whole, len(shape))
    axes = {}
    for one, dim, side in zip(dependence.axes, dims, dependence.sides, strict=True):
        minus_first, last, everything = (_along(numbers, dim, shape[dim]) for numbers in one.numbers())
        if not whole:  # what only some places depend on as a whole is an interval of theirs
            minus_first = torch.where(everything > 0, 0, minus_first)
            last = torch.where(everything > 0, side - 1, last)
        axes[dim] = -minus_first, last
    return PixelIntervals(axes, whole)


def _without_places(dependence: Dependence, whole: bool, dimensions: int) -> PixelIntervals | Unknown:
    """The intervals of a vector, where all of it depends on the same pixels."""
    axes = {}
    for i, (one, side) in enumerate(zip(dependence.axes, dependence.sides, strict=True)):
        minus_first, last, everything = (shrunk(single(numbers)) for numbers in one.numbers())
        if max(minus_first.numel(), last.numel(), everything.numel()) > 1:
            if not whole:
                return MIXED if dimensions == len(dependence.axes) + 2 else NO_PLACES
            minus_first = last = torch.tensor([NOTHING])
        if everything.max() > 0 and not whole:
            minus_first, last = torch.tensor([0]), torch.tensor([side - 1])
        axes[i] = -minus_first.reshape(1).long(), last.reshape(1).long()
    return PixelIntervals(axes, whole)


def _dimensions(dependence: Dependence, shape: tuple[int, ...]) -> Sequence[int] | None:
    """The dimension of each axis of the image: behind the channels, before them, or in another order."""
    count, axes = len(shape), len(dependence.axes)
    if count != axes + 2:
        return None
    varying = [_varying(one, count) for one in dependence.axes]
    fitting = [
        (sum(len(own - {dim}) for own, dim in zip(varying, dims, strict=True)), dims)
        for dims in (range(2, count), range(1, count - 1), range(count - 1, 1, -1), range(count - 2, 0, -1))
        if all(own & set(dims) <= {dim} for own, dim in zip(varying, dims, strict=True))
    ]
    return min(fitting, key=lambda one: one[0], default=(0, None))[1]


def _varying(along: Along, count: int) -> set[int]:
    terms = [shrunk(term) for numbers in along.numbers() for term in numbers]
    return {dim for dim in range(count) if any(term.shape[dim] > 1 for term in terms)}


def _along(numbers: Numbers, dim: int, size: int) -> Tensor:
    """The largest number of each place along a dimension, whatever the channel."""
    lines = [term.transpose(0, dim).flatten(1).amax(1).expand(size) for term in numbers]
    return torch.stack(lines).amax(0).clamp(min=NOTHING).long()
