"""The text of a COCO json file → its images, categories and annotations."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from detector.data.text import read_text
from detector.errors import UserError, shown

Entries = list[dict[str, Any]]


def load_coco(path: Path, key: str) -> dict[str, list[Any]]:
    """The lists `images`, `categories` and `annotations` of a file; each entry of the first two is an object.

    Args:
        path: the file, UTF-8, UTF-16 or UTF-32, with or without a byte order mark.
        key: what names the file in the configuration, for messages.

    Raises:
        UserError: the file is no json, says a key of an object twice, or is no COCO json.
    """
    content = parse_json(path, key)
    parts = {"images": ("id", "file_name"), "categories": ("id", "name"), "annotations": ()}
    for part, needed in parts.items():
        if not isinstance(content, dict) or not isinstance(content.get(part), list):
            raise UserError(f"{key}: {path} has no list {part!r}: a COCO json has images, categories and annotations")
        for n, entry in enumerate(content[part] if needed else []):
            lacking = [name for name in needed if not isinstance(entry, dict) or name not in entry]
            if lacking:
                raise UserError(f"{key}: {path}: entry {n} of {part!r} has no {lacking[0]!r}")
    return {part: content[part] for part in parts}


def parse_json(path: Path, key: str) -> Any:
    """What a json file holds.

    Raises:
        UserError: it is no text in a Unicode encoding, or no json, or an object in it says a key twice.
    """
    try:
        text = read_text(path)
    except UserError as error:
        raise UserError(f"{key}: {error}") from None
    objects = 0
    repeated: list[tuple[int, str]] = []

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal objects
        objects += 1
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            repeated.append((objects, next(name for name in names if names.count(name) > 1)))
        return found

    try:
        content = json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise UserError(f"{key}: {path}:{error.lineno} is not valid json: {error.msg}") from None
    except RecursionError:
        raise UserError(f"{key}: {path} is not a COCO json: its objects or lists are nested too deeply") from None
    except ValueError as error:  # an integer of more than 4,300 digits
        raise UserError(f"{key}: {path} has a number that cannot be read: {shown(str(error))}") from None
    if repeated:
        nth, name = repeated[0]
        line = _line_of_end(text, nth)
        raise UserError(f"{key}: {path}:{line}: the object that ends here says {shown(name)!r} twice: leave out one")
    return content


def _line_of_end(text: str, nth: int) -> int:
    """The line on which the n-th object to end does so, counted from 1."""
    ends = (found for found in re.finditer(r'"(?:[^"\\]|\\.)*"|\}', text) if found[0] == "}")
    end = next(found for count, found in enumerate(ends, 1) if count == nth)
    return text.count("\n", 0, end.start()) + 1
