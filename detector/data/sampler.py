"""The order of the images in an epoch, and their division among processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from torch.utils.data import Sampler


class EpochSampler(Sampler[tuple[int, int]]):
    """Yields (epoch, position in the index): the epoch travels with the key, also to loader processes that already run.

    Args:
        length: images of the split.
        shuffle: training: another order each epoch, set by (seed, epoch), and every process gets the same number of
            images, for which some are seen twice. Otherwise evaluation: the index's order, each image on exactly one
            process; one for which there is none sees an image of another, as it must take part in every epoch.
        current_epoch: tells the epoch when an iteration starts, for which Lightning's own call of `set_epoch` comes too
            late: loader processes are started before it.
        rank, world_size: this process and how many there are; process r takes every world_size-th image from r on.
    """

    def __init__(
        self,
        length: int,
        shuffle: bool,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        current_epoch: Callable[[], int] | None = None,
    ) -> None:
        self.length = length
        self.shuffle = shuffle
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0
        self.current_epoch = current_epoch or (lambda: self.epoch)

    def set_epoch(self, epoch: int) -> None:
        """Takes effect with the next iteration; has none where there is a `current_epoch` to ask."""
        self.epoch = epoch

    def __len__(self) -> int:
        if self.shuffle:
            return -(-self.length // self.world_size)
        return max(len(range(self.rank, self.length, self.world_size)), min(self.length, 1))

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epoch = self.current_epoch()
        order = np.arange(self.length)
        if self.shuffle:
            np.random.default_rng([self.seed, epoch]).shuffle(order)
            order = np.resize(order, len(self) * self.world_size)
        first = self.rank if self.rank < len(order) else 0
        return ((epoch, i) for i in order[first :: self.world_size].tolist())
