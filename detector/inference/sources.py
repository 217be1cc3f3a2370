"""The sources of pictures to predict on: image files, one, by pattern or in folders; a video; a webcam; a stream."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from detector.data.folders import contents, walk
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
    place: str = ""
    """The file's place within the folder that is the source, `sub/a.jpg`; by default its name."""

    @property
    def listed(self) -> str:
        """How `detections.json` names the file."""
        return self.place or self.file.name

    @property
    def name(self) -> str:
        """How pictures name it: the file, and the frame's number where there is one."""
        return self.listed if self.frame is None else f"{self.listed}, frame {self.frame}"

    @property
    def model_input(self) -> Path | np.ndarray:
        """What `Predictor.predict` is given: the file where there is one, so that it is read as evaluation reads it."""
        return self.file if self.frame is None else self.pixels


@dataclass(frozen=True)
class ImageFiles:
    """Image files, decoded one at a time as they are asked for."""

    files: tuple[Path, ...]
    left_out: tuple[str, ...] = ()
    """Places in the folder of files that are no images by their suffix, hidden ones apart."""
    root: Path | None = None
    """The folder that they were found in, with its subfolders."""

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[Picture]:
        for file in self.files:
            place = "" if self.root is None else file.relative_to(self.root).as_posix()
            yield Picture(file, None, decode(str(file)), place)


@dataclass(frozen=True)
class Video:
    """The frames of a video, a webcam or a stream, decoded one at a time as they are asked for."""

    file: Path
    """The file; of a webcam or a stream, what its results are called."""
    frame_rate: float
    """Frames a second."""
    size: tuple[int, int]
    """(height, width) of a frame."""
    expected_frames: int
    """Number of frames as the file's header says; some say 0 or a little too many, and streams always 0."""
    opened: str | int = ""
    """The address of a stream or the number of a webcam, where it is no file."""
    most: int | None = None
    """Frames after which it ends, where it has not ended before."""

    @property
    def live(self) -> bool:
        """Whether it is a webcam or a stream, whose frames come when they come."""
        return self.opened != ""

    def __len__(self) -> int:
        return self.expected_frames if self.most is None else min(self.expected_frames, self.most) or self.most

    def __iter__(self) -> Iterator[Picture]:
        capture = _capture(self.opened if self.opened != "" else str(self.file))
        try:
            for number, frame in enumerate(islice(_frames(capture), self.most)):
                yield Picture(self.file, number, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
        finally:
            capture.release()


def _capture(opened: str | int) -> cv2.VideoCapture:
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return cv2.VideoCapture(opened) if isinstance(opened, int) else cv2.VideoCapture(opened, cv2.CAP_FFMPEG)


def _frames(capture: cv2.VideoCapture) -> Iterator[np.ndarray]:
    while (read := capture.read())[0]:
        yield read[1]


def open_source(source: str | Path, frames: int | None = None) -> ImageFiles | Video:
    """What `source` names:

    - an image file;
    - a folder: its image files and those of its subfolders, in the order of their places;
    - a pattern with `*`, `?` or `[...]`: the image files that it fits, `**` standing for any folders;
    - a video file;
    - a number: the webcam of this number; `rtsp://...`, `http://...` and the like: the stream there.

    Args:
        source: see above; what there is a file or folder of is never taken for anything else.
        frames: of a video, a webcam or a stream only so many frames are read.

    Raises:
        UserError: there is no such source, it is neither images nor a video, or files cannot be read; all such files of a
            folder are named at once.
    """
    text, path = str(source), Path(source).expanduser()
    if path.is_dir():
        return _folder(path)
    if not path.exists():
        if text.isdecimal():
            return _stream(int(text), Path(f"webcam_{text}"), text, frames)
        if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://", text):
            return _stream(text, Path(_called(text)), text, frames)
        if glob.has_magic(text):
            return _matching(str(path))
    existing(path, "source")
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        _check_readable([path], path)
        return ImageFiles((path,))
    if suffix in VIDEO_SUFFIXES:
        return _stream("", path, str(path), frames)
    raise UserError(
        f"source={path}: neither an image ({', '.join(sorted(IMAGE_SUFFIXES))}) nor a video "
        f"({', '.join(sorted(VIDEO_SUFFIXES))})"
    )


def _folder(folder: Path) -> ImageFiles:
    places = [(inner / name).relative_to(folder).as_posix() for inner, names in walk(folder) for name in names]
    places = [place for place in sorted(places) if (folder / place).is_file()]
    images = [place for place in places if Path(place).suffix.lower() in IMAGE_SUFFIXES]
    if not images:
        inner, names = contents(folder)
        raise UserError(
            f"source={folder}: no image in this folder or its subfolders; it has "
            f"{nearest_names([*(f'{name}/' for name in inner), *names], '')}"
        )
    files = tuple(folder / place for place in images)
    _check_readable(files, folder)
    return ImageFiles(files, tuple(sorted({*places} - {*images})), folder)


def _matching(pattern: str) -> ImageFiles:
    found = [Path(one) for one in sorted(glob.glob(pattern, recursive=True))]
    files = tuple(one for one in found if one.is_file() and one.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        fitting = nearest_names([one.name for one in found], "")
        raise UserError(f"source={pattern}: no image file fits this pattern; what fits is {fitting}")
    _check_readable(files, Path(pattern))
    common = Path(os.path.commonpath([one.parent for one in files]))
    return ImageFiles(files, root=common)


def _called(address: str) -> str:
    """A name for the files that come from a stream: the end of its address, without what no file may be called."""
    end = re.split(r"[?#]", address.split("://", 1)[1])[0].rstrip("/").split("/")[-1].split("@")[-1]
    return re.sub(r"[^\w.-]", "_", end) or "stream"


def _check_readable(files: Sequence[Path], source: Path) -> None:
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


def _stream(opened: str | int, file: Path, source: str, frames: int | None) -> Video:
    capture = _capture(opened if opened != "" else str(file))
    read, frame = capture.read()
    frame_rate = capture.get(cv2.CAP_PROP_FPS)
    expected = capture.get(cv2.CAP_PROP_FRAME_COUNT) if opened == "" else 0
    capture.release()
    if not read:
        if isinstance(opened, int):
            raise UserError(f"source={source}: there is no webcam of this number, or another program uses it")
        if opened:
            raise UserError(f"source={source}: no video comes from this address")
        raise UserError(f"source={source}: cannot be read as a video: the file is damaged or its codec is unknown")
    return Video(
        file,
        frame_rate if np.isfinite(frame_rate) and frame_rate > 0 else DEFAULT_FRAME_RATE,
        (frame.shape[0], frame.shape[1]),
        max(0, int(expected)),
        opened,
        frames,
    )
