"""The data of a run, as Lightning asks for it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import lightning
import torch
from torch.utils.data import DataLoader

from detector.data.batch import collate
from detector.data.cache import Images, open_images
from detector.data.dataset import DetectionDataset
from detector.data.images.letterbox import check_image_size, check_resize
from detector.data.images.loading import loading_limit
from detector.data.index import Index, Problem
from detector.data.loader import LoadedSet, Loader
from detector.data.machine import from_this_machine
from detector.data.options import Augment, Data
from detector.data.problems import refuse_nothing_to_learn
from detector.data.processes import expect_loading
from detector.data.proposals.compute import open_proposals
from detector.data.read import read_index
from detector.data.sampler import EpochSampler
from detector.data.shared_memory import Shared, share
from detector.errors import UserError
from detector.option_check import check
from detector.proposals.selective_search import ProposalRequest
from detector.types import Batch, ImageId

PREFETCH = 4
"""Batches that each loader process is ahead: enough to hide an uneven one, little memory."""
_SPLITS = ("train", "val")


@dataclass
class _Opened:
    """A split that can be loaded from."""

    source: Index
    """What it was opened from."""
    index: Index
    """The same without `problems`, of which loader processes would get a copy each."""
    images: Images
    shared: Shared[tuple[Index, Images]] | None = None


class DetectionData(lightning.LightningDataModule):
    """Training and validation split and their loaders.

    Both indices are read at once, so that class names are known before a model is built; images are only looked at (and
    caches filled) when a trainer prepares the data or the loaders are asked for. Lightning's own distributed sampler must
    be off (`Trainer(use_distributed_sampler=False)`): the samplers here share the images out themselves.

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
        data: Data,
        augment: Augment,
        image_size: int,
        seed: int = 0,
        epochs: int = 1,
        proposals: ProposalRequest | None = None,
        resize: str = "letterbox",
    ) -> None:
        super().__init__()
        check(data, "data.")
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
        self._opened: dict[str, _Opened] = {}
        expect_loading(data, augment)
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
        """Fills caches, computes proposals; on one process of each machine, while the others wait."""
        for split in _SPLITS:
            _open_proposals(self._index(split), self.data, self.proposals)
            self._open(split)

    def setup(self, stage: str) -> None:
        """On every process: those of a machine share the indices and caches of the one that filled them."""
        shared = {split: opened.shared for split, opened in self._opened.items() if opened.shared is not None}
        for split, of_machine in (from_this_machine(shared or None) or {}).items():
            if split not in self._opened:
                self._take(split, of_machine)

    def _index(self, split: str) -> Index:
        return self.train_index if split == "train" else self.val_index

    def _open(self, split: str) -> _Opened:
        """The split's images, its cache filled, and its index, both in shared memory if any other process needs them."""
        index = self._index(split)
        opened = self._opened.get(split)
        if opened is None or opened.source is not index:
            bare = replace(index, problems=[])
            images = open_images(bare, self.data.cache, loading_limit(self.image_size, self.resize))
            if self.data.workers or self._processes()["world_size"] > 1:
                return self._take(split, share((bare, images)))
            opened = self._opened[split] = _Opened(index, bare, images)
        return opened

    def _take(self, split: str, shared: Shared[tuple[Index, Images]]) -> _Opened:
        """Makes the split's arrays those in shared memory."""
        bare, images = shared.open()
        index = replace(bare, problems=self._index(split).problems)
        if split == "train":
            self.train_index = index
        else:
            self.val_index = index
        self._opened[split] = opened = _Opened(index, bare, images, shared)
        return opened

    def train_dataloader(self) -> DataLoader[Batch]:
        """Augmented training batches in random order; the last, smaller batch of an epoch is left out."""
        opened = self._open("train")
        dataset = DetectionDataset(
            opened.index,
            self.image_size,
            self.augment,
            self.seed,
            self.epochs,
            opened.images,
            resize=self.resize,
            **_open_proposals(opened.index, self.data, self.proposals),
        )
        current_epoch = None if self.trainer is None else self._current_epoch
        sampler = EpochSampler(
            len(dataset), shuffle=True, seed=self.seed, current_epoch=current_epoch, **self._processes()
        )
        return _loader(dataset, sampler, self.data, "training data", drop_last=len(sampler) >= self.data.batch_size)

    def batches_per_epoch(self, world_size: int) -> int:
        """Training batches of an epoch on each of `world_size` processes; makes no loader."""
        images = -(-len(self.train_index) // world_size)
        size = self.data.batch_size
        return images // size if images >= size else 1

    def val_dataloader(self) -> DataLoader[Batch]:
        """Validation batches, not augmented, in the index's order, each image once."""
        opened = self._open("val")
        return _evaluation_loader(
            opened.index,
            self.data,
            self.image_size,
            opened.images,
            self.proposals,
            resize=self.resize,
            **self._processes(),
        )

    def state_dict(self) -> dict[str, int]:
        """What the checkpoint keeps, which Lightning writes at the end of an epoch, before it counts that epoch as done."""
        assert self.trainer is not None
        return {"finished_epochs": self.trainer.current_epoch + 1}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Takes what the checkpoint kept of it."""
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
    data: Data,
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
    index = replace(index, problems=[])
    images = open_images(index, data.cache, loading_limit(image_size, resize))
    return _evaluation_loader(index, data, image_size, images, proposals, rank, world_size, resize)


def _evaluation_loader(
    index: Index,
    data: Data,
    image_size: int,
    images: Images,
    proposals: ProposalRequest | None,
    rank: int,
    world_size: int,
    resize: str,
) -> DataLoader[Batch]:
    dataset = DetectionDataset(
        index, image_size, images=images, resize=resize, **_open_proposals(index, data, proposals)
    )
    sampler = EpochSampler(len(dataset), shuffle=False, rank=rank, world_size=world_size)
    return _loader(dataset, sampler, data, "validation data")


def _open_proposals(index: Index, data: Data, request: ProposalRequest | None) -> dict[str, Any]:
    """What `DetectionDataset` takes of them."""
    if request is None:
        return {}
    split = open_proposals(index, request.search, data.proposals, request.limit)
    return {"proposals": split.boxes, "max_proposals": request.limit}


def _loader(
    dataset: DetectionDataset, sampler: EpochSampler, data: Data, name: str, drop_last: bool = False
) -> DataLoader[Batch]:
    workers = data.workers
    return Loader(
        cast(LoadedSet[Batch], dataset),  # what it gives the loader in place of samples, see __getitems__
        name=name,
        workers=workers,
        timeout=data.timeout,
        batch_size=data.batch_size,
        sampler=sampler,
        collate_fn=collate,
        drop_last=drop_last,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=workers > 0,
        prefetch_factor=PREFETCH if workers else None,
    )
