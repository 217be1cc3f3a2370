"""The format of a data set and the files of its splits, found from its folder alone."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from detector.data.folders import contents, walk
from detector.data.formats.data_yaml import read_description
from detector.data.formats.split_names import SPLITS, split_named
from detector.data.formats.voc import ANNOTATION_FOLDERS
from detector.data.options import Auto, Coco, Data, Voc, Yolo
from detector.data.paths import listing, nearest_names, relative, root_folder
from detector.data.text import read_text
from detector.errors import UserError, shown

_DESCENT = 3
"""How many folders that hold nothing but one folder are looked into."""
_MANY = 200
"""Json files in one folder above which they are taken for one an image, which is no COCO."""
_OTHER_TASKS = ("keypoints", "captions", "panoptic", "stuff", "image_info", "densepose")


@dataclass(frozen=True)
class Layout:
    """A data set as it lies on the disk."""

    format: str
    """coco | voc | yolo"""
    root: Path
    entries: dict[str, str] = field(default_factory=dict)
    """Split → file, list or folder, as `data.train`, `data.val` and `data.test` name them."""
    unclear: dict[str, list[str]] = field(default_factory=dict)
    """Split → files of which each could be the one."""

    def __str__(self) -> str:
        named = [f"{entry} ({split})" for split, entry in self.entries.items()]
        named += [f"{' or '.join(files[:4])} ({split}?)" for split, files in self.unclear.items()]
        absent = [split for split in ("train", "val") if not {split} & {*self.entries, *self.unclear}]
        parts = [*named, *(f"no {split}" for split in absent)] if self.format != "yolo" else []
        return f"{self.format.upper()} layout in {self.root}" + (": " + ", ".join(parts) if parts else "")


def complete(data: Data) -> tuple[Data, str | None]:
    """The data with its format, its root and its splits filled in as its folder shows them, and a line that says so.

    `data.root` may be a folder, the one above it, a `data.yaml` or a COCO json. What is given stays as it is. Data that
    lacks nothing, or whose folder shows nothing more, comes back unchanged, without a line.

    Raises:
        UserError: `data=auto` and the folder holds no data set that is known, or several.
    """
    if not data.root or not isinstance(data, Auto | Coco | Voc | Yolo):
        if isinstance(data, Auto):
            raise UserError("data.root is not set: give the folder of the data set, data.root=FOLDER")
        return data, None
    place = Path(data.root).expanduser()
    if isinstance(data, Auto):
        found = _of_file(place) if place.is_file() else _only(_search(root_folder(data), _given_format(data)), place)
        kind = {"coco": Coco, "voc": Voc, "yolo": Yolo}[found.format]
        kept = ("name", "root", *SPLITS)
        common = {one.name: getattr(data, one.name) for one in fields(Data) if one.name not in kept}
        completed = kind(root=data.root, **common)
        for split in SPLITS:
            setattr(completed, split, getattr(data, split))
    elif place.is_file():
        found, completed = _of_file(place), replace(data)
        if found.format != data.name:
            raise UserError(f"data.root: {place} is a file of the format {found.format}, not {data.name}")
    elif _lacks_nothing(data) or not place.is_dir():
        return data, None
    else:
        layouts = _search(place, (data.name,))
        if not layouts:
            return data, None
        found, completed = layouts[0], replace(data)
    completed.root = str(found.root)
    for split in SPLITS:
        given = getattr(completed, split)
        if not given or (isinstance(data, Voc) and given == getattr(Voc, split)):
            lists = isinstance(completed, Voc) and (found.root / "ImageSets").is_dir()
            setattr(completed, split, found.entries.get(split, given if lists else None))
    if completed == data:
        return data, None
    return completed, f"data: {found}"


def missing_split(data: Data, split: str) -> str:
    """A line that says why there is no such split and what would name one."""
    found = _search(root_folder(data), (data.name,))
    unclear = found[0].unclear.get(split) if found else None
    if unclear:
        files = nearest_names(unclear, "")
        return f"data.{split} is not set, and {data.root} has several files for it: choose one of {files}"
    seen = f"{found[0]}; " if found else ""
    example = {"coco": "a COCO json", "voc": "a list or a folder of xml files"}.get(data.name, "its images")
    return f"data.{split} is not set: {seen}name {example} with data.{split}=..."


def _lacks_nothing(data: Data) -> bool:
    root = Path(data.root or "").expanduser()
    match data:
        case Coco():
            return bool(data.train and data.val)
        case Voc():
            lists = [root / folder for folder in ("ImageSets/Main", "ImageSets", ".")]
            named = [entry.removesuffix(".txt") for entry in (data.train, data.val) if entry]
            return len(named) == 2 and all(
                any((folder / f"{name}.txt").is_file() for folder in lists) or (root / name).is_dir() for name in named
            )
    return any((root / name).is_file() for name in ("data.yaml", "data.yml"))


def _given_format(data: Data) -> tuple[str, ...]:
    """The formats that the given splits leave possible."""
    suffixes = {Path(entry).suffix.lower() for split in SPLITS if (entry := getattr(data, split))}
    return ("coco",) if ".json" in suffixes else tuple(_FORMATS)


def _of_file(file: Path) -> Layout:
    """The data set that a file belongs to.

    Raises:
        UserError: the file is neither a YAML nor a json.
    """
    folder = file.parent
    if file.suffix.lower() in (".yaml", ".yml", ".data"):
        return Layout("yolo", folder if file.name == "data.yaml" else file)
    if file.suffix.lower() != ".json":
        raise UserError(f"data.root: {file} is neither a folder nor a data.yaml nor a COCO json")
    root = folder.parent if folder.name.lower().startswith("annotation") or split_named(folder.name) else folder
    split = split_named(file.stem) or split_named(folder.name) or "train"
    around = _coco(root) or Layout("coco", root)
    entries = {**around.entries, split: file.relative_to(root).as_posix()}
    ordered = {name: entries[name] for name in SPLITS if name in entries}
    return Layout("coco", root, ordered, {name: v for name, v in around.unclear.items() if name != split})


def _only(layouts: Sequence[Layout], place: Path) -> Layout:
    if len(layouts) == 1:
        return layouts[0]
    if layouts:
        choices = " or ".join(f"data={layout.format}" for layout in layouts)
        raise UserError(f"data.root: {place} holds several formats: {'; '.join(map(str, layouts))}: choose {choices}")
    raise UserError(
        f"data.root: {place} holds no data set that is known: no COCO json, no VOC xml files, no data.yaml of YOLO; "
        f"there is {shown(listing(place, ''), 300)}"
    )


def _search(root: Path, formats: Sequence[str]) -> list[Layout]:
    """What there is in a folder, or in the only folder in it."""
    for _ in range(_DESCENT):
        found = [layout for name in formats if (layout := _FORMATS[name](root)) is not None]
        inner = _folders(root)
        if found or len(inner) != 1:
            return found
        root = inner[0]
    return []


# ---------------------------------------------------------------------------------------------------------------- formats
def _coco(root: Path) -> Layout | None:
    """Json files with images and annotations in a folder, in those below it, and in `FOLDER/annotations`."""
    folders = [root]
    for inner in _folders(root):
        folders.append(inner)
        if split_named(inner.name) or inner.name.lower().startswith("annotation"):
            folders += _folders(inner)
    files = [file for folder in folders for file in _json_files(folder)]
    if not files:
        return None
    splits: dict[str | None, list[Path]] = {}
    for file in files:
        inside = file.relative_to(root).parts[:-1]
        named = next((one for part in (file.stem, *reversed(inside)) if (one := split_named(part))), None)
        splits.setdefault(named, []).append(file)
    if "train" not in splits and len(splits.get(None, [])) == 1:
        splits["train"] = splits[None]
    elif set(splits) == {None}:
        splits = {"train": splits[None], "val": splits[None]}
    entries: dict[str, str] = {}
    unclear: dict[str, list[str]] = {}
    for split in SPLITS:
        names = [file.relative_to(root).as_posix() for file in _of_boxes(splits.get(split, []))]
        if len(names) == 1:
            entries[split] = names[0]
        elif names:
            unclear[split] = names
    return Layout("coco", root, entries, unclear)


def _of_boxes(files: list[Path]) -> list[Path]:
    """Files for detection, where COCO's other tasks have files beside them."""
    instances = [file for file in files if file.name.startswith("instances")]
    return instances or [file for file in files if not any(word in file.name for word in _OTHER_TASKS)] or files


