"""Which pixels of an image each element of a tensor depends on, as first and last pixel along every axis of the image.

What operations do to it has three kinds: they move elements, they make one element of several (which depends on all that
those depend on), or they make one of elements of several tensors. All three are done here to three numbers an element and
axis of the image, of which the largest counts wherever several come together: minus the first pixel, the last pixel, and
whether the element depends on the whole axis however large the image is, as by a mean over it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

NOTHING = -(2**30)
"""Minus the first pixel, and the last one, of what depends on no pixel."""
MOST_ELEMENTS = 2**25
"""Numbers of one kind that are kept for one tensor at most."""

Numbers = list[Tensor]
"""One number for each element of a tensor: the maximum of int32 tensors that have the dimensions of that tensor, with size 1
where they are the same along one."""


class TooLargeError(Exception):
    """The pixels of a tensor's elements are so many numbers that they are not kept."""


@dataclass(frozen=True)
class Along:
    """What the elements of a tensor depend on along one axis of the image."""

    minus_first: Numbers
    last: Numbers
    whole: Numbers
    """1 where an element depends on the whole axis, besides first to last; otherwise 0 or less."""

    def numbers(self) -> tuple[Numbers, Numbers, Numbers]:
        """The three."""
        return self.minus_first, self.last, self.whole


