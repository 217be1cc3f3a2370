"""The image on which receptive fields are drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from detector.data.formats.shapes import MOST_OBJECTS, Painter, arrange
from detector.data.images.decode import decode
from detector.data.images.letterbox import letterbox
from detector.errors import UserError

SIDE = 640
"""Pixels that the page carries, whatever the detector sees: it shows no more of them."""
SEED, SPLIT = 0, "val"


def sample_picture(image: str | None) -> np.ndarray:
    """A square picture uint8 [SIDE, SIDE, 3] RGB: a file, letterboxed, or the first drawn scene with the most objects.

    Raises:
        UserError: there is no such file or it is no image.
    """
    if image is None:
        number = next(n for n in range(1_000) if len(arrange(SEED, SPLIT, n, SIDE).labels) == MOST_OBJECTS)
        return Painter(SEED, SPLIT, SIDE)(number)
    if not Path(image).is_file():
        raise UserError(f"image={image}: no such file")
    try:
        pixels = decode(image)
    except UserError as error:
        raise UserError(f"image={image}: is damaged or no image") from error
    return letterbox(pixels, SIDE)[0]
