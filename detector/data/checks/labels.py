"""Objects that look like another class's: their labels may be wrong.

Nothing is trained for it. Each object is compared with the objects of the other images by a very small picture of it and
its size; where nearly all of those nearest to it have one other class, its label is suspected (edited nearest neighbours;
Wilson 1972). That says something only of classes that can be told apart so: how often the nearest neighbours of a class's
own objects have its class is measured first, and a class below `LEAST_RECALL` is neither suspected nor proposed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from detector.data.checks.finding import Finding, Place
from detector.data.index import Index

NEIGHBOURS = 10
LEAST_VOTES = 9
"""Neighbours of one other class from which a label is suspected."""
LEAST_RECALL = 0.6
"""Mean share of a class's own neighbours that have it too. With two wrong labels in a hundred the classes of blood cells have
0.84 to 0.98, those of defects on circuit boards 0.79 to 0.93, those of 80 everyday things 0.2 at most."""
MOST_COMPARED_WITH = 20_000
"""Objects that all others are compared with, as many of each class as there are."""

_SIDE = 8
_MARGIN = 0.15
_PICTURE_WEIGHT, _SIZE_WEIGHT = 4.0, 0.3
_CHUNK = 1024


def crops(picture: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """uint8 [N, 8, 8, 3]: what is in boxes [N, 4] xyxy of a picture uint8 [H, W, 3], with a little around it."""
    height, width = picture.shape[:2]
    out = np.empty((len(boxes), _SIDE, _SIDE, 3), dtype=np.uint8)
    margin = _MARGIN * (boxes[:, 2:] - boxes[:, :2])
    low = np.floor(boxes[:, :2] - margin).clip(0, (width - 1, height - 1)).astype(int)
    high = np.maximum(np.ceil(boxes[:, 2:] + margin).clip(0, (width, height)).astype(int), low + 1)
    for crop, (x1, y1), (x2, y2) in zip(out, low.tolist(), high.tolist(), strict=True):
        crop[:] = cv2.resize(picture[y1:y2, x1:x2], (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    return out


def suspected_labels(splits: Mapping[str, tuple[Index, Mapping[int, np.ndarray]]]) -> tuple[list[Finding], list[str]]:
    """The objects of all splits, given with their `crops` by position, whose label is suspected, surest first; and a line
    on what could not be compared."""
    places, rows = _objects(splits)
    if not rows:
        return [], []
    features, labels, owners = (np.concatenate(part) for part in zip(*rows, strict=True))
    names = next(iter(splits.values()))[0].class_names
    known = _references(labels, len(names))
    recall = np.zeros(len(names))
    votes = _votes(features[known], owners[known], features[known], labels[known], owners[known], len(names))
    for label in range(len(names)):
        if (of_class := labels[known] == label).any():
            recall[label] = votes[of_class, label].mean() / NEIGHBOURS
    clear = recall >= LEAST_RECALL
    notes = []
    if unclear := int((~clear[np.unique(labels)]).sum()):
        notes.append(
            f"labels: {unclear} of {len(np.unique(labels))} classes cannot be told apart by small pictures of their objects, "
            "so their labels were not looked at"
        )
    asked = np.flatnonzero(clear[labels])
    votes = _votes(features[asked], owners[asked], features[known], labels[known], owners[known], len(names))
    likely = votes.argmax(axis=1)
    suspected = (votes.max(axis=1) >= LEAST_VOTES) & (likely != labels[asked]) & clear[likely]
    order = np.flatnonzero(suspected)[np.argsort(-votes.max(axis=1)[suspected], kind="stable")]
    found = []
    for n in order.tolist():
        (split, i), box = places[asked[n]]
        what = (
            f"the object at xyxy ({', '.join(f'{value:.6g}' for value in box)}) is labelled {names[labels[asked[n]]]}, "
            f"and {votes[n, likely[n]]} of the {NEIGHBOURS} objects that look most like it are {names[likely[n]]}"
        )
        found.append(Finding("suspected label", splits[split][0].where(i), what, place=(split, i), boxes=(tuple(box),)))
    return found, notes


def _objects(
    splits: Mapping[str, tuple[Index, Mapping[int, np.ndarray]]],
) -> tuple[list[tuple[Place, list[float]]], list[tuple[np.ndarray, np.ndarray, np.ndarray]]]:
    """Image and box of each object that is no crowd, and features, labels and owners for each image."""
    places: list[tuple[Place, list[float]]] = []
    rows: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for split, (index, crops_of) in splits.items():
        for i, small in crops_of.items():
            span = slice(int(index.offsets[i]), int(index.offsets[i + 1]))
            single = ~index.crowd[span]
            boxes = index.boxes[span][single]
            size = np.log((boxes[:, 2:] - boxes[:, :2]) / index.sizes[i][::-1])
            picture = small[single].reshape(len(boxes), _SIDE * _SIDE * 3) / 255
            features = np.hstack([_PICTURE_WEIGHT / np.sqrt(picture.shape[1]) * picture, _SIZE_WEIGHT * size])
            rows.append((features.astype(np.float32), index.labels[span][single], np.full(len(boxes), len(rows))))
            places += [((split, i), box) for box in boxes.tolist()]
    return places, rows


def _references(labels: np.ndarray, classes: int) -> np.ndarray:
    """Rows of the objects to compare with: all, or as many of each class as there is room for, drawn with a fixed seed."""
    if len(labels) <= MOST_COMPARED_WITH:
        return np.arange(len(labels))
    random = np.random.default_rng(0)
    chosen: Sequence[np.ndarray] = [
        random.permutation(np.flatnonzero(labels == label))[: MOST_COMPARED_WITH // classes] for label in range(classes)
    ]
    return np.sort(np.concatenate(chosen))


def _votes(
    asked: np.ndarray, asked_owners: np.ndarray, known: np.ndarray, labels: np.ndarray, owners: np.ndarray, classes: int
) -> np.ndarray:
    """int64 [A, K]: how many of the nearest known objects, of other images, have each class."""
    votes = np.zeros((len(asked), classes), dtype=np.int64)
    if len(known) <= NEIGHBOURS:
        return votes
    squares = (known**2).sum(axis=1)
    for start in range(0, len(asked), _CHUNK):
        rows = slice(start, start + _CHUNK)
        distances = squares - 2 * asked[rows] @ known.T
        distances[asked_owners[rows, None] == owners] = np.inf
        nearest = np.argpartition(distances, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
        usable = np.isfinite(np.take_along_axis(distances, nearest, axis=1))
        for place in range(NEIGHBOURS):
            at = np.flatnonzero(usable[:, place])
            votes[start + at, labels[nearest[at, place]]] += 1
    return votes
