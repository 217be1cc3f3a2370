"""An image decoded once, at no more than the size that is needed."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from detector.data.images.decode import decode
from detector.data.index import Index

_JPEG_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif")

Limit = int | tuple[int, int]
"""Pixels of the long side; or height and width that every image gets which is larger in any direction."""


@dataclass(frozen=True)
class LoadedSize:
    """How an image comes out of loading; follows from the annotation alone, without a look at the file."""

    height: int
    width: int
    reduction: int
    """1, 2, 4 or 8: the JPEG decoder itself drops all but every n-th frequency, which is faster than decoding all."""
    scale: tuple[float, float]
    """(x, y): continuous original pixels → continuous loaded pixels."""


def loading_limit(image_size: int, resize: str) -> Limit:
    """The most that a model of `image_size` needs of an image that is brought to it by `resize`: letterbox or stretch."""
    return (image_size, image_size) if resize == "stretch" else image_size


def loaded_size(index: Index, i: int, limit: Limit) -> LoadedSize:
    """Image `i` with its long side brought down to `limit` pixels, or stretched to it; a smaller image stays as it is.

    A decoder that reduces by n gives ceil(side / n) pixels, of which the last may lie partly outside the image: the
    scale accounts for it. In an image that its EXIF orientation mirrors or turns that pixel may be the first one, and
    coordinates are off by less than one loaded pixel.
    """
    height, width = index.sizes[i].tolist()
    if isinstance(limit, tuple):
        if height > limit[0] or width > limit[1]:
            return LoadedSize(*limit, 1, (limit[1] / width, limit[0] / height))
        return LoadedSize(height, width, 1, (1.0, 1.0))
    long = max(height, width)
    if long <= limit:
        return LoadedSize(height, width, 1, (1.0, 1.0))
    new_height, new_width = max(1, round(height * limit / long)), max(1, round(width * limit / long))
    jpeg = index.painter is None and str(index.files[i]).lower().endswith(_JPEG_SUFFIXES)
    n = next((n for n in (8, 4, 2) if long >= n * limit), 1) if jpeg else 1
    return LoadedSize(new_height, new_width, n, (new_width / (n * -(-width // n)), new_height / (n * -(-height // n))))


def load_image(index: Index, i: int, limit: Limit) -> np.ndarray:
    """Image `i` as uint8 [height, width, 3] RGB of `loaded_size(index, i, limit)`.

    Raises:
        UserError: the file is missing, cannot be decoded, or has another size than its annotation says.
    """
    size = loaded_size(index, i, limit)
    image = index.image(i) if size.reduction == 1 else _decode_reduced(index, i, size.reduction)
    if image.shape[:2] != (size.height, size.width):
        # bilinear from the whole image is what Darknet's networks see in training and after it
        how = cv2.INTER_LINEAR if isinstance(limit, tuple) else cv2.INTER_AREA
        image = cv2.resize(image, (size.width, size.height), interpolation=how)
    return image


def _decode_reduced(index: Index, i: int, reduction: int) -> np.ndarray:
    image = decode(str(index.files[i]), reduction, not index.as_stored)
    expected = tuple(-(-side // reduction) for side in index.sizes[i].tolist())
    # anything else is a file that is no JPEG in spite of its name, or of another size than it should be
    return image if image.shape[:2] == expected else index.image(i)
