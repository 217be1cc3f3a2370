"""The text of a COCO json file → its images, categories and annotations."""

from __future__ import annotations

import contextlib
import gc
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detector.data.formats.coco_annotations import AnnotationList
from detector.data.text import read_text
from detector.errors import UserError, shown

Entries = list[dict[str, Any]]
PIECE = 2**20
"""Characters of a list that are made objects of at a time."""
_SPACE = re.compile(r"[ \t\n\r]*")
_BETWEEN_ENTRIES = re.compile(r"\}[ \t\n\r]*,[ \t\n\r]*\{")
_SPACE_BEFORE_COLON = re.compile(r'"[ \t\n\r]+:')


@dataclass(frozen=True)
class CocoFile:
    """What is read of a COCO json."""

    images: Entries
    categories: Entries
    annotations: AnnotationList


def load_coco(path: Path, key: str) -> CocoFile:
    """The lists `images`, `categories` and `annotations` of a file; each entry of the first two is an object.

    Args:
        path: the file, UTF-8, UTF-16 or UTF-32, with or without a byte order mark.
        key: what names the file in the configuration, for messages.

    Raises:
        UserError: the file is no json, says a key of an object twice, or is no COCO json.
    """
    text = _text(path, key)
    annotations = AnnotationList()
    try:
        with _no_search_for_cycles():
            content = _read_in_pieces(text, annotations)
    except (ValueError, RecursionError):  # whatever is wrong, it is found and named there
        content = _parse(text, path, key)
        annotations = AnnotationList()
    parts = {"images": ("id", "file_name"), "categories": ("id", "name"), "annotations": ()}
    for part, needed in parts.items():
        if not isinstance(content, dict) or not isinstance(content.get(part), list):
            raise UserError(f"{key}: {path} has no list {part!r}: a COCO json has images, categories and annotations")
        for n, entry in enumerate(content[part] if needed else []):
            lacking = [name for name in needed if not isinstance(entry, dict) or name not in entry]
            if lacking:
                raise UserError(f"{key}: {path}: entry {n} of {part!r} has no {lacking[0]!r}")
    annotations.take(content["annotations"])
    return CocoFile(content["images"], content["categories"], annotations)


@contextlib.contextmanager
def _no_search_for_cycles() -> Iterator[None]:
    """Python looks through all its objects for cycles ever again while many are made; what json makes has none."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _read_in_pieces(text: str, annotations: AnnotationList) -> dict[str, Any]:
    """The object that a json holds, in which the list of annotations is empty: they are in `annotations`.

    As a whole they would need ten times the memory, most of which would stay with the process in fragments.

    Raises:
        ValueError: it is no json, no object, or an object says a key twice.
    """
    content: dict[str, Any] = {}
    mark, at = _next(text, 0, "{")
    while mark != "}":
        name, at = _STRICT.raw_decode(text, at)
        if not isinstance(name, str) or name in content:
            raise ValueError("a key is no text, or is said twice")
        _, at = _next(text, at, ":")
        if name in ("images", "annotations") and text.startswith("[", at):
            content[name] = []
            take = annotations.take if name == "annotations" else content[name].extend
            at = _read_list(text, at + 1, take)
        else:
            content[name], at = _STRICT.raw_decode(text, at)
        mark, at = _next(text, at, ",}")
    if at != len(text):
        raise ValueError("more follows")
    return content


def _next(text: str, at: int, expected: str) -> tuple[str, int]:
    """The next character, which is one of those expected, and where what follows it begins.

    Raises:
        ValueError: another character comes next.
    """
    at = _SPACE.match(text, at).end()  # type: ignore[union-attr]
    if (mark := text[at : at + 1]) not in tuple(expected):
        raise ValueError(f"{mark!r} where one of {expected} is expected")
    return mark, _SPACE.match(text, at + 1).end()  # type: ignore[union-attr]


def _read_list(text: str, at: int, take: Callable[[list[Any]], None]) -> int:
    """Gives `take` the entries of a list whose first begins at `at`, piece by piece; the end of the list."""
    while (cut := _BETWEEN_ENTRIES.search(text, at + PIECE)) is not None:
        piece = f"[{text[at : cut.start() + 1]}]"
        try:
            entries = json.loads(piece)
        except ValueError:  # the list ends before, or this is a place within an entry
            break
        take(entries if _keys_differ(piece, entries) else _STRICT.decode(piece))
        at = cut.end() - 1
    rest = "[" + text[at:]
    entries, length = json.JSONDecoder().raw_decode(rest)
    take(entries if _keys_differ(rest[:length], entries) else _STRICT.decode(rest[:length]))
    return at + length - 1


def _keys_differ(text: str, entries: list[Any]) -> bool:
    """True if counting shows that no object in the text of a list says a key twice; False also where it cannot tell.

    Every key has a colon behind it. So where there are as many colons as the objects have keys, none of which a second one
    has replaced, no key is lost; text that has colons too only adds to them. Colons that follow a quotation mark at once
    are counted where there is such text, or an object within an entry.
    """
    if not set(map(type, entries)) <= {dict}:
        return False
    keys = sum(map(len, entries))
    if text.count(":") == keys:
        return True
    inner = [value for entry in entries for value in entry.values() if type(value) is dict]
    whole = text.count("{") == len(entries) + len(inner) and not _SPACE_BEFORE_COLON.search(text)
    return whole and text.count('":') == keys + sum(map(len, inner))


def _refuse_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is said twice")
    return found


_STRICT = json.JSONDecoder(object_pairs_hook=_refuse_repeated)


def _text(path: Path, key: str) -> str:
    try:
        return read_text(path)
    except UserError as error:
        raise UserError(f"{key}: {error}") from None


def _parse(text: str, path: Path, key: str) -> Any:
    """What a json holds.

    Raises:
        UserError: it is no json, or an object in it says a key twice; the line is named.
    """
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
