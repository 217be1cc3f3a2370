"""The sources of pictures to predict on: an image file, a folder of images, a video."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from detector.data.folders import contents
from detector.data.images.decode import decode
from detector.data.images.headers import IMAGE_SUFFIXES, header_sizes, image_header
from detector.data.paths import existing, nearest_names
from detector.errors import UserError

VIDEO_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv"})

# FFmpeg writes its complaints about a damaged file to the terminal itself. 8: only before it gives up the process.
# OpenCV reads this when a process opens its first video.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "8")

DEFAULT_FRAME_RATE = 25.0
"""Frames a second of a video that does not say."""


@dataclass(frozen=True)
class Picture:
    """One image file or one frame of a video."""

    file: Path
    """The image file, or the video that the frame is from."""
    frame: int | None
    """Number of the frame, from 0; None for an image file."""
    pixels: np.ndarray
    """uint8 [H, W, 3] RGB at full size, turned as EXIF says."""

    @property
    def name(self) -> str:
        """File name, and the frame's number where there is one."""
        return self.file.name if self.frame is None else f"{self.file.name}, frame {self.frame}"

    @property
    def model_input(self) -> Path | np.ndarray:
        """What `Predictor.predict` is given: the file where there is one, so that it is read as evaluation reads it."""
        return self.file if self.frame is None else self.pixels


@dataclass(frozen=True)
class ImageFiles:
    """Image files, decoded one at a time as they are asked for."""

    files: tuple[Path, ...]
    left_out: tuple[str, ...] = ()
    """Names in the folder that are no images by their suffix, hidden ones apart."""

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[Picture]:
        for file in self.files:
            yield Picture(file, None, decode(str(file)))


@dataclass(frozen=True)
class Video:
    """The frames of a video, decoded one at a time as they are asked for."""

    file: Path
    frame_rate: float
    """Frames a second."""
    size: tuple[int, int]
    """(height, width) of a frame."""
    expected_frames: int
    """Number of frames as the file's header says; some say 0 or a little too many."""

    def __len__(self) -> int:
        return self.expected_frames

    def __iter__(self) -> Iterator[Picture]:
        capture = cv2.VideoCapture(str(self.file), cv2.CAP_FFMPEG)
        try:
            number = 0
            while True:
                read, frame = capture.read()
                if not read:
                    return
                yield Picture(self.file, number, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
                number += 1
        finally:
            capture.release()


def open_source(source: str | Path) -> ImageFiles | Video:
    """An image file, the image files of a folder in the order of their names (not those of its subfolders), or a video.

    Raises:
        UserError: there is no such file or folder, it is neither an image nor a video, a folder has no image, or files
            cannot be read; all such files of a folder are named at once.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        return _folder(path)
    existing(path, "source")
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        _check_readable([path], path)
        return ImageFiles((path,))
    if suffix in VIDEO_SUFFIXES:
        return _video(path)
    raise UserError(
        f"source={path}: neither an image ({', '.join(sorted(IMAGE_SUFFIXES))}) nor a video "
        f"({', '.join(sorted(VIDEO_SUFFIXES))})"
    )


def _folder(folder: Path) -> ImageFiles:
    inner, names = contents(folder)
    names = [name for name in names if (folder / name).is_file()]
    files = [folder / name for name in names if Path(name).suffix.lower() in IMAGE_SUFFIXES]
    if not files:
        raise UserError(
            f"source={folder}: no image in this folder (subfolders are not searched); it has "
            f"{nearest_names([*(f'{name}/' for name in inner), *names], '')}"
        )
    _check_readable(files, folder)
    left_out = [name for name in names if folder / name not in set(files)]
    return ImageFiles(tuple(files), (*(f"{name}/" for name in inner), *left_out))


def _check_readable(files: list[Path], source: Path) -> None:
    sizes = header_sizes([str(file) for file in files])
    unreadable = [file for file, size in zip(files, sizes, strict=True) if not size.all()]
    if unreadable:
        count = "the file" if len(files) == 1 else f"{len(unreadable)} of {len(files)} files"
        names = nearest_names([file.name for file in unreadable], "")
        raise UserError(f"source={source}: {count} cannot be read as an image: {names} ({_reason(unreadable[0])})")


def _reason(file: Path) -> str:
    try:
        image_header(str(file))
    except UserError as error:
        return str(error).removeprefix("image ")
    return "it changed meanwhile"


def _video(file: Path) -> Video:
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    capture = cv2.VideoCapture(str(file), cv2.CAP_FFMPEG)
    read, frame = capture.read()
    frame_rate = capture.get(cv2.CAP_PROP_FPS)
    expected = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    capture.release()
    if not read:
        raise UserError(f"source={file}: cannot be read as a video: the file is damaged or its codec is unknown")
    return Video(
        file,
        frame_rate if np.isfinite(frame_rate) and frame_rate > 0 else DEFAULT_FRAME_RATE,
        (frame.shape[0], frame.shape[1]),
        max(0, int(expected)),
    )
