"""`scripts/evaluate.py`: a checkpoint or a file of stored detections, measured on one split of a data set."""

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
from detector.data.formats.layout import complete
from detector.data.formats.voc import list_file, split_folder
from detector.data.index import Index, in_order
from detector.data.module import evaluation_loader
from detector.data.options import Data
from detector.data.paths import nearest_names
from detector.data.problems import summarise
from detector.data.read import read_index
from detector.errors import UserError
from detector.evaluation.evaluate import evaluate
from detector.evaluation.page.page import REPORT_FILES, leave_report
from detector.evaluation.report import table
from detector.evaluation.results import DETECTIONS, FlatResults, flatten, read_flat_results, write_results
from detector.evaluation.second_look import detect_mirrored
from detector.inference.precision import precision_of
from detector.inference.predictor import Predictor, choose_device, detect_originals
from detector.models.detector import Detector
from detector.output import output_folder, write_json, write_picture
from detector.proposals.selective_search import ProposalRequest
from detector.resolve import resize_of
from detector.types import Batch, Detections, Target
from detector.visualization.pictures import curves_of_history, draw_curves, predictions_picture

METRICS, PREDICTIONS, CURVES = "metrics.json", "predictions.png", "curves.png"
PICTURED_IMAGES = 8


def run(given: config.Evaluate, index: Index | None = None) -> dict[str, Any]:
    """Measures, prints a table, and writes to a folder:

    - `metrics.json`: what this function returns: the numbers of `detector.evaluation.evaluate.evaluate`, what was
      measured (`checkpoint` or `detections`, `split`, `images`, `category_ids` by class name) and, of a checkpoint,
      `image_size`, `resize` and `images_per_second`;
    - `analysis.json`, unless `evaluation.report` is off: curves, error kinds, and more
      (`detector.evaluation.analysis`), and `report.html`, the page that shows them and the images;
    - of a checkpoint also `detections.json`, a COCO result file with the data's own ids, and `predictions.png`, the
      first images with what is annotated and what is detected;
    - `curves.png`, losses, AP and learning rate of the run up to the checkpoint, where the checkpoint carries them.

    A checkpoint is measured as during its training: averaged weights, float32 (or `precision`), images of one size, letterboxed
    or stretched as the model wants them, at most 100 detections an image with a score above 0.001 (unless its `model`
    options say otherwise). Its class names are the label space, whatever the order of the data's own.

    Args:
        given: the options of the command.
        index: the images to measure a checkpoint on, in place of `given.data`.

    Raises:
        UserError: not exactly one of `checkpoint` and `detections` is given, the data has other classes than the
            checkpoint, or a file, the data or the output folder is not what it should be.
    """
    if given.split not in ("train", "val", "test"):
        raise UserError(f"split={given.split}: choose one of train, val, test")
    if given.checkpoint is not None and given.detections is None:
        checkpoint = open_checkpoint(given.checkpoint).suppressing(given.suppression, given.iou_threshold)
        return _measure_checkpoint(given, checkpoint, index)
    if given.detections is not None and given.checkpoint is None:
        return _measure_file(given, Path(given.detections))
    raise UserError(
        "checkpoint, detections: exactly one must be given, checkpoint=FILE.ckpt to run a model or "
        "detections=FILE.json to score stored results"
    )


