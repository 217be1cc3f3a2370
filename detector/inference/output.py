"""The folder of a command's results, and the pictures or the video written to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from detector.errors import UserError
from detector.training.run_folder import new_folder

Write = Callable[[str, np.ndarray], None]
"""Takes the name of the file that a picture was made from, and the picture, uint8 [H, W, 3] RGB."""


def output_folder(given: str | None, parent: Path) -> Path:
    """The folder `given`, which may exist if it is empty; or else a new folder `parent/DATE_TIME`.

    Raises:
        UserError: `given` holds something already or cannot be a folder.
    """
    if given is None:
        return new_folder(parent)
    folder = Path(given).expanduser()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"output={folder}: exists already; name a new folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError, FileNotFoundError) as error:
        raise UserError(f"output={folder}: no folder can be made there ({error.strerror})") from error
    return folder


def write_picture(file: Path, picture: np.ndarray) -> None:
    """Writes uint8 [H, W, 3] RGB; the suffix decides the format.

    Raises:
        UserError: it cannot be written.
    """
    if not cv2.imwrite(str(file), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)):
        raise UserError(f"{file}: cannot be written; is the disk full?")


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
