"""Whether annotations speak of pictures as they are seen or as they are stored, which differs where EXIF turns them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from detector.data.images.headers import Header, image_header
from detector.data.index import Index
from detector.errors import UserError

SAMPLE = 2000
"""Headers that are read to find out: a fraction of a second."""


def annotated_as_stored(files: Sequence[str], sizes: np.ndarray) -> bool:
    """Whether the annotated sizes, int32 [I, 2] (height, width), are those of the stored pixels, before EXIF turns them.

    Judged by the pictures that EXIF turns by a quarter, among up to `SAMPLE` evenly spread ones: some must be as stored
    and none as seen. What holds for them holds for those that EXIF mirrors or turns by half, which keep their size.
    """
    chosen = np.unique(np.linspace(0, len(files) - 1, min(SAMPLE, len(files))).astype(np.int64)).tolist()
    as_stored = as_seen = 0
    for i, header in zip(chosen, _headers([files[i] for i in chosen]), strict=True):
        if header is None or header.orientation < 5 or header.height == header.width:
            continue
        size = tuple(sizes[i].tolist())
        as_stored += size == (header.height, header.width)
        as_seen += size == header.size
    return as_stored > 0 and as_seen == 0


def as_stored_note(where: str) -> str:
    """A line that says what follows from it."""
    return (
        f"{where}: the sizes are those of the pictures before their EXIF orientation turns them, so boxes belong to the "
        "unturned pictures, and these are what is read"
    )


def turned_by_exif(index: Index) -> str | None:
    """A line that counts the pictures of a split that EXIF turns or mirrors; None where there is none."""
    if index.painter is not None:
        return None
    counts = Counter(
        header.orientation for header in _headers(index.files.tolist()) if header and header.orientation > 1
    )
    if not counts:
        return None
    kinds = ", ".join(f"{count} × orientation {orientation}" for orientation, count in sorted(counts.items()))
    done = "read unturned, as annotated" if index.as_stored else "boxes must belong to the turned pictures"
    return f"EXIF turns {counts.total()} of {len(index)} pictures ({kinds}): {done}"


def _headers(files: Sequence[str]) -> list[Header | None]:
    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(_header, files))


def _header(file: str) -> Header | None:
    try:
        return image_header(file)
    except UserError:
        return None
