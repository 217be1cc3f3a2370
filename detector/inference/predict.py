"""`scripts/predict.py`: boxes drawn on images or on the frames of a video, and the same boxes as numbers."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice, takewhile
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
    DETECTIONS,
    PICTURES,
    Names,
    coco_file,
    detections_file,
    drawn,
    entry,
    video_file,
    video_name,
    write_crops,
    write_drawn,
    write_labels,
)
from detector.inference.pipeline import ahead, behind
from detector.inference.predictor import Predictor
from detector.inference.sources import ImageFiles, Picture, Video, open_source
from detector.inference.summary import OVERVIEW, Overview, Summary
from detector.inference.tiles import Tile, merged, tiles_of
from detector.inference.tracking import Tracker
from detector.inference.window import Window
from detector.output import output_folder, write_picture
from detector.types import Batch, Detections

BATCH_SIZE = 8
"""Pictures that go through the network at once; of a webcam or a stream one does, for nobody waits for the next there."""
WRITERS = min(4, os.cpu_count() or 1)
"""Threads that draw and write."""


def predict(given: config.Predict) -> Path:
    """Detects objects in every picture of `given.source` and writes to a folder, which it returns:

    - `overview.png`, the first twelve images, or twelve frames from all over the video, on one sheet;
    - `detections.json`: `checkpoint`, `score` and `pictures`, a list in the order of the source with, for each picture,
      `file` (its place in the source), `frame` (of a video only, from 0), `width` and `height`, `boxes` (x1, y1, x2, y2 in
      pixels of the picture as EXIF turns it), `scores` and `classes` (names), best first, and with `given.track` `ids` (the
      object's number, the same in all frames, null while it has none);
    - and of `given.save`: `pictures/NAME.png`, each image with its boxes, names and scores, or, for a video, `NAME.mp4`;
      `labels/NAME.txt` and `classes.txt`; `crops/CLASS/NAME_k.png`; `coco.json`.

    Pictures are read by another thread while the network computes, and drawn and written by others; of each kind only a few
    are in memory at a time. What was found before an early end, such as Ctrl-C, is written. With `given.show` a window shows
    them besides (see `Window.show`), a video file no faster than at its own rate; closing it ends the prediction.

    Raises:
        UserError: the checkpoint, the source, a class, the output folder or a number is not what it should be, or what a
            window or tracking needs is not there.
    """
    if given.batch_size is not None and given.batch_size < 1:
        raise UserError(f"batch_size={given.batch_size}: at least 1 picture goes through the model at a time")
    if not 0 <= given.score <= 1:
        raise UserError(f"score={given.score:g}: a score is in 0..1")
    checkpoint = open_checkpoint(given.checkpoint).suppressing(given.suppression, given.iou_threshold)
    wanted = _labels(given.classes, checkpoint.class_names)
    source = open_source(given.source, given.frames)
    if given.frames is not None and isinstance(source, ImageFiles):
        raise UserError(f"frames={given.frames}: has no meaning for images; source={given.source} is no video")
    tracker = _tracker(given, source)
    predictor = Predictor(checkpoint, given.image_size, given.accelerator, given.precision)
    window = Window(Path(given.checkpoint).name) if given.show else None
    folder = output_folder(given.output, Path("runs") / "predict")

    summary = Summary()
    overview = Overview(source)
    names, class_names = Names(), predictor.class_names
    saving = "pictures" in given.save

    def finish(item: tuple[str, Picture, Detections]) -> tuple[Picture, Detections, np.ndarray | None]:
        name, picture, found = item
        boxed = drawn(picture, found, class_names) if saving or given.show else None
        if boxed is not None and saving and isinstance(source, ImageFiles):
            write_drawn(folder, name, boxed)
        if "txt" in given.save:
            write_labels(folder, name, picture, found)
        if "crops" in given.save:
            write_crops(folder, name, picture, found, class_names)
        return picture, found, boxed

    with ExitStack() as files:
        if window is not None:
            files.enter_context(window)
        entries = files.enter_context(detections_file(folder / DETECTIONS, given.checkpoint, given.score))
        if "coco" in given.save:
            coco = files.enter_context(coco_file(folder / COCO, class_names, checkpoint.category_ids))
        if saving and isinstance(source, Video):
            video = files.enter_context(video_file(folder / video_name(source), source.frame_rate, source.size))
        if saving and isinstance(source, ImageFiles):
            (folder / PICTURES).mkdir()
        if "txt" in given.save:
            (folder / CLASSES).write_text("".join(f"{name}\n" for name in class_names), encoding="utf-8")
        parts = files.enter_context(ahead(_parts(predictor, source, given, summary), 2))
        detected = tqdm(
            _detected(predictor, parts, given.score if tracker is None else tracker.lowest_score, wanted, summary),
            "pictures",
            len(source) or None,
            leave=False,
            disable=None,
        )
        until_closed = takewhile(lambda _: window is None or not window.closed, detected)
        tracked = ((one, found if tracker is None else tracker.update(found)) for one, found in until_closed)
        named = ((names.of(one), one, found) for one, found in tracked)
        for picture, found, boxed in behind(finish, named, WRITERS):
            if boxed is not None and window is not None:
                window.show(boxed, picture.name, _seconds(source))
            if boxed is not None and saving and isinstance(source, Video):
                video.write(cv2.cvtColor(boxed, cv2.COLOR_RGB2BGR))
            if "coco" in given.save:
                coco.add(picture, found)
            overview.add(picture, found, class_names)
            entries.add(entry(picture, found, class_names))
            summary.add(found)
    write_picture(folder / OVERVIEW, overview.sheet())
    summary.say(folder, source, given, closed=window is not None and window.closed)
    return folder


def _seconds(source: ImageFiles | Video) -> float | None:
    """How long a window shows a picture of the source: until a key is pressed, or else as long as the next one takes."""
    if isinstance(source, ImageFiles):
        return None
    return 0.0 if source.live else 1 / source.frame_rate


def _tracker(given: config.Predict, source: ImageFiles | Video) -> Tracker | None:
    if not given.track:
        return None
    if isinstance(source, ImageFiles):
        raise UserError(f"track=true: has no meaning for images; source={given.source} is no video")
    return Tracker(given.score, source.frame_rate)


def _labels(classes: Sequence[str], class_names: tuple[str, ...]) -> torch.Tensor | None:
    """The labels of the classes that are asked for; None where all are."""
    if unknown := [name for name in classes if name not in class_names]:
        raise UserError(
            f"classes: {unknown[0]!r} is none of the checkpoint's: {nearest_names(class_names, unknown[0])}"
        )
    return torch.tensor([class_names.index(name) for name in classes]) if classes else None


@dataclass(frozen=True)
class _Part:
    """Pictures, or tiles of them, that go through the model together."""

    batch: Batch
    of: list[tuple[Picture, list[Tile], int]]
    """The picture that each comes from, all tiles of that picture, and which of these it is."""


def _parts(
    predictor: Predictor, source: ImageFiles | Video, given: config.Predict, summary: Summary
) -> Iterator[_Part]:
    """All of the source, read and brought to the size that the model sees."""
    inputs = _inputs(source, given.tiles, given.tile_overlap)
    batch_size = given.batch_size or (1 if isinstance(source, Video) and source.live else BATCH_SIZE)
    while chosen := list(islice(inputs, batch_size)):
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
    predictor: Predictor, parts: Iterable[_Part], score: float, wanted: torch.Tensor | None, summary: Summary
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
