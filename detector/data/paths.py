"""Finding the files of a data set, and saying what is there where they are not."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from pathlib import Path

from detector.data.folders import contents
from detector.data.images.headers import IMAGE_SUFFIXES, header_sizes
from detector.data.moved_paths import is_there
from detector.data.options import Data
from detector.errors import UserError, shown

__all__ = [
    "IMAGE_SUFFIXES",
    "existing",
    "header_sizes",
    "listing",
    "nearest_names",
    "relative",
    "root_folder",
    "split_entry",
]


def root_folder(config: Data) -> Path:
    """`data.root` as an existing folder.

    Raises:
        UserError: it is not given or is no folder.
    """
    if not config.root:
        raise UserError(f"data.root is not set: give the folder of the {config.name} data set, data.root=PATH")
    root = Path(config.root).expanduser()
    return existing(root, "data.root", folder=True)


def split_entry(config: Data, split: str) -> str:
    """The value of `data.train`, `data.val` or `data.test`.

    Raises:
        UserError: it is not given.
    """
    entry = {"train": config.train, "val": config.val, "test": config.test}[split]
    if not entry:
        raise UserError(f"data.{split} is not set: this command needs the {split} split of the {config.name} data set")
    return entry


def existing(path: Path, key: str, folder: bool = False) -> Path:
    """`path`, which must be a file, or a folder where `folder` is set.

    Raises:
        UserError: it is not; the message names `key` and the nearest names that exist.
    """
    if is_there(path, folder):
        return path
    noun, text = "folder" if folder else "file", shown(str(path), 300)
    if is_there(path):
        raise UserError(f"{key}: {text} is not a {noun}")
    parent = path.parent
    if not is_there(parent, True):
        nearest = next((p for p in parent.parents if is_there(p, True)), Path("."))
        raise UserError(f"{key}: no {noun} {text}; {shown(str(nearest), 300)} exists, with {listing(nearest, '')}")
    raise UserError(f"{key}: no {noun} {text}; {shown(str(parent), 300)} has {listing(parent, path.name)}")


def listing(folder: Path, wanted: str, limit: int = 8) -> str:
    """The names in `folder` nearest to `wanted`, for an error message."""
    folders, files = contents(folder)
    return nearest_names(sorted([*(f"{name}/" for name in folders), *files]), wanted, limit)


def nearest_names(names: Sequence[str], wanted: str, limit: int = 8) -> str:
    """Up to `limit` of `names`, the most similar to `wanted` first, as text for a message."""
    if not names:
        return "nothing"
    close = difflib.get_close_matches(wanted[:200], names, n=limit, cutoff=0.4)
    named = [*close, *(name for name in names if name not in close)][:limit]
    more = len(names) - len(named)
    return ", ".join(map(shown, named)) + (f" and {more} more" if more > 0 else "")


def relative(path: Path, root: Path) -> str:
    """`path` without `root`, where it lies in it, as text for a message."""
    return shown(os.path.relpath(path, root) if path.is_relative_to(root) else str(path), 300)
