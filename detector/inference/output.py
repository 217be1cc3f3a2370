"""What a prediction leaves behind of each picture: the picture with boxes, a label file, crops, entries of JSON files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import cv2
import numpy as np
from torch import Tensor

from detector.errors import UserError
from detector.inference.sources import Picture, Video
from detector.output import write_picture
from detector.types import Detections, ImageId
from detector.visualization.draw import draw_boxes

PICTURES, LABELS, CROPS, COCO, CLASSES = "pictures", "labels", "crops", "coco.json", "classes.txt"
DETECTIONS = "detections.json"


class Names:
    """A name without suffix for each picture, within its subfolder.

    Of two files with one stem (a.jpg, a.png) the second keeps its suffix.
    """

    def __init__(self) -> None:
        self.taken: set[str] = set()

    def of(self, picture: Picture) -> str:
        """`sub/a` for `sub/a.jpg`, `clip_000007` for a frame."""
        place = Path(picture.listed)
        stem = place.stem if picture.frame is None else f"{place.stem}_{picture.frame:06d}"
        name = place.with_name(stem).as_posix()
        if name in self.taken:
            name = place.as_posix()
        self.taken.add(name)
        return name


def drawn(picture: Picture, found: Detections, class_names: Sequence[str]) -> np.ndarray:
    """The picture, uint8 [H, W, 3] RGB, with its boxes."""
    return draw_boxes(picture.pixels, found.boxes, found.labels, class_names, found.scores, found.ids)


def write_drawn(folder: Path, name: str, picture: np.ndarray) -> None:
    """`folder/pictures/NAME.png`."""
    write_picture(_made(folder / PICTURES / f"{name}.png"), picture)


def write_labels(folder: Path, name: str, picture: Picture, found: Detections) -> None:
    """`folder/labels/NAME.txt`, as YOLO has it: class, centre x and y, width, height as shares of the picture, score; and where
    objects are tracked the object's number, −1 while it has none.

    A picture without detections has an empty file.
    """
    height, width = picture.pixels.shape[:2]
    lines = []
    last = [""] * len(found) if found.ids is None else [f" {one}" for one in found.ids.tolist()]
    for (x1, y1, x2, y2), score, label, number in zip(
        found.boxes.tolist(), found.scores.tolist(), found.labels.tolist(), last, strict=True
    ):
        shares = (x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height
        lines.append(f"{label} {' '.join(f'{share:.6f}' for share in shares)} {score:.6f}{number}\n")
    _made(folder / LABELS / f"{name}.txt").write_text("".join(lines), encoding="utf-8")


def write_crops(folder: Path, name: str, picture: Picture, found: Detections, class_names: Sequence[str]) -> None:
    """`folder/crops/CLASS/NAME_k.png` of the k-th detection of the picture: the pixels that its box touches."""
    height, width = picture.pixels.shape[:2]
    for k, (box, label) in enumerate(zip(found.boxes.tolist(), found.labels.tolist(), strict=True)):
        left, top = min(int(box[0]), width - 1), min(int(box[1]), height - 1)
        right, bottom = max(int(np.ceil(box[2])), left + 1), max(int(np.ceil(box[3])), top + 1)
        file = folder / CROPS / folder_of_class(class_names, label) / f"{name}_{k}.png"
        write_picture(_made(file), picture.pixels[top:bottom, left:right])


def folder_of_class(class_names: Sequence[str], label: int) -> str:
    """The class's name without what a folder cannot be called; with its number where two would be called the same."""
    names = [re.sub(r"[^\w -]", "_", name).strip() or "_" for name in class_names]
    name = names[label]
    return name if [one.lower() for one in names].count(name.lower()) == 1 else f"{name}_{label}"


def _made(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


def video_name(video: Video) -> str:
    """The file of its frames with boxes."""
    return f"{video.file.stem}.mp4"


@contextmanager
def video_file(file: Path, frame_rate: float, size: tuple[int, int]) -> Iterator[cv2.VideoWriter]:
    """An MPEG-4 video of `size` (height, width), which takes BGR frames.

    Raises:
        UserError: the file cannot be written.
    """
    height, width = size
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), frame_rate, (width, height))
    if not writer.isOpened():
        raise UserError(f"{file}: cannot be written as a video of {width}x{height} pixels")
    try:
        yield writer
    finally:
        writer.release()


def entry(picture: Picture, found: Detections, class_names: Sequence[str]) -> dict[str, Any]:
    """What `detections.json` says of a picture."""
    height, width = picture.pixels.shape[:2]
    return {
        "file": picture.listed,
        **({} if picture.frame is None else {"frame": picture.frame}),
        "width": width,
        "height": height,
        "boxes": found.boxes.tolist(),
        "scores": found.scores.tolist(),
        "classes": [class_names[label] for label in found.labels.tolist()],
        **({} if found.ids is None else {"ids": _known(found.ids)}),
    }


def _known(ids: Tensor) -> list[int | None]:
    return [None if one < 0 else one for one in ids.tolist()]


class JsonList:
    """A list in a JSON file, written entry by entry, one a line: it never lies in memory as a whole."""

    def __init__(self, file: TextIO) -> None:
        self.file = file
        self.length = 0

    def add(self, entry: dict[str, Any]) -> None:
        """One entry more."""
        self.file.write(",\n  " if self.length else "\n  ")
        self.file.write(json.dumps(entry))
        self.length += 1


@contextmanager
def detections_file(file: Path, checkpoint: str, score: float) -> Iterator[JsonList]:
    """`detections.json`, whose `pictures` are added one by one; whole JSON also where the prediction ends early."""
    head, tail = json.dumps({"checkpoint": checkpoint, "score": score, "pictures": []}, indent=1).split("[]")
    with file.open("w", encoding="utf-8") as stream:
        pictures = JsonList(stream)
        stream.write(f"{head}[")
        try:
            yield pictures
        finally:
            stream.write(f"\n ]{tail}\n")


class CocoFile:
    """A COCO data set of the detections, whose annotations have a `score` besides: for COCO's tools and for annotators."""

    def __init__(self, stream: TextIO, category_ids: Sequence[ImageId]) -> None:
        self.category_ids = category_ids
        self.images: list[str] = []
        self.annotations = JsonList(stream)

    def add(self, picture: Picture, found: Detections) -> None:
        """One image with its annotations; ids count from 1."""
        height, width = picture.pixels.shape[:2]
        image = len(self.images) + 1
        name = picture.listed if picture.frame is None else f"{picture.listed}#{picture.frame}"
        self.images.append(json.dumps({"id": image, "file_name": name, "width": width, "height": height}))
        entries = found.to_coco(image, self.category_ids)
        tracks = [{}] * len(found) if found.ids is None else [{"track_id": one} for one in _known(found.ids)]
        for one, track in zip(entries, tracks, strict=True):
            area = one["bbox"][2] * one["bbox"][3]
            self.annotations.add({"id": self.annotations.length + 1, **one, "area": area, "iscrowd": 0, **track})


@contextmanager
def coco_file(file: Path, class_names: Sequence[str], category_ids: Sequence[ImageId]) -> Iterator[CocoFile]:
    """`coco.json`, to which images are added one by one; whole JSON also where the prediction ends early."""
    with file.open("w", encoding="utf-8") as stream:
        stream.write('{"annotations": [')
        content = CocoFile(stream, category_ids)
        try:
            yield content
        finally:
            categories = [{"id": i, "name": name} for i, name in zip(category_ids, class_names, strict=True)]
            images = ",\n  ".join(content.images)
            stream.write(f'\n ],\n "images": [\n  {images}\n ],\n "categories": {json.dumps(categories)}}}\n')
