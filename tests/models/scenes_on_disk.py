"""The same drawn scenes in every format that the project reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2

from detector import config
from detector.data.formats.shapes import read_shapes
from detector.data.index import Index


def write(scenes: config.Shapes, layout: str, root: Path) -> list[str]:
    """The training scenes of `scenes` in a folder, and the overrides that make them both training and validation data."""
    index = read_shapes(scenes, "train")
    (root / "images").mkdir(parents=True)
    for i in range(len(index)):
        cv2.imwrite(str(root / "images" / f"{i}.png"), cv2.cvtColor(index.image(i), cv2.COLOR_RGB2BGR))
    return [f"data.root={root}", *LAYOUTS[layout](index, root)]


def _coco(index: Index, root: Path) -> list[str]:
    content = {
        "images": [{"id": i, "file_name": f"{i}.png", **_size(index, i)} for i in range(len(index))],
        "categories": [{"id": n + 1, "name": name} for n, name in enumerate(index.class_names)],
        "annotations": [
            {"image_id": i, "category_id": label + 1, "bbox": [x1, y1, x2 - x1, y2 - y1], "iscrowd": 0}
            for i in range(len(index))
            for label, (x1, y1, x2, y2) in _objects(index, i)
        ],
    }
    for number, entry in enumerate(content["annotations"]):
        entry["id"] = number + 1
    (root / "scenes.json").write_text(json.dumps(content))
    return ["data.train=scenes.json", "data.val=scenes.json"]


def _voc(index: Index, root: Path) -> list[str]:
    (root / "images").rename(root / "JPEGImages")
    for folder in ("Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    for i in range(len(index)):
        lines = [f"<size><width>{_size(index, i)['width']}</width><height>{_size(index, i)['height']}</height></size>"]
        for label, box in _objects(index, i):
            # the first and the last pixel that belong to the object, counted from 1
            corners = [round(box[0]) + 1, round(box[1]) + 1, round(box[2]), round(box[3])]
            sides = "".join(f"<{n}>{v}</{n}>" for n, v in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True))
            lines.append(f"<object><name>{index.class_names[label]}</name><bndbox>{sides}</bndbox></object>")
        (root / "Annotations" / f"{i}.xml").write_text(f"<annotation>{''.join(lines)}</annotation>")
    names = "\n".join(str(i) for i in range(len(index)))
    (root / "ImageSets" / "Main" / "train.txt").write_text(names)
    return ["data.val=train"]


def _yolo(index: Index, root: Path) -> list[str]:
    (root / "labels").mkdir()
    for i in range(len(index)):
        width, height = _size(index, i)["width"], _size(index, i)["height"]
        rows = [
            f"{n} {(x1 + x2) / 2 / width} {(y1 + y2) / 2 / height} {(x2 - x1) / width} {(y2 - y1) / height}\n"
            for n, (x1, y1, x2, y2) in _objects(index, i)
        ]
        (root / "labels" / f"{i}.txt").write_text("".join(rows))
    names = ", ".join(index.class_names)
    (root / "data.yaml").write_text(f"path: .\ntrain: images\nval: images\nnames: [{names}]\n")
    return []


def _size(index: Index, i: int) -> dict[str, int]:
    height, width = index.sizes[i].tolist()
    return {"width": width, "height": height}


def _objects(index: Index, i: int) -> list[tuple[int, list[float]]]:
    rows = slice(int(index.offsets[i]), int(index.offsets[i + 1]))
    return list(zip(index.labels[rows].tolist(), index.boxes[rows].tolist(), strict=True))


LAYOUTS: dict[str, Callable[[Index, Path], list[str]]] = {"coco": _coco, "voc": _voc, "yolo": _yolo}
