"""`scripts/predict.py`: boxes drawn on images or on the frames of a video, and the same boxes as numbers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from detector import config
from detector.checkpoint import open_checkpoint
from detector.data.paths import nearest_names
from detector.errors import UserError
from detector.inference.output import Write, picture_folder, video_file
from detector.inference.predictor import Predictor
from detector.inference.sources import ImageFiles, Picture, Video, open_source
from detector.models.stages import StageTimer
from detector.output import output_folder, write_picture
from detector.types import Detections
from detector.visualization.draw import contact_sheet, draw_boxes

DETECTIONS, OVERVIEW, PICTURES = "detections.json", "overview.png", "pictures"
OVERVIEW_PICTURES = 12
OVERVIEW_SIDE = 640
"""Pixels of the longer side of a picture in the overview, at most."""


def predict(given: config.Predict) -> Path:
    """Detects objects in every picture of `given.source` and writes to a folder, which it returns:

    - `pictures/NAME.png`, each image with its boxes, names and scores; or, for a video, `NAME.mp4`;
    - `overview.png`, the first twelve images, or twelve frames from all over the video, on one sheet;
    - `detections.json`: `checkpoint`, `score` and `pictures`, a list in the order of the source with, for each picture,
      `file` (its name), `frame` (of a video only, from 0), `width` and `height`, `boxes` (x1, y1, x2, y2 in pixels of
      the picture as EXIF turns it), `scores` and `classes` (names), best first.

    Raises:
        UserError: the checkpoint, the source, the output folder or a number is not what it should be.
    """
    if given.batch_size < 1:
        raise UserError(f"batch_size={given.batch_size}: at least 1 picture goes through the model at a time")
    if not 0 <= given.score <= 1:
        raise UserError(f"score={given.score:g}: a score is in 0..1")
    checkpoint = open_checkpoint(given.checkpoint).suppressing(given.suppression, given.iou_threshold)
    source = open_source(given.source)
    predictor = Predictor(checkpoint, given.image_size, given.accelerator)
    folder = output_folder(given.output, Path("runs") / "predict")

    started = time.perf_counter()
    overview = _Overview(max(1, len(source) // OVERVIEW_PICTURES) if isinstance(source, Video) else 1)
    timings: list[tuple[int, float]] = []
    entries = []
    with _output(source, folder) as write:
        detected = _detected(predictor, source, given.score, given.batch_size, timings)
        for picture, found in tqdm(detected, "pictures", len(source) or None, leave=False, disable=None):
            boxed = draw_boxes(picture.pixels, found.boxes, found.labels, predictor.class_names, found.scores)
            write(picture.file.name, boxed)
            overview.add(picture, found, predictor.class_names)
            entries.append(_entry(picture, found, predictor.class_names))
    write_picture(folder / OVERVIEW, overview.sheet())
    _write_detections(folder / DETECTIONS, given, entries)
    _conclude(folder, source, given.score, entries, timings, time.perf_counter() - started)
    return folder


def _detected(
    predictor: Predictor, source: ImageFiles | Video, score: float, batch_size: int, timings: list[tuple[int, float]]
) -> Iterator[tuple[Picture, Detections]]:
    """Each picture with its detections.

    Adds (pictures, seconds) of each batch to `timings`: of the model, its search for proposals included, and nothing else.
    """
    for pictures in _batches(source, batch_size):
        clock = StageTimer()
        with clock.watching():
            batch = predictor.preprocess([picture.model_input for picture in pictures])
        started = time.perf_counter()
        found = predictor.detect(batch)
        timings.append((len(pictures), time.perf_counter() - started + clock.seconds["proposals"]))
        for picture, one in zip(pictures, found, strict=True):
            yield picture, one[one.scores >= score]


def _batches(pictures: Iterable[Picture], size: int) -> Iterator[list[Picture]]:
    iterator = iter(pictures)
    while batch := list(islice(iterator, size)):
        yield batch


def _output(source: ImageFiles | Video, folder: Path) -> AbstractContextManager[Write]:
    if isinstance(source, Video):
        return video_file(folder / f"{source.file.stem}.mp4", source.frame_rate, source.size)
    return picture_folder(folder / PICTURES)


class _Overview:
    """The first pictures, or with `step` every so manieth, small enough for one sheet."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.seen = 0
        self.cells: list[np.ndarray] = []
        self.captions: list[str] = []

    def add(self, picture: Picture, found: Detections, class_names: tuple[str, ...]) -> None:
        """Boxes are drawn on the small picture: lines and captions drawn before would shrink with it."""
        self.seen += 1
        if (self.seen - 1) % self.step or len(self.cells) == OVERVIEW_PICTURES:
            return
        height, width = picture.pixels.shape[:2]
        shrink = min(1.0, OVERVIEW_SIDE / max(height, width))
        size = max(1, round(width * shrink)), max(1, round(height * shrink))
        small = cv2.resize(picture.pixels, size, interpolation=cv2.INTER_AREA)
        self.cells.append(draw_boxes(small, found.boxes * shrink, found.labels, class_names, found.scores))
        self.captions.append(f"{picture.name}: {_counted(len(found), 'object')}")

    def sheet(self) -> np.ndarray:
        """Up to four pictures a row."""
        columns = 4 if len(self.cells) > 4 else 2
        return contact_sheet(self.cells, columns, self.captions)


def _entry(picture: Picture, found: Detections, class_names: tuple[str, ...]) -> dict[str, Any]:
    height, width = picture.pixels.shape[:2]
    return {
        "file": picture.file.name,
        **({} if picture.frame is None else {"frame": picture.frame}),
        "width": width,
        "height": height,
        "boxes": found.boxes.tolist(),
        "scores": found.scores.tolist(),
        "classes": [class_names[label] for label in found.labels.tolist()],
    }


def _write_detections(file: Path, given: config.Predict, entries: list[dict[str, Any]]) -> None:
    """JSON with one picture a line."""
    head = json.dumps({"checkpoint": given.checkpoint, "score": given.score, "pictures": []}, indent=1)
    pictures = ",\n  ".join(map(json.dumps, entries))
    file.write_text(head.replace("[]", f"[\n  {pictures}\n ]") + "\n", encoding="utf-8")


def _conclude(
    folder: Path,
    source: ImageFiles | Video,
    score: float,
    entries: list[dict[str, Any]],
    timings: list[tuple[int, float]],
    seconds: float,
) -> None:
    noun = "frame" if isinstance(source, Video) else "image"
    objects = sum(len(entry["scores"]) for entry in entries)
    without = sum(not entry["scores"] for entry in entries)
    print(
        f"{_counted(objects, 'object')} with score ≥ {score:g} in {_counted(len(entries), noun)}, {without} without any"
    )
    if isinstance(source, Video) and 0 < source.expected_frames != len(entries):
        print(f"{source.file} should have {source.expected_frames} frames by its header; {len(entries)} could be read")
    if isinstance(source, ImageFiles) and source.left_out:
        print(f"not looked at, {len(source.left_out)}: {nearest_names(source.left_out, '')}")
    steady = timings[1:] or timings  # the first batch also waits for the device to get ready
    model_rate = sum(count for count, _ in steady) / sum(spent for _, spent in steady)
    print(f"model: {model_rate:.1f} {noun}s a second; with reading, drawing and writing: {len(entries) / seconds:.1f}")
    drawn = f"{source.file.stem}.mp4" if isinstance(source, Video) else f"{PICTURES}/"
    print(f"everything lies in {folder}: {drawn}, {OVERVIEW}, {DETECTIONS}")


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
