"""pycocotools called by hand on two json files, and our numbers from the same two files beside its own."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detector import config
from detector.data.index import Index
from detector.data.read import read_index
from detector.evaluation.coco import METRICS
from detector.evaluation.comparison import match
from detector.evaluation.evaluate import evaluate
from detector.evaluation.results import flatten, read_results
from detector.types import ImageId


def by_hand(annotations: Path, results: Path) -> tuple[list[float], dict[ImageId, tuple[float, float] | None]]:
    """The twelve numbers, and AP and AP50 by category id, as Detectron2 and others take them from pycocotools."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(annotations))
        found = COCOeval(truth, truth.loadRes(str(results)), "bbox")
        found.evaluate()
        found.accumulate()
        found.summarize()
    per_category: dict[ImageId, tuple[float, float] | None] = {}
    for k, category in enumerate(found.params.catIds):
        precision = found.eval["precision"][:, :, k, 0, -1]
        present, fifty = precision[precision > -1], precision[0][precision[0] > -1]
        per_category[int(category)] = (float(np.mean(present)), float(np.mean(fifty))) if len(present) else None
    return found.stats.tolist(), per_category


def differences(annotations: Path, results: Path, index: Index) -> dict[str, tuple[float | None, float | None]]:
    """Ours and that of pycocotools for the twelve numbers, AP and AP50 of each class, and AP for comparing runs."""
    twelve, per_category = by_hand(annotations, results)
    entries = read_results(results, index)
    ours = evaluate(index, entries)
    pairs = {name: (ours[name], value if value > -1 else None) for name, value in zip(METRICS, twelve, strict=True)}
    for category, name in zip(index.category_ids, index.class_names, strict=True):
        for key, value in zip(("AP", "AP50"), per_category[category] or (None, None), strict=True):
            pairs[f"{name} {key}"] = (ours["per_class"][name][key], value)
    resampled = match(index, flatten(index, entries)).ap
    pairs["AP for comparing"] = (None if np.isnan(resampled) else resampled, pairs["AP"][1])
    return pairs


def largest_difference(annotations: Path, results: Path, index: Index) -> float:
    """NaN where one has a number and the other has none."""
    pairs = differences(annotations, results, index).values()
    return float(
        np.max([0.0 if a is b is None else np.nan if a is None or b is None else abs(a - b) for a, b in pairs])
    )


def index_of(annotations: Path) -> Index:
    return read_index(config.Coco(root=str(annotations.parent), train=annotations.name), "train")
