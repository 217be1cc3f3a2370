"""COCO result entries, `{"image_id", "category_id", "bbox": [x, y, width, height], "score"}`: files and flat arrays."""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from ultrafast_pycocotools import _ufcoco
from ultrafast_pycocotools.coco import load_json

from detector.data.file_values import Lookup, ids_of
from detector.data.index import Index
from detector.errors import UserError
from detector.option_check import is_finite_number
from detector.types import ImageId

DETECTIONS = "detections.json"
"""Name of the result file in the folder of a run or of an evaluation."""
_SCORE = re.compile(rb'"score"[ \t\n\r]*:[ \t\n\r]*-?\d')


@dataclass(frozen=True)
class FlatResults:
    """M result entries of an index as arrays, in the order of the entries."""

    images: np.ndarray
    """int64 [M]: position of the image in the index."""
    labels: np.ndarray
    """int64 [M] in 0..K−1."""
    boxes: np.ndarray
    """float64 [M, 4]: x, y, width, height in original pixels, as the entries have them."""
    scores: np.ndarray
    """float64 [M]."""


def flatten(index: Index, results: Sequence[Mapping[str, Any]]) -> FlatResults:
    """The entries as arrays. A KeyError means an image or category id that the index does not have."""
    image_of, label_of = _positions(index)
    return FlatResults(
        images=np.array([image_of[entry["image_id"]] for entry in results], dtype=np.int64),
        labels=np.array([label_of[entry["category_id"]] for entry in results], dtype=np.int64),
        boxes=np.array([entry["bbox"] for entry in results], dtype=np.float64).reshape(-1, 4),
        scores=np.array([entry["score"] for entry in results], dtype=np.float64),
    )


def _positions(index: Index) -> tuple[dict[ImageId, int], dict[ImageId, int]]:
    """The image of each image id and the label of each category id."""
    return (
        {image_id: position for position, image_id in enumerate(ids_of(index.image_ids))},
        {category_id: label for label, category_id in enumerate(index.category_ids)},
    )


