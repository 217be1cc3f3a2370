"""The proposals of a split: computed once, on all cores, and read when they are asked for."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from detector.data.batch import one_thread
from detector.data.index import Index
from detector.errors import UserError
from detector.inference.progress import with_progress
from detector.proposals.cache import Found, file_of, key, proposal_folder, read, write
from detector.proposals.recall import measure_recall
from detector.proposals.selective_search import SelectiveSearch

AN_IMAGE_EACH = 4
"""A process of its own pays from so many images on."""


@dataclass(frozen=True)
class ProposalRequest:
    """What a model that classifies proposals wants of each image."""

    search: SelectiveSearch
    limit: int
    """The best so many."""


class SplitProposals:
    """The proposals of a split, one file an image.

    Files are read on demand, so that memory grows neither with the data nor with the number of loader processes. One
    that is missing or damaged is computed and written again.
    """

    def __init__(self, index: Index, search: SelectiveSearch, folder: Path, limit: int | None = None) -> None:
        self.index = index
        self.search = search
        self.folder = folder
        self.limit = limit
        # a flat array, not a list: forked loader processes would copy a list bit by bit
        self._keys = np.array(_on_all_cores(self._key, len(index)), dtype="U32")

    def found(self, i: int) -> Found:
        """All proposals of image `i`, and the seconds that they took."""
        file = self._file(i)
        if (found := read(file)) is None:
            image = self.index.image(i)
            started = time.thread_time()
            boxes = self.search(image)
            found = Found(boxes, time.thread_time() - started)
            write(file, found)
        return found

    def boxes(self, i: int) -> np.ndarray:
        """The best `limit` proposals of image `i`, float32 [P, 4] in its original pixels, best first."""
        return self.found(i).boxes[: self.limit]

    def missing(self) -> list[int]:
        """Positions of images whose proposals are not there or cannot be read; of equal images the first."""
        _, first = np.unique(self._keys, return_index=True)
        return [i for i in sorted(first.tolist()) if read(self._file(i)) is None]

    def _key(self, i: int) -> str:
        index = self.index
        if index.painter is not None:
            return key(self.search, index.image(i).tobytes())
        try:
            content = Path(index.files[i]).read_bytes()
            return key(self.search, content + b"as stored" if index.as_stored else content)
        except FileNotFoundError:
            raise UserError(f"image {index.files[i]} is missing (scripts/check_data.py lists all such files)") from None

    def _file(self, i: int) -> Path:
        return file_of(self.folder, str(self._keys[i]))


def open_proposals(
    index: Index, search: SelectiveSearch, folder: str | None, limit: int | None = None
) -> SplitProposals:
    """The proposals of a split; those that are not yet in `folder` (None: the default) are computed now.

    A stop in between, however hard, costs only the images that were being searched.

    Raises:
        UserError: an image cannot be read.
    """
    proposals = SplitProposals(index, search, proposal_folder(folder), limit)
    missing = proposals.missing()
    if missing:
        started = time.perf_counter()
        spent = _compute(proposals, missing)
        print(
            f"proposals of {len(missing)} images: {spent / len(missing):.2f} s an image and core, "
            f"{time.perf_counter() - started:.0f} s in all, kept in {proposals.folder}; "
            f"{_recall_line(proposals)}",
            file=sys.stderr,
            flush=True,
        )
    return proposals


def _compute(proposals: SplitProposals, missing: Sequence[int]) -> float:
    """The seconds that all processes together spent."""
    workers = min(_cores(), len(missing) // AN_IMAGE_EACH)
    loader = DataLoader(
        cast(Dataset[float], _Missing(proposals, missing)),
        batch_size=None,
        num_workers=workers,
        worker_init_fn=one_thread,
        multiprocessing_context="fork" if workers and sys.platform == "linux" else None,
        in_order=False,
        # One without its own takes a number from torch's: a training would depend on what lies in the cache.
        generator=torch.Generator().manual_seed(0),
    )
    return sum(map(float, with_progress(loader, len(missing), "proposals of image")))


class _Missing(Dataset[float]):
    """Computes proposals; its items are only the seconds that they took."""

    def __init__(self, proposals: SplitProposals, positions: Sequence[int]) -> None:
        self.proposals = proposals
        self.positions = positions

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, n: int) -> float:
        return self.proposals.found(self.positions[n]).seconds


def _recall_line(proposals: SplitProposals) -> str:
    recall = measure_recall(proposals.index, proposals.boxes, (proposals.limit or 2000,), (0.5,))
    if not recall.objects:
        return "no objects to cover"
    return f"the best {recall.counts[0]:,} cover {recall.recall[0, 0]:.1%} of {recall.objects} objects at IoU 0.5"


def _on_all_cores(function, count: int) -> list[str]:  # type: ignore[no-untyped-def]
    with ThreadPoolExecutor(_cores()) as pool:
        return list(pool.map(function, range(count)))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
