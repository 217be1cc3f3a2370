"""An image drawn through an affine map straight into its place on a canvas: all that training does to geometry."""

from __future__ import annotations

import math

import cv2
import numpy as np

from detector.data.geometry import scaling, translation


def draw(canvas: np.ndarray, image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Draw `image` [H, W, 3] uint8 onto `canvas` [S, T, 3] uint8 in place; what it does not cover stays as it was.

    Args:
        canvas: written to; C-contiguous.
        image: read only.
        matrix: [3, 3], continuous image pixels → continuous canvas pixels.

    Returns:
        The map that was really used, [3, 3]. Without rotation and shear it has been moved to whole pixels, by at most
        half a pixel of canvas and image at the edges of what is seen: a plain resize is three times as fast as a warp.
    """
    linear = matrix[:2, :2]
    if not (linear[0, 1] or linear[1, 0]) or not (linear[0, 0] or linear[1, 1]):
        return _draw_upright(canvas, image, matrix)
    return _draw_slanted(canvas, image, matrix)


def _draw_upright(canvas: np.ndarray, image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Mirrors, quarter turns, zooms and shifts: cut out what is visible, turn it, resize it into its rectangle."""
    height, width = image.shape[:2]
    (a, b, shift_x), (c, d, shift_y), _ = matrix.tolist()
    turned = a == 0.0
    # With x and y of the image exchanged for a quarter turn, u → scale_x · u + shift_x and v → scale_y · v + shift_y.
    scale_x, scale_y = (b, c) if turned else (a, d)
    u_size, v_size = (height, width) if turned else (width, height)
    x = _segment(scale_x, shift_x, u_size, canvas.shape[1])
    y = _segment(scale_y, shift_y, v_size, canvas.shape[0])
    if x is None or y is None:
        return matrix
    (x1, x2, u1, u2), (y1, y2, v1, v2) = x, y

    part = cv2.transpose(image[u1:u2, v1:v2]) if turned else image[v1:v2, u1:u2]
    halvings_x, halvings_y = _halvings((x2 - x1) / (u2 - u1)), _halvings((y2 - y1) / (v2 - v1))
    if halvings_x or halvings_y:
        u2 -= (u2 - u1) % (1 << halvings_x)
        v2 -= (v2 - v1) % (1 << halvings_y)
        part = part[: v2 - v1, : u2 - u1]
        part = cv2.resize(
            part, (part.shape[1] >> halvings_x, part.shape[0] >> halvings_y), interpolation=cv2.INTER_AREA
        )
    if scale_x < 0 or scale_y < 0:
        part = cv2.flip(part, -1 if scale_x < 0 and scale_y < 0 else (1 if scale_x < 0 else 0))
    place = canvas[y1:y2, x1:x2]
    if part.shape == place.shape:
        place[:] = part
    else:
        cv2.resize(part, (x2 - x1, y2 - y1), dst=place, interpolation=cv2.INTER_LINEAR)

    scale_x, scale_y = math.copysign((x2 - x1) / (u2 - u1), scale_x), math.copysign((y2 - y1) / (v2 - v1), scale_y)
    shift_x = (x1 if scale_x > 0 else x2) - scale_x * u1
    shift_y = (y1 if scale_y > 0 else y2) - scale_y * v1
    used = np.array([[scale_x, 0.0, shift_x], [0.0, scale_y, shift_y], [0.0, 0.0, 1.0]])
    return used[:, [1, 0, 2]] if turned else used


def _segment(scale: float, shift: float, length: int, canvas_length: int) -> tuple[int, int, int, int] | None:
    """One axis: the canvas pixels x1..x2 that are seen and the image pixels u1..u2 that fill them; None without any."""
    low, high = sorted((shift, shift + scale * length))
    x1, x2 = max(0, math.floor(low + 0.5)), min(canvas_length, math.floor(high + 0.5))
    if x1 >= x2:
        return None
    u_low, u_high = sorted(((x1 - shift) / scale, (x2 - shift) / scale))
    u1 = min(max(math.floor(u_low + 0.5), 0), length - 1)
    u2 = min(max(math.floor(u_high + 0.5), u1 + 1), length)
    return x1, x2, u1, u2


def _draw_slanted(canvas: np.ndarray, image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Any other map, by one warp over the bounding rectangle of the parallelogram that the image becomes."""
    height, width = image.shape[:2]
    halvings = _halvings(math.sqrt(abs(np.linalg.det(matrix[:2, :2]))))
    n = 1 << halvings
    if halvings and min(height, width) >= n:
        height, width = height // n, width // n
        image = cv2.resize(image[: height * n, : width * n], (width, height), interpolation=cv2.INTER_AREA)
    else:
        n = 1

    corners = np.array([[0, width, width, 0], [0, 0, height, height], [1, 1, 1, 1]])
    x, y, _ = matrix @ scaling(n, n) @ corners
    x1, x2 = max(0, math.floor(x.min())), min(canvas.shape[1], math.ceil(x.max()))
    y1, y2 = max(0, math.floor(y.min())), min(canvas.shape[0], math.ceil(y.max()))
    if x1 >= x2 or y1 >= y2:
        return matrix

    # A border one pixel wide, because a warp onto a transparent border leaves out (OpenCV 4) or blends with the canvas
    # (OpenCV 5) the outer half of the outermost pixels, which would draw grey seams between neighbouring tiles.
    image = cv2.copyMakeBorder(image, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    # cv2 counts from pixel centres: continuous = index + 0.5.
    by_index = translation(-x1 - 0.5, -y1 - 0.5) @ matrix @ scaling(n, n) @ translation(-0.5, -0.5)
    cv2.warpAffine(
        image,
        by_index[:2],
        (x2 - x1, y2 - y1),
        dst=canvas[y1:y2, x1:x2],
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_TRANSPARENT,
    )
    return matrix


def _halvings(scale: float) -> int:
    """How often to halve an image by averaging before a bilinear resize by `scale`, which reads only 2 x 2 pixels."""
    return max(0, math.ceil(-math.log2(scale)) - 1) if scale < 0.5 else 0
