"""The image files that annotations name, found although they were named on another machine."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from detector.data.formats.split_names import other_splits
from detector.data.paths import IMAGE_SUFFIXES

_DEPTH = 8
"""Folders below a place that are searched."""


class ImageFiles:
    """Image files in `places`, tried in that order, and below them.

    A name is taken literally first. Then `\\` is read as `/`, percent-encoding is decoded, and of a URL its path (or the
    path in its query, as Label Studio writes it) is taken. What is still not there is looked up below the places by the
    last parts of its path, as many of them as fit, without regard to upper and lower case or the suffix; a folder that is
    named like another split than `split` is not searched, and of several files that fit as well none is taken.

    Args:
        places: folders; those that do not exist are left out.
        split: "train", "val" or "test".
        stems: names come without a suffix.
    """

    def __init__(self, places: Sequence[Path], split: str, stems: bool = False) -> None:
        self.home = str(places[0])
        self.places = [str(place) for place in dict.fromkeys(places) if place.is_dir()]
        self.split = split
        self.stems = stems
        self.moved: list[tuple[str, str]] = []
        """(name, file) of each image that was found by the end of its path alone."""
        self._listings: dict[str, dict[str, str]] = {}
        self._below: dict[str, list[str]] | None = None

    def find_all(self, names: Sequence[str]) -> list[str]:
        """`find` of each; those that lie in the first place under their very names cost next to nothing."""
        if not self.places:
            return [self.find(name) for name in names]
        first = self.places[0]
        folder, present = os.path.join(first, ""), self._listing(first)
        return [
            folder + present[name] if name in present and self.places[0] == first else self.find(name) for name in names
        ]

    def find(self, name: str, suffix: str = "") -> str:
        """The file of an image; where there is none, the place where it would be, with `suffix` added."""
        if found := self._literally(name):
            return found
        readings = list(_readings(name))
        if found := next((found for reading in readings if (found := self._literally(reading))), None):
            return found
        if found := next((found for reading in readings if (found := self._by_its_end(reading))), None):
            self.moved.append((name, found))
            return found
        return os.path.join(self.places[0] if self.places else self.home, readings[-1] + suffix)

    def _literally(self, name: str) -> str | None:
        for place in self.places:
            folder, file = os.path.split(os.path.join(place, name)) if "/" in name else (place, name)
            if found := self._listing(folder).get(file):
                if place != self.places[0]:  # the next image is probably there too
                    self.places = [place, *(other for other in self.places if other != place)]
                return os.path.join(folder, found)
        return None

    def _listing(self, folder: str) -> dict[str, str]:
        """Name, or name without suffix, → file name."""
        if folder not in self._listings:
            try:
                files = sorted(os.listdir(folder))
            except (OSError, ValueError):
                files = []
            self._listings[folder] = (
                {os.path.splitext(file)[0]: file for file in files if _is_image(file)}
                if self.stems
                else {file: file for file in files}
            )
        return self._listings[folder]

    def _by_its_end(self, name: str) -> str | None:
        if self._below is None:
            self._below = {}
            for file in dict.fromkeys(self._walk()):
                for key in {_key(os.path.basename(file)), _key(os.path.splitext(os.path.basename(file))[0])}:
                    self._below.setdefault(key, []).append(file)
        if not self._below:
            return None
        parts = [_key(part) for part in name.split("/") if part not in ("", ".", "..")]
        if not parts:
            return None
        stem = parts[-1] if self.stems else os.path.splitext(parts[-1])[0]
        candidates = self._below.get(parts[-1]) or self._below.get(stem) or []
        fits = [_common_end(parts[:-1], [_key(part) for part in file.split("/")[:-1]]) for file in candidates]
        best = [file for file, fit in zip(candidates, fits, strict=True) if fit == max(fits)]
        return best[0] if len(best) == 1 else None

    def _walk(self) -> Iterator[str]:
        for place in self.places:
            for folder, subfolders, files in os.walk(place, followlinks=True):
                below = os.path.relpath(folder, place).split(os.sep)
                subfolders[:] = sorted(
                    one for one in subfolders if not one.startswith(".") and not other_splits([one], self.split)
                )
                if len(below) >= _DEPTH:
                    subfolders.clear()
                yield from (os.path.normpath(os.path.join(folder, file)) for file in sorted(files) if _is_image(file))


def _is_image(file: str) -> bool:
    return os.path.splitext(file)[1].lower() in IMAGE_SUFFIXES and not file.startswith(".")


def _readings(name: str) -> Iterator[str]:
    """What a name of another machine may mean, the likeliest first."""
    for text in dict.fromkeys((name, unquote(name))):
        path = text.replace("\\", "/")
        if "://" in path or path.startswith("/data/local-files/"):
            try:
                address = urlsplit(path)
            except ValueError:
                continue
            yield from (unquote(one) for one in parse_qs(address.query).get("d", []))
            path = address.path.lstrip("/")
        yield path


def _key(part: str) -> str:
    """File systems differ in case and in how they compose accents."""
    return unicodedata.normalize("NFC", part).lower()


def _common_end(wanted: Sequence[str], present: Sequence[str]) -> int:
    """How many of the last parts are the same."""
    count = 0
    for a, b in zip(reversed(wanted), reversed(present), strict=False):
        if a != b:
            break
        count += 1
    return count
