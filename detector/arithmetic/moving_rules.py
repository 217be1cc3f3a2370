"""What operations that only move the elements of tensors do to what these depend on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from detector.arithmetic.dependence import Dependence, combined, nothing, regrouped
from detector.arithmetic.windows import kernel_windows


@dataclass(frozen=True)
class Call:
    """One run of one operation."""

    function: Any
    args: Sequence[Any]
    kwargs: dict[str, Any]
    known: dict[int, Dependence]
    """The dependence of those of its tensors that depend on the image, by id."""
    outputs: list[Tensor]

    def __getitem__(self, name: str) -> Any:
        for i, argument in enumerate(self.function._schema.arguments):
            if argument.name == name:
                if i < len(self.args):
                    return self.args[i]
                return self.kwargs.get(name, argument.default_value if argument.has_default_value() else None)
        raise KeyError(name)

    def has(self, name: str) -> bool:
        """Whether the operation takes an argument of that name."""
        return any(argument.name == name for argument in self.function._schema.arguments)

    def of(self, value: Any) -> Dependence | None:
        """What an argument depends on; None for nothing."""
        return self.known.get(id(value))

    @property
    def first(self) -> Any:
        """The first argument."""
        return self.args[0]

    def of_only_the_first(self) -> Dependence | None:
        """What the first argument depends on; None where another one depends on the image, too."""
        own = self.of(self.first)
        return own if own is not None and set(self.known) == {id(self.first)} else None


Found = Dependence | Sequence[Dependence | None] | None
Rule = Callable[[Call], Found]
"""What the outputs depend on: one for all that have the shape of the first, or one each; None where that is not known."""


def moved(call: Call) -> Found:
    """Operations that only look at a tensor in another way: they are run on the numbers themselves."""
    own = call.of_only_the_first()
    if own is None:
        return None
    shape, rest = call.first.shape, call.args[1:]

    def move(which: int) -> Callable[[Tensor], Tensor]:
        def change(term: Tensor) -> Tensor:
            result = call.function(term.expand(shape), *rest, **call.kwargs)
            result = result if isinstance(result, Tensor) else result[which]
            for dim, size in enumerate(result.shape):
                if size > 1 and result.stride(dim) == 0:
                    result = result.narrow(dim, 0, 1)
            return result.clone()

        return change

    return [own.each(move(which)) for which in range(len(call.outputs))]


def viewed(call: Call) -> Found:
    """Elements keep their order; dimensions are split and joined."""
    own, old, new = call.of_only_the_first(), call.first.shape, call.outputs[0].shape
    return own and own.each(lambda term: regrouped(term, old, new))


def reordered(step: Callable[[Call], tuple[list[int], list[int]]]) -> Rule:
    """A view, a permutation and a view: `step` gives the shape between, and the order."""

    def rule(call: Call) -> Found:
        own = call.of_only_the_first()
        between, order = step(call)

        def change(term: Tensor) -> Tensor:
            term = regrouped(term, call.first.shape, between)
            return regrouped(term.permute(order), [between[one] for one in order], call.outputs[0].shape)

        return own and own.each(change)

    return rule


def pixel_shuffle(call: Call) -> tuple[list[int], list[int]]:
    """[C · r², H, W] → [C, H · r, W · r]."""
    *batch, channels, height, width = call.first.shape
    n, r = len(batch), call["upscale_factor"]
    order = [*range(n), *(n + one for one in (0, 3, 1, 4, 2))]
    return [*batch, channels // r**2, r, r, height, width], order


def pixel_unshuffle(call: Call) -> tuple[list[int], list[int]]:
    """[C, H · r, W · r] → [C · r², H, W]."""
    *batch, channels, height, width = call.first.shape
    n, r = len(batch), call["downscale_factor"]
    order = [*range(n), *(n + one for one in (0, 2, 4, 1, 3))]
    return [*batch, channels, height // r, r, width // r, r], order


def channel_shuffle(call: Call) -> tuple[list[int], list[int]]:
    """Channels of all groups come one after the other."""
    batch, channels, *size = call.first.shape
    between = [batch, call["groups"], channels // call["groups"], *size]
    return between, [0, 2, 1, *range(3, len(between))]


def restrided(call: Call) -> Found:
    """Where one dimension at most has several elements, which are all in the storage, their order cannot change."""
    x = call.first
    line = sum(size > 1 for size in x.shape) <= 1 and x.untyped_storage().nbytes() == x.numel() * x.element_size()
    return call.of_only_the_first() if line and call.outputs[0].shape == tuple(call["size"]) else None


def rolled(call: Call) -> Found:
    """What leaves at one end comes in at the other; without dimensions, all in one line, it is not known."""
    own, dims = call.of_only_the_first(), call["dims"]
    return own and own.each(lambda term: term.roll(call["shifts"], dims)) if dims else None


def flipped(call: Call) -> Found:
    """The order is turned round."""
    own = call.of_only_the_first()
    return own and own.each(lambda term: term.flip(call["dims"]))


def repeated(call: Call) -> Found:
    """The tensor stands several times beside itself."""
    own, times = call.of_only_the_first(), call["repeats"]

    def change(term: Tensor) -> Tensor:
        return term.repeat([n if size > 1 else 1 for n, size in zip(times, term.shape, strict=True)])

    return own and own.with_dimensions(len(times)).each(change)


def concatenated(call: Call) -> Found:
    """Tensors stand one after the other along a dimension."""
    tensors, count = call["tensors"], call.outputs[0].dim()
    tensors = [one for one in tensors if one.dim() == count]  # an empty vector may stand among them
    dim = call["dim"] % count
    return _joined(call, tensors, [one.shape[dim] for one in tensors], dim)


def stacked(call: Call) -> Found:
    """Tensors stand beside each other along a new dimension."""
    dim = call["dim"] % call.outputs[0].dim()
    return _joined(call, call["tensors"], [1] * len(call["tensors"]), dim, new=True)


def _joined(call: Call, tensors: Sequence[Tensor], sizes: Sequence[int], dim: int, new: bool = False) -> Dependence:
    like = next(iter(call.known.values()))
    parts = [call.of(one) or nothing(like, one.dim()) for one in tensors]
    if new:
        parts = [part.each(lambda term: term.unsqueeze(dim)) for part in parts]

    def join(terms: list[Tensor]) -> Tensor:
        if all(term.shape[dim] == 1 and torch.equal(term, terms[0]) for term in terms):
            return terms[0]
        shape = list(torch.broadcast_shapes(*(term.select(dim, 0).unsqueeze(dim).shape for term in terms)))
        each = ([*shape[:dim], size, *shape[dim + 1 :]] for size in sizes)
        return torch.cat([term.expand(own) for term, own in zip(terms, each, strict=True)], dim)

    return combined(parts, join)


def unfolded(call: Call) -> Found:
    """Patches as vectors: [B, C, H, W] → [B, C · kernel, positions]."""
    own, x = call.of_only_the_first(), call.first
    if own is None or x.dim() != 4:
        return None
    numbers = [per_axis_of(call[name], 2) for name in ("kernel_size", "stride", "padding", "dilation")]
    kernel, stride, padding, dilation = numbers
    counts = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(x.shape[2:], kernel, stride, padding, dilation, strict=True)
    ]
    index = [kernel_windows(*each) for each in zip(x.shape[2:], counts, kernel, stride, padding, dilation, strict=True)]
    batch, channels = x.shape[:2]
    for dim, seen in zip((2, 3), index, strict=True):
        own = own.taken(dim, seen.T.reshape(-1, 1))

    def change(term: Tensor) -> Tensor:
        term = regrouped(
            term, (batch, channels, *(k * n for k, n in zip(kernel, counts, strict=True))),
            between := (batch, channels, kernel[0], counts[0], kernel[1], counts[1]),
        )  # fmt: skip
        order = (0, 1, 2, 4, 3, 5)
        return regrouped(term.permute(order), [between[one] for one in order], call.outputs[0].shape)

    return own.each(change)


def per_axis_of(value: Any, axes: int) -> list[int]:
    """One number for each axis, as PyTorch's operations take them: each, or one for all."""
    values = [value] if isinstance(value, int) else list(value)
    return values * axes if len(values) == 1 else values