def _measure_file(given: config.Evaluate, file: Path) -> dict[str, Any]:
    if given.data is None:
        raise UserError("data must be given with detections=FILE: data=coco data.root=FOLDER ...")
    for key in ("image_size", "suppression", "iou_threshold"):
        if getattr(given, key) is not None:
            raise UserError(f"{key}: has no meaning with detections=FILE, which no model is run for")
    if given.precision != "fp32":
        raise UserError(f"precision={given.precision}: has no meaning with detections=FILE, which no model is run for")
    index = read_index(given.data, given.split, _listed_classes(given.data, given.split))
    try:
        results = read_flat_results(file, index)
    except UserError:  # of a model that knows classes which the split does not list
        wider = _classes_of_training(given.data, given.split)
        if wider is None or not {*index.class_names} < {*wider}:
            raise
        index = read_index(given.data, given.split, wider)
        results = read_flat_results(file, index)
    _introduce(index, given.split)
    folder = output_folder(given.output, Path("runs") / "evaluate")
    metrics = {
        **evaluate(index, results, given.evaluation.engine),
        "detections": str(file),
        **_measured(index, given.split),
    }
    report = leave_report(folder, index, results, metrics, given.evaluation, given.split, str(file))
    return _conclude(folder, metrics, METRICS, *(REPORT_FILES if report else ()))


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
                _Measured(
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


def _measure_checkpoint(given: config.Evaluate, checkpoint: Checkpoint, index: Index | None) -> dict[str, Any]:
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
        _Measured(
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
class _Measured:
    """A detector as it is measured."""

    detect: Callable[[Batch], list[Detections]]
    image_size: int
    resize: str
    proposals: ProposalRequest | None
    named: dict[str, str]
    """What `metrics.json` says of it."""
    history: Sequence[Mapping[str, float]] = ()
    """The log of the run that made it."""


def _measure(given: config.Evaluate, index: Index, data: Data, measured: _Measured) -> dict[str, Any]:
    loader = evaluation_loader(index, data, measured.image_size, proposals=measured.proposals, resize=measured.resize)
    folder = output_folder(given.output, Path("runs") / "evaluate")
    _introduce(index, given.split)

    results: list[dict[str, Any]] = []
    pictured = _Pictured()
    started = time.perf_counter()
    for batch in tqdm(loader, "batches", leave=False, disable=None):
        for image, target, found in zip(batch.images, batch.targets, measured.detect(batch), strict=True):
            results += found.to_coco(target.image_id, index.category_ids)
            pictured.add(image.permute(1, 2, 0).numpy(), target, found)
    seconds = time.perf_counter() - started

    flat = flatten(index, results)
    metrics = {
        **evaluate(index, flat, given.evaluation.engine),
        **measured.named,
        **_measured(index, given.split),
        "image_size": measured.image_size,
        "resize": measured.resize,
        "images_per_second": len(index) / seconds,
    }
    write_results(folder / DETECTIONS, results)
    write_picture(folder / PREDICTIONS, pictured.picture(index.class_names))
    model = next(iter(measured.named.values()))

    def look(images: np.ndarray) -> FlatResults:
        again = evaluation_loader(
            index.subset(images), replace(data, workers=0, cache="none"), measured.image_size,
            proposals=measured.proposals, resize=measured.resize,
        )  # fmt: skip
        return detect_mirrored(again, measured.detect, images)

    report = leave_report(folder, index, flat, metrics, given.evaluation, given.split, model, look)
    files = [METRICS, DETECTIONS, PREDICTIONS, *(REPORT_FILES if report else ())]
    if curves := curves_of_history(measured.history):
        draw_curves(curves, folder / CURVES)
        files.append(CURVES)
    return _conclude(folder, metrics, *files)


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
        f"checkpoint={checkpoint.path}: was trained on {_classes(checkpoint.class_names)}, "
        f"data.{split} has {_classes(own)}: give data with the same classes"
    )


def _listed_classes(data: config.Data, split: str) -> tuple[str, ...] | None:
    """The label space of stored detections, where the split's own files may not know all of it.

    VOC lists its classes nowhere: they are the names in the training split's annotations, as in a training.
    """
    data, _ = complete(data)
    if not isinstance(data, config.Voc) or split == "train" or not data.train:
        return None
    if list_file(data, "train").is_file() or split_folder(data, "train") is not None:
        return read_index(data, "train").class_names
    return None


def _classes_of_training(data: config.Data, split: str) -> tuple[str, ...] | None:
    """Classes of the training split of a COCO data set, where there is one beside `split`."""
    data, _ = complete(data)
    if not isinstance(data, config.Coco) or split == "train" or not data.train:
        return None
    return read_index(data, "train").class_names


def _measured(index: Index, split: str) -> dict[str, Any]:
    return {
        "split": split,
        "images": len(index),
        "category_ids": dict(zip(index.class_names, index.category_ids, strict=True)),
    }


def _introduce(index: Index, split: str) -> None:
    objects = len(index.annotations)
    print(f"data: {len(index)} images of the {split} split, {objects} objects of {_classes(index.class_names)}")
    for note in index.notes:
        print(note)
    if index.problems:
        print(f"problems in the data: {summarise(index.problems)}")


def _conclude(folder: Path, metrics: dict[str, Any], *files: str) -> dict[str, Any]:
    write_json(folder / METRICS, metrics)
    print(table(metrics))
    if "images_per_second" in metrics:
        print(f"{metrics['images_per_second']:.1f} images a second, reading included")
    print(f"everything lies in {folder}: {', '.join(files)}")
    return metrics


def _classes(names: tuple[str, ...]) -> str:
    return f"{len(names)} class{'' if len(names) == 1 else 'es'} ({nearest_names(names, '')})"
