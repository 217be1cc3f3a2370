"""The batches of a split, as loader processes make them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import torch
from torch.utils.data import DataLoader

from detector.data.batch import collate
from detector.data.cache import Images, open_images
from detector.data.cores import loader_processes, usable_cores
from detector.data.dataset import DetectionDataset
from detector.data.images.letterbox import check_image_size
from detector.data.images.loading import loading_limit
from detector.data.index import Index
from detector.data.loader import LoadedSet, Loader
from detector.data.options import Data
from detector.data.proposals.compute import open_proposals
from detector.data.sampler import EpochSampler
from detector.proposals.selective_search import ProposalRequest
from detector.types import Batch

PREFETCH = 4
"""Batches that each loader process is ahead at least: enough to hide an uneven one, little memory."""


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
    return opened_evaluation_loader(index, data, image_size, images, proposals, rank, world_size, resize)


def opened_evaluation_loader(
    index: Index,
    data: Data,
    image_size: int,
    images: Images,
    proposals: ProposalRequest | None,
    rank: int,
    world_size: int,
    resize: str,
) -> DataLoader[Batch]:
    """As `evaluation_loader`, where the images are opened already."""
    dataset = DetectionDataset(
        index, image_size, images=images, resize=resize, **opened_proposals(index, data, proposals)
    )
    sampler = EpochSampler(len(dataset), shuffle=False, rank=rank, world_size=world_size)
    return split_loader(dataset, sampler, data, "validation data")


def opened_proposals(index: Index, data: Data, request: ProposalRequest | None) -> dict[str, Any]:
    """What `DetectionDataset` takes of the proposals that are asked for; those that are not on disk are computed."""
    if request is None:
        return {}
    split = open_proposals(index, request.search, data.proposals, request.limit)
    return {"proposals": split.boxes, "max_proposals": request.limit}


def split_loader(
    dataset: DetectionDataset, sampler: EpochSampler, data: Data, name: str, drop_last: bool = False, run: int = 1
) -> DataLoader[Batch]:
    """Batches of a data set in the order of its sampler.

    Args:
        dataset: images and objects of a split.
        sampler: whose keys `dataset` takes.
        data: batch size, loader processes, timeout.
        name: what messages call the data.
        drop_last: leaves out a last batch that is smaller.
        run: batches in a row that one process makes, as it keeps the images that they are mixed from.
    """
    workers = loader_processes(usable_cores()) if data.workers is None else data.workers
    return Loader(
        cast(LoadedSet[Batch], dataset),  # what it gives the loader in place of samples, see __getitems__
        name=name,
        workers=workers,
        timeout=data.timeout,
        run=run,
        batch_size=data.batch_size,
        sampler=sampler,
        collate_fn=collate,
        drop_last=drop_last,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=workers > 0,
        prefetch_factor=max(PREFETCH, run) if workers else None,  # fewer batches than a run would leave processes idle
    )
