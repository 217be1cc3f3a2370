"""COCO json: `images`, `categories` and `annotations` of one split in one file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from detector.data.file_values import identifier, loose, number
from detector.data.folders import contents
from detector.data.formats.coco_categories import Category, annotated_elsewhere, classes, read_categories
from detector.data.formats.coco_json import CocoFile, Entries, load_coco
from detector.data.formats.coco_objects import coco_objects
from detector.data.formats.image_files import ImageFiles
from detector.data.formats.split_names import SPLITS, split_named
from detector.data.free_memory import give_back_memory
from detector.data.images.headers import MAX_PIXELS
from detector.data.images.orientation import annotated_as_stored, as_stored_note
from detector.data.index import Index, Problem, assemble
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
    index = _read(data, split, class_names)
    give_back_memory()
    return index


def _read(data: Coco, split: str, class_names: tuple[str, ...] | None) -> Index:
    root = root_folder(data)
    key = f"data.{split}"
    path = existing(root / split_entry(data, split), key)
    where = relative(path, root)
    content = load_coco(path, key)
    if not content.images:
        raise UserError(f"{key}: {path} has no image")
    problems: list[Problem] = []
    notes: list[str] = []
    categories, category_ids, names = _label_space(data, split, path, content, class_names, notes)

    images, ids = _images(content.images, path, key, problems, where)
    finder = _image_files(data, split, path, root)
    files = finder.find_all([image["file_name"] for image in images])
    if finder.moved:
        name, file = finder.moved[0]
        notes.append(
            f"{len(finder.moved)} images are not where {where} says and were found by the ends of their names "
            f"(first: {shown(name)} is {relative(Path(file), root)})"
        )
    sizes = _sizes(images)
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

    left_out = [ids[i] for i in np.flatnonzero(~sized).tolist()]
    ids, files = [ids[i] for i in kept], [files[i] for i in kept]
    objects = coco_objects(content.annotations, ids, left_out, categories, names, where, problems)
    index = assemble(names, category_ids, ids, files, sizes[sized], objects, problems)
    index.notes = notes
    if annotated_as_stored(index.files.tolist(), index.sizes):
        index.as_stored = True
        notes.append(as_stored_note(where))
    return index


def _label_space(
    data: Coco,
    split: str,
    path: Path,
    content: CocoFile,
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
    ids, names = [entry["id"] for entry in entries], [entry["file_name"] for entry in entries]
    if set(map(type, ids)) == {int} and len(set(ids)) == len(ids) and max(map(abs, ids)) < 2**63 and _are_names(names):
        return entries, ids
    seen: dict[ImageId, str] = {}
    kept = []
    for n, entry in enumerate(entries):
        image_id, name = identifier(entry["id"]), entry["file_name"]
        place = f"{where}, image number {n}"
        if image_id is None:
            what = f"left out: its id is {shown(entry['id'])!r}, an integer or a text is expected"
            problems.append(Problem("malformed image", place, what))
        elif not _are_names([name]):
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


def _are_names(names: list[Any]) -> bool:
    """Whether each can be the name of a file."""
    return (
        set(map(type, names)) == {str}
        and all(map(str.strip, names))
        and all(map(str.isprintable, names))
        and max(map(len, names)) <= 4000
    )


def _sizes(images: Entries) -> np.ndarray:
    """int32 [I, 2]: (height, width); 0, 0 where the file does not say or no image can be so large."""
    sides: list[Any] = [value for image in images for value in (image.get("height"), image.get("width"))]
    if set(map(type, sides)) != {int} or max(map(abs, sides)) > MAX_PIXELS:
        sides = [number(value) for value in sides]
    sizes = np.array(sides, dtype=np.float64).reshape(-1, 2)
    with np.errstate(over="ignore"):
        possible = (sizes >= 1).all(axis=1) & (sizes.prod(axis=1) <= MAX_PIXELS)
    return np.where(possible[:, None], sizes, 0).astype(np.int32)


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
        places += [folder / name for name in contents(folder)[0] if split_named(name) == split]
    places += [path.parent / "images", path.parent / "data", root / "images", root / "data", path.parent, *bases]
    return ImageFiles(places, split)


def _shared_files(ids: Sequence[ImageId], files: Sequence[str]) -> list[Problem]:
    """Files that several images share: what is annotated under one id is background under the other."""
    if len(set(files)) == len(files):
        return []
    first: dict[str, ImageId] = {}
    found = []
    for image_id, file in zip(ids, files, strict=True):
        if file in first:
            what = f"it is image {first[file]} and image {image_id}: what one annotates is background in the other"
            found.append(Problem("file under two ids", file, what))
        first.setdefault(file, image_id)
    return found
