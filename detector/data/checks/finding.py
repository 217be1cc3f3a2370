"""A finding about a data set: what is wrong or looks wrong, and where to see it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from detector.data.index import Index, Problem

GROUPS: dict[str, tuple[str, ...]] = {
    "leaks": ("image in two splits", "near-duplicate in two splits"),
    "duplicates": ("repeated image", "near-duplicate image", "file under two ids"),
    "objects": (
        *("unknown class", "degenerate box", "box outside", "box partly outside", "swapped corners", "nested object"),
        *("duplicate box", "near-duplicate box", "detections in place of annotations"),
    ),
    "suspicions": (
        *("similar image in two splits", "similar image", "one object under two classes", "tiny box", "very long box"),
        *("suspected label", "class without objects", "rare class", "class in other shares"),
    ),
}
"""Group → kinds of findings. All others are about files: images and annotations that are missing or cannot be read."""
FILES = "files"


def group_of(kind: str) -> str:
    """The group of a kind of finding, as `fail_on` names it."""
    return next((group for group, kinds in GROUPS.items() if kind in kinds), FILES)


Place = tuple[str, int]
"""A split and the position of an image in its index."""


@dataclass(frozen=True)
class Finding(Problem):
    """A problem, or what looks like one, with its picture."""

    place: Place | None = None
    """The image; None where it is none of an index, as a file that was left out."""
    boxes: tuple[tuple[float, float, float, float], ...] = ()
    """What it is about: xyxy in pixels of the original image; none where it is about the image."""
    other: Place | None = None
    """The image that it is compared with."""


def located(problems: Sequence[Problem], split: str, index: Index | None) -> list[Finding]:
    """Findings of problems that name their image by its file; those that have their place already stay as they are."""
    known = {} if index is None else {file: i for i, file in enumerate(index.files.tolist())}
    found = []
    for one in problems:
        if not isinstance(one, Finding):
            at = known.get(one.file or one.where)
            place = None if at is None else (split, at)
            boxes = () if one.box is None or not all(map(math.isfinite, one.box)) else (one.box,)
            one = Finding(one.kind, one.where, one.what, one.file, one.box, place, boxes)
        found.append(one)
    return found
