"""`scripts/evaluate.py`: a checkpoint or a file of stored detections, measured on one split of a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from detector import config
from detector.data.formats.layout import complete
from detector.data.formats.voc import list_file, split_folder
from detector.data.index import Index
from detector.data.read import read_index
from detector.errors import UserError
from detector.evaluation.evaluate import evaluate
from detector.evaluation.page.page import REPORT_FILES, leave_report
from detector.evaluation.report import conclude, introduce, measured
from detector.evaluation.results import read_flat_results
from detector.output import output_folder


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
        from detector.evaluation.evaluate_detector import evaluate_checkpoint  # with all that a network needs

        return evaluate_checkpoint(given, index)
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
    introduce(index, given.split)
    folder = output_folder(given.output, Path("runs") / "evaluate")
    metrics = {
        **evaluate(index, results, given.evaluation.engine),
        "detections": str(file),
        **measured(index, given.split),
    }
    report = leave_report(folder, index, results, metrics, given.evaluation, given.split, str(file))
    return conclude(folder, metrics, *(REPORT_FILES if report else ()))


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
