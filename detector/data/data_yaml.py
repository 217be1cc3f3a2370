"""The `data.yaml` of a YOLO data set, as people have it: class names, and where the images of each split are."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from detector import config
from detector.data.index import Problem
from detector.data.paths import IMAGE_SUFFIXES, existing, listing, relative
from detector.errors import UserError


@dataclass(frozen=True)
class Description:
    """A `data.yaml`."""

    file: Path
    content: dict[str, Any]
    class_names: tuple[str, ...]


def read_description(root: Path) -> Description:
    """`root/data.yaml`, or the only YAML file in `root`.

    Raises:
        UserError: there is none, it is no YAML, or `names` and `nc` are wrong.
    """
    file = root / "data.yaml"
    others = sorted([*root.glob("*.yaml"), *root.glob("*.yml")])
    if not file.is_file() and len(others) == 1:
        file = others[0]
    if not file.is_file():
        raise UserError(f"data.root: no data.yaml in {root}; there is {listing(root, 'data.yaml')}")
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(f"{file}:{line} is not valid YAML: {error.problem}") from None
    if not isinstance(content, dict):
        raise UserError(f"{file} must have the keys train, val and names")
    return Description(file, content, _class_names(file, content.get("names"), content.get("nc")))


def _class_names(file: Path, names: Any, count: Any) -> tuple[str, ...]:
    """`names`, a list or a dict from 0..K−1, as many as `nc` says where it is given."""
    match names:
        case list():
            found = [str(name) for name in names]
        case dict():
            if sorted(names, key=str) != sorted(range(len(names)), key=str):
                raise UserError(f"{file}: the keys of names must be 0 to {len(names) - 1}, they are {list(names)}")
            found = [str(names[i]) for i in range(len(names))]
        case _:
            found = []
    if not found:
        raise UserError(f"{file}: names must list the classes, it is {names!r}")
    if len(set(found)) < len(found):
        raise UserError(f"{file}: names has {next(n for n in found if found.count(n) > 1)!r} more than once")
    if count is not None and count != len(found):
        raise UserError(f"{file}: nc is {count}, but names has {len(found)}: {', '.join(found)}")
    return tuple(found)


def split_images(
    data: config.Yolo, split: str, root: Path, description: Description, problems: list[Problem]
) -> tuple[list[Path], list[str]]:
    """The split's images and their ids: the path below the split's folder, or their common one, without suffix.

    `path` is resolved against the folder of `data.yaml`, then `root`; where it is of another machine, `root` takes its
    place. An entry is a folder, a text file that lists images, or a list of such. Listed images that are missing are
    left out and reported.

    Raises:
        UserError: a folder or list is missing or has no image, or two images would share a label file.
    """
    override = {"train": data.train, "val": data.val, "test": data.test}[split]
    if override:
        key, bases, entries = f"data.{split}", [root], [override]
    else:
        key, file = f"{description.file}, key {split}", description.file
        entry = description.content.get(split)
        if not entry:
            keys = ", ".join(map(str, description.content))
            raise UserError(f"data.{split}: {file} has no {split}; its keys are {keys}")
        entries = [str(item) for item in entry] if isinstance(entry, list) else [str(entry)]
        base = Path(str(description.content.get("path") or ".")).expanduser()
        bases = [file.parent / base, root / base, root]
    places = [_place(entry, bases, key) for entry in entries]

    images: dict[Path, None] = {}
    for place in places:
        found = _in_folder(place) if place.is_dir() else _in_list(place, bases, root, problems)
        if not found:
            raise UserError(f"{key}: no image in {place}")
        images.update(dict.fromkeys(found))
    files = list(images)
    folders = places if all(place.is_dir() for place in places) else [image.parent for image in files]
    common = os.path.commonpath([os.path.abspath(folder) for folder in folders])
    by_id: dict[str, Path] = {}
    for image in files:
        image_id = Path(os.path.abspath(image)).relative_to(common).with_suffix("").as_posix()
        if image_id in by_id:
            raise UserError(f"{key}: {by_id[image_id]} and {image.name} would share a label file: rename one")
        by_id[image_id] = image
    return files, list(by_id)


def _place(entry: str, bases: list[Path], key: str) -> Path:
    """The folder or list that `entry` names under the first base that has it.

    Exports often say `../train/images` and mean the folder beside their `data.yaml`, so that is tried too.
    """
    candidates = [base / entry for base in bases]
    if entry.startswith("../"):
        candidates += [base / entry.removeprefix("../") for base in bases]
    for candidate in candidates:
        if candidate.exists():
            return candidate
    return existing(candidates[-1], key, folder=True)


def _in_folder(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)


def _in_list(file: Path, bases: list[Path], root: Path, problems: list[Problem]) -> list[Path]:
    """The images that a text file lists; relative to itself or to where the yaml's paths are."""
    folders = [file.parent, *bases]
    images = []
    for line, text in enumerate(file.read_text(encoding="utf-8-sig").splitlines(), 1):
        if name := text.strip():
            found = next((folder / name for folder in folders if (folder / name).is_file()), None)
            if found is not None:
                images.append(found)
            else:
                what = f"left out: {name} is not there"
                problems.append(Problem("missing image", f"{relative(file, root)}:{line}", what))
    return images
