"""The proposals of a split: computed once, on all cores, and read when they are asked for."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from detector.data.index import Index
from detector.data.loader import Loader, no_note
from detector.data.options import Proposals
from detector.data.proposals.cache import Found, file_of, key, proposal_folder, read, write
from detector.data.proposals.recall import Recall, measure_recall
from detector.data.read import has_test, read_index
from detector.errors import UserError
from detector.proposals.selective_search import SelectiveSearch

AN_IMAGE_EACH = 4
"""A process of its own pays from so many images on."""
AT_MOST_AN_IMAGE = 3600
"""Seconds after which a process that searches one image is given up."""


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
        # a flat array, not a list: it lies in memory that loader processes share
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
            raise UserError(f"image {index.files[i]} is missing (detector check_data lists all such files)") from None

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
    loader = Loader(
        _Missing(proposals, missing),
        name="proposals",
        workers=workers,
        timeout=AT_MOST_AN_IMAGE,
        batch_size=None,
        in_order=False,
    )
    return sum(map(float, tqdm(loader, "proposals", len(missing), leave=False, disable=None)))


class _Missing:
    """Computes proposals; its items are only the seconds that they took."""

    def __init__(self, proposals: SplitProposals, positions: Sequence[int]) -> None:
        self.proposals = proposals
        self.positions = positions
        self.note: Callable[[int | None], None] = no_note

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, n: int) -> float:
        self.note(self.positions[n])
        seconds = self.proposals.found(self.positions[n]).seconds
        self.note(None)
        return seconds

    def where(self, position: int) -> str:
        """The file of the image at a position of the index, or its id where it is drawn."""
        return self.proposals.index.where(position)


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


PUBLISHED = (
    "Uijlings et al. 2013, VOC 2007 test, for comparison: fast, 2,134 boxes an image: recall at 0.5 0.98, MABO 0.804; "
    "quality, 10,097 boxes: 0.99, 0.879"
)


def report(settings: Proposals) -> dict[str, Recall]:
    """Computes what is missing, prints recall and seconds an image for each split, and gives the recall by split.

    Raises:
        UserError: the data, an image or a setting is not what it should be.
    """
    search = settings.build_search()
    splits = ["train", "val", *(["test"] if has_test(settings.data) else [])]
    class_names = read_index(settings.data, "train").class_names
    recalls = {}
    for split in splits:
        index = read_index(settings.data, split, class_names)
        proposals = open_proposals(index, search, settings.data.proposals)
        recall = recalls[split] = measure_recall(index, proposals.boxes)
        seconds = sum(proposals.found(i).seconds for i in range(len(index))) / len(index)
        print(
            f"{split}: {len(index)} images, {recall.objects} objects, {recall.proposals:.0f} proposals and "
            f"{seconds:.2f} s an image\n{recall}"
        )
    print(PUBLISHED)
    return recalls
