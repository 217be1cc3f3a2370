"""Pascal VOC: `ImageSets/Main/NAME.txt` lists images, `Annotations/*.xml` describe them, `JPEGImages` holds them."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from detector import config
from detector.data.index import Index, Objects, Problem, assemble
from detector.data.paths import IMAGE_SUFFIXES, existing, header_sizes, nearest_names, root_folder, split_entry
from detector.errors import UserError


@dataclass
class _Annotation:
    """One xml file."""

    file: str
    """Relative to the root."""
    size: tuple[int, int] = (0, 0)
    """(height, width); 0, 0 where the file does not say."""
    names: list[str] = field(default_factory=list)
    boxes: list[list[float]] = field(default_factory=list)
    """xmin, ymin, xmax, ymax as the file has them."""
    difficult: list[bool] = field(default_factory=list)
    ordinals: list[int] = field(default_factory=list)
    """Which `<object>` of the file each one is, from 0."""


def read_voc(data: config.Voc, split: str, class_names: tuple[str, ...] | None = None) -> Index:
    """The split that `data.train`, `data.val` or `data.test` names.

    VOC's boxes are inclusive pixels counted from 1: the pixels xmin..xmax span the continuous interval
    [xmin − 1, xmax], and that is what the index holds (Everingham & Winn, VOC2012 development kit, section 3.2). Adding
    1 to x1 and y1 gives the file's numbers back. A box with xmax = xmin is one pixel wide by that rule, and is measured
    so; nobody draws such a box on purpose, so it is degenerate: not trained on and reported.

    Without `class_names` the label space is the sorted names of this split's own annotations. Objects of a class that
    `class_names` lacks are skipped and reported. Difficult objects become `crowd`. An image whose annotation is missing
    or malformed is left out and reported.

    Raises:
        UserError: a folder or the list is missing, or the list names no image with a readable annotation.
    """
    root = root_folder(data)
    key = f"data.{split}"
    listed = list_file(data, split)
    existing(listed.parent, "data.root", folder=True)
    existing(listed, key)
    folder = existing(root / "Annotations", "data.root", folder=True)
    pictures = existing(root / "JPEGImages", "data.root", folder=True)
    by_stem = {p.stem: str(p) for p in sorted(pictures.iterdir()) if p.suffix.lower() in IMAGE_SUFFIXES}

    problems: list[Problem] = []
    ids: list[str] = []
    annotations: list[_Annotation] = []
    for name in _listed_names(listed, root, problems):
        annotation = _read_xml(folder / f"{name}.xml", root, problems)
        if annotation is not None:
            ids.append(name)
            annotations.append(annotation)
    if not ids:
        raise UserError(f"{key}: {listed} names no image with a readable file in {folder}")
    files = [by_stem.get(name, str(pictures / f"{name}.jpg")) for name in ids]

    sizes = np.array([annotation.size for annotation in annotations], dtype=np.int32)
    unknown = np.flatnonzero((sizes <= 0).any(axis=1))
    sizes[unknown] = header_sizes([files[i] for i in unknown])
    sized = (sizes > 0).all(axis=1)
    for i in np.flatnonzero(~sized):
        problems.append(
            Problem("image of unknown size", annotations[i].file, f"left out: no <size>, and {files[i]} cannot be read")
        )
    kept = np.flatnonzero(sized).tolist()
    annotations = [annotations[i] for i in kept]
    if class_names is None:
        class_names = tuple(sorted({name for annotation in annotations for name in annotation.names}))
    return assemble(
        class_names,
        range(1, len(class_names) + 1),
        [ids[i] for i in kept],
        [files[i] for i in kept],
        sizes[sized],
        _objects(annotations, class_names, root, problems),
        problems,
    )


def list_file(data: config.Voc, split: str) -> Path:
    """Where the names of a split's images are, whether it exists or not."""
    return root_folder(data) / "ImageSets" / "Main" / f"{split_entry(data, split).removesuffix('.txt')}.txt"


def _listed_names(listed: Path, root: Path, problems: list[Problem]) -> list[str]:
    """The names of an image list; the lists of one class have a second column, −1, 0 or 1, that is not a name."""
    names: dict[str, int] = {}
    for line, text in enumerate(listed.read_text(encoding="utf-8-sig").splitlines(), 1):
        name = re.sub(r"\s+(-1|0|1)$", "", text.strip())
        if name in names:
            what = f"{name} is listed on line {names[name]} already: taken once"
            problems.append(Problem("repeated image", f"{listed.relative_to(root)}:{line}", what))
        elif name:
            names[name] = line
    return list(names)


def _objects(
    annotations: list[_Annotation], class_names: tuple[str, ...], root: Path, problems: list[Problem]
) -> Objects:
    label_of = {name: label for label, name in enumerate(class_names)}
    owners, boxes, written, labels, difficult, places = [], [], [], [], [], []
    for owner, annotation in enumerate(annotations):
        for n, name in enumerate(annotation.names):
            place = (annotation.file, annotation.ordinals[n])
            if name not in label_of:
                what = f"skipped an object of class {name!r}; the classes are {nearest_names(class_names, name)}"
                problems.append(Problem("unknown class", _where(root, *place), what))
                continue
            owners.append(owner)
            left, top, right, bottom = annotation.boxes[n]
            degenerate = right <= left or bottom <= top
            boxes.append(annotation.boxes[n] if degenerate else [left - 1, top - 1, right, bottom])
            written.append([left - 1, top - 1, right - left + 1, bottom - top + 1])
            labels.append(label_of[name])
            difficult.append(annotation.difficult[n])
            places.append(place)
    return Objects(owners, boxes, labels, difficult, where=lambda n: _where(root, *places[n]), written=written)


def _read_xml(path: Path, root: Path, problems: list[Problem]) -> _Annotation | None:
    file = str(path.relative_to(root))
    try:
        tree = ElementTree.parse(path).getroot()
    except FileNotFoundError:
        problems.append(Problem("missing annotation", file, "left out: the list names it, the file is not there"))
        return None
    except ElementTree.ParseError as error:
        line, _ = error.position
        problems.append(Problem("malformed annotation", f"{file}:{line}", f"left out the image: {error}"))
        return None

    annotation = _Annotation(file, _size(tree))
    for ordinal, entry in enumerate(tree.iter("object")):
        name = (entry.findtext("name") or "").strip()
        try:
            left, top, right, bottom = (
                float(entry.findtext(f"bndbox/{side}") or "") for side in ("xmin", "ymin", "xmax", "ymax")
            )
            difficult = float(entry.findtext("difficult") or 0) != 0
        except ValueError:
            name = ""
        if not name:
            what = "skipped an object: it needs a <name> and a <bndbox> with xmin, ymin, xmax, ymax as numbers"
            problems.append(Problem("malformed annotation", _where(root, file, ordinal), what))
            continue
        annotation.names.append(name)
        annotation.boxes.append([left, top, right, bottom])
        annotation.difficult.append(difficult)
        annotation.ordinals.append(ordinal)
    return annotation


def _size(tree: ElementTree.Element) -> tuple[int, int]:
    try:
        height, width = (int(float(tree.findtext(f"size/{side}") or 0)) for side in ("height", "width"))
    except ValueError:
        return 0, 0
    return height, width


def _where(root: Path, file: str, ordinal: int) -> str:
    """File and line of the object; looked up in the text, for the xml parser keeps no lines."""
    text = (root / file).read_text(encoding="utf-8", errors="replace")
    starts = [match.start() for match in re.finditer(r"<object\b", text)]
    return f"{file}:{text.count(chr(10), 0, starts[ordinal]) + 1}" if ordinal < len(starts) else file