def write_results(path: Path, results: Sequence[Mapping[str, Any]]) -> None:
    """Writes a COCO result file, one entry a line; the folder is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    entries = ",\n".join(json.dumps(dict(entry), allow_nan=False) for entry in results)
    path.write_text(f"[\n{entries}\n]\n" if results else "[]\n", encoding="utf-8")


def write_flat_results(path: Path, index: Index, results: FlatResults) -> None:
    """Writes results of `index` as the COCO result file that `write_results` makes of their entries, to the byte."""
    image_ids, category_ids = (
        [json.dumps(one) for one in ids] for ids in (ids_of(index.image_ids), index.category_ids)
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    if not (np.isfinite(results.boxes).all() and np.isfinite(results.scores).all()):
        raise ValueError("a box or a score is not finite, which JSON cannot say")
    entries = ",\n".join(
        f'{{"image_id": {image_ids[image]}, "category_id": {category_ids[label]}, "bbox": {box}, "score": {score}}}'
        for image, label, box, score in zip(
            results.images.tolist(),
            results.labels.tolist(),
            results.boxes.tolist(),
            results.scores.tolist(),
            strict=True,
        )
    )
    path.write_text(f"[\n{entries}\n]\n" if len(results.scores) else "[]\n", encoding="utf-8")


def read_flat_results(path: Path, index: Index) -> FlatResults:
    """Reads a COCO result file as arrays; raises as `read_results`, whose entries as `flatten` has them they are.

    Entries become objects of Python only where an id is a text, and are looked at one by one only where a whole column of
    them is not what it should be.
    """
    flat = _numbers(path, index)
    if flat is None:
        flat = _columns(path, index)
    return flatten(index, read_results(path, index)) if flat is None else flat


def _numbers(path: Path, index: Index) -> FlatResults | None:
    """The entries as the Rust engine reads them; None where its strict reader stops, or may have passed over something."""
    if index.image_ids.dtype != np.int64:
        return None
    try:
        _, found = _ufcoco.load_compact_bbox(str(path), results=True)
        rows = found.array_rows()  # float64 [M, 7]: image, x, y, width, height, score, category
        del found  # holds the text of the file
        images = _places(rows[:, 0], index.image_ids)
        labels = _places(rows[:, 6], np.array(index.category_ids, dtype=np.int64))
    except (ValueError, OSError, OverflowError):
        return None
    except (AttributeError, TypeError):  # a version of the engine without this reader, or with another one
        return None
    boxes, scores = rows[:, 1:5].copy(), rows[:, 5].copy()
    if images is None or labels is None or not (boxes[:, 2:] >= 0).all():
        return None
    # an entry without a score is read as one with 0
    return FlatResults(images, labels, boxes, scores) if scores.all() or _all_have_scores(path, len(scores)) else None


def _all_have_scores(path: Path, entries: int) -> bool:
    """Whether each of the flat objects of a valid JSON has a number for a score; False also where it cannot tell.

    Without a backslash no text holds a quotation mark, so that what looks like a key is one; without objects inside objects
    it is a key of an entry.
    """
    content = path.read_bytes()
    return b"\\" not in content and content.count(b"{") == entries == sum(1 for _ in _SCORE.finditer(content))


def _places(values: np.ndarray, ids: np.ndarray) -> np.ndarray | None:
    """int64 [M]: where each of `values`, float64 [M], stands among `ids`, int64 [N]; None where one stands nowhere.

    None also from 2⁵³ on, where float64 has no place for every integer.
    """
    if not len(values):
        return np.empty(0, dtype=np.int64)
    order = np.argsort(ids)
    sought = values.astype(np.int64)
    places = order[np.searchsorted(ids[order], sought).clip(max=len(ids) - 1)] if len(ids) else order
    exact = len(ids) > 0 and np.abs(values).max() < 2**53 and np.array_equal(ids[places], sought)
    return places if exact else None


def _columns(path: Path, index: Index) -> FlatResults | None:
    """The entries as arrays; None where anything may be wrong, or is written in an unusual way."""
    collects = gc.isenabled()
    gc.disable()  # would look again and again at millions of new values, none of which is garbage
    try:
        entries = load_json(path)
        image_of, label_of = _positions(index)
        image_ids, category_ids, boxes, scores = (
            [entry[key] for entry in entries] for key in ("image_id", "category_id", "bbox", "score")
        )
        coordinates = list(chain.from_iterable(boxes))
        plain = (
            {*map(type, image_ids), *map(type, category_ids)} <= {int, str}
            and {*map(type, coordinates), *map(type, scores)} <= {int, float}
            and {*map(type, boxes)} <= {list}
            and {*map(len, boxes)} <= {4}
        )
        flat = FlatResults(
            images=np.array([image_of[image_id] for image_id in image_ids], dtype=np.int64),
            labels=np.array([label_of[category_id] for category_id in category_ids], dtype=np.int64),
            boxes=np.array(coordinates, dtype=np.float64).reshape(-1, 4),
            scores=np.array(scores, dtype=np.float64),
        )
    except (OSError, ValueError, RecursionError, KeyError, TypeError, OverflowError):
        return None
    finally:
        if collects:
            gc.enable()
    finite = np.isfinite(flat.boxes).all() and np.isfinite(flat.scores).all()
    return flat if plain and finite and (flat.boxes[:, 2:] >= 0).all() else None


def read_results(path: Path, index: Index) -> list[dict[str, Any]]:
    """Reads a COCO result file that belongs to `index`; an id of 7.0 stands for 7, and is returned as 7.

    Raises UserError where the file is missing, is no JSON or no list, or has an entry that is malformed or speaks of an
    image or a category that the index does not have. The message names the first such entry, counted from 0, and says
    how many more there are.
    """
    try:
        entries = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); a COCO result file is expected") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid JSON ({error}); a COCO result file is expected") from error
    if not isinstance(entries, list):
        raise UserError(f"{path}: holds a JSON {_json_type(entries)}; a list of COCO result entries is expected")

    image_ids = ids_of(index.image_ids)
    images, categories = Lookup(image_ids, exact=True), Lookup(index.category_ids, exact=True)
    wrong = [
        (number, problem)
        for number, entry in enumerate(entries)
        if (problem := _problem(entry, images, categories)) is not None
    ]
    if wrong:
        number, problem = wrong[0]
        hint = {
            "image_id": f"; ids of this data are such as {', '.join(repr(i) for i in image_ids[:3])}",
            "category_id": f"; ids of this data are {_shortened(index.category_ids)}",
        }.get(problem.split(" ", 1)[0], "")
        more = f" ({len(wrong) - 1} more of the {len(entries)} entries are wrong)" if len(wrong) > 1 else ""
        raise UserError(f"{path}: entry {number}: {problem}{hint}{more}")
    return [_with_own_ids(entry, image_ids, images, index.category_ids, categories) for entry in entries]


def _with_own_ids(
    entry: dict[str, Any],
    image_ids: Sequence[ImageId],
    images: Lookup,
    category_ids: Sequence[ImageId],
    categories: Lookup,
) -> dict[str, Any]:
    """The entry with its ids as the data writes them."""
    image, category = images(entry["image_id"]), categories(entry["category_id"])
    assert image is not None
    assert category is not None
    return {**entry, "image_id": image_ids[image], "category_id": category_ids[category]}


def _problem(entry: Any, images: Lookup, categories: Lookup) -> str | None:
    if not isinstance(entry, dict):
        return f"is a JSON {_json_type(entry)}; an object with image_id, category_id, bbox and score is expected"
    if missing := [key for key in ("image_id", "category_id", "bbox", "score") if key not in entry]:
        return f"lacks {' and '.join(missing)}"
    image_id, category_id, box, score = (entry[key] for key in ("image_id", "category_id", "bbox", "score"))
    if images(image_id) is None:
        return f"image_id {_quoted(image_id)} is not in the data"
    if categories(category_id) is None:
        return f"category_id {_quoted(category_id)} is not in the data"
    if not (isinstance(box, list) and len(box) == 4 and all(map(is_finite_number, box)) and min(box[2:]) >= 0):
        return f"bbox {_quoted(box)} is not [x, y, width, height] in pixels"
    if not is_finite_number(score):
        return f"score {_quoted(score)} is not a finite number"
    return None


def _quoted(value: Any, most: int = 120) -> str:
    """As JSON, of which a message repeats so many characters."""
    try:
        text = json.dumps(value)
    except ValueError:  # Python writes no whole number of more than 4,300 digits
        return "of thousands of digits"
    return text if len(text) <= most else f"{text[:most]}..."


def _json_type(value: Any) -> str:
    names = {dict: "object", list: "list", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")


def _shortened(values: Sequence[ImageId], most: int = 10) -> str:
    return ", ".join(map(str, values[:most])) + (f", ... {values[-1]}" if len(values) > most else "")
