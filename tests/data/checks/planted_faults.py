"""A real data set as COCO json, with faults planted in it: changed copies of pictures, wrong labels, boxes drawn twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from detector.data.index import Index

Picture = np.ndarray  # uint8 [H, W, 3]


def recompressed(picture: Picture, quality: int) -> Picture:
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 1))


def resized(picture: Picture, share: float) -> Picture:
    return np.asarray(cv2.resize(picture, None, fx=share, fy=share, interpolation=cv2.INTER_AREA))


def cropped(picture: Picture, share: float, random: np.random.Generator) -> Picture:
    height, width = picture.shape[:2]
    y, x = (int(random.uniform(0, share) * side) for side in (height, width))
    return picture[y : y + int(height * (1 - share)), x : x + int(width * (1 - share))]


def brighter(picture: Picture) -> Picture:
    return np.clip(picture * 1.15 + 10, 0, 255).astype(np.uint8)


CHANGES: dict[str, Callable[[Picture, np.random.Generator], Picture]] = {
    "half the size": lambda picture, _: resized(picture, 0.5),
    "JPEG quality 30": lambda picture, _: recompressed(picture, 30),
    "brighter": lambda picture, _: brighter(picture),
    "2 % cut off": lambda picture, random: cropped(picture, 0.02, random),
    "5 % cut off": lambda picture, random: cropped(picture, 0.05, random),
    "5 % cut off, 0.7 of the size, JPEG quality 60": lambda picture, random: recompressed(
        resized(cropped(picture, 0.05, random), 0.7), 60
    ),
    "mirrored": lambda picture, _: picture[:, ::-1].copy(),
    "turned by 90°": lambda picture, _: cv2.rotate(picture, cv2.ROTATE_90_CLOCKWISE),
}


@dataclass
class Planted:
    """The files with copies, by the change that was made; and the boxes with faults."""

    leaks: dict[str, list[str]] = field(default_factory=dict)
    """Change → files in val that are copies of training images."""
    duplicates: dict[str, list[str]] = field(default_factory=dict)
    labels: set[tuple[str, tuple[float, ...]]] = field(default_factory=set)
    """(file, box) of the training objects with a wrong label."""
    twice: set[tuple[str, tuple[float, ...]]] = field(default_factory=set)
    two_classes: set[tuple[str, tuple[float, ...]]] = field(default_factory=set)


def plant(root: Path, splits: dict[str, Index], copies: int, wrong_labels: float, boxes: int) -> Planted:
    """Writes the data set with `copies` of each change between and within splits, that share of wrong labels in train, and
    that many boxes drawn twice and under two classes; says what was planted."""
    random = np.random.default_rng(0)
    planted = Planted()
    contents = {split: _content(index) for split, index in splits.items()}
    train = contents["train"]
    originals = random.permutation(len(splits["train"]))
    taken = iter(originals.tolist())
    for split, into in (("val", planted.leaks), ("train", planted.duplicates)):
        for change, apply in CHANGES.items():
            into[change] = []
            for number in range(copies):
                picture = splits["train"].image(next(taken))
                changed = apply(picture, random)
                file = root / split / f"{change.replace(' ', '_')}_{number}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(file), cv2.cvtColor(np.ascontiguousarray(changed), cv2.COLOR_RGB2BGR))
                into[change].append(str(file))
                height, width = changed.shape[:2]
                contents[split]["images"].append(
                    {"id": str(file), "file_name": str(file), "height": height, "width": width}
                )
    classes = len(train["categories"])
    objects = random.permutation(len(train["annotations"])).tolist()
    for _ in range(round(wrong_labels * len(objects))):
        one = train["annotations"][objects.pop()]
        one["category_id"] = int((one["category_id"] + random.integers(1, classes)) % classes)
        planted.labels.add((one["image_id"], tuple(one["bbox"])))
    for number in range(2 * boxes):
        one = train["annotations"][objects.pop()]
        x, y, width, height = one["bbox"]
        moved = [x + 0.02 * width, y + 0.01 * height, 0.98 * width, 0.99 * height]
        label = one["category_id"] if number < boxes else (one["category_id"] + 1) % classes
        train["annotations"].append(one | {"bbox": moved, "category_id": label, "id": f"planted {number}"})
        (planted.twice if number < boxes else planted.two_classes).add((one["image_id"], tuple(one["bbox"])))
    for split, content in contents.items():
        (root / f"{split}.json").write_text(json.dumps(content))
    return planted


def _content(index: Index) -> dict[str, Any]:
    owners = np.repeat(np.arange(len(index)), np.diff(index.offsets)).tolist()
    files = [str(Path(file).resolve()) for file in index.files.tolist()]
    sizes = index.boxes[:, 2:] - index.boxes[:, :2]
    return {
        "images": [
            {"id": file, "file_name": file, "height": height, "width": width}
            for file, (height, width) in zip(files, index.sizes.tolist(), strict=True)
        ],
        "categories": [{"id": label, "name": name} for label, name in enumerate(index.class_names)],
        "annotations": [
            {"id": n, "image_id": files[owner], "category_id": label, "bbox": [*corner, *size], "iscrowd": int(crowd)}
            for n, (owner, label, corner, size, crowd) in enumerate(
                zip(
                    owners,
                    index.labels.tolist(),
                    index.boxes[:, :2].tolist(),
                    sizes.tolist(),
                    index.crowd.tolist(),
                    strict=True,
                )
            )
        ],
    }
