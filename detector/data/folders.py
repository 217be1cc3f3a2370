"""What lies in the folders of a data set: links are followed, what tools leave behind is passed over."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_LEFT_BY_TOOLS = frozenset({"__macosx", "@eadir", "$recycle.bin", "system volume information", "thumbs.db"})


def is_data(name: str) -> bool:
    """Whether a name is neither hidden (`.ipynb_checkpoints`, `._a.jpg`) nor left by an archiver or a file server."""
    return not name.startswith(".") and name.lower() not in _LEFT_BY_TOOLS


def walk(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Each folder from `folder` on that holds data, in the order of names, with the names of its files.

    Links to folders and files are followed; a folder that was seen already, by whatever path, is not entered again.
    """
    seen: set[str] = set()
    waiting = [folder]
    while waiting:
        place = waiting.pop()
        real = os.path.realpath(place)
        if real in seen:
            continue
        seen.add(real)
        inner, files = contents(place)
        yield place, files
        waiting += [place / name for name in reversed(inner)]


def contents(folder: Path) -> tuple[list[str], list[str]]:
    """The names of the folders and of the files in a folder, sorted; none where it cannot be listed."""
    folders: list[str] = []
    files: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if is_data(entry.name):
                    (folders if _is_folder(entry) else files).append(entry.name)
    except (OSError, ValueError):
        return [], []
    return sorted(folders), sorted(files)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """As `os.path.isdir`, which says no to a link in a circle instead of failing, but only links are looked up."""
    return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()