@dataclass(frozen=True)
class Dependence:
    """What each element of a tensor depends on, for each axis of the image."""

    sides: tuple[int, ...]
    """The sides of the image, in pixels."""
    axes: tuple[Along, ...]

    def each(self, change: Callable[[Tensor], Tensor]) -> Dependence:
        """The dependence after an operation that moves elements, or takes one for several, in a way that `change` does."""
        return Dependence(
            self.sides,
            tuple(
                Along(*(_fewest([change(term) for term in numbers]) for numbers in one.numbers())) for one in self.axes
            ),
        )

    def over(self, dims: Sequence[int]) -> Dependence:
        """The dependence of what is computed over some dimensions, which keep the size 1.

        What comes of all places along an axis of the image depends on the whole axis. All: from its first sixteenth to its
        last, since strides leave out pixels at the end.
        """
        reduced = self.each(lambda term: term.amax(list(dims), keepdim=True))
        axes = []
        for before, after, side in zip(self.axes, reduced.axes, self.sides, strict=True):
            if not any(term.shape[dim] > 1 for term in (*before.minus_first, *before.last) for dim in dims):
                axes.append(after)
                continue
            minus_first, last = single(after.minus_first), single(after.last)
            all_of_it = (minus_first > -side / 16) & (last >= side - 1 - side // 16)
            axes.append(
                Along(
                    [minus_first.masked_fill(all_of_it, NOTHING)],
                    [last.masked_fill(all_of_it, NOTHING)],
                    _fewest([*after.whole, all_of_it.int()]),
                )
            )
        return Dependence(self.sides, tuple(axes))

    def taken(self, dim: int, index: Tensor) -> Dependence:
        """Along one dimension element o of the new tensor is made of the elements index[o, :] of this one.

        Args:
            dim: the dimension.
            index: int64 [new size, any]; below 0 where there is nothing.
        """

        def change(term: Tensor) -> Tensor:
            if term.shape[dim] == 1:
                return term
            seen = checked(term.index_select(dim, index.clamp(min=0).flatten()).unflatten(dim, index.shape))
            shape = [1] * seen.dim()
            shape[dim : dim + 2] = index.shape
            return seen.masked_fill((index < 0).reshape(shape), NOTHING).amax(dim + 1)

        return self.each(change)

    def with_dimensions(self, count: int) -> Dependence:
        """The same with dimensions of size 1 in front, as broadcasting adds them."""
        if self.axes[0].last[0].dim() == count:
            return self
        return self.each(lambda term: term.reshape((1,) * (count - term.dim()) + term.shape))


def of_image(shape: Sequence[int]) -> Dependence:
    """The dependence of an image [B, C, *size] on itself."""
    axes = []
    for dim, side in enumerate(shape[2:], start=2):
        place = torch.arange(side, dtype=torch.int32).reshape([side if one == dim else 1 for one in range(len(shape))])
        axes.append(Along([-place], [place], [torch.zeros((1,) * len(shape), dtype=torch.int32)]))
    return Dependence(tuple(shape[2:]), tuple(axes))


def nothing(like: Dependence, dimensions: int) -> Dependence:
    """The dependence of a tensor of so many dimensions that has nothing of the image in it."""
    none = torch.full((1,) * dimensions, NOTHING, dtype=torch.int32)
    return Dependence(like.sides, tuple(Along([none], [none], [none]) for _ in like.axes))


def union(parts: Iterable[Dependence]) -> Dependence:
    """The dependence of what is computed of several tensors, element by element; all have as many dimensions."""
    parts = list(parts)
    if len(parts) == 1:
        return parts[0]
    axes = []
    for each in zip(*(part.axes for part in parts), strict=True):
        joined = zip(*(along.numbers() for along in each), strict=True)
        axes.append(Along(*(_fewest([term for numbers in kind for term in numbers]) for kind in joined)))
    return Dependence(parts[0].sides, tuple(axes))


def combined(parts: Sequence[Dependence], combine: Callable[[list[Tensor]], Tensor]) -> Dependence:
    """The dependence after an operation that puts elements of several tensors into one, as `combine` does."""
    axes = []
    for each in zip(*(part.axes for part in parts), strict=True):
        kinds = zip(*(along.numbers() for along in each), strict=True)
        axes.append(Along(*([shrunk(checked(combine([single(numbers) for numbers in kind])))] for kind in kinds)))
    return Dependence(parts[0].sides, tuple(axes))


def single(numbers: Numbers) -> Tensor:
    """The maximum written out.

    Raises:
        TooLargeError: it has too many elements.
    """
    shape = torch.broadcast_shapes(*(term.shape for term in numbers))
    if prod(shape) > MOST_ELEMENTS:
        raise TooLargeError
    result = numbers[0]
    for term in numbers[1:]:
        result = torch.maximum(result, term)
    return result


def checked(term: Tensor) -> Tensor:
    """The term. Raises TooLargeError where it has too many elements."""
    if term.numel() > MOST_ELEMENTS:
        raise TooLargeError
    return term


def shrunk(term: Tensor) -> Tensor:
    """With size 1 along dimensions where it is the same."""
    for dim, size in enumerate(term.shape):
        first = term.narrow(dim, 0, 1) if size > 1 else term
        if size > 1 and (term.stride(dim) == 0 or bool((term == first).all())):
            term = first
    return term


def _fewest(terms: Numbers) -> Numbers:
    """Terms joined where that makes none larger: a sum over rows and one over columns stay apart."""
    kept: Numbers = []
    for term in sorted(terms, key=lambda one: -one.numel()):
        for i, other in enumerate(kept):
            if torch.broadcast_shapes(other.shape, term.shape) == other.shape:
                kept[i] = torch.maximum(other, term)
                break
        else:
            kept.append(term)
    return kept


def regrouped(term: Tensor, old: Sequence[int], new: Sequence[int]) -> Tensor:
    """What `view` from one shape to another does to a term; only dimensions that it splits or joins are written out."""
    shape: list[int] = []
    expanded: list[int] = []
    i = j = 0
    while i < len(old) or j < len(new):
        i_end, j_end = i + (i < len(old)), j + (j < len(new))
        left, right = prod(old[i:i_end]), prod(new[j:j_end])
        while left != right:
            if left < right:
                left *= old[i_end]
                i_end += 1
            else:
                right *= new[j_end]
                j_end += 1
        if all(size == 1 for size in term.shape[i:i_end]):
            expanded += [1] * (i_end - i)
            shape += [1] * (j_end - j)
        else:
            expanded += old[i:i_end]
            shape += new[j:j_end]
        i, j = i_end, j_end
    if prod(expanded) > MOST_ELEMENTS:
        raise TooLargeError
    return shrunk(term.expand(expanded).reshape(shape))
