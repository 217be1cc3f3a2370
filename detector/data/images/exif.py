"""The tags of a TIFF file or of an EXIF block, which is a small TIFF; of them the orientation above all."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

ORIENTATION = 0x0112

_MOST_ENTRIES, _MOST_NUMBERS = 4_096, 2**20
_INTEGERS = {1: "B", 3: "H", 4: "I", 16: "Q"}
"""TIFF's types of integers → letters of `struct`."""


@dataclass(frozen=True)
class Tag:
    """One entry of a TIFF's first directory."""

    numbers: tuple[int, ...]
    """Empty where the value is no unsigned integer: text, a fraction."""
    at: int
    """The byte of the file at which the entry begins."""
    upright: bytes
    """What the entry would be if it said: orientation 1."""


def read_tags(read: Callable[[int, int], bytes]) -> dict[int, Tag]:
    """The entries of the first directory of a TIFF or BigTIFF of which `read(start, count)` gives bytes.

    Raises:
        struct.error: the bytes end too early, or it is no TIFF.
    """
    start = read(0, 16)
    order = "<" if start[:2] == b"II" else ">"
    big = struct.unpack(order + "H", start[2:4])[0] == 43
    (at,) = struct.unpack(order + ("Q" if big else "I"), start[8:16] if big else start[4:8])
    length, inline = (20, 8) if big else (12, 4)
    entry_format = order + ("HHQ" if big else "HHI")
    (count,) = struct.unpack(order + ("Q" if big else "H"), read(at, 8 if big else 2))
    at += 8 if big else 2
    tags: dict[int, Tag] = {}
    for place in range(at, at + min(count, _MOST_ENTRIES) * length, length):
        entry = read(place, length)
        tag, kind, amount = struct.unpack(entry_format, entry[: length - inline])
        numbers: tuple[int, ...] = ()
        if kind in _INTEGERS and amount <= _MOST_NUMBERS:
            form = f"{order}{amount}{_INTEGERS[kind]}"
            content = entry[length - inline :]
            if struct.calcsize(form) > inline:
                (elsewhere,) = struct.unpack(order + ("Q" if big else "I"), content)
                content = read(elsewhere, struct.calcsize(form))
            numbers = struct.unpack(form, content[: struct.calcsize(form)])
        upright = struct.pack(entry_format + "H", tag, 3, 1, 1).ljust(length, b"\0")
        tags.setdefault(tag, Tag(numbers, place, upright))
    return tags


def exif_orientation(block: bytes) -> int:
    """The orientation 1 to 8 that an EXIF block holds; 1 where it holds none, a wrong one, or is damaged."""
    try:
        return orientation_of(read_tags(lambda start, count: block[start : start + count]))
    except struct.error:
        return 1


def orientation_of(tags: Mapping[int, Any]) -> int:
    """The orientation among tags, as numbers or as `Tag`; anything that is not 1 to 8 counts as 1."""
    value = tags.get(ORIENTATION, 1)
    if isinstance(value, Tag):
        value = value.numbers[0] if len(value.numbers) == 1 else 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1
