"""Finding the files of a data set, and saying what is there where they are not."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from pathlib import Path

from detector.config import Data
from detector.data.headers import IMAGE_SUFFIXES, header_sizes
from detector.errors import UserError

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
    if path.is_dir() if folder else path.is_file():
        return path
    noun = "folder" if folder else "file"
    if path.exists():
        raise UserError(f"{key}: {path} is not a {noun}")
    parent = path.parent
    if not parent.is_dir():
        nearest = next(p for p in parent.parents if p.is_dir())
        raise UserError(f"{key}: no {noun} {path}; {nearest} exists, with {listing(nearest, '')}")
    raise UserError(f"{key}: no {noun} {path}; {parent} has {listing(parent, path.name)}")


def listing(folder: Path, wanted: str, limit: int = 8) -> str:
    """The names in `folder` nearest to `wanted`, for an error message."""
    return nearest_names(sorted(p.name + ("/" if p.is_dir() else "") for p in folder.iterdir()), wanted, limit)


def nearest_names(names: Sequence[str], wanted: str, limit: int = 8) -> str:
    """Up to `limit` of `names`, the most similar to `wanted` first, as text."""
    if not names:
        return "nothing"
    close = difflib.get_close_matches(wanted, names, n=limit, cutoff=0.4)
    shown = [*close, *(name for name in names if name not in close)][:limit]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def relative(path: Path, root: Path) -> str:
    """`path` without `root`, where it lies in it."""
    return os.path.relpath(path, root) if path.is_relative_to(root) else str(path)
