"""Values of annotation files, whatever tool wrote them: numbers and ids that may be text."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from detector.types import ImageId

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_LONGEST_NUMBER = 400
_LONGEST_ID = 1000


def number(value: Any) -> float:
    """The number that a value is or, as text, spells in decimal digits; NaN for anything else, true and false included.

    An integer too large for a float is infinite.
    """
    match value:
        case bool():
            return math.nan
        case float():
            return value
        case int():
            try:
                return float(value)
            except OverflowError:
                return math.inf if value > 0 else -math.inf
        case str() if len(value) <= _LONGEST_NUMBER and _NUMBER.fullmatch(text := value.strip()):
            return float(text)
    return math.nan


def identifier(value: Any) -> ImageId | None:
    """An id as its file writes it, 7.0 as 7; None where a value identifies nothing.

    Any integer does, and text that can be printed and is not longer than a thousand characters.
    """
    match value:
        case bool():
            return None
        case int():
            return value if abs(value) < 10**_LONGEST_NUMBER else None
        case float():
            return int(value) if value.is_integer() else None
        case str():
            return value if value.isprintable() and 0 < len(value) <= _LONGEST_ID else None
    return None


def loose(identity: ImageId | None) -> ImageId | None:
    """The integer that an id spells, otherwise the id: what "7" and 7 have in common."""
    if isinstance(identity, str) and len(identity) <= _LONGEST_NUMBER and _INTEGER.fullmatch(identity.strip()):
        return int(identity)
    return identity


class Lookup:
    """Positions of ids. 7 and 7.0 are one id; so is "7", unless the ids themselves have both or `exact` is set."""

    def __init__(self, ids: Sequence[ImageId], exact: bool = False) -> None:
        positions = {one if isinstance(one, int) else loose(one): i for i, one in enumerate(ids)}
        self._exact = exact or len(positions) < len(ids)
        self._positions = {identity: i for i, identity in enumerate(ids)} if self._exact else positions

    def __call__(self, value: Any) -> int | None:
        """The position of the id that any value of a file means; None where there is none."""
        identity = identifier(value)
        if identity is None:
            return None
        meant = identity if self._exact else loose(identity)
        return None if meant is None else self._positions.get(meant)

    def of_integers(self, values: Iterable[int]) -> list[int | None]:
        """The position of each of many integers, of at most 400 digits."""
        return list(map(self._positions.get, values))


def in_order(ids: Iterable[ImageId]) -> list[ImageId]:
    """Ids sorted: integers by value, also where they are text, before other text."""

    def key(identity: ImageId) -> tuple[bool, int, str]:
        value = loose(identity)
        return (True, 0, value) if isinstance(value, str) else (False, value or 0, str(identity))

    return sorted(ids, key=key)


def id_array(ids: Sequence[ImageId]) -> np.ndarray:
    """Ids as one flat array: int64, uint64 or unicode; bytes that hold each id as JSON where none of these takes all."""
    if all(isinstance(identity, str) for identity in ids):
        return np.asarray(ids, dtype=np.str_)
    if all(isinstance(identity, int) for identity in ids):
        least, most = min(ids, default=0), max(ids, default=0)
        for kind in (np.int64, np.uint64):
            if np.iinfo(kind).min <= least and most <= np.iinfo(kind).max:  # type: ignore[operator]
                return np.asarray(ids, dtype=kind)
    return np.asarray([json.dumps(identity).encode() for identity in ids], dtype=np.bytes_)


def id_of(array: np.ndarray, i: int) -> ImageId:
    """Id `i` of an `id_array`, as it was."""
    value = array[i].item()
    return json.loads(value) if isinstance(value, bytes) else value


def ids_of(array: np.ndarray) -> list[ImageId]:
    """All ids of an `id_array`, as they were."""
    return [json.loads(value) for value in array.tolist()] if array.dtype.kind == "S" else array.tolist()
