"""One measurement for training, for a checkpoint and for a result file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from detector.data.index import Index
from detector.evaluation.coco import coco_metrics
from detector.evaluation.results import flatten
from detector.evaluation.voc import voc_ap50


def evaluate(index: Index, results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Measures COCO result entries (the data's own ids, boxes in original pixels) against all images of `index`.

    Returns a dict that is valid JSON, every number in 0..1 or None where there is no object to find:
    `AP AP50 AP75 APs APm APl AR1 AR10 AR100 ARs ARm ARl` (COCO), `per_class` {name: {`AP`, `AP50`}} (COCO) and
    `voc` {`AP50_11point`, `AP50_area`}, the mean over classes of Pascal VOC's two measures.
    """
    flat = flatten(index, results)
    numbers, per_class = coco_metrics(index, flat)
    voc = [averages for averages in voc_ap50(index, flat) if averages is not None]
    return {
        **numbers,
        "per_class": dict(zip(index.class_names, per_class, strict=True)),
        "voc": {
            "AP50_11point": sum(eleven for eleven, _ in voc) / len(voc) if voc else None,
            "AP50_area": sum(area for _, area in voc) / len(voc) if voc else None,
        },
    }
