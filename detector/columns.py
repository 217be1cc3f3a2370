"""Large arrays inside JSON, of a file or a page: the bytes of a typed array, compressed and in base64."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

_INTEGERS = (np.uint8, np.int16, np.int32)


def column(values: np.ndarray) -> dict[str, Any]:
    """`{"dtype", "shape", "zlib"}`: little-endian, last axis fastest, compressed as RFC 1950 says, base64.

    float32 and float64 stay as they are; of integers and bool it is the smallest of uint8, int16, int32 that holds all. A
    page's script reads it as a flat typed array: `await unpack(data.name)`.
    """
    if values.dtype.kind in "biu":
        low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
        values = values.astype(next(t for t in _INTEGERS if np.iinfo(t).min <= low and high <= np.iinfo(t).max))
    data = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<")).tobytes()
    return {
        "dtype": values.dtype.name,
        "shape": list(values.shape),
        "zlib": base64.b64encode(zlib.compress(data, 3)).decode("ascii"),
    }


def array(content: Mapping[str, Any]) -> np.ndarray:
    """The array that `column` has written."""
    data = zlib.decompress(base64.b64decode(content["zlib"]))
    return np.frombuffer(data, dtype=np.dtype(content["dtype"]).newbyteorder("<")).reshape(content["shape"])
