"""A detector, of a checkpoint or in memory, measured on one split of a data set: what `run` does where a model is run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from detector import config
from detector.boxes import transform
from detector.build_detector import options_of_detector
from detector.checkpoint import Checkpoint, open_checkpoint
from detector.data.index import Index, in_order
from detector.data.options import Data
from detector.data.read import read_index
from detector.data.split_loader import evaluation_loader
from detector.errors import UserError
from detector.evaluation.evaluate import evaluate
from detector.evaluation.page.page import REPORT_FILES, leave_report
from detector.evaluation.report import classes_in_words, conclude, introduce, measured
from detector.evaluation.results import DETECTIONS, FlatResults, flatten, write_results
from detector.evaluation.second_look import detect_mirrored
from detector.inference.precision import precision_of
from detector.inference.predictor import Predictor, choose_device, detect_originals
from detector.models.detector import Detector
from detector.output import output_folder, write_picture
from detector.proposals.selective_search import ProposalRequest
from detector.resolve import resize_of
from detector.types import Batch, Detections, Target
from detector.visualization.pictures import curves_of_history, draw_curves, predictions_picture

PREDICTIONS, CURVES = "predictions.png", "curves.png"
PICTURED_IMAGES = 8


def evaluate_detector(detector: nn.Module, given: config.Evaluate, index: Index | None = None) -> dict[str, Any]:
    """As `run`, of any `Detector` that is in memory; on the device of `given.accelerator`, and afterwards as it was.

    Args:
        detector: one of this project's, or a module of the user's own, which is given letterboxed images.
        given: the options of the command, without a checkpoint.
        index: the images to measure on, in place of `given.data`; labels are those of its class names.

    Raises:
        UserError: the data or the size of the image is not given, or a file or a value is not what it should be.
    """
    for key in ("suppression", "iou_threshold"):
        if getattr(given, key) is not None:
            raise UserError(f"{key}: belongs to a checkpoint; a detector in memory has its own, an option of its model")
    if index is None and given.data is None:
        raise UserError("data must be given: a detector in memory knows of none")
    if given.precision != "fp32":
        raise UserError(
            f"precision={given.precision}: belongs to a checkpoint; a detector in memory is measured as it is"
        )
    options = options_of_detector(detector)
    image_size = options.image_size if options is not None and given.image_size is None else given.image_size
    if image_size is None:
        raise UserError("image_size must be given: the detector does not say which size it was trained at")
    if index is None:
        index = read_index(given.data, given.split)  # type: ignore[arg-type]  # one of them is given
    home, training = next(detector.parameters()).device, {one: one.training for one in detector.modules()}
    device = choose_device(given.accelerator)
    detector.to(device).eval()
    try:
        with torch.inference_mode():
            return _measure(
                given,
                index,
                given.data or _loading(index),
                _Subject(
                    lambda batch: detect_originals(cast(Detector, detector), batch, device),
                    image_size,
                    "letterbox" if options is None else resize_of(options.model),
                    None if options is None else options.model.proposal_request(),
                    {"detector": type(detector).__name__},
                ),
            )
    finally:
        detector.to(home)
        for one, mode in training.items():
            one.training = mode


def evaluate_checkpoint(given: config.Evaluate, index: Index | None = None) -> dict[str, Any]:
    """As `run`, of the checkpoint that `given` names."""
    assert given.checkpoint is not None
    checkpoint = open_checkpoint(given.checkpoint).suppressing(given.suppression, given.iou_threshold)
    data = given.data
    if index is not None:
        data = _loading(index)
        index = _in_label_space(checkpoint, index)
    elif data is None:
        data = None if checkpoint.run is None else checkpoint.run.data
        if data is None:
            raise UserError(f"data=... must be given: checkpoint={checkpoint.path} was made without data")
        if data.cache == "ram":
            data = replace(data, cache="none")  # pays over epochs; here each image is seen once
    if index is None:
        index = _index_of(checkpoint, data, given.split)
    predictor = Predictor(checkpoint, given.image_size, given.accelerator, given.precision)
    return _measure(
        given,
        index,
        data,
        _Subject(
            predictor.detect,
            predictor.image_size,
            predictor.resize,
            checkpoint.options.model.proposal_request(),
            {"checkpoint": str(checkpoint.path), "precision": precision_of(predictor.dtype)},
            checkpoint.history,
        ),
    )


def _loading(index: Index) -> Data:
    """Images that are files are read by other processes; those in memory are there already."""
    return Data(name="index", workers=Data.workers if index.painter is None else 0)


@dataclass(frozen=True)
class _Subject:
    """A detector, and the images as it wants them."""

    detect: Callable[[Batch], list[Detections]]
    image_size: int
    resize: str
    proposals: ProposalRequest | None
    named: dict[str, str]
    """What `metrics.json` says of it."""
    history: Sequence[Mapping[str, float]] = ()
    """The log of the run that made it."""


def _measure(given: config.Evaluate, index: Index, data: Data, subject: _Subject) -> dict[str, Any]:
    loader = evaluation_loader(index, data, subject.image_size, proposals=subject.proposals, resize=subject.resize)
    folder = output_folder(given.output, Path("runs") / "evaluate")
    introduce(index, given.split)

    results: list[dict[str, Any]] = []
    pictured = _Pictured()
    started = time.perf_counter()
    for batch in tqdm(loader, "batches", leave=False, disable=None):
        for image, target, found in zip(batch.images, batch.targets, subject.detect(batch), strict=True):
            results += found.to_coco(target.image_id, index.category_ids)
            pictured.add(image.permute(1, 2, 0).numpy(), target, found)
    seconds = time.perf_counter() - started

    flat = flatten(index, results)
    metrics = {
        **evaluate(index, flat, given.evaluation.engine),
        **subject.named,
        **measured(index, given.split),
        "image_size": subject.image_size,
        "resize": subject.resize,
        "images_per_second": len(index) / seconds,
    }
    write_results(folder / DETECTIONS, results)
    write_picture(folder / PREDICTIONS, pictured.picture(index.class_names))
    model = next(iter(subject.named.values()))

    def look(images: np.ndarray) -> FlatResults:
        again = evaluation_loader(
            index.subset(images), replace(data, workers=0, cache="none"), subject.image_size,
            proposals=subject.proposals, resize=subject.resize,
        )  # fmt: skip
        return detect_mirrored(again, subject.detect, images)

    report = leave_report(folder, index, flat, metrics, given.evaluation, given.split, model, look)
    files = [DETECTIONS, PREDICTIONS, *(REPORT_FILES if report else ())]
    if curves := curves_of_history(subject.history):
        draw_curves(curves, folder / CURVES)
        files.append(CURVES)
    return conclude(folder, metrics, *files)


class _Pictured:
    """The first images as the model sees them, with their objects and detections in pixels of that picture."""

    def __init__(self) -> None:
        self.images: list[np.ndarray] = []
        self.targets: list[Target] = []
        self.detections: list[Detections] = []

    def add(self, image: np.ndarray, target: Target, found: Detections) -> None:
        if len(self.images) < PICTURED_IMAGES:
            self.images.append(image)
            self.targets.append(target)
            self.detections.append(replace(found, boxes=transform(found.boxes, target.transform)))

    def picture(self, class_names: tuple[str, ...]) -> np.ndarray:
        return predictions_picture(self.images, self.targets, self.detections, class_names)


def _index_of(checkpoint: Checkpoint, data: config.Data, split: str) -> Index:
    try:
        return read_index(data, split, checkpoint.class_names)
    except UserError as error:
        own = read_index(data, split).class_names  # raises the same again unless the classes are what is wrong
        raise _other_classes(checkpoint, own, split) from error


def _in_label_space(checkpoint: Checkpoint, index: Index) -> Index:
    if sorted(index.class_names) != sorted(checkpoint.class_names):
        raise _other_classes(checkpoint, index.class_names, "index")
    return in_order(index, checkpoint.class_names)


def _other_classes(checkpoint: Checkpoint, own: tuple[str, ...], split: str) -> UserError:
    return UserError(
        f"checkpoint={checkpoint.path}: was trained on {classes_in_words(checkpoint.class_names)}, "
        f"data.{split} has {classes_in_words(own)}: give data with the same classes"
    )
