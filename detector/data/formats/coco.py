"""COCO json: `images`, `categories` and `annotations` of one split in one file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from detector.data.file_values import Lookup, identifier, loose, number
from detector.data.formats.coco_boxes import FARTHEST, box_of
from detector.data.formats.coco_categories import Category, annotated_elsewhere, classes, read_categories
from detector.data.formats.coco_json import Entries, load_coco
from detector.data.formats.image_files import ImageFiles
from detector.data.formats.split_names import SPLITS, split_named
from detector.data.images.headers import MAX_PIXELS
from detector.data.images.orientation import annotated_as_stored, as_stored_note
from detector.data.index import AnnotatedObjects, Index, Problem, assemble
from detector.data.options import Coco
from detector.data.paths import existing, header_sizes, nearest_names, relative, root_folder, split_entry
from detector.data.problems import summarise
from detector.errors import UserError, shown
from detector.types import ImageId


def read_coco(data: Coco, split: str, class_names: tuple[str, ...] | None = None) -> Index:
    """The split in the json file that `data.train`, `data.val` or `data.test` names.

    Labels follow the sorted category ids, gaps closed; a category that only groups others and has no annotation in any
    split is no class. With `class_names` labels follow those: the file may list fewer categories, and others are
    skipped and reported with the annotations that they have. Images without annotations stay. Annotations of images or
    categories that the file lacks, and malformed ones, are skipped and reported. Numbers and ids may be text. A box is
    `bbox`, or where that is absent or empty that of `segmentation`. `area` is as annotated, or the box's where it is
    absent or not above 0. Image files need not exist: scoring stored detections needs annotations only.

    Raises:
        UserError: the file or the folder of images is missing, the file is no COCO json, or its categories differ.
    """
    root = root_folder(data)
    key = f"data.{split}"
    path = existing(root / split_entry(data, split), key)
    where = relative(path, root)
    content = load_coco(path, key)
    if not content["images"]:
        raise UserError(f"{key}: {path} has no image")
    problems: list[Problem] = []
    notes: list[str] = []
    categories, category_ids, names = _label_space(data, split, path, content, class_names, notes)

    images, ids = _images(content["images"], path, key, problems, where)
    finder = _image_files(data, split, path, root)
    files = [finder.find(image["file_name"]) for image in images]
    if finder.moved:
        name, file = finder.moved[0]
        notes.append(
            f"{len(finder.moved)} images are not where {where} says and were found by the ends of their names "
            f"(first: {shown(name)} is {relative(Path(file), root)})"
        )
    sizes = np.array([_size(image) for image in images], dtype=np.int32).reshape(-1, 2)
    unknown = np.flatnonzero((sizes == 0).any(axis=1))
    sizes[unknown] = header_sizes([files[i] for i in unknown])
    sized = np.all(sizes > 0, axis=1)
    for i in np.flatnonzero(~sized):
        what = f"left out: no height and width that an image can have, and {files[i]} cannot be read"
        problems.append(Problem("image of unknown size", f"{where}, image {ids[i]}", what))
    kept = np.flatnonzero(sized).tolist()
    if not kept:
        raise UserError(f"{key}: no image of {path} can be used: {summarise(problems)}")
    problems += _shared_files([ids[i] for i in kept], [files[i] for i in kept])

    left_out = {ids[i] for i in range(len(ids)) if not sized[i]}
    objects = _objects(content["annotations"], [ids[i] for i in kept], left_out, categories, names, where, problems)
    index = assemble(
        names, category_ids, [ids[i] for i in kept], [files[i] for i in kept], sizes[sized], objects, problems
    )
    index.notes = notes
    if annotated_as_stored(index.files.tolist(), index.sizes):
        index.as_stored = True
        notes.append(as_stored_note(where))
    return index


def _label_space(
    data: Coco,
    split: str,
    path: Path,
    content: dict[str, list[Any]],
    class_names: tuple[str, ...] | None,
    notes: list[str],
) -> tuple[list[tuple[Category, int | None]], tuple[ImageId, ...], tuple[str, ...]]:
    """(each category of the file and its label, None where it has none; the id of each label; the label space)."""
    key, root = f"data.{split}", root_folder(data)
    categories = read_categories(content, path, key)
    others = {name: root / entry for name in SPLITS if name != split and (entry := getattr(data, name))}
    others = {name: file for name, file in others.items() if file.is_file() and file != path}
    suspects = [
        one for one in categories if not one.annotations and any(one.name == other.group for other in categories)
    ]
    elsewhere = annotated_elsewhere(list(others.values())) if suspects else set()
    found, groups = classes(categories, elsewhere, path, key)
    if not found:
        raise UserError(f"{key}: {path} has no category")
    for group in groups if class_names is None else []:
        members = nearest_names([one.name for one in found if one.group == group.name], "")
        notes.append(
            f"category {group.id} ({group.name}) of {relative(path, root)} is no class: nothing is annotated with it, "
            f"it is only the supercategory of {members}"
        )
    if class_names is None:
        labels = {one.id: label for label, one in enumerate(found)}
        names = tuple(one.name for one in found)
        return [(one, labels.get(one.id)) for one in categories], tuple(one.id for one in found), names

    label_of = {name: label for label, name in enumerate(class_names)}
    known = {one.name: one for one in found if one.name in label_of}
    if not known:
        raise UserError(
            f"{key}: {path} has other classes than expected: {nearest_names([one.name for one in found], '')}; "
            f"expected {nearest_names(class_names, '')}"
        )
    absent = [name for name in class_names if name not in known]
    if absent:
        notes.append(
            f"{relative(path, root)} lists {len(known)} of the {len(class_names)} classes: "
            f"{nearest_names(absent, '')} cannot be measured and does not enter the mean"
        )
    ids = {name: one.id for name, one in known.items()}
    if absent:
        ids |= _free_ids(absent, [one.id for one in categories], others.get("train"))
    labels = {one.id: label_of[name] for name, one in known.items()}
    return [(one, labels.get(one.id)) for one in categories], tuple(ids[name] for name in class_names), class_names


def _free_ids(names: Sequence[str], taken: Sequence[ImageId], train: Path | None) -> dict[str, ImageId]:
    """Ids of classes that a file does not list: those of the training file where they are free, else numbers above all."""
    theirs: dict[str, ImageId] = {}
    if train is not None:
        theirs = {one.name: one.id for one in read_categories(load_coco(train, "data.train"), train, "data.train")}
    used = {loose(one) for one in taken}
    ids: dict[str, ImageId] = {}
    for name in names:
        free = max((one for one in used if isinstance(one, int)), default=0) + 1
        own = theirs.get(name)
        ids[name] = own if own is not None and loose(own) not in used else free
        used.add(loose(ids[name]))
    return ids


def _images(
    entries: Entries, path: Path, key: str, problems: list[Problem], where: str
) -> tuple[Entries, list[ImageId]]:
    """The usable entries of `images` and their ids; entries that say the same twice are taken once."""
    seen: dict[ImageId, str] = {}
    kept = []
    for n, entry in enumerate(entries):
        image_id, name = identifier(entry["id"]), entry["file_name"]
        place = f"{where}, image number {n}"
        if image_id is None:
            what = f"left out: its id is {shown(entry['id'])!r}, an integer or a text is expected"
            problems.append(Problem("malformed image", place, what))
        elif not isinstance(name, str) or not name.strip() or not name.isprintable() or len(name) > 4000:
            what = f"left out: its file_name is {shown(name)!r}, which is no name of a file"
            problems.append(Problem("malformed image", place, what))
        elif image_id in seen:
            if seen[image_id] != name:
                count = sum(identifier(other["id"]) == image_id for other in entries)
                raise UserError(f"{key}: {path} has {count} images with the id {image_id}: ids must be unique")
            problems.append(Problem("repeated image", place, f"id {image_id} is listed already: taken once"))
        else:
            seen[image_id] = name
            kept.append(entry)
    if not kept:
        raise UserError(f"{key}: no image of {path} can be used: {summarise(problems)}")
    return kept, list(seen)


def _size(image: dict[str, Any]) -> tuple[int, int]:
    """(height, width); 0, 0 where the file does not say or no image can be so large."""
    height, width = number(image.get("height")), number(image.get("width"))
    return (int(height), int(width)) if height >= 1 and width >= 1 and height * width <= MAX_PIXELS else (0, 0)


def _image_files(data: Coco, split: str, path: Path, root: Path) -> ImageFiles:
    """The folders that may hold the images of a json file: `data.images`, or the usual ones by its name and its folder."""
    split = split_named(path.stem) or split_named(path.parent.name) or split
    if data.images is not None:
        return ImageFiles([existing(root / data.images, "data.images", folder=True)], split)
    name = path.stem.removeprefix("instances_")
    bases = [root, path.parent]
    if path.parent.name.lower().startswith("annotation"):
        bases.append(path.parent.parent)
    places = [folder / name for base in bases for folder in (base, base / "images")]
    for folder in [folder for base in bases for folder in (base, base / "images")]:
        if folder.is_dir():
            places += [one for one in sorted(folder.iterdir()) if one.is_dir() and split_named(one.name) == split]
    places += [path.parent / "images", path.parent / "data", root / "images", root / "data", path.parent, *bases]
    return ImageFiles(places, split)


def _shared_files(ids: Sequence[ImageId], files: Sequence[str]) -> list[Problem]:
    """Files that several images share: what is annotated under one id is background under the other."""
    first: dict[str, ImageId] = {}
    found = []
    for image_id, file in zip(ids, files, strict=True):
        if file in first:
            what = f"it is image {first[file]} and image {image_id}: what one annotates is background in the other"
            found.append(Problem("file under two ids", file, what))
        first.setdefault(file, image_id)
    return found


def _objects(
    annotations: list[Any],
    image_ids: Sequence[ImageId],
    left_out: set[ImageId],
    categories: Sequence[tuple[Category, int | None]],
    names: Sequence[str],
    where: str,
    problems: list[Problem],
) -> AnnotatedObjects:
    owner_of, without_size = Lookup(image_ids), Lookup(list(left_out))
    category_of = Lookup([category.id for category, _ in categories])
    owners, boxes, written, labels, crowd, area, entries = [], [], [], [], [], [], []

    def report(kind: str, entry: str, what: str) -> None:
        problems.append(Problem(kind, f"{where}, {entry}", what))

    for n, annotation in enumerate(annotations):
        if not isinstance(annotation, dict):
            report("malformed annotation", f"annotation number {n}", f"skipped: it is {shown(annotation)}")
            continue
        entry = f"annotation {shown(annotation['id'])}" if "id" in annotation else f"annotation number {n}"
        owner, category = owner_of(annotation.get("image_id")), category_of(annotation.get("category_id"))
        if owner is None and left_out and without_size(annotation.get("image_id")) is not None:
            continue
        box = box_of(annotation)
        if box is None:
            what = f"skipped: its bbox is {shown(annotation.get('bbox'))}"
            report(
                "malformed annotation", entry, what + ", and its segmentation has no box" * ("bbox" not in annotation)
            )
        elif owner is None:
            missing = shown(annotation.get("image_id"))
            report("annotation of a missing image", entry, f"skipped: no image has the id {missing}")
        elif category is None:
            known = nearest_names([f"{one.id} ({one.name})" for one, label in categories if label is not None], "")
            missing = shown(annotation.get("category_id"))
            report("unknown class", entry, f"skipped: no category has the id {missing}; there are {known}")
        elif (label := categories[category][1]) is None:
            what = f"skipped an object of {categories[category][0].name!r}; the classes are {nearest_names(names, '')}"
            report("unknown class", entry, what)
        else:
            left, top, width, height = box
            owners.append(owner)
            boxes.append((left, top, left + width, top + height))
            written.append(box)
            labels.append(label)
            crowd.append(_is_true(annotation.get("iscrowd")))
            entries.append(entry)
            given, annotated = annotation.get("area"), number(annotation.get("area"))
            possible = 0 < annotated <= FARTHEST**2
            area.append(annotated if possible else math.nan)
            if given is not None and width > 0 and height > 0:
                if not possible:
                    report("area not annotated", entry, f"its area is {shown(given)}: that of its box is taken")
                elif annotated > (width + 1) * (height + 1):  # a mask may fill pixels that its outline only touches
                    report("area larger than the box", entry, f"area {annotated:g} in a box of {width:g}x{height:g}")
    return AnnotatedObjects(
        owners, boxes, labels, crowd, where=lambda n: f"{where}, {entries[n]}", area=area, written=written
    )


def _is_true(flag: Any) -> bool:
    return flag is True or abs(number(flag)) > 0
