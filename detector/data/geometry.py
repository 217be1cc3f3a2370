"""Affine maps of the plane as homogeneous matrices [3, 3], and what they do to boxes.

Coordinates are continuous pixels: the image spans 0..width, the centre of its first pixel lies at 0.5, y points down.
`b @ a` applies a, then b.
"""

from __future__ import annotations

import math

import numpy as np

MINIMUM_VISIBLE = 0.1
"""Share of a box's area that must stay on the canvas: of less than a tenth hardly an object can be recognised."""
MINIMUM_UNCOVERED = 0.5
"""Share of the hull of what is visible of a covered object that must be the object: rims around a cover tell nothing."""
MINIMUM_SIDE = 2.0
"""Pixels: what is thinner covers no point of even the finest grid."""


def translation(x: float, y: float) -> np.ndarray:
    """Shift by (x, y) pixels."""
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def scaling(x: float, y: float) -> np.ndarray:
    """Zoom about the origin; a negative factor mirrors."""
    return np.array([[x, 0.0, 0.0], [0.0, y, 0.0], [0.0, 0.0, 1.0]])


def rotation(degrees: float) -> np.ndarray:
    """Clockwise turn (as seen on the screen) about the origin."""
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    return np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])


def shearing(x_degrees: float, y_degrees: float) -> np.ndarray:
    """Slant of the vertical lines by the first angle and of the horizontal ones by the second, origin fixed."""
    x, y = math.tan(math.radians(x_degrees)), math.tan(math.radians(y_degrees))
    return np.array([[1.0, x, 0.0], [y, 1.0, 0.0], [0.0, 0.0, 1.0]])


def quarter_turns(count: int) -> np.ndarray:
    """`count` exact clockwise turns by 90 degrees about the origin."""
    sine, cosine = ((0.0, 1.0), (1.0, 0.0), (0.0, -1.0), (-1.0, 0.0))[count % 4]
    return np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])


def hull_size(matrix: np.ndarray, width: float, height: float) -> tuple[float, float]:
    """Width and height of the axis-aligned hull of a rectangle after `matrix` [3, 3]."""
    (a, b, _), (c, d, _), _ = matrix.tolist()
    return abs(a) * width + abs(b) * height, abs(c) * width + abs(d) * height


def transform_boxes(boxes: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """The axis-aligned hull [N, 4] of each xyxy box [N, 4] after `matrix`, in the boxes' own float type.

    The matrix is one for all boxes, [3, 3], or one for each, [N, 3, 3].

    After a rotation the hull of a box is wider than the hull of the object inside it; without the object's outline
    there is no better one.
    """
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]) / 2
    matrix = matrix.astype(boxes.dtype)
    of_x, of_y, shift = matrix[..., :2, 0], matrix[..., :2, 1], matrix[..., :2, 2]
    centre = centre[:, :1] * of_x + centre[:, 1:] * of_y + shift
    half = half[:, :1] * np.abs(of_x) + half[:, 1:] * np.abs(of_y)
    return np.concatenate([centre - half, centre + half], axis=1)


def clip_boxes(boxes: np.ndarray, bounds: tuple[float, float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Boxes [N, 4] cut to the rectangle `bounds` (x1, y1, x2, y2), and which of them [N] are seen well enough.

    Kept are those with `MINIMUM_VISIBLE` of their area and `MINIMUM_SIDE` pixels of each side inside the bounds.
    """
    low = np.array(bounds[:2] * 2, dtype=boxes.dtype)
    high = np.array(bounds[2:] * 2, dtype=boxes.dtype)
    cut = np.clip(boxes, low, high)
    sides, visible = boxes[:, 2:] - boxes[:, :2], cut[:, 2:] - cut[:, :2]
    keep = (visible >= MINIMUM_SIDE).all(axis=1) & (visible.prod(axis=1) >= MINIMUM_VISIBLE * sides.prod(axis=1))
    return cut, keep


def cover_boxes(boxes: np.ndarray, cover: tuple[float, float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """The hull of what the rectangle `cover` (x1, y1, x2, y2), laid over boxes [N, 4], leaves visible of each.

    A box shrinks where the cover hides one of its sides from end to end; rims thinner than `MINIMUM_SIDE` count as hidden.

    Returns:
        The hulls [N, 4], and which boxes [N] are still seen well enough: as in `clip_boxes`, and with
        `MINIMUM_UNCOVERED` of the hull visible.
    """
    low, high = boxes[:, :2], boxes[:, 2:]
    cover_low, cover_high = np.array(cover, dtype=boxes.dtype).reshape(2, 2)
    hidden = (np.minimum(high, cover_high) - np.maximum(low, cover_low)).clip(min=0).prod(axis=1)
    hides_low, hides_high = cover_low < low + MINIMUM_SIDE, cover_high > high - MINIMUM_SIDE
    across = (hides_low & hides_high)[:, ::-1]  # of x, whether the whole height is hidden, and the other way round
    new_low = np.where(across & hides_low, np.maximum(low, cover_high), low)
    new_high = np.where(across & hides_high, np.minimum(high, cover_low), high)
    area, sides = (high - low).prod(axis=1), new_high - new_low
    least = np.maximum(MINIMUM_VISIBLE * area, MINIMUM_UNCOVERED * sides.prod(axis=1))
    keep = (sides >= MINIMUM_SIDE).all(axis=1) & (area - hidden >= least)
    return np.concatenate([new_low, new_high], axis=1), keep
