"""YOLO txt: one text file an image, one line an object, and a `data.yaml` that says where the images are."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from detector import config
from detector.data.data_yaml import read_description, split_images
from detector.data.index import Index, Objects, Problem, assemble
from detector.data.paths import header_sizes, nearest_names, relative, root_folder
from detector.data.problems import summarise
from detector.errors import UserError


def read_yolo(data: config.Yolo, split: str, class_names: tuple[str, ...] | None = None) -> Index:
    """The split that `data.train`, `data.val` or `data.test`, or else the key of the same name in `data.yaml`, names.

    An image's labels are in a file of its name with the suffix .txt, in the folder that has `labels` in place of the
    path's last `images` (or beside the image). No such file means no object. A line is `class cx cy width height` as
    shares of the image's size, or `class x1 y1 x2 y2 x3 y3 ...`, a polygon, of which the hull is taken. Malformed lines
    and those of an unknown class are skipped and reported; images that cannot be read are left out and reported. Image
    ids are paths below the split's folder, without suffix; category ids are the class indices.

    Raises:
        UserError: a path is missing, `data.yaml` is wrong, no image can be read, there is no label file at all, or the
            classes are not `class_names`, in any order.
    """
    root = root_folder(data)
    description = read_description(root)
    names = description.class_names
    if class_names is not None and sorted(class_names) != sorted(names):
        raise UserError(
            f"data.{split}: {description.file} has the classes {', '.join(names)}; expected {', '.join(class_names)}"
        )
    problems: list[Problem] = []
    images, ids = split_images(data, split, root, description, problems)
    sizes = header_sizes([str(image) for image in images])
    readable = (sizes > 0).all(axis=1)
    for i in np.flatnonzero(~readable).tolist():
        problems.append(Problem("unreadable image", relative(images[i], root), "left out: it cannot be decoded"))
    kept = np.flatnonzero(readable).tolist()
    images, ids, sizes = [images[i] for i in kept], [ids[i] for i in kept], sizes[readable]

    if not images:
        raise UserError(f"data.{split}: no image can be read: {summarise(problems)}")
    label_files = [label_file(image) for image in images]
    if not any(file.is_file() for file in label_files):
        raise UserError(f"data.{split}: no image has a label file; the first was looked for at {label_files[0]}")
    owners: list[int] = []
    boxes: list[list[float]] = []
    labels: list[int] = []
    places: list[tuple[int, int]] = []
    for i, file in enumerate(label_files):
        height, width = (int(side) for side in sizes[i])
        for line, label, box in _rows(file, names, root, problems):
            owners.append(i)
            labels.append(label)
            boxes.append([box[0] * width, box[1] * height, box[2] * width, box[3] * height])
            places.append((i, line))
    objects = Objects(
        owners,
        boxes,
        labels,
        np.zeros(len(owners), dtype=np.bool_),
        where=lambda n: f"{relative(label_files[places[n][0]], root)}:{places[n][1]}",
    )
    return assemble(names, range(len(names)), ids, [str(image) for image in images], sizes, objects, problems)


def label_file(image: Path) -> Path:
    """Where the labels of an image are: .../images/a/b.jpg → .../labels/a/b.txt; without `images`, beside the image."""
    parts = list(image.parts)
    for i in range(len(parts) - 2, -1, -1):
        if parts[i] == "images":
            parts[i] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _rows(
    file: Path, names: tuple[str, ...], root: Path, problems: list[Problem]
) -> list[tuple[int, int, tuple[float, float, float, float]]]:
    """(line, label, xyxy as shares of the image) of each sound row; none where there is no file."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return []
    except UnicodeDecodeError:
        problems.append(Problem("malformed annotation", relative(file, root), "skipped: not a text file"))
        return []
    rows = []
    for line, row in enumerate(text.splitlines(), 1):
        if not row.strip():
            continue
        where = f"{relative(file, root)}:{line}"
        try:
            first, *rest = (float(value) for value in row.split())
        except ValueError:
            first, rest = math.nan, []
        if not first.is_integer() or len(rest) < 4 or (len(rest) > 4 and (len(rest) < 6 or len(rest) % 2)):
            what = (
                f"skipped {row.strip()[:60]!r}: a line is 'class cx cy width height' or 'class x1 y1 x2 y2 x3 y3 ...'"
            )
            problems.append(Problem("malformed annotation", where, what))
        elif not 0 <= first < len(names):
            what = f"skipped class {first:.0f}; there are 0 to {len(names) - 1}: {nearest_names(names, '')}"
            problems.append(Problem("unknown class", where, what))
        else:
            rows.append((line, int(first), _hull(rest)))
    return rows


def _hull(values: list[float]) -> tuple[float, float, float, float]:
    if len(values) == 4:
        x, y, width, height = values
        return x - width / 2, y - height / 2, x + width / 2, y + height / 2
    return min(values[0::2]), min(values[1::2]), max(values[0::2]), max(values[1::2])
