"""Config of a data set → the index of one of its splits."""

from __future__ import annotations

from detector import config
from detector.data.coco import read_coco
from detector.data.data_yaml import read_description, yolo_place
from detector.data.index import Index
from detector.data.problems import summarise
from detector.data.shapes import read_shapes
from detector.data.voc import list_file, read_voc
from detector.data.yolo import read_yolo
from detector.errors import UserError


def read_index(data: config.Data, split: str, class_names: tuple[str, ...] | None = None) -> Index:
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


def read_split(data: config.Data, split: str, class_names: tuple[str, ...] | None = None) -> Index:
    """As `read_index`, but objects of an unknown class are skipped and listed in `Index.problems`."""
    match data:
        case config.Coco():
            index = read_coco(data, split, class_names)
        case config.Voc():
            index = read_voc(data, split, class_names)
        case config.Yolo():
            index = read_yolo(data, split, class_names)
        case config.Shapes():
            index = read_shapes(data, split, class_names)
        case _:
            raise UserError(f"data.name: no reader for {data.name!r}; there are coco, voc, yolo and shapes")
    if len(index) == 0:
        raise UserError(f"data.{split}: every image was left out: {summarise(index.problems)}")
    return index


def has_test(data: config.Data) -> bool:
    """Whether the data set names a test split: many have none, and VOC's default name for it asks for nothing."""
    match data:
        case config.Voc():
            return bool(data.test) and (data.test != config.Voc.test or list_file(data, "test").is_file())
        case config.Yolo():
            return bool(data.test or read_description(yolo_place(data)).entries.get("test"))
        case config.Shapes():
            return data.test_images > 0
        case _:
            return bool(data.test)
