"""Rectangles of cells about annotated objects: which points these are is decided on the host, in float64."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detector.heads.points import Level, Points


@dataclass(frozen=True)
class Cells:
    """Rectangles of cells, `low` to `high` with both, S of them for each of N objects on each of L levels.

    Those of an object on a level lie below one another. An empty one has a `high` below its `low`.
    """

    low: np.ndarray
    """int64 [N, L, S, 2], column and row."""
    high: np.ndarray
    """int64 [N, L, S, 2]."""

    def points(self, levels: tuple[Level, ...]) -> np.ndarray:
        """int64 [N], the number of points in the rectangles of each object."""
        sides = np.maximum(self.high - self.low + 1, 0)
        return (sides.prod(axis=-1).sum(axis=-1) * [one.per_cell for one in levels]).sum(axis=-1)


def cells_between(points: Points, low: np.ndarray, high: np.ndarray, borders: bool = True) -> Cells:
    """The cells of each level whose centres lie in a rectangle of each object, as one rectangle of cells (S = 1).

    Args:
        points: the points of an image.
        low: float64 [N, L, 2], left and upper border in pixels.
        high: float64 [N, L, 2], right and lower border.
        borders: whether what lies on a border lies in the rectangle.
    """
    stride = np.array([level.stride for level in points.levels], dtype=np.float64)[:, None]
    last = np.array([(level.columns, level.rows) for level in points.levels]) - 1
    low, high = np.clip(low / stride - 0.5, -1, last + 1), np.clip(high / stride - 0.5, -1, last + 1)
    first = np.ceil(low) if borders else np.floor(low) + 1
    end = np.floor(high) if borders else np.ceil(high) - 1
    return Cells(np.maximum(first, 0).astype(np.int64)[:, :, None], np.minimum(end, last).astype(np.int64)[:, :, None])


def either(a: Cells, b: Cells) -> Cells:
    """The cells in one or the other of two rectangles (S = 1), the columns of one within those of the other, and rows too.

    Three rectangles (S = 3): the rows of the taller one above the other, the rows of both, and those below.
    """
    empty = ((a.high < a.low).any(axis=-1, keepdims=True), (b.high < b.low).any(axis=-1, keepdims=True))
    a_low, a_high = np.where(empty[0], b.low, a.low), np.where(empty[0], b.high, a.high)
    b_low, b_high = np.where(empty[1], a.low, b.low), np.where(empty[1], a.high, b.high)
    taller = a_high[..., 1:] - a_low[..., 1:] >= b_high[..., 1:] - b_low[..., 1:]
    tall_low, tall_high = np.where(taller, a_low, b_low), np.where(taller, a_high, b_high)
    other_low, other_high = np.where(taller, b_low, a_low), np.where(taller, b_high, a_high)
    low = np.concatenate([tall_low, np.minimum(tall_low, other_low), tall_low], axis=2)
    high = np.concatenate([tall_high, np.maximum(tall_high, other_high), tall_high], axis=2)
    low[:, :, 1, 1], high[:, :, 1, 1] = other_low[:, :, 0, 1], other_high[:, :, 0, 1]
    high[:, :, 0, 1], low[:, :, 2, 1] = other_low[:, :, 0, 1] - 1, other_high[:, :, 0, 1] + 1
    return Cells(low, high)


def both(a: Cells, b: Cells) -> Cells:
    """The cells that lie in one and in the other of two rectangles."""
    return Cells(np.maximum(a.low, b.low), np.minimum(a.high, b.high))
