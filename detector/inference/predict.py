"""`scripts/predict.py`: boxes drawn on images or on the frames of a video, and the same boxes as numbers."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
from tqdm import tqdm

from detector import config
from detector.checkpoint import open_checkpoint
from detector.data.paths import nearest_names
from detector.errors import UserError
from detector.inference.output import (
    CLASSES,
    COCO,
    CROPS,
    LABELS,
    PICTURES,
    Names,
    coco_file,
    detections_file,
    drawn,
    entry,
    video_file,
    write_crops,
    write_drawn,
    write_labels,
)
from detector.inference.pipeline import ahead, behind
from detector.inference.predictor import Predictor
from detector.inference.sources import ImageFiles, Picture, Video, open_source
from detector.inference.tiles import Tile, merged, tiles_of
from detector.models.stages import StageTimer
from detector.output import output_folder, write_picture
from detector.types import Batch, Detections
from detector.visualization.draw import contact_sheet, draw_boxes

DETECTIONS, OVERVIEW = "detections.json", "overview.png"
OVERVIEW_PICTURES = 12
OVERVIEW_SIDE = 640
"""Pixels of the longer side of a picture in the overview, at most."""
WRITERS = min(4, os.cpu_count() or 1)
"""Threads that draw and write."""


def predict(given: config.Predict) -> Path:
    """Detects objects in every picture of `given.source` and writes to a folder, which it returns:

    - `overview.png`, the first twelve images, or twelve frames from all over the video, on one sheet;
    - `detections.json`: `checkpoint`, `score` and `pictures`, a list in the order of the source with, for each picture,
      `file` (its place in the source), `frame` (of a video only, from 0), `width` and `height`, `boxes` (x1, y1, x2, y2 in
      pixels of the picture as EXIF turns it), `scores` and `classes` (names), best first;
    - and of `given.save`: `pictures/NAME.png`, each image with its boxes, names and scores, or, for a video, `NAME.mp4`;
      `labels/NAME.txt` and `classes.txt`; `crops/CLASS/NAME_k.png`; `coco.json`.

    Pictures are read by another thread while the network computes, and drawn and written by others; of each kind only a few
    are in memory at a time. What was found before an early end, such as Ctrl-C, is written.

    Raises:
        UserError: the checkpoint, the source, a class, the output folder or a number is not what it should be.
    """
    if given.batch_size < 1:
        raise UserError(f"batch_size={given.batch_size}: at least 1 picture goes through the model at a time")
    if not 0 <= given.score <= 1:
        raise UserError(f"score={given.score:g}: a score is in 0..1")
    checkpoint = open_checkpoint(given.checkpoint).suppressing(given.suppression, given.iou_threshold)
    wanted = _labels(given.classes, checkpoint.class_names)
    source = open_source(given.source, given.frames)
    if given.frames is not None and isinstance(source, ImageFiles):
        raise UserError(f"frames={given.frames}: has no meaning for images; source={given.source} is no video")
    predictor = Predictor(checkpoint, given.image_size, given.accelerator, given.precision)
    folder = output_folder(given.output, Path("runs") / "predict")

    summary = _Summary()
    overview = _Overview(max(1, len(source) // OVERVIEW_PICTURES) if isinstance(source, Video) else 1)
    names, class_names = Names(), predictor.class_names
    drawing = "pictures" in given.save

    def finish(item: tuple[str, Picture, Detections]) -> tuple[Picture, Detections, np.ndarray | None]:
        name, picture, found = item
        boxed = drawn(picture, found, class_names) if drawing else None
        if boxed is not None and isinstance(source, ImageFiles):
            write_drawn(folder, name, boxed)
        if "txt" in given.save:
            write_labels(folder, name, picture, found)
        if "crops" in given.save:
            write_crops(folder, name, picture, found, class_names)
        return picture, found, boxed

    with ExitStack() as files:
        entries = files.enter_context(detections_file(folder / DETECTIONS, given.checkpoint, given.score))
        if "coco" in given.save:
            coco = files.enter_context(coco_file(folder / COCO, class_names, checkpoint.category_ids))
        if drawing and isinstance(source, Video):
            video = files.enter_context(video_file(folder / _video_name(source), source.frame_rate, source.size))
        if drawing and isinstance(source, ImageFiles):
            (folder / PICTURES).mkdir()
        if "txt" in given.save:
            (folder / CLASSES).write_text("".join(f"{name}\n" for name in class_names), encoding="utf-8")
        parts = files.enter_context(ahead(_parts(predictor, source, given, summary), 2))
        detected = tqdm(
            _detected(predictor, parts, given.score, wanted, summary),
            "pictures",
            len(source) or None,
            leave=False,
            disable=None,
        )
        for picture, found, boxed in behind(finish, ((names.of(one), one, found) for one, found in detected), WRITERS):
            if boxed is not None and isinstance(source, Video):
                video.write(cv2.cvtColor(boxed, cv2.COLOR_RGB2BGR))
            if "coco" in given.save:
                coco.add(picture, found)
            overview.add(picture, found, class_names)
            entries.add(entry(picture, found, class_names))
            summary.add(found)
    write_picture(folder / OVERVIEW, overview.sheet())
    _conclude(folder, source, given, summary)
    return folder


def _labels(classes: Sequence[str], class_names: tuple[str, ...]) -> torch.Tensor | None:
    """The labels of the classes that are asked for; None where all are."""
    if unknown := [name for name in classes if name not in class_names]:
        raise UserError(
            f"classes: {unknown[0]!r} is none of the checkpoint's: {nearest_names(class_names, unknown[0])}"
        )
    return torch.tensor([class_names.index(name) for name in classes]) if classes else None


@dataclass
class _Summary:
    """What is said at the end."""

    started: float = field(default_factory=time.perf_counter)
    pictures: int = 0
    objects: int = 0
    empty: int = 0
    searching: StageTimer = field(default_factory=StageTimer)
    timings: list[tuple[int, float]] = field(default_factory=list)
    """(pictures, seconds) of each batch in the model."""

    def add(self, found: Detections) -> None:
        self.pictures += 1
        self.objects += len(found)
        self.empty += not len(found)


@dataclass(frozen=True)
class _Part:
    """Pictures, or tiles of them, that go through the model together."""

    batch: Batch
    of: list[tuple[Picture, list[Tile], int]]
    """The picture that each comes from, all tiles of that picture, and which of these it is."""


def _parts(
    predictor: Predictor, source: Iterable[Picture], given: config.Predict, summary: _Summary
) -> Iterator[_Part]:
    """All of the source, read and brought to the size that the model sees."""
    inputs = _inputs(source, given.tiles, given.tile_overlap)
    while chosen := list(islice(inputs, given.batch_size)):
        seen = [_pixels(picture, tiles[i]) for picture, tiles, i in chosen]
        batch = predictor.preprocess(seen, summary.searching)
        yield _Part(batch.pin_memory() if predictor.device.type == "cuda" else batch, chosen)


def _inputs(source: Iterable[Picture], side: int | None, overlap: float) -> Iterator[tuple[Picture, list[Tile], int]]:
    for picture in source:
        height, width = picture.pixels.shape[:2]
        tiles = [Tile(0, 0, width, height)] if side is None else tiles_of((height, width), side, overlap)
        for i in range(len(tiles)):
            yield picture, tiles, i


def _pixels(picture: Picture, tile: Tile) -> Path | np.ndarray:
    height, width = picture.pixels.shape[:2]
    if tile == Tile(0, 0, width, height):
        return picture.model_input
    return picture.pixels[tile.top : tile.bottom, tile.left : tile.right]


def _detected(
    predictor: Predictor, parts: Iterable[_Part], score: float, wanted: torch.Tensor | None, summary: _Summary
) -> Iterator[tuple[Picture, Detections]]:
    """Each picture with its detections from `score` on of the `wanted` classes."""
    suppression = predictor.checkpoint.options.model.build_suppression()
    waiting: list[Detections] = []
    for part in parts:
        started = time.perf_counter()
        found = predictor.detect(part.batch)
        summary.timings.append((len(part.of), time.perf_counter() - started))
        for (picture, tiles, _), one in zip(part.of, found, strict=True):
            kept = one.scores >= score
            if wanted is not None:
                kept &= torch.isin(one.labels, wanted)
            waiting.append(one[kept])
            if len(waiting) == len(tiles):
                height, width = picture.pixels.shape[:2]
                yield picture, merged(waiting, tiles, (height, width), suppression)
                waiting = []


def _video_name(video: Video) -> str:
    return f"{video.file.stem}.mp4"


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


def _conclude(folder: Path, source: ImageFiles | Video, given: config.Predict, summary: _Summary) -> None:
    noun = "frame" if isinstance(source, Video) else "image"
    print(
        f"{_counted(summary.objects, 'object')} with score ≥ {given.score:g} in {_counted(summary.pictures, noun)}, "
        f"{summary.empty} without any"
    )
    expected = source.expected_frames if isinstance(source, Video) and source.most is None else 0
    if isinstance(source, Video) and 0 < expected != summary.pictures:
        print(f"{source.file} should have {expected} frames by its header; {summary.pictures} could be read")
    if isinstance(source, ImageFiles) and source.left_out:
        print(f"not looked at, {len(source.left_out)}: {nearest_names(source.left_out, '')}")
    steady = summary.timings[1:] or summary.timings  # the first batch also waits for the device to get ready
    seen = sum(count for count, _ in summary.timings)
    model_seconds = sum(spent for _, spent in steady) / sum(count for count, _ in steady)
    model_rate = 1 / (model_seconds + summary.searching.seconds["proposals"] / seen)
    inputs = f"{noun}s" if given.tiles is None else f"{noun}s and tiles"
    rate = summary.pictures / (time.perf_counter() - summary.started)
    print(f"model: {model_rate:.1f} {inputs} a second; with reading, drawing and writing: {rate:.1f}")
    files = {
        "pictures": _video_name(source) if isinstance(source, Video) else f"{PICTURES}/",
        "txt": f"{LABELS}/, {CLASSES}",
        "crops": f"{CROPS}/",
        "coco": COCO,
    }
    written = [*(text for word, text in files.items() if word in given.save), OVERVIEW, DETECTIONS]
    print(f"everything lies in {folder}: {', '.join(written)}")


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
