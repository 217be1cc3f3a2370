"""Pictures as text inside a page."""

from __future__ import annotations

import base64
from typing import Any

import cv2
import numpy as np


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
