"""Proposals on disk: one small file an image, found again by what the image shows and how it was searched."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from detector.data.cache import cache_folder
from detector.errors import UserError
from detector.proposals.selective_search import SelectiveSearch

VERSION = 2
"""Version of the search; raised whenever the same settings give other boxes, so that older files are not used."""


class Found(NamedTuple):
    """What a search gave."""

    boxes: np.ndarray
    """float32 [P, 4] xyxy in pixels of the image, best first."""
    seconds: float
    """Time of one core that the search took: other work beside it makes no difference."""


def proposal_folder(given: str | None) -> Path:
    """The folder `given`, by default proposals/ in `detector.data.cache.cache_folder()`."""
    return Path(given).expanduser() if given else cache_folder() / "proposals"


def key(search: SelectiveSearch, content: bytes) -> str:
    """32 hexadecimal digits that change with any byte of the image, the settings and `VERSION`."""
    digest = hashlib.sha256(f"{VERSION} {search}\n".encode())
    digest.update(content)
    return digest.hexdigest()[:32]


def file_of(folder: Path, name: str) -> Path:
    """The file of the proposals with the key `name`: in 256 folders, because some file systems are slow with one."""
    return folder / name[:2] / f"{name}.npy"


def read(file: Path) -> Found | None:
    """The content of a file; None where there is none or it cannot be read to its end."""
    try:
        with open(file, "rb") as opened:
            boxes, seconds = (np.load(opened, allow_pickle=False) for _ in range(2))
    except (OSError, ValueError, EOFError):
        return None
    return Found(boxes, float(seconds))


def write(file: Path, found: Found) -> None:
    """The whole file or none, also if the process is killed meanwhile.

    Raises:
        UserError: the system refuses; an OSError would leave a loader process without what it is about.
    """
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(unfinished, "wb") as opened:
                np.save(opened, found.boxes)
                np.save(opened, np.float64(found.seconds))
            os.replace(unfinished, file)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(
            f"{file}: cannot be written: {reason}; data.proposals=FOLDER keeps proposals elsewhere"
        ) from error
