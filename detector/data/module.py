"""The data of a run, as Lightning asks for it."""

from __future__ import annotations

import sys
from typing import Any, cast

import lightning
import torch
from torch.utils.data import DataLoader, Dataset

from detector import config
from detector.data.batch import one_thread
from detector.data.dataset import DetectionDataset, unchanged
from detector.data.index import Index, Problem
from detector.data.letterbox import check_image_size, check_resize
from detector.data.problems import refuse_nothing_to_learn
from detector.data.read import read_index
from detector.data.sampler import EpochSampler
from detector.errors import UserError
from detector.proposals.compute import ProposalRequest, open_proposals
from detector.types import Batch, ImageId

PREFETCH = 4
"""Batches that each loader process is ahead: enough to hide an uneven one, little memory."""


class DetectionData(lightning.LightningDataModule):
    """Training and validation split and their loaders.

    Both indices are read at once, so that class names are known before a model is built; images are only looked at (and
    caches filled) when the loaders are asked for. Lightning's own distributed sampler must be off
    (`Trainer(use_distributed_sampler=False)`): the samplers here share the images out themselves.

    Args:
        data: format, place, batch size a process, loader processes, cache.
        augment: what happens to training images.
        image_size: side of the square that the model sees.
        seed: of every random choice.
        epochs: length of the training.
        proposals: what the model asks for, if anything; computed when the loaders are asked for, unless it is on disk.
        resize: letterbox or stretch: how an image becomes the square that the model sees.

    Raises:
        UserError: what the reader finds wrong; an image size that is no multiple of 32; an empty training split.
    """

    def __init__(
        self,
        data: config.Data,
        augment: config.Augment,
        image_size: int,
        seed: int = 0,
        epochs: int = 1,
        proposals: ProposalRequest | None = None,
        resize: str = "letterbox",
    ) -> None:
        super().__init__()
        check_image_size(image_size)
        check_resize(resize)
        self.image_size = image_size
        self.resize = resize
        self.data = data
        self.augment = augment
        self.seed = seed
        self.epochs = epochs
        self.proposals = proposals
        self._resumed_at = 0
        self.train_index = read_index(data, "train")
        if len(self.train_index) == 0:
            raise UserError(f"data: the training split {data.train} of {data.root} has no images")
        refuse_nothing_to_learn(self.train_index)
        self.val_index = read_index(data, "val", self.class_names)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name of label 0, 1, ..."""
        return self.train_index.class_names

    @property
    def category_ids(self) -> tuple[ImageId, ...]:
        """The data's own id of label 0, 1, ..."""
        return self.train_index.category_ids

    @property
    def problems(self) -> dict[str, list[Problem]]:
        """What was found wrong in each split, and skipped or corrected."""
        return {"train": self.train_index.problems, "val": self.val_index.problems}

    def prepare_data(self) -> None:
        """Fills caches on disk; on one process of each machine, while the others wait."""
        for index in (self.train_index, self.val_index):
            _open_proposals(index, self.data, self.proposals)
        if self.data.cache == "disk":
            for index in (self.train_index, self.val_index):
                DetectionDataset(index, self.image_size, cache="disk", resize=self.resize)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Augmented training batches in random order; the last, smaller batch of an epoch is left out."""
        dataset = DetectionDataset(
            self.train_index,
            self.image_size,
            self.augment,
            self.seed,
            self.epochs,
            self.data.cache,
            resize=self.resize,
            **_open_proposals(self.train_index, self.data, self.proposals),
        )
        current_epoch = None if self.trainer is None else self._current_epoch
        sampler = EpochSampler(
            len(dataset), shuffle=True, seed=self.seed, current_epoch=current_epoch, **self._processes()
        )
        return _loader(dataset, sampler, self.data, drop_last=len(sampler) >= self.data.batch_size)

    def batches_per_epoch(self, world_size: int) -> int:
        """Training batches of an epoch on each of `world_size` processes; makes no loader."""
        images = -(-len(self.train_index) // world_size)
        size = self.data.batch_size
        return images // size if images >= size else 1

    def val_dataloader(self) -> DataLoader[Batch]:
        """Validation batches, not augmented, in the index's order, each image once."""
        return evaluation_loader(
            self.val_index,
            self.data,
            self.image_size,
            **self._processes(),
            proposals=self.proposals,
            resize=self.resize,
        )

    def state_dict(self) -> dict[str, int]:
        """For the checkpoint, which Lightning writes at the end of an epoch, before it counts that epoch as done."""
        assert self.trainer is not None
        return {"finished_epochs": self.trainer.current_epoch + 1}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """From the checkpoint."""
        self._resumed_at = state_dict["finished_epochs"]

    def _current_epoch(self) -> int:
        """After a resume Lightning starts the first iteration before it has moved on to the next epoch."""
        assert self.trainer is not None
        return max(self._resumed_at, self.trainer.current_epoch)

    def _processes(self) -> dict[str, int]:
        if self.trainer is None:
            return {"rank": 0, "world_size": 1}
        return {"rank": self.trainer.global_rank, "world_size": self.trainer.world_size}


def evaluation_loader(
    index: Index,
    data: config.Data,
    image_size: int,
    rank: int = 0,
    world_size: int = 1,
    proposals: ProposalRequest | None = None,
    resize: str = "letterbox",
) -> DataLoader[Batch]:
    """Batches of any split, not augmented, each image once on one of the processes, with the proposals asked for.

    Raises:
        UserError: an image size that is no multiple of 32; a cache that does not fit.
    """
    check_image_size(image_size)
    dataset = DetectionDataset(
        index, image_size, cache=data.cache, resize=resize, **_open_proposals(index, data, proposals)
    )
    return _loader(dataset, EpochSampler(len(dataset), shuffle=False, rank=rank, world_size=world_size), data)


def _open_proposals(index: Index, data: config.Data, request: ProposalRequest | None) -> dict[str, Any]:
    """What `DetectionDataset` takes of them."""
    if request is None:
        return {}
    split = open_proposals(index, request.search, data.proposals, request.limit)
    return {"proposals": split.boxes, "max_proposals": request.limit}


def _loader(
    dataset: DetectionDataset, sampler: EpochSampler, data: config.Data, drop_last: bool = False
) -> DataLoader[Batch]:
    for key, least in (("batch_size", 1), ("workers", 0)):
        if getattr(data, key) < least:
            raise UserError(f"data.{key}={getattr(data, key)}: must be {least} or more")
    workers = data.workers
    return DataLoader(
        cast(Dataset[Batch], dataset),  # what it gives the loader in place of samples, see __getitems__
        batch_size=data.batch_size,
        sampler=sampler,
        num_workers=workers,
        collate_fn=unchanged,
        drop_last=drop_last,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=one_thread,
        persistent_workers=workers > 0,
        prefetch_factor=PREFETCH if workers else None,
        # Forked processes share the parent's arrays and cache; started anew, each would get a copy.
        multiprocessing_context="fork" if workers and sys.platform == "linux" else None,
        # A loader without a generator of its own takes a number from torch's global one at each start of an epoch.
        generator=torch.Generator().manual_seed(0),
    )
