"""COCO's twelve numbers, computed without files and without a word on the terminal.

Two engines compute the same to the last bit: pycocotools, the reference, and ultrafast-pycocotools, its counterpart in Rust,
which takes a small part of the time.
"""

from __future__ import annotations

import gc
import io
import os
import weakref
from collections.abc import Collection, Mapping, Sequence
from contextlib import redirect_stdout
from typing import Any

import numpy as np
import ultrafast_pycocotools as ultrafast
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detector.data.index import Index
from detector.evaluation.results import FlatResults
from detector.options import EvaluationEngine
from detector.types import ImageId

METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
"""pycocotools' twelve numbers, in its order: AP over IoU 0.50:0.95, at 0.50, at 0.75, AP of small, medium and large
objects (area < 32², < 96²), AR with 1, 10, 100 detections an image, AR of small, medium and large objects."""

AREAS: Mapping[str, tuple[float, float]] = {
    "all": (0, 1e10),
    "small": (0, 32**2),
    "medium": (32**2, 96**2),
    "large": (96**2, 1e10),
}
"""The areas of objects in square pixels, of which APs, APm and APl are named."""

_process_of_threads: int | None = None
"""The process in which the Rust engine has started its threads; a fork of it has the engine, but not they."""

_ground_truths: dict[int, tuple[weakref.ref[Index], COCO]] = {}


def ground_truth(index: Index) -> COCO:
    """The annotations of an index as a pycocotools `COCO`, built at the first call and kept as long as the index lives.

    Boxes and areas are the numbers of the data's files, in the order of the files. Image and category ids are the ranks
    of the data's own ids: pycocotools goes through images and categories in the order of their ids, so that ties between
    scores fall, and means are added, as with the original ids. Annotation ids are 1, 2, ... in the order of
    `index.annotations`, whatever they are in a file: pycocotools takes a match with annotation 0 for no match, and of two
    annotations with one id it counts the last twice.
    """
    key = id(index)
    if key not in _ground_truths or _ground_truths[key][0]() is not index:
        forget = weakref.ref(index, lambda _: _ground_truths.pop(key, None))
        _ground_truths[key] = (forget, _build_ground_truth(index))
    return _ground_truths[key][1]


def as_coco(index: Index, results: FlatResults) -> COCO:
    """The results as a pycocotools `COCO` beside `ground_truth(index)`."""
    truth = ground_truth(index)
    image_ranks = ranks(index.image_ids)[results.images]
    categories = ranks(index.category_ids)[results.labels]
    return _coco(
        truth.dataset["images"],
        truth.dataset["categories"],
        [
            {"id": i, "image_id": image, "category_id": category, "bbox": box, "score": score, "area": box[2] * box[3]}
            for i, (image, category, box, score) in enumerate(
                zip(
                    image_ranks.tolist(),
                    categories.tolist(),
                    results.boxes.tolist(),
                    results.scores.tolist(),
                    strict=True,
                ),
                start=1,
            )
        ],
    )


def evaluation(
    index: Index, results: FlatResults, engine: EvaluationEngine = "ultrafast", keep_matches: bool = False
) -> Any:
    """A `COCOeval` of boxes that has its data and has not run: pycocotools' own, or the one of the other engine.

    Both have `params`, `evaluate()`, `accumulate()`, `summarize()`, `eval` and `stats`, with equal values. `evalImgs`, what
    became of each detection, is there where `keep_matches` is set; ids of detections count from 1 in the order of `results`.
    In a fork of a process that has measured by the Rust engine, which would wait for ever, pycocotools measures.
    """
    global _process_of_threads
    if engine == "pycocotools" or _process_of_threads not in (None, os.getpid()):
        return COCOeval(ground_truth(index), as_coco(index, results), iouType="bbox")
    rows = np.column_stack(
        [
            ranks(index.image_ids)[results.images],
            results.boxes,
            results.scores,
            ranks(index.category_ids)[results.labels],
        ]
    )
    _process_of_threads = os.getpid()
    with redirect_stdout(io.StringIO()):
        truth = ultrafast.COCO(ground_truth(index).dataset)
        return ultrafast.COCOeval(truth, truth.loadRes(rows), "bbox", store_eval_imgs=keep_matches)


def evaluated(
    index: Index,
    results: FlatResults,
    engine: EvaluationEngine = "ultrafast",
    areas: Collection[str] = ("all",),
) -> Any:
    """An `evaluation` that has run, with its matches: the best 100 detections of a class in an image, by areas."""
    measured = evaluation(index, results, engine, keep_matches=True)
    measured.params.areaRng, measured.params.areaRngLbl = [list(AREAS[name]) for name in areas], list(areas)
    measured.params.maxDets = [100]
    collects = gc.isenabled()
    gc.disable()  # would look again and again at hundreds of thousands of new entries, none of which is garbage
    try:
        with redirect_stdout(io.StringIO()):
            measured.evaluate()
            measured.accumulate()
    finally:
        if collects:
            gc.enable()
    return measured


def coco_metrics(
    index: Index, results: FlatResults, engine: EvaluationEngine = "ultrafast"
) -> tuple[dict[str, float | None], list[dict[str, float | None]]]:
    """COCO's twelve numbers and, for each label, AP and AP50; in 0..1, None where there is no object to find.

    As in COCO's protocol: the best 100 detections of a class in an image count, crowds are ignored, sizes are judged by
    the annotated area, classes without objects do not enter the mean. The numbers are those of pycocotools with the same
    two files to the last bit, but for an area that is absent or not above 0: it is taken from the box (pycocotools fails
    where it is absent, and takes 0 for a small object).
    """
    measured = evaluation(index, results, engine)
    with redirect_stdout(io.StringIO()):
        measured.evaluate()
        measured.accumulate()
        measured.summarize()
    numbers = {name: _present(value) for name, value in zip(METRICS, measured.stats.tolist(), strict=True)}

    precision = measured.eval["precision"][:, :, :, 0, -1]  # IoU × recall × category; all areas, 100 detections
    per_class = [
        {"AP": _present(mean_precision(precision[:, :, k])), "AP50": _present(mean_precision(precision[0, :, k]))}
        for k in ranks(index.category_ids).tolist()
    ]
    return numbers, per_class


def mean_precision(precision: np.ndarray) -> float:
    """The mean of some of pycocotools' precisions, as it sums them up itself; −1 where there is nothing to find."""
    present = precision[precision > -1]
    return float(np.mean(present)) if len(present) else -1.0


def ranks(ids: Sequence[ImageId] | np.ndarray) -> np.ndarray:
    """int64 [N]: the place of each id among the sorted distinct ones."""
    return np.unique(ids, return_inverse=True)[1]


def _build_ground_truth(index: Index) -> COCO:
    image_ranks, category_ranks = ranks(index.image_ids), ranks(index.category_ids)
    annotations = index.annotations
    return _coco(
        [{"id": rank} for rank in sorted(image_ranks.tolist())],
        [{"id": rank} for rank in sorted(category_ranks.tolist())],
        [
            {"id": i, "image_id": image, "category_id": category, "bbox": box, "area": area, "iscrowd": int(crowd)}
            for i, (image, category, box, area, crowd) in enumerate(
                zip(
                    image_ranks[annotations.owners].tolist(),
                    category_ranks[annotations.labels].tolist(),
                    annotations.boxes.tolist(),
                    annotations.area.tolist(),
                    annotations.crowd.tolist(),
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


def _present(value: float) -> float | None:
    """pycocotools writes −1 where there is nothing to find."""
    return None if value < 0 else float(value)
