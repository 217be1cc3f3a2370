"""Validation images with what the best weights so far find in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from detector.data.images.loading import load_image
from detector.data.index import Index
from detector.evaluation.per_image import match_detections
from detector.evaluation.results import FlatResults
from detector.visualization.page.embedded import data_uri, jpeg

SHOWN_SCORE = 0.3
_LONGEST_SIDE, _QUALITY = 480, 72


class PicturedImages:
    """The first images of a validation split for a page; each is read and compressed once."""

    def __init__(self, index: Index, count: int) -> None:
        self.index = index.subset(range(min(count, len(index))))
        self._sources: list[str] = []

    def pictures(self, results: FlatResults) -> list[dict[str, Any]]:
        """The images as a page's scripts take them, with the detections among `results`, those of the whole split, that
        have at least `SHOWN_SCORE`."""
        if not self._sources:
            for i in range(len(self.index)):
                picture = load_image(self.index, i, 2 * _LONGEST_SIDE)
                self._sources.append(data_uri(jpeg(picture, _LONGEST_SIDE, _QUALITY)))
        own = results.images < len(self.index)
        found = FlatResults(results.images[own], results.labels[own], results.boxes[own], results.scores[own])
        matched = match_detections(self.index, found)
        kinds = np.where(matched.true, "right", np.where(matched.false, "wrong", "ignored")).tolist()
        names, annotations = self.index.class_names, self.index.annotations
        marks: list[list[dict[str, Any]]] = [[] for _ in range(len(self.index))]
        for n in np.flatnonzero(matched.wanted & (matched.found_with < SHOWN_SCORE)).tolist():
            marks[int(matched.owners[n])].append(_mark(annotations.boxes[n], "missed", names[annotations.labels[n]]))
        for n in np.flatnonzero(found.scores >= SHOWN_SCORE).tolist():
            text = f"{names[found.labels[n]]} {found.scores[n]:.2f}"
            marks[int(found.images[n])].append(_mark(found.boxes[n], kinds[n], text))
        return [
            {
                "width": int(self.index.sizes[i, 1]),
                "height": int(self.index.sizes[i, 0]),
                "source": self._sources[i],
                "file": None,
                "title": str(self.index.image_id(i)),
                "lines": [_counted(marks[i])],
                "marks": marks[i],
            }
            for i in range(len(self.index))
        ]


def _mark(box: np.ndarray, kind: str, text: str) -> dict[str, Any]:
    x, y, width, height = (float(value) for value in box)
    return {"box": [round(value, 1) for value in (x, y, x + width, y + height)], "kind": kind, "text": text}


def _counted(marks: Sequence[Mapping[str, Any]]) -> str:
    numbers = {kind: sum(mark["kind"] == kind for mark in marks) for kind in ("right", "wrong", "missed")}
    return ", ".join(f"{number} {kind}" for kind, number in numbers.items())
