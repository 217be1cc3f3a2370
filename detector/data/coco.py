"""COCO json: `images`, `categories` and `annotations` of one split in one file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from detector import config
from detector.data.index import Index, Objects, Problem, assemble
from detector.data.paths import existing, header_sizes, nearest_names, relative, root_folder, split_entry
from detector.errors import UserError


def read_coco(data: config.Coco, split: str, class_names: tuple[str, ...] | None = None) -> Index:
    """The split in the json file that `data.train`, `data.val` or `data.test` names.

    Labels follow the sorted category ids, gaps closed; with `class_names` they follow those, and the file must have the
    same categories. Images without annotations stay. Annotations of images or categories that the file lacks, and
    malformed ones, are skipped and reported. `area` is as annotated, or the box's where it is absent or not above 0.
    Image files need not exist: scoring stored detections needs annotations only.

    Raises:
        UserError: the file or the folder of images is missing, the file is no COCO json, or its categories differ.
    """
    root = root_folder(data)
    key = f"data.{split}"
    path = existing(root / split_entry(data, split), key)
    content = _load(path, key)
    images = content["images"]
    if not images:
        raise UserError(f"{key}: {path} has no image")
    names, category_ids = _categories(content["categories"], path, key)
    if class_names is None:
        class_names = names
    elif set(class_names) != set(names):
        raise UserError(
            f"{key}: {path} has other classes than expected: it lacks "
            f"{nearest_names(sorted(set(class_names) - set(names)), '')} and adds "
            f"{nearest_names(sorted(set(names) - set(class_names)), '')}; list the same categories in both"
        )
    id_of = dict(zip(names, category_ids, strict=True))
    ids = [id_of[name] for name in class_names]

    image_ids = [image["id"] for image in images]
    twice, count = Counter(image_ids).most_common(1)[0]
    if count > 1:
        raise UserError(f"{key}: {path} has {count} images with the id {twice}: ids must be unique")
    problems: list[Problem] = []
    folder = _image_folder(data, path, root, images)
    files = [str(folder / image["file_name"]) for image in images]
    sizes = np.array([[image.get("height") or 0, image.get("width") or 0] for image in images], dtype=np.int32)
    unknown = np.flatnonzero((sizes <= 0).any(axis=1))
    sizes[unknown] = header_sizes([files[i] for i in unknown])
    sized = (sizes > 0).all(axis=1)
    for i in np.flatnonzero(~sized):
        what = f"left out: no height and width, and {files[i]} cannot be read"
        problems.append(Problem("image of unknown size", f"{relative(path, root)}, image {image_ids[i]}", what))
    kept = np.flatnonzero(sized).tolist()

    label_of = {category: label for label, category in enumerate(ids)}
    kept_ids = [image_ids[i] for i in kept]
    without_size = set(image_ids) - set(kept_ids)
    annotations = [a for a in content["annotations"] if a.get("image_id") not in without_size]
    where = relative(path, root)
    objects = _objects(annotations, kept_ids, label_of, class_names, where, problems)
    return assemble(class_names, ids, kept_ids, [files[i] for i in kept], sizes[sized], objects, problems)


def _load(path: Path, key: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except json.JSONDecodeError as error:
        raise UserError(f"{key}: {path}:{error.lineno} is not valid json: {error.msg}") from None
    except UnicodeDecodeError:
        raise UserError(f"{key}: {path} is not a json text file") from None
    for part, needed in (("images", ("id", "file_name")), ("categories", ("id", "name")), ("annotations", ())):
        if not isinstance(content, dict) or not isinstance(content.get(part), list):
            raise UserError(f"{key}: {path} has no list {part!r}: a COCO json has images, categories and annotations")
        for n, entry in enumerate(content[part]):
            lacking = [name for name in needed if not isinstance(entry, dict) or name not in entry]
            if lacking:
                raise UserError(f"{key}: {path}: entry {n} of {part!r} has no {lacking[0]!r}")
    return content


def _categories(entries: list[dict[str, Any]], path: Path, key: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Names and ids, sorted by id."""
    entries = sorted(entries, key=lambda entry: entry["id"])
    names = tuple(str(entry["name"]) for entry in entries)
    category_ids = tuple(int(entry["id"]) for entry in entries)
    for noun, values in (("name", names), ("id", category_ids)):
        twice = [value for value in values if values.count(value) > 1]
        if twice:
            raise UserError(f"{key}: {path} has more than one category with the {noun} {twice[0]!r}: it must be unique")
    return names, category_ids


def _image_folder(data: config.Coco, path: Path, root: Path, images: list[dict[str, Any]]) -> Path:
    """`data.images`, or the first of the usual places that has the first image, or that exists at all."""
    if data.images is not None:
        return existing(root / data.images, "data.images", folder=True)
    name = path.stem.removeprefix("instances_")
    places = [root / name, root / "images" / name, root / "images", path.parent / "images", path.parent, root]
    first = images[0]["file_name"]
    for place in places:
        if (place / first).is_file():
            return place
    return next((place for place in places if place.is_dir()), root)


def _objects(
    annotations: list[dict[str, Any]],
    image_ids: Sequence[int | str],
    label_of: dict[int, int],
    class_names: tuple[str, ...],
    where: str,
    problems: list[Problem],
) -> Objects:
    owner_of = {image_id: i for i, image_id in enumerate(image_ids)}
    owners, boxes, written, labels, crowd, area, ids = [], [], [], [], [], [], []
    for n, annotation in enumerate(annotations):
        entry = f"annotation {annotation['id']}" if "id" in annotation else f"annotation number {n}"
        box, image_id, category = (annotation.get(name) for name in ("bbox", "image_id", "category_id"))
        if not isinstance(box, list) or len(box) != 4 or not all(isinstance(value, int | float) for value in box):
            problems.append(Problem("malformed annotation", f"{where}, {entry}", f"skipped: its bbox is {box}"))
        elif image_id not in owner_of:
            what = f"skipped: no image has the id {image_id}"
            problems.append(Problem("annotation of a missing image", f"{where}, {entry}", what))
        elif category not in label_of:
            known = nearest_names([f"{known} ({class_names[label]})" for known, label in label_of.items()], "")
            what = f"skipped: no category has the id {category}; there are {known}"
            problems.append(Problem("unknown class", f"{where}, {entry}", what))
        else:
            left, top, width, height = box
            owners.append(owner_of[image_id])
            boxes.append((left, top, left + width, top + height))
            written.append(box)
            labels.append(label_of[category])
            crowd.append(bool(annotation.get("iscrowd", 0)))
            area.append(annotation.get("area", np.nan))
            ids.append(entry)
    return Objects(owners, boxes, labels, crowd, where=lambda n: f"{where}, {ids[n]}", area=area, written=written)
