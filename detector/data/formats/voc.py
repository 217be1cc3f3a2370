"""Pascal VOC: `ImageSets/Main/NAME.txt` lists images, `Annotations/*.xml` describe them, `JPEGImages` holds them; or a
folder holds images and their xml files side by side."""

from __future__ import annotations

import re
from collections.abc import Sequence
from os.path import isfile  # unlike Path.is_file it does not raise where a name is too long
from pathlib import Path, PurePosixPath

import numpy as np

from detector.data.formats.image_files import ImageFiles
from detector.data.formats.voc_xml import VocFile, read_voc_file
from detector.data.images.headers import MAX_PIXELS
from detector.data.images.orientation import annotated_as_stored, as_stored_note
from detector.data.index import AnnotatedObjects, Index, Problem, assemble
from detector.data.options import Voc
from detector.data.paths import (
    IMAGE_SUFFIXES,
    existing,
    header_sizes,
    nearest_names,
    relative,
    root_folder,
    split_entry,
)
from detector.data.problems import summarise
from detector.data.text import read_text
from detector.errors import UserError, shown

ANNOTATION_FOLDERS = ("Annotations", "annotations", "xmls", "xml", "labels")
PICTURE_FOLDERS = ("JPEGImages", "images", "Images", "imgs", "img")


def read_voc(data: Voc, split: str, class_names: tuple[str, ...] | None = None) -> Index:
    """The split that `data.train`, `data.val` or `data.test` names: a list in `ImageSets/Main`, or a folder of xml files.

    VOC's boxes are inclusive pixels counted from 1: the pixels xmin..xmax span the continuous interval
    [xmin − 1, xmax], and that is what the index holds (Everingham & Winn, VOC2012 development kit, section 3.2). Adding
    1 to x1 and y1 gives the file's numbers back. A box with xmax = xmin is one pixel wide by that rule, and is measured
    so; nobody draws such a box on purpose, so it is degenerate: not trained on and reported.

    Without `class_names` the label space is the sorted names of this split's own annotations. Objects of a class that
    `class_names` lacks are skipped and reported. Difficult objects become `crowd`. An image whose annotation is missing
    or malformed is left out and reported.

    Raises:
        UserError: a folder or the list is missing, or it names no image with a readable annotation.
    """
    root = root_folder(data)
    key = f"data.{split}"
    problems: list[Problem] = []
    notes: list[str] = []
    folder = split_folder(data, split)
    if folder is None:
        listed = existing(list_file(data, split), key)
        found = _listed(listed, root, problems)
        source = f"{listed} names no image with a readable file in {_folder(root, ANNOTATION_FOLDERS)}"
    else:
        found = _in_folder(folder, root, problems)
        source = f"{folder} holds no readable xml file of an image"

    ids: list[str] = []
    files: list[str] = []
    annotations: list[VocFile] = []
    finder = _image_files(folder, root, split)
    for name, path in found:
        if not isfile(path):
            what = "left out: the list names it, the file is not there"
            problems.append(Problem("missing annotation", relative(path, root), what))
        elif (annotation := read_voc_file(path, relative(path, root), problems)) is not None:
            ids.append(name)
            annotations.append(annotation)
            files.append(_image(finder, name, annotation))
    if not ids:
        raise UserError(f"{key}: {source}" + (f": {summarise(problems)}" if problems else ""))
    if finder.moved:
        name, file = finder.moved[0]
        notes.append(
            f"{len(finder.moved)} images were found by the ends of their names "
            f"(first: {shown(name)} is {relative(Path(file), root)})"
        )
    if folder is not None:
        _report_images_without_xml(folder, {*files, *(str(path.with_suffix("")) for _, path in found)}, root, problems)

    sizes = np.array([_size(annotation) for annotation in annotations], dtype=np.int32).reshape(-1, 2)
    unknown = np.flatnonzero((sizes == 0).any(axis=1))
    sizes[unknown] = header_sizes([files[i] for i in unknown])
    sized = (sizes > 0).all(axis=1)
    for i in np.flatnonzero(~sized):
        what = f"left out: no <size> that an image can have, and {files[i]} cannot be read"
        problems.append(Problem("image of unknown size", annotations[i].file, what))
    kept = np.flatnonzero(sized).tolist()
    annotations = [annotations[i] for i in kept]
    if class_names is None:
        class_names = tuple(sorted({one.name for annotation in annotations for one in annotation.objects}))
    index = assemble(
        class_names,
        range(1, len(class_names) + 1),
        [ids[i] for i in kept],
        [files[i] for i in kept],
        sizes[sized],
        _objects(annotations, class_names, problems),
        problems,
    )
    index.notes = notes
    if annotated_as_stored(index.files.tolist(), index.sizes):
        index.as_stored = True
        notes.append(as_stored_note(key))
    return index


def list_file(data: Voc, split: str) -> Path:
    """The file with the names of a split's images, whether it exists or not."""
    root, entry = root_folder(data), split_entry(data, split)
    name = f"{entry.removesuffix('.txt')}.txt"
    places = [root / "ImageSets" / "Main" / name, root / "ImageSets" / name, root / name]
    return next((place for place in places if place.is_file()), places[0])


def split_folder(data: Voc, split: str) -> Path | None:
    """The folder of xml files that a split is; None where it is a list."""
    if list_file(data, split).is_file():
        return None
    folder = root_folder(data) / split_entry(data, split)
    return folder if folder.is_dir() else None


