"""What a comparison's page is given: figures and differences of each group, and the boxes of its first run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from detector.columns import column
from detector.data.index import Index
from detector.evaluation.analysis.matching import IGNORED
from detector.evaluation.analysis.tide import EFFECTS, KINDS
from detector.evaluation.difference import Difference
from detector.evaluation.measures import MEASURES
from detector.experiments.compare.classes import ClassAP, class_aps
from detector.experiments.compare.page.found import Found
from detector.experiments.compare.table import COLUMNS, Column, Measured, column_statistics, present

RIGHT, WRONG, COUNTS_NEITHER_WAY = 1, 2, 3
"""What became of a detection that is shown."""


def page_content(rows: Sequence[Measured], reference: int, found: Sequence[Found], index: Index) -> dict[str, Any]:
    """The page's data, valid JSON; `found` is what each group found in the images of `index`."""
    classes = class_aps(rows, index)
    annotations = index.annotations
    having = np.unique(np.stack([annotations.labels, annotations.owners])[:, ~annotations.crowd], axis=1)[0]
    return {
        "reference": reference,
        "measures": list(MEASURES),
        "columns": [column.title for column in present(COLUMNS, rows)],
        "groups": [
            {
                **_figures(rows, group, reference),
                "classes": [one.aps[group][0] for one in classes],
                "classDifferences": _of_classes(classes, group, reference, rows[group].class_differences),
                **_errors(found[group]),
                **_boxes(found[group]),
            }
            for group in range(len(rows))
        ],
        "classes": {
            "name": list(index.class_names),
            "objects": [one.objects for one in classes],
            "images": np.bincount(having, minlength=len(classes)).tolist(),
        },
        "images": {
            "id": [index.image_id(i) for i in range(len(index))],
            "file": index.files.tolist(),
            "size": column(index.sizes),
            "objects": column(annotations.offsets),
        },
        "objects": {
            "label": column(annotations.labels),
            "box": column(annotations.boxes.astype(np.float32)),
            "ignored": column(annotations.crowd),
        },
    }


def _figures(rows: Sequence[Measured], group: int, reference: int) -> dict[str, Any]:
    row, other = rows[group], rows[reference]
    measures = {column.key: column for column in COLUMNS if column.key in MEASURES}
    return {
        "label": row.group.label,
        "seeds": [run.config.seed for run in row.group.runs],
        "columns": [
            {"mean": mean, "deviation": deviation, "digits": column.digits}
            for column in present(COLUMNS, rows)
            for mean, deviation in [column_statistics(row, column)]
        ],
        "measures": {name: column_statistics(row, one)[0] for name, one in measures.items()},
        "differences": {
            name: _difference(row.differences.get(name), _change(row, other, one)) for name, one in measures.items()
        },
    }


def _change(row: Measured, reference: Measured, one: Column) -> float | None:
    mean, other = (column_statistics(each, one)[0] for each in (row, reference))
    return None if mean is None or other is None else mean - other


def _of_classes(
    classes: Sequence[ClassAP], group: int, reference: int, differences: Sequence[Difference | None]
) -> list[dict[str, Any]]:
    return [
        _difference(differences[k] if differences else None, one.difference(group, reference))
        for k, one in enumerate(classes)
    ]


def _difference(found: Difference | None, value: float | None) -> dict[str, Any]:
    """`value` is the difference of the means where no interval was asked for."""
    if found is None:
        return {"value": value, "images": None, "seeds": None, "p": None, "corrected": None, "verdict": "undecided"}
    return {
        "value": found.ap,
        "images": found.over_images,
        "seeds": found.over_images_and_seeds,
        "p": found.p,
        "corrected": found.corrected,
        "verdict": found.verdict,
    }


def _errors(found: Found) -> dict[str, Any]:
    return {
        "ap50": [_plain(one.mean_ap) for one in found.errors],
        "deltaAp": {effect: [_plain(one.delta_ap(effect)) for one in found.errors] for effect in EFFECTS},
        "counts": {kind: [int(one.counts[kind].sum()) for one in found.errors] for kind in KINDS},
    }


def _boxes(found: Found) -> Mapping[str, Any]:
    """The detections from the best score on, and what became of the objects."""
    matched, errors = found.matched, found.errors[0]
    shown = matched.scores >= found.score
    match = matched.found[0][shown]
    return {
        "score": found.score if np.isfinite(found.score) else None,
        "cost": column(found.costs),
        "found": column(matched.found_objects(0, found.score)),
        "missed": column(errors.missed),
        "detections": {
            "offsets": column(np.concatenate([[0], np.cumsum(shown)])[matched.offsets]),
            "label": column(matched.labels[shown]),
            "score": column(matched.scores[shown].astype(np.float32)),
            "box": column(matched.boxes[shown].astype(np.float32)),
            "state": column(np.where(match >= 0, RIGHT, np.where(match == IGNORED, COUNTS_NEITHER_WAY, WRONG))),
            "object": column(np.maximum(match, -1)),
            "kind": column(errors.kind[shown]),
        },
    }


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
