"""The description of a YOLO data set: the class names, and where the images of each split are."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import yaml

from detector.data.formats.darknet_files import data_file, names_file, read_names, read_options, split_entries
from detector.data.moved_paths import PathFinder, is_there
from detector.data.options import Yolo
from detector.data.paths import listing, nearest_names, root_folder
from detector.data.text import read_text
from detector.errors import UserError, shown

LARGEST = 2**20
"""Bytes above which a YAML is no description of a data set."""
_KEYS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""Split → the keys that name it."""
_NOTHING = frozenset({"", "~", "null", "Null", "NULL"})


@dataclass(frozen=True)
class Description:
    """What a `data.yaml`, or the files that stand for one, say."""

    file: Path
    class_names: tuple[str, ...]
    entries: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Split → folders and lists of images, as they are written."""
    base: str = "."
    """The folder that the entries are relative to, as it is written."""
    keypoints: tuple[int, int] | None = None
    """`kpt_shape`: how many keypoints a row has, and the numbers of each."""
    keys: tuple[str, ...] = ()
    """What the file says anything about."""
    note: str | None = None
    """What stands for the `data.yaml`, where there is none."""


def yolo_place(data: Yolo) -> Path:
    """`data.root`, a folder or the YAML file itself.

    Raises:
        UserError: it is not given or is neither.
    """
    place = Path(data.root or "").expanduser()
    if data.root and place.suffix.lower() in (".yaml", ".yml", ".data") and is_there(place, False):
        return place
    return root_folder(data)


def read_description(place: Path) -> Description:
    """The description `place`, or in the folder `place`: `data.yaml`, the only YAML file that names classes, a Darknet
    `.data` file, or a list of class names (`classes.txt`, `obj.names`) beside folders of images.

    Raises:
        UserError: there is none, it is no YAML, or `names` and `nc` are wrong.
    """
    if place.is_file():
        return _of_data_file(place) if place.suffix.lower() == ".data" else _of_yaml(place)
    for name in ("data.yaml", "data.yml"):
        if (place / name).is_file():
            return _of_yaml(place / name)
    others = sorted(file for file in [*place.glob("*.yaml"), *place.glob("*.yml")] if file.is_file())
    if len(others) > 1:
        others = [file for file in others if _names_classes(file)]
    if len(others) > 1:
        names = ", ".join(file.name for file in others)
        raise UserError(f"data.root: {place} has several descriptions, {names}: choose one with data.root=FILE")
    if others:
        return _of_yaml(others[0])
    if (file := data_file(place)) is not None:
        return _of_data_file(file)
    if (file := names_file(place)) is not None and (entries := split_entries(place)):
        found = _checked(file, read_names(file), None)
        parts = ", ".join(f"{split} from {entry}" for split, (entry,) in entries.items())
        note = f"no data.yaml: {len(found)} class names from {file.relative_to(place)}, {parts}"
        return Description(place, found, entries, keys=tuple(entries), note=note)
    raise UserError(
        f"data.root: no data.yaml in {place}; there is {listing(place, 'data.yaml')}, "
        "and no classes.txt or obj.names with folders of images"
    )


def _of_data_file(file: Path) -> Description:
    options = read_options(file)
    if "names" not in options:
        raise UserError(f"{file} has no names; its keys are {nearest_names(list(options), 'names')}")
    finder = PathFinder([file.parent, file.parent.parent], lambda path: is_there(path, False))
    names = finder.find(options["names"])
    if names is None:
        raise UserError(f"{file}, key names: there is no file {shown(options['names'], 300)}")
    entries: dict[str, tuple[str, ...]] = {
        split: (options[key],) for split, keys in _KEYS.items() for key in reversed(keys) if options.get(key)
    }
    found = _checked(file, read_names(names), options.get("classes"), "classes")
    return Description(
        file, found, entries, keys=tuple(options), note=f"{file.name} and {len(found)} class names from {names.name}"
    )


def _names_classes(file: Path) -> bool:
    try:
        return re.search(r"^\s*[\"']?names[\"']?\s*:", read_text(file, LARGEST), re.MULTILINE) is not None
    except UserError:
        return False


# ------------------------------------------------------------------------------------------------------------------ yaml
def _of_yaml(file: Path) -> Description:
    """Scalars stay the text that stands in the file: `no`, `010` and `1e3` are names, and no truth or number."""
    content = _mapping(_tree(file), file, "it")
    texts = {key: _text(node) for key, node in content.items()}
    names = content.get("names")
    base = texts.get("path") or "."
    if isinstance(names, yaml.ScalarNode) and texts.get("names"):
        finder = PathFinder([file.parent, file.parent / base], lambda path: is_there(path, False))
        list_file = finder.find(str(names.value))
        if list_file is None:
            raise UserError(f"{file}: names must list the classes, it is {shown(str(names.value))!r}")
        found = read_names(list_file)
    else:
        found = _names(names, file)
    entries = {}
    for split, keys in _KEYS.items():
        key = next((key for key in keys if content.get(key) is not None and _texts(content[key], file, key)), None)
        if key is not None:
            entries[split] = _texts(content[key], file, key)
    return Description(
        file,
        _checked(file, found, texts.get("nc")),
        entries,
        base,
        _keypoints(content.get("kpt_shape"), file),
        tuple(content),
    )


def _tree(file: Path) -> yaml.Node | None:
    """The nodes of the file: nothing is built from them, so that aliases cannot multiply and no tag does anything."""
    try:
        return yaml.compose(read_text(file, LARGEST), Loader=yaml.BaseLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(f"{file}:{line} is not valid YAML: {shown(str(error.problem), 300)}") from None
    except (yaml.YAMLError, RecursionError, ValueError, AttributeError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else shown(str(error).splitlines()[0], 300)
        raise UserError(f"{file} is not valid YAML: {reason}") from None


def _mapping(node: yaml.Node | None, file: Path, what: str) -> dict[str, yaml.Node]:
    if not isinstance(node, yaml.MappingNode):
        raise UserError(f"{file} must have the keys train, val and names")
    found: dict[str, yaml.Node] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise UserError(f"{file}:{key.start_mark.line + 1}: a key must be text")
        if key.value in found and key.value != "<<":
            raise UserError(f"{file}:{key.start_mark.line + 1}: {what} has {shown(key.value)!r} more than once")
        found[key.value] = value
    return found


def _text(node: yaml.Node | None) -> str | None:
    """The text of a scalar; None of anything else and of what YAML calls null."""
    if not isinstance(node, yaml.ScalarNode) or (node.style is None and node.value in _NOTHING):
        return None
    return str(node.value).strip() or None


def _texts(node: yaml.Node, file: Path, key: str) -> tuple[str, ...]:
    """A path or a list of paths."""
    if isinstance(node, yaml.SequenceNode):
        found = [_text(item) for item in node.value]
        if None in found:
            raise UserError(f"{file}, key {key}: an entry of the list is no path")
        return tuple(text for text in found if text is not None)
    if isinstance(node, yaml.MappingNode):
        raise UserError(f"{file}, key {key}: it must be a folder, a text file or a list of these")
    text = _text(node)
    return (text,) if text else ()


def _names(node: yaml.Node | None, file: Path) -> list[str]:
    """`names`, a list or a dict from 0..K−1."""
    if isinstance(node, yaml.SequenceNode):
        return [_name(item, file) for item in node.value]
    if isinstance(node, yaml.MappingNode):
        found = _mapping(node, file, "names")
        keys = [int(key) if re.fullmatch(r"\d{1,9}", key, re.ASCII) else key for key in found]
        if sorted(keys, key=str) != sorted(range(len(keys)), key=str):
            named = ", ".join(shown(str(key), 20) for key in keys[:10]) + (", ..." if len(keys) > 10 else "")
            raise UserError(f"{file}: the keys of names must be 0 to {len(keys) - 1}, they are [{named}]")
        by_key = dict(zip(keys, found.values(), strict=True))
        return [_name(by_key[i], file) for i in range(len(keys))]
    return []


def _name(node: yaml.Node, file: Path) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise UserError(f"{file}:{node.start_mark.line + 1}: the name of a class must be text")
    return str(node.value).strip()


def _keypoints(node: yaml.Node | None, file: Path) -> tuple[int, int] | None:
    if not isinstance(node, yaml.SequenceNode):
        return None
    match [_text(item) for item in node.value]:
        case [str(points), "2" | "3" as each] if re.fullmatch(r"\d{1,6}", points, re.ASCII):
            return int(points), int(each)
    raise UserError(f"{file}: kpt_shape must be [how many keypoints, 2 or 3]")


def _checked(file: Path, names: list[str], count: str | None, key: str = "nc") -> tuple[str, ...]:
    """The names, as many as `count` says where it is given, none empty and none twice."""
    if not names:
        raise UserError(f"{file}: names must list the classes, it is None")
    for i, name in enumerate(names):
        if not name or any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in name):
            raise UserError(f"{file}: the name of class {i} is {shown(name)!r}: it must be text in one line")
    if len(set(names)) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise UserError(f"{file}: names has {shown(twice)!r} more than once")
    if count is not None and (not re.fullmatch(r"\d{1,9}", count, re.ASCII) or int(count) != len(names)):
        _refuse_count(file, key, count, names)
    return tuple(names)


def _refuse_count(file: Path, key: str, count: str, names: list[str]) -> NoReturn:
    raise UserError(f"{file}: {key} is {shown(count, 40)}, but names has {len(names)}: {nearest_names(names, '')}")
