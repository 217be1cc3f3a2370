"""An image brought into the square that a model sees: with a grey border, or stretched."""

from __future__ import annotations

import cv2
import numpy as np

from detector.data.geometry import scaling, translation
from detector.errors import UserError

RESIZES = ("letterbox", "stretch")
GREY = 114
"""Value of the padding in all channels: near ImageNet's mean (0.45 · 255), so that after normalisation it is near 0."""


def fit_square(
    image: np.ndarray, size: int, resize: str, canvas: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """`letterbox` or `stretch`, as `resize` says; the same arguments and results."""
    return stretch(image, size, canvas) if resize == "stretch" else letterbox(image, size, canvas)


def letterbox(image: np.ndarray, size: int, canvas: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """An image in a grey square: its long side becomes `size` pixels, larger or smaller, and it lies in the middle.

    The short side and the place are rounded to whole pixels; the matrix has exactly the scales and shifts that result.

    Args:
        image: uint8 [H, W, 3].
        size: pixels.
        canvas: uint8 [size, size, 3] to be written over instead of a new one.

    Returns:
        The canvas, and the map [3, 3] float64 from continuous image pixels to continuous canvas pixels.
    """
    height, width = image.shape[:2]
    scale = size / max(height, width)
    new_height, new_width = max(1, round(height * scale)), max(1, round(width * scale))
    left, top = (size - new_width) // 2, (size - new_height) // 2
    canvas = np.empty((size, size, 3), dtype=np.uint8) if canvas is None else canvas
    canvas.fill(GREY)
    inside = canvas[top : top + new_height, left : left + new_width]
    if (new_height, new_width) == (height, width):
        inside[:] = image
    else:
        cv2.resize(
            image, (new_width, new_height), dst=inside, interpolation=cv2.INTER_LINEAR if scale > 1 else cv2.INTER_AREA
        )
    return canvas, translation(left, top) @ scaling(new_width / width, new_height / height)


def stretch(image: np.ndarray, size: int, canvas: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """An image as a square: width and height each become `size` pixels, so that what is round becomes an ellipse.

    Bilinear, as Darknet does it where it is built with OpenCV: what shrinks by more than 2 is not smoothed before.

    Args:
        image: uint8 [H, W, 3].
        size: pixels.
        canvas: uint8 [size, size, 3] to be written over instead of a new one.

    Returns:
        The canvas, and the map [3, 3] float64 from continuous image pixels to continuous canvas pixels.
    """
    height, width = image.shape[:2]
    canvas = np.empty((size, size, 3), dtype=np.uint8) if canvas is None else canvas
    if (height, width) == (size, size):
        canvas[:] = image
    else:
        cv2.resize(image, (size, size), dst=canvas, interpolation=cv2.INTER_LINEAR)
    return canvas, scaling(size / width, size / height)


def check_resize(resize: str) -> None:
    """Raises a UserError unless `resize` is one of `RESIZES`."""
    if resize not in RESIZES:
        raise UserError(f"model.resize={resize}: choose one of {', '.join(RESIZES)}")


def check_image_size(size: int) -> None:
    """Raises a UserError unless every stride up to 32 divides `size`."""
    if size <= 0 or size % 32:
        near = max(32, round(size / 32) * 32)
        raise UserError(f"image_size={size} is not a multiple of 32, the model's largest stride: use {near}")
