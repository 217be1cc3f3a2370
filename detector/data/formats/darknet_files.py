"""The files that stand for a `data.yaml` in data sets of Darknet's kind: a `.data` file, a list of class names."""

from __future__ import annotations

from pathlib import Path

from detector.data.text import read_text
from detector.errors import UserError

_NAMES_FILES = ("classes.txt", "obj.names", "_darknet.labels", "predefined_classes.txt", "labels.txt")
_WORDS = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}


def data_file(folder: Path) -> Path | None:
    """The only `.data` file of a folder that names classes, as `obj.data` does."""
    found = []
    for file in sorted(folder.glob("*.data")):
        try:
            if "names" in read_options(file):
                found.append(file)
        except UserError:
            continue
    return found[0] if len(found) == 1 else None


def read_options(file: Path) -> dict[str, str]:
    """The lines `key = value` of a `.data` file.

    Raises:
        UserError: it is no text.
    """
    lines = (line.split("#")[0].partition("=") for line in read_text(file, 2**20).splitlines())
    return {key.strip(): value.strip() for key, equals, value in lines if equals and value.strip()}


def names_file(folder: Path) -> Path | None:
    """The list of class names of a data set: in its folder, or in that of its labels, as labelling tools put it."""
    inner = ("", "labels", "labels/train", "train", "train/labels", "images", "images/train", "obj_train_data")
    for place in (folder / name for name in inner):
        found = [place / name for name in _NAMES_FILES if (place / name).is_file()]
        found += sorted(file for file in place.glob("*.names") if file.is_file() and file not in found)
        if found:
            return found[0]
    return None


def read_names(file: Path) -> list[str]:
    """The lines of a file that are not empty.

    Raises:
        UserError: it is no text.
    """
    text = read_text(file, 2**20).replace("\r\n", "\n").replace("\r", "\n")
    return [line.strip() for line in text.split("\n") if line.strip()]


def split_entries(folder: Path) -> dict[str, tuple[str, ...]]:
    """Split → the folder or the list of its images; all images are for training where nothing names a split."""
    entries: dict[str, tuple[str, ...]] = {}
    for split, words in _WORDS.items():
        candidates = [form.format(word) for word in words for form in ("images/{}", "{}/images", "{}")]
        found = next((entry for entry in candidates if (folder / entry).is_dir()), None)
        if found is None:
            found = next((f"{word}.txt" for word in words if (folder / f"{word}.txt").is_file()), None)
        if found is not None:
            entries[split] = (found,)
    if not entries:
        whole = next((name for name in ("images", "obj_train_data") if (folder / name).is_dir()), None)
        if whole is not None:
            entries["train"] = (whole,)
    return entries
