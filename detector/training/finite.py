"""Losses and weights that are no longer finite, said with where that began."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from detector.targets import ImageId


@dataclass
class WatchedLosses:
    """The losses of one step on their way to the host."""

    epoch: int
    step: int
    """Both are counted from 1."""
    names: list[str]
    values: Tensor
    image_ids: list[ImageId]
    copied: torch.cuda.Event | None

    def wrong(self) -> str | None:
        """The first loss that is not finite, if one is, with the images that it comes from."""
        if self.copied is not None:
            self.copied.synchronize()
        for name, value in zip(self.names, self.values.tolist(), strict=True):
            if not np.isfinite(value):
                images = ", ".join(map(str, self.image_ids))
                return (
                    f"epoch {self.epoch}, step {self.step}: the {name} loss is {value}; images of the batch: {images}"
                )
        return None


def infinite_weights(state: dict[str, Tensor]) -> str | None:
    """How many tensors of a state hold a value that is not finite, and the first of them; None where all are finite."""
    floats = {name: value for name, value in state.items() if value.is_floating_point() and value.numel()}
    if not floats:
        return None
    finite = torch.stack([value.isfinite().all() for value in floats.values()]).tolist()
    if all(finite):
        return None
    return f"{finite.count(False)} weights are no longer finite (first: {list(floats)[finite.index(False)]})"