def _folder(root: Path, names: Sequence[str]) -> Path:
    """The first of the folders of these names that `root` has."""
    present = [root / name for name in names if (root / name).is_dir()]
    return present[0] if present else existing(root / names[0], "data.root", folder=True)


def _listed(listed: Path, root: Path, problems: list[Problem]) -> list[tuple[str, Path]]:
    """(name, xml file) of each image of a list.

    A line is a name, in quotation marks or not, which may have spaces. The lists of one class have a second column, −1, 0
    or 1, that is no part of the name: it is one where no xml file has the whole line as its name.
    """
    folder = _folder(root, ANNOTATION_FOLDERS)
    where = relative(listed, root)
    first: dict[str, int] = {}
    for line, text in enumerate(re.split(r"\r\n|\r|\n", read_text(listed)), 1):
        text = text.strip().replace("\\", "/")
        if not text:
            continue
        if not text.isprintable() or len(text) > 1000:
            what = f"left out: {shown(text)!r} is no name of an image"
            problems.append(Problem("malformed list", f"{where}:{line}", what))
            continue
        name = next((one for one in _readings(text) if isfile(folder / f"{one}.xml")), _readings(text)[-1])
        if name in first:
            what = f"{name} is listed on line {first[name]} already: taken once"
            problems.append(Problem("repeated image", f"{where}:{line}", what))
        else:
            first[name] = line
    return [(name, folder / f"{name}.xml") for name in first]


def _readings(text: str) -> list[str]:
    """What a line of a list may name, the likeliest first."""
    quoted = re.fullmatch(r'"([^"]+)"(\s+-?[01])?', text)
    names = [quoted[1]] if quoted else [text, re.sub(r"\s+(-1|0|1)$", "", text)]
    bare = []
    for name in names:
        path = PurePosixPath(name)
        if path.suffix.lower() in IMAGE_SUFFIXES | {".xml"}:
            path = path.with_suffix("")
        parts = path.parts
        for folder in (*PICTURE_FOLDERS, *ANNOTATION_FOLDERS):
            if folder in parts[:-1]:  # a path from the root, or from that of another machine
                parts = parts[len(parts) - parts[::-1].index(folder) :]
        bare.append("/".join(parts))
    return list(dict.fromkeys([*names, *bare]))


def _in_folder(folder: Path, root: Path, problems: list[Problem]) -> list[tuple[str, Path]]:
    """(path below the folder without suffix, xml file) of each xml file below a folder; hidden ones are passed over."""
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() == ".xml"
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.name.isprintable()
    )
    found: dict[str, Path] = {}
    for path in files:
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            what = f"left out: {found[name].name} describes the same image"
            problems.append(Problem("repeated image", relative(path, root), what))
        found.setdefault(name, path)
    return list(found.items())


def _image_files(folder: Path | None, root: Path, split: str) -> ImageFiles:
    if folder is None:  # the pictures need not be there: scoring stored detections takes annotations only
        return ImageFiles([root / name for name in PICTURE_FOLDERS], split, stems=True)
    places = [folder]
    parts = folder.relative_to(root).parts if folder.is_relative_to(root) else ()
    for picture in PICTURE_FOLDERS:
        swapped = [picture if part in ANNOTATION_FOLDERS else part for part in parts]
        places += [root.joinpath(*swapped), folder / picture, folder.parent / picture, root / picture]
    return ImageFiles([*places, root], split, stems=True)


def _image(finder: ImageFiles, name: str, annotation: VocFile) -> str:
    """The file of an image: the one of the xml file's name, else the one that it names itself."""
    by_list = finder.find(name, suffix=".jpg")
    if isfile(by_list) or not annotation.image_name.isprintable():
        return by_list
    stated = PurePosixPath(annotation.image_name.replace("\\", "/"))
    by_file = finder.find(str(stated.with_suffix("")), suffix=".jpg") if stated.name else by_list
    return by_file if isfile(by_file) else by_list


def _report_images_without_xml(folder: Path, known: set[str], root: Path, problems: list[Problem]) -> None:
    """`known`: image files, and xml files without suffix."""
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in IMAGE_SUFFIXES and not hidden and not {str(path), str(path.with_suffix(""))} & known:
            problems.append(
                Problem("image without annotation", relative(path, root), "left out: no xml file of its name")
            )


def _size(annotation: VocFile) -> tuple[int, int]:
    """(height, width); 0, 0 where the file does not say or no image can be so large."""
    height, width = annotation.size
    return (int(height), int(width)) if height >= 1 and width >= 1 and height * width <= MAX_PIXELS else (0, 0)


def _objects(annotations: list[VocFile], class_names: tuple[str, ...], problems: list[Problem]) -> AnnotatedObjects:
    label_of = {name: label for label, name in enumerate(class_names)}
    owners, boxes, written, labels, difficult, places = [], [], [], [], [], []
    for owner, annotation in enumerate(annotations):
        for one in annotation.objects:
            where = f"{annotation.file}:{one.line}"
            if one.name not in label_of:
                what = f"skipped an object of class {shown(one.name)!r}; the classes are "
                problems.append(Problem("unknown class", where, what + nearest_names(class_names, one.name)))
                continue
            left, top, right, bottom = one.box
            owners.append(owner)
            degenerate = right <= left or bottom <= top
            boxes.append(one.box if degenerate else (left - 1, top - 1, right, bottom))
            written.append([left - 1, top - 1, right - left + 1, bottom - top + 1])
            labels.append(label_of[one.name])
            difficult.append(one.difficult)
            places.append(where)
    return AnnotatedObjects(owners, boxes, labels, difficult, where=lambda n: places[n], written=written)
