"""The order of the images in an epoch, and their division among processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from torch.utils.data import Sampler

Key = tuple[int, int] | tuple[int, int, np.ndarray]
"""(epoch, position in the index), and the positions, int64 [G], of the images that it may be mixed with, itself among them."""


class EpochSampler(Sampler[Key]):
    """Yields keys of samples: the epoch travels with each, also to loader processes that already run.

    Args:
        length: images of the split.
        shuffle: training: another order each epoch, set by (seed, epoch), and every process gets the same number of
            images, for which some are seen twice. Otherwise evaluation: the index's order, each image on exactly one
            process; one for which there is none sees an image of another, as it must take part in every epoch.
        current_epoch: tells the epoch when an iteration starts, for which Lightning's own call of `set_epoch` comes too
            late: loader processes are started before it.
        rank, world_size: this process and how many there are; process r takes every world_size-th image from r on.
        group: so many of this process's images that follow one another are to be mixed with one another alone: whoever
            loads them in one go needs to decode each only once. With 0 the keys say nothing of it.
    """

    def __init__(
        self,
        length: int,
        shuffle: bool,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        current_epoch: Callable[[], int] | None = None,
        group: int = 0,
    ) -> None:
        self.length = length
        self.shuffle = shuffle
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.group = group
        self.epoch = 0
        self.current_epoch = current_epoch or (lambda: self.epoch)

    def set_epoch(self, epoch: int) -> None:
        """Takes effect with the next iteration; has none where there is a `current_epoch` to ask."""
        self.epoch = epoch

    def __len__(self) -> int:
        if self.shuffle:
            return -(-self.length // self.world_size)
        return max(len(range(self.rank, self.length, self.world_size)), min(self.length, 1))

    def __iter__(self) -> Iterator[Key]:
        epoch = self.current_epoch()
        order = np.arange(self.length)
        if self.shuffle:
            np.random.default_rng([self.seed, epoch]).shuffle(order)
            order = np.resize(order, len(self) * self.world_size)
        first = self.rank if self.rank < len(order) else 0
        own = order[first :: self.world_size]
        if not self.group:
            return ((epoch, i) for i in own.tolist())
        return ((epoch, i, group) for group, members in self._groups(own, order) for i in members.tolist())

    def _groups(self, own: np.ndarray, order: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(images to mix with one another, those of them whose turn it is) for each group of `own`.

        There are `group` different images to mix, if the epoch has so many: for the last group some of the one before it
        are among them, and where this process has too few, images of other processes.
        """
        for start in range(0, len(own), self.group):
            mixed = own[min(start, max(len(own) - self.group, 0)) :][: self.group]
            if len(mixed) < self.group:
                mixed = np.array(list(dict.fromkeys([*mixed.tolist(), *order.tolist()]))[: self.group])
            yield mixed, own[start : start + self.group]
