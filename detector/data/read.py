"""Config of a data set → the index of one of its splits."""

from __future__ import annotations

from detector.data.formats.data_yaml import read_description, yolo_place
from detector.data.formats.layout import complete, missing_split
from detector.data.formats.voc import list_file, split_folder
from detector.data.index import Index, in_order
from detector.data.options import Data, Shapes, Voc, Yolo
from detector.data.problems import summarise
from detector.errors import UserError


def read_index(data: Data, split: str, class_names: tuple[str, ...] | None = None) -> Index:
    """One split, "train", "val" or "test".

    Args:
        data: which format, and where.
        split: which of the three splits.
        class_names: the label space that must hold, for example the training split's; by default the data's own.

    Raises:
        UserError: a path or a key is wrong, an object has a class that the label space lacks, or there is no image.
    """
    index = read_split(data, split, class_names)
    unknown = [problem for problem in index.problems if problem.kind == "unknown class"]
    if unknown:
        count = f"{len(unknown)} objects" if len(unknown) > 1 else "an object"
        raise UserError(f"data.{split}: {count} of an unknown class, first {unknown[0].where}: {unknown[0].what}")
    return index


def read_split(data: Data, split: str, class_names: tuple[str, ...] | None = None) -> Index:
    """As `read_index`, but objects of an unknown class are skipped and listed in `Index.problems`."""
    data, _ = complete(data)
    if not isinstance(data, Shapes | Yolo) and data.root and not getattr(data, split):
        raise UserError(missing_split(data, split))
    index = data.read(split, class_names)
    if class_names is not None:
        index = in_order(index, class_names)
    if len(index) == 0:
        raise UserError(f"data.{split}: every image was left out: {summarise(index.problems)}")
    return index


def has_test(data: Data) -> bool:
    """Whether the data set names a test split: many have none, and VOC's default name for it asks for nothing."""
    data, _ = complete(data)
    match data:
        case Voc():
            there = bool(data.test) and (list_file(data, "test").is_file() or split_folder(data, "test") is not None)
            return there or data.test not in (None, Voc.test)
        case Yolo():
            return bool(data.test or read_description(yolo_place(data)).entries.get("test"))
        case Shapes():
            return data.test_images > 0
        case _:
            return bool(data.test)
