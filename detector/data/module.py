"""The data of a run, as Lightning asks for it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import lightning
from torch.utils.data import DataLoader

from detector.data.cache import Images, open_images
from detector.data.cores import cores_of_this_rank, loader_processes
from detector.data.dataset import DetectionDataset
from detector.data.images.letterbox import check_image_size, check_resize
from detector.data.images.loading import loading_limit
from detector.data.index import Index, Problem
from detector.data.machine import from_this_machine
from detector.data.options import Augment, Data
from detector.data.problems import refuse_nothing_to_learn
from detector.data.processes import expect_loading
from detector.data.read import read_index
from detector.data.sampler import EpochSampler
from detector.data.shared_memory import Shared, share
from detector.data.split_loader import opened_evaluation_loader, opened_proposals, split_loader
from detector.errors import UserError
from detector.option_check import check
from detector.proposals.selective_search import ProposalRequest
from detector.types import Batch, ImageId

MIXED = 64
"""Images that are mixed with one another alone, at least, if batches have four or more. A process keeps them decoded until
it has made their batches: at 640 px at most 1.2 MB each, as much as the batches that it is ahead."""
LONGEST_RUN = 16
"""Batches that are made of one group of images, at most: each on its way to the training process is two open files."""
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
    """Training and validation images and their loaders, for any `lightning.Trainer`.

    Images are only looked at (and caches filled) when a trainer prepares the data or the loaders are asked for. Lightning's
    own distributed sampler must be off (`Trainer(use_distributed_sampler=False)`) where there are several devices: the
    samplers here share the images out themselves.

    Args:
        train_index: the images to train on, and their objects; `detector.data.index.assemble` makes one of arrays or lists.
        val_index: the images to measure on, with the classes of `train_index`.
        image_size: side of the square that the model sees, in pixels, a multiple of 32.
        augment: what happens to training images; by default nothing.
        batch_size: images a step and a process.
        workers: loader processes; 0 loads in the training process; by default what the cores allow (`data/cores.py`).
        timeout: seconds after which a loader process that gives nothing ends the training.
        cache: where decoded images are kept: none, ram or disk.
        proposals_folder: where region proposals are kept; by default in the cache folder.
        seed: start of every random choice.
        epochs: length of the training, from whose end `augment.mixing_off_epochs` counts; by default the trainer's.
        proposals: what the model asks for (`ModelOptions.proposal_request`), if anything; computed when the loaders are asked
            for, unless it is on disk.
        resize: letterbox or stretch: how an image becomes the square that the model sees.

    Raises:
        UserError: an image size that is no multiple of 32, a training split without images or objects, other classes in
            `val_index`, or a value out of its range.
    """

    def __init__(
        self,
        train_index: Index,
        val_index: Index,
        image_size: int = 640,
        augment: Augment | None = None,
        *,
        batch_size: int = Data.batch_size,
        workers: int | None = Data.workers,
        timeout: int = Data.timeout,
        cache: str = Data.cache,
        proposals_folder: str | None = None,
        seed: int = 0,
        epochs: int | None = None,
        proposals: ProposalRequest | None = None,
        resize: str = "letterbox",
    ) -> None:
        super().__init__()
        self.loading = Data(
            name="index",
            batch_size=batch_size,
            workers=workers,
            timeout=timeout,
            cache=cache,
            proposals=proposals_folder,
        )
        check(self.loading, "data.")
        check_image_size(image_size)
        check_resize(resize)
        self.image_size = image_size
        self.resize = resize
        self.augment = Augment(name="none") if augment is None else augment
        self.seed = seed
        self.epochs = epochs
        self.proposals = proposals
        self._resumed_at = 0
        self._opened: dict[str, _Opened] = {}
        if len(train_index) == 0:
            raise UserError("data: the training split has no images")
        refuse_nothing_to_learn(train_index)
        if val_index.class_names != train_index.class_names:
            raise UserError(
                f"data: the validation images have the classes {', '.join(val_index.class_names)}, "
                f"the training images {', '.join(train_index.class_names)}: they must be the same, in the same order"
            )
        self.train_index = train_index
        self.val_index = val_index

    @classmethod
    def read(
        cls,
        data: Data,
        augment: Augment,
        image_size: int,
        seed: int = 0,
        epochs: int | None = None,
        proposals: ProposalRequest | None = None,
        resize: str = "letterbox",
    ) -> Self:
        """The training and the validation split of a data set; both are read at once, the images are not looked at.

        Args:
            data: format, place, batch size a process, loader processes, cache.
            augment: what happens to training images.
            image_size: side of the square that the model sees, in pixels.
            seed: start of every random choice.
            epochs: length of the training; by default the trainer's.
            proposals: what the model asks for, if anything.
            resize: letterbox or stretch.

        Raises:
            UserError: what the reader finds wrong, besides what the class itself raises.
        """
        check(data, "data.")
        check_image_size(image_size)
        check_resize(resize)
        expect_loading(data, augment)
        train_index = read_index(data, "train")
        if len(train_index) == 0:
            raise UserError(f"data: the training split {data.train} of {data.root} has no images")
        refuse_nothing_to_learn(train_index)
        return cls(
            train_index,
            read_index(data, "val", train_index.class_names),
            image_size,
            augment,
            batch_size=data.batch_size,
            workers=data.workers,
            timeout=data.timeout,
            cache=data.cache,
            proposals_folder=data.proposals,
            seed=seed,
            epochs=epochs,
            proposals=proposals,
            resize=resize,
        )

    def for_run(self, seed: int, epochs: int, proposals: ProposalRequest | None, resize: str) -> Self:
        """The same images and loading, for a run that says how long it is and how its model sees images."""
        loading = self.loading
        return type(self)(
            self.train_index,
            self.val_index,
            self.image_size,
            self.augment,
            batch_size=loading.batch_size,
            workers=loading.workers,
            timeout=loading.timeout,
            cache=loading.cache,
            proposals_folder=loading.proposals,
            seed=seed,
            epochs=epochs,
            proposals=proposals,
            resize=resize,
        )

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
            opened_proposals(self._index(split), self.loading, self.proposals)
            self._open(split)

    def setup(self, stage: str) -> None:
        """On every process: those of a machine share the indices and caches of the one that filled them, and its cores."""
        if self.loading.workers is None:
            self.loading = replace(self.loading, workers=loader_processes(cores_of_this_rank()))
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
            images = open_images(bare, self.loading.cache, loading_limit(self.image_size, self.resize))
            if self.loading.workers != 0 or self._processes()["world_size"] > 1:
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
            self._length(),
            opened.images,
            resize=self.resize,
            **opened_proposals(opened.index, self.loading, self.proposals),
        )
        current_epoch = None if self.trainer is None else self._current_epoch
        batches = min(LONGEST_RUN, -(-MIXED // self.loading.batch_size))  # that are made of one group of images
        sampler = EpochSampler(
            len(dataset),
            shuffle=True,
            seed=self.seed,
            current_epoch=current_epoch,
            group=batches * self.loading.batch_size,
            **self._processes(),
        )
        drop_last = len(sampler) >= self.loading.batch_size
        return split_loader(dataset, sampler, self.loading, "training data", drop_last, batches)

    def batches_per_epoch(self, world_size: int) -> int:
        """Training batches of an epoch on each of `world_size` processes; makes no loader."""
        images = -(-len(self.train_index) // world_size)
        size = self.loading.batch_size
        return images // size if images >= size else 1

    def val_dataloader(self) -> DataLoader[Batch]:
        """Validation batches, not augmented, in the index's order, each image once."""
        opened = self._open("val")
        return opened_evaluation_loader(
            opened.index,
            self.loading,
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

    def _length(self) -> int:
        if self.epochs is not None:
            return self.epochs
        return max(1, self.trainer.max_epochs or 1) if self.trainer is not None else 1

    def _current_epoch(self) -> int:
        """After a resume Lightning starts the first iteration before it has moved on to the next epoch."""
        assert self.trainer is not None
        return max(self._resumed_at, self.trainer.current_epoch)

    def _processes(self) -> dict[str, int]:
        if self.trainer is None:
            return {"rank": 0, "world_size": 1}
        return {"rank": self.trainer.global_rank, "world_size": self.trainer.world_size}
