"""The places that pictures with boxes go to: a folder of images, or a video."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from detector.errors import UserError
from detector.output import write_picture

Write = Callable[[str, np.ndarray], None]
"""Takes the name of the file that a picture was made from, and the picture, uint8 [H, W, 3] RGB."""


@contextmanager
def picture_folder(folder: Path) -> Iterator[Write]:
    """Pictures become `folder/STEM.png`; of two files with one stem (a.jpg, a.png) the second becomes `a.png.png`."""
    folder.mkdir()

    def write(name: str, picture: np.ndarray) -> None:
        file = folder / f"{Path(name).stem}.png"
        write_picture(folder / f"{name}.png" if file.exists() else file, picture)

    yield write


@contextmanager
def video_file(file: Path, frame_rate: float, size: tuple[int, int]) -> Iterator[Write]:
    """Pictures become the frames of an MPEG-4 video of `size` (height, width), whatever their names.

    Raises:
        UserError: the file cannot be written.
    """
    height, width = size
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), frame_rate, (width, height))
    if not writer.isOpened():
        raise UserError(f"{file}: cannot be written as a video of {width}x{height} pixels")

    def write(name: str, picture: np.ndarray) -> None:
        writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))

    try:
        yield write
    finally:
        writer.release()
