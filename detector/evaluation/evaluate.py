"""One measurement for training, for a checkpoint and for a result file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from detector.data.index import Index
from detector.evaluation.coco import coco_metrics
from detector.evaluation.results import FlatResults, flatten
from detector.evaluation.voc import VocAP, voc_ap50
from detector.options import EvaluationEngine

VOC_MEASURES = ("AP50_11point", "AP50_area")
"""Names of the fields of `VocAP` in a dict of metrics."""


def evaluate(
    index: Index, results: Sequence[Mapping[str, Any]] | FlatResults, engine: EvaluationEngine = "ultrafast"
) -> dict[str, Any]:
    """Measures COCO result entries (the data's own ids, boxes in original pixels) against all images of `index`.

    `engine` computes COCO's numbers, which are the same with each (`detector.evaluation.coco`).

    Returns a dict that is valid JSON, every number in 0..1 or None where there is no object to find:
    `AP AP50 AP75 APs APm APl AR1 AR10 AR100 ARs ARm ARl` (COCO), `per_class` {name: {`AP`, `AP50`}} (COCO) and `voc`
    (Pascal VOC) with `per_class` {name: {`AP50_11point`, `AP50_area`}} and the means of both over the classes with objects.
    """
    flat = results if isinstance(results, FlatResults) else flatten(index, results)
    numbers, per_class = coco_metrics(index, flat, engine)
    voc = [_named(averages) for averages in voc_ap50(index, flat)]
    return {
        **numbers,
        "per_class": dict(zip(index.class_names, per_class, strict=True)),
        "voc": {
            **{measure: _mean([averages[measure] for averages in voc]) for measure in VOC_MEASURES},
            "per_class": dict(zip(index.class_names, voc, strict=True)),
        },
    }


def _named(averages: VocAP | None) -> dict[str, float | None]:
    return dict(zip(VOC_MEASURES, averages or (None, None), strict=True))


def _mean(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return float(np.mean(present)) if present else None
