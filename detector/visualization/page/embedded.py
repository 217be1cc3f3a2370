"""Arrays and pictures as text inside a page."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import cv2
import numpy as np

_DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")


def packed(array: np.ndarray) -> dict[str, Any]:
    """An array as JSON, which a page's script reads as a flat typed array: `await unpack(data.name)`.

    The bytes are little-endian, in C order, compressed by zlib, written in base64.

    Raises:
        TypeError: JavaScript has no array of this dtype (int64, bool); convert it first.
    """
    if array.dtype.name not in _DTYPES:
        raise TypeError(f"an array of {array.dtype.name} cannot be packed; choose one of {', '.join(_DTYPES)}")
    content = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()
    return {
        "dtype": array.dtype.name,
        "shape": list(array.shape),
        "zlib": base64.b64encode(zlib.compress(content)).decode(),
    }


def jpeg(picture: np.ndarray, longest_side: int, quality: int) -> bytes:
    """A uint8 RGB picture [H, W, 3] as JPEG, made smaller where its longer side has more than `longest_side` pixels."""
    height, width = picture.shape[:2]
    scale = longest_side / max(height, width)
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    content: Any = encoded
    return bytes(content.tobytes())


def data_uri(content: bytes) -> str:
    """A JPEG as the source of an image inside a page; a third longer than the file."""
    return f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"
