"""Averaged weights: an exponential moving average of everything that the detector has learned or counted."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

Slot = tuple[dict[str, Any], str]
"""Where a module keeps a tensor: looked up anew at each update, as moving a module to a device replaces its buffers."""


class AveragedDetector(nn.Module):
    """A second copy of a detector whose weights follow the first one slowly.

    average ← d · average + (1 − d) · weights, with d(n) = min(decay, n / (n + 9)) at update n: a window over about the
    last ninth of a short run, so that the random weights of the beginning are soon forgotten. Batch-norm statistics are
    averaged like weights; whole numbers, as the batches that they counted, are copied.
    """

    def __init__(self, detector: nn.Module, decay: float) -> None:
        super().__init__()
        self.module = copy.deepcopy(detector).requires_grad_(False).eval()
        self.decay = decay
        self.updates: Tensor
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        self._count: int | None = None
        self._followed: tuple[nn.Module, _Pairs] | None = None  # in a tuple, as a part of this module it would be saved

    def train(self, mode: bool = True) -> AveragedDetector:
        """The average is always in evaluation mode."""
        return super().train(False)

    @torch.no_grad()
    def update(self, detector: nn.Module) -> None:
        """One step towards the weights of `detector`."""
        if self._count is None:  # once: after a resume the buffer knows better than a counter
            self._count = int(self.updates)
        if self._followed is None or self._followed[0] is not detector:
            self._followed = detector, _Pairs(self.module, detector)
        pairs = self._followed[1]
        self._count += 1
        self.updates.fill_(self._count)
        decay = min(self.decay, self._count / (self._count + 9))
        torch._foreach_lerp_(*pairs.floating(), 1 - decay)
        copies, originals = pairs.whole()
        if copies:  # a detector without batch norms counts nothing
            torch._foreach_copy_(copies, originals)


class _Pairs:
    """The tensors of a detector beside those of its copy, found once: `state_dict` at each step would take most of its time.

    A tied weight is there once, so that it moves one step an update.
    """

    def __init__(self, average: nn.Module, detector: nn.Module) -> None:
        slots = list(zip(_slots(average), _slots(detector), strict=True))
        self._floating = [pair for pair in slots if _tensor(pair[0]).is_floating_point()]
        self._whole = [pair for pair in slots if not _tensor(pair[0]).is_floating_point()]

    def floating(self) -> tuple[list[Tensor], list[Tensor]]:
        """Averages and weights of what is averaged."""
        return _tensors(self._floating)

    def whole(self) -> tuple[list[Tensor], list[Tensor]]:
        """Copies and originals of what is counted."""
        return _tensors(self._whole)


def _tensor(slot: Slot) -> Tensor:
    tensors, name = slot
    tensor: Tensor = tensors[name]
    return tensor


def _tensors(pairs: list[tuple[Slot, Slot]]) -> tuple[list[Tensor], list[Tensor]]:
    return [a[name] for (a, name), _ in pairs], [b[name] for _, (b, name) in pairs]


def _slots(module: nn.Module) -> Iterator[Slot]:
    """The places of all that `state_dict` holds, in one order for a module and its copy."""
    seen: set[int] = set()
    for owner in module.modules():
        for tensors in (owner._parameters, owner._buffers):
            for name, tensor in tensors.items():
                if tensor is not None and id(tensor) not in seen and name not in owner._non_persistent_buffers_set:
                    seen.add(id(tensor))
                    yield tensors, name