def _json_files(folder: Path) -> list[Path]:
    names = [name for name in contents(folder)[1] if name.lower().endswith(".json")]
    files = [file for file in (folder / name for name in names) if file.is_file()]
    return [file for file in files if _is_coco(file)] if len(files) <= _MANY else []


def _is_coco(file: Path) -> bool:
    """Judged by its first and last 64 KiB: the images of a large file fill the rest."""
    try:
        with open(file, "rb") as stream:
            text = stream.read(1 << 16)
            stream.seek(max(stream.tell(), os.fstat(stream.fileno()).st_size - (1 << 16)))
            text += stream.read(1 << 16)
    except OSError:
        return False
    text = text.replace(b"\0", b"")  # UTF-16
    keys = [key in text for key in (b'"images"', b'"annotations"', b'"categories"')]
    return sum(keys) >= 2 and re.match(rb"[^\[\"\w]*\{", text) is not None


def _voc(root: Path) -> Layout | None:
    """`ImageSets/Main` with `Annotations`, also one or two folders below; or folders of xml files."""
    below = [*_folders(root), *(_folders(root / "VOCdevkit") if (root / "VOCdevkit").is_dir() else [])]
    places = [place for place in (root, *below) if (place / "ImageSets").is_dir()]
    if places and places[0] == root:
        places = [root]
    if len(places) > 1:
        names = " or ".join(f"data.root={place}" for place in places)
        raise UserError(f"data.root: {root} holds {len(places)} data sets of VOC: choose {names}")
    if places:
        return Layout("voc", places[0], _voc_lists(places[0]))
    entries: dict[str, str] = {}
    annotations = [root / name for name in ANNOTATION_FOLDERS if (root / name).is_dir()]
    for folder in (root, *annotations):
        for inner in _folders(folder):
            split = split_named(inner.name)
            if split and split not in entries and _has_xml(inner):
                entries[split] = relative(inner, root)
    if not entries:
        whole = next((folder for folder in (*annotations, root) if _has_xml(folder, deep=folder != root)), None)
        if whole is None:
            return None
        entries["train"] = relative(whole, root)
    return Layout("voc", root, {split: entries[split] for split in SPLITS if split in entries})


