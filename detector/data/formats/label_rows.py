"""Rows of YOLO label files: boxes, polygons, keypoints, rotated boxes, detections with their confidence."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from detector.errors import shown

FORMS = "a line is 'class cx cy width height' or 'class x1 y1 x2 y2 x3 y3 ...'"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_LARGEST_SHARE = 2.0
"""Numbers above are no shares of an image, not even of one that a box reaches far over."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a label file: a class and what of the numbers after it can matter."""

    owner: int
    """Position of the image."""
    line: int
    label: int
    count: int
    """How many numbers follow the class."""
    start: tuple[float, ...]
    """The first six of them at most."""
    hull: tuple[float, float, float, float]
    """Least and largest of the numbers, taken as x and y in turn."""
    seems_keypoints: bool

    @classmethod
    def of(cls, owner: int, line: int, label: int, values: Sequence[float]) -> Row:
        """The row of `values`, four or more."""
        xs, ys = values[0::2], values[1::2]
        hull = min(xs), min(ys), max(xs), max(ys)
        return cls(owner, line, label, len(values), tuple(values[:6]), hull, _seems_keypoints(values))


def parse_rows(owner: int, text: str) -> Iterator[Row | tuple[int, str]]:
    """Each line that is not empty, as a row or as (line, what is wrong with it)."""
    for line, content in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
        words = content.split()
        if not words:
            continue
        if all(len(word) < 400 and _NUMBER.fullmatch(word) for word in words):
            first, *rest = map(float, words)
            if first.is_integer() and len(rest) >= 4:
                yield Row.of(owner, line, int(first), rest)
                continue
        yield line, f"skipped {shown(' '.join(words), 60)!r}: {FORMS}"


class RowForms:
    """What the rows of one split are, told from all of them together.

    5 numbers are a box. 6 are a box with a confidence, as detections are stored, where every sixth number is a share;
    7 the same with the number of a track. `keypoints`, the `kpt_shape` of a `data.yaml`, or else visibilities 0, 1, 2
    at every third place, tell boxes with keypoints from polygons. Any other even number of coordinates, three points or
    more, is a polygon or the corners of a rotated box, of which the hull is taken.

    Args:
        rows: of the whole split.
        keypoints: (how many, numbers of each), where the data set says so.
    """

    def __init__(self, rows: Sequence[Row], keypoints: tuple[int, int] | None) -> None:
        self.keypoints = keypoints
        self.confidences = all(0 <= row.start[4] <= 1 for row in rows if row.count == 5)
        counts = Counter(row.count for row in rows)
        seeming = Counter(row.count for row in rows if row.seems_keypoints)
        self._posed = {count for count, seen in seeming.items() if count % 2 or seen > 0.9 * counts[count]}

    def box(self, row: Row) -> tuple[float, float, float, float] | str:
        """x1, y1, x2, y2 as shares of the image, or what is wrong."""
        if row.count == 4 or self._is_box(row):
            numbers, result = row.start[:4], _corners(row.start)
        elif row.count == 5:
            return "6 numbers: neither a polygon nor a box with a confidence; boxes with an angle are not read"
        elif self.keypoints is not None:
            points, each = self.keypoints
            return f"{row.count + 1} numbers; kpt_shape [{points}, {each}] makes {5 + points * each} a row"
        elif row.count % 2:
            return FORMS
        else:
            numbers = result = row.hull
        if max(map(abs, numbers)) > _LARGEST_SHARE:
            return "coordinates are shares of the image's size, 0 to 1; these look like pixels"
        return result

    def _is_box(self, row: Row) -> bool:
        if row.count == 5:
            return self.confidences
        if self.keypoints is not None:
            return row.count == 4 + self.keypoints[0] * self.keypoints[1]
        if row.count == 6 and row.start[5] > 1:
            return 0 <= row.start[4] <= 1 and row.start[5].is_integer()
        return row.count in self._posed


def _seems_keypoints(values: Sequence[float]) -> bool:
    """Whether the fifth and later numbers are x, y, visibility of points around the box of the first four."""
    if len(values) < 7 or (len(values) - 4) % 3:
        return False
    visible = values[6::3]
    x1, y1, x2, y2 = _corners(values)
    if not all(v in (0, 1, 2) for v in visible) or x2 <= x1 or y2 <= y1:
        return False
    margin = 0.1 * max(x2 - x1, y2 - y1)
    inside = [
        x1 - margin <= x <= x2 + margin and y1 - margin <= y <= y2 + margin
        for x, y, v in zip(values[4::3], values[5::3], visible, strict=True)
        if v > 0
    ]
    return len(values) % 2 == 1 or (bool(inside) and all(inside))


def _corners(values: Sequence[float]) -> tuple[float, float, float, float]:
    x, y, width, height = values[:4]
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2
