"""Paths that were written on another machine, and what they mean here."""

from __future__ import annotations

import contextlib
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

_ANYBODYS = frozenset({"images", "image", "imgs", "img", "jpegimages", "labels", "data", "dataset", "all"})
"""Names of folders that say nothing about which folder is meant."""


def is_there(path: Path, folder: bool | None = None) -> bool:
    """Whether a path, of any text, leads to a file or a folder (`folder`: to which of the two)."""
    try:
        return path.exists() if folder is None else path.is_dir() if folder else path.is_file()
    except (OSError, ValueError):  # longer than names may be; with a zero byte
        return False


class PathFinder:
    r"""Finds the files or folders that the text of a data set names, under `bases`, tried in that order.

    A path is taken as it stands; then with `\` read as `/`, percent-encoded and in the other Unicode normalisation; then
    without leading `../`, as exports mean the folder beside their `data.yaml`; then by its end: of
    `C:\Users\ann\set\images\a.jpg` the longest end that is there, `set/images/a.jpg` before `images/a.jpg`.
    """

    def __init__(self, bases: Sequence[Path], test: Callable[[Path], bool]) -> None:
        self.bases = list(dict.fromkeys(bases))
        self.test = test
        self.moved: list[tuple[str, Path]] = []
        """(text, path) of what was found by its end alone."""
        self._homes: dict[str, Path] = {}

    def find(self, text: str) -> Path | None:
        """The path; None where nothing fits."""
        readings = list(_readings(text))
        for reading in readings:
            for base in self.bases:
                if self.test(base / reading):
                    return base / reading
        for reading in readings:
            if (path := self._by_its_end(reading)) is not None:
                self.moved.append((text, path))
                return path
        return None

    def _by_its_end(self, text: str) -> Path | None:
        folder, _, name = text.rpartition("/")
        home = self._homes.get(folder)
        if home is not None and self.test(home / name):  # the next one of a list is mostly where the last one was
            return home / name
        parts = [part for part in PurePosixPath(text).parts if part not in ("/", ".", "..", "~")]
        for start in range(1, len(parts)):
            end = parts[start:]
            if len(end) == 1 and end[0].lower() in _ANYBODYS:
                continue
            for base in self.bases:
                if self.test(path := base.joinpath(*end)):
                    self._homes[folder] = path.parent
                    return path
        return None


def _readings(text: str) -> Iterator[str]:
    found: dict[str, None] = {text: None}
    slashed = re.sub(r"^[A-Za-z]:(?=[\\/])", "", text.strip().strip("\"'")).replace("\\", "/")
    for one in (slashed, unquote(slashed, errors="replace")):
        found[one] = None
        for form in ("NFC", "NFD"):
            found[unicodedata.normalize(form, one)] = None
    if slashed.startswith("../"):
        found[re.sub(r"^(\.\./)+", "", slashed)] = None
    if slashed.startswith("~"):
        with contextlib.suppress(RuntimeError):  # no such user
            found[str(Path(slashed).expanduser())] = None
    yield from found
