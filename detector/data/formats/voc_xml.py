"""One xml file of Pascal VOC, as labelling tools write it."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from detector.data.file_values import number
from detector.data.formats.coco_boxes import FARTHEST
from detector.data.index import Problem
from detector.data.text import read_text
from detector.errors import UserError, shown

_SIDES = ("xmin", "ymin", "xmax", "ymax")
_TRUE = {"true", "yes", "y", "t"}


@dataclass(frozen=True)
class VocObject:
    """An `<object>`."""

    name: str
    box: tuple[float, float, float, float]
    """xmin, ymin, xmax, ymax as the file has them, each pair in its order."""
    difficult: bool
    line: int


@dataclass
class VocFile:
    """What an xml file says."""

    file: str
    """Name of the file in messages."""
    image_name: str = ""
    """`<filename>`."""
    size: tuple[float, float] = (math.nan, math.nan)
    """(height, width), NaN where the file does not say."""
    objects: list[VocObject] = field(default_factory=list)


def read_voc_file(path: Path, file: str, problems: list[Problem]) -> VocFile | None:
    """The objects directly below `<annotation>`: what lies in an object, such as a `<part>`, is none of its own.

    A word that is no number in `<difficult>` means yes if it says so (true, yes) and otherwise no. Objects without a name
    or a box are skipped and reported, corners that are swapped are put in order and reported. None where the file
    cannot be read, which is reported.

    Args:
        path: the file.
        file: how messages call it.
        problems: gets what is wrong.
    """
    try:
        parsed = _parse(read_text(path))
    except UserError as error:
        problems.append(Problem("malformed annotation", file, f"left out the image: {error}"))
        return None
    except expat.ExpatError as error:
        what = f"left out the image: {expat.ErrorString(error.code)}"
        problems.append(Problem("malformed annotation", f"{file}:{error.lineno}", what))
        return None
    except ValueError as error:  # a character that xml forbids
        problems.append(Problem("malformed annotation", file, f"left out the image: {shown(str(error))}"))
        return None
    tree, lines = parsed
    top = tree if tree.find("object") is not None or tree.tag == "annotation" else tree.find(".//annotation")
    if top is None:
        what = f"left out the image: it holds a <{shown(tree.tag)}>, no <annotation>"
        problems.append(Problem("malformed annotation", file, what))
        return None
    height, width = (number(_text(top, f"size/{side}")) for side in ("height", "width"))
    read = VocFile(file, _text(top, "filename"), (height, width))
    for entry in top.findall("object"):
        line = lines[id(entry)]
        if found := _object(entry, f"{file}:{line}", line, problems):
            read.objects.append(found)
        for inner in entry.iterfind(".//object"):
            what = "skipped an object that lies in another one"
            problems.append(Problem("nested object", f"{file}:{lines[id(inner)]}", what))
    return read


def _object(entry: ElementTree.Element, where: str, line: int, problems: list[Problem]) -> VocObject | None:
    name = " ".join(_text(entry, "name").split())
    corners = [number(_text(entry, f"bndbox/{side}")) for side in _SIDES]
    if not name or not name.isprintable() or not all(abs(value) <= FARTHEST for value in corners):
        what = "skipped an object: it needs a <name> and a <bndbox> with xmin, ymin, xmax, ymax as numbers"
        if entry.find("robndbox") is not None:
            what = "skipped an object: it has a <robndbox>, and turned boxes are not read"
        problems.append(Problem("malformed annotation", where, what))
        return None
    left, top, right, bottom = corners
    if right < left or bottom < top:
        what = f"{shown(name)}: xmin {left:g}, ymin {top:g}, xmax {right:g}, ymax {bottom:g}: put in order"
        problems.append(Problem("swapped corners", where, what))
    flag = _text(entry, "difficult")
    difficult = flag.lower() in _TRUE or abs(number(flag)) > 0
    box = (min(left, right), min(top, bottom), max(left, right), max(top, bottom))
    return VocObject(name, box, difficult, line)


def _text(entry: ElementTree.Element, path: str) -> str:
    return (entry.findtext(path) or "").strip()


def _parse(text: str) -> tuple[ElementTree.Element, dict[int, int]]:
    """The tree and the line of each `<object>`, by the element's `id`.

    Raises:
        UserError: the text declares an entity, which may stand for any amount of text or for another file.
        ExpatError: it is no xml.
    """
    builder = ElementTree.TreeBuilder()
    parser = expat.ParserCreate()
    lines: dict[int, int] = {}

    def start(tag: str, attributes: dict[str, str]) -> None:
        element = builder.start(tag, attributes)
        if tag == "object":
            lines[id(element)] = parser.CurrentLineNumber

    def refuse(name: str, *_: object) -> None:
        raise UserError(
            f"line {parser.CurrentLineNumber} declares the entity {shown(name)!r}: write out what it stands for"
        )

    parser.StartElementHandler = start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.EntityDeclHandler = refuse
    parser.buffer_text = True
    parser.Parse(text, True)
    return builder.close(), lines
