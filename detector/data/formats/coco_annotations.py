"""The annotations of a COCO json as columns: a tenth of the memory of the objects that json makes of them."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from detector.data.formats.coco_boxes import FARTHEST

_SMALLEST = 64
"""Entries that are not divided any further to find those that are plain."""
_ALL_KEYS = operator.itemgetter("id", "image_id", "category_id", "bbox", "area", "iscrowd")


class Columns(NamedTuple):
    """Plain annotations: integers as ids, four numbers in `bbox`, a possible area if any, and a flag if any."""

    number: np.ndarray
    """int64 [P]: place in the list of the file."""
    id: np.ndarray
    """int64 [P]."""
    image: np.ndarray
    """int64 [P]: `image_id`."""
    category: np.ndarray
    """int64 [P]: `category_id`."""
    box: np.ndarray
    """float64 [P, 4]: x, y, width, height, none farther than `FARTHEST`."""
    area: np.ndarray
    """float64 [P]: above 0; NaN where there is none."""
    crowd: np.ndarray
    """bool [P]."""

    def entry(self, row: int) -> dict[str, Any]:
        """The annotation of a row as its file has it, as far as it is read."""
        _, identity, image, category, box, area, crowd = (column[row].tolist() for column in self)
        annotation = {"id": identity, "image_id": image, "category_id": category, "bbox": box, "iscrowd": int(crowd)}
        return annotation if math.isnan(area) else {**annotation, "area": area}


class AnnotationList:
    """The list `annotations` of a file, taken in piece by piece: plain ones as columns, all others as they are."""

    def __init__(self) -> None:
        self.count = 0
        self.others: dict[int, Any] = {}
        """Place in the list → annotation, whatever it is."""
        self._parts: list[Columns] = []

    def take(self, entries: list[Any]) -> None:
        """Adds what comes next in the list."""
        self._sort(entries, self.count)
        self.count += len(entries)

    def columns(self) -> Columns:
        """The plain ones in the order of the file."""
        if len(self._parts) != 1:
            parts = self._parts or [no_columns()]
            self._parts = [Columns._make(np.concatenate(column) for column in zip(*parts, strict=True))]
        return self._parts[0]

    def categories(self) -> Iterator[tuple[Any, int]]:
        """Each `category_id` that there is, whatever it is, and a number of annotations; one may come several times."""
        ids, counts = np.unique(self.columns().category, return_counts=True)
        yield from zip(ids.tolist(), counts.tolist(), strict=True)
        yield from ((entry.get("category_id"), 1) for entry in self.others.values() if isinstance(entry, dict))

    def _sort(self, entries: list[Any], first: int) -> None:
        part = _columns(entries, first)
        if part is not None:
            self._parts.append(part)
        elif len(entries) <= _SMALLEST:
            self.others.update(enumerate(entries, first))
        else:
            half = len(entries) // 2
            self._sort(entries[:half], first)
            self._sort(entries[half:], first + half)


def no_columns() -> Columns:
    """The columns of no annotation."""
    number = np.empty(0, dtype=np.int64)
    return Columns(number, number, number, number, np.empty((0, 4)), np.empty(0), np.empty(0, dtype=np.bool_))


def _columns(entries: list[Any], first: int) -> Columns | None:
    """The columns of annotations of which the first is number `first`; None unless all are plain."""
    if not entries:
        return no_columns()
    try:
        ids, images, categories, boxes, areas, flags = zip(*map(_ALL_KEYS, entries), strict=True)
    except (KeyError, TypeError):
        if not all(
            type(entry) is dict and entry.keys() >= {"id", "image_id", "category_id", "bbox"} for entry in entries
        ):
            return None
        ids, images, categories, boxes = zip(
            *map(operator.itemgetter("id", "image_id", "category_id", "bbox"), entries), strict=True
        )
        areas, flags = zip(*[(entry.get("area"), entry.get("iscrowd")) for entry in entries], strict=True)
    if not (
        all(_types(values) == {int} for values in (ids, images, categories))
        and _types(boxes) == {list}
        and set(map(len, boxes)) == {4}
        and _types(areas) <= {int, float, type(None)}
        and _types(flags) <= {int, bool, type(None)}
    ):
        return None
    corners = list(itertools.chain.from_iterable(boxes))
    if not _types(corners) <= {int, float}:
        return None
    try:
        box = np.fromiter(corners, np.float64, len(corners)).reshape(-1, 4)
        given = areas if None not in areas else [math.nan if area is None else area for area in areas]
        area = np.fromiter(given, np.float64, len(areas))
        columns = Columns(
            np.arange(first, first + len(entries)),
            np.fromiter(ids, np.int64, len(ids)),
            np.fromiter(images, np.int64, len(images)),
            np.fromiter(categories, np.int64, len(categories)),
            box,
            area,
            np.fromiter(map(bool, flags), np.bool_, len(flags)),
        )
    except OverflowError:
        return None
    missing = np.isnan(area)
    if missing.sum() != areas.count(None) or not (missing | ((area > 0) & (area <= FARTHEST**2))).all():
        return None
    return columns if (np.abs(box) <= FARTHEST).all() else None


def _types(values: Sequence[Any]) -> set[type]:
    return set(map(type, values))
