"""Four images around one point (Bochkovskiy et al. 2020, YOLOv4, section 3.3).

The scene is a plane about its own centre. Four images touch the mosaic's centre with one corner each and lie in the
four quadrants around it, so that they never overlap; how far they reach is up to them. The random view then decides
which part of the plane is seen: without zoom and shift, the square of `size` around the plane's centre.
"""

from __future__ import annotations

import numpy as np

from detector.data.geometry import hull_size, translation

QUADRANTS = ((-1, -1), (1, -1), (-1, 1), (1, 1))
"""Directions (x, y) from the mosaic's centre to the images: top left, top right, bottom left, bottom right."""


def random_centre(rng: np.random.Generator, size: int) -> tuple[float, float]:
    """The point where the four images meet, relative to the centre of the plane: uniform within half a canvas of it."""
    x, y = (rng.random(2) - 0.5).tolist()
    return x * size, y * size


def tile_placement(
    quadrant: int, centre: tuple[float, float], own: np.ndarray, width: float, height: float
) -> np.ndarray:
    """The shift [3, 3] that brings an image into its quadrant.

    Args:
        quadrant: position in `QUADRANTS`.
        centre: where the four images meet.
        own: [3, 3], pixels of the image → plane pixels about its own centre: zoom, mirroring and quarter turns only.
        width: of the image.
        height: of the image.
    """
    x, y = QUADRANTS[quadrant]
    seen_width, seen_height = hull_size(own, width, height)
    return translation(centre[0] + x * seen_width / 2, centre[1] + y * seen_height / 2)