def _voc_lists(root: Path) -> dict[str, str]:
    folder = root / "ImageSets" / "Main"
    files = contents(folder if folder.is_dir() else folder.parent)[1]
    names = [name.removesuffix(".txt") for name in files if name.endswith(".txt")]
    entries = {}
    for split in SPLITS:
        words = [name for name in names if split_named(name) == split]
        plain = [name for name in words if "_" not in name]  # cat_train is the list of a class
        if chosen := [split] if split in names else plain[:1] if len(plain) == 1 else words if len(words) == 1 else []:
            entries[split] = chosen[0]
    if not entries and len(names) == 1 and not re.search("train|val|test", names[0]):
        entries["train"] = names[0]
    return entries


def _has_xml(folder: Path, deep: bool = True) -> bool:
    places = walk(folder) if deep else [(folder, contents(folder)[1])]
    file = next((place / name for place, names in places for name in names if name.endswith(".xml")), None)
    try:
        return file is not None and b"<annotation" in file.read_bytes()[:4096].replace(b"\0", b"")
    except OSError:
        return False


def _yolo(root: Path) -> Layout | None:
    """A `data.yaml`, another YAML that names classes, or what stands for one."""
    for file in (root / name for name in contents(root)[1] if name.lower().endswith((".yaml", ".yml"))):
        if file.name in ("data.yaml", "data.yml"):
            return Layout("yolo", root)
        if file.is_file():
            try:
                names = re.search(r"^\s*[\"']?names[\"']?\s*:", read_text(file), re.MULTILINE)
            except UserError:
                continue
            if names:
                return Layout("yolo", root)
    try:
        read_description(root)
    except UserError:
        return None
    return Layout("yolo", root)


def _folders(folder: Path) -> list[Path]:
    return [folder / name for name in contents(folder)[0] if not name.startswith("__")]


_FORMATS: dict[str, Callable[[Path], Layout | None]] = {"coco": _coco, "voc": _voc, "yolo": _yolo}
