"""Affine maps of the plane as homogeneous matrices [3, 3], and what they do to boxes.

Coordinates are continuous pixels: the image spans 0..width, the centre of its first pixel lies at 0.5, y points down.
`b @ a` applies a, then b.
"""

from __future__ import annotations

import math

import numpy as np

MINIMUM_VISIBLE = 0.1
"""Share of a box's area that must stay on the canvas: of less than a tenth hardly an object can be recognised."""
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


def transform_boxes(boxes: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """The axis-aligned hull [N, 4] of each xyxy box [N, 4] after `matrix`, in the boxes' own float type.

    After a rotation the hull of a box is wider than the hull of the object inside it; without the object's outline
    there is no better one.
    """
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]) / 2
    linear = matrix[:2, :2].T.astype(boxes.dtype)
    centre = centre @ linear + matrix[:2, 2].astype(boxes.dtype)
    half = half @ np.abs(linear)
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
