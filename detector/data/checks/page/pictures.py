"""The pictures of findings and of training samples, inside a page of limited size."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from detector.data.checks.finding import Finding, Place
from detector.data.images.loading import load_image
from detector.data.index import Index
from detector.errors import UserError
from detector.visualization.page.embedded import data_uri, jpeg

MOST_OF_A_KIND = 60
"""Findings of one kind that get a picture; the table has all."""
LONGEST_SIDE, QUALITY = 320, 74
_MARGIN = 0.8
_LEAST_VIEW = 96.0
_VIEW_SHAPE = np.array([4 / 3, 1.0])
"""Width and height, in the shape in which a grid shows pictures: what lies beyond a cut-out is then not drawn."""
Picture = dict[str, Any]


class Pictures:
    """Pictures for a page: each image of the data once, and cut-outs around boxes, up to `megabytes` altogether.

    What no longer fits has no source: the page then shows the file itself, where the page lies in `folder`. Titles are the
    names of files below `root`.
    """

    def __init__(self, indices: Mapping[str, Index], root: str, folder: Path, megabytes: float) -> None:
        self.indices = indices
        self.root = root
        self.folder = folder
        self.left = megabytes * 1e6
        self.shown: list[Picture] = []
        self._whole: dict[Place, int] = {}

    def whole(self, place: Place) -> int | None:
        """The place in `shown` of a whole image; None where it cannot be read."""
        if place not in self._whole:
            split, i = place
            index = self.indices[split]
            height, width = index.sizes[i].tolist()
            try:
                picture = load_image(index, i, 2 * LONGEST_SIDE)
            except UserError:
                return None
            self._whole[place] = self._add(picture, width, height, place, [0, 0, width, height], index)
        return self._whole[place]

    def around(self, place: Place, boxes: Sequence[Sequence[float]]) -> int | None:
        """The place in `shown` of what is around boxes; of the whole image where they fill much of it."""
        split, i = place
        index = self.indices[split]
        height, width = index.sizes[i].tolist()
        corners = np.array(boxes, dtype=np.float64)
        low, high = corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)
        high_side = max(_LEAST_VIEW, (1 + 2 * _MARGIN) * float((high - low).max()))
        if high_side >= 0.8 * min(height, width):
            return self.whole(place)
        view_size = high_side * _VIEW_SHAPE
        start = (low + high - view_size) / 2
        start = np.floor(np.clip(start, 0, np.maximum(0, np.array([width, height]) - view_size))).astype(int)
        end = np.minimum(start + np.ceil(view_size).astype(int), [width, height])
        try:
            picture = index.image(i)[start[1] : end[1], start[0] : end[0]]
        except UserError:
            return None
        view = [*start.tolist(), *end.tolist()]
        return self._add(picture, end[0] - start[0], end[1] - start[1], place, view, index, link=False)

    def sample(self, picture: np.ndarray, boxes: np.ndarray, names: Sequence[str], title: str) -> int:
        """The place in `shown` of a training sample uint8 [S, S, 3] with its boxes xyxy [N, 4] and their names."""
        side = len(picture)
        marks = [
            {"box": [round(value, 1) for value in box], "kind": "annotated", "text": name}
            for box, name in zip(boxes.tolist(), names, strict=True)
        ]
        self.shown.append(_picture(side, side, self._source(picture, 480), None, title, marks))
        return len(self.shown) - 1

    def _add(
        self,
        picture: np.ndarray,
        width: int,
        height: int,
        place: Place,
        view: list[int],
        index: Index,
        link: bool = True,
    ) -> int:
        split, i = place
        marks = []
        for row in range(int(index.offsets[i]), int(index.offsets[i + 1])):
            x1, y1, x2, y2 = index.boxes[row].tolist()
            if x1 < view[2] and y1 < view[3] and x2 > view[0] and y2 > view[1]:
                box = [round(one - view[axis % 2], 1) for axis, one in enumerate((x1, y1, x2, y2))]
                crowd = bool(index.crowd[row])
                name = index.class_names[index.labels[row]] + (" (crowd)" if crowd else "")
                marks.append({"box": box, "kind": "ignored" if crowd else "annotated", "text": name, "faint": True})
        file = None
        if link and index.painter is None:
            file = quote(Path(os.path.relpath(str(index.files[i]), self.folder)).as_posix())
        shown = _picture(
            int(width),
            int(height),
            self._source(picture, LONGEST_SIDE),
            file,
            index.where(i).removeprefix(self.root),
            marks,
        )
        shown |= {"split": split, "offset": view[:2], "turned": not index.as_stored}
        self.shown.append(shown)
        return len(self.shown) - 1

    def _source(self, picture: np.ndarray, longest_side: int) -> str | None:
        source = data_uri(jpeg(np.ascontiguousarray(picture), longest_side, QUALITY))
        if len(source) > self.left:
            return None
        self.left -= len(source)
        return source


def of_findings(
    pictures: Pictures, findings: Sequence[tuple[str, Finding]]
) -> dict[int, tuple[int | None, int | None]]:
    """Place of a finding → places in `pictures.shown` of its picture and of the one that it is compared with.

    Kinds take turns, so that where there is no room for all of them each kind has some.
    """
    turns: dict[str, list[int]] = defaultdict(list)
    for n, (_, one) in enumerate(findings):
        if one.place is not None and len(turns[one.kind]) < MOST_OF_A_KIND:
            turns[one.kind].append(n)
    chosen = {}
    for turn in range(MOST_OF_A_KIND):
        for of_kind in turns.values():
            if turn < len(of_kind):
                one = findings[of_kind[turn]][1]
                assert one.place is not None
                own = pictures.around(one.place, one.boxes) if one.boxes else pictures.whole(one.place)
                other = None if one.other is None else pictures.whole(one.other)
                chosen[of_kind[turn]] = (own, other)
    return chosen


def _picture(width: int, height: int, source: str | None, file: str | None, title: str, marks: list[Any]) -> Picture:
    return {
        "width": width,
        "height": height,
        "source": source,
        "file": file,
        "title": title,
        "lines": [],
        "marks": marks,
        "offset": [0, 0],
    }
