"""The categories of a COCO json, and which of them are classes."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from detector.data.file_values import Lookup, identifier, in_order, loose
from detector.data.formats.coco_json import CocoFile, load_coco
from detector.errors import UserError, shown
from detector.types import ImageId


@dataclass(frozen=True)
class Category:
    """An entry of `categories`."""

    id: ImageId
    """The id as the file writes it."""
    name: str
    group: str
    """The category's `supercategory`, empty where the file has none."""
    annotations: int
    """How many annotations of the file are of this category."""


def read_categories(content: CocoFile, path: Path, key: str) -> list[Category]:
    """The categories of a file, sorted by id.

    Raises:
        UserError: an id or a name is none, or two categories have the same id.
    """
    entries: dict[ImageId, tuple[str, str]] = {}
    for n, entry in enumerate(content.categories):
        category_id, name = identifier(entry["id"]), _text(entry["name"])
        if category_id is None:
            what = f"{shown(entry['id'])!r}, which is no id: an integer or a text is one"
            raise UserError(f"{key}: {path}: entry {n} of 'categories' has the id {what}")
        if not name:
            raise UserError(f"{key}: {path}: entry {n} of 'categories' has the name {shown(entry['name'])!r}: no text")
        if category_id in entries:
            raise UserError(f"{key}: {path} has more than one category with the id {category_id}: it must be unique")
        entries[category_id] = name, _text(entry.get("supercategory"))
    ids = in_order(entries)
    lookup, counts = Lookup(ids), [0] * len(ids)
    for value, count in content.annotations.categories():
        if (position := lookup(value)) is not None:
            counts[position] += count
    return [Category(one, *entries[one], count) for one, count in zip(ids, counts, strict=True)]


def classes(
    categories: Sequence[Category], elsewhere: Collection[tuple[ImageId | None, str]], path: Path, key: str
) -> tuple[list[Category], list[Category]]:
    """The categories that are classes, and those that only group others.

    A category that others name as their supercategory and that nothing is annotated with, in this file or `elsewhere`
    (id and name of each category annotated in another split), is no class. Exports of Roboflow begin with one. Of two
    categories of one name, the annotated one is the class.

    Raises:
        UserError: two categories of one name could both be the class.
    """
    groups = [
        one
        for one in categories
        if not one.annotations
        and any(other.group == one.name for other in categories if other.id != one.id)
        and not any(name == one.name and _may_be(one, known, categories) for known, name in elsewhere)
    ]
    kept = [one for one in categories if one not in groups]
    for one in kept:
        same = [other for other in kept if other.name == one.name]
        if len(same) > 1:
            raise UserError(f"{key}: {path} has more than one category with the name {one.name!r}: it must be unique")
    return kept, groups


def annotated_elsewhere(files: Sequence[Path]) -> set[tuple[ImageId | None, str]]:
    """Id and name of each category that has annotations in one of some COCO json files; those unreadable have none."""
    found: set[tuple[ImageId | None, str]] = set()
    for file in files:
        state = os.stat(file)
        found |= _annotated(file, state.st_mtime_ns, state.st_size)
    return found


@lru_cache(maxsize=8)
def _annotated(file: Path, *_state: int) -> frozenset[tuple[ImageId | None, str]]:
    try:
        categories = read_categories(load_coco(file, ""), file, "")
    except UserError:  # said where that split is read
        return frozenset()
    return frozenset((loose(one.id), one.name) for one in categories if one.annotations)


def _may_be(group: Category, known: ImageId | None, categories: Sequence[Category]) -> bool:
    """Whether the category with the id `known` of another file, of the same name, is this one and not its namesake."""
    namesakes = {loose(one.id) for one in categories if one.name == group.name and one.id != group.id}
    return known not in namesakes


def _text(value: Any) -> str:
    """A name with single spaces; empty where the value is none."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    text = " ".join(value.split()) if isinstance(value, str) else ""
    return text if text.isprintable() else ""
