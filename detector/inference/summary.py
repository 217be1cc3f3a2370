"""What a prediction says at its end: a sheet of some of the pictures, and some lines of numbers."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from detector import config
from detector.data.paths import nearest_names
from detector.inference.output import CLASSES, COCO, CROPS, DETECTIONS, LABELS, PICTURES, video_name
from detector.inference.sources import ImageFiles, Picture, Video
from detector.models.stages import StageTimer
from detector.types import Detections
from detector.visualization.draw import contact_sheet, draw_boxes

OVERVIEW = "overview.png"
OVERVIEW_PICTURES = 12
OVERVIEW_SIDE = 640
"""Pixels of the longer side of a picture in the overview, at most."""


class Overview:
    """Twelve pictures with their boxes, small enough for one sheet: the first, or of a video from all over it."""

    def __init__(self, source: ImageFiles | Video) -> None:
        self.step = max(1, len(source) // OVERVIEW_PICTURES) if isinstance(source, Video) else 1
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
        self.cells.append(draw_boxes(small, found.boxes * shrink, found.labels, class_names, found.scores, found.ids))
        self.captions.append(f"{picture.name}: {_counted(len(found), 'object')}")

    def sheet(self) -> np.ndarray:
        """Up to four pictures a row."""
        columns = 4 if len(self.cells) > 4 else 2
        return contact_sheet(self.cells, columns, self.captions)


@dataclass
class Summary:
    """What is counted and timed."""

    started: float = field(default_factory=time.perf_counter)
    pictures: int = 0
    objects: int = 0
    empty: int = 0
    searching: StageTimer = field(default_factory=StageTimer)
    timings: list[tuple[int, float]] = field(default_factory=list)
    """(pictures, seconds) of each batch in the model."""

    def add(self, found: Detections) -> None:
        """One picture more."""
        self.pictures += 1
        self.objects += len(found)
        self.empty += not len(found)

    def say(self, folder: Path, source: ImageFiles | Video, given: config.Predict, closed: bool) -> None:
        """Prints it; `closed` is whether a closed window has ended the prediction."""
        noun = "frame" if isinstance(source, Video) else "image"
        print(
            f"{_counted(self.objects, 'object')} with score ≥ {given.score:g} in {_counted(self.pictures, noun)}, "
            f"{self.empty} without any"
        )
        expected = source.expected_frames if isinstance(source, Video) and source.most is None else 0
        if closed:
            print("ended when the window was closed: the rest of the source was not looked at")
        elif isinstance(source, Video) and 0 < expected != self.pictures:
            print(f"{source.file} should have {expected} frames by its header; {self.pictures} could be read")
        if isinstance(source, ImageFiles) and source.left_out:
            print(f"not looked at, {len(source.left_out)}: {nearest_names(source.left_out, '')}")
        steady = self.timings[1:] or self.timings  # the first batch also waits for the device to get ready
        seen = sum(count for count, _ in self.timings)
        model_seconds = sum(spent for _, spent in steady) / sum(count for count, _ in steady)
        model_rate = 1 / (model_seconds + self.searching.seconds["proposals"] / seen)
        inputs = f"{noun}s" if given.tiles is None else f"{noun}s and tiles"
        rate = self.pictures / (time.perf_counter() - self.started)
        print(f"model: {model_rate:.1f} {inputs} a second; with reading, drawing and writing: {rate:.1f}")
        files = {
            "pictures": video_name(source) if isinstance(source, Video) else f"{PICTURES}/",
            "txt": f"{LABELS}/, {CLASSES}",
            "crops": f"{CROPS}/",
            "coco": COCO,
        }
        written = [*(text for word, text in files.items() if word in given.save), OVERVIEW, DETECTIONS]
        print(f"everything lies in {folder}: {', '.join(written)}")


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
