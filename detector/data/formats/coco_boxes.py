"""The box of a COCO annotation: `bbox`, or what encloses its polygons or its run-length encoded mask."""

from __future__ import annotations

from typing import Any

import numpy as np

from detector.data.file_values import number

Box = tuple[float, float, float, float]
"""x, y, width, height in pixels."""
FARTHEST = 2.0**31
"""Pixels; no coordinate is larger."""


def box_of(annotation: dict[str, Any]) -> Box | None:
    """`bbox` as the file has it; where it is absent or empty, the box of `segmentation`. None where neither is one."""
    bbox = annotation.get("bbox")
    if bbox is None or bbox == []:
        return _box_of_segmentation(annotation.get("segmentation"))
    if not isinstance(bbox, list) or len(bbox) != 4:
        return None
    left, top, width, height = map(number, bbox)
    return (left, top, width, height) if _possible(left, top, width, height) else None


def _box_of_segmentation(segmentation: Any) -> Box | None:
    match segmentation:
        case {"counts": counts, "size": [height, width]}:
            return _box_of_runs(counts, number(height), number(width))
        case [_, *_]:
            polygons = segmentation if isinstance(segmentation[0], list) else [segmentation]
            return _box_of_polygons(polygons)
    return None


def _box_of_polygons(polygons: list[Any]) -> Box | None:
    """The box of all corners of polygons [x, y, x, y, ...] of three corners or more."""
    corners: list[float] = []
    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            return None
        corners += map(number, polygon)
    left, top = min(corners[0::2]), min(corners[1::2])
    width, height = max(corners[0::2]) - left, max(corners[1::2]) - top
    return (left, top, width, height) if _possible(*corners) else None


def _possible(*values: float) -> bool:
    """False where a value is not finite or farther away than any image is large."""
    return all(abs(value) <= FARTHEST for value in values)


def _box_of_runs(counts: Any, height: float, width: float) -> Box | None:
    """The box of a mask whose columns, one after the other, are runs of background, object, background, ...

    The last run may be left out. Nothing is decoded, so that a mask costs the number of its runs.
    """
    if not (height >= 1 and width >= 1 and height * width <= 2**53 and float(height).is_integer()):
        return None
    runs = (
        _decompress(counts)
        if isinstance(counts, str)
        else [number(count) for count in counts]
        if isinstance(counts, list)
        else []
    )
    if not runs or not all(run >= 0 and float(run).is_integer() for run in runs) or sum(runs) > height * width:
        return None
    ends = np.cumsum(np.asarray(runs, dtype=np.int64))
    starts, lasts = ends[:-1:2], ends[1::2] - 1
    starts = starts[: len(lasts)]
    some = lasts >= starts
    if not some.any():
        return None
    rows = int(height)
    left, right = (starts[some] // rows), (lasts[some] // rows)
    whole = right > left  # a run that goes on in the next column reaches the lowest and the highest row
    top = int(np.where(whole, 0, starts[some] % rows).min())
    bottom = int(np.where(whole, rows - 1, lasts[some] % rows).max())
    x = int(left.min())
    return float(x), float(top), float(int(right.max()) - x + 1), float(bottom - top + 1)


def _decompress(text: str) -> list[float]:
    """The runs of a compressed mask; none where the text is none.

    A character holds five bits of a number from the lowest up, less 48; its sixth bit says that more follow, and the
    fifth bit of the last is the sign. From the fourth run on numbers are differences from the run two before.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 60:
            return []
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return [] if shift else [float(run) for run in runs]
