"""COCO's twelve numbers, computed by pycocotools without files and without a word on the terminal."""

from __future__ import annotations

import io
import weakref
from contextlib import redirect_stdout
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detector.data.index import Index
from detector.evaluation.results import FlatResults

METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
"""pycocotools' twelve numbers, in its order: AP over IoU 0.50:0.95, at 0.50, at 0.75, AP of small, medium and large
objects (area < 32², < 96²), AR with 1, 10, 100 detections an image, AR of small, medium and large objects."""

_ground_truths: dict[int, tuple[weakref.ref[Index], COCO]] = {}


def ground_truth(index: Index) -> COCO:
    """The index as a pycocotools `COCO`, built at the first call and kept as long as the index lives.

    Its image ids are the ranks of the index's image ids, its category ids are the labels: pycocotools goes through
    images in the order of their ids, so ties between scores fall as they do with the original ids. Its annotation ids
    start at 1, because pycocotools takes a match with annotation 0 for no match.
    """
    key = id(index)
    if key not in _ground_truths or _ground_truths[key][0]() is not index:
        forget = weakref.ref(index, lambda _: _ground_truths.pop(key, None))
        _ground_truths[key] = (forget, _build_ground_truth(index))
    return _ground_truths[key][1]


def as_coco(index: Index, results: FlatResults) -> COCO:
    """The results as a pycocotools `COCO` beside `ground_truth(index)`."""
    truth = ground_truth(index)
    image_ranks = _ranks(index.image_ids)[results.images]
    return _coco(
        truth.dataset["images"],
        truth.dataset["categories"],
        [
            {"id": i, "image_id": image, "category_id": label, "bbox": box, "score": score, "area": box[2] * box[3]}
            for i, (image, label, box, score) in enumerate(
                zip(
                    image_ranks.tolist(),
                    results.labels.tolist(),
                    results.boxes.tolist(),
                    results.scores.tolist(),
                    strict=True,
                ),
                start=1,
            )
        ],
    )


def coco_metrics(index: Index, results: FlatResults) -> tuple[dict[str, float | None], list[dict[str, float | None]]]:
    """COCO's twelve numbers and, for each label, AP and AP50; in 0..1, None where there is no object to find.

    As in COCO's protocol: the best 100 detections of a class in an image count, crowds are ignored, sizes are judged by
    the annotated area, classes without objects do not enter the mean.
    """
    evaluation = COCOeval(ground_truth(index), as_coco(index, results), iouType="bbox")
    with redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    numbers = {name: _present(value) for name, value in zip(METRICS, evaluation.stats.tolist(), strict=True)}

    precision = evaluation.eval["precision"][:, :, :, 0, -1]  # IoU × recall × class; all areas, 100 detections
    per_class = [
        {"AP": _present(precision[:, :, label].mean()), "AP50": _present(precision[0, :, label].mean())}
        for label in range(len(index.class_names))
    ]
    return numbers, per_class


def _build_ground_truth(index: Index) -> COCO:
    image_ranks = _ranks(index.image_ids)
    boxes = index.boxes.astype(np.float64)
    boxes[:, 2:] -= boxes[:, :2]
    return _coco(
        [{"id": rank} for rank in sorted(image_ranks.tolist())],
        [{"id": label, "name": name} for label, name in enumerate(index.class_names)],
        [
            {"id": i, "image_id": image, "category_id": label, "bbox": box, "area": area, "iscrowd": int(crowd)}
            for i, (image, label, box, area, crowd) in enumerate(
                zip(
                    np.repeat(image_ranks, np.diff(index.offsets)).tolist(),
                    index.labels.tolist(),
                    boxes.tolist(),
                    index.area.tolist(),
                    index.crowd.tolist(),
                    strict=True,
                ),
                start=1,
            )
        ],
    )


def _coco(images: list[Any], categories: list[Any], annotations: list[dict[str, Any]]) -> COCO:
    coco = COCO()
    coco.dataset = {"images": images, "categories": categories, "annotations": annotations}
    with redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def _ranks(image_ids: np.ndarray) -> np.ndarray:
    return np.unique(image_ids, return_inverse=True)[1]


def _present(value: float) -> float | None:
    """pycocotools writes −1 where there is nothing to find."""
    return None if value < 0 else float(value)
