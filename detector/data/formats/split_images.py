"""The images of one split of a YOLO data set, in folders and lists that were perhaps written on another machine."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from detector.data.folders import is_data, walk
from detector.data.formats.data_yaml import Description
from detector.data.images.headers import IMAGE_SUFFIXES, picture_kind
from detector.data.index import Problem
from detector.data.moved_paths import PathFinder, is_there
from detector.data.options import Yolo
from detector.data.paths import existing, relative
from detector.data.text import read_text
from detector.errors import UserError, shown

_OTHER_PICTURES = frozenset(
    {*(".heic", ".heif", ".jxl", ".svg", ".exr", ".eps", ".pdf", ".raw", ".dng", ".nef", ".cr2", ".cr3", ".arw")}
    | {*(".orf", ".rw2", ".raf", ".psb", ".xcf", ".wdp", ".jxr", ".dcm", ".npy", ".fits", ".j2c", ".webm", ".mp4")}
)
"""Suffixes of pictures and of what holds pictures, which are not read."""


@dataclass
class SplitImages:
    """Images of a split."""

    files: list[Path] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    """The path below the split's folder, or the images' common one, without suffix."""
    folders: list[Path] = field(default_factory=list)
    """The folders, of those that name the split, that were searched."""
    notes: list[str] = field(default_factory=list)


def split_images(data: Yolo, split: str, root: Path, description: Description, problems: list[Problem]) -> SplitImages:
    """The images of `data.train`, `data.val` or `data.test`, or else of the description's entry for the split.

    `path` is resolved against the folder of `data.yaml`, then `root`; where it is of another machine, `root` takes its
    place. An entry is a folder, a text file that lists images, an image, or a list of such. Listed images that are
    missing are left out and reported, as are files that look like pictures but are not read.

    Raises:
        UserError: a folder or list is missing or has no image.
    """
    override = {"train": data.train, "val": data.val, "test": data.test}[split]
    entries: tuple[str, ...]
    if override:
        key, bases, entries = f"data.{split}", [root], (override,)
    else:
        key, entries = f"{description.file}, key {split}", description.entries.get(split, ())
        if not entries:
            keys = ", ".join(shown(key, 40) for key in description.keys[:20])
            raise UserError(f"data.{split}: {description.file} has no {split}; its keys are {keys}")
        bases = [*_bases(root, description), root]
    result = SplitImages()
    finder = PathFinder(bases, is_there)
    found: dict[str, Path] = {}
    for entry in entries:
        place = finder.find(entry) or existing(bases[-1] / entry, key, folder=True)
        if place.is_dir():
            images = _in_folder(place, root, problems)
            result.folders.append(place)
        elif place.suffix.lower() in IMAGE_SUFFIXES:
            images = [place]
        else:
            images = _in_list(place, bases, root, problems, result.notes)
        if not images:
            raise UserError(f"{key}: no image in {shown(str(place), 300)}{_reason(problems)}")
        for image in images:
            found.setdefault(os.path.abspath(image), image)
    result.notes += [f"{key}: {shown(text, 300)} is read as {relative(path, root)}" for text, path in finder.moved]
    result.files = list(found.values())
    result.ids = _ids(list(found), [os.path.abspath(folder) for folder in result.folders])
    return result


def _bases(root: Path, description: Description) -> list[Path]:
    base = description.base.replace("\\", "/")
    home = description.file if description.file.is_dir() else description.file.parent
    bases = [home / base, root / base]
    if base.startswith("~"):
        with contextlib.suppress(RuntimeError):  # no such user
            bases.insert(0, Path(base).expanduser())
    return [place for place in bases if is_there(place, True)]


def _ids(files: Sequence[str], folders: Sequence[str]) -> list[str]:
    """Unique names: with the suffix where two images differ in nothing else."""
    places = [*folders, *(os.path.dirname(file) for file in files if not file.startswith(tuple(folders)))]
    common = os.path.commonpath(places)
    names = [Path(os.path.relpath(file, common)) for file in files]
    stems = [name.with_suffix("").as_posix() for name in names]
    counts = Counter(stems)
    return [name.as_posix() if counts[stem] > 1 else stem for name, stem in zip(names, stems, strict=True)]


def _in_folder(folder: Path, root: Path, problems: list[Problem]) -> list[Path]:
    images: list[Path] = []
    for place, names in walk(folder):
        for name in names:
            suffix = os.path.splitext(name)[1].lower()
            if suffix in IMAGE_SUFFIXES:
                images.append(place / name)
            elif (what := _what_it_is(place / name, suffix)) is not None:
                problems.append(Problem("file that is not read", relative(place / name, root), f"left out: {what}"))
    return images


def _what_it_is(file: Path, suffix: str) -> str | None:
    """Why a file that is no image by its name may be meant as one; None where it is something else."""
    kind = picture_kind(file)
    if kind is not None:
        return f"it is a {kind} by its content: give it that suffix"
    if suffix in _OTHER_PICTURES:
        return f"{suffix} is not decoded here: save it as JPEG or PNG"
    return None


def _in_list(file: Path, bases: list[Path], root: Path, problems: list[Problem], notes: list[str]) -> list[Path]:
    """The images that a text file lists; relative to itself or to where the yaml's paths are, or in `images`."""
    folders = [file.parent, *bases]
    finder = PathFinder([*folders, *(folder / "images" for folder in folders)], lambda path: is_there(path, False))
    images: dict[Path, int] = {}
    for line, text in enumerate(read_text(file).replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
        name = text.strip()
        if not name:
            continue
        where = f"{relative(file, root)}:{line}"
        if not all(is_data(part) for part in name.replace("\\", "/").split("/")[-2:] if part not in (".", "..")):
            problems.append(Problem("hidden image", where, f"left out: {shown(name, 300)} is hidden or left by a tool"))
        elif (found := finder.find(name)) is None:
            problems.append(Problem("missing image", where, f"left out: {shown(name, 300)} is not there"))
        elif found in images:
            problems.append(
                Problem("repeated image", where, f"{shown(name, 300)} is on line {images[found]}: taken once")
            )
        else:
            images[found] = line
    if finder.moved:
        text, path = finder.moved[0]
        more = f", and {len(finder.moved) - 1} more likewise" if len(finder.moved) > 1 else ""
        notes.append(f"{relative(file, root)}: {shown(text, 300)} is read as {relative(path, root)}{more}")
    return list(images)


def _reason(problems: Sequence[Problem]) -> str:
    """What the problems of a place without images begin with."""
    if not problems:
        return ""
    first = problems[-1] if len(problems) == 1 else problems[0]
    return f" ({len(problems)} × {first.kind}, first {first.where}: {first.what})"
