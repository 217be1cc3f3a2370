"""YOLO txt: one text file an image, one line an object, and a `data.yaml` that says where the images are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from detector.data.formats.data_yaml import read_description, yolo_place
from detector.data.formats.label_files import LabelFiles, label_file
from detector.data.formats.label_rows import Row, RowForms, parse_rows
from detector.data.formats.split_images import split_images
from detector.data.images.headers import header_sizes, image_header
from detector.data.index import AnnotatedObjects, Index, Problem, assemble
from detector.data.options import Yolo
from detector.data.paths import nearest_names, relative
from detector.data.problems import summarise
from detector.data.text import read_text
from detector.errors import UserError, shown

__all__ = ["label_file", "read_yolo"]

LARGEST_LABELS = 2**26
"""Bytes above which a label file is skipped: a hundred thousand polygons."""


def read_yolo(data: Yolo, split: str, class_names: tuple[str, ...] | None = None) -> Index:
    """The split that `data.train`, `data.val` or `data.test`, or else the key of the same name in `data.yaml`, names.

    Which label file is an image's is told by `LabelFiles`, what its rows are by `RowForms`. No label file means no
    object, and is reported, as are label files without an image. Malformed rows and those of an unknown class are
    skipped and reported; images that cannot be read are left out and reported. Image ids are paths below the split's
    folder, without suffix; category ids are the class indices.

    Raises:
        UserError: a path is missing, `data.yaml` is wrong, no image can be read, there is no label file at all, two
            images have one label file, or the classes are not `class_names`, in any order.
    """
    place = yolo_place(data)
    root = place if place.is_dir() else place.parent
    description = read_description(place)
    names = description.class_names
    if class_names is not None and sorted(class_names) != sorted(names):
        raise UserError(
            f"data.{split}: {description.file} has the classes {nearest_names(names, '')}; "
            f"expected {nearest_names(class_names, '')}"
        )
    problems: list[Problem] = []
    found = split_images(data, split, root, description, problems)
    labels = LabelFiles().match(found.files, found.folders)
    if not any(labels.files):
        first = shown(str(label_file(found.files[0])), 300)
        raise UserError(f"data.{split}: no image has a label file; the first was looked for at {first}")
    _refuse_shared(split, found.files, labels.files)

    sizes = header_sizes([str(image) for image in found.files])
    readable = (sizes > 0).all(axis=1)
    for i in np.flatnonzero(~readable).tolist():
        problems.append(Problem("unreadable image", relative(found.files[i], root), _why_unreadable(found.files[i])))
    kept = np.flatnonzero(readable).tolist()
    if not kept:
        raise UserError(f"data.{split}: no image can be read: {summarise(problems)}")
    images, sizes = [found.files[i] for i in kept], sizes[readable]
    label_files = [labels.files[i] for i in kept]
    for image, file in zip(images, label_files, strict=True):
        if file is None:
            what = f"taken as one without objects: there is no {relative(label_file(image), root)}"
            problems.append(Problem("image without label file", relative(image, root), what))
    for file in labels.without_image:
        problems.append(Problem("label file without image", relative(file, root), "not used"))

    index = assemble(
        names,
        range(len(names)),
        [found.ids[i] for i in kept],
        [str(image) for image in images],
        sizes,
        _objects(label_files, sizes, names, description.keypoints, root, problems),
        problems,
    )
    index.notes += [*([description.note] if description.note else []), *found.notes]
    return index


def _why_unreadable(image: Path) -> str:
    try:
        image_header(str(image))
    except UserError as error:
        return f"left out: it {shown(str(error).removeprefix(f'image {image} '), 300)}"
    return "left out: it cannot be decoded"


def _refuse_shared(split: str, images: Sequence[Path], files: Sequence[Path | None]) -> None:
    owners: dict[Path, Path] = {}
    for image, file in zip(images, files, strict=True):
        if file is not None:
            if file in owners:
                one, other = shown(str(owners[file]), 300), shown(image.name, 300)
                raise UserError(f"data.{split}: {one} and {other} would share a label file, {file.name}: rename one")
            owners[file] = image


def _objects(
    files: Sequence[Path | None],
    sizes: np.ndarray,
    names: tuple[str, ...],
    keypoints: tuple[int, int] | None,
    root: Path,
    problems: list[Problem],
) -> AnnotatedObjects:
    def where(row: Row) -> str:
        file = files[row.owner]
        assert file is not None
        return f"{relative(file, root)}:{row.line}"

    rows: list[Row] = []
    for i, file in enumerate(files):
        if file is not None:
            rows += _rows(i, file, root, problems)
    forms = RowForms(rows, keypoints)
    kept: list[Row] = []
    boxes: list[tuple[float, float, float, float]] = []
    for row in rows:
        box = forms.box(row)
        if isinstance(box, str):
            problems.append(Problem("malformed annotation", where(row), f"skipped: {box}"))
        elif not 0 <= row.label < len(names):
            what = f"skipped class {row.label:.6g}; there are 0 to {len(names) - 1}: {nearest_names(names, '')}"
            problems.append(Problem("unknown class", where(row), what))
        else:
            height, width = sizes[row.owner].tolist()
            kept.append(row)
            boxes.append((box[0] * width, box[1] * height, box[2] * width, box[3] * height))
    scored = [row for row in kept if row.count == 5]
    if scored:
        what = f"the sixth number of {len(scored)} rows is taken for the confidence of a detection and not used"
        problems.append(Problem("detections in place of annotations", where(scored[0]), what))
    return AnnotatedObjects(
        [row.owner for row in kept],
        boxes,
        [row.label for row in kept],
        np.zeros(len(kept), dtype=np.bool_),
        where=lambda n: where(kept[n]),
    )


def _rows(owner: int, file: Path, root: Path, problems: list[Problem]) -> list[Row]:
    try:
        text = read_text(file, LARGEST_LABELS)
    except UserError as error:
        reason = shown(str(error).removeprefix(str(file)).lstrip(": "), 300)
        problems.append(Problem("malformed annotation", relative(file, root), f"skipped: {reason}"))
        return []
    rows = []
    for row in parse_rows(owner, text):
        if isinstance(row, Row):
            rows.append(row)
        else:
            line, what = row
            problems.append(Problem("malformed annotation", f"{relative(file, root)}:{line}", what))
    return rows
