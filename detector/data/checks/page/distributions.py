"""How sizes, shapes, numbers and places of objects are distributed in each split, as a page draws them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from detector.columns import column
from detector.data.index import Index

GRID = 24
"""Cells along a side of the maps of positions."""
MOST_CLASSES = 120
"""Classes up to which each has a map of its own."""
_SIDES = 2.0 ** np.arange(0, 12.5, 0.5)
_ASPECTS = 2.0 ** np.arange(-5, 5.25, 0.5)


def distributions(indices: Mapping[str, Index], image_size: int) -> dict[str, Any]:
    """What the page's script draws: histograms with the same bins for all splits, and maps by split and class."""
    most = max(int(np.diff(index.offsets).max(initial=0)) for index in indices.values())
    width = max(1, -(-(most + 1) // 25))
    numbers = np.arange(0, most + 1 + width, width)
    sides, aspects, per_image = {}, {}, {}
    for split, index in indices.items():
        size = (index.boxes[:, 2:] - index.boxes[:, :2]).astype(np.float64)
        scale = np.repeat(image_size / index.sizes.max(axis=1, initial=1), np.diff(index.offsets))
        sides[split] = _shares(np.sqrt(size.prod(axis=1)) * scale, _SIDES)
        aspects[split] = _shares(size[:, 0] / size[:, 1], _ASPECTS)
        per_image[split] = _shares(np.diff(index.offsets), numbers)
    return {
        "sides": {"edges": _SIDES.tolist(), "shares": sides},
        "aspects": {"edges": _ASPECTS.tolist(), "shares": aspects},
        "numbers": {"edges": numbers.tolist(), "shares": per_image},
        "maps": {split: column(positions(index)) for split, index in indices.items()},
        "grid": GRID,
    }


def positions(index: Index) -> np.ndarray:
    """uint32 [1 + K, GRID, GRID]: over how many objects each part of the image lies, of all classes and of each.

    A part counts for a box that its middle lies in, in shares of the image's sides; a box smaller than a part counts in the
    part where its own middle is. With more than `MOST_CLASSES` classes there is the first map alone.
    """
    classes = len(index.class_names) if len(index.class_names) <= MOST_CLASSES else 0
    owners = np.repeat(np.arange(len(index)), np.diff(index.offsets))
    sides = index.sizes[owners][:, [1, 0, 1, 0]]
    cells = index.boxes.astype(np.float64) / sides * GRID
    low, high = np.ceil(cells[:, :2] - 0.5).astype(int), np.ceil(cells[:, 2:] - 0.5).astype(int)
    middle = np.floor((cells[:, :2] + cells[:, 2:]) / 2).astype(int)
    empty = high <= low
    low, high = np.where(empty, middle, low).clip(0, GRID - 1), np.where(empty, middle + 1, high).clip(1, GRID)
    # each rectangle is four marks at its corners, of which a sum over rows and columns makes it
    marks = np.zeros((1 + classes, GRID + 1, GRID + 1), dtype=np.int64)
    for layer in (np.zeros(len(low), dtype=int), *([1 + index.labels] if classes else [])):
        for (x, y), sign in (
            ((low[:, 0], low[:, 1]), 1),
            ((high[:, 0], low[:, 1]), -1),
            ((low[:, 0], high[:, 1]), -1),
            ((high[:, 0], high[:, 1]), 1),
        ):
            np.add.at(marks, (layer, y, x), sign)
    return marks.cumsum(axis=1).cumsum(axis=2)[:, :GRID, :GRID].astype(np.uint32)


def _shares(values: np.ndarray, edges: np.ndarray) -> list[float]:
    """The share of the values in each bin; those beyond the ends are in the first and the last."""
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    return [round(float(one), 6) for one in counts / max(1, len(values))]
