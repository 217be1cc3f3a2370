"""From the annotations of a COCO json to annotated objects of known images and classes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from detector.data.file_values import Lookup, number
from detector.data.formats.coco_annotations import AnnotationList
from detector.data.formats.coco_boxes import FARTHEST, Box, box_of
from detector.data.formats.coco_categories import Category
from detector.data.index import AnnotatedObjects, Problem
from detector.data.paths import nearest_names
from detector.errors import shown
from detector.types import ImageId

_DENSE = 8
"""Ids so many times as many as annotations are looked up in a table; those that lie farther apart are sorted."""


class _Object(NamedTuple):
    number: int
    """Place in the list of the file."""
    owner: int
    box: Box
    label: int
    crowd: bool
    area: float


def coco_objects(
    annotations: AnnotationList,
    image_ids: Sequence[ImageId],
    left_out: Sequence[ImageId],
    categories: Sequence[tuple[Category, int | None]],
    names: Sequence[str],
    where: str,
    problems: list[Problem],
) -> AnnotatedObjects:
    """The annotations that are objects, in the order of the file.

    Args:
        annotations: of the file.
        image_ids: of the images that can be used.
        left_out: ids of images that cannot be used; nothing is said about their annotations.
        categories: each of the file, and its label if it has one.
        names: of label 0, 1, ...
        where: the file, for messages.
        problems: gets what is wrong, in the order of the file.
    """
    one_by_one = _OneByOne(image_ids, left_out, categories, names, where, problems)
    plain = annotations.columns()
    owners = _of_each(one_by_one.owner_of.of_integers, plain.image)
    labels = _of_each(one_by_one.labels_of, plain.category)
    larger = plain.area > (plain.box[:, 2] + 1) * (plain.box[:, 3] + 1)  # than the box, which is one of the problems
    simple = (owners >= 0) & (labels >= 0) & ~larger

    others = annotations.others | {int(plain.number[row]): plain.entry(row) for row in np.flatnonzero(~simple).tolist()}
    found = [one for n in sorted(others) if (one := one_by_one.object_of(n, others[n])) is not None]
    numbers = np.concatenate([plain.number[simple], np.array([one.number for one in found], dtype=np.int64)])
    order = np.argsort(numbers, kind="stable")
    numbers = numbers[order]

    def joined(column: np.ndarray, values: list[Any]) -> np.ndarray:
        if len(order) == len(column) and not values:
            return column
        own = np.array(values, dtype=column.dtype).reshape(-1, *column.shape[1:])
        both: np.ndarray = np.concatenate([column[simple], own])[order]
        return both

    def place(row: int) -> str:
        n = int(numbers[row])
        entry = others.get(n)
        if entry is None:
            return f"{where}, annotation {plain.id[np.searchsorted(plain.number, n)]}"
        return f"{where}, {_name(entry, n)}"

    written = joined(plain.box, [one.box for one in found])
    corners = written.copy()
    corners[:, 2:] += corners[:, :2]
    return AnnotatedObjects(
        owners=joined(owners, [one.owner for one in found]),
        boxes=corners,
        labels=joined(labels, [one.label for one in found]),
        crowd=joined(plain.crowd, [one.crowd for one in found]),
        where=place,
        area=joined(plain.area, [one.area for one in found]),
        written=written,
    )


def _of_each(function: Callable[[list[int]], list[int | None]], values: np.ndarray) -> np.ndarray:
    """What a function says of each of many integers, of which many are equal: int64, -1 for None."""
    if not len(values):
        return values
    least = int(values.min())
    span = int(values.max()) - least + 1
    if span <= _DENSE * len(values):
        places = values - least
        present = np.zeros(span, dtype=np.bool_)
        present[places] = True
        distinct = np.flatnonzero(present)
        of_place = np.full(span, -1, dtype=np.int64)
        of_place[distinct] = _numbers(function((distinct + least).tolist()))
        return of_place[places]
    distinct, places = np.unique(values, return_inverse=True)
    return _numbers(function(distinct.tolist()))[places]


def _numbers(said: list[int | None]) -> np.ndarray:
    return np.array([-1 if one is None else one for one in said], dtype=np.int64)


def _name(annotation: Any, n: int) -> str:
    """How messages call the annotation at place `n` of the list."""
    if isinstance(annotation, dict) and "id" in annotation:
        return f"annotation {shown(annotation['id'])}"
    return f"annotation number {n}"


class _OneByOne:
    """Reads any annotation, however it is written, and reports what is wrong with it."""

    def __init__(
        self,
        image_ids: Sequence[ImageId],
        left_out: Sequence[ImageId],
        categories: Sequence[tuple[Category, int | None]],
        names: Sequence[str],
        where: str,
        problems: list[Problem],
    ) -> None:
        self.owner_of = Lookup(image_ids)
        self._without_size = Lookup(left_out) if left_out else lambda _: None
        self._category_of = Lookup([category.id for category, _ in categories])
        self._categories = categories
        self._names = names
        self._where = where
        self._problems = problems

    def labels_of(self, category_ids: list[int]) -> list[int | None]:
        """The label of each category; None where there is no such category or it is no class."""
        places = self._category_of.of_integers(category_ids)
        return [None if place is None else self._categories[place][1] for place in places]

    def object_of(self, n: int, annotation: Any) -> _Object | None:
        """The object that annotation number `n` is; None where it is none, which is reported."""
        if not isinstance(annotation, dict):
            self._report("malformed annotation", annotation, n, f"skipped: it is {shown(annotation)}")
            return None
        owner = self.owner_of(annotation.get("image_id"))
        category = self._category_of(annotation.get("category_id"))
        if owner is None and self._without_size(annotation.get("image_id")) is not None:
            return None
        box = box_of(annotation)
        if box is None:
            what = f"skipped: its bbox is {shown(annotation.get('bbox'))}"
            what += ", and its segmentation has no box" * ("bbox" not in annotation)
            self._report("malformed annotation", annotation, n, what)
            return None
        if owner is None:
            missing = shown(annotation.get("image_id"))
            what = f"skipped: no image has the id {missing}"
            self._report("annotation of a missing image", annotation, n, what)
            return None
        if category is None:
            known = nearest_names(
                [f"{one.id} ({one.name})" for one, label in self._categories if label is not None], ""
            )
            missing = shown(annotation.get("category_id"))
            what = f"skipped: no category has the id {missing}; there are {known}"
            self._report("unknown class", annotation, n, what)
            return None
        if (label := self._categories[category][1]) is None:
            name, classes = self._categories[category][0].name, nearest_names(self._names, "")
            self._report("unknown class", annotation, n, f"skipped an object of {name!r}; the classes are {classes}")
            return None
        crowd = annotation.get("iscrowd")
        return _Object(n, owner, box, label, crowd is True or abs(number(crowd)) > 0, self._area(annotation, n, box))

    def _area(self, annotation: dict[str, Any], n: int, box: Box) -> float:
        """As annotated, which is reported where it is larger than the box; NaN where it is no area."""
        given, annotated, (_, _, width, height) = annotation.get("area"), number(annotation.get("area")), box
        possible = 0 < annotated <= FARTHEST**2
        if given is not None and width > 0 and height > 0:
            if not possible:
                self._report(
                    "area not annotated", annotation, n, f"its area is {shown(given)}: that of its box is taken"
                )
            elif annotated > (width + 1) * (height + 1):  # a mask may fill pixels that its outline only touches
                what = f"area {annotated:g} in a box of {width:g}x{height:g}"
                self._report("area larger than the box", annotation, n, what)
        return annotated if possible else math.nan

    def _report(self, kind: str, annotation: Any, n: int, what: str) -> None:
        self._problems.append(Problem(kind, f"{self._where}, {_name(annotation, n)}", what))
